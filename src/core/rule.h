/* Rules: each kind gives an opinion on the desired count. One kind, one file rule_<kind>.c, one
 * const table; rule.c lists them. A rule may keep a little state of its own between evaluations. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "core/cron.h"
#include "core/metric.h"
#include "core/series.h"

enum rule_kind {
    RULE_TARGET,
    RULE_THRESHOLD,
    RULE_STEP,
    RULE_SCHEDULE,
    RULE_CONCURRENCY,
    RULE_QUEUE,
    RULE_BUSYNESS,
    RULE_PREDICTIVE,
    RULE_SLO,
    RULE_RATIO,
    RULE_KIND_MAX,
};

struct rule_metric {
    enum metric metric;
    enum series_stat stat; /* default SERIES_AVG */
    int64_t window_us;     /* 0 = the newest sample */
};

/* desired = ceil(current * metric / value) for utilisations, ceil(total / value) for totals.
 * Source: Kubernetes' HPA v2, replica_calculator.go; see rule_target.c. */
struct rule_target_conf {
    struct rule_metric metric;
    double value;        /* > 0 */
    double tolerance_up; /* dead band over and under 1; default 0.1 */
    double tolerance_down;
    int64_t window_down_us; /* 0 = the service's window_in_us */
    /* headroom: auto. `value` is what an instance can carry, and how much is kept free is learnt:
     * as far as the load has been seen to rise while an instance starts. See lookahead.h. */
    bool headroom_auto;
};

struct rule_threshold_conf {
    struct rule_metric metric;
    bool has_above, has_below; /* at least one; both = two independent conditions */
    double above, below;
    int64_t for_us;     /* the condition must hold this long without a gap */
    double add, remove; /* instances, or a ratio of the current count (rounded away from 0) */
    bool add_ratio, remove_ratio;
};

enum rule_step_type { RULE_STEP_CHANGE, RULE_STEP_PERCENT, RULE_STEP_EXACT };
#define RULE_STEPS_MAX 20

struct rule_step {
    double lower, upper; /* relative to the threshold; -inf / +inf when open */
    double adjustment;
};

/* AWS step scaling. */
struct rule_step_conf {
    struct rule_metric metric;
    double threshold;
    int64_t for_us;    /* breach must hold this long */
    int64_t warmup_us; /* instances started within it count as added already */
    enum rule_step_type type;
    int32_t min_magnitude; /* least change with RULE_STEP_PERCENT; 0 = none */
    /* A step holds when so many of the window's values lie in its bounds (Nomad's
     * within_bounds_trigger); 0 = when the statistic does. Of several the first counts. */
    uint32_t points;
    uint32_t step_count;
    struct rule_step steps[RULE_STEPS_MAX];
};

/* From each time the cron expression matches, for `for_us`, the service's min and max (or its
 * count) are these. -1 = leave. Of overlapping windows the one that opened last wins. */
struct rule_schedule_conf {
    struct cron cron;
    int64_t for_us;
    uint32_t zone; /* index into model_conf.zones */
    int32_t min, max, count;
};

/* Knative's KPA: a stable and a panic window over concurrency or arrivals. */
struct rule_concurrency_conf {
    enum metric metric;     /* METRIC_CONCURRENCY, or METRIC_RPS */
    double value;           /* what one instance can carry; default 100 (rps: 200) */
    double utilization;     /* aim at this share of it; default 0.7 */
    int64_t stable_us;      /* default 60 s */
    int64_t panic_us;       /* default a tenth of stable_us */
    double panic_threshold; /* panic when this many times the ready ones are needed; default 2 */
    double up_rate;         /* at most so many times the ready ones; default 1000 */
    double down_rate;       /* at least the ready ones through this; default 2 */
    double burst_capacity;  /* default 211; -1 = all of it, 0 = none */
    int64_t grace_us;       /* to zero only after so long without work beyond stable_us; 30 s */
    int64_t delay_us;       /* scale-in: the most that was wanted within this; default 0 */
    int32_t activation;     /* from zero to at least so many; default 1 */
};

/* A backlog, as KEDA: zero to one by activation, then so much of it for each instance. */
struct rule_queue_conf {
    struct rule_metric metric;
    bool age;            /* the metric is the age of the oldest in s: scales the count */
    double value;        /* length (or age) that one instance is to have; > 0 */
    double activation;   /* active while the metric is above this; default 0 */
    int32_t least;       /* while active at least so many; default 1 (KEDA's min, with idle 0) */
    int64_t cooldown_us; /* to zero only after so long inactive; default 300 s */
};

/* uWSGI's cheaper_busyness. */
struct rule_busyness_conf {
    double slots;          /* requests that an instance can do at a time; default 1 */
    double most, least;    /* busyness above and below which to move; default 0.5, 0.25 */
    int64_t overload_us;   /* a cycle; default 3 s */
    int32_t step;          /* instances to add; default 1 */
    int32_t multiplier;    /* cycles between two stops, to begin with; default 10 */
    int32_t penalty;       /* cycles more after a stop that was taken back too soon; default 2 */
    int32_t backlog_alert; /* requests waiting: an emergency above this; default 33 */
    int32_t backlog_step;  /* instances to add then; default 1 */
    int32_t backlog_multiplier; /* cycles without a stop after an emergency; default 3 */
    int64_t backlog_nonzero_us; /* any backlog for so long is one; default 60 s */
};

