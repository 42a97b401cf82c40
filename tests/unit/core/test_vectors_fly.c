/* fly.io's autostop: excess = running - (machines over the soft limit + 1), and of an excess one
 * machine stops each pass. A load that fills k machines and a part of one more is what a target of
 * the soft limit needs k + 1 for; behavior takes one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/behavior.h"
#include "core/combine.h"
#include "unit/core/fixture.h"
#include "unit/core/vectors.h"

#define SOFT_LIMIT 20

static struct fixture f;

static const struct rule_conf rule = {
    .kind = RULE_TARGET,
    .name = "target concurrency 20",
    .target = { .metric = { .metric = METRIC_CONCURRENCY }, .value = SOFT_LIMIT },
};

/* A pass every few minutes: one machine in three of them. */
static const struct behavior_conf one_each_pass = {
    .down = { .policy_count = 1, .policy = { { .value = 1, .period_us = 3 * US_PER_MIN } } },
};

static int32_t decide(int32_t running, double load)
{
    struct combined combined;
    struct behavior_state state = { 0 };
    struct behavior_result limited;
    fixture_init(&f, running);
    fixture_put(&f, METRIC_CONCURRENCY, US_PER_S, load);
    struct opinion o = fixture_eval(&f, &rule);
    combine(&rule, &o, 1, running, &combined);
    behavior_apply(&one_each_pass, &state, f.ctx.now_us, running, combined.want, &limited);
    return limited.limited;
}

static void test_autostop(void **state)
{
    json_t *root = vectors_load("fly_autostop.json");
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        int32_t running = (int32_t)vectors_integer(c, "running", -1);
        double full = (double)vectors_integer(c, "soft_limit_exceeded", -1) * SOFT_LIMIT;
        double load = vectors_number(c, "load", full + SOFT_LIMIT / 2.0);
        int64_t stopped = running - decide(running, load);
        if (stopped != vectors_integer(c, "expect_stop", -1))
            fail_msg("%s: stops %lld", vectors_text(c, "id"), (long long)stopped);
    }
    json_decref(root);
}

/* All that run are over their soft limit: one more. */
static void test_autostart(void **state)
{
    for (int32_t running = 1; running < 5; running++)
        assert_int_equal(decide(running, SOFT_LIMIT * running + 1), running + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_autostop),
        cmocka_unit_test(test_autostart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
