/* AWS' documented examples: step scaling and its rounding through the step rule, target tracking
 * through the target rule and combine, forecasts through combine. Warm pools, and forecasts that
 * raise max, are counted by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/combine.h"
#include "core/rule_step.h"
#include "unit/core/fixture.h"
#include "unit/core/vectors.h"

static struct fixture f;
static json_t *root;

static enum rule_step_type type_of(const json_t *c)
{
    const char *type = vectors_text(c, "type");
    if (strcmp(type, "PercentChangeInCapacity") == 0)
        return RULE_STEP_PERCENT;
    return strcmp(type, "ExactCapacity") == 0 ? RULE_STEP_EXACT : RULE_STEP_CHANGE;
}

static void add_steps(struct rule_step_conf *s, const json_t *steps)
{
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        s->steps[s->step_count++] =
            (struct rule_step){ .lower = vectors_number(step, "lower", -INFINITY),
                                .upper = vectors_number(step, "upper", INFINITY),
                                .adjustment = vectors_number(step, "adjustment", NAN) };
    }
}

static void test_steps(void **state)
{
    const json_t *cases = json_object_get(root, "step_cases");
    assert_int_equal(json_array_size(cases), 6);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        struct rule_conf r = { .kind = RULE_STEP, .name = "step" };
        r.step = (struct rule_step_conf){ .metric = { .metric = METRIC_LATENCY_P50 },
                                          .threshold = vectors_number(c, "threshold", NAN),
                                          .type = type_of(c) };
        add_steps(&r.step, json_object_get(c, "out_steps"));
        add_steps(&r.step, json_object_get(c, "in_steps"));
        int32_t count = (int32_t)vectors_integer(c, "capacity", -1);
        fixture_init(&f, count);
        fixture_put(&f, METRIC_LATENCY_P50, US_PER_S, vectors_number(c, "metric", NAN));
        struct opinion o = fixture_eval(&f, &r);
        struct combined combined;
        combine(&r, &o, 1, count, &combined);
        if (combined.want != vectors_integer(c, "expect", -1))
            fail_msg("%s: %d (%s)", vectors_text(c, "id"), combined.want, o.text);
    }
}

static void test_adjustments(void **state)
{
    const json_t *cases = json_object_get(root, "adjustment_cases");
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        struct rule_step_conf s = { .type = type_of(c),
                                    .min_magnitude =
                                        (int32_t)vectors_integer(c, "min_magnitude", 0) };
        int32_t got = rule_step_adjust(&s, vectors_number(c, "adjustment", NAN),
                                       (int32_t)vectors_integer(c, "capacity", -1));
        if (got != vectors_integer(c, "expect", -1))
            fail_msg("%s: %d", vectors_text(c, "id"), got);
    }
}

static void test_rounding(void **state)
{
    const json_t *cases = json_object_get(root, "rounding_cases");
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        double got = rule_step_round(vectors_number(c, "value", NAN));
        if (got != vectors_number(c, "expect", NAN))
            fail_msg("%s: %g", vectors_text(c, "id"), got);
    }
}

/* A target of 1 a piece that this total asks of a service of `count`. */
static int32_t track(int32_t count, double total)
{
    struct rule_conf r = { .kind = RULE_TARGET, .name = "target" };
    r.target = (struct rule_target_conf){ .metric = { .metric = METRIC_RPS }, .value = 1 };
    struct combined combined;
    fixture_init(&f, count);
    fixture_put(&f, METRIC_RPS, US_PER_S, total);
    struct opinion o = fixture_eval(&f, &r);
    combine(&r, &o, 1, count, &combined);
    return combined.want;
}

/* Several policies, each with the count it desires (RULE_ABSTAIN = its metric is missing). */
static int32_t track_all(int32_t count, const json_t *desired)
{
    struct rule_conf rules[8] = { 0 };
    struct opinion opinions[8];
    struct combined combined;
    uint32_t n = (uint32_t)json_array_size(desired);
    for (uint32_t i = 0; i < n; i++) {
        rules[i].kind = RULE_TARGET;
        rules[i].target =
            (struct rule_target_conf){ .metric = { .metric = METRIC_RPS }, .value = 1 };
        fixture_init(&f, count);
        fixture_put(&f, METRIC_RPS, US_PER_S, json_number_value(json_array_get(desired, i)));
        opinions[i] = fixture_eval(&f, &rules[i]);
    }
    combine(rules, opinions, n, count, &combined);
    return combined.want;
}

static int64_t track_case(const json_t *c)
{
    int32_t count = (int32_t)vectors_integer(c, "capacity", 9);
    if (json_object_get(c, "ideal_change"))
        return track(count, count + vectors_number(c, "ideal_change", NAN)) - count;
    if (json_object_get(c, "metric_per_instance"))
        return track(count, count * vectors_number(c, "metric_per_instance", NAN) /
                                vectors_number(c, "target", NAN));
    if (json_object_get(c, "policy_desired"))
        return track_all(count, json_object_get(c, "policy_desired"));
    assert_true(json_is_null(json_object_get(c, "metric")));
    return track(count, NAN);
}

