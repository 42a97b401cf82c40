/* Target tracking: keep a metric at a value by choosing the count. It owns the three ways in which
 * a count follows from a metric, and must not remember anything between evaluations;
 * `headroom: auto` does (rule_target_auto.c). Scale-out
 * looks at now, scale-in at a window and at now. totals (concurrency, rps): ceil(total / value),
 * HPA's AverageValue; utilisations with samples of each instance (cpu, memory): HPA's resource and
 * pods metrics; all others (latency, the host): ceil(ready * metric / value), HPA's Value. A mean
 * over a window looks back on a time with fewer instances, and alone would ask for more and more
 * while they come: scale-out for a mean needs what its window and the newest value both ask for. */
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/demand.h"
#include "core/hpa.h"
#include "core/model.h"
#include "core/rule.h"
#include "core/rule_target.h"

/* HPA's own defaults. A cpu sample stands for the second before it. */
#define CPU_INIT_US (300 * US_PER_S)
#define READINESS_DELAY_US (30 * US_PER_S)
#define SAMPLE_WINDOW_US US_PER_S
#define RATIO_UNITS 1000 /* HPA counts cpu in thousandths */

static struct hpa_conf hpa_conf_of(const struct rule_target_conf *t)
{
    return (struct hpa_conf){
        .tolerance_up = t->tolerance_up,
        .tolerance_down = t->tolerance_down,
        .cpu = t->metric.metric == METRIC_CPU,
        .init_us = CPU_INIT_US,
        .readiness_delay_us = READINESS_DELAY_US,
    };
}

/* -- one instance, as HPA sees a pod ------------------------------------------------------------
 */

static enum hpa_phase phase_of(enum instance_state s)
{
    switch (s) {
    case INSTANCE_PENDING:
    case INSTANCE_STARTING:
        return HPA_PENDING;
    case INSTANCE_WARMING:
    case INSTANCE_READY:
    case INSTANCE_FAILING:
        return HPA_RUNNING;
    default: /* leaving, or standing by: neither load nor capacity */
        return HPA_SUCCEEDED;
    }
}

static struct hpa_pod pod_of(const struct instance *i, const struct rule_context *ctx,
                             enum metric m, bool ratio)
{
    int64_t since_us = i->state == INSTANCE_WARMING ? i->started_us : i->state_us;
    struct hpa_pod pod = {
        .phase = phase_of(i->state),
        .started = true,
        .has_condition = true,
        .ready = i->state == INSTANCE_READY,
        .start_age_us = ctx->now_us - i->started_us,
        .transition_age_us = ctx->now_us - since_us,
        .value_age_us = ctx->now_us - i->sample_us[m],
        .window_us = SAMPLE_WINDOW_US,
        .has_request = true,
        .request = RATIO_UNITS,
    };
    const struct series *s = &ctx->series[m];
    int64_t stale_us = s->stale_ms > 0 ? series_stale_us(s) : SERIES_STALE_US;
    pod.has_value =
        i->sample_us[m] > 0 && pod.value_age_us <= stale_us && fabs(i->sample[m]) < 1e15;
    if (pod.has_value)
        pod.value = (int64_t)(i->sample[m] * (ratio ? RATIO_UNITS : 1));
    return pod;
}

/* -- what is needed now -------------------------------------------------------------------------
 */

static int needed_by_instances(const struct rule_target_conf *t, const struct rule_context *ctx,
                               struct hpa_result *ret, double *ret_value)
{
    bool ratio = metric_info(t->metric.metric)->ratio;
    struct hpa_conf conf = hpa_conf_of(t);
    struct hpa_sum sum = { 0 };
    for (uint32_t i = 0; i < ctx->instance_count; i++) {
        struct hpa_pod pod = pod_of(&ctx->instances[i], ctx, t->metric.metric, ratio);
        hpa_sum_pod(&sum, &pod, &conf);
    }
    int rc = ratio ? hpa_utilisation(&sum, ctx->current, t->value * 100, &conf, ret)
                   : hpa_plain(&sum, ctx->current, (int64_t)ceil(t->value), &conf, ret);
    if (rc < 0)
        return rc;
    *ret_value = (double)ret->average / (ratio ? RATIO_UNITS : 1);
    return 0;
}

