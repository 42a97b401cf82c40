/* Be there before the load is: what the service will need over the time that an instance takes to
 * start, and a margin, as the weeks before say. It owns the minutes and buckets that are not over
 * yet. It only adds: it has no opinion on scaling in, and none at all before a model has seen two
 * of its seasons and been tested for half a day.
 *
 *     needed = ceil(max over k = 1..K of forecast(k) * (1 + m)),  K = buckets from the newest to
 *                                                                 now + start time + margin
 *
 * Model and m are the back-test's (backtest.h), at the horizon K. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/backtest.h"
#include "core/demand.h"
#include "core/event.h"
#include "core/forecast.h"

#define STEP_LEAST_US (900 * US_PER_MS)

struct memory {
    int64_t seen_us; /* monotonic; 0 = nothing yet */
    int64_t minute;  /* of the wall clock; the one that is not over */
    double minute_sum;
    int64_t minute_count;
    int64_t bucket; /* not over */
    double most;    /* of its minutes; < 0 = none */
    int64_t chosen; /* 1 = `choice` and `bound` count */
    int64_t kind;
    double held, judged;
    double forecast, bound; /* largest over the horizon */
    struct forecast forecasts;
    struct backtest tests;
} __attribute__((may_alias));
static_assert(sizeof(struct memory) % sizeof(int64_t) == 0, "kept as words");
static_assert(sizeof(struct memory) <= 65536, "bounded");

static uint32_t predictive_more_words(const struct rule_conf *r)
{
    return sizeof(struct memory) / sizeof(int64_t);
}

static bool is_sane(const struct memory *m)
{
    return m->seen_us >= 0 && m->minute_count >= 0 && m->minute_count < INT32_MAX &&
           m->minute_sum >= 0 && (uint64_t)m->kind < FORECAST_MODELS && m->bound >= 0 &&
           m->bound < 1e12 && forecast_is_sane(&m->forecasts) && backtest_is_sane(&m->tests);
}

/* -- what is known of the future -----------------------------------------------------------------
 */

static void foresee(struct memory *m)
{
    struct backtest_choice c;
    m->chosen = 0;
    if (backtest_choose(&m->tests, &m->forecasts, &c) < 0)
        return;
    double most = -1;
    for (int32_t k = 1; k <= m->tests.ahead; k++) {
        double load = forecast_ahead(&m->forecasts, c.kind, k);
        most = load > most ? load : most;
    }
    if (most < 0)
        return;
    m->chosen = 1;
    m->kind = c.kind;
    m->held = c.held;
    m->judged = (double)c.judged;
    m->forecast = most;
    m->bound = MIN(most * (1 + c.margin), 1e9);
}

static void take_bucket(struct memory *m, int64_t number, double load)
{
    int64_t before = m->forecasts.history.newest;
    forecast_see(&m->forecasts, number, load);
    if (m->forecasts.history.newest != before || m->forecasts.history.count == 1)
        backtest_see(&m->tests, &m->forecasts);
}

/* A minute is over. Buckets end with the first minute of the next. */
static bool take_minute(struct memory *m, int64_t minute, double load)
{
    int64_t bucket = minute * US_PER_MIN / FORECAST_BUCKET_US;
    bool over = bucket != m->bucket && m->most >= 0;
    if (over)
        take_bucket(m, m->bucket, m->most);
    if (bucket != m->bucket) {
        m->bucket = bucket;
        m->most = -1;
    }
    m->most = MAX(m->most, load);
    return over;
}

/* The same history, seen with another horizon. */
static void test_again(struct memory *m, int32_t ahead)
{
    struct forecast_history h = m->forecasts.history;
    memset(&m->forecasts, 0, sizeof(m->forecasts));
    backtest_begin(&m->tests, ahead);
    for (int64_t n = h.newest - h.count + 1; h.count > 0 && n <= h.newest; n++) {
        double load = forecast_at(&h, n);
        if (!isnan(load))
            take_bucket(m, n, load);
    }
    foresee(m);
}

static void begin(struct memory *m)
{
    memset(m, 0, sizeof(*m));
    m->most = -1;
    backtest_begin(&m->tests, 2);
}

/* Sooner at once; later only when it is not about to change back. */
static void set_horizon(struct memory *m, const struct rule_predictive_conf *p, int64_t start_us)
{
    int64_t over_us = us_add(us_add(start_us, p->margin_us), FORECAST_BUCKET_US - 1);
    int64_t ahead = CLAMP(1 + over_us / FORECAST_BUCKET_US, 1, FORECAST_AHEAD_MAX);
    if (ahead > m->tests.ahead || ahead < m->tests.ahead - 1)
        test_again(m, (int32_t)ahead);
}

/* -- what was ------------------------------------------------------------------------------------
 */

