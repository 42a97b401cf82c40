/* Step scaling: how far the metric is from a threshold chooses the adjustment. It owns AWS's rules
 * for bounds, rounding and warm-up (Amazon EC2 Auto Scaling User Guide, "Step and simple scaling
 * policies"), and how many values of a window must lie in a step (Nomad Autoscaler, the threshold
 * strategy's within_bounds_trigger). It must not add twice for what is still warming up. */
#include "core/rule_step.h"

#include <math.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/rule.h"

enum {
    SIDE,       /* +1 out, -1 in, 0 neither */
    SINCE,      /* since when that side is breached */
    WARM_BASE,  /* count before what is warming up was added, plus one; 0 = nothing is */
    WARM_UNTIL, /* when what was added last counts as warm */
    ASKED_IN,   /* the smaller count that was asked for, plus one; 0 = none */
};

double rule_step_round(double change)
{
    if (change > 0 && change < 1)
        return 1;
    if (change < 0 && change > -1)
        return -1;
    return change < 0 ? ceil(change) : floor(change);
}

int32_t rule_step_adjust(const struct rule_step_conf *s, double adjustment, int32_t count)
{
    double wanted = adjustment;
    if (s->type != RULE_STEP_EXACT) {
        bool percent = s->type == RULE_STEP_PERCENT;
        double change = rule_step_round(percent ? count * adjustment / 100 : adjustment);
        if (percent && change != 0 && fabs(change) < s->min_magnitude)
            change = change < 0 ? -s->min_magnitude : s->min_magnitude;
        wanted = count + change;
    }
    return wanted < 0 ? 0 : wanted > 1e6 ? 1000000 : (int32_t)wanted;
}

static bool in_bounds(const struct rule_step *step, double distance)
{
    if (isinf(distance)) /* an open bound has no end */
        return distance > 0 ? isinf(step->upper) : isinf(step->lower);
    if (step->upper <= 0) /* then the bound nearer to the threshold is the closed one */
        return distance > step->lower && distance <= step->upper;
    return distance >= step->lower && distance < step->upper;
}

const struct rule_step *rule_step_find(const struct rule_step_conf *s, double value)
{
    for (uint32_t i = 0; i < s->step_count; i++)
        if (in_bounds(&s->steps[i], value - s->threshold))
            return &s->steps[i];
    return NULL;
}

struct bounds {
    const struct rule_step *step;
    double threshold;
};

static bool is_within(double value, const void *what)
{
    const struct bounds *b = what;
    return in_bounds(b->step, value - b->threshold);
}

/* As rule_step_find(), for `points`: the first step with so many of the window's values. */
static const struct rule_step *find_by_points(const struct rule_step_conf *s,
                                              const struct rule_context *ctx)
{
    const struct series *series = &ctx->series[s->metric.metric];
    for (uint32_t i = 0; i < s->step_count; i++) {
        struct bounds b = { &s->steps[i], s->threshold };
        if (series_count_if(series, s->metric.window_us, ctx->now_us, is_within, &b) >= s->points)
            return b.step;
    }
    return NULL;
}

/* Has it an opinion on scaling in at all? An exact count can always turn out to be fewer. */
static bool scales_in(const struct rule_step_conf *s)
{
    for (uint32_t i = 0; i < s->step_count; i++)
        if (s->steps[i].adjustment < 0 || s->type == RULE_STEP_EXACT)
            return true;
    return false;
}

static int side_of(const struct rule_step_conf *s, const struct rule_step *step, int32_t count)
{
    if (!step)
        return 0;
    int32_t wanted = rule_step_adjust(s, step->adjustment, count);
    return (wanted > count) - (wanted < count);
}

/* The count that adjustments start from: while instances warm up, the one before they came. */
static int32_t base_count(const struct rule_state *state, const struct rule_context *ctx)
{
    int64_t base = us_sub(state->word[WARM_BASE], 1);
    return base >= 0 && base < ctx->current ? (int32_t)base : ctx->current;
}

static void end_warmup(struct rule_state *state, const struct rule_context *ctx)
{
    if (ctx->now_us >= state->word[WARM_UNTIL] && ctx->starting == 0)
        state->word[WARM_BASE] = 0;
}

static void opine_out(const struct rule_step_conf *s, const struct rule_step *step,
                      struct rule_state *state, const struct rule_context *ctx, struct opinion *ret)
{
    int32_t base = base_count(state, ctx);
    int32_t wanted = rule_step_adjust(s, step->adjustment, base);
    if (wanted <= ctx->current)
        return;
    ret->out = wanted;
    state->word[WARM_BASE] = (int64_t)base + 1;
    state->word[WARM_UNTIL] = us_add(ctx->now_us, s->warmup_us);
}

