/* A latency target and nothing else: how much one instance can carry within it is learnt (carry.h)
 * from spells of steady load, and the count follows from the load that there is. It owns the
 * spells, and the watch on whether more instances helped at all: where they share a bottleneck they
 * do not, and then it stops asking for more. It must never take an unknown for a measurement. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/carry.h"
#include "core/rule.h"

#define FAST_US (3 * US_PER_S)   /* what counts as now */
#define JUMP_US (5 * US_PER_S)   /* load is taken over this, */
#define RISE_US (30 * US_PER_S)  /* and over this */
#define SETTLE_US (5 * US_PER_S) /* a new count shows in latency after this */
#define HUNG_US (5 * US_PER_S)   /* beyond the target without any answer: it hangs */
#define SPELL_US_MIN (10 * US_PER_S)
#define SPELL_US_MAX (60 * US_PER_S)
#define SPELL_REQUESTS 1000 /* a p99 of fewer is noise: the spell goes on */
#define FEW_REQUESTS 100    /* ... and of so few, one bad spell says nothing */
#define RETRY_US_MIN (10 * US_PER_MIN)
#define RETRY_US_MAX US_PER_DAY

/* Shares of the target: beyond the first it is missed, scale-out aims at the second and scale-in at
 * the third, so that neither makes the other's work. */
#define MISSED 1.05
#define AIM_OUT 0.95
#define AIM_IN 0.85

#define HELPED 0.1      /* latency fell or throughput rose by as much: more instances helped */
#define TRIED 1.25      /* so many times the instances are a trial */
#define ELSEWHERE 0.25  /* load or latency changed by as much: worth another trial */
#define UNEXPLAINED 0.1 /* more load than was ever fine, by as much, explains a missed target */
#define RELIEVED 0.75   /* of what was in flight is left */
#define STEP_IN 5       /* beyond what was measured: one in so many at a time */
#define SIGMAS 5        /* arrivals are Poisson: within so many it is the same load */

/* A moment in the life of the whole service, to compare another one with. */
struct moment {
    int64_t ready; /* 0 = none */
    double latency_s, rate_per_s;
};

/* rule_state.more, as words. */
struct memory {
    struct carry carry;
    int64_t ready;         /* how many there were in this spell */
    int64_t since_us;      /* it began; 0 = none has */
    int64_t judged;        /* spells with this count that were */
    int64_t odd;           /* bad ones in a row that load does not explain */
    struct moment trial;   /* missed the target; since then there are more */
    struct moment blocked; /* what more instances did not change */
    int64_t blocked_tried; /* so many there were then */
    int64_t retry_us, pause_us;
    int64_t blind_us; /* when something was unknown last */
};

#define MEMORY_WORDS (sizeof(struct memory) / sizeof(int64_t))

/* What the series say of a window. */
struct load {
    double in_flight, rate_per_s, latency_s; /* of all; latency the rule's percentile */
};

static uint32_t slo_more_words(const struct rule_conf *r)
{
    return MEMORY_WORDS;
}

static enum metric slo_metric(const struct rule_conf *r, uint32_t n)
{
    const enum metric all[] = { r->slo.metric, METRIC_CONCURRENCY, METRIC_RPS, METRIC_ARRIVALS };
    return n < ARRAY_LEN(all) ? all[n] : METRIC_MAX;
}

/* -- memory ------------------------------------------------------------------------------------
 */

static void check_moment(struct moment *m)
{
    if (m->ready < 0 || m->ready > INT32_MAX || !isfinite(m->latency_s) || !isfinite(m->rate_per_s))
        *m = (struct moment){ 0 };
}

static void memory_load(struct memory *m, const struct rule_state *state,
                        const struct rule_context *ctx)
{
    static_assert(sizeof(struct memory) == MEMORY_WORDS * sizeof(int64_t),
                  "words and nothing else");
    assert(state->more && state->more_count >= MEMORY_WORDS);
    memcpy(m, state->more, sizeof(*m));
    carry_check(&m->carry);
    check_moment(&m->trial);
    check_moment(&m->blocked);
    if (m->since_us > us_add(ctx->now_us, SETTLE_US) || m->since_us < 0)
        m->since_us = 0;
    m->judged = CLAMP(m->judged, 0, INT32_MAX);
    m->odd = CLAMP(m->odd, 0, INT32_MAX);
    m->pause_us = CLAMP(m->pause_us, 0, RETRY_US_MAX);
    m->blocked_tried = CLAMP(m->blocked_tried, 0, INT32_MAX);
}

