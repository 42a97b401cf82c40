/* Private to control_*.c: the state behind control.h, and what its parts call each other for. */
#pragma once

#include "base/table.h"
#include "core/behavior.h"
#include "core/budget.h"
#include "core/control.h"
#include "core/explain.h"
#include "core/pool.h"
#include "core/rule.h"

/* Clocks end here, so that sums of instants and differences of them always fit. */
#define CONTROL_TIME_MAX_US (INT64_MAX / 4)
/* Rings of points in the common pool, per service that may exist. */
#define CONTROL_SERIES_EACH 10
/* Decisions with words that one step may make. */
#define CONTROL_SAID_MAX CONTROL_ACTIONS_MIN
/* The most words that one rule may remember beyond its own. */
#define CONTROL_MORE_MAX 65536
/* A service that the engine is to list after a restart waits at most this long for the list. */
#define CONTROL_LIST_US (30 * US_PER_S)
/* A stop that has not led to an exit is asked for again; so is all that has no answer. */
#define CONTROL_STOP_AGAIN_US US_PER_MIN
/* Whom the engine ends by its own choice has at least as long before it is asked again. */
#define CONTROL_LEAVE_US (10 * US_PER_MIN)
/* Decisions that change nothing but the reason are recorded at most this often. */
#define CONTROL_REASON_US (10 * US_PER_S)
/* A wall clock that is off by more than this since the last tick has jumped. */
#define CONTROL_JUMP_US US_PER_S
/* No service waits longer for another one. */
#define CONTROL_ORDER_US (5 * US_PER_MIN)
/* START to ready, when none has been seen yet. */
#define CONTROL_START_US (10 * US_PER_S)
#define CONTROL_STARTS 8 /* that are remembered */

/* Chains of services that follow each other are no longer than this. */
#define CONTROL_RANK_MAX 8

/* Crash loops: the delay doubles from the first to the last with each failure in a row. */
#define BACKOFF_FIRST_US (500 * US_PER_MS)
#define BACKOFF_LAST_US (60 * US_PER_S)
#define BACKOFF_SOON_US (10 * US_PER_S) /* an exit so soon after ready counts as a failed start */
#define BACKOFF_WELL_US (30 * US_PER_S) /* ready for so long: the row is broken */

/* What may be wrong with a service, most telling first. */
enum trouble_kind {
    TROUBLE_DRIVER,
    TROUBLE_START,
    TROUBLE_HEALTH,
    TROUBLE_BUDGET,
    TROUBLE_ORDER,
    TROUBLE_RESIZE,
    TROUBLE_PROTECT,
    TROUBLE_MAX,
};

struct trouble {
    bool on;
    bool say; /* an alert is due */
    char text[160];
};

/* Newest known demand, from samples or from the doorbell. */
struct demand {
    int64_t in_flight, queued, connections; /* -1 = unknown */
};

/* Ski rental: instance-time wasted since the surplus began, until now. */
struct waste {
    int64_t sum_us, at_us;
    int32_t surplus; /* instances, since at_us */
};

struct control_service {
    bool used;
    uint32_t slot;
    struct service_conf *conf; /* with as many rules as it has, and no more */

    int32_t desired; /* what was decided */
    int32_t count;   /* what the plan works towards: desired, but in advise mode what runs */
    int32_t asked;   /* what it would be without budget, operator and lease */
    int32_t min_now; /* its minimum, as schedules have moved it */
    uint32_t mark;   /* the demand at which `count` instances are too few for one of its rules */
    int32_t operator_count;
    bool operator_forced;
    bool paused;
    bool leaving;
    int64_t wants_in_us; /* since when its rules want fewer, whatever holds them back; 0 = no */
    int32_t schedule_min, schedule_max;

    bool due;         /* to be decided on */
    bool touched;     /* its instances, or what is wanted of them, have changed */
    bool publish;     /* its pool changed */
    bool alert;       /* a trouble has something to say */
    bool unfinished;  /* something did not fit into the actions of the last step */
    bool decided;     /* at least once */
    bool evaluated;   /* since it was loaded */
    bool demand_seen; /* there was a proxy's word on it at least once */
    uint8_t cause;
    uint32_t said; /* step and place of its newest decision with words; place 0 = none */
    uint64_t said_step;
    int64_t act_next_us;    /* when something of its instances is due */
    int64_t decide_next_us; /* when rules or behavior may say something else by themselves */
    int64_t since_us;       /* when it came */
    uint64_t signature;
    int64_t recorded_us; /* 0 = never */

