/* From rules to one count, and the record of how. The order of those who limit is DESIGN.md's: the
 * rules and what holds them back, then the bounds, then the operator, then the lease. Changes the
 * desired count and what rules remember; acts on nothing. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/combine.h"
#include "core/control_int.h"
#include "core/project.h"

void control_rule_context(const struct control *c, const struct control_service *s,
                          struct rule_context *ret)
{
    *ret = (struct rule_context){
        .now_us = c->now_us,
        .wall_us = c->wall_us,
        .current = s->count,
        .window_in_us = s->conf.window_in_us,
        .start_us = 10 * US_PER_S,
        .cost = s->conf.cost,
        .words = true,
        .metrics = s->conf.metrics,
        .series = s->series,
        .instances = s->instances,
        .instance_count = s->instance_count,
        .zones = c->zones,
        .zone_count = c->zone_count,
        .scratch = c->scratch,
    };
    FOR_EACH_INSTANCE (i, s) {
        ret->ready += i->state == INSTANCE_READY;
        ret->starting += i->state <= INSTANCE_WARMING;
    }
}

static int32_t as_count(int64_t n)
{
    return (int32_t)MIN(n, INT32_MAX);
}

static void begin(const struct control *c, const struct control_service *s,
                  const struct rule_context *ctx, struct decision *d)
{
    *d = (struct decision){
        .now_us = c->now_us,
        .wall_us = c->wall_us,
        .slot = s->slot,
        .cause = s->cause,
        .advise = s->conf.mode == SERVICE_ADVISE,
        .before = s->desired,
        .ready = ctx->ready,
        .starting = ctx->starting,
        .in_flight = as_count(s->demand.in_flight),
        .queued = as_count(s->demand.queued),
    };
    str_copy(d->service, sizeof(d->service), s->conf.name);
    FOR_EACH_INSTANCE (i, s)
        d->draining += i->state == INSTANCE_DRAINING || i->state == INSTANCE_STOPPING;
    explain_begin(d, s->decided ? s->count : s->desired);
    if (!s->decided)
        explain_step(d, LIMIT_INITIAL, s->count, "begins with %d", s->count);
}

static void ask_rules(struct control_service *s, const struct rule_context *ctx,
                      struct opinion *opinions, struct decision *d)
{
    d->opinion_count = s->conf.rule_count;
    for (uint32_t n = 0; n < s->conf.rule_count; n++) {
        const struct rule_conf *r = &s->conf.rules[n];
        rule_eval(r, &s->rule_states[n], ctx, &opinions[n]);
        d->opinions[n].opinion = opinions[n];
        str_copy(d->opinions[n].rule, sizeof(d->opinions[n].rule), r->name);
    }
}

/* What the rules want, as far as projection, stabilization and rates let them. */
static void follow_rules(struct control_service *s, const struct rule_context *ctx,
                         const struct opinion *opinions, const struct combined *combined,
                         struct decision *d)
{
    const struct service_conf *conf = &s->conf;
    explain_step(d, LIMIT_RULES, combined->want, "%s", combined->text);
    if (combined->want < ctx->current) {
        struct projection p;
        project_scale_in(conf->rules, opinions, conf->rule_count, ctx, combined->want, &p);
        explain_step(d, LIMIT_PROJECTION, p.count, "%s", p.text);
    }
    struct behavior_result b;
    behavior_apply(&conf->behavior, &s->behavior, ctx->now_us, ctx->current, explain_count(d), &b);
    explain_step(d, LIMIT_STABILIZE, b.stabilized, "%s", b.stabilize_text);
    explain_step(d, LIMIT_RATE, b.limited, "%s", b.limit_text);
    s->decide_next_us = MIN(s->decide_next_us, b.next_us);
}

/* Has there been no request at all over the window that scale-in looks at? Unknown is no. */
static bool is_idle(const struct control_service *s, const struct rule_context *ctx)
{
    const struct series *x = &s->series[METRIC_CONCURRENCY];
    double most;
    if (s->demand.connections > 0)
        return false;
    return series_covers(x, ctx->window_in_us, ctx->now_us) &&
           series_stat(x, SERIES_MAX, ctx->window_in_us, ctx->now_us, ctx->scratch, &most) == 0 &&
           most == 0;
}

/* Zero is not one less than one: a request that waits gets an instance at once, and the last
 * instance goes only when nothing came for a whole window. */
static void guard_zero(const struct control_service *s, const struct rule_context *ctx,
                       struct decision *d)
{
    if (explain_count(d) > 0)
        return;
    int64_t waiting = MAX(s->demand.in_flight, 0) + MAX(s->demand.queued, 0);
    if (waiting > 0)
        explain_step(d, LIMIT_RULES, 1, "%lld requests wait and nothing runs: 1",
                     (long long)waiting);
    else if (ctx->current > 0 && !is_idle(s, ctx)) {
        char window[32];
        num_format_duration(window, sizeof(window), ctx->window_in_us);
        explain_step(d, LIMIT_STABILIZE, 1, "to zero only after %s known to be without requests",
                     window);
    }
}

