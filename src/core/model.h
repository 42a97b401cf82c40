/* The model: what a service is told to be (struct service_conf, from the configuration) and what is
 * known of it (struct service, struct instance: owned by control, read by everyone through
 * control.h's views). Plain data without pointers into anything that can go away: a whole
 * configuration is copied into the core when it arrives. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/behavior.h"
#include "core/rule.h"

#define MODEL_NAME_MAX 64      /* the final NUL included; instance names add "-<number>" */
#define MODEL_SERVICES_MAX 256 /* of a configuration; the core alone can do more */
#define MODEL_RULES_MAX 16
#define MODEL_COUNT_MAX \
    1000 /* max of a service; with surge and draining ones twice as many exist */
#define MODEL_ZONES_MAX 16
#define MODEL_BUDGETS_MAX 16
#define MODEL_AFTER_MAX 4
#define MODEL_CARBON_MAX 8

enum service_mode {
    SERVICE_AUTO,   /* decide and act */
    SERVICE_ADVISE, /* decide and explain, act on nothing */
};

/* Thresholds of health: see health.h. */
struct health_conf {
    uint32_t fail_after;      /* consecutive failed probes until a ready instance is failing; 1.. */
    uint32_t pass_after;      /* consecutive passed probes until it is ready again; 1.. */
    int64_t replace_after_us; /* failing for this long: stopped and replaced; US_NEVER = never */
};

/* A compute budget that services share. Ceilings are money in any one currency; 0 = none. An hour,
 * a day and a month begin with the zone's. See budget.h. */
struct budget_conf {
    char name[MODEL_NAME_MAX];
    char currency[8]; /* for people; "" = none */
    double per_hour, per_day, per_month;
    uint32_t zone; /* index into model_conf.zones */
};

/* Grams of CO2 per kWh: a constant, and windows in which it is another. Of overlapping windows the
 * one that opened last counts. */
struct carbon_conf {
    double grams;
    uint32_t window_count;
    struct {
        struct cron cron;
        int64_t for_us;
        uint32_t zone;
        double grams;
    } windows[MODEL_CARBON_MAX];
};

struct service_conf {
    char name[MODEL_NAME_MAX];
    enum service_mode mode;
    int32_t min;       /* 0..max */
    int32_t max;       /* 1..MODEL_COUNT_MAX, or 0 for a service that is to have none */
    int32_t initial;   /* count when first seen; -1 = min, at least 1 unless min is 0 */
    uint64_t template; /* hash of all that an instance is made of; a change replaces instances */
    int32_t surge;     /* how many more than desired may exist while instances are replaced; 1.. */
    /* The engine stops the instance we name. Else it is asked for one fewer, says itself who goes,
     * and replaces what is outdated or ill as it likes: nobody can be protected there. */
    bool can_choose_victim;
    bool can_resize;          /* a running instance can be given another shape */
    bool headroom_ratio;      /* `headroom` is a share */
    uint64_t shape;           /* hash of what can be changed while it runs; 0 = nothing can */
    int64_t start_within_us;  /* ready within this, or it is a failed start */
    int64_t launch_within_us; /* and before that, STARTED within this of START; 0 = both in one */
    int64_t drain_us;         /* connections of a draining instance are cut after this */
    int64_t window_in_us; /* scale-in looks at this window, default 60 s; scale-out looks at now */
    struct health_conf health;
    struct behavior_conf behavior;
    /* Kept free beyond what the rules that measure load need: instances, or a share of the need. */
    double headroom;
    int64_t
        change_cost_us;   /* instance-time that a scale-in must save before it is made; 0 = none */
    double cost;          /* of one instance for an hour; 0 = unknown */
    double watts;         /* of one instance; 0 = unknown */
    double budget_weight; /* > 0, default 1: the smaller, the sooner it yields */
    int32_t budget;       /* index into model_conf.budgets; -1 = none */
    /* Scales out only when these have all they want, and in before they do. */
    uint32_t after_count;
    char after[MODEL_AFTER_MAX][MODEL_NAME_MAX];
    uint32_t metric_count; /* METRIC_CUSTOM + n is metrics[n] */
    struct metric_conf metrics[METRIC_CUSTOM_MAX];
    /* The last member: of what the core keeps, only as many are there as it has. */
    uint32_t rule_count;
    struct rule_conf rules[MODEL_RULES_MAX];
};