static void memory_save(const struct memory *m, struct rule_state *state)
{
    memcpy(state->more, m, sizeof(*m));
}

/* -- what is measured --------------------------------------------------------------------------
 */

static double mean(const struct rule_context *ctx, enum metric m, int64_t window_us)
{
    double value = 0;
    series_stat(&ctx->series[m], SERIES_AVG, window_us, ctx->now_us, NULL, &value);
    return value;
}

/* Seconds without an answer have no latency; idle ones say 0, and are none either. */
static double mean_latency(const struct series *s, int64_t window_us, int64_t now_us)
{
    double sum = 0, n = 0;
    for (uint32_t i = s->count; i > 0; i--) {
        const struct series_point *p = &s->points[(s->head + i - 1) % s->cap];
        if (p->at_us <= us_sub(now_us, window_us))
            break;
        if (p->mean > 0) {
            sum += p->mean;
            n++;
        }
    }
    return n > 0 ? sum / n : 0;
}

/* Something was in flight all the while that an answer may take, and longer, and none came: it has
 * hung. (By Little's law latency is then beyond every bound, but nobody has measured it.) */
static bool is_hung(const struct rule_conf *r, const struct rule_context *ctx)
{
    double least_in_flight, most_per_s;
    int64_t window_us = HUNG_US + (int64_t)MIN(r->slo.below_s * US_PER_S, (double)US_PER_DAY);
    return series_stat(&ctx->series[METRIC_CONCURRENCY], SERIES_MIN, window_us, ctx->now_us, NULL,
                       &least_in_flight) == 0 &&
           series_stat(&ctx->series[METRIC_RPS], SERIES_MAX, window_us, ctx->now_us, NULL,
                       &most_per_s) == 0 &&
           least_in_flight > 0 && most_per_s <= 0;
}

/* A second without an answer has no latency, and there is nothing unknown about that. */
static bool is_known(const struct rule_conf *r, const struct rule_context *ctx)
{
    double answered_per_s;
    const struct series *answered = &ctx->series[METRIC_RPS];
    if (!series_fresh(&ctx->series[METRIC_CONCURRENCY], ctx->now_us) ||
        series_stat(answered, SERIES_LAST, 0, ctx->now_us, NULL, &answered_per_s) < 0)
        return false;
    return answered_per_s == 0 || series_fresh(&ctx->series[r->slo.metric], ctx->now_us);
}

static bool covers(const struct memory *m, const struct rule_context *ctx, int64_t window_us)
{
    return series_covers(&ctx->series[METRIC_CONCURRENCY], window_us, ctx->now_us) &&
           series_covers(&ctx->series[METRIC_RPS], window_us, ctx->now_us) &&
           m->blind_us < us_sub(ctx->now_us, window_us);
}

static struct load measure(const struct rule_conf *r, const struct rule_context *ctx,
                           int64_t window_us)
{
    return (struct load){
        .in_flight = mean(ctx, METRIC_CONCURRENCY, window_us),
        .rate_per_s = mean(ctx, METRIC_RPS, window_us),
        .latency_s = mean_latency(&ctx->series[r->slo.metric], window_us, ctx->now_us),
    };
}

/* What comes, a second: as counted, or what is answered and by how much more is in flight. */
static double demand_over(const struct rule_context *ctx, int64_t window_us)
{
    double growth = 0;
    if (series_fresh(&ctx->series[METRIC_ARRIVALS], ctx->now_us))
        return mean(ctx, METRIC_ARRIVALS, window_us);
    series_stat(&ctx->series[METRIC_CONCURRENCY], SERIES_RATE, window_us, ctx->now_us, NULL,
                &growth);
    return MAX(0, mean(ctx, METRIC_RPS, window_us) + growth);
}

static struct carry_point each(const struct load *l, int64_t ready)
{
    return (struct carry_point){ l->rate_per_s / (double)ready, l->latency_s };
}

/* -- did more instances help? ------------------------------------------------------------------
 */

static bool differs(double a, double b, double by)
{
    return a > b * (1 + by) || a < b * (1 - by);
}

static void begin_trial(struct memory *m, const struct load *l)
{
    m->trial = (struct moment){ m->ready, l->latency_s, l->rate_per_s };
}

static void block(struct memory *m, const struct load *l, int64_t now_us)
{
    m->blocked = m->trial;
    m->blocked.latency_s = l->latency_s;
    m->blocked.rate_per_s = l->rate_per_s;
    m->blocked_tried = m->ready;
    m->trial = (struct moment){ 0 };
    m->carry = (struct carry){ 0 }; /* what it learnt was the bottleneck's, not an instance's */
    m->pause_us = CLAMP(us_mul(m->pause_us, 2), RETRY_US_MIN, RETRY_US_MAX);
    m->retry_us = us_add(now_us, m->pause_us);
}

