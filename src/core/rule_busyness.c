/* Busyness as uWSGI's cheaper_busyness scales on it: how busy the instances were over a cycle adds
 * some at once and removes one only now and then, and a stop that had to be taken back makes the
 * next ones rarer. It owns its cycles, their counters and the backlog's emergency. It must not ask
 * again while what it asked for has not come, nor judge a cycle in which the load was unknown.
 *
 * Source: uWSGI, plugins/cheaper_busyness/cheaper_busyness.c (where the penalty is 2, not the 1 of
 * the manual) and Cheaper.rst. uWSGI measures the running time of its workers; we take the mean
 * over the cycle of min(1, concurrency / (ready * slots)). Of a cycle of `overload`:
 *
 *     over `most`     starts `step`. Within multiplier cycles after a stop the multiplier grows by
 *                     `penalty`, else it shrinks by one, never below what it began with.
 *     under `least`   stops one, multiplier cycles after the last start or stop; of stops in a row
 *                     each makes the multiplier one smaller
 *     in between      the next stop waits one cycle longer; from the third in a row on, multiplier
 *                     cycles from then
 *
 * With one instance only the first applies. Every second: more than `backlog_alert` requests
 * waiting, or any for `backlog_nonzero`, start some at once and reset the multiplier; as long as
 * there are more of these than have been stopped, or cycles in between, a stop waits
 * backlog_multiplier cycles only. A start or stop counts when it has been had: what others forbid
 * changes no counter. */
#include <assert.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/model.h"
#include "core/rule.h"

#define CALM_CYCLES 3
#define BACKLOG_CHECK_US US_PER_S

/* What it remembers, in rule_state.more. Instants are monotonic, 0 = none. */
struct memory {
    int64_t begun_us;  /* this cycle */
    int64_t seen_us;   /* up to here the cycle is in `busy_us` */
    double busy_us;    /* busyness times time of this cycle */
    double busyness;   /* of the last whole cycle */
    int64_t judged_us; /* when that ended */
    int64_t next_stop_us, stopped_us;
    int64_t stopped_last; /* 1 = the last action was a stop */
    int64_t multiplier;   /* 0 = not begun */
    int64_t calm_cycles;  /* in between, in a row */
    int64_t emergencies;  /* instances started for the backlog, less those stopped since */
    int64_t asked;        /* for: -1, 0 = nothing, or so many more, */
    int64_t asked_from;   /* when there were so many, */
    int64_t asked_us;     /* then, */
    int64_t urgent;       /* 1 = for the backlog */
    int64_t grown_us;     /* when more was asked for last */
    int64_t waiting_us;   /* since when there is a backlog */
};
static_assert(sizeof(struct memory) % sizeof(int64_t) == 0, "kept as words");

static uint32_t busyness_more_words(const struct rule_conf *r)
{
    return sizeof(struct memory) / sizeof(int64_t);
}

static void recall(const struct rule_state *state, struct memory *ret)
{
    assert(state->more && state->more_count * sizeof(int64_t) >= sizeof(*ret));
    memcpy(ret, state->more, sizeof(*ret));
    /* A file may have put anything there. */
    if (!(ret->busy_us >= 0 && ret->busyness >= 0 && ret->busyness <= 1))
        ret->busy_us = ret->busyness = 0;
    ret->calm_cycles = CLAMP(ret->calm_cycles, 0, CALM_CYCLES);
    ret->emergencies = CLAMP(ret->emergencies, 0, MODEL_COUNT_MAX);
    ret->asked = CLAMP(ret->asked, -1, MODEL_COUNT_MAX);
    ret->asked_from = CLAMP(ret->asked_from, 0, MODEL_COUNT_MAX);
}

/* -- asking, and having it -----------------------------------------------------------------------
 */

static void put_off_stop(const struct rule_busyness_conf *b, struct memory *m, int64_t from_us)
{
    int64_t cycles = m->emergencies > 0 ? b->backlog_multiplier : m->multiplier;
    m->next_stop_us = us_add(from_us, us_mul(b->overload_us, cycles));
}

static void shrink_multiplier(const struct rule_busyness_conf *b, struct memory *m)
{
    m->multiplier = MAX(m->multiplier - 1, b->multiplier);
}

static void ask(struct memory *m, const struct rule_context *ctx, int64_t change, bool urgent)
{
    m->asked = change;
    m->asked_from = ctx->current;
    m->asked_us = ctx->now_us;
    m->urgent = urgent;
}

static void ask_more(struct memory *m, const struct rule_context *ctx, int32_t step, bool urgent)
{
    m->asked = MAX(m->asked, 0);
    if (ctx->starting > 0) /* law 2 */
        return;
    m->grown_us = ctx->now_us;
    ask(m, ctx, step, urgent);
}