/* Forecasts the load over the measured start time and a margin; adds only. See forecast.h. */
struct rule_predictive_conf {
    struct rule_metric metric; /* a total; default METRIC_CONCURRENCY */
    double value;              /* what one instance is to carry */
    int64_t margin_us;         /* default 60 s */
    bool forecast_only;        /* says what it would want, and wants nothing */
};

/* "p99 below 250ms", and nothing else. */
struct rule_slo_conf {
    enum metric metric; /* METRIC_LATENCY_P50, _P95 or _P99 */
    double below_s;
    double cost_max; /* of all instances for an hour; 0 = no ceiling */
};

/* What a fallback counts as: KEDA's behaviors of the same names. */
enum rule_fallback {
    RULE_FALLBACK_STATIC,    /* at least `fallback` */
    RULE_FALLBACK_CURRENT,   /* what there is */
    RULE_FALLBACK_IF_HIGHER, /* the larger of the two */
    RULE_FALLBACK_IF_LOWER,  /* the smaller of the two */
};

/* So many instances for those of another service: ceil(count of it / per). */
struct rule_ratio_conf {
    char service[64];
    double per; /* > 0 */
};

struct rule_conf {
    enum rule_kind kind;
    char name[64]; /* as explanations show it: "target concurrency 20" */
    /* Unknown for this long: at least `fallback` are wanted. 0 = never. It is a floor and nothing
     * more: scale-in stays blocked, because unknown never causes it. */
    int64_t fallback_after_us;
    int32_t fallback;
    enum rule_fallback fallback_as;
    union {
        struct rule_target_conf target;
        struct rule_threshold_conf threshold;
        struct rule_step_conf step;
        struct rule_schedule_conf schedule;
        struct rule_concurrency_conf concurrency;
        struct rule_queue_conf queue;
        struct rule_busyness_conf busyness;
        struct rule_predictive_conf predictive;
        struct rule_slo_conf slo;
        struct rule_ratio_conf ratio;
    };
};

#define RULE_ABSTAIN INT32_MIN /* no opinion in this direction */

/* What a rule thinks. Law 1: scale out to the largest `out`; scale in to the largest `in`, only
 * when at least one is below current and nobody blocks. */
struct opinion {
    int32_t out;   /* needs at least this many now, or RULE_ABSTAIN */
    int32_t in;    /* would be content with this many, or RULE_ABSTAIN */
    bool block_in; /* its metric is unknown: no scale-in, whatever the others say */
    bool known;
    double value;                        /* the metric as it was used; meaningless unless known */
    int32_t set_min, set_max, set_count; /* a schedule's; RULE_ABSTAIN = leaves it */
    int64_t set_since_us;                /* wall time its window opened; 0 = not open */
    char text[160];                      /* why, for people */
};

/* What a rule remembers between evaluations: plain words, to be saved and restored as they are.
 * Zeroed = remembers nothing. What they mean is the kind's own business. */
#define RULE_STATE_WORDS 8
#define RULE_STATE_UNKNOWN (RULE_STATE_WORDS - 1) /* rule.c's: unknown since; 0 = it is known */
struct rule_state {
    int64_t word[RULE_STATE_WORDS]; /* each at least -1 */
    /* As many words more as rule_ops.more_words asks for; control's, zeroed to begin with, saved
     * and restored as they are: integers and doubles only, no pointers. Words from a file may be
     * anything: what they say is checked before it is used as an index or a size. */
    int64_t *more;
    uint32_t more_count;
};

struct instance;
struct history;

/* Another service, for rules that follow one. */
struct rule_peer {
    const char *name;
    int32_t desired, ready;
};

/* All a rule may look at. Pointers are read during the call only. */
struct rule_context {
    int64_t now_us, wall_us;
    int32_t current;             /* desired count as it stands */
    int32_t ready;               /* instances that are ready */
    int32_t starting;            /* pending + starting + warming */
    int64_t window_in_us;        /* service_conf's */
    int64_t start_us;            /* START to ready, as measured (the longest of the last 8); 10 s
                                    when none was */
    double cost;                 /* service_conf's */
    bool words;                  /* is anybody going to read the texts? See rule_say() */
    const struct series *series; /* [METRIC_MAX], of the service as a whole, by metric */
    const struct metric_conf *metrics; /* the names of its custom ones */
    const struct instance *instances;
    uint32_t instance_count; /* slots, those GONE included */
    const struct zone_conf *zones;
    uint32_t zone_count;
    const struct rule_peer *peers; /* the other services */
    uint32_t peer_count;
    double *scratch; /* as many doubles as the largest series has points, and >= instance_count */
};