struct model_conf {
    uint32_t service_count;
    struct service_conf *services; /* the event's; copied */
    uint32_t zone_count;
    struct zone_conf zones[MODEL_ZONES_MAX];
    uint32_t budget_count;
    struct budget_conf budgets[MODEL_BUDGETS_MAX];
    struct carbon_conf carbon;
};

enum instance_state {
    INSTANCE_PENDING,  /* decided, not yet asked for (back-off, or the engine is down) */
    INSTANCE_STARTING, /* asked for; runs perhaps */
    INSTANCE_WARMING,  /* runs, first probe passed, not yet given traffic */
    INSTANCE_READY,
    INSTANCE_FAILING,  /* was ready, fails its probes; out of the pool */
    INSTANCE_STANDBY,  /* warm pool */
    INSTANCE_DRAINING, /* finishes what it has */
    INSTANCE_STOPPING, /* asked to end */
    INSTANCE_GONE,     /* the slot is free */
    INSTANCE_STATE_MAX,
};

struct instance {
    enum instance_state state;
    uint32_t number;     /* within its service; 1.., never used again; the name is service-number */
    uint32_t launch;     /* how many of its service were launched before it, and itself */
    uint64_t template;   /* what it was started from */
    uint64_t shape;      /* what it has, or is believed to have */
    uint64_t resizing;   /* the shape it is being given; 0 = none */
    int64_t told_us;     /* when it was last told so, or asked for: `resizing`, `asked` */
    int64_t state_us;    /* when it entered its state */
    int64_t started_us;  /* when START was issued */
    int64_t deadline_us; /* starting: a failed start from then on; draining: stopped then, drained
                            or not; stopping: asked again then */
    int64_t ready_us;    /* when it first became ready; 0 = never was */
    uint32_t probes_failed; /* in a row */
    uint32_t probes_passed;
    bool protected_; /* the operator: never chosen as a victim */
    bool replace;    /* leaves as soon as another is ready in its place */
    bool evict;      /* the operator: leaves now */
    bool asked;      /* the engine was asked for one fewer, and this one is as good as any: it goes
                        on until the engine has said whom it takes */
    bool running;    /* the engine has said that it runs */
    bool found;      /* named since the engine began to list what runs */
    bool again;      /* its last action may be lost (the controller was away): to be said again */
    bool timed;      /* from START until now somebody has looked: its start can be measured */
    /* Newest samples, per metric_info.per_instance metrics; sample_us = 0 for none. */
    int64_t sample_us[METRIC_BUILTIN_MAX];
    double sample[METRIC_BUILTIN_MAX];
};

const char *instance_state_name(enum instance_state s);
/* The only way to change a state; asserts that the move is allowed. */
void instance_move(struct instance *i, enum instance_state to, int64_t now_us);
/* Counts as capacity in decisions: pending to ready, failing (its replacement is itself, until it
 * is given up), standby; but nobody in whose name one fewer was asked for. */
bool instance_counts(const struct instance *i);
/* Does the engine owe an answer that may have been lost: to a stop, a resize, one fewer? */
bool instance_awaits(const struct instance *i);

/* Neither given up nor gone, and made of something else than what is configured now. Protected
 * ones stay as they are. */
bool instance_outdated(const struct instance *i, uint64_t template);

/* What is known of a service: counts for those who look. */
struct service_view {
    uint32_t slot;                   /* stable for the service's life, over reloads */
    const struct service_conf *conf; /* not to be copied: it ends with its last rule */
    int32_t desired;
    int32_t ready;
    int32_t starting; /* pending + starting + warming */
    int32_t draining; /* draining + stopping */
    int32_t failing;
    int32_t operator_count; /* -1 = none: rules decide */
    bool operator_forced;   /* over max */
    bool paused;
    bool leaving;         /* removed from the configuration, or the whole program stops */
    bool unlisted;        /* its engine is still to say what runs */
    bool driver_down;     /* its engine does not answer: nothing is started or stopped */
    int32_t schedule_min; /* min and max as a schedule has moved them now; -1 = not */
    int32_t schedule_max;
    int64_t backoff_until_us; /* no start before; 0 = none */
    uint32_t start_failures;  /* in a row */
    /* Why the newest start failed, and not all that are wanted have become ready since; NULL = all
     * is well. Until the next step. */
    const char *start_trouble;
    int64_t start_us;        /* START to ready: the longest of the last 8; 10 s when none was */
    char trouble[160];       /* why it is not as it should be, for people; "" = all well */
    uint32_t instance_count; /* slots at `instances`, those GONE included */
    const struct instance *instances;
};
