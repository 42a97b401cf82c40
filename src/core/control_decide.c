/* From rules to one count, and the record of how. The order of those who limit is DESIGN.md's: the
 * rules and what holds them back, then the bounds, the budget, the operator, the lease. Changes the
 * desired count and what rules remember; acts on nothing.
 *
 * Nearly all decisions change nothing and are read by nobody. So each is made without words first,
 * and when it is news a second time, at the same instant, with them. */
#include <assert.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/combine.h"
#include "core/control_int.h"
#include "core/project.h"

/* Field by field: clearing all of it first takes longer than the rest. */
void control_rule_context(const struct control *c, const struct control_service *s,
                          struct rule_context *ret)
{
    ret->now_us = c->now_us;
    ret->wall_us = c->wall_us;
    ret->current = s->count;
    ret->ready = (int32_t)s->in_state[INSTANCE_READY];
    ret->starting = control_starting(s);
    ret->window_in_us = s->conf->window_in_us;
    ret->start_us = s->start_us;
    ret->cost = s->conf->cost;
    ret->words = false;
    ret->series = s->series;
    ret->metrics = s->conf->metrics;
    ret->instances = s->instances;
    ret->instance_count = s->instance_count;
    ret->zones = c->zones;
    ret->zone_count = c->zone_count;
    ret->peers = c->peers;
    ret->peer_count = c->top;
    ret->scratch = c->scratch;
}

static int32_t as_count(int64_t n)
{
    return (int32_t)MIN(n, INT32_MAX);
}

/* What only a reader wants to know. */
static void describe(const struct control *c, const struct control_service *s, struct decision *d)
{
    d->sequence = 0;
    d->now_us = c->now_us;
    d->wall_us = c->wall_us;
    d->slot = s->slot;
    d->token = c->token;
    d->ready = (int32_t)s->in_state[INSTANCE_READY];
    d->starting = control_starting(s);
    d->draining = control_draining(s);
    d->in_flight = as_count(s->demand.in_flight);
    d->queued = as_count(s->demand.queued);
    str_copy(d->service, sizeof(d->service), s->conf->name);
}

/* Only what is going to be read is filled in: a decision is long. */
static void begin(const struct control *c, const struct control_service *s, struct decision *d)
{
    if (!d->silent)
        describe(c, s, d);
    d->cause = s->cause;
    d->advise = s->conf->mode == SERVICE_ADVISE;
    d->before = s->desired;
    d->opinion_count = s->conf->rule_count;
    explain_begin(d, s->decided ? s->count : s->desired);
    if (!s->decided)
        explain_step(d, LIMIT_INITIAL, s->count, "begins with %d", s->count);
}

static void note_opinion(const struct rule_conf *r, const struct opinion *o, struct decision *d,
                         uint32_t n)
{
    struct decision_opinion *x = &d->opinions[n];
    if (d->silent) {
        x->opinion.known = o->known;
        x->opinion.block_in = o->block_in;
        return;
    }
    x->opinion = *o;
    str_copy(x->rule, sizeof(x->rule), r->name);
}

/* Rules that measure are told of the instances that are not to be kept free. */
static void ask_rules(const struct control *c, struct control_service *s, struct rule_context *ctx,
                      struct opinion *opinions, struct decision *d)
{
    int32_t current = ctx->current, without = control_without_headroom(s->conf, current);
    bool rehearsal = s == c->understudy;
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        const struct rule_conf *r = &s->conf->rules[n];
        struct rule_state *state = &s->rule_states[n];
        if (rehearsal && state->more) {
            memcpy(c->more, state->more, state->more_count * sizeof(*c->more));
            state->more = c->more;
        }
        ctx->current = rule_ops(r->kind)->measures ? without : current;
        rule_eval(r, state, ctx, &opinions[n]);
        ctx->current = current;
        note_opinion(r, &opinions[n], d, n);
        int64_t at_us = rule_next_us(r, state, ctx);
        s->decide_next_us = MIN(s->decide_next_us, at_us);
    }
}

static void say_rules(const struct service_conf *conf, const struct opinion *opinions,
                      const struct combined *x, struct decision *d)
{
    char text[DECISION_TEXT_MAX];
    text[0] = '\0';
    if (!d->silent)
        combine_say(conf->rules, opinions, x, text, sizeof(text));
    explain_step(d, LIMIT_RULES, x->want, "%s", text);
}