static void unblock(struct memory *m)
{
    m->blocked = (struct moment){ 0 };
    m->blocked_tried = 0;
}

/* The target was missed in this spell, and not for the first time: has what came since helped? */
static void follow_trial(struct memory *m, const struct load *l, int64_t now_us)
{
    if (m->trial.ready == 0 || m->ready < m->trial.ready) {
        begin_trial(m, l);
        return;
    }
    if ((double)m->ready < (double)m->trial.ready * TRIED)
        return;
    if (l->latency_s < m->trial.latency_s * (1 - HELPED) ||
        l->rate_per_s > m->trial.rate_per_s * (1 + HELPED))
        begin_trial(m, l);
    else
        block(m, l, now_us);
}

/* -- spells ------------------------------------------------------------------------------------
 */

static bool explained(const struct memory *m, double each_per_s)
{
    return m->carry.good.rate_per_s > 0 &&
           each_per_s > m->carry.good.rate_per_s * (1 + UNEXPLAINED);
}

/* Far fewer in flight than in most of the spell: what was measured is a backlog's end. */
static bool is_relieved(const struct rule_context *ctx, const struct load *l)
{
    return mean(ctx, METRIC_CONCURRENCY, FAST_US) < l->in_flight * RELIEVED;
}

static void judge_missed(struct memory *m, const struct rule_conf *r, const struct load *l,
                         bool few, const struct rule_context *ctx)
{
    struct carry_point p = each(l, m->ready);
    if (m->blocked.ready > 0) {
        bool changed = differs(l->latency_s, m->blocked.latency_s, ELSEWHERE) ||
                       differs(l->rate_per_s, m->blocked.rate_per_s, ELSEWHERE);
        if (changed && ctx->now_us >= m->retry_us)
            unblock(m);
        return;
    }
    m->odd++;
    bool sure = explained(m, p.rate_per_s) && !few;
    if (!sure && m->odd < (few ? 3 : 2))
        return;
    follow_trial(m, l, ctx->now_us);
    if (m->blocked.ready == 0)
        carry_learn(&m->carry, &p, r->slo.below_s, (int32_t)m->ready);
}

static void judge(struct memory *m, const struct rule_conf *r, const struct load *l, bool few,
                  const struct rule_context *ctx)
{
    struct carry_point p = each(l, m->ready);
    m->judged = MIN(m->judged + 1, INT32_MAX);
    if (l->latency_s > r->slo.below_s * MISSED) {
        judge_missed(m, r, l, few, ctx);
        return;
    }
    m->odd = 0;
    if (l->latency_s > r->slo.below_s)
        return;
    unblock(m);
    m->trial = (struct moment){ 0 };
    m->pause_us = 0;
    carry_learn(&m->carry, &p, r->slo.below_s, (int32_t)m->ready);
}

/* A spell ends when it is long enough to be believed. A gap or another count ends it unjudged. */
static void follow_spell(struct memory *m, const struct rule_conf *r,
                         const struct rule_context *ctx)
{
    if (m->ready != ctx->ready) {
        m->ready = ctx->ready;
        m->judged = 0;
        m->since_us = us_add(ctx->now_us, SETTLE_US);
    }
    if (m->since_us == 0)
        m->since_us = ctx->now_us;
    int64_t length_us = ctx->now_us - m->since_us;
    if (length_us < SPELL_US_MIN)
        return;
    struct load l = measure(r, ctx, length_us);
    double requests = l.rate_per_s * (double)length_us / US_PER_S;
    if (requests < SPELL_REQUESTS && length_us < SPELL_US_MAX)
        return;
    bool whole = covers(m, ctx, length_us);
    m->since_us = ctx->now_us;
    bool hung = l.in_flight > 0 && l.rate_per_s <= 0;
    if (whole && !hung && !is_relieved(ctx, &l))
        judge(m, r, &l, requests < FEW_REQUESTS, ctx);
}

/* Latency has just left the target under more load than was ever fine: no need to wait for a whole
 * spell. */