static void count_start(const struct rule_busyness_conf *b, struct memory *m, int64_t started)
{
    int64_t cycles = us_sub(m->asked_us, m->stopped_us) / MAX(b->overload_us, 1);
    if (m->urgent) {
        m->multiplier = b->multiplier;
        m->emergencies = MIN(m->emergencies + started, MODEL_COUNT_MAX);
    } else if (m->stopped_us > 0 && cycles <= m->multiplier) {
        m->multiplier = us_add(m->multiplier, b->penalty);
    } else {
        shrink_multiplier(b, m);
    }
    m->stopped_last = 0;
    put_off_stop(b, m, m->asked_us);
}

static void count_stop(const struct rule_busyness_conf *b, struct memory *m)
{
    if (m->stopped_last)
        shrink_multiplier(b, m);
    m->stopped_last = 1;
    m->stopped_us = m->asked_us;
    put_off_stop(b, m, m->asked_us);
    m->emergencies = MAX(m->emergencies - 1, 0);
}

/* Has come what was asked for, or some of it? */
static void take_stock(const struct rule_busyness_conf *b, struct memory *m,
                       const struct rule_context *ctx)
{
    int64_t change = us_sub(ctx->current, m->asked_from);
    if (m->asked > 0 && change > 0)
        count_start(b, m, MIN(change, MODEL_COUNT_MAX));
    else if (m->asked < 0 && change < 0)
        count_stop(b, m);
    else
        return;
    m->asked = 0;
}

/* -- a cycle -------------------------------------------------------------------------------------
 */

static void judge_busy(const struct rule_busyness_conf *b, struct memory *m,
                       const struct rule_context *ctx)
{
    m->calm_cycles = 0;
    ask_more(m, ctx, b->step, false);
}

static void judge_idle(struct memory *m, const struct rule_context *ctx)
{
    m->asked = 0;
    if (ctx->current <= 1)
        return;
    m->calm_cycles = 0;
    if (ctx->now_us >= m->next_stop_us)
        ask(m, ctx, -1, false);
}

static void judge_between(const struct rule_busyness_conf *b, struct memory *m,
                          const struct rule_context *ctx)
{
    m->asked = 0;
    if (ctx->current <= 1)
        return;
    m->emergencies = MAX(m->emergencies - 1, 0);
    m->calm_cycles = MIN(m->calm_cycles + 1, CALM_CYCLES);
    if (m->calm_cycles < CALM_CYCLES)
        m->next_stop_us = us_add(m->next_stop_us, b->overload_us);
    else
        put_off_stop(b, m, ctx->now_us);
}

static void begin_cycle(struct memory *m, int64_t now_us)
{
    m->begun_us = m->seen_us = now_us;
    m->busy_us = 0;
}

static double share_of(const struct rule_busyness_conf *b, double concurrency, int32_t count)
{
    return MIN(1, concurrency / (count * b->slots));
}

/* Time goes on to now; true at the end of a cycle. */
static bool pass_time(const struct rule_busyness_conf *b, struct memory *m,
                      const struct rule_context *ctx, double share)
{
    bool sane = m->begun_us <= m->seen_us && m->seen_us <= ctx->now_us;
    if (m->begun_us == 0 || !sane || ctx->series[METRIC_CONCURRENCY].gap_us >= m->begun_us)
        begin_cycle(m, ctx->now_us);
    m->busy_us += share * (double)us_sub(ctx->now_us, m->seen_us);
    m->seen_us = ctx->now_us;
    int64_t length_us = us_sub(ctx->now_us, m->begun_us);
    if (length_us == 0 || length_us < b->overload_us)
        return false;
    m->busyness = m->busy_us / (double)length_us;
    m->judged_us = ctx->now_us;
    begin_cycle(m, ctx->now_us);
    return true;
}

/* -- the backlog ---------------------------------------------------------------------------------
 */

/* How many to start for it now. */
static int32_t emergency(const struct rule_busyness_conf *b, struct memory *m,
                         const struct rule_context *ctx)
{
    static const struct rule_metric newest = { .metric = METRIC_QUEUE };
    double waiting;
    if (rule_metric_value(&newest, ctx, &waiting) < 0 || waiting <= 0) {
        m->waiting_us = 0;
        return 0;
    }
    if (waiting > b->backlog_alert)
        return us_sub(ctx->now_us, m->grown_us) >= BACKLOG_CHECK_US ? b->backlog_step : 0;
    if (m->waiting_us == 0)
        m->waiting_us = ctx->now_us;
    if (us_sub(ctx->now_us, m->waiting_us) < b->backlog_nonzero_us)
        return 0;
    m->waiting_us = ctx->now_us;
    return 1;
}

/* -- the opinion ---------------------------------------------------------------------------------
 */

