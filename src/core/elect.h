/* Leader election over a store of leases, as etcd (v3) is one: what to ask it next, and whether the
 * right to act is provably ours. A pure state machine: times come in with the events, requests go
 * out as data.
 *
 * A member holds a session: a lease of `ttl` that it keeps alive. Whoever creates the leader key
 * under its lease leads; the key's create revision is the token, which grows with each leader. The
 * key goes when its lease does.
 *
 * Validity. The store ends a lease `ttl` after it took the newest keep-alive, which is not before
 * that one was sent. So the right to act ends, by our own clock, at
 *     valid until = sent + ttl - margin,    margin = max(ttl / 10, 500 ms)
 * (Gray and Cheriton, "Leases", SOSP 1989, section 2: the term less the time of transmission and
 * the clocks' allowance). The margin bears clocks that differ in rate by a tenth of ttl; theirs is
 * under 0.1 % as long as they work at all. The clock must count while the machine sleeps:
 * CLOCK_BOOTTIME. What cannot be proven any more is lost at once, and a new lease asked for.
 *
 * Keep-alives are answered by the store's leader without asking the others, and one that has been
 * cut off, or stopped, may still answer when another has ended the lease. So such an answer counts
 * only when a linearizable read, sent after it came, has answered in the same term: then nobody
 * else can have been the store's leader in between. (Grants go through the store's log and prove
 * themselves.)
 *
 * A transaction without an answer may have happened, or happen yet. Nothing is concluded from it:
 * the key is read, and if our lease holds it, it is ours. If a lease holds it that we have given
 * up, we end that one: nobody need wait for it. Likewise the one that a process before us, which is
 * known to be dead, has left behind. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/util.h"

enum elect_op {
    ELECT_GRANT,    /* a lease of ttl_us */
    ELECT_KEEP,     /* keep the lease alive */
    ELECT_READ,     /* all keys of the cluster, linearizable */
    ELECT_CAMPAIGN, /* if there is no leader key, create it under the lease; then read, all in one
                     */
    ELECT_REGISTER, /* put our member key under the lease */
    ELECT_WATCH,    /* tell of every change of a key from now on; replaces an earlier one */
    ELECT_REVOKE,   /* end that lease and with it all keys under it */
    ELECT_OP_MAX,
};

struct elect_request {
    enum elect_op op;
    uint64_t id; /* the answer's */
    int64_t lease;
    int64_t ttl_us;
    int64_t deadline_us; /* an answer later than that is not taken; of a watch: that it is open */
};

/* What the keys said. */
struct elect_view {
    int64_t leader_lease; /* that the leader key is under; 0 = there is no such key */
    uint64_t leader_token;
    int64_t self_lease; /* that our member key is under; 0 = none */
};

enum elect_event_type {
    ELECT_TIMER,      /* next_us has come; harmless at any time, and the first event of all */
    ELECT_ANSWER,     /* to request `id`; of a watch: it is open */
    ELECT_FAILED,     /* that one was refused, or whether it was done is not known */
    ELECT_CHANGED,    /* watch `id` saw something */
    ELECT_WATCH_LOST, /* watch `id` has ended */
    ELECT_RESIGN,     /* leave for good */
    ELECT_EVENT_MAX,
};

struct elect_event {
    enum elect_event_type type;
    int64_t now_us; /* CLOCK_BOOTTIME, read before anything is sent */
    uint64_t id;
    int64_t lease;          /* GRANT: the new one */
    int64_t ttl_us;         /* GRANT, KEEP: what it lasts; 0 = there is no such lease any more */
    uint64_t term;          /* KEEP, READ, CAMPAIGN: of the store's leader, as the answer says */
    struct elect_view view; /* READ, CAMPAIGN */
};

enum elect_state {
    ELECT_OUT,     /* without a lease */
    ELECT_IN,      /* a member */
    ELECT_LEADING, /* and the leader */
    ELECT_LEAVING, /* resigned; the lease is being revoked */
    ELECT_GONE,
    ELECT_STATE_MAX,
};

/* Things that are asked for again and again, each at most once at a time. */
enum elect_errand {
    ELECT_SESSION,  /* GRANT or KEEP */
    ELECT_LOOK,     /* READ or CAMPAIGN */
    ELECT_PRESENCE, /* REGISTER */
    ELECT_STREAM,   /* WATCH */
    ELECT_FAREWELL, /* REVOKE, of the lease or of the one before */
    ELECT_ERRAND_MAX,
};

enum elect_news { ELECT_NOTHING, ELECT_GAINED, ELECT_LOST };

/* What one step leads to. */
struct elect_out {
    struct elect_request requests[ELECT_ERRAND_MAX];
    size_t count;
    int64_t next_us; /* when a TIMER is due; US_NEVER */
    enum elect_news news;
    const char *why; /* it is lost */
    bool resigned;   /* done with it; nothing follows */
};

struct elect_conf {
    int64_t ttl_us;     /* at least 2 s */
    uint64_t seed;      /* another one in each member, so that they do not all ask at once */
    int64_t left_lease; /* of a process of this member before, which is dead for sure: it is ended
                           when it is seen to lead; 0 = none is known */
};

struct elect {
    struct elect_conf conf;
    struct rng rng;
    enum elect_state state;
    int64_t lease;  /* 0 = none */
    int64_t ttl_us; /* granted, or what will be asked for */
    int64_t valid_until_us;
    uint64_t token; /* LEADING */
    bool vacant;    /* nobody leads, as the newest view has it */
    bool look_again;
    bool present;      /* our member key has been put */
    int64_t old_lease; /* the one before: given up, but etcd may not know; 0 = none */
    struct {
        int64_t sent_us, ttl_us;
        uint64_t term, after_id; /* a read with a larger id proves it */
    } unproven;                  /* the newest keep-alive that was answered; sent_us 0 = none */
    uint64_t last_id;
    struct {
        uint64_t id; /* under way; 0 = not */
        enum elect_op op;
        int64_t sent_us, deadline_us, due_us;
        unsigned failures; /* in a row */
    } errands[ELECT_ERRAND_MAX];
};

void elect_init(struct elect *e, const struct elect_conf *conf);
void elect_step(struct elect *e, const struct elect_event *event, struct elect_out *ret);
/* Provably the leader at this moment. */
bool elect_may_act(const struct elect *e, int64_t now_us);

int64_t elect_margin_us(int64_t ttl_us);
