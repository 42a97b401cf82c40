/* Queues: a backlog decides, as in KEDA. It owns the step between zero and one, which has its own
 * condition (active: the metric is above `activation`) and its own clock; between one and many the
 * count follows from the backlog as in an HPA: its length ceil(total / value), or the age of its
 * oldest ceil(count * age / value), with HPA's dead band. It must not go to zero for a metric that
 * was unknown in the meantime. Nothing here looks at requests, so it fits services without a
 * listener.
 *
 * Source: KEDA, pkg/scaling/executor/scale_scaledobjects.go (active: 0 becomes 1 at once; inactive:
 * any count becomes 0 after the cooldown, at once when it never was active) and the HPA's
 * AverageValue and Value for what is above one. */
#include <math.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/hpa.h"
#include "core/rule.h"

/* When the metric was last active, or unknown after it had been; 0 = never was. */
enum { ACTIVE_AT };

static const struct hpa_conf tolerance = { .tolerance_up = 0.1, .tolerance_down = 0.1 };

static bool is_active(const struct rule_queue_conf *q, double value)
{
    return value > q->activation;
}

static int32_t scale(const struct rule_queue_conf *q, const struct rule_context *ctx, double value)
{
    struct hpa_result needed;
    if (q->age)
        hpa_value(value, q->value, ctx->current, MIN(ctx->ready, ctx->current), &tolerance,
                  &needed);
    else
        hpa_total(value, q->value, ctx->current, &tolerance, &needed);
    return needed.replicas;
}

/* A mean may come out a hair above what it stands for: see rule_target.c. */
#define HAIR 1e-9

/* At least one: to zero goes only what is inactive. */
static int32_t needed_for(const struct rule_queue_conf *q, const struct rule_context *ctx,
                          double value)
{
    int32_t needed = scale(q, ctx, value);
    if (needed != ctx->current)
        needed = scale(q, ctx, value - value * HAIR);
    return MAX(needed, is_active(q, value) ? MAX(q->least, 1) : 1);
}

/* Inactive, and for long enough, that none need stay? What never was active has no cooldown, but
 * scale-in looks at the service's window even so. */
static bool is_over(const struct rule_queue_conf *q, const struct rule_state *state,
                    const struct rule_context *ctx, double value)
{
    int64_t active_us = state->word[ACTIVE_AT];
    if (is_active(q, value))
        return false;
    if (active_us == 0)
        return series_covers(&ctx->series[q->metric.metric], ctx->window_in_us, ctx->now_us);
    return us_sub(ctx->now_us, active_us) >= q->cooldown_us;
}

static void explain(const struct rule_queue_conf *q, const struct rule_state *state,
                    const struct rule_context *ctx, struct opinion *ret)
{
    if (!ctx->words)
        return;
    char value[40], each[40], cooldown[40];
    enum metric m = q->metric.metric;
    const char *name = rule_metric_name(ctx, m);
    bool active = is_active(q, ret->value);
    metric_format(value, sizeof(value), m, ret->value);
    metric_format(each, sizeof(each), m, q->value);
    num_format_duration(cooldown, sizeof(cooldown), q->cooldown_us);
    if (!active && ctx->current == 0)
        rule_say(ctx, ret, "%s %s: inactive, needs none", name, value);
    else if (is_over(q, state, ctx, ret->value))
        rule_say(ctx, ret, "%s %s: %s%s, needs none", name, value,
                 state->word[ACTIVE_AT] > 0 ? "inactive for " : "never was active",
                 state->word[ACTIVE_AT] > 0 ? cooldown : "");
    else
        rule_say(ctx, ret, "%s %s, %s %s: needs %d%s%s%s", name, value,
                 q->age ? "allowed" : "for each", each, needed_for(q, ctx, ret->value),
                 active ? "" : "; inactive, none after ", active ? "" : cooldown,
                 ret->block_in ? "; not known all of the window: no scale-in" : "");
}

