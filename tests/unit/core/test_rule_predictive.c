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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