/* What the rules want: law 1, and what is to be kept free beyond it. */
static void follow_rules(struct control_service *s, const struct rule_context *ctx,
                         struct opinion *opinions, struct combined *combined, struct decision *d)
{
    const struct service_conf *conf = s->conf;
    combine(conf->rules, opinions, conf->rule_count, ctx->current, combined);
    if (combined->want != explain_count(d))
        say_rules(conf, opinions, combined, d);
    if (!(conf->headroom > 0))
        return;
    control_add_headroom(conf, opinions);
    combine(conf->rules, opinions, conf->rule_count, ctx->current, combined);
    explain_step(d, LIMIT_HEADROOM, combined->want, "keeps %d free",
                 combined->want - explain_count(d));
}

static void project(struct control_service *s, const struct rule_context *ctx,
                    const struct opinion *opinions, struct decision *d)
{
    const struct service_conf *conf = s->conf;
    char text[DECISION_TEXT_MAX];
    struct projection p;
    text[0] = '\0';
    project_scale_in(conf->rules, opinions, conf->rule_count, ctx, explain_count(d), &p);
    if (!d->silent)
        project_say(conf->rules, &p, text, sizeof(text));
    explain_step(d, LIMIT_PROJECTION, p.count, "%s", text);
}

static void say_behavior(const struct behavior_conf *conf, int32_t current,
                         const struct behavior_result *b, struct decision *d)
{
    char text[DECISION_TEXT_MAX];
    text[0] = '\0';
    if (!d->silent)
        behavior_say_stabilized(conf, explain_count(d), b, text, sizeof(text));
    explain_step(d, LIMIT_STABILIZE, b->stabilized, "%s", text);
    if (!d->silent)
        behavior_say_limited(conf, current, b, text, sizeof(text));
    explain_step(d, LIMIT_RATE, b->limited, "%s", text);
}

static void behave(struct control_service *s, const struct rule_context *ctx, struct decision *d)
{
    struct behavior_result b;
    int32_t want = explain_count(d);
    behavior_apply(&s->conf->behavior, &s->behavior, ctx->now_us, ctx->current, want, &b);
    s->decide_next_us = MIN(s->decide_next_us, b.next_us);
    if (b.stabilized != want || b.limited != want)
        say_behavior(&s->conf->behavior, ctx->current, &b, d);
}

/* Has there been no request at all over the window that scale-in looks at? Unknown is no; but who
 * never had a proxy before it has no requests either. */
static bool is_idle(const struct control_service *s, const struct rule_context *ctx)
{
    const struct series *x = &s->series[METRIC_CONCURRENCY];
    double most;
    if (!s->demand_seen)
        return us_sub(ctx->now_us, s->since_us) >= ctx->window_in_us;
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
    int32_t min_asked;         /* what min would be but for max */
    bool min_moved, max_moved; /* by a schedule */
};

static struct bounds bounds_now(struct control_service *s, const struct combined *x)
{
    s->schedule_min = x->set_min != RULE_ABSTAIN ? x->set_min : -1;
    s->schedule_max = x->set_max != RULE_ABSTAIN ? x->set_max : -1;
    struct bounds b = {
        .min = s->schedule_min >= 0 ? s->schedule_min : s->conf->min,
        .max = s->schedule_max >= 0 ? s->schedule_max : s->conf->max,
        .min_moved = s->schedule_min >= 0,
        .max_moved = s->schedule_max >= 0,
    };
    b.max = CLAMP(b.max, 0, MODEL_COUNT_MAX);
    b.min_asked = b.min;
    b.min = CLAMP(b.min, 0, b.max);
    return b;
}

static void bound(struct control_service *s, const struct bounds *b, struct decision *d)
{
    int32_t want = CLAMP(explain_count(d), b->min, b->max);
    if (want > explain_count(d) && b->min_asked > b->min)
        explain_step(d, b->max_moved ? LIMIT_SCHEDULE : LIMIT_MAX, want,
                     "%d: min is %d, but max holds", want, b->min_asked);
    else if (want > explain_count(d))
        explain_step(d, b->min_moved ? LIMIT_SCHEDULE : LIMIT_MIN, want, "at least %d%s", want,
                     b->min_moved ? ", as scheduled" : "");
    if (want < explain_count(d))
        explain_step(d, b->max_moved ? LIMIT_SCHEDULE : LIMIT_MAX, want, "at most %d%s", want,
                     b->max_moved ? ", as scheduled" : "");
    s->min_now = b->min;
}