static void judge(const struct rule_busyness_conf *b, struct memory *m,
                  const struct rule_context *ctx, bool ended)
{
    int32_t urgent = emergency(b, m, ctx);
    if (ended && m->busyness > b->most)
        judge_busy(b, m, ctx);
    else if (urgent > 0)
        ask_more(m, ctx, urgent, true);
    else if (ended && m->busyness < b->least)
        judge_idle(m, ctx);
    else if (ended)
        judge_between(b, m, ctx);
}

static void explain(const struct rule_busyness_conf *b, const struct memory *m,
                    const struct rule_context *ctx, struct opinion *ret)
{
    if (!ctx->words)
        return;
    char busy[24] = "not yet measured", least[24], most[24], wait[40];
    if (m->judged_us > 0)
        metric_format(busy, sizeof(busy), METRIC_CPU, m->busyness);
    metric_format(least, sizeof(least), METRIC_CPU, b->least);
    metric_format(most, sizeof(most), METRIC_CPU, b->most);
    num_format_duration_short(wait, sizeof(wait), MAX(0, us_sub(m->next_stop_us, ctx->now_us)));
    bool waits = m->asked == 0 && m->judged_us > 0 && m->busyness < b->least && ctx->current > 1;
    rule_say(ctx, ret, "busyness %s, bounds %s and %s: %s%s%s", busy, least, most,
             m->asked > 0   ? "wants more"
             : m->asked < 0 ? "wants one fewer"
             : waits        ? "one fewer in "
                            : "as it is",
             waits ? wait : "", m->asked > 0 && m->urgent ? ", for the backlog" : "");
}

static void busyness_eval(const struct rule_conf *r, struct rule_state *state,
                          const struct rule_context *ctx, struct opinion *ret)
{
    static const struct rule_metric newest = { .metric = METRIC_CONCURRENCY };
    const struct rule_busyness_conf *b = &r->busyness;
    struct memory m;
    double concurrency;
    recall(state, &m);
    if (m.multiplier <= 0) {
        m.multiplier = b->multiplier;
        put_off_stop(b, &m, ctx->now_us);
    }
    take_stock(b, &m, ctx);
    ret->known = ctx->ready > 0 && rule_metric_value(&newest, ctx, &concurrency) == 0;
    if (!ret->known) {
        m.begun_us = 0;
        ret->block_in = ctx->current > 0;
        if (us_sub(ctx->now_us, m.grown_us) >= BACKLOG_CHECK_US || m.asked < 0)
            m.asked = 0;
    }
    judge(b, &m, ctx, ret->known && pass_time(b, &m, ctx, share_of(b, concurrency, ctx->ready)));
    ret->value = m.busyness;
    if (m.asked > 0)
        ret->out = (int32_t)(MIN(m.asked_from, ctx->current) + m.asked);
    if (ret->known)
        ret->in = m.asked < 0 ? MAX(ctx->current - 1, 0) : ctx->current;
    if (ret->known || m.asked > 0)
        explain(b, &m, ctx, ret);
    else
        rule_say(ctx, ret,
                 ctx->ready > 0 ? "concurrency is unknown: no scale-in"
                                : "none is ready: busyness is unknown");
    memcpy(state->more, &m, sizeof(m));
}

static bool busyness_asks_out(const struct rule_conf *r, const struct opinion *o,
                              const struct rule_context *ctx, int32_t count, double *ret_value)
{
    static const struct rule_metric newest = { .metric = METRIC_CONCURRENCY };
    const struct rule_busyness_conf *b = &r->busyness;
    double concurrency = 0;
    if (count <= 0)
        return false;
    rule_metric_value(&newest, ctx, &concurrency);
    double value = MAX(share_of(b, concurrency, count), MIN(1, o->value * ctx->ready / count));
    if (value <= b->most)
        return false;
    *ret_value = value;
    return true;
}

static int64_t busyness_next_us(const struct rule_conf *r, const struct rule_state *state,
                                const struct rule_context *ctx)
{
    struct memory m;
    recall(state, &m);
    int64_t cycle_us = m.begun_us > 0 ? us_add(m.begun_us, r->busyness.overload_us) : 0;
    int64_t backlog_us =
        m.waiting_us > 0 ? us_add(m.waiting_us, r->busyness.backlog_nonzero_us) : 0;
    int64_t next_us = cycle_us > ctx->now_us ? cycle_us : US_NEVER;
    return backlog_us > ctx->now_us ? MIN(next_us, backlog_us) : next_us;
}

static enum metric busyness_metric(const struct rule_conf *r, uint32_t n)
{
    static const enum metric metrics[] = { METRIC_CONCURRENCY, METRIC_QUEUE };
    return n < ARRAY_LEN(metrics) ? metrics[n] : METRIC_MAX;
}

const struct rule_ops rule_busyness = {
    .name = "busyness",
    .more_words = busyness_more_words,
    .metric = busyness_metric,
    .eval = busyness_eval,
    .asks_out = busyness_asks_out,
    .next_us = busyness_next_us,
};