struct bounds {
    int32_t min, max;
    bool min_moved, max_moved; /* by a schedule */
};

static struct bounds bounds_now(struct control_service *s, const struct combined *x)
{
    int32_t set_min = x->set_count != RULE_ABSTAIN ? x->set_count : x->set_min;
    int32_t set_max = x->set_count != RULE_ABSTAIN ? x->set_count : x->set_max;
    s->schedule_min = set_min != RULE_ABSTAIN ? set_min : -1;
    s->schedule_max = set_max != RULE_ABSTAIN ? set_max : -1;
    struct bounds b = {
        .min = s->schedule_min >= 0 ? s->schedule_min : s->conf.min,
        .max = s->schedule_max >= 0 ? s->schedule_max : s->conf.max,
        .min_moved = s->schedule_min >= 0,
        .max_moved = s->schedule_max >= 0,
    };
    b.max = CLAMP(b.max, 0, MODEL_COUNT_MAX);
    b.min = CLAMP(b.min, 0, b.max);
    return b;
}

static void limit(const struct control *c, const struct control_service *s, const struct bounds *b,
                  struct decision *d)
{
    if (explain_count(d) < b->min)
        explain_step(d, b->min_moved ? LIMIT_SCHEDULE : LIMIT_MIN, b->min, "at least %d%s", b->min,
                     b->min_moved ? ", as scheduled" : "");
    if (explain_count(d) > b->max)
        explain_step(d, b->max_moved ? LIMIT_SCHEDULE : LIMIT_MAX, b->max, "at most %d%s", b->max,
                     b->max_moved ? ", as scheduled" : "");
    if (s->operator_count >= 0) {
        int32_t to = s->operator_forced ? s->operator_count : MIN(s->operator_count, b->max);
        explain_step(d, LIMIT_OPERATOR, to, "the operator set %d%s", s->operator_count,
                     to == s->operator_count ? s->operator_forced ? ", over max" : ""
                                             : ", but max holds");
    } else if (s->paused) {
        int32_t to = MIN(s->count, b->max);
        explain_step(d, LIMIT_PAUSED, to, "paused at %d", to);
    }
    if (c->lease_lost)
        explain_step(d, LIMIT_LEASE, s->count, "another controller holds the lease: stays %d",
                     s->count);
}

static bool is_news(const struct control *c, const struct control_service *s,
                    const struct decision *d, uint64_t signature)
{
    if (!s->decided || d->desired != d->before || d->cause == EVENT_OPERATOR)
        return true;
    return signature != s->signature && c->now_us - s->recorded_us >= CONTROL_REASON_US;
}

/* In advise mode the operator, and nobody else, changes what runs. */
static int32_t count_after(const struct control_service *s, const struct decision *d)
{
    if (s->conf.mode == SERVICE_AUTO)
        return d->desired;
    return s->operator_count >= 0 ? d->desired : s->count;
}

static void settle_on(struct control *c, struct control_service *s, const struct decision *d)
{
    uint64_t signature = explain_signature(d);
    bool news = is_news(c, s, d, signature);
    int32_t count = count_after(s, d);
    if (count != s->count)
        behavior_moved(&s->behavior, c->now_us, s->count, count);
    s->count = count;
    s->desired = d->desired;
    s->decided = true;
    if (!news)
        return;
    s->signature = signature;
    s->recorded_us = c->now_us;
    s->decision.sequence = ++c->sequence;
    control_emit(c, s, ACTION_RECORD)->decision = &s->decision;
}

void control_decide(struct control *c, struct control_service *s)
{
    if (!control_has_room(c)) { /* the record must go with the change */
        s->unfinished = true;
        return;
    }
    struct rule_context ctx;
    struct opinion opinions[MODEL_RULES_MAX];
    struct combined combined;
    struct decision *d = &s->decision;
    control_rule_context(c, s, &ctx);
    begin(c, s, &ctx, d);
    ask_rules(s, &ctx, opinions, d);
    combine(s->conf.rules, opinions, s->conf.rule_count, ctx.current, &combined);
    s->decide_next_us = US_NEVER;
    follow_rules(s, &ctx, opinions, &combined, d);
    guard_zero(s, &ctx, d);
    struct bounds b = bounds_now(s, &combined);
    limit(c, s, &b, d);
    explain_end(d);
    s->due = false;
    settle_on(c, s, d);
    for (uint32_t n = 0; n < s->conf.rule_count; n++) {
        int64_t at_us = rule_next_us(&s->conf.rules[n], &s->rule_states[n], &ctx);
        s->decide_next_us = MIN(s->decide_next_us, at_us);
    }
}