static void scale(const struct rule_target_conf *t, const struct rule_context *ctx, double value,
                  struct hpa_result *ret)
{
    struct hpa_conf conf = hpa_conf_of(t);
    if (rule_metric_nature(ctx, t->metric.metric) == METRIC_TOTAL)
        hpa_total(value, t->value, ctx->current, &conf, ret);
    else
        hpa_value(value, t->value, ctx->current, ctx->ready, &conf, ret);
}

/* A mean of many numbers may come out a hair above what it stands for, and ceil() would make a
 * whole instance of that hair. The dead band is judged with the value as it is. */
#define HAIR 1e-9

static void needed_for(const struct rule_target_conf *t, const struct rule_context *ctx,
                       double value, struct hpa_result *ret)
{
    scale(t, ctx, value, ret);
    if (ret->replicas != ctx->current)
        scale(t, ctx, value - value * HAIR, ret);
}

static bool by_instances(const struct rule_target_conf *t)
{
    const struct metric_info *info = metric_info(t->metric.metric);
    return info && info->nature == METRIC_UTILISATION && info->per_instance;
}

/* Whatever the window. */
static int needed_by_newest(const struct rule_target_conf *t, const struct rule_context *ctx,
                            struct hpa_result *ret, double *ret_value)
{
    if (by_instances(t))
        return needed_by_instances(t, ctx, ret, ret_value);
    struct rule_metric newest = { .metric = t->metric.metric, .stat = t->metric.stat };
    int rc = rule_metric_value(&newest, ctx, ret_value);
    if (rc == 0)
        needed_for(t, ctx, *ret_value, ret);
    return rc;
}

/* `ret_least` is what scale-in may not go below. */
static int needed_now(const struct rule_target_conf *t, const struct rule_context *ctx,
                      int32_t *ret, int32_t *ret_least, double *ret_value)
{
    struct hpa_result newest, windowed;
    bool by_newest =
        rule_metric_nature(ctx, t->metric.metric) != METRIC_TOTAL && t->metric.stat != SERIES_RATE;
    bool by_window = !by_newest || t->metric.window_us > 0;
    int rc = by_newest ? needed_by_newest(t, ctx, &newest, ret_value) : 0;
    if (rc == 0 && by_window)
        rc = rule_metric_value(&t->metric, ctx, ret_value);
    if (rc < 0)
        return rc;
    if (by_window)
        needed_for(t, ctx, *ret_value, &windowed);
    int32_t a = by_newest ? newest.replicas : windowed.replicas;
    int32_t b = by_window ? windowed.replicas : newest.replicas;
    *ret = MAX(0, MIN(a, b));
    *ret_least = MAX(0, MAX(a, b));
    return 0;
}

/* -- the opinion --------------------------------------------------------------------------------
 */

static void unknown(const struct rule_target_conf *t, const struct rule_context *ctx,
                    struct opinion *ret)
{
    ret->block_in = true;
    rule_say(ctx, ret, "%s is unknown: no scale-in", rule_metric_name(ctx, t->metric.metric));
}

static void explain(const struct rule_target_conf *t, const struct rule_context *ctx,
                    int32_t needed, struct opinion *ret)
{
    char value[40], target[40];
    if (!ctx->words)
        return;
    bool total = rule_metric_nature(ctx, t->metric.metric) == METRIC_TOTAL;
    metric_format(value, sizeof(value), t->metric.metric, ret->value);
    metric_format(target, sizeof(target), t->metric.metric, t->value);
    rule_say(ctx, ret, "%s %s, target %s%s: needs %d%s", rule_metric_name(ctx, t->metric.metric),
             value, target, total ? " each" : "", needed,
             needed == ctx->current ? " (as it is)" : "");
}

