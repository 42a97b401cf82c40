/* The predictive rule: it learns from the store, is there before a load that comes every day, adds
 * and never takes, and stays out while it knows too little. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/event.h"
#include "unit/core/fixture.h"

#define S US_PER_S
#define MIDNIGHT (20000 * US_PER_DAY)
#define MINUTES (15 * 1440)

static struct fixture f;
static int64_t more[8192];
static double minutes[MINUTES];

static struct rule_conf predictive(void)
{
    return (struct rule_conf){ .kind = RULE_PREDICTIVE,
                               .name = "predictive",
                               .predictive = { .metric = { .metric = METRIC_CONCURRENCY },
                                               .value = 10,
                                               .margin_us = 60 * S } };
}

static void begin(void)
{
    struct rule_conf r = predictive();
    fixture_init(&f, 2);
    memset(more, 0, sizeof(more));
    f.state.more = more;
    f.state.more_count = rule_ops(RULE_PREDICTIVE)->more_words(&r);
    assert_true(f.state.more_count <= ARRAY_LEN(more));
    f.ctx.start_us = 300 * S;
    f.ctx.wall_us = MIDNIGHT;
}

/* 20 requests at a time, and 100 from eight to nine every morning. */
static double every_day(int64_t minute)
{
    return minute % 1440 / 60 == 8 ? 100 : 20;
}

static void learn(const struct rule_conf *r, int count)
{
    for (int i = 0; i < count; i++)
        minutes[i] = every_day(i);
    struct history h = { .metric = METRIC_CONCURRENCY,
                         .wall_us = MIDNIGHT,
                         .step_us = US_PER_MIN,
                         .count = (uint32_t)count,
                         .values = minutes };
    f.ctx.wall_us = MIDNIGHT + count * US_PER_MIN;
    rule_ops(RULE_PREDICTIVE)->learn(r, &f.state, &h, f.ctx.wall_us);
}

static struct opinion at_minute(const struct rule_conf *r, int64_t minute)
{
    f.ctx.wall_us = MIDNIGHT + minute * US_PER_MIN;
    fixture_put(&f, METRIC_CONCURRENCY, 60 * S, every_day(minute));
    return fixture_eval(&f, r);
}

static void test_stays_out(void **state)
{
    struct rule_conf r = predictive();
    begin();
    for (int minute = 0; minute < 1440; minute += 7) {
        struct opinion o = at_minute(&r, minute);
        assert_true(!o.known && o.out == RULE_ABSTAIN && o.in == RULE_ABSTAIN && !o.block_in);
    }
    struct opinion o = at_minute(&r, 1446);
    assert_non_null(strstr(o.text, "less than two seasons"));
    assert_non_null(strstr(o.text, "stays out"));
}

static void test_is_there_before(void **state)
{
    struct rule_conf r = predictive();
    begin();
    learn(&r, 4 * 1440 + 7 * 60);
    int64_t day = 4 * 1440;
    struct opinion early = at_minute(&r, day + 7 * 60 + 30);
    assert_true(early.known && early.out == 2);
    for (int m = 31; m < 54; m++)
        (void)at_minute(&r, day + 7 * 60 + m);
    struct opinion o = at_minute(&r, day + 7 * 60 + 55); /* starts take five minutes */
    assert_true(o.known && o.out >= 10 && o.out <= 12);
    assert_true(o.in == RULE_ABSTAIN && !o.block_in);
    assert_non_null(strstr(o.text, "within 6m"));
    double value;
    assert_true(rule_asks_out(&r, &o, &f.ctx, 9, &value));
    assert_false(rule_asks_out(&r, &o, &f.ctx, o.out, &value));
    for (int m = 0; m < 80; m++)
        o = at_minute(&r, day + 8 * 60 + m);
    assert_true(o.out < 10 && o.in == RULE_ABSTAIN); /* it is over: no more is wanted */
}

static void test_forecast_only(void **state)
{
    struct rule_conf r = predictive();
    r.predictive.forecast_only = true;
    begin();
    learn(&r, 4 * 1440 + 7 * 60 + 55);
    struct opinion o = at_minute(&r, 4 * 1440 + 7 * 60 + 56);
    assert_true(o.known && o.out == RULE_ABSTAIN && o.in == RULE_ABSTAIN);
    assert_non_null(strstr(o.text, "would need"));
    double value;
    assert_false(rule_asks_out(&r, &o, &f.ctx, 0, &value));
}

