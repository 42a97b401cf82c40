/* The models against numbers that a hand can check, the history's ring, and the back-test's choice.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "core/backtest.h"
#include "core/forecast.h"

#define FIRST 1000000 /* a bucket's number; FIRST mod 288 = 64 */

static struct forecast f;
static struct backtest b;

static void begin(int32_t ahead)
{
    memset(&f, 0, sizeof(f));
    backtest_begin(&b, ahead);
}

static void see(int64_t i, double value)
{
    forecast_see(&f, FIRST + i, value);
    backtest_see(&b, &f);
}

static void check_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-4 * MAX(1, fabs(expected))))
        fail_msg("got %.9g, expected %.9g", got, expected);
}

static void test_history(void **state)
{
    begin(1);
    see(0, 1);
    see(1, 2);
    see(1, 9); /* not newer */
    see(0, 9);
    see(4, 5); /* two were skipped */
    assert_int_equal(f.history.count, 5);
    check_near(forecast_at(&f.history, FIRST + 1), 2);
    check_near(forecast_at(&f.history, FIRST + 4), 5);
    assert_true(isnan(forecast_at(&f.history, FIRST + 2)));
    assert_true(isnan(forecast_at(&f.history, FIRST + 5)));
    assert_true(isnan(forecast_at(&f.history, FIRST - 1)));
    see(5, -1);
    assert_true(isnan(forecast_at(&f.history, FIRST + 5)));
    see(6, 1e18);
    check_near(forecast_at(&f.history, FIRST + 6), 1e9);
    see(7 + FORECAST_BUCKETS, 3); /* another time: nothing of then counts */
    assert_int_equal(f.history.count, 1);
    assert_true(forecast_is_sane(&f));
}

static void test_seasonal(void **state)
{
    begin(1);
    for (int i = 0; i < 2 * FORECAST_DAY - 1; i++)
        see(i, i % FORECAST_DAY);
    assert_false(forecast_knows(&f, FORECAST_DAILY));
    assert_true(isnan(forecast_ahead(&f, FORECAST_DAILY, 1)));
    see(2 * FORECAST_DAY - 1, NAN);
    assert_true(forecast_knows(&f, FORECAST_DAILY));
    assert_false(forecast_knows(&f, FORECAST_WEEKLY));
    for (int k = 1; k <= FORECAST_AHEAD_MAX; k++)
        assert_true(forecast_ahead(&f, FORECAST_DAILY, k) == k - 1);
    for (int i = 0; i < FORECAST_DAY - 1; i++)
        see(2 * FORECAST_DAY + i, 7);
    /* the bucket of the day before is not known, that of two days before is */
    assert_true(forecast_ahead(&f, FORECAST_DAILY, 1) == FORECAST_DAY - 1);
}

/* The first day is 10 in all buckets but one, which has 298: mean 11, seasons -1 and 287. */
static void test_holt_winters(void **state)
{
    begin(1);
    for (int i = 0; i < FORECAST_DAY; i++)
        see(i, i == 5 ? 298 : 10);
    check_near(f.day.level, 11);
    check_near(f.day_season[(FIRST + 0) % FORECAST_DAY], -1);
    check_near(f.day_season[(FIRST + 5) % FORECAST_DAY], 287);
    see(FORECAST_DAY, 20);
    /* level 0.4 * (20 + 1) + 0.6 * 11 = 15; trend 0.01 * 4; season 0.2 * 5 + 0.8 * -1 */
    check_near(f.day.level, 15);
    check_near(f.day.trend, 0.04);
    check_near(f.day_season[FIRST % FORECAST_DAY], 0.2);
    see(FORECAST_DAY + 1, 14);
    /* level 0.4 * 15 + 0.6 * 15.04 = 15.024; trend 0.01 * 0.024 + 0.99 * 0.04 */
    check_near(f.day.level, 15.024);
    check_near(f.day.trend, 0.03984);
    check_near(f.day_season[(FIRST + 1) % FORECAST_DAY], 0.2 * (14 - 15.024) - 0.8);
    see(FORECAST_DAY + 2, NAN); /* only the time goes on */
    check_near(f.day.level, 15.024 + 0.03984);
    check_near(f.day_season[(FIRST + 2) % FORECAST_DAY], -1);
    for (int i = FORECAST_DAY + 3; i < 2 * FORECAST_DAY; i++)
        see(i, NAN);
    check_near(forecast_ahead(&f, FORECAST_HOLT_WINTERS_DAY, 6),
               f.day.level + 6 * f.day.trend + 287);
}