static void window_unknown(const struct rule_context *ctx, int64_t window_us, struct opinion *ret)
{
    char window[40];
    ret->block_in = true;
    if (!ctx->words)
        return;
    num_format_duration(window, sizeof(window), window_us);
    size_t said = strlen(ret->text);
    fmt(ret->text + said, sizeof(ret->text) - said, "; not known all of the last %s: no scale-in",
        window);
}

/* Scale-in must be right for the window's statistic as for now. */
static void opine_in(const struct rule_target_conf *t, const struct rule_context *ctx,
                     int32_t least, struct opinion *ret)
{
    int64_t window_us = t->window_down_us > 0 ? t->window_down_us : ctx->window_in_us;
    const struct series *s = &ctx->series[t->metric.metric];
    struct hpa_result windowed;
    double value;
    /* A mean over instances does not say whether none would do. */
    int32_t floor_count = rule_metric_nature(ctx, t->metric.metric) == METRIC_UTILISATION ? 1 : 0;
    if (ctx->current <= floor_count)
        return;
    bool covered = series_covers(s, window_us, ctx->now_us);
    if (covered && least >= ctx->current && t->metric.stat != SERIES_RATE) {
        ret->in = ctx->current; /* whatever the window says */
        return;
    }
    if (!covered ||
        series_stat(s, t->metric.stat, window_us, ctx->now_us, ctx->scratch, &value) < 0) {
        window_unknown(ctx, window_us, ret);
        return;
    }
    needed_for(t, ctx, value, &windowed);
    ret->in = MIN(ctx->current, MAX(floor_count, MAX(least, windowed.replicas)));
}

static void target_eval(const struct rule_conf *r, struct rule_state *state,
                        const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_target_conf *t = &r->target;
    enum metric_nature nature = rule_metric_nature(ctx, t->metric.metric);
    int32_t needed, least;
    if (t->headroom_auto) {
        rule_target_auto_eval(r, state, ctx, ret);
        return;
    }
    if (nature == METRIC_UTILISATION && ctx->current == 0) {
        rule_say(ctx, ret, "%s says nothing while none runs",
                 rule_metric_name(ctx, t->metric.metric));
        return;
    }
    bool nobody = nature != METRIC_TOTAL && ctx->ready == 0 && ctx->current > 0;
    if (nobody || needed_now(t, ctx, &needed, &least, &ret->value) < 0) {
        unknown(t, ctx, ret);
        return;
    }
    ret->known = true;
    ret->out = needed;
    explain(t, ctx, needed, ret);
    opine_in(t, ctx, least, ret);
}

static bool target_asks_out(const struct rule_conf *r, const struct opinion *o,
                            const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_target_conf *t = &r->target;
    if (t->headroom_auto)
        return rule_target_auto_asks_out(o, count, ret_value);
    double value = rule_project(&t->metric, o->value, ctx, count);
    if (rule_metric_nature(ctx, t->metric.metric) == METRIC_TOTAL && count > 0)
        value /= count;
    if (count > 0 ? value / t->value <= 1 + t->tolerance_up : value <= 0)
        return false;
    *ret_value = value;
    return true;
}

static double target_most(const struct rule_conf *r, int32_t count)
{
    const struct rule_target_conf *t = &r->target;
    if (!rule_metric_is_now(&t->metric, METRIC_CONCURRENCY))
        return INFINITY;
    return t->value * count * (t->headroom_auto ? 1 : 1 + t->tolerance_up);
}

static uint32_t target_more_words(const struct rule_conf *r)
{
    return r->target.headroom_auto ? rule_target_auto_words() : 0;
}

static enum metric target_metric(const struct rule_conf *r, uint32_t n)
{
    if (r->target.headroom_auto)
        return demand_metric(&r->target.metric, n);
    return n == 0 ? r->target.metric.metric : METRIC_MAX;
}

const struct rule_ops rule_target = {
    .name = "target",
    .measures = true,
    .more_words = target_more_words,
    .metric = target_metric,
    .eval = target_eval,
    .asks_out = target_asks_out,
    .most = target_most,
};
