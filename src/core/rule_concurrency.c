/* Concurrency as Knative's KPA scales on it: a stable window for ordinary times, a panic window
 * for surges, and no way down while in panic. It owns that decision function, its clocks and the
 * ring of its scale-down delay. It must not go to zero, nor anywhere down, for a load that was not
 * known for the whole stable window.
 *
 * Source: Knative Serving, pkg/autoscaler/scaling/autoscaler.go (Scale), and kpa/scaler.go for the
 * grace before zero. With target = max(0.01, value * utilization) and ready >= 1:
 *
 *     bounds(x) = clamp(x, floor(ready / down_rate), ceil(up_rate * ready)); 0 < x < activation: it
 *     stable = bounds(ceil(stable window's mean / target)), panic = bounds(ceil(panic's / target))
 *     panic begins, and is renewed, at ceil(panic's / target) / ready >= panic_threshold; it ends a
 *     stable window after the last such moment; in panic: the most that stable or panic ever was
 *     wanted = the most of that within `delay`
 *     excess burst capacity = floor(ready * value - burst_capacity - panic's)
 *
 * Two things are ours. The panic value is the newest one as soon as that alone would begin panic,
 * so that the doorbell need not wait for a window to fill; and our queue always stands in the path,
 * so that the excess burst capacity decides nothing and is only told. */
#include <assert.h>
#include <math.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/hpa.h"
#include "core/model.h"
#include "core/rule.h"

enum {
    BEGUN,        /* 1 from the first evaluation on */
    PANIC_AT,     /* when panic began or was renewed; 0 = calm */
    PANIC_MOST,   /* the most that was wanted since it began */
    IDLE_SINCE,   /* since when the stable window says none is needed; 0 = it does not */
    DELAY_BUCKET, /* the newest bucket of the delay's ring in `more`: time / its width */
};

#define TARGET_LEAST 0.01
#define DELAY_BUCKET_US (2 * US_PER_S)

/* A mean may come out a hair above what it stands for: see rule_target.c. */
#define HAIR 1e-9

/* -- what the windows say ------------------------------------------------------------------------
 */

struct load {
    double stable, panic, newest; /* the windows' means, and the last value */
};

static double pods_for(const struct rule_concurrency_conf *c, double value)
{
    double pods = value / MAX(TARGET_LEAST, c->value * c->utilization);
    return isinf(pods) ? pods : ceil(pods - pods * HAIR);
}

static bool is_panic(const struct rule_concurrency_conf *c, double value, double ready)
{
    return pods_for(c, value) / ready >= c->panic_threshold;
}

static int load_now(const struct rule_concurrency_conf *c, const struct rule_context *ctx,
                    struct load *ret)
{
    const struct series *s = &ctx->series[c->metric];
    int rc = series_stat(s, SERIES_AVG, c->stable_us, ctx->now_us, NULL, &ret->stable);
    if (rc == 0)
        rc = series_stat(s, SERIES_AVG, c->panic_us, ctx->now_us, NULL, &ret->panic);
    if (rc == 0)
        rc = series_stat(s, SERIES_LAST, 0, ctx->now_us, NULL, &ret->newest);
    return rc;
}

static double panic_value(const struct rule_concurrency_conf *c, const struct load *load,
                          double ready)
{
    return is_panic(c, load->newest, ready) ? MAX(load->panic, load->newest) : load->panic;
}

static double ready_of(const struct rule_context *ctx)
{
    return MAX(1, MIN(ctx->ready, ctx->current));
}

static int32_t bounded(const struct rule_concurrency_conf *c, double pods, double ready)
{
    double least = floor(ready / c->down_rate), most = ceil(c->up_rate * ready);
    int32_t count = hpa_ceil(MIN(MAX(pods, least), most));
    return pods > 0 ? MAX(count, c->activation) : count;
}

/* -- panic ---------------------------------------------------------------------------------------
 */