static void follow_rush(struct memory *m, const struct rule_conf *r, const struct load *now,
                        double demand_per_s, const struct rule_context *ctx)
{
    bool settled = ctx->now_us - m->since_us >= FAST_US;
    double each_per_s = MAX(now->rate_per_s, demand_per_s) / ctx->ready;
    bool many = now->rate_per_s * FAST_US / US_PER_S >= FEW_REQUESTS;
    if (!settled || !many || m->blocked.ready > 0 || now->latency_s <= r->slo.below_s * MISSED ||
        !explained(m, each_per_s))
        return;
    struct carry_point p = each(now, ctx->ready);
    p.rate_per_s = MAX(p.rate_per_s, m->carry.good.rate_per_s * (1 + UNEXPLAINED));
    carry_learn(&m->carry, &p, r->slo.below_s, ctx->ready);
}

/* -- the opinion -------------------------------------------------------------------------------
 */

static int32_t count_for(double load_per_s, double each_per_s)
{
    if (!(load_per_s > 0))
        return 0;
    double n = ceil(load_per_s / each_per_s);
    return n < 1 ? 1 : n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

static int32_t ceiling(const struct rule_conf *r, const struct rule_context *ctx)
{
    if (!(r->slo.cost_max > 0 && ctx->cost > 0))
        return INT32_MAX;
    double most = floor(r->slo.cost_max / ctx->cost);
    return most < INT32_MAX ? (int32_t)most : INT32_MAX;
}

/* What has piled up beyond what can be in flight within the target (Little: in flight = load *
 * latency), to be worked off in the time that an instance takes to start. */
static double piled_up(const struct rule_conf *r, const struct rule_context *ctx,
                       double limit_per_s)
{
    double fits = limit_per_s * r->slo.below_s * ctx->ready;
    double over_s = MAX((double)ctx->start_us / US_PER_S, r->slo.below_s);
    return MAX(0, mean(ctx, METRIC_CONCURRENCY, 0) - fits) / over_s;
}

/* By how much a load that stays the same may seem to differ over a window: arrivals are Poisson's,
 * and so is what is in flight at either end. */
static double noise_of(double load_per_s, double in_flight, int64_t window_us)
{
    double window_s = (double)window_us / US_PER_S;
    return SIGMAS * sqrt(load_per_s * window_s + 2 * in_flight) / window_s;
}

/* For a load that is there and a limit that was measured, all at once. What is a guess, or would go
 * again with the backlog, at most doubles those that are ready: then it is seen what that did. */
static int32_t needed_over(const struct memory *m, const struct rule_conf *r,
                           const struct rule_context *ctx, int64_t window_us)
{
    double limit_per_s = carry_limit(&m->carry, r->slo.below_s * AIM_OUT);
    double load_per_s = demand_over(ctx, window_us);
    double all_per_s = load_per_s + piled_up(r, ctx, limit_per_s);
    double noise_per_s = noise_of(load_per_s, mean(ctx, METRIC_CONCURRENCY, FAST_US), window_us);
    int32_t sure = count_for(MAX(all_per_s - noise_per_s, 0), limit_per_s);
    if (sure <= ctx->current)
        return all_per_s > 0 ? MAX(1, sure) : 0;
    int32_t doubled = ctx->ready < INT32_MAX / 2 ? 2 * ctx->ready : INT32_MAX;
    int32_t tried = MIN(count_for(all_per_s, limit_per_s), MAX(doubled, ctx->current));
    bool measured = m->carry.good.rate_per_s > 0;
    return measured ? MAX(tried, count_for(load_per_s, limit_per_s)) : tried;
}

/* A jump shows in a few seconds, a slow rise above the noise only in more. */
static int32_t needed_out(const struct memory *m, const struct rule_conf *r,
                          const struct rule_context *ctx)
{
    return MAX(needed_over(m, r, ctx, JUMP_US), needed_over(m, r, ctx, RISE_US));
}

/* As far as what was measured reaches at once; beyond it a step at a time, each one measured. */
static int32_t needed_in(const struct memory *m, const struct rule_conf *r,
                         const struct rule_context *ctx)
{
    double load_per_s = demand_over(ctx, ctx->window_in_us);
    double proven_per_s = m->carry.good.rate_per_s;
    double reach_per_s = MAX(
        proven_per_s, carry_reach(&m->carry, r->slo.below_s * AIM_IN, r->slo.below_s * AIM_OUT));
    bool hung = mean(ctx, METRIC_CONCURRENCY, ctx->window_in_us) > 0 &&
                mean(ctx, METRIC_RPS, ctx->window_in_us) <= 0;
    if (hung)
        return ctx->current;
    if (!(load_per_s > 0))
        return 0;
    if (!(reach_per_s > 0) || ctx->ready != ctx->current || m->judged == 0)
        return ctx->current;
    int32_t step = ctx->current - MAX(1, ctx->current / STEP_IN);
    int32_t proven = proven_per_s > 0 ? count_for(load_per_s, proven_per_s) : ctx->current;
    return MAX(count_for(load_per_s, reach_per_s), MIN(proven, step));
}

static void opine_in(const struct memory *m, const struct rule_conf *r,
                     const struct rule_context *ctx, struct opinion *ret)
{
    if (!covers(m, ctx, ctx->window_in_us)) {
        ret->block_in = true;
        return;
    }
    int32_t needed = needed_in(m, r, ctx);
    if (m->blocked.ready > 0 && needed > 0)
        needed = (int32_t)m->blocked.ready;
    needed = MIN(needed, ceiling(r, ctx));
    ret->in = MIN(ctx->current, MAX(needed, ret->out));
}

static void say(const struct memory *m, const struct rule_conf *r, const struct rule_context *ctx,
                struct opinion *ret)
{
    char value[40], target[40], limit[40], piled[40];
    if (!ctx->words)
        return;
    const char *name = rule_metric_name(ctx, r->slo.metric);
    metric_format(value, sizeof(value), r->slo.metric, ret->value);
    metric_format(target, sizeof(target), r->slo.metric, r->slo.below_s);
    if (m->blocked.ready > 0) {
        metric_format(value, sizeof(value), r->slo.metric, m->blocked.latency_s);
        rule_say(ctx, ret,
                 "more instances did not help: %d -> %d left %s at %s (target %s); the bottleneck "
                 "is elsewhere",
                 (int)m->blocked.ready, (int)m->blocked_tried, name, value, target);
        return;
    }
    double limit_per_s = carry_limit(&m->carry, r->slo.below_s);
    fmt_double(limit, sizeof(limit), limit_per_s, 1);
    fmt_double(piled, sizeof(piled), limit_per_s * r->slo.below_s, 1);
    if (isinf(limit_per_s))
        rule_say(ctx, ret, "%s %s, target %s: no load is known to be too much yet", name, value,
                 target);
    else
        rule_say(ctx, ret, "%s %s, target %s: one carries %s/s, %s in flight: needs %d%s", name,
                 value, target, limit, piled, ret->out,
                 ret->out == ceiling(r, ctx) ? ", all that the cost ceiling allows" : "");
}

static void opine(struct memory *m, const struct rule_conf *r, const struct rule_context *ctx,
                  struct opinion *ret)
{
    struct load now = measure(r, ctx, FAST_US);
    follow_spell(m, r, ctx);
    follow_rush(m, r, &now, demand_over(ctx, JUMP_US), ctx);
    ret->known = true;
    ret->value = now.latency_s;
    if (m->blocked.ready == 0)
        ret->out = MIN(needed_out(m, r, ctx), ceiling(r, ctx));
    opine_in(m, r, ctx, ret);
    say(m, r, ctx, ret);
}

static void say_unknown(const struct rule_conf *r, const struct rule_context *ctx,
                        struct opinion *ret)
{
    bool hung = ctx->ready > 0 && is_known(r, ctx);
    rule_say(ctx, ret, "%s is unknown%s: no scale-in", rule_metric_name(ctx, r->slo.metric),
             hung ? ", requests are in flight and none is answered" : "");
}

static void slo_eval(const struct rule_conf *r, struct rule_state *state,
                     const struct rule_context *ctx, struct opinion *ret)
{
    struct memory m;
    memory_load(&m, state, ctx);
    if (ctx->current == 0) {
        m.since_us = 0;
        rule_say(ctx, ret, "latency says nothing while none runs");
    } else if (ctx->ready == 0 || !is_known(r, ctx) || is_hung(r, ctx)) {
        m.since_us = 0;
        m.blind_us = ctx->now_us;
        ret->block_in = true;
        say_unknown(r, ctx, ret);
    } else {
        opine(&m, r, ctx, ret);
    }
    memory_save(&m, state);
}

/* The count that it needs is in its opinion already; blocked, it asks for nothing. */
static bool slo_asks_out(const struct rule_conf *r, const struct opinion *o,
                         const struct rule_context *ctx, int32_t count, double *ret_value)
{
    if (o->out == RULE_ABSTAIN || count >= o->out)
        return false;
    *ret_value = o->value * ctx->current / MAX(count, 1);
    return true;
}

const struct rule_ops rule_slo = {
    .name = "slo",
    .measures = true,
    .more_words = slo_more_words,
    .metric = slo_metric,
    .eval = slo_eval,
    .asks_out = slo_asks_out,
};
