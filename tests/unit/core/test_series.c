/* Series: statistics over windows, what is known and what is a gap, and the ring going round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "core/series.h"

#define S US_PER_S

static struct series_point points[16];
static double scratch[16];
static struct series s;

static void fill(uint32_t cap, const double *values, size_t count)
{
    series_init(&s, points, cap, 0);
    for (size_t i = 0; i < count; i++)
        series_put(&s, (int64_t)(i + 1) * S, values[i]);
}

static double stat(enum series_stat what, int64_t window_us, int64_t now_us)
{
    double value = NAN;
    int rc = series_stat(&s, what, window_us, now_us, scratch, &value);
    assert_true(rc == 0 || rc == -ENODATA);
    assert_true(rc == 0 || isnan(value));
    return value;
}

static void test_stats(void **state)
{
    static const double values[] = { 90, 4, 8, 2, 6, 10 }; /* at 1 s .. 6 s */
    static const struct {
        enum series_stat stat;
        int64_t window_us;
        double want;
    } cases[] = {
        { SERIES_AVG, 5 * S, 6 },      { SERIES_MAX, 5 * S, 10 },   { SERIES_MIN, 5 * S, 2 },
        { SERIES_LAST, 5 * S, 10 },    { SERIES_RATE, 5 * S, 1.5 }, { SERIES_P50, 5 * S, 6 },
        { SERIES_P90, 5 * S, 10 },     { SERIES_P99, 5 * S, 10 },   { SERIES_P50, 4 * S, 6 },
        { SERIES_MAX, 6 * S, 90 },     { SERIES_AVG, 100 * S, 20 }, { SERIES_AVG, 0, 10 },
        { SERIES_MIN, 0, 10 },         { SERIES_AVG, 1, 10 },       { SERIES_RATE, 0, NAN },
        { SERIES_AVG, INT64_MAX, 20 }, { SERIES_P95, 0, 10 },
    };
    fill(ARRAY_LEN(points), values, ARRAY_LEN(values));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double got = stat(cases[i].stat, cases[i].window_us, 6 * S);
        if (!(fabs(got - cases[i].want) < 1e-9) && !(isnan(got) && isnan(cases[i].want)))
            fail_msg("case %zu: %s is %g, not %g", i, series_stat_name(cases[i].stat), got,
                     cases[i].want);
    }
}

/* The same load, looked at more often during its peak, has the same mean. */
static void test_average_weighs_time(void **state)
{
    series_init(&s, points, ARRAY_LEN(points), 0);
    series_put(&s, 1 * S, 0);
    series_put(&s, 2 * S, 0);
    for (int64_t i = 1; i <= 10; i++)
        series_put(&s, 2 * S + i * S / 10, 100);
    series_put(&s, 4 * S, 0);
    assert_true(fabs(stat(SERIES_AVG, 3 * S, 4 * S) - 100.0 / 3) < 1e-9);
    /* A point that began before the window counts for the part inside. */
    assert_true(fabs(stat(SERIES_AVG, 15 * S / 10, 4 * S) - 100.0 / 3) < 1e-9);
}

static void test_freshness(void **state)
{
    static const double values[] = { 1, 2, 3 };
    fill(ARRAY_LEN(points), values, ARRAY_LEN(values));
    assert_true(series_fresh(&s, 3 * S));
    assert_true(series_fresh(&s, 3 * S + SERIES_STALE_US));
    assert_false(series_fresh(&s, 3 * S + SERIES_STALE_US + 1));
    assert_true(isnan(stat(SERIES_LAST, 60 * S, 3 * S + SERIES_STALE_US + 1)));
    series_gap(&s, 4 * S);
    assert_false(series_fresh(&s, 4 * S));
    assert_true(isnan(stat(SERIES_AVG, 60 * S, 4 * S)));
    series_put(&s, 5 * S, NAN);
    assert_false(series_fresh(&s, 5 * S));
    assert_int_equal(s.gap_us, 5 * S);
    series_put(&s, 6 * S, 4);
    assert_true(series_fresh(&s, 6 * S));
}