/* A controller that finds several ready ones knows nothing of the load that they are for. */
static void begin(struct rule_state *state, const struct rule_context *ctx)
{
    if (state->word[BEGUN] != 0)
        return;
    state->word[BEGUN] = 1;
    if (ctx->ready > 1) {
        state->word[PANIC_AT] = ctx->now_us;
        state->word[PANIC_MOST] = MIN(ctx->ready, ctx->current);
    }
}

/* The count that the load wants now, in panic or not. */
static int32_t wanted_now(const struct rule_concurrency_conf *c, struct rule_state *state,
                          const struct rule_context *ctx, const struct load *load)
{
    int64_t *panic_us = &state->word[PANIC_AT], *most = &state->word[PANIC_MOST];
    double ready = ready_of(ctx), value = panic_value(c, load, ready);
    int32_t stable = bounded(c, pods_for(c, load->stable), ready);
    int32_t panic = bounded(c, pods_for(c, value), ready);
    if (is_panic(c, value, ready))
        *panic_us = ctx->now_us;
    else if (*panic_us != 0 && us_add(*panic_us, c->stable_us) < ctx->now_us)
        *panic_us = *most = 0;
    if (*panic_us == 0)
        return stable;
    *most = CLAMP(*most, 0, MODEL_COUNT_MAX);
    *most = MAX(*most, MAX(stable, panic));
    return (int32_t)*most;
}

/* -- scale-in ------------------------------------------------------------------------------------
 */

static uint32_t delay_buckets(const struct rule_concurrency_conf *c)
{
    return (uint32_t)((c->delay_us + DELAY_BUCKET_US - 1) / DELAY_BUCKET_US);
}

static uint32_t concurrency_more_words(const struct rule_conf *r)
{
    return delay_buckets(&r->concurrency);
}

/* Remembers `wanted` and says the most of what was wanted within the delay. */
static int32_t delayed(const struct rule_concurrency_conf *c, struct rule_state *state,
                       const struct rule_context *ctx, int32_t wanted)
{
    int64_t count = delay_buckets(c), bucket = ctx->now_us / DELAY_BUCKET_US;
    int64_t passed = us_sub(bucket, state->word[DELAY_BUCKET]);
    if (count == 0)
        return wanted;
    assert(state->more && state->more_count >= count);
    if (passed < 0 || passed > count)
        passed = count;
    for (int64_t i = 0; i < passed; i++)
        state->more[(bucket + count - i) % count] = 0;
    state->word[DELAY_BUCKET] = bucket;
    int64_t *now = &state->more[bucket % count], most = 0;
    *now = MAX(*now, wanted);
    for (int64_t i = 0; i < count; i++)
        most = MAX(most, state->more[i]);
    return (int32_t)MIN(most, INT32_MAX);
}

/* The last one stays until the whole stable window has seen nothing, and then for the grace. */
static int32_t held_by_grace(const struct rule_concurrency_conf *c, struct rule_state *state,
                             const struct rule_context *ctx, bool idle, int32_t wanted)
{
    int64_t *idle_us = &state->word[IDLE_SINCE];
    if (!idle)
        *idle_us = 0;
    else if (*idle_us == 0)
        *idle_us = ctx->now_us;
    bool over = *idle_us != 0 && us_sub(ctx->now_us, *idle_us) >= c->grace_us;
    return wanted > 0 || over ? wanted : 1;
}

/* -- the opinion ---------------------------------------------------------------------------------
 */