static void test_twice(void **state)
{
    static int64_t before[ARRAY_LEN(more)];
    struct rule_conf r = predictive();
    begin();
    learn(&r, 3 * 1440);
    memcpy(before, more, sizeof(more));
    learn(&r, 3 * 1440);
    assert_memory_equal(before, more, sizeof(more));
    struct opinion a = at_minute(&r, 3 * 1440 + 1);
    memcpy(before, more, sizeof(more));
    struct opinion b = fixture_eval(&f, &r);
    assert_true(fixture_same(&a, &b) && strcmp(a.text, b.text) == 0);
    assert_memory_equal(before, more, sizeof(more));
}

static struct opinion unknown_at_minute(const struct rule_conf *r, int64_t minute)
{
    f.ctx.wall_us = MIDNIGHT + minute * US_PER_MIN;
    f.ctx.now_us += 60 * S;
    series_gap(&f.series[METRIC_CONCURRENCY], f.ctx.now_us);
    return fixture_eval(&f, r);
}

/* Two buckets later it has nothing to say, and a fallback may come; when the load is known again,
 * it is the hour that it is. */
static void test_unknown(void **state)
{
    struct rule_conf r = predictive();
    r.fallback_after_us = 600 * S;
    r.fallback = 7;
    begin();
    learn(&r, 4 * 1440);
    int64_t minute = 4 * 1440 + 1;
    for (; minute < 4 * 1440 + 60; minute++)
        assert_true(at_minute(&r, minute).known);
    for (; minute < 4 * 1440 + 70; minute++)
        assert_true(unknown_at_minute(&r, minute).known);
    struct opinion o = unknown_at_minute(&r, minute++);
    assert_true(!o.known && o.out == RULE_ABSTAIN && o.in == RULE_ABSTAIN && !o.block_in);
    assert_non_null(strstr(o.text, "has been unknown for 11m"));
    for (; minute < 4 * 1440 + 81; minute++)
        o = unknown_at_minute(&r, minute);
    assert_true(!o.known && o.out == 7);
    for (; minute < 4 * 1440 + 8 * 60; minute++)
        o = unknown_at_minute(&r, minute);
    o = at_minute(&r, minute);
    assert_true(o.known && o.out >= 10 && o.out <= 12);
    r.fallback_after_us = 0;
    for (; minute < 20 * 1440; minute++)
        o = unknown_at_minute(&r, minute);
    o = at_minute(&r, minute);
    assert_non_null(strstr(o.text, "less than two seasons"));
}

/* Minutes go by while the wall clock is wrong by so much. */
static struct opinion pass(const struct rule_conf *r, int64_t *minute, int count, int64_t wrong)
{
    struct opinion o = { 0 };
    for (int i = 0; i < count; i++, ++*minute) {
        f.ctx.wall_us = MIDNIGHT + (*minute + wrong) * US_PER_MIN;
        fixture_put(&f, METRIC_CONCURRENCY, 60 * S, every_day(*minute));
        o = fixture_eval(&f, r);
    }
    return o;
}

/* A wall clock that is wrong for ten minutes costs nothing. */
static void test_clock_jumps(void **state)
{
    static const int64_t wrong[] = { 8 * 365 * 1440, -8 * 365 * 1440, 3 * 60, -3 * 60, 16 * 1440 };
    struct rule_conf r = predictive();
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        begin();
        learn(&r, 4 * 1440);
        int64_t minute = 4 * 1440;
        assert_int_equal(pass(&r, &minute, 60, 0).out, 2);
        assert_int_equal(pass(&r, &minute, 10, wrong[i]).out, 2);
        assert_int_equal(pass(&r, &minute, 5 * 60 + 50, 0).out, 2);
        assert_in_range(pass(&r, &minute, 55, 0).out, 10, 12); /* of the eighth hour */
    }
}

/* One that was wrong so far, and is set, is followed: seven in the morning is what it says is. */
static void test_clock_is_set(void **state)
{
    static const int64_t wrong[] = { 3 * 60, -3 * 60, -26 * 60 };
    struct rule_conf r = predictive();
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        begin();
        learn(&r, 4 * 1440 + 60);
        int64_t minute = 4 * 1440 + 60;
        (void)pass(&r, &minute, 60, 0);
        for (int m = 0; m < 70; m++) {
            f.ctx.wall_us = MIDNIGHT + (minute++ + wrong[i]) * US_PER_MIN;
            fixture_put(&f, METRIC_CONCURRENCY, 60 * S, 20);
            (void)fixture_eval(&f, &r);
        }
        int64_t clock = (minute + wrong[i] + 1440) % 1440;
        struct opinion o = { 0 };
        for (; clock != 7 * 60 + 56; clock = (clock + 1) % 1440, minute++) {
            f.ctx.wall_us = MIDNIGHT + (minute + wrong[i]) * US_PER_MIN;
            fixture_put(&f, METRIC_CONCURRENCY, 60 * S, every_day(clock));
            o = fixture_eval(&f, &r);
        }
        assert_true(o.known);
        assert_in_range(o.out, 10, 12);
    }
}