/* Who may do as they like. */
static void overrule(const struct control *c, const struct control_service *s, int32_t max,
                     struct decision *d)
{
    if (s->operator_count >= 0) {
        int32_t to = s->operator_forced ? s->operator_count : MIN(s->operator_count, max);
        explain_step(d, LIMIT_OPERATOR, to, "the operator set %d%s", s->operator_count,
                     to == s->operator_count ? s->operator_forced ? ", over max" : ""
                                             : ", but max holds");
    } else if (s->paused) {
        int32_t to = MIN(s->count, max);
        explain_step(d, LIMIT_PAUSED, to, "paused at %d", to);
    }
    if (!c->lease_lost)
        return;
    /* Before the first decision the count is what it would begin with, if nothing held it. */
    int32_t to = s->decided ? s->count : MIN(s->count, explain_count(d));
    explain_step(d, LIMIT_LEASE, to, "the lease is not held: stays %d", to);
}

/* What is wanted by itself, whatever holds it back for a while. */
static void note_wish(struct control_service *s, int64_t now_us, int32_t want,
                      const struct bounds *b)
{
    bool free = s->operator_count < 0 && !s->paused;
    bool wants_in = free && CLAMP(want, b->min, b->max) < s->count;
    if (!wants_in || s->wants_in_us == 0)
        s->wants_in_us = wants_in ? now_us : 0;
}

/* Fills `d`, which says whether anybody is going to read it. */
static void evaluate(const struct control *c, struct control_service *s,
                     struct budget_state *budget, struct decision *d)
{
    struct rule_context ctx;
    struct opinion opinions[MODEL_RULES_MAX];
    struct combined combined;
    s->decide_next_us = US_NEVER;
    control_rule_context(c, s, &ctx);
    ctx.words = !d->silent;
    begin(c, s, d);
    ask_rules(c, s, &ctx, opinions, d);
    follow_rules(s, &ctx, opinions, &combined, d);
    if (explain_count(d) < ctx.current)
        project(s, &ctx, opinions, d);
    if (s->conf->change_cost_us > 0)
        control_limit_change(s, &ctx, d);
    struct bounds b = bounds_now(s, &combined);
    note_wish(s, c->now_us, explain_count(d), &b);
    behave(s, &ctx, d);
    guard_zero(s, &ctx, d);
    bound(s, &b, d);
    if (s->conf->after_count > 0 || s->followed)
        control_limit_order(c, s, b.max, d);
    s->asked = explain_count(d);
    s->spent = -1;
    if (budget)
        control_limit_budget(c, s, budget, d);
    overrule(c, s, b.max, d);
    if (!d->silent)
        explain_end(d);
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
    if (s->conf->mode == SERVICE_AUTO)
        return d->desired;
    return s->operator_count >= 0 ? d->desired : s->count;
}

static struct budget_state *budget_of(struct control *c, const struct control_service *s)
{
    bool has = s->conf->budget >= 0 && (uint32_t)s->conf->budget < c->budget_count;
    return has ? &c->budgets[s->conf->budget].state : NULL;
}

static void record(struct control *c, struct control_service *s, uint64_t signature)
{
    struct decision *d = &c->said[c->said_count++];
    d->silent = false;
    evaluate(c, s, budget_of(c, s), d);
    assert(d->desired == c->silent->desired); /* or a rule is not as rule.h wants it */
    s->signature = signature;
    s->recorded_us = c->now_us;
    s->said = c->said_count;
    s->said_step = c->step;
    d->sequence = ++c->sequence;
    control_emit(c, s, ACTION_RECORD)->decision = d;
}

void control_decide(struct control *c, struct control_service *s)
{
    if (!control_has_room(c) || c->said_count == CONTROL_SAID_MAX) {
        s->unfinished = c->unfinished = true; /* the record must go with the change */
        return;
    }
    struct decision *d = c->silent;
    d->silent = true;
    evaluate(c, s, budget_of(c, s), d);
    uint64_t signature = explain_signature(d);
    if (is_news(c, s, d, signature))
        record(c, s, signature);
    int32_t before = s->count;
    s->count = count_after(s, d);
    s->desired = d->desired;
    s->decided = s->evaluated = true;
    s->due = false;
    if (s->count != before) {
        behavior_moved(&s->behavior, c->now_us, before, s->count);
        control_find_mark(s);
        s->touched = true;
    }
    control_limits_settle(c, s, before);
}

const struct decision *control_rehearse(const struct control *c, const struct control_service *s)
{
    struct control_service *x = c->understudy;
    bool has_budget = s->conf->budget >= 0 && (uint32_t)s->conf->budget < c->budget_count;
    struct budget_state budget = { 0 };
    if (has_budget)
        budget = c->budgets[s->conf->budget].state;
    *x = *s;
    c->view->silent = false;
    evaluate(c, x, has_budget ? &budget : NULL, c->view);
    return c->view;
}
