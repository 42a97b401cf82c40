/* What was recorded comes back at equal distances, from a store that is open and from a directory
 * that nobody has open, also one that cannot be written to. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "scratch.h"
#include "store/recorded.h"
#include "store/store.h"

#define WALL_S INT64_C(1800000000) /* a whole minute */
#define WAIT_US (20 * US_PER_S)

/* Four minutes: the first without arrivals, the third unknown altogether. */
static void record(void)
{
    struct store *s;
    struct store_options options = { .path = scratch_path("plimsoll.db") };
    assert_int_equal(store_open(&options, &s), 0);
    for (int i = 0; i < 300; i += 10) {
        int minute = i / 60;
        int64_t wall_us = (WALL_S + i) * US_PER_S;
        if (minute == 2 || minute == 4)
            continue;
        store_put_sample(s, "shop", "rps", 0, 5 + minute, wall_us);
        if (minute > 0)
            store_put_sample(s, "shop", "arrivals", 0, 100 * minute, wall_us);
        store_put_sample(s, "shop", RECORDED_READY, 0, minute + 1, wall_us);
        store_put_sample(s, "shop", "rps", 1, 1e9, wall_us); /* an instance's */
    }
    assert_int_equal(store_flush(s, WAIT_US), 0);
    store_close(s);
}

static void assert_values(const double *got, const double *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (isnan(expected[i]))
            assert_true(isnan(got[i]));
        else
            assert_true(got[i] == expected[i]);
    }
}

static void assert_recorded(void)
{
    static const double arrivals[] = { 5, 100, NAN, 300 }, ready[] = { 1, 2, NAN, 4 };
    struct recorded r;
    struct err err = { 0 };
    int rc = recorded_read(scratch_dir, "shop", (WALL_S - 3600) * US_PER_S,
                           (WALL_S + 3600) * US_PER_S, &r, &err);
    if (rc < 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_int_equal(r.wall_us, WALL_S * US_PER_S);
    assert_int_equal(r.count, ARRAY_LEN(arrivals));
    assert_values(r.arrivals, arrivals, r.count);
    assert_values(r.ready, ready, r.count);
    recorded_done(&r);
}

static void test_from_outside(void **state)
{
    record();
    assert_recorded();
    assert_int_equal(chmod(scratch_dir, 0555), 0); /* root may write even so */
    assert_recorded();
    assert_int_equal(chmod(scratch_dir, 0700), 0);
}

static void test_beside_a_running_store(void **state)
{
    struct store *s;
    struct store_options options = { .path = scratch_path("plimsoll.db") };
    record();
    assert_int_equal(store_open(&options, &s), 0);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_recorded();
    store_close(s);
}

static void test_a_part(void **state)
{
    struct recorded r;
    struct err err = { 0 };
    record();
    assert_int_equal(recorded_read(scratch_dir, "shop", (WALL_S + 60) * US_PER_S,
                                   (WALL_S + 120) * US_PER_S, &r, &err),
                     0);
    assert_int_equal(r.count, 1);
    assert_true(r.arrivals[0] == 100 && r.ready[0] == 2);
    recorded_done(&r);
}

static void test_nothing_there(void **state)
{
    struct recorded r;
    static const struct {
        const char *service;
        int64_t from_s, to_s;
        int rc;
    } rows[] = {
        { "blog", -3600, 3600, -ENOENT },    { "shop", 3600, 7200, -ENOENT },
        { "shop", 0, 0, -EINVAL },           { "shop", 3600, 0, -EINVAL },
        { "shop", 60 - 400 * 86400, 60, 0 }, { "shop", -400 * 86400, 60, -EINVAL },
    };
    struct err err = { 0 };
    assert_int_equal(recorded_read(scratch_dir, "shop", 0, 1, &r, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no database"));
    record();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        err = (struct err){ 0 };
        assert_int_equal(recorded_read(scratch_dir, rows[i].service,
                                       (WALL_S + rows[i].from_s) * US_PER_S,
                                       (WALL_S + rows[i].to_s) * US_PER_S, &r, &err),
                         rows[i].rc);
        if (rows[i].rc == -EINVAL)
            assert_non_null(strstr(err.text, "more than 0s and at most 400d"));
        assert_true((err.text[0] != '\0') == (rows[i].rc < 0));
        if (rows[i].rc == 0)
            recorded_done(&r);
    }
    scratch_write(scratch_path("plimsoll.db"), "this is no database, but a text of some length");
    assert_int_equal(recorded_read(scratch_dir, "shop", 0, US_PER_DAY, &r, &err), -EIO);
}

static void test_steps_of_the_store(void **state)
{
    struct store *s;
    struct store_options options = { .path = scratch_path("plimsoll.db") };
    double values[8];
    size_t count = ARRAY_LEN(values);
    int64_t from_s = WALL_S - 120;
    record();
    assert_int_equal(store_open(&options, &s), 0);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    int rc;
    do
        rc = store_read_steps(s, "shop", "arrivals", 60, &from_s, values, &count);
    while (rc == -EIO && store_flush(s, WAIT_US) == 0);
    assert_int_equal(rc, 0);
    assert_int_equal(from_s, WALL_S + 60);
    assert_int_equal(count, 3);
    assert_values(values, (const double[]){ 100, NAN, 300 }, 3);
    assert_int_equal(store_read_steps(s, "shop", "arrivals", 7, &from_s, values, &count), -EINVAL);
    count = 0;
    assert_int_equal(store_read_steps(s, "shop", "arrivals", 60, &from_s, values, &count), 0);
    assert_int_equal(count, 0);
    store_close(s);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_from_outside),
        SCRATCH_TEST(test_beside_a_running_store),
        SCRATCH_TEST(test_a_part),
        SCRATCH_TEST(test_nothing_there),
        SCRATCH_TEST(test_steps_of_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
