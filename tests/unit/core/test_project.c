/* Law 3: a step in that would be taken back at once is made smaller, or not made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/project.h"
#include "unit/core/fixture.h"

static struct fixture f;

static const struct rule_conf cpu_above_80 = {
    .kind = RULE_THRESHOLD,
    .name = "threshold cpu",
    .threshold = { .metric = { .metric = METRIC_CPU },
                   .has_above = true,
                   .above = .8,
                   .add = 1,
                   .for_us = 5 * US_PER_MIN },
};
static const struct rule_conf target_20 = {
    .kind = RULE_TARGET,
    .name = "target concurrency 20",
    .target = { .metric = { .metric = METRIC_CONCURRENCY }, .value = 20, .tolerance_up = .1 },
};
static const struct rule_conf steps_at_50 = {
    .kind = RULE_STEP,
    .name = "step cpu",
    .step = { .metric = { .metric = METRIC_CPU },
              .threshold = .5,
              .step_count = 1,
              .steps = { { .2, INFINITY, 1 } } },
};

static void test_project(void **state)
{
    static const struct {
        const char *name;
        const struct rule_conf *rules[2];
        double cpu, concurrency;
        int32_t current, ready, want;
        int32_t count, rule;
    } cases[] = {
        { "room enough", { &cpu_above_80 }, .3, 0, 4, 4, 2, 2, -1 },
        { "a smaller step", { &cpu_above_80 }, .5, 0, 4, 4, 1, 3, 0 },
        { "no step", { &cpu_above_80 }, .7, 0, 4, 4, 3, 4, 0 },
        { "exactly at the threshold", { &cpu_above_80 }, .4, 0, 4, 4, 2, 2, -1 },
        { "those that start will share", { &cpu_above_80 }, .8, 0, 4, 2, 2, 2, -1 },
        { "a total", { &target_20 }, 0, 50, 4, 4, 1, 3, 0 },
        { "a total within its dead band", { &target_20 }, 0, 44, 4, 4, 2, 2, -1 },
        { "to zero with something waiting", { &target_20 }, 0, 1, 1, 1, 0, 1, 0 },
        { "to zero", { &target_20 }, 0, 0, 1, 1, 0, 0, -1 },
        { "steps", { &steps_at_50 }, .4, 0, 4, 4, 1, 3, 0 },
        { "the strictest of two", { &cpu_above_80, &target_20 }, .3, 70, 6, 6, 1, 4, 1 },
        { "nothing known", { &cpu_above_80 }, NAN, 0, 4, 4, 1, 1, -1 },
        { "not a step in", { &cpu_above_80 }, .9, 0, 4, 4, 6, 6, -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf rules[2];
        struct opinion opinions[2];
        struct projection p;
        uint32_t n = 0;
        fixture_init(&f, cases[i].current);
        f.ctx.ready = cases[i].ready;
        f.ctx.window_in_us = US_PER_MIN;
        f.ctx.now_us += US_PER_S;
        series_put(&f.series[METRIC_CPU], f.ctx.now_us, cases[i].cpu);
        series_put(&f.series[METRIC_CONCURRENCY], f.ctx.now_us, cases[i].concurrency);
        for (; n < 2 && cases[i].rules[n]; n++) {
            struct rule_state fresh = { 0 };
            rules[n] = *cases[i].rules[n];
            rule_eval(&rules[n], &fresh, &f.ctx, &opinions[n]);
        }
        project_scale_in(rules, opinions, n, &f.ctx, cases[i].want, &p);
        if (p.count != cases[i].count || p.rule != cases[i].rule)
            fail_msg("%s: %d by %d", cases[i].name, p.count, p.rule);
        char text[120];
        project_say(rules, &p, text, sizeof(text));
        assert_int_equal(text[0] != '\0', p.count != cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_project),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