static void test_covers(void **state)
{
    static const double values[] = { 1, 2, 3, 4 };
    fill(ARRAY_LEN(points), values, ARRAY_LEN(values));
    assert_true(series_covers(&s, 3 * S, 4 * S)); /* all the way since the first point */
    assert_false(series_covers(&s, 3 * S + 1, 4 * S));
    assert_false(series_covers(&s, INT64_MAX, 4 * S));
    series_gap(&s, 5 * S);
    series_put(&s, 6 * S, 5);
    assert_true(series_covers(&s, S - 1, 6 * S));
    assert_false(series_covers(&s, S, 6 * S));
    series_put(&s, 6 * S + SERIES_STALE_US, 6);
    assert_false(series_covers(&s, 7 * S, 6 * S + SERIES_STALE_US));
    series_put(&s, 20 * S, 7); /* too far from the one before: nobody looked */
    assert_false(series_covers(&s, 2 * S, 20 * S));
    assert_true(series_covers(&s, 0, 20 * S));
}

static void test_ring(void **state)
{
    series_init(&s, points, 4, 0);
    for (int64_t i = 1; i <= 11; i++)
        series_put(&s, i * S, (double)i);
    assert_int_equal(s.count, 4);
    assert_true(stat(SERIES_MIN, 60 * S, 11 * S) == 8);
    assert_true(stat(SERIES_MAX, 60 * S, 11 * S) == 11);
    assert_true(stat(SERIES_MIN, 2 * S, 11 * S) == 10);
    assert_true(series_covers(&s, 3 * S, 11 * S));
    assert_false(series_covers(&s, 3 * S + 1, 11 * S)); /* what has left the ring is not known */
    assert_true(s.gap_us < S);                          /* though it was no gap */
    series_put(&s, 11 * S, 99);                         /* the same instant: the newer value */
    assert_int_equal(s.count, 4);
    assert_true(stat(SERIES_LAST, 0, 11 * S) == 99);
}

/* An hour in which the doorbell rings a thousand times a second at the end: the ring still reaches
 * back all of it, and no value is lost to the window. */
static void test_doorbells(void **state)
{
    static struct series_point hour[SERIES_POINTS(3600)];
    static double hour_scratch[ARRAY_LEN(hour)];
    const int64_t began_us = 7 * S + 300000;
    int64_t now_us = began_us;
    series_init(&s, hour, ARRAY_LEN(hour), 0);
    for (int i = 0; i <= 3600; i++, now_us += S)
        series_put(&s, now_us, 100);
    assert_true(series_covers(&s, 3600 * S, now_us - S));
    for (int i = 1; i <= 13000; i++)
        series_put(&s, now_us + (int64_t)i * 1000, i == 6500 ? 500 : 10);
    now_us += 13000 * 1000;
    assert_true(series_covers(&s, 3600 * S, now_us));
    assert_true(s.count <= s.cap);
    double average = NAN, most = NAN;
    assert_int_equal(series_stat(&s, SERIES_AVG, 40 * S, now_us, hour_scratch, &average), 0);
    assert_int_equal(series_stat(&s, SERIES_MAX, 40 * S, now_us, hour_scratch, &most), 0);
    /* 26 s of 100; the first ring stands for the second before it; 1 ms of 500 */
    double want = (26 * 100 + 0.001 * 10 + 1 * 10 + 12.999 * 10 + 0.49) / 40;
    if (fabs(average - want) > 0.3)
        fail_msg("average %g, not %g", average, want);
    assert_true(most == 500);
}

/* Values of one second come to the average that they would have had each by itself. */
static void test_seconds_weigh_time(void **state)
{
    series_init(&s, points, ARRAY_LEN(points), 0);
    series_put(&s, 1 * S, 0);
    series_put(&s, 2 * S, 0);
    series_put(&s, 3 * S + 100000, 20);
    series_put(&s, 3 * S + 600000, 50);
    series_put(&s, 3 * S + 900000, 5);
    assert_int_equal(s.count, 3);
    double want = (1.1 * 20 + 0.5 * 50 + 0.3 * 5) / 1.9;
    assert_true(fabs(stat(SERIES_AVG, 1900000, 3 * S + 900000) - want) < 1e-9);
    assert_true(stat(SERIES_MAX, S, 3 * S + 900000) == 50);
    assert_true(stat(SERIES_MIN, S, 3 * S + 900000) == 5);
    assert_true(stat(SERIES_AVG, 0, 3 * S + 900000) == 5); /* the moment is the newest value */
    assert_true(stat(SERIES_LAST, S, 3 * S + 900000) == 5);
}