static void explain(const struct rule_concurrency_conf *c, const struct rule_state *state,
                    const struct rule_context *ctx, const struct load *load, struct opinion *ret)
{
    if (!ctx->words)
        return;
    char stable[24], panic[24], window[24], target[24], excess[24];
    bool burst = c->burst_capacity > 0;
    fmt_double(stable, sizeof(stable), load->stable, 1);
    fmt_double(panic, sizeof(panic), panic_value(c, load, ready_of(ctx)), 1);
    fmt_double(target, sizeof(target), MAX(TARGET_LEAST, c->value * c->utilization), 2);
    fmt_double(
        excess, sizeof(excess),
        floor(ctx->ready * c->value - c->burst_capacity - panic_value(c, load, ready_of(ctx))), 0);
    num_format_duration(window, sizeof(window), c->stable_us);
    rule_say(ctx, ret, "%s %s over %s, %s now, target %s: needs %d%s%s%s%s",
             rule_metric_name(ctx, c->metric), stable, window, panic, target, ret->out,
             state->word[PANIC_AT] != 0 ? ", in panic" : "",
             ret->block_in ? "; not known all that time: no scale-in" : "",
             burst ? "; excess burst capacity " : "", burst ? excess : "");
}

static void concurrency_eval(const struct rule_conf *r, struct rule_state *state,
                             const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_concurrency_conf *c = &r->concurrency;
    struct load load;
    if (load_now(c, ctx, &load) < 0) {
        state->word[IDLE_SINCE] = 0;
        ret->block_in = true;
        rule_say(ctx, ret, "%s is unknown: no scale-in", rule_metric_name(ctx, c->metric));
        return;
    }
    begin(state, ctx);
    ret->known = true;
    ret->value = load.stable;
    ret->out = wanted_now(c, state, ctx, &load);
    bool covered = series_covers(&ctx->series[c->metric], c->stable_us, ctx->now_us);
    int32_t in = delayed(c, state, ctx, ret->out);
    in = held_by_grace(c, state, ctx, covered && load.stable <= 0, in);
    ret->block_in = ctx->current > 0 && !covered;
    if (!ret->block_in)
        ret->in = MIN(in, ctx->current);
    explain(c, state, ctx, &load, ret);
}

static bool concurrency_asks_out(const struct rule_conf *r, const struct opinion *o,
                                 const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_concurrency_conf *c = &r->concurrency;
    struct load load;
    if (load_now(c, ctx, &load) < 0)
        return false;
    double value = panic_value(c, &load, MAX(count, 1));
    value = is_panic(c, value, MAX(count, 1)) ? MAX(load.stable, value) : load.stable;
    if (value <= 0 || MAX(pods_for(c, value), c->activation) <= count)
        return false;
    *ret_value = value;
    return true;
}

/* What it takes to begin panic; anything less waits for the stable window. */
static double concurrency_most(const struct rule_conf *r, int32_t count)
{
    const struct rule_concurrency_conf *c = &r->concurrency;
    if (c->metric != METRIC_CONCURRENCY)
        return INFINITY;
    double pods = ceil(c->panic_threshold * MAX(count, 1)) - 1;
    return count > 0 ? pods * MAX(TARGET_LEAST, c->value * c->utilization) : 0;
}

static int64_t concurrency_next_us(const struct rule_conf *r, const struct rule_state *state,
                                   const struct rule_context *ctx)
{
    const struct rule_concurrency_conf *c = &r->concurrency;
    int64_t panic_us = state->word[PANIC_AT], idle_us = state->word[IDLE_SINCE];
    int64_t calm_us = panic_us != 0 ? us_add(us_add(panic_us, c->stable_us), 1) : 0;
    int64_t zero_us = idle_us != 0 ? us_add(idle_us, c->grace_us) : 0;
    int64_t next_us = calm_us > ctx->now_us ? calm_us : US_NEVER;
    return zero_us > ctx->now_us ? MIN(next_us, zero_us) : next_us;
}

static enum metric concurrency_metric(const struct rule_conf *r, uint32_t n)
{
    return n == 0 ? r->concurrency.metric : METRIC_MAX;
}

const struct rule_ops rule_concurrency = {
    .name = "concurrency",
    .measures = true,
    .more_words = concurrency_more_words,
    .metric = concurrency_metric,
    .eval = concurrency_eval,
    .asks_out = concurrency_asks_out,
    .most = concurrency_most,
    .next_us = concurrency_next_us,
};