/* One per kind, in rule.c's list. Evaluating twice at one instant with the same context is the same
 * as once: control decides without words, and says it again with words when it is news. */
struct rule_ops {
    const char *name; /* as people write it: "target" */
    /* `out` and `in` say how many the load needs: headroom comes on top, and ctx->current is
     * without it, so that a dead band lies around the need. */
    bool measures;
    /* How many words of rule_state.more it needs; NULL = none. */
    uint32_t (*more_words)(const struct rule_conf *r);
    /* Past values of a metric, when the service is new to this controller. NULL = no use for them.
     */
    void (*learn)(const struct rule_conf *r, struct rule_state *state, const struct history *h,
                  int64_t wall_us);
    /* The metric it looks at; it may look at METRIC_CONCURRENCY without naming it. METRIC_MAX or
     * NULL = none. Several: asked with n = 0, 1, ... until METRIC_MAX. */
    enum metric (*metric)(const struct rule_conf *r, uint32_t n);
    void (*eval)(const struct rule_conf *r, struct rule_state *state,
                 const struct rule_context *ctx, struct opinion *ret);
    /* NULL = the kind never asks for more because there are fewer. */
    bool (*asks_out)(const struct rule_conf *r, const struct opinion *o,
                     const struct rule_context *ctx, int32_t count, double *ret_value);
    /* The most in-flight + queued that `count` instances can have without it asking for more. NULL
     * = it never looks at that; +inf = this one does not. */
    double (*most)(const struct rule_conf *r, int32_t count);
    /* NULL = only new samples or new counts change its opinion. */
    int64_t (*next_us)(const struct rule_conf *r, const struct rule_state *state,
                       const struct rule_context *ctx);
};

extern const struct rule_ops *const rule_kinds[RULE_KIND_MAX];
static inline const struct rule_ops *rule_ops(enum rule_kind k)
{
    assert((unsigned)k < RULE_KIND_MAX);
    return rule_kinds[k];
}
const char *rule_kind_name(enum rule_kind k);

/* An opinion on the count. Deterministic in its arguments; changes nothing but `state`. */
void rule_eval(const struct rule_conf *r, struct rule_state *state, const struct rule_context *ctx,
               struct opinion *ret);
/* With `count` instances and today's load, would the rule that just gave opinion `o` ask to scale
 * out at once (its `for` not waited for)? `ret_value` is the metric as projected, and is set when
 * the answer is yes. */
bool rule_asks_out(const struct rule_conf *r, const struct opinion *o,
                   const struct rule_context *ctx, int32_t count, double *ret_value);
/* When (monotonic) the opinion may change without any new sample: a `for` that ends, a window that
 * opens or closes, a warm-up that is over. US_NEVER = never. */
int64_t rule_next_us(const struct rule_conf *r, const struct rule_state *state,
                     const struct rule_context *ctx);
/* In-flight + queued from which on `count` instances are too few for this rule; UINT32_MAX when it
 * does not look at concurrency. */
uint32_t rule_mark(const struct rule_conf *r, int32_t count);

/* An opinion that says nothing: abstains everywhere. Kinds start from it. */
void rule_opinion_init(struct opinion *ret);
/* Formats into ret->text when somebody will read it, and else does nothing. Whatever it takes to
 * make its arguments belongs behind `if (ctx->words)` too. */
void rule_say(const struct rule_context *ctx, struct opinion *ret, const char *format, ...)
    _printf_(3, 4);
/* As metric_name() and metric_format(), for the service's own metrics as well. */
const char *rule_metric_name(const struct rule_context *ctx, enum metric m);
static inline enum metric_nature rule_metric_nature(const struct rule_context *ctx, enum metric m)
{
    if (m >= METRIC_CUSTOM && m < METRIC_MAX && ctx->metrics)
        return ctx->metrics[m - METRIC_CUSTOM].global ? METRIC_GLOBAL : METRIC_TOTAL;
    return metric_nature(m);
}
/* The rule's metric now, over its own statistic and window; 0 or -ENODATA. */
int rule_metric_value(const struct rule_metric *m, const struct rule_context *ctx, double *ret);

/* Is it the newest value of that metric that the rule looks at? */
static inline bool rule_metric_is_now(const struct rule_metric *m, enum metric metric)
{
    return m->metric == metric && (m->window_us == 0 || m->stat == SERIES_LAST);
}
/* What the metric would be with `count` instances: a mean is shared by those that are left (value *
 * ready / count; of a window and the newest value the larger), a total stays. */
double rule_project(const struct rule_metric *m, double value, const struct rule_context *ctx,
                    int32_t count);
/* How long a condition must hold before it may cause scale-in: its own `for`, or the service's
 * window when it has none, since scale-in never looks at a moment alone. */
int64_t rule_hold_in_us(int64_t for_us, const struct rule_context *ctx);

extern const struct rule_ops rule_target, rule_threshold, rule_step, rule_schedule,
    rule_concurrency, rule_queue, rule_busyness, rule_predictive, rule_slo, rule_ratio;
