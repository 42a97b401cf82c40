/* Alerts: from "this is so" each second to "tell them this now". What is so is said afresh in every
 * round; an alert fires when it has been so for long enough, and is resolved when it is not so any
 * more. Who is to be told is a target; alerts that go to it together are a group.
 *
 * The words and what they do are Prometheus' and Alertmanager's:
 *  - for, keep-firing-for: prometheus.io/docs/prometheus/latest/configuration/alerting_rules
 *  - group-wait, group-interval, repeat-interval: prometheus.io/docs/alerting/latest/configuration,
 *    `route`. A group is looked at group-wait after its first alert and then each group-interval. A
 *    look sends a message when an alert fires that the newest message did not have, when one it had
 *    is resolved, or when it is repeat-interval old and something fires.
 *
 * Messages are never queued: what is due is made of the alerts as they are when it is sent. A
 * target that does not take one is asked again after a pause that doubles, with what is true then;
 * so what waits is bounded by the alerts there are. Pure: it sends nothing and knows no kinds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALERT_MAX 256
#define ALERT_TARGETS_MAX 8
#define ALERT_NAME_MAX 64
#define ALERT_TEXT_MAX 200
#define ALERT_RETRY_FIRST_US (1 * INT64_C(1000000))
#define ALERT_RETRY_LAST_US (5 * 60 * INT64_C(1000000))

enum alert_state {
    ALERT_FREE,
    ALERT_PENDING, /* so, but not for long enough */
    ALERT_FIRING,
    ALERT_RESOLVED, /* not so any more; stays until all who heard of it have heard of this */
    ALERT_STATE_MAX,
};

/* Something that is so. Two with the same kind, service and what are the same alert. */
struct alert_fact {
    uint32_t kind;       /* the caller's */
    const char *service; /* "" = of the whole */
    const char *what;    /* which of several: a source, a budget; "" = there is one */
    const char *group;   /* those with the same are told together */
    const char *text;    /* for people; may change from round to round */
    int64_t for_us;      /* so for this long: it fires */
    int64_t keep_us;     /* fires on for this long when it is not so any more */
};

struct alert {
    enum alert_state state;
    uint32_t kind;
    char service[ALERT_NAME_MAX], what[ALERT_NAME_MAX], text[ALERT_TEXT_MAX];
    uint32_t group; /* index into groups */
    bool seen;      /* in this round */
    int64_t for_us, keep_us;
    int64_t since_us; /* so without a break */
    int64_t seen_us;  /* so, for the last time */
    int64_t fired_us, resolved_us;
    uint32_t told;          /* BIT(target): its newest message said that this fires */
    uint32_t saying;        /* BIT(target): in the message that is on its way, */
    uint32_t saying_firing; /* ... as firing */
};

struct alert_timing {
    int64_t group_wait_us, group_interval_us, repeat_us;
};

struct alert_target {
    uint64_t id; /* what it is, whatever its place in the list */
    struct alert_timing timing;
    bool busy;         /* a message is on its way */
    uint32_t group;    /* ... of this group */
    uint32_t failures; /* in a row */
    int64_t retry_us;  /* not before this */
    uint64_t sent, failed;
};

struct alert_group {
    bool used;
    char name[ALERT_NAME_MAX];
    struct {
        int64_t look_us; /* when it is next looked at */
        int64_t sent_us; /* the newest message; 0 = none */
    } to[ALERT_TARGETS_MAX];
};

struct alert_book {
    struct alert alerts[ALERT_MAX];
    struct alert_group groups[ALERT_MAX];
    struct alert_target targets[ALERT_TARGETS_MAX];
    uint32_t target_count;
    uint64_t lost;    /* facts that found no room */
    uint64_t changes; /* counts what alert_restore() would want to know */
};

/* What is to be told, in the order of the book. */
struct alert_message {
    uint32_t target, group;
    uint32_t count;
    uint32_t firing; /* of those */
    const struct alert *alerts[ALERT_MAX];
};

/* The targets from now on. What was told to one that stays, by its id, stays told; no message may
 * be on its way. `count` <= ALERT_TARGETS_MAX. */
void alert_set_targets(struct alert_book *b, const uint64_t *ids, const struct alert_timing *timing,
                       uint32_t count, int64_t now_us);

/* A round: everything that is so is said between begin and end. Times never go back. */
void alert_begin(struct alert_book *b);
void alert_say(struct alert_book *b, const struct alert_fact *f, int64_t now_us);
void alert_end(struct alert_book *b, int64_t now_us);
/* Between begin and end: nothing is known but of one group; what belongs to others stays as it is.
 */
void alert_freeze(struct alert_book *b, const char *but_group);

/* What was firing when an earlier one ended: it fires on until `until_us` at least, and who was
 * told (BIT(target)) is not told again. */
void alert_restore(struct alert_book *b, const struct alert_fact *f, int64_t fired_us,
                   uint32_t told, int64_t sent_us, int64_t until_us, int64_t now_us);

/* Is there something to tell the target now, of `only` this group (NULL = any)? Then it is busy
 * until alert_sent(). */
bool alert_due(struct alert_book *b, uint32_t target, const char *only, int64_t now_us,
               struct alert_message *ret);
void alert_sent(struct alert_book *b, uint32_t target, bool ok, int64_t now_us);

static inline bool alert_fires(const struct alert *a)
{
    return a->state == ALERT_FIRING;
}
const char *alert_state_name(enum alert_state s);