/* Differences to the day before that follow w(t) = 0.8 w(t - 1) + noise. */
static void test_autoregressive(void **state)
{
    struct rng rng;
    double w = 0, before[FORECAST_DAY];
    rng_init(&rng, 3);
    begin(1);
    for (int i = 0; i < FORECAST_DAY; i++)
        before[i] = 1000;
    for (int i = 0; i < 12 * FORECAST_DAY; i++) {
        double *day = &before[i % FORECAST_DAY];
        w = 0.8 * w + (double)rng_below(&rng, 2001) / 1000 - 1;
        *day += i < FORECAST_DAY ? 0 : w;
        see(i, *day);
    }
    assert_true(fabs(f.regression.coefficient[0] - 0.8) < 0.08);
    for (int i = 1; i < FORECAST_ORDER; i++)
        assert_true(fabs(f.regression.coefficient[i]) < 0.12);
    double newest = forecast_at(&f.history, f.history.newest);
    double difference = newest - forecast_at(&f.history, f.history.newest - FORECAST_DAY);
    double ahead = forecast_ahead(&f, FORECAST_AUTOREGRESSIVE, 1) -
                   forecast_at(&f.history, f.history.newest + 1 - FORECAST_DAY);
    assert_true(fabs(ahead - 0.8 * difference) < 1);
}

/* A perfect season: every model that has one is right, and nothing is added. */
static void test_choice_perfect(void **state)
{
    struct backtest_choice c;
    begin(3);
    for (int i = 0; i < 2 * FORECAST_DAY + FORECAST_DAY / 2; i++) {
        assert_true(backtest_choose(&b, &f, &c) < 0);
        see(i, 10 + i % FORECAST_DAY);
    }
    for (int i = 0; i < 10; i++)
        see(2 * FORECAST_DAY + FORECAST_DAY / 2 + i, 10 + FORECAST_DAY / 2 + i);
    assert_int_equal(backtest_choose(&b, &f, &c), 0);
    assert_int_equal(c.kind, FORECAST_DAILY);
    assert_true(c.margin == 0 && c.held == 1);
    assert_true(backtest_is_sane(&b));
}

/* Each day twice the day before it fools the one that repeats; a tenth of the buckets are half as
 * high again, and the bound that holds nearly always costs less than one that does not. */
static void test_choice_noise(void **state)
{
    struct backtest_choice c;
    struct rng rng;
    rng_init(&rng, 5);
    begin(1);
    for (int i = 0; i < 14 * FORECAST_DAY; i++)
        see(i, rng_below(&rng, 10) == 0 ? 15 : 10);
    assert_int_equal(backtest_choose(&b, &f, &c), 0);
    assert_true(c.held > 0.94);
    double bound = forecast_ahead(&f, c.kind, 1) * (1 + c.margin);
    assert_true(bound >= 14 && bound < 20);
}

static void test_nonsense(void **state)
{
    static const double values[] = { NAN, INFINITY, -INFINITY, 1e18, -5, 0, 1e-300, 3 };
    struct rng rng;
    rng_init(&rng, 11);
    begin(24);
    int64_t i = 0;
    for (int n = 0; n < 12000; n++) {
        i += (int64_t)rng_below(&rng, 3);
        see(i, values[rng_below(&rng, ARRAY_LEN(values))]);
        for (unsigned k = 0; k < FORECAST_MODELS; k++) {
            double x = forecast_ahead(&f, (enum forecast_kind)k, 1 + n % FORECAST_AHEAD_MAX);
            assert_true(isnan(x) || (x >= 0 && x <= 1e9));
        }
    }
    assert_true(forecast_is_sane(&f) && backtest_is_sane(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history),        cmocka_unit_test(test_seasonal),
        cmocka_unit_test(test_holt_winters),   cmocka_unit_test(test_autoregressive),
        cmocka_unit_test(test_choice_perfect), cmocka_unit_test(test_choice_noise),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
