/* Energy: kWh of instances, and the grams of CO2 that a kWh is at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/us.h"
#include "base/util.h"
#include "core/energy.h"

#define MIDNIGHT_US (INT64_C(19675) * US_PER_DAY) /* UTC */

static void test_kwh(void **state)
{
    static const struct {
        double watts;
        int64_t us;
        double kwh;
    } cases[] = {
        { 100, US_PER_HOUR, 0.1 },
        { 100, 10 * US_PER_HOUR, 1 },
        { 0, US_PER_HOUR, 0 },
        { 100, -US_PER_HOUR, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_true(fabs(energy_kwh(cases[i].watts, cases[i].us) - cases[i].kwh) < 1e-12);
    assert_true(isfinite(energy_kwh(1e6, INT64_MAX)));
}

static void test_windows(void **state)
{
    struct carbon_conf c = { .grams = 400, .window_count = 2 };
    assert_int_equal(cron_parse(SLICE("0 10 * * *"), &c.windows[0].cron, NULL), 0);
    c.windows[0].for_us = 6 * US_PER_HOUR;
    c.windows[0].grams = 200;
    assert_int_equal(cron_parse(SLICE("0 12 * * *"), &c.windows[1].cron, NULL), 0);
    c.windows[1].for_us = US_PER_HOUR;
    c.windows[1].grams = 50;
    c.windows[1].zone = 99; /* there is none: UTC */
    static const struct {
        int64_t at_h;
        double grams;
        int64_t until_h;
    } cases[] = {
        { 0, 400, 10 }, { 10, 200, 12 }, { 12, 50, 13 }, { 13, 200, 16 }, { 16, 400, 34 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t until_us;
        double grams =
            energy_grams_per_kwh(&c, NULL, 0, MIDNIGHT_US + cases[i].at_h * US_PER_HOUR, &until_us);
        if (grams != cases[i].grams || until_us != MIDNIGHT_US + cases[i].until_h * US_PER_HOUR)
            fail_msg("case %zu: %g until %lld", i, grams,
                     (long long)((until_us - MIDNIGHT_US) / US_PER_HOUR));
    }
    c.window_count = 0;
    assert_true(energy_grams_per_kwh(&c, NULL, 0, MIDNIGHT_US, NULL) == 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kwh),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
