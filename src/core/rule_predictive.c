/* Be there before the load is: what the service will need over the time that an instance takes to
 * start, and a margin, as the weeks before say. It owns the minutes and buckets that are not over
 * yet, and the wall time that they belong to. It only adds: it has no opinion on scaling in, and
 * none at all before a model has seen two of its seasons and been tested for half a day, or when
 * the load has not been known for two buckets. It must not throw weeks away for a clock that was
 * wrong for minutes.
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
#define UNKNOWN_US (2 * FORECAST_BUCKET_US)
#define HISTORY_US (FORECAST_BUCKETS * FORECAST_BUCKET_US)
#define CLOCK_SLACK_US FORECAST_BUCKET_US /* of the wall clock against the monotonic one */
#define CLOCK_DOUBT_US US_PER_HOUR        /* a clock that stays wrong for so long is right */
#define MINUTES_PER_BUCKET (FORECAST_BUCKET_US / US_PER_MIN)
#define NUMBER_MAX (INT64_C(1) << 40) /* of minutes, buckets, counts */

struct memory {
    int64_t seen_us;  /* monotonic, of the last look; 0 = none yet */
    int64_t wall_us;  /* ... and what the wall clock is believed to have said then */
    int64_t doubt_us; /* since when it says something else, monotonic; 0 = it does not */
    int64_t known_us; /* when the load was known last, monotonic */
    int64_t minute;   /* of the wall clock; the one that is not over; 0 = none yet */
    double minute_sum;
    int64_t minute_count;
    int64_t bucket; /* not over */
    double most;    /* of its minutes; < 0 = none */
    int64_t chosen; /* 1 = what follows counts */
    int64_t kind;
    double held;
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
    return m->seen_us >= 0 && m->minute >= 0 && m->minute < NUMBER_MAX && m->minute_count >= 0 &&
           m->minute_count < NUMBER_MAX && m->minute_sum >= 0 && m->bucket >= 0 &&
           m->bucket < NUMBER_MAX && (uint64_t)m->kind < FORECAST_MODELS && m->held >= 0 &&
           m->held <= 1 && m->forecast >= 0 && m->bound >= 0 && m->bound < 1e12 &&
           forecast_is_sane(&m->forecasts) && backtest_is_sane(&m->tests);
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
    m->forecast = most;
    m->bound = MIN(most * (1 + c.margin), 1e9);
}

/* A bucket is over, and with it those before that nobody saw, each judged in its turn. */
static void take_bucket(struct memory *m, int64_t number, double load)
{
    const struct forecast_history *h = &m->forecasts.history;
    if (h->count > 0 && number - h->newest > FORECAST_BUCKETS) {
        memset(&m->forecasts, 0, sizeof(m->forecasts));
        backtest_begin(&m->tests, (int32_t)m->tests.ahead);
    }
    for (int64_t n = h->count > 0 ? h->newest + 1 : number; n <= number; n++) {
        forecast_see(&m->forecasts, n, n == number ? load : NAN);
        if (h->count > 0)
            backtest_see(&m->tests, &m->forecasts);
    }
}

/* A minute is over; NaN = nobody knows what it was. Buckets end with the first minute of the next.
 */
static bool take_minute(struct memory *m, int64_t minute, double load)
{
    int64_t bucket = minute / MINUTES_PER_BUCKET;
    bool over = bucket != m->bucket;
    if (over) {
        take_bucket(m, m->bucket, m->most >= 0 ? m->most : NAN);
        take_bucket(m, bucket - 1, NAN);
        m->bucket = bucket;
        m->most = -1;
    }
    if (load > m->most)
        m->most = load;
    return over;
}