    /* Who it comes after, and its siblings in a budget, by slot; -1 = none. */
    int32_t after[MODEL_AFTER_MAX];
    int32_t sibling;
    bool shares;     /* a budget */
    bool followed;   /* somebody comes after it */
    bool follows;    /* what others do may change its mind */
    uint8_t rank;    /* 0 = follows nobody by order or ratio; else one more than whom it follows */
    int64_t held_us; /* since when it has waited to scale out, 0 = it does not; and in */
    int64_t held_in_us;
    struct waste waste;
    int8_t spent; /* enum budget_period that cuts it, as spent; -1 = none */

    struct instance *instances; /* caps.instances */
    uint32_t instance_count;
    uint32_t in_state[INSTANCE_STATE_MAX]; /* how many are; those GONE are not counted */
    uint32_t number;                       /* the highest ever used */
    int64_t took_us[CONTROL_STARTS];       /* START to ready of the last ones; 0 = none */
    uint32_t took_at;
    int64_t start_us; /* the longest of these; CONTROL_START_US when there is none */

    uint32_t launches; /* ever */
    uint32_t start_failures;
    uint32_t failure_launch; /* launches at the newest failure that counted */
    int64_t failure_us;      /* its time */
    int64_t backoff_until_us;
    bool driver_down;
    int64_t list_until_us; /* nothing is started or stopped until the engine has listed; 0 = none */
    bool adopting;         /* came with the list still open: takes the count of what is found */

    struct demand demand;
    uint32_t metrics; /* those that have a ring, as bits */
    int64_t stale_us; /* the longest of its series' */
    struct series series[METRIC_MAX];
    uint32_t ring[METRIC_MAX]; /* of the pool, + 1; 0 = none */
    struct behavior_state behavior;
    struct rule_state rule_states[MODEL_RULES_MAX];

    char probe_text[160]; /* why the newest failed probe failed */
    struct trouble troubles[TROUBLE_MAX];
};

/* What is looked at for each service at each tick, close together. */
struct control_wake {
    int64_t next_us;        /* something is due */
    int64_t fresh_until_us; /* samples are news until then: each tick decides */
};

struct control_budget {
    struct budget_conf conf;
    struct budget_state state;
    int32_t first; /* of its services, by slot; -1 = none */
    double rate;   /* what runs, an hour; as of the last step */
};

struct control {
    struct control_caps caps;
    int64_t now_us, wall_us; /* of the newest event */
    int64_t offset_us;       /* wall - now at the newest tick */
    bool jumped;             /* since the tick before */
    uint64_t sequence;       /* of the newest recorded decision */
    uint64_t step;           /* counts control_step()s; not saved */
    bool lease_lost;
    uint64_t token;   /* the lease's; 0 = none, or not held */
    bool driver_down; /* of every service */
    bool stopping, stop_said;
    uint8_t rank_max;  /* of all services */
    bool again;        /* a decision made another service due */
    bool divided;      /* services that share a budget have decided and not yet acted */
    bool unfinished;   /* a service is */
    bool next_changed; /* next_us is to be found anew */
    bool rates_changed;
    int64_t list_until_us; /* for services that come with a configuration after a restart */
    int64_t next_us;       /* the least of all wakes */

    struct service_conf **waiting; /* caps.services: for a slot, while a state is loaded */
    uint32_t waiting_count;
    int32_t *slots; /* caps.services: of a configuration's services */
    struct pool conf_pool;
    struct pool word_pool;
    uint32_t zone_count;
    struct zone_conf zones[MODEL_ZONES_MAX];
    uint32_t budget_count;
    struct control_budget budgets[MODEL_BUDGETS_MAX];

    struct control_service *services; /* caps.services */
    uint32_t top;                     /* no slot from here on is used */
    struct control_wake *wakes;       /* by slot */
    struct rule_peer *peers;          /* by slot; name "" = not used */
    struct table names;               /* services by name */
    uint32_t ring_count, ring_free;   /* no ring below ring_free is free */
    bool *ring_used;
    struct series_point *points; /* ring_count * caps.points */
    struct series_block *blocks; /* ring_count * SERIES_BLOCKS(caps.points) */
    double *scratch;
    struct budget_claim *claims; /* caps.services */
    struct decision *silent;     /* what nobody reads */
    struct decision *said;       /* CONTROL_SAID_MAX, of this step */
    uint32_t said_count;
    struct control_service *understudy; /* of one that is asked without being changed */
    struct decision *view;              /* what it says */
    int64_t *more;                      /* what one of its rules remembers */

