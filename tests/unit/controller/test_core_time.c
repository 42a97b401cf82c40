/* The core's time goes on: over a restart, over a reboot, over another machine's journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controller/controller_int.h"
#include "sys/clock.h"

#define MINUTE (60 * US_PER_S)

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct controller));
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void assert_about(int64_t us, int64_t expected_us)
{
    assert_in_range(us, expected_us, expected_us + MINUTE / 2);
}

static void test_without_a_journal_it_is_the_clock(void **state)
{
    assert_about(controller_now(*state), clock_now_us() - 1000);
}

static void test_cases(void **state)
{
    struct controller *c = *state;
    int64_t now_us = clock_now_us(), wall_us = clock_wall_us();
    const struct {
        const char *name, *boot;
        int64_t offset_us, now_us, wall_us, expected_us;
    } cases[] = {
        { "a restart", clock_boot_id(), 7 * MINUTE, now_us + 6 * MINUTE, wall_us,
          now_us + 7 * MINUTE },
        { "a restart, with events from ahead", clock_boot_id(), 0, now_us + 5 * MINUTE, wall_us,
          now_us + 5 * MINUTE },
        { "a reboot, away for two minutes", "other", 99, 1000 * MINUTE, wall_us - 2 * MINUTE,
          1002 * MINUTE },
        { "a reboot, and the wall clock went back", "other", 99, 1000 * MINUTE,
          wall_us + 9 * MINUTE, 1000 * MINUTE },
        { "a reboot after a longer uptime than ever again", "other", 0, INT64_C(1) << 52,
          wall_us - MINUTE, (INT64_C(1) << 52) + MINUTE },
        { "an old journal, which names no boot", "", 0, 1000000 * MINUTE, wall_us, now_us },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct journal_clock clock = { .offset_us = cases[i].offset_us };
        c->clock_offset_us = 0;
        str_copy(clock.boot, sizeof(clock.boot), cases[i].boot);
        core_time_resume(c, &clock, cases[i].now_us, cases[i].wall_us);
        int64_t off_us = controller_now(c) - cases[i].expected_us;
        if (off_us < 0 || off_us > MINUTE / 2)
            fail_msg("%s: off by %lld us", cases[i].name, (long long)off_us);
    }
}

static void test_a_leaders_time_is_taken(void **state)
{
    core_time_set(*state, 5 * MINUTE);
    assert_about(controller_now(*state), 5 * MINUTE);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_without_a_journal_it_is_the_clock),
        WITH(test_cases),
        WITH(test_a_leaders_time_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