static void opine_in(const struct rule_step_conf *s, const struct rule_step *step,
                     struct rule_state *state, const struct rule_context *ctx, struct opinion *ret)
{
    int64_t *asked = &state->word[ASKED_IN];
    if (*asked > 0 && ctx->current <= *asked - 1) {
        *asked = 0;
        state->word[SINCE] = ctx->now_us;
        if (rule_hold_in_us(s->for_us, ctx) > 0)
            return;
    }
    int32_t wanted = rule_step_adjust(s, step->adjustment, ctx->current);
    *asked = (int64_t)wanted + 1;
    ret->in = wanted;
}

static bool held(const struct rule_step_conf *s, struct rule_state *state,
                 const struct rule_context *ctx, int side)
{
    int64_t gap_us = ctx->series[s->metric.metric].gap_us;
    if (side != state->word[SIDE] || gap_us >= state->word[SINCE]) {
        state->word[SIDE] = side;
        state->word[SINCE] = ctx->now_us;
        state->word[ASKED_IN] = 0;
    }
    int64_t hold_us = side > 0 ? s->for_us : rule_hold_in_us(s->for_us, ctx);
    return side != 0 && us_sub(ctx->now_us, state->word[SINCE]) >= hold_us;
}

static void explain(const struct rule_step_conf *s, int side, bool due,
                    const struct rule_context *ctx, struct opinion *ret)
{
    if (!ctx->words)
        return;
    char value[40], threshold[40], wants[40] = "";
    metric_format(value, sizeof(value), s->metric.metric, ret->value);
    metric_format(threshold, sizeof(threshold), s->metric.metric, s->threshold);
    int32_t wanted = side > 0 ? ret->out : ret->in;
    if (side == 0)
        fmt(wants, sizeof(wants), "no change");
    else if (!due)
        fmt(wants, sizeof(wants), "not yet for long enough");
    else if (wanted == RULE_ABSTAIN || wanted == ctx->current)
        fmt(wants, sizeof(wants), "waits for warm-up");
    else
        fmt(wants, sizeof(wants), "wants %d", wanted);
    rule_say(ctx, ret, "%s %s, threshold %s: %s", rule_metric_name(ctx, s->metric.metric), value,
             threshold, wants);
}

static void step_eval(const struct rule_conf *r, struct rule_state *state,
                      const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_step_conf *s = &r->step;
    bool has_in = scales_in(s);
    end_warmup(state, ctx);
    if (rule_metric_value(&s->metric, ctx, &ret->value) < 0) {
        state->word[SIDE] = state->word[SINCE] = state->word[ASKED_IN] = 0;
        ret->block_in = has_in;
        rule_say(ctx, ret, "%s is unknown%s", rule_metric_name(ctx, s->metric.metric),
                 has_in ? ": no scale-in" : "");
        return;
    }
    ret->known = true;
    if (has_in)
        ret->in = ctx->current;
    const struct rule_step *step =
        s->points > 0 ? find_by_points(s, ctx) : rule_step_find(s, ret->value);
    int side = side_of(s, step, base_count(state, ctx));
    bool due = held(s, state, ctx, side);
    if (due && side > 0)
        opine_out(s, step, state, ctx, ret);
    else if (due && state->word[WARM_BASE] == 0) /* no scale-in while instances warm up */
        opine_in(s, step, state, ctx, ret);
    explain(s, side, due, ctx, ret);
}

static bool step_asks_out(const struct rule_conf *r, const struct opinion *o,
                          const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_step_conf *s = &r->step;
    double value = rule_project(&s->metric, o->value, ctx, count);
    if (side_of(s, rule_step_find(s, value), count) <= 0)
        return false;
    *ret_value = value;
    return true;
}

static int64_t step_next_us(const struct rule_conf *r, const struct rule_state *state,
                            const struct rule_context *ctx)
{
    const struct rule_step_conf *s = &r->step;
    int64_t hold_us = state->word[SIDE] > 0 ? s->for_us : rule_hold_in_us(s->for_us, ctx);
    int64_t held_us = state->word[SIDE] != 0 ? us_add(state->word[SINCE], hold_us) : 0;
    int64_t warm_us = state->word[WARM_BASE] > 0 ? state->word[WARM_UNTIL] : 0;
    int64_t next_us = held_us > ctx->now_us ? held_us : US_NEVER;
    return warm_us > ctx->now_us ? MIN(next_us, warm_us) : next_us;
}

static enum metric step_metric(const struct rule_conf *r, uint32_t n)
{
    return n == 0 ? r->step.metric.metric : METRIC_MAX;
}

const struct rule_ops rule_step = {
    .name = "step",
    .metric = step_metric,
    .eval = step_eval,
    .asks_out = step_asks_out,
    .next_us = step_next_us,
};