    struct actions *out; /* during control_step() only */
};

#define FOR_EACH_SERVICE(s, c)                                                         \
    for (struct control_service *s = (c)->services; s < (c)->services + (c)->top; s++) \
        if (s->used)

#define FOR_EACH_INSTANCE(i, s)                                                              \
    for (struct instance *i = (s)->instances; i < (s)->instances + (s)->instance_count; i++) \
        if (i->state != INSTANCE_GONE)

/* control.c */
void control_mark_due(struct control_service *s, enum event_type cause);
static inline bool control_is_leaving(const struct control *c, const struct control_service *s)
{
    return s->leaving || c->stopping;
}
/* NULL = none. */
static inline struct control_service *control_service(const struct control *c, int32_t slot)
{
    if (slot < 0 || (uint32_t)slot >= c->caps.services || !c->services[slot].used)
        return NULL;
    return &c->services[slot];
}
struct instance *control_find_instance(const struct control_service *s, uint32_t number);
/* Moves an instance, and counts. */
void control_move(struct control *c, struct control_service *s, struct instance *i,
                  enum instance_state to);
/* All that are not gone; pending to warming; draining and stopping. */
uint32_t control_alive(const struct control_service *s);
static inline int32_t control_starting(const struct control_service *s)
{
    return (int32_t)(s->in_state[INSTANCE_PENDING] + s->in_state[INSTANCE_STARTING] +
                     s->in_state[INSTANCE_WARMING]);
}
static inline int32_t control_draining(const struct control_service *s)
{
    return (int32_t)(s->in_state[INSTANCE_DRAINING] + s->in_state[INSTANCE_STOPPING]);
}
/* Its `start_us`, after took_us has changed; its `mark`, after the count or the rules have. */
void control_find_start(struct control_service *s);
void control_find_mark(struct control_service *s);
/* Sets when the service is to be looked at next. */
void control_wake_at(struct control *c, const struct control_service *s, int64_t at_us);

/* control_config.c */
int control_on_config(struct control *c, const struct event *e);
/* An empty service in its slot with the configuration it has, and one that is empty again. */
void control_service_init(struct control *c, struct control_service *s);
void control_service_clear(struct control *c, struct control_service *s);
/* Forgets what is known of it, and leaves the block of its configuration to whoever has it now. */
void control_service_reset(struct control *c, struct control_service *s);
/* The first free one from `*from` on; NULL = none. */
struct control_service *control_free_service(struct control *c, uint32_t *from);
/* Gives it a copy; false = no room. Configurations may have moved. */
bool control_take_conf(struct control *c, struct control_service *s,
                       const struct service_conf *conf);
/* What hangs on names and addresses: the index, who follows whom, peers. */
void control_link_services(struct control *c);
void control_free_rules(struct control_service *s);

/* control_series.c */
/* The metrics that its rules look at, as bits. */
uint32_t control_metrics_of(const struct service_conf *conf);
/* Lets every ring of the service go, or those that nobody looks at. */
void control_free_series(struct control *c, struct control_service *s);
void control_drop_series(struct control *c, struct control_service *s);
/* Gives the service a ring for each metric its rules look at, keeping those it has. */
void control_fit_series(struct control *c, struct control_service *s);
int control_on_samples(struct control *c, const struct event *e);
int control_on_doorbell(struct control *c, const struct event *e);
int control_on_history(struct control *c, const struct event *e);

/* control_event.c: handlers of what happens to instances. 0 or -EINVAL. */
int control_on_started(struct control *c, const struct event *e);
int control_on_start_failed(struct control *c, const struct event *e);
int control_on_probe(struct control *c, const struct event *e);
int control_on_exited(struct control *c, const struct event *e);
int control_on_drained(struct control *c, const struct event *e);
int control_on_leaving(struct control *c, const struct event *e);
int control_on_resized(struct control *c, const struct event *e);
/* Of an engine that chooses: this one goes, which answers a request for one fewer, if there is one
 * in another's name. That one stays; of several the one with the lowest number. */
