/* The step rule's clocks: how long a breach must hold, gaps, one step in per hold. Its arithmetic
 * is tested with AWS' own examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rule_step.h"
#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf step_rule(void)
{
    struct rule_conf r = { .kind = RULE_STEP, .name = "step" };
    r.step = (struct rule_step_conf){
        .metric = { .metric = METRIC_CPU },
        .threshold = .5,
        .for_us = 2 * S,
        .warmup_us = 30 * S,
        .step_count = 3,
        .steps = { { .1, .3, 1 }, { .3, INFINITY, 2 }, { -INFINITY, -.2, -1 } }
    };
    return r;
}

static void test_bounds(void **state)
{
    static const struct {
        double value;
        int step; /* -1 = none */
    } cases[] = {
        { .5, -1 }, { .55, -1 }, { .625, 0 },     { .75, 1 },       { 9, 1 },    { .35, -1 },
        { .25, 2 }, { 0, 2 },    { INFINITY, 1 }, { -INFINITY, 2 }, { NAN, -1 },
    };
    struct rule_step_conf s = {
        .threshold = .5,
        .step_count = 3,
        .steps = { { .125, .25, 1 }, { .25, INFINITY, 2 }, { -INFINITY, -.25, -1 } }
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct rule_step *got = rule_step_find(&s, cases[i].value);
        const struct rule_step *want = cases[i].step < 0 ? NULL : &s.steps[cases[i].step];
        if (got != want)
            fail_msg("case %zu", i);
    }
}

static void test_clocks(void **state)
{
    static const struct {
        double value;
        int32_t out, in, count;
    } moments[] = {
        { .7, NONE, 4, 0 },  { .7, NONE, 4, 0 },     { .7, 5, 4, 5 }, /* held for two seconds */
        { .7, NONE, 5, 0 },  { .9, 6, 5, 6 }, /* the next step: two in all, from four */
        { .9, NONE, 6, 0 },  { NAN, NONE, NONE, 0 }, { .95, NONE, 6, 0 }, { .95, NONE, 6, 0 },
        { .95, NONE, 6, 0 }, /* still warming */
        { .5, NONE, 6, 0 },  { .1, NONE, 6, 0 },     { .1, NONE, 6, 0 },  { .1, NONE, 6, 0 },
    };
    struct rule_conf r = step_rule();
    fixture_init(&f, 4);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        fixture_put(&f, METRIC_CPU, S, moments[i].value);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != moments[i].out || o.in != moments[i].in ||
            o.block_in != isnan(moments[i].value))
            fail_msg("moment %zu: out %d in %d (%s)", i, o.out, o.in, o.text);
        if (moments[i].count > 0)
            fixture_count(&f, moments[i].count);
    }
    assert_true(rule_next_us(&r, &f.state, &f.ctx) < f.ctx.now_us + 30 * S);
    for (int i = 0; i < 30; i++)
        fixture_put(&f, METRIC_CPU, S, .1);
    assert_int_equal(fixture_eval(&f, &r).in, 5); /* warm, and long below */
    assert_int_equal(fixture_eval(&f, &r).in, 5);
    fixture_count(&f, 5);
    assert_int_equal(fixture_eval(&f, &r).in, 5); /* one at a time */
    fixture_put(&f, METRIC_CPU, 2 * S, .1);
    assert_int_equal(fixture_eval(&f, &r).in, 4);
}

static void test_only_out_abstains(void **state)
{
    struct rule_conf r = step_rule();
    r.step.step_count = 2;
    fixture_init(&f, 4);
    fixture_put(&f, METRIC_CPU, S, .1);
    assert_int_equal(fixture_eval(&f, &r).in, NONE);
    fixture_put(&f, METRIC_CPU, S, NAN);
    assert_false(fixture_eval(&f, &r).block_in);
}

static void test_extremes(void **state)
{
    static const struct {
        enum rule_step_type type;
        double adjustment;
        int32_t min_magnitude, count, want;
    } cases[] = {
        { RULE_STEP_CHANGE, -5, 0, 3, 0 },   { RULE_STEP_CHANGE, 0, 5, 3, 3 },
        { RULE_STEP_PERCENT, -50, 0, 1, 0 }, { RULE_STEP_PERCENT, -10, 3, 5, 2 },
        { RULE_STEP_PERCENT, 0, 3, 5, 5 },   { RULE_STEP_PERCENT, 1e300, 0, 5, 1000000 },
        { RULE_STEP_EXACT, 7, 0, 3, 7 },     { RULE_STEP_EXACT, -1, 0, 3, 0 },
        { RULE_STEP_CHANGE, 1, 5, 3, 4 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_step_conf s = { .type = cases[i].type,
                                    .min_magnitude = cases[i].min_magnitude };
        int32_t got = rule_step_adjust(&s, cases[i].adjustment, cases[i].count);
        if (got != cases[i].want)
            fail_msg("case %zu: %d", i, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_only_out_abstains),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
