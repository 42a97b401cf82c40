/* Private to control_*.c: the state behind control.h, and what its parts call each other for. */
#pragma once

#include "core/behavior.h"
#include "core/control.h"
#include "core/explain.h"
#include "core/rule.h"

/* Clocks end here, so that sums of instants and differences of them always fit. */
#define CONTROL_TIME_MAX_US (INT64_MAX / 4)
/* Rings of points in the common pool, per service that may exist. */
#define CONTROL_SERIES_EACH 8
/* A service that the engine is to list after a restart waits at most this long for the list. */
#define CONTROL_LIST_US (30 * US_PER_S)
/* A stop that has not led to an exit is asked for again. */
#define CONTROL_STOP_AGAIN_US US_PER_MIN
/* Decisions that change nothing but the reason are recorded at most this often. */
#define CONTROL_REASON_US (10 * US_PER_S)

/* Crash loops: the delay doubles from the first to the last with each failure in a row. */
#define BACKOFF_FIRST_US (500 * US_PER_MS)
#define BACKOFF_LAST_US (60 * US_PER_S)
#define BACKOFF_SOON_US (10 * US_PER_S) /* an exit so soon after ready counts as a failed start */
#define BACKOFF_WELL_US (30 * US_PER_S) /* ready for so long: the row is broken */

/* What may be wrong with a service, most telling first. */
enum trouble_kind { TROUBLE_DRIVER, TROUBLE_START, TROUBLE_HEALTH, TROUBLE_MAX };

struct trouble {
    bool on;
    bool say; /* an alert is due */
    char text[160];
};

/* Newest known demand, from samples or from the doorbell. */
struct demand {
    int64_t in_flight, queued, connections; /* -1 = unknown */
};

struct control_service {
    bool used;
    uint32_t slot;
    struct service_conf conf;

    int32_t desired; /* what was decided */
    int32_t count;   /* what the plan works towards: desired, but in advise mode what runs */
    int32_t operator_count;
    bool operator_forced;
    bool paused;
    bool leaving;
    int32_t schedule_min, schedule_max;

    struct instance *instances; /* caps.instances */
    uint32_t instance_count;
    uint32_t number; /* the highest ever used */

    uint32_t launches; /* ever */
    uint32_t start_failures;
    uint32_t failure_launch; /* launches at the newest failure that counted */
    int64_t failure_us;      /* its time */
    int64_t backoff_until_us;
    bool driver_down;
    int64_t list_until_us; /* nothing is started or stopped until the engine has listed; 0 = none */
    bool adopting;         /* came with the list still open: takes the count of what is found */
    char probe_text[160];  /* why the newest failed probe failed */
    struct trouble troubles[TROUBLE_MAX];

    struct series series[METRIC_MAX];
    uint32_t ring[METRIC_MAX]; /* of the pool, + 1; 0 = none */
    struct demand demand;
    struct rule_state rule_states[MODEL_RULES_MAX];
    struct behavior_state behavior;

    bool due;        /* to be decided on */
    bool publish;    /* its pool changed */
    bool unfinished; /* something did not fit into the actions of the last step */
    uint8_t cause;
    int64_t decide_next_us; /* when rules or behavior may say something else by themselves */
    bool decided;           /* at least once */
    uint64_t signature;
    int64_t recorded_us; /* 0 = never */
    struct decision decision;
};

struct control {
    struct control_caps caps;
    int64_t now_us, wall_us; /* of the newest event */
    uint64_t sequence;       /* of the newest recorded decision */
    bool lease_lost;
    bool driver_down; /* of every service */
    bool stopping, stop_said;
    int64_t list_until_us; /* for services that come with a configuration after a restart */

    uint32_t conf_count; /* the newest configuration */
    struct service_conf *confs;
    uint32_t zone_count;
    struct zone_conf zones[MODEL_ZONES_MAX];

    struct control_service *services; /* caps.services */
    uint32_t ring_count;
    bool *ring_used;
    struct series_point *points; /* ring_count * caps.points */
    double *scratch;

    struct actions *out; /* during control_step() only */
};

#define FOR_EACH_SERVICE(s, c)                                                                   \
    for (struct control_service *s = (c)->services; s < (c)->services + (c)->caps.services; s++) \
        if (s->used)

#define FOR_EACH_INSTANCE(i, s)                                                              \
    for (struct instance *i = (s)->instances; i < (s)->instances + (s)->instance_count; i++) \
        if (i->state != INSTANCE_GONE)

/* control.c */
void control_mark_due(struct control_service *s, enum event_type cause);
bool control_is_leaving(const struct control *c, const struct control_service *s);
struct control_service *control_service(const struct control *c, int32_t slot); /* NULL = none */
struct instance *control_find_instance(const struct control_service *s, uint32_t number);
/* Lets every ring of the service go. */
void control_free_series(struct control *c, struct control_service *s);
/* Gives the service a ring for each metric its rules look at, keeping those it has. */
void control_fit_series(struct control *c, struct control_service *s);

/* control_config.c */
int control_on_config(struct control *c, const struct event *e);
/* An empty service in a free slot, and one that is empty again. */
void control_service_init(struct control *c, struct control_service *s,
                          const struct service_conf *conf);
void control_service_clear(struct control *c, struct control_service *s);
/* Gives a slot to each service of c->confs that has none. */
void control_add_services(struct control *c);

/* control_event.c: handlers of what happens to instances. 0 or -EINVAL. */
int control_on_samples(struct control *c, const struct event *e);
int control_on_doorbell(struct control *c, const struct event *e);
int control_on_started(struct control *c, const struct event *e);
int control_on_start_failed(struct control *c, const struct event *e);
int control_on_probe(struct control *c, const struct event *e);
int control_on_exited(struct control *c, const struct event *e);
int control_on_drained(struct control *c, const struct event *e);

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
void control_trouble_over(struct control_service *s, enum trouble_kind k);
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

/* control_act.c */
/* NULL when the caller's array is full. */
struct action *control_emit(struct control *c, const struct control_service *s,
                            enum action_type type);
bool control_has_room(const struct control *c);
/* Everything that follows for this service now. */
void control_settle(struct control *c, struct control_service *s);
int64_t control_act_next_us(const struct control *c, const struct control_service *s);
