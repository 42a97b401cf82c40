/* Counting probes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "core/health.h"
#include "core/model.h"

static void test_rows_of_probes(void **state)
{
    /* Probes one after the other: p passed, f failed; verdicts: . same, w well, i ill. */
    static const struct {
        enum instance_state from;
        const char *probes, *verdicts;
    } cases[] = {
        { INSTANCE_STARTING, "ffp", "..w" },       { INSTANCE_WARMING, "p", "w" },
        { INSTANCE_READY, "ffpfff", ".....i" },    { INSTANCE_READY, "pppp", "...." },
        { INSTANCE_FAILING, "pfpp", "...w" },      { INSTANCE_FAILING, "ffff", "...." },
        { INSTANCE_DRAINING, "ffffpp", "......" }, { INSTANCE_STOPPING, "ffff", "...." },
    };
    const struct health_conf conf = { .fail_after = 3, .pass_after = 2 };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct instance i = { .state = cases[n].from };
        for (size_t k = 0; cases[n].probes[k]; k++) {
            enum health_verdict v = health_probe(&conf, &i, cases[n].probes[k] == 'p');
            assert_int_equal(".wi"[v], cases[n].verdicts[k]);
        }
    }
}

static void test_counters_do_not_wrap(void **state)
{
    const struct health_conf conf = { .fail_after = 3, .pass_after = 2 };
    struct instance i = { .state = INSTANCE_READY, .probes_failed = UINT32_MAX };
    assert_int_equal(health_probe(&conf, &i, false), HEALTH_ILL);
    assert_int_equal(i.probes_failed, UINT32_MAX);
}

static void test_given_up(void **state)
{
    struct health_conf conf = { 1, 1, 60 * US_PER_S };
    struct instance i = { .state = INSTANCE_FAILING, .state_us = 100 * US_PER_S };
    assert_int_equal(health_next_us(&conf, &i), 160 * US_PER_S);
    assert_false(health_given_up(&conf, &i, 160 * US_PER_S - 1));
    assert_true(health_given_up(&conf, &i, 160 * US_PER_S));
    conf.replace_after_us = US_NEVER;
    assert_false(health_given_up(&conf, &i, US_NEVER));
    conf.replace_after_us = 0;
    i.state = INSTANCE_READY;
    assert_false(health_given_up(&conf, &i, 500 * US_PER_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_probes),
        cmocka_unit_test(test_counters_do_not_wrap),
        cmocka_unit_test(test_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