static int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* What a file may have made of its words. */
static void test_words_of_a_file(void **state)
{
    static int64_t before[ARRAY_LEN(more)];
    const int64_t values[] = {
        INT64_MAX, INT64_MAX / 2, INT64_MIN, -1, bits_of(NAN), bits_of(INFINITY), bits_of(-1e300),
    };
    struct rule_conf r = predictive();
    begin();
    learn(&r, 4 * 1440);
    (void)at_minute(&r, 4 * 1440);
    memcpy(before, more, sizeof(more));
    for (uint32_t n = 0; n < f.state.more_count; n += n < 32 ? 1 : 101) {
        for (size_t v = 0; v < ARRAY_LEN(values); v++) {
            memcpy(more, before, sizeof(more));
            more[n] = values[v];
            for (int m = 1; m < 13; m++) {
                struct opinion o = at_minute(&r, 4 * 1440 + m);
                struct opinion again = fixture_eval(&f, &r);
                if (!fixture_same(&o, &again) || strcmp(o.text, again.text) != 0)
                    fail_msg("word %u value %zu minute %d: %s / %s", n, v, m, o.text, again.text);
                assert_true(o.in == RULE_ABSTAIN && (!o.known || o.out >= 0));
            }
        }
    }
}

/* Another start time is another horizon: the same history is tested again. */
static void test_horizon(void **state)
{
    struct rule_conf r = predictive();
    begin();
    learn(&r, 4 * 1440 + 7 * 60);
    f.ctx.start_us = 3600 * S;
    struct opinion o = at_minute(&r, 4 * 1440 + 7 * 60 + 5);
    assert_true(o.known && o.out >= 10);
    f.ctx.start_us = INT64_MAX;
    o = at_minute(&r, 4 * 1440 + 7 * 60 + 6);
    assert_true(o.known && o.out >= 10 && o.out < 20);
}

static void test_nonsense(void **state)
{
    static const double values[] = { NAN, 1e18, 0, 1e300, 5 };
    struct rule_conf r = predictive();
    begin();
    for (int i = 0; i < MINUTES; i++)
        minutes[i] = values[i % (int)ARRAY_LEN(values)];
    struct history h = { .metric = METRIC_CONCURRENCY,
                         .wall_us = MIDNIGHT,
                         .step_us = US_PER_MIN,
                         .count = MINUTES,
                         .values = minutes };
    rule_ops(RULE_PREDICTIVE)->learn(&r, &f.state, &h, MIDNIGHT + MINUTES * US_PER_MIN);
    h.metric = METRIC_CPU;
    rule_ops(RULE_PREDICTIVE)->learn(&r, &f.state, &h, MIDNIGHT);
    h.step_us = 0;
    rule_ops(RULE_PREDICTIVE)->learn(&r, &f.state, &h, MIDNIGHT);
    for (int m = 0; m < 2000; m++) {
        f.ctx.wall_us = MIDNIGHT + (m % 50 == 49 ? -1 : 1) * m * US_PER_HOUR; /* a clock gone mad */
        fixture_put(&f, METRIC_CONCURRENCY, m % 3 ? S : 0, values[m % (int)ARRAY_LEN(values)]);
        struct opinion o = fixture_eval(&f, &r);
        assert_true(o.in == RULE_ABSTAIN && (!o.known || o.out >= 0));
    }
    for (int round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < f.state.more_count; i++)
            more[i] = (int64_t)((uint64_t)i * 0x9e3779b97f4a7c15u * (unsigned)(round + 1));
        struct opinion o = at_minute(&r, round);
        assert_true(o.in == RULE_ABSTAIN && (!o.known || o.out >= 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stays_out),     cmocka_unit_test(test_is_there_before),
        cmocka_unit_test(test_forecast_only), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_horizon),       cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_unknown),       cmocka_unit_test(test_clock_jumps),
        cmocka_unit_test(test_clock_is_set),  cmocka_unit_test(test_words_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
