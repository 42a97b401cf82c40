/* When instances are ready, what they cost, and how they go wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/fleet.h"

static struct fleet f;

static void begin(const struct fleet_conf *conf, int32_t count)
{
    fleet_init(&f, conf, 7, 0);
    fleet_begin(&f, count);
}

static void test_ready_after_boot(void **state)
{
    const struct fleet_conf conf = { .boot_us = 60 * US_PER_S };
    begin(&conf, 2);
    assert_int_equal(f.ready, 2);
    fleet_advance(&f, 10 * US_PER_S);
    fleet_set_count(&f, 5);
    assert_int_equal(f.starting, 3);
    assert_int_equal(f.next_us, 70 * US_PER_S);
    fleet_advance(&f, 70 * US_PER_S - 1);
    assert_int_equal(f.ready, 2);
    fleet_advance(&f, 70 * US_PER_S);
    assert_int_equal(f.ready, 5);
    assert_int_equal(f.starting, 0);
    assert_int_equal(f.news_count, 3);
    assert_int_equal(f.news[0].kind, FLEET_READY);
    assert_int_equal(f.boot_seen_us, 60 * US_PER_S);
    /* 2 for 70 s, 3 from their order on */
    assert_float_equal(f.paid_s, 2 * 70 + 3 * 60, 1e-6);
}

static void test_starting_ones_stop_first_then_the_newest(void **state)
{
    const struct fleet_conf conf = { .boot_us = 60 * US_PER_S };
    begin(&conf, 3);
    fleet_set_count(&f, 5);
    fleet_set_count(&f, 3);
    assert_int_equal(f.ready, 3);
    assert_int_equal(f.starting, 0);
    fleet_set_count(&f, 2);
    assert_int_equal(f.items[1].number, 2);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.stops, 3);
}

static void test_by_number(void **state)
{
    const struct fleet_conf conf = { .boot_us = US_PER_S };
    begin(&conf, 2);
    assert_int_equal(fleet_start(&f, 9), 0);
    fleet_drain(&f, 1);
    assert_int_equal(f.count, 2);
    fleet_drain(&f, 1234);
    fleet_stop(&f, 2);
    fleet_advance(&f, US_PER_S);
    assert_int_equal(f.ready, 1);
    assert_int_equal(f.items[0].number, 9);
    fleet_set_count(&f, 2);
    assert_int_equal(f.items[1].number, 10); /* a number comes once */
}

static void test_draining_takes_time_where_it_does(void **state)
{
    const struct fleet_conf conf = { .boot_us = US_PER_S };
    begin(&conf, 3);
    f.drains = true;
    fleet_set_count(&f, 2);
    assert_int_equal(f.ready, 2);
    assert_int_equal(f.count, 3);
    assert_true(f.items[2].draining);
    fleet_advance(&f, 10 * US_PER_S); /* and costs meanwhile */
    assert_float_equal(f.paid_s, 30, 1e-6);
    fleet_stop(&f, 3);
    assert_int_equal(f.news[f.news_count - 1].kind, FLEET_GONE);
}

static void test_faults(void **state)
{
    const struct fleet_conf conf = {
        .boot_us = 10 * US_PER_S,
        .boot_spread = 0.5,
        .start_failures = 0.3,
        .crashes_per_day = 5,
        .noisy_share = 0.2,
        .noisy_slowdown = 3,
    };
    begin(&conf, 0);
    fleet_set_count(&f, 1000);
    fleet_advance(&f, 5 * US_PER_S - 1);
    assert_int_equal(f.ready, 0);
    fleet_advance(&f, 15 * US_PER_S);
    assert_in_range(f.failed_starts, 240, 360);
    int noisy = 0;
    for (uint32_t n = 0; n < f.count; n++)
        noisy += f.items[n].slowness == 3;
    assert_in_range(noisy, 90, 190);
    uint32_t before = f.count;
    fleet_advance(&f, 3615 * US_PER_S);
    assert_in_range(f.crashes, before / 10, before / 3); /* 5 / 24 of them in an hour */
    assert_int_equal(f.count, before - f.crashes);
}

static void test_room(void **state)
{
    const struct fleet_conf conf = { .boot_us = US_PER_S };
    begin(&conf, 0);
    fleet_set_count(&f, FLEET_MAX + 10);
    assert_int_equal(f.count, FLEET_MAX);
    assert_int_not_equal(fleet_start(&f, FLEET_MAX + 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_after_boot),
        cmocka_unit_test(test_starting_ones_stop_first_then_the_newest),
        cmocka_unit_test(test_by_number),
        cmocka_unit_test(test_draining_takes_time_where_it_does),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
