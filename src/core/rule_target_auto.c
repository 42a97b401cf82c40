/* Target with `headroom: auto`: `value` is what one instance can carry, and what is kept free
 * beyond the load is learnt (lookahead.h). It must not scale in on what it does not know: the
 * window that scale-in looks at must be known all of it, though the count that is enough comes from
 * the lookahead, which has windows of its own. */
#include <assert.h>
#include <math.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/demand.h"
#include "core/lookahead.h"
#include "core/rule_target.h"

uint32_t rule_target_auto_words(void)
{
    return lookahead_words();
}

static void explain(const struct rule_target_conf *t, const struct rule_context *ctx,
                    const struct demand *d, const struct lookahead_answer *a, struct opinion *ret)
{
    char load[40], most[40], within[40], age[40];
    if (!ctx->words)
        return;
    fmt_double(load, sizeof(load), d->load, 2);
    fmt_double(most, sizeof(most), a->most, 2);
    num_format_duration_short(within, sizeof(within), ctx->start_us);
    num_format_duration_short(age, sizeof(age), (int64_t)a->age_s * US_PER_S);
    rule_say(ctx, ret,
             "%s is the load of %s instances, of %s at most within %s: needs %d (%s, "
             "learnt in %s)",
             rule_metric_name(ctx, t->metric.metric), load, most, within, ret->out, a->guess, age);
}

static int32_t with_backlog(const struct demand *d, const struct lookahead_answer *a)
{
    double count = ceil(MIN(a->level + a->lasting * d->backlog, 1e9));
    return d->backlog > 0 ? (int32_t)MAX(a->count, count) : a->count;
}

void rule_target_auto_eval(const struct rule_conf *r, struct rule_state *state,
                           const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_target_conf *t = &r->target;
    struct demand d;
    struct lookahead_answer a;
    assert(state->more && state->more_count >= lookahead_words());
    if (demand_now(&t->metric, t->value, ctx, &d) < 0) {
        ret->block_in = true;
        rule_say(ctx, ret, "%s is unknown: no scale-in", rule_metric_name(ctx, t->metric.metric));
        return;
    }
    struct lookahead_load now = { .now_us = ctx->now_us,
                                  .load = d.load,
                                  .start_s = (double)ctx->start_us / US_PER_S,
                                  .waiting = d.backlog > 0 };
    lookahead_follow(state->more, &now, &a);
    ret->known = true;
    ret->value = d.value;
    ret->out = with_backlog(&d, &a);
    explain(t, ctx, &d, &a, ret);
    int64_t window_us = t->window_down_us > 0 ? t->window_down_us : ctx->window_in_us;
    if (ret->out >= ctx->current)
        ret->in = ctx->current;
    else if (series_covers(&ctx->series[t->metric.metric], window_us, ctx->now_us))
        ret->in = ret->out;
    else
        ret->block_in = true;
}

bool rule_target_auto_asks_out(const struct opinion *o, int32_t count, double *ret_value)
{
    *ret_value = o->value;
    return count < o->out;
}