/* Between one and many scale-in must be right for the window as for now. */
static void opine_in(const struct rule_queue_conf *q, const struct rule_context *ctx,
                     struct opinion *ret)
{
    double value;
    const struct series *s = &ctx->series[q->metric.metric];
    ret->in = ctx->current;
    if (ctx->current <= 1)
        return;
    if (!series_covers(s, ctx->window_in_us, ctx->now_us) ||
        series_stat(s, q->metric.stat, ctx->window_in_us, ctx->now_us, ctx->scratch, &value) < 0) {
        ret->in = RULE_ABSTAIN;
        ret->block_in = true;
        return;
    }
    int32_t needed = MAX(needed_for(q, ctx, value), needed_for(q, ctx, ret->value));
    ret->in = MIN(needed, ctx->current);
}

static void unknown(const struct rule_queue_conf *q, struct rule_state *state,
                    const struct rule_context *ctx, struct opinion *ret)
{
    if (state->word[ACTIVE_AT] > 0)
        state->word[ACTIVE_AT] = ctx->now_us;
    ret->block_in = true;
    rule_say(ctx, ret, "%s is unknown: no scale-in", rule_metric_name(ctx, q->metric.metric));
}

static void queue_eval(const struct rule_conf *r, struct rule_state *state,
                       const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_queue_conf *q = &r->queue;
    int64_t *active_us = &state->word[ACTIVE_AT];
    if (rule_metric_value(&q->metric, ctx, &ret->value) < 0) {
        unknown(q, state, ctx, ret);
        return;
    }
    ret->known = true;
    int64_t gap_us = ctx->series[q->metric.metric].gap_us;
    if (is_active(q, ret->value))
        *active_us = ctx->now_us;
    else if (*active_us > 0) /* a gap between two evaluations may have hidden work */
        *active_us = MAX(*active_us, MIN(gap_us, ctx->now_us));
    bool active = is_active(q, ret->value);
    if (active || ctx->current > 0)
        ret->out = needed_for(q, ctx, ret->value);
    if (is_over(q, state, ctx, ret->value)) {
        ret->out = RULE_ABSTAIN;
        ret->in = 0;
    } else {
        opine_in(q, ctx, ret);
    }
    explain(q, state, ctx, ret);
}

static bool queue_asks_out(const struct rule_conf *r, const struct opinion *o,
                           const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_queue_conf *q = &r->queue;
    double value = rule_project(&q->metric, o->value, ctx, count);
    double ratio = value / (q->age ? q->value : q->value * count);
    bool asks = is_active(q, value) && count < MAX(q->least, 1);
    if (count > 0)
        asks |= ratio > 1 + tolerance.tolerance_up;
    if (asks)
        *ret_value = value;
    return asks;
}

static double queue_most(const struct rule_conf *r, int32_t count)
{
    const struct rule_queue_conf *q = &r->queue;
    if (q->age || !rule_metric_is_now(&q->metric, METRIC_CONCURRENCY))
        return INFINITY;
    return count > 0 ? q->value * count * (1 + tolerance.tolerance_up) : q->activation;
}

static int64_t queue_next_us(const struct rule_conf *r, const struct rule_state *state,
                             const struct rule_context *ctx)
{
    int64_t active_us = state->word[ACTIVE_AT];
    int64_t over_us = active_us > 0 ? us_add(active_us, r->queue.cooldown_us) : 0;
    return over_us > ctx->now_us ? over_us : US_NEVER;
}

static enum metric queue_metric(const struct rule_conf *r, uint32_t n)
{
    return n == 0 ? r->queue.metric.metric : METRIC_MAX;
}

const struct rule_ops rule_queue = {
    .name = "queue",
    .measures = true,
    .metric = queue_metric,
    .eval = queue_eval,
    .asks_out = queue_asks_out,
    .most = queue_most,
    .next_us = queue_next_us,
};
