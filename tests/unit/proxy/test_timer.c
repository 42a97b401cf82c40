/* The wheel: never early, at most two ticks late, whatever was moved in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "proxy/timer.h"

#define TICK_US (INT64_C(1) << TIMER_TICK_SHIFT)

static void test_never_early_hardly_late(void **state)
{
    enum { COUNT = 500 };
    static struct timer_wheel wheel;
    static struct timer timers[COUNT];
    struct rng rng;
    int64_t now_us = 12345678;
    rng_init(&rng, 7);
    timer_wheel_init(&wheel, now_us);
    for (size_t i = 0; i < COUNT; i++)
        timer_init(&timers[i], 0);
    for (int turn = 0; turn < 20000; turn++) {
        struct timer *t = &timers[rng_below(&rng, COUNT)];
        int64_t far = rng_below(&rng, 10) == 0 ? 60 * US_PER_S : US_PER_S;
        if (rng_below(&rng, 8) == 0)
            timer_clear(t);
        else
            timer_set(&wheel, t, now_us + (int64_t)rng_below(&rng, (uint64_t)far));
        now_us += (int64_t)rng_below(&rng, 2 * TICK_US);
        while ((t = timer_expired(&wheel, now_us))) {
            assert_true(t->deadline_us <= now_us);
            t->deadline_us = US_NEVER;
        }
        for (size_t i = 0; i < COUNT; i++)
            assert_true(timers[i].deadline_us > now_us - 2 * TICK_US);
    }
}

static void test_wait_reaches_the_deadline(void **state)
{
    static const int64_t delays_us[] = { 0, 1, 1000, 100000, 8000000, 9000000, 100000000 };
    for (size_t i = 0; i < ARRAY_LEN(delays_us); i++) {
        static struct timer_wheel wheel;
        struct timer t;
        int64_t now_us = 999999, deadline_us = now_us + delays_us[i];
        timer_wheel_init(&wheel, now_us);
        timer_init(&t, 0);
        assert_int_equal(timer_wait_ms(&wheel, now_us), -1);
        timer_set(&wheel, &t, deadline_us);
        int turns = 0;
        while (!timer_expired(&wheel, now_us)) {
            int wait_ms = timer_wait_ms(&wheel, now_us);
            assert_true(wait_ms >= 0);
            now_us += MAX(wait_ms, 1) * US_PER_MS;
            assert_true(++turns < 100);
        }
        assert_true(now_us >= deadline_us);
        assert_true(now_us <= deadline_us + 3 * TICK_US);
        assert_null(timer_expired(&wheel, now_us));
        assert_int_equal(timer_wait_ms(&wheel, now_us), -1);
    }
}

static void test_done_takes_it_out(void **state)
{
    static struct timer_wheel wheel;
    struct timer a, b;
    timer_wheel_init(&wheel, 0);
    timer_init(&a, 1);
    timer_init(&b, 2);
    timer_set(&wheel, &a, 1000);
    timer_set(&wheel, &b, 1000);
    timer_done(&a);
    struct timer *t = timer_expired(&wheel, US_PER_S);
    assert_ptr_equal(t, &b);
    assert_int_equal(t->kind, 2);
    assert_null(timer_expired(&wheel, US_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_early_hardly_late),
        cmocka_unit_test(test_wait_reaches_the_deadline),
        cmocka_unit_test(test_done_takes_it_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
