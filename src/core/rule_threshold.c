/* Thresholds: when a metric has been above (or below) a value for a time, add (or remove). It owns
 * the two clocks of its conditions. A gap in the data restarts them; so does having got what it
 * asked for, so that it asks for one step per `for`. It must not ask again while what it asked for
 * has not come. */
#include <math.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/rule.h"

/* One condition in rule_state: since when it holds (0 = it does not) and the count it has asked
 * for, plus one (0 = it has not asked). */
enum { ABOVE_SINCE, ABOVE_ASKED, BELOW_SINCE, BELOW_ASKED };

/* Away from zero, and never nothing. */
static int32_t change_of(double amount, bool ratio, int32_t current)
{
    double change = ceil(ratio ? amount * current : amount);
    return change < 1 ? 1 : change > 1e6 ? 1000000 : (int32_t)change;
}

static void forget(struct rule_state *state)
{
    state->word[ABOVE_SINCE] = state->word[ABOVE_ASKED] = 0;
    state->word[BELOW_SINCE] = state->word[BELOW_ASKED] = 0;
}

/* Runs a condition's clock; true when it has held for `hold_us`. */
static bool clock_run(int64_t *since_us, int64_t *asked, bool holds, int64_t hold_us,
                      const struct rule_context *ctx, int64_t gap_us)
{
    if (!holds) {
        *since_us = *asked = 0;
        return false;
    }
    if (*since_us == 0 || gap_us >= *since_us) {
        *since_us = ctx->now_us;
        *asked = 0; /* what was asked for before a gap has to hold anew as well */
    }
    return us_sub(ctx->now_us, *since_us) >= hold_us;
}

static void opine_out(const struct rule_threshold_conf *t, struct rule_state *state,
                      const struct rule_context *ctx, struct opinion *ret)
{
    int64_t *since_us = &state->word[ABOVE_SINCE], *asked = &state->word[ABOVE_ASKED];
    int32_t step = change_of(t->add, t->add_ratio, ctx->current);
    bool due = clock_run(since_us, asked, ret->value > t->above, t->for_us, ctx,
                         ctx->series[t->metric.metric].gap_us);
    if (*asked > 0 && ctx->current >= *asked - 1) {
        *asked = 0;
        *since_us = ctx->now_us;
        due = t->for_us == 0;
    }
    /* Without a `for`, the next step waits until the last one has started: law 2. */
    if (*asked == 0 && due && (t->for_us > 0 || ctx->starting == 0))
        *asked = (int64_t)ctx->current + step + 1;
    if (*asked > 0)
        ret->out = (int32_t)MIN(*asked - 1, (int64_t)ctx->current + step);
}

static void opine_in(const struct rule_threshold_conf *t, struct rule_state *state,
                     const struct rule_context *ctx, struct opinion *ret)
{
    int64_t *since_us = &state->word[BELOW_SINCE], *asked = &state->word[BELOW_ASKED];
    int64_t hold_us = rule_hold_in_us(t->for_us, ctx);
    int32_t step = change_of(t->remove, t->remove_ratio, ctx->current);
    bool due = clock_run(since_us, asked, ret->value < t->below, hold_us, ctx,
                         ctx->series[t->metric.metric].gap_us);
    if (*asked > 0 && ctx->current <= *asked - 1) {
        *asked = 0;
        *since_us = ctx->now_us;
        due = hold_us == 0;
    }
    if (*asked == 0 && due && ctx->current > 0)
        *asked = (int64_t)MAX(0, ctx->current - step) + 1;
    ret->in = ctx->current;
    if (*asked > 0)
        ret->in = (int32_t)MIN(ctx->current, MAX(*asked - 1, ctx->current - step));
}

static void explain(const struct rule_threshold_conf *t, const struct rule_state *state,
                    const struct rule_context *ctx, struct opinion *ret)
{
    if (!ctx->words)
        return;
    char value[40], limit[40], hold[40];
    const char *name = rule_metric_name(ctx, t->metric.metric);
    bool above = state->word[ABOVE_SINCE] > 0, below = state->word[BELOW_SINCE] > 0;
    metric_format(value, sizeof(value), t->metric.metric, ret->value);
    if (!above && !below) {
        rule_say(ctx, ret, "%s %s: within bounds", name, value);
        return;
    }
    metric_format(limit, sizeof(limit), t->metric.metric, above ? t->above : t->below);
    num_format_duration(hold, sizeof(hold), above ? t->for_us : rule_hold_in_us(t->for_us, ctx));
    bool asks = state->word[above ? ABOVE_ASKED : BELOW_ASKED] > 0;
    rule_say(ctx, ret, "%s %s is %s %s%s%s%s", name, value, above ? "above" : "below", limit,
             asks ? ", wants " : ", not yet for ", asks ? "" : hold,
             !asks   ? ""
             : above ? "more"
                     : "fewer");
}

static void threshold_eval(const struct rule_conf *r, struct rule_state *state,
                           const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_threshold_conf *t = &r->threshold;
    if (rule_metric_value(&t->metric, ctx, &ret->value) < 0) {
        forget(state);
        ret->block_in = t->has_below;
        rule_say(ctx, ret, "%s is unknown%s", rule_metric_name(ctx, t->metric.metric),
                 t->has_below ? ": no scale-in" : "");
        return;
    }
    ret->known = true;
    if (t->has_above)
        opine_out(t, state, ctx, ret);
    if (t->has_below)
        opine_in(t, state, ctx, ret);
    explain(t, state, ctx, ret);
}

static bool threshold_asks_out(const struct rule_conf *r, const struct opinion *o,
                               const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_threshold_conf *t = &r->threshold;
    double value = rule_project(&t->metric, o->value, ctx, count);
    if (!t->has_above || value <= t->above)
        return false;
    *ret_value = value;
    return true;
}

static double threshold_most(const struct rule_conf *r, int32_t count)
{
    const struct rule_threshold_conf *t = &r->threshold;
    bool now = rule_metric_is_now(&t->metric, METRIC_CONCURRENCY) && t->for_us == 0;
    return now && t->has_above ? t->above : INFINITY;
}

static int64_t threshold_next_us(const struct rule_conf *r, const struct rule_state *state,
                                 const struct rule_context *ctx)
{
    const struct rule_threshold_conf *t = &r->threshold;
    const int64_t *word = state->word;
    int64_t next_us = US_NEVER;
    if (word[ABOVE_SINCE] > 0 && word[ABOVE_ASKED] == 0)
        next_us = us_add(word[ABOVE_SINCE], t->for_us);
    if (word[BELOW_SINCE] > 0 && word[BELOW_ASKED] == 0)
        next_us = MIN(next_us, us_add(word[BELOW_SINCE], rule_hold_in_us(t->for_us, ctx)));
    return next_us > ctx->now_us ? next_us : US_NEVER;
}

static enum metric threshold_metric(const struct rule_conf *r, uint32_t n)
{
    return n == 0 ? r->threshold.metric.metric : METRIC_MAX;
}

const struct rule_ops rule_threshold = {
    .name = "threshold",
    .metric = threshold_metric,
    .eval = threshold_eval,
    .asks_out = threshold_asks_out,
    .most = threshold_most,
    .next_us = threshold_next_us,
};