/* A point never stands for longer than a value may, nor do two stand at one instant. */
static void test_joined_at_the_edge(void **state)
{
    series_init(&s, points, ARRAY_LEN(points), 0);
    series_put(&s, S / 2, 1);
    series_put(&s, 5 * S + S / 10, 2);
    series_put(&s, 5 * S + S / 2, 3);
    series_put(&s, 5 * S + S * 8 / 10, 4);
    series_put(&s, 5 * S + S * 8 / 10, 5);
    for (uint32_t i = 1; i < s.count; i++) {
        assert_true(points[i].at_us > points[i - 1].at_us);
        assert_true(points[i].at_us - points[i - 1].at_us <= series_stale_us(&s));
    }
    assert_true(stat(SERIES_LAST, 0, 6 * S) == 5);
}

static void test_nothing(void **state)
{
    struct series none = { 0 };
    double value;
    series_put(&none, S, 1);
    assert_false(series_fresh(&none, S));
    assert_int_equal(series_stat(&none, SERIES_AVG, S, S, NULL, &value), -ENODATA);
    series_init(&s, points, 4, 0);
    assert_true(isnan(stat(SERIES_MAX, S, S)));
}

/* Blocks make windows faster and change no bit of what they say, wherever the ring stands. */
static void test_blocks(void **state)
{
    static struct series_point more[2][100];
    static struct series_block blocks[SERIES_BLOCKS(100)];
    static double many[100];
    static const int64_t windows[] = { 0, 1, 3 * S, 10 * S, 17 * S, 60 * S, 90 * S, INT64_MAX };
    for (uint32_t cap = 1; cap <= 100; cap += 3) {
        struct series plain, fast, restored;
        struct rng r;
        int64_t now_us = 1000 * S;
        rng_init(&r, cap);
        series_init(&plain, more[0], cap, 0);
        series_init(&fast, more[1], cap, 0);
        series_use_blocks(&fast, blocks);
        for (int n = 0; n < 400; n++) {
            bool far = rng_below(&r, 40) == 0;
            now_us += (int64_t)rng_below(&r, far ? 9000000 : 1200000);
            double value = (double)rng_below(&r, 1000) / 7;
            value = rng_below(&r, 30) == 0 ? 0x1p63 : rng_below(&r, 30) == 0 ? NAN : value;
            series_put(&plain, now_us, value);
            series_put(&fast, now_us, value);
            restored = fast;
            series_restore_blocks(&restored);
            for (size_t k = 0; k < ARRAY_LEN(windows) * SERIES_STAT_MAX; k++) {
                enum series_stat what = (enum series_stat)(k % SERIES_STAT_MAX);
                double a = -1, b = -1;
                int64_t window_us = windows[k / SERIES_STAT_MAX];
                int ra = series_stat(&plain, what, window_us, now_us, many, &a);
                int rb = series_stat(&fast, what, window_us, now_us, many, &b);
                if (ra != rb || a != b)
                    fail_msg("cap %u, value %d, %s: %.17g and %.17g", cap, n,
                             series_stat_name(what), a, b);
            }
        }
    }
}

/* One value of 2^63 long ago does not take the precision from those that came after it. */
static void test_no_precision_is_lost(void **state)
{
    static struct series_point more[63];
    static struct series_block blocks[SERIES_BLOCKS(63)];
    double value;
    series_init(&s, more, ARRAY_LEN(more), 0);
    series_use_blocks(&s, blocks);
    for (int n = 1; n < 500; n++) {
        series_put(&s, n * S, n % 100 == 0 ? 0x1p63 : 0.1);
        if (n % 100 <= 60 && n >= 100)
            continue;
        assert_int_equal(series_stat(&s, SERIES_AVG, 60 * S, n * S, scratch, &value), 0);
        assert_true(fabs(value - 0.1) < 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_no_precision_is_lost),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_average_weighs_time),
        cmocka_unit_test(test_freshness),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_doorbells),
        cmocka_unit_test(test_seconds_weigh_time),
        cmocka_unit_test(test_joined_at_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