/* The same history, seen with another horizon. */
static void test_again(struct memory *m, int32_t ahead)
{
    struct forecast_history h = m->forecasts.history;
    memset(&m->forecasts, 0, sizeof(m->forecasts));
    backtest_begin(&m->tests, ahead);
    for (int64_t n = h.newest - h.count + 1; h.count > 0 && n <= h.newest; n++)
        take_bucket(m, n, forecast_at(&h, n));
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

static void forget_minute(struct memory *m, int64_t minute)
{
    m->minute = minute;
    m->minute_sum = 0;
    m->minute_count = 0;
}

/* The wall clock was set for good: what it is going to say again is not known yet. */
static void set_clock(struct memory *m, int64_t wall_us)
{
    struct forecast_history *h = &m->forecasts.history;
    int64_t newest = MAX(0, wall_us / FORECAST_BUCKET_US - 1);
    m->bucket = 0;
    m->most = -1;
    m->doubt_us = 0;
    forget_minute(m, 0);
    if (newest >= h->newest)
        return;
    h->count = MAX(0, h->count - (h->newest - newest));
    h->newest = newest;
    test_again(m, (int32_t)m->tests.ahead);
}

/* The wall clock, but not at once when it has jumped: where it was, time goes on at the monotonic
 * clock's pace until it has been elsewhere for an hour, if there is anything to lose. */
static int64_t believed_us(struct memory *m, const struct rule_context *ctx)
{
    int64_t expected_us = us_add(m->wall_us, us_sub(ctx->now_us, m->seen_us));
    int64_t apart_us = us_sub(ctx->wall_us, expected_us);
    if (m->seen_us == 0 || (apart_us <= CLOCK_SLACK_US && apart_us >= -CLOCK_SLACK_US)) {
        m->doubt_us = 0;
        return ctx->wall_us;
    }
    if (m->doubt_us <= 0 || m->doubt_us > ctx->now_us)
        m->doubt_us = ctx->now_us;
    if (m->forecasts.history.count > 0 && ctx->now_us - m->doubt_us < CLOCK_DOUBT_US)
        return expected_us;
    set_clock(m, ctx->wall_us);
    return ctx->wall_us;
}

/* What of the minutes is over by now, known or not. */
static void pass_minutes(struct memory *m, int64_t minute)
{
    double mean = m->minute_count > 0 ? m->minute_sum / (double)m->minute_count : NAN;
    bool over = take_minute(m, m->minute, mean);
    if (minute - 1 > m->minute)
        over |= take_minute(m, minute - 1, NAN);
    if (over)
        foresee(m);
}

/* Once a second; NaN = the load is not known. */
static void look(struct memory *m, const struct rule_context *ctx, double load)
{
    int64_t since_us = us_sub(ctx->now_us, m->seen_us);
    if (m->seen_us > 0 && since_us >= 0 && since_us < STEP_LEAST_US)
        return;
    m->wall_us = believed_us(m, ctx);
    m->seen_us = ctx->now_us;
    int64_t minute = MAX(0, m->wall_us) / US_PER_MIN;
    if (minute != m->minute) {
        if (m->minute > 0)
            pass_minutes(m, minute);
        forget_minute(m, minute);
    }
    if (isnan(load))
        return;
    m->minute_sum += MIN(load, 1e9);
    m->minute_count++;
}

/* Time goes on, whether the load is known (not NaN) or not. Is it, or was it not long ago? What
 * was unknown for as long as the history reaches back leaves nothing of that. */
static bool watch(struct memory *m, const struct rule_context *ctx, double load)
{
    if (us_sub(ctx->now_us, m->known_us) > HISTORY_US && m->known_us > 0)
        begin(m);
    look(m, ctx, load);
    if (!is_sane(m)) { /* a file's words may come to nonsense only now */
        begin(m);
        look(m, ctx, load);
    }
    if (!isnan(load) || m->known_us <= 0 || m->known_us > ctx->now_us)
        m->known_us = ctx->now_us;
    return ctx->now_us - m->known_us <= UNKNOWN_US;
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
    num_format_duration_short(known, sizeof(known), us_mul(FORECAST_BUCKET_US, count));
    if (count < 2 * FORECAST_DAY)
        rule_say(ctx, ret, "has %s of history, less than two seasons (2d): stays out", known);
    else
        rule_say(ctx, ret, "has %s of history, but no model has been tested long enough: stays out",
                 known);
}

static void say_unknown(const struct rule_conf *r, const struct rule_context *ctx,
                        const struct memory *m, struct opinion *ret)
{
    char since[40];
    if (!ctx->words)
        return;
    num_format_duration_short(since, sizeof(since),
                              (ctx->now_us - m->known_us) / US_PER_S * US_PER_S);
    rule_say(ctx, ret, "%s has been unknown for %s: stays out",
             rule_metric_name(ctx, r->predictive.metric.metric), since);
}

static void say(const struct rule_conf *r, const struct rule_context *ctx, const struct memory *m,
                int32_t needed, struct opinion *ret)
{
    char forecast[40], bound[40], within[40];
    if (!ctx->words)
        return;
    int64_t over_us = us_add(ctx->start_us, r->predictive.margin_us);
    over_us = us_add(over_us, US_PER_S - 1) / US_PER_S * US_PER_S;
    fmt_double(forecast, sizeof(forecast), m->forecast, 2);
    fmt_double(bound, sizeof(bound), m->bound, 2);
    num_format_duration_short(within, sizeof(within), over_us);
    rule_say(ctx, ret,
             "%s: %s instances within %s, %s at most (true %d times in 100 so far): "
             "%s %d",
             forecast_ops((enum forecast_kind)m->kind)->name, forecast, within, bound,
             (int)floor(100 * m->held), r->predictive.forecast_only ? "would need" : "needs",
             needed);
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
    if (!watch(m, ctx, demand_now(&p->metric, p->value, ctx, &d) == 0 ? d.load : NAN)) {
        say_unknown(r, ctx, m, ret);
        return;
    }
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

/* Without samples nobody would look again when the load has been unknown for too long. */
static int64_t predictive_next_us(const struct rule_conf *r, const struct rule_state *state,
                                  const struct rule_context *ctx)
{
    const struct memory *m = (const struct memory *)state->more;
    int64_t unknown_us = us_add(us_add(m->known_us, UNKNOWN_US), 1);
    return m->known_us > 0 && unknown_us > ctx->now_us ? unknown_us : US_NEVER;
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
    .next_us = predictive_next_us,
};