static void note_load(struct memory *m, const struct rule_context *ctx, double load)
{
    int64_t minute = ctx->wall_us / US_PER_MIN, since_us = us_sub(ctx->now_us, m->seen_us);
    if (m->seen_us > 0 && since_us >= 0 && since_us < STEP_LEAST_US)
        return;
    m->seen_us = ctx->now_us;
    if (minute != m->minute && m->minute_count > 0) {
        if (take_minute(m, m->minute, m->minute_sum / (double)m->minute_count))
            foresee(m);
        m->minute_sum = 0;
        m->minute_count = 0;
    }
    m->minute = minute;
    m->minute_sum += MIN(load, 1e9);
    m->minute_count++;
}

/* Only what reaches further back than what is known is news; it is seen from its begin. */
static void predictive_learn(const struct rule_conf *r, struct rule_state *state,
                             const struct history *h, int64_t wall_us)
{
    struct memory *m = (struct memory *)state->more;
    assert(m && state->more_count >= predictive_more_words(r));
    if (h->metric != r->predictive.metric.metric || h->step_us <= 0 || h->wall_us < 0)
        return;
    if (!is_sane(m))
        begin(m);
    const struct forecast_history *own = &m->forecasts.history;
    int64_t from = h->wall_us / FORECAST_BUCKET_US;
    if (own->count >= FORECAST_BUCKETS ||
        (own->count > 0 && from + 1 >= own->newest - own->count + 1))
        return;
    int32_t ahead = (int32_t)m->tests.ahead;
    begin(m);
    backtest_begin(&m->tests, ahead);
    for (uint32_t i = 0; i < h->count; i++) {
        int64_t at_us = us_add(h->wall_us, us_mul(h->step_us, i));
        double load = h->values[i] / r->predictive.value;
        if (at_us <= wall_us && load >= 0)
            (void)take_minute(m, at_us / US_PER_MIN, MIN(load, 1e9));
    }
    foresee(m);
}

/* -- the opinion ---------------------------------------------------------------------------------
 */

static void say_not_yet(const struct rule_context *ctx, const struct memory *m, struct opinion *ret)
{
    char known[40];
    if (!ctx->words)
        return;
    int64_t count = m->forecasts.history.count;
    num_format_duration(known, sizeof(known), us_mul(FORECAST_BUCKET_US, count));
    if (count < 2 * FORECAST_DAY)
        rule_say(ctx, ret, "has %s of history, less than two seasons (2d): stays out", known);
    else
        rule_say(ctx, ret, "has %s of history, but no model has been tested long enough: stays out",
                 known);
}

static void say(const struct rule_conf *r, const struct rule_context *ctx, const struct memory *m,
                int32_t needed, struct opinion *ret)
{
    char forecast[40], bound[40], within[40];
    if (!ctx->words)
        return;
    fmt_double(forecast, sizeof(forecast), m->forecast, 2);
    fmt_double(bound, sizeof(bound), m->bound, 2);
    int64_t over_us = us_add(ctx->start_us, r->predictive.margin_us);
    num_format_duration(within, sizeof(within), over_us);
    rule_say(ctx, ret,
             "%s: %s instances within %s, %s at most (true %d times in 100 so far): "
             "%s %d",
             forecast_ops((enum forecast_kind)m->kind)->name, forecast, within, bound,
             (int)floor(100 * CLAMP(m->held, 0, 1)),
             r->predictive.forecast_only ? "would need" : "needs", needed);
}

static void predictive_eval(const struct rule_conf *r, struct rule_state *state,
                            const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_predictive_conf *p = &r->predictive;
    struct memory *m = (struct memory *)state->more;
    struct demand d;
    assert(m && state->more_count >= predictive_more_words(r));
    if (!is_sane(m))
        begin(m);
    set_horizon(m, p, ctx->start_us);
    if (demand_now(&p->metric, p->value, ctx, &d) == 0)
        note_load(m, ctx, d.load);
    if (!m->chosen) {
        say_not_yet(ctx, m, ret);
        return;
    }
    int32_t needed = (int32_t)ceil(m->bound - 1e-9);
    ret->known = true;
    ret->value = m->bound * p->value;
    ret->out = p->forecast_only ? RULE_ABSTAIN : needed;
    say(r, ctx, m, needed, ret);
}

static bool predictive_asks_out(const struct rule_conf *r, const struct opinion *o,
                                const struct rule_context *ctx, int32_t count, double *ret_value)
{
    *ret_value = o->value;
    return count < o->out;
}

static enum metric predictive_metric(const struct rule_conf *r, uint32_t n)
{
    return demand_metric(&r->predictive.metric, n);
}

const struct rule_ops rule_predictive = {
    .name = "predictive",
    .measures = true,
    .more_words = predictive_more_words,
    .learn = predictive_learn,
    .metric = predictive_metric,
    .eval = predictive_eval,
    .asks_out = predictive_asks_out,
};