static void test_target_tracking(void **state)
{
    const json_t *cases = json_object_get(root, "target_tracking_cases");
    assert_int_equal(json_array_size(cases), 6);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        int64_t got = track_case(c);
        if (got != vectors_integer(c, "expect", vectors_integer(c, "expect_change", -1)))
            fail_msg("%s (%s): %lld", vectors_text(c, "id"), vectors_text(c, "name"),
                     (long long)got);
    }
}

/* "If the metric moves on to a higher step while instances warm up, only the difference to what was
 * added is added": 10 instances, +1 in the first step and +3 in the second. */
static void test_warmup(void **state)
{
    struct rule_conf r = { .kind = RULE_STEP, .name = "step" };
    r.step = (struct rule_step_conf){
        .metric = { .metric = METRIC_LATENCY_P50 },
        .threshold = 50,
        .warmup_us = 120 * US_PER_S,
        .step_count = 3,
        .steps = { { 0, 10, 1 }, { 10, INFINITY, 3 }, { -INFINITY, 0, -1 } }
    };
    static const struct {
        int64_t step_us;
        double value;
        int32_t want;
    } moments[] = {
        { US_PER_S, 55, 11 },       /* first step */
        { US_PER_S, 56, 11 },       /* the same step again, while warming up */
        { US_PER_S, 65, 13 },       /* the next: three in all, so two more */
        { US_PER_S, 55, 13 },       /* back: not fewer */
        { US_PER_S, 20, 13 },       /* below: blocked while warming up */
        { 119 * US_PER_S, 55, 14 }, /* warm: starts again from 13 */
        { US_PER_S, 20, 14 },       /* below, but these warm up */
        { 120 * US_PER_S, 20, 13 }, /* warm */
    };
    fixture_init(&f, 10);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct combined combined;
        series_set_stale(&f.series[METRIC_LATENCY_P50], US_PER_HOUR);
        fixture_put(&f, METRIC_LATENCY_P50, moments[i].step_us, moments[i].value);
        struct opinion o = fixture_eval(&f, &r);
        combine(&r, &o, 1, f.ctx.current, &combined);
        if (combined.want != moments[i].want)
            fail_msg("moment %zu: %d (%s)", i, combined.want, o.text);
        fixture_count(&f, combined.want);
    }
}

/* A forecast adds and never removes; max holds. What a forecast says is given, so an opinion that
 * says it is enough. AWS may be told to raise max with it; ours stays (two cases). */
static void test_predictive(void **state)
{
    const json_t *cases = json_object_get(root, "predictive_cases");
    unsigned run = 0, raise_max = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        int32_t actual = (int32_t)vectors_integer(c, "actual", -1);
        struct rule_conf rules[2] = { { .name = "target" }, { .name = "predictive" } };
        struct opinion opinions[2];
        struct combined combined;
        rule_opinion_init(&opinions[0]);
        rule_opinion_init(&opinions[1]);
        opinions[0].out = opinions[0].in = actual;
        opinions[1].out = (int32_t)vectors_integer(c, "predicted", -1);
        if (json_object_get(c, "max_buffer_pct")) {
            raise_max++;
            continue;
        }
        combine(rules, opinions, 2, actual, &combined);
        int64_t got = CLAMP((int64_t)combined.want, vectors_integer(c, "min", -1),
                            vectors_integer(c, "max", -1));
        if (got != vectors_integer(c, "expect", -1))
            fail_msg("%s: %lld", vectors_text(c, "id"), (long long)got);
        run++;
    }
    assert_int_equal(run, 3);
    assert_int_equal(raise_max, 2);
    print_message("not applicable: aws predictive_cases, 2 cases: no rule raises max\n");
}

static void test_nothing_skipped(void **state)
{
    static const struct {
        const char *section;
        size_t cases;
        const char *why; /* NULL = tested above */
    } known[] = {
        { "step_cases", 6, NULL },       { "adjustment_cases", 4, NULL },
        { "rounding_cases", 4, NULL },   { "target_tracking_cases", 6, NULL },
        { "predictive_cases", 5, NULL }, { "warm_pool_cases", 2, "no warm pool is kept" },
    };
    const char *key;
    json_t *value;
    size_t sections = 0;
    json_object_foreach(root, key, value)
    {
        sections += strstr(key, "_cases") != NULL;
    }
    assert_int_equal(sections, ARRAY_LEN(known));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        assert_int_equal(json_array_size(json_object_get(root, known[i].section)), known[i].cases);
        if (known[i].why)
            print_message("not applicable: aws %s, %zu cases: %s\n", known[i].section,
                          known[i].cases, known[i].why);
    }
}

static int load(void **state)
{
    root = vectors_load("aws_documented.json");
    return 0;
}

static int unload(void **state)
{
    json_decref(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),           cmocka_unit_test(test_adjustments),
        cmocka_unit_test(test_rounding),        cmocka_unit_test(test_target_tracking),
        cmocka_unit_test(test_warmup),          cmocka_unit_test(test_predictive),
        cmocka_unit_test(test_nothing_skipped),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