void control_answer(struct control_service *s, const struct instance *i);
/* The engine has told its shape, if it is not 0. */
void control_note_shape(struct instance *i, uint64_t shape);

/* control_engine.c: what an engine can do that others cannot, and what it does by itself */
/* One fewer, in the name of this one; false = no room for the action. */
bool control_ask_fewer(struct control *c, struct control_service *s, struct instance *i);
/* Gives it the shape that is configured, if it has another one. */
void control_fit_shape(struct control *c, struct control_service *s, struct instance *i);
/* When that has to be said again; US_NEVER. */
int64_t control_shape_next_us(const struct control *c, const struct control_service *s,
                              const struct instance *i);
/* Keeps the troubles that come of it. */
void control_watch_engine(const struct control *c, struct control_service *s);

/* control_restart.c: what the engine says after we, or it, were away. */
int control_on_found(struct control *c, const struct event *e);
int control_on_found_all(struct control *c, const struct event *e);
int control_on_driver(struct control *c, const struct event *e);
int control_on_lease(struct control *c, const struct event *e);
int control_on_restart(struct control *c, const struct event *e);
/* The monotonic clock began anew (the machine was restarted): every instant that is remembered
 * moves to now, and what depends on the past begins anew too. */
void control_rebase(struct control *c, int64_t now_us);

/* control_operator.c */
int control_on_operator(struct control *c, const struct event *e);

/* control_fail.c: crash loops, and what is wrong. */
void control_trouble(struct control_service *s, enum trouble_kind k, const char *format, ...)
    _printf_(3, 4);
void control_trouble_end(struct control_service *s, enum trouble_kind k);
static inline void control_trouble_over(struct control_service *s, enum trouble_kind k)
{
    if (s->troubles[k].on)
        control_trouble_end(s, k);
}
const char *control_trouble_text(const struct control_service *s); /* "" = all well */
/* An instance failed to start, or ended by itself. `what` says how, for people. */
void control_start_failed(struct control *c, struct control_service *s, const struct instance *i,
                          const char *what);
/* Breaks the row of failures when an instance has been well for long enough. */
void control_check_well(struct control *c, struct control_service *s);
int64_t control_well_us(const struct control_service *s); /* when that may be; US_NEVER */

/* control_decide.c */
void control_rule_context(const struct control *c, const struct control_service *s,
                          struct rule_context *ret);
void control_decide(struct control *c, struct control_service *s);
/* What it would say now, without a change of anything. */
const struct decision *control_rehearse(const struct control *c, const struct control_service *s);

/* control_limit.c: what holds a count back, one function each. They may remember what a decision
 * needs (waste, waiting times), so that twice at one instant is as once. */
/* As many of `current` as are not kept free. */
int32_t control_without_headroom(const struct service_conf *conf, int32_t current);
void control_add_headroom(const struct service_conf *conf, struct opinion *opinions);
/* Of a service whose changes cost something. */
void control_limit_change(struct control_service *s, const struct rule_context *ctx,
                          struct decision *d);
/* Of one that comes after others, or that others come after. */
void control_limit_order(const struct control *c, struct control_service *s, int32_t max,
                         struct decision *d);
/* Of one that has a budget, or of an understudy of it. */
void control_limit_budget(const struct control *c, struct control_service *s,
                          struct budget_state *state, struct decision *d);
/* A decision was made: pays for the instances that go, says what it waited for, wakes those who
 * share a budget with it. */
void control_limits_settle(struct control *c, struct control_service *s, int32_t before);

/* control_budget.c */
/* Who shares a budget with it gets or gives, in the same step. */
void control_budget_settle(struct control *c, struct control_service *s);
/* Time has passed, and what runs costs. */
void control_spend(struct control *c, int64_t dt_us);

/* control_act.c */
/* NULL when the caller's array is full. */
struct action *control_emit(struct control *c, const struct control_service *s,
                            enum action_type type);
struct action *control_emit_for(struct control *c, const struct control_service *s,
                                const struct instance *i, enum action_type type);
static inline bool control_has_room(const struct control *c)
{
    return c->out->count < c->out->cap;
}
/* When a start that is under way at `now_us` is to be given up. */
int64_t control_start_deadline_us(const struct control_service *s, const struct instance *i,
                                  int64_t now_us);
/* Decides what is due, and then lets everything follow from it. */
void control_settle(struct control *c, struct control_service *s);
void control_follow(struct control *c, struct control_service *s);
