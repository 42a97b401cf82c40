/* What an election's world consists of. Private to sim/elect/. */
#pragma once

#include "base/heap.h"
#include "base/us.h"
#include "sim/elect/elect_sim.h"
#include "sim/elect/etcd_model.h"

#define ITEMS_MAX 8192
#define INSTANCES_MAX 4096
#define TICK_US (100 * US_PER_MS) /* etcd looks for what has expired */

enum elect_fault {
    FAULT_DELAY,  /* messages take up to a second */
    FAULT_LOSS,   /* some never arrive */
    FAULT_REPEAT, /* some arrive twice */
    FAULT_SLOW,   /* etcd takes seconds */
    FAULT_DEAF,   /* a watch says nothing any more */
    FAULT_CUT,    /* from here on they come and go: etcd has no majority for a while */
    FAULT_STALE,  /* etcd's leader is cut off from the others, but not from some of us */
    FAULT_ALONE,  /* one of us is cut off from etcd, but not from the engine */
    FAULT_PAUSE,  /* a process is stopped and goes on */
    FAULT_KILL,   /* killed, or resigned, and started again */
    FAULT_MAX,
};

enum item_kind {
    ITEM_FREE,
    ITEM_TICK,
    ITEM_FAULT, /* something goes wrong, or is over */
    ITEM_TIMER, /* of a member; so are those that follow */
    ITEM_START,
    ITEM_WORK,    /* it does something with the engine, if it may */
    ITEM_EVENT,   /* etcd's word arrives */
    ITEM_REQUEST, /* arrives at etcd */
    ITEM_ACT,     /* arrives at the engine */
};

struct item {
    struct heap_item due; /* true time */
    enum item_kind kind;
    int member;
    unsigned life; /* of the member's process that it is meant for */
    struct elect_request request;
    struct elect_event event;
    struct {
        enum elect_fault kind;
        bool over; /* it ends */
    } fault;
    struct {
        uint64_t token, number;
        int64_t sent_us;
    } act;
};

struct member {
    struct elect elect;
    int64_t drift_ppm, boot_us; /* its clock */
    unsigned life;              /* counts processes; even = none runs */
    uint64_t timer;             /* sequence of the one that counts */
    bool held;
    bool paused, alone, at_stale, deaf;
    uint64_t watch;    /* id of its stream; 0 = none */
    uint64_t known;    /* instances that it has created, or found when it began to lead */
    uint64_t requests; /* since the weather became calm */
};

struct elect_world {
    const struct elect_sim_options *options;
    struct elect_sim_report *report;
    struct rng rng;
    int64_t now_us, ttl_us;
    struct heap heap;
    struct heap_item *heap_items[ITEMS_MAX];
    struct item items[ITEMS_MAX];
    size_t free_count;
    uint16_t free_items[ITEMS_MAX];
    uint32_t faults; /* that this seed knows */
    bool calm;
    struct etcd_model etcd;
    int member_count;
    struct member members[ETCD_MEMBERS_MAX];
    int64_t settled_by_us;   /* a leader is due */
    int64_t last_arrival_us; /* of what was sent before it became calm */
    int calm_leader;         /* who leads since then; -1 = not yet */
    uint64_t newest_token;
    int64_t newest_since_us;
    uint64_t created, effects[INSTANCES_MAX];
};

struct item *world_add(struct elect_world *w, enum item_kind kind, int member, int64_t at_us);
bool world_has(struct elect_world *w, enum elect_fault fault); /* here and now */
int64_t world_below(struct elect_world *w, int64_t bound_us);  /* a random 0 <= x < bound */
int64_t member_clock_us(const struct elect_world *w, const struct member *m);

/* faults.c */
void fault_plan(struct elect_world *w); /* what will go wrong from now on */
void fault_happen(struct elect_world *w, const struct item *it);
void fault_end_all(struct elect_world *w);
void fault_wake(struct elect_world *w, int member); /* a stopped process goes on */

/* member.c */
void member_start(struct elect_world *w, int n);
void member_kill(struct elect_world *w, int n);
void member_step(struct elect_world *w, int n, struct elect_event *v);
void member_work(struct elect_world *w, int n);
void member_etcd_changed(struct elect_world *w);
void request_arrive(struct elect_world *w, const struct item *it);
void act_arrive(struct elect_world *w, const struct item *it);

/* laws.c */
void law_broken(struct elect_world *w, const char *law, const char *format, ...) _printf_(3, 4);
void law_check_one(struct elect_world *w);
void law_check_leader(struct elect_world *w);
void law_check_token(struct elect_world *w, const struct member *m);
void law_check_traffic(struct elect_world *w, int64_t calm_us);
