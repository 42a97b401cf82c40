/* Azure's documented examples of flapping: two threshold rules, one that adds and one that removes,
 * combine, and the projection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/combine.h"
#include "core/project.h"
#include "unit/core/fixture.h"
#include "unit/core/vectors.h"

static struct fixture f;

/* "at least x" is "above the number before x", and "at most" likewise. */
static struct rule_conf rule_of(const json_t *c)
{
    struct rule_conf r = { .kind = RULE_THRESHOLD, .name = "threshold" };
    r.threshold = (struct rule_threshold_conf){
        .metric = { .metric = METRIC_LATENCY_P50 },
        .has_above = true,
        .has_below = true,
        .above = vectors_number(c, "out_above",
                                nextafter(vectors_number(c, "out_at_least", NAN), -INFINITY)),
        .below = vectors_number(c, "in_below",
                                nextafter(vectors_number(c, "in_at_most", NAN), INFINITY)),
        .add = vectors_number(c, "step_out", 1),
        .remove = vectors_number(c, "step_in", 1),
    };
    return r;
}

static int32_t decide(const struct rule_conf *r, int32_t count, double metric, struct opinion *ret)
{
    struct combined combined;
    struct projection p;
    fixture_init(&f, count);
    fixture_put(&f, METRIC_LATENCY_P50, US_PER_S, metric);
    *ret = fixture_eval(&f, r);
    combine(r, ret, 1, count, &combined);
    project_scale_in(r, ret, 1, &f.ctx, combined.want, &p);
    return p.count;
}

/* The manual gives the outcome alone: of a step of 10 from 30, 27 stay and would be at 65. We find
 * that 20 would flap and 27 would not; the manual does not say why Azure did not go on to 26, which
 * by its own formula would be at 67.5, and we do. */
static void check_reduced_step(const json_t *c)
{
    struct rule_conf r = rule_of(json_object_get(c, "rule"));
    int32_t count = (int32_t)vectors_integer(c, "instances", -1);
    int32_t expect = (int32_t)vectors_integer(c, "expect", -1);
    double projected = vectors_number(c, "projected_metric_at_result", NAN), value;
    double metric = projected * expect / count;
    struct opinion o;
    r.threshold.below = metric + 1;
    int32_t got = decide(&r, count, metric, &o);
    assert_false(rule_asks_out(&r, &o, &f.ctx, expect, &value));
    assert_true(rule_asks_out(&r, &o, &f.ctx, count - 10, &value));
    assert_int_equal(got, 26);
    /* With a metric of which 27 is the least that holds, 27 it is. */
    r.threshold.below = 63;
    assert_int_equal(decide(&r, count, 62, &o), expect);
}

static void test_flapping(void **state)
{
    json_t *root = vectors_load("azure_flapping.json");
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 9);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        if (!json_is_number(json_object_get(c, "metric"))) {
            check_reduced_step(c);
            continue;
        }
        struct rule_conf r = rule_of(json_object_get(c, "rule"));
        struct opinion o;
        int32_t got = decide(&r, (int32_t)vectors_integer(c, "instances", -1),
                             vectors_number(c, "metric", NAN), &o);
        if (got != vectors_integer(c, "expect", -1))
            fail_msg("%s: %d (%s)", vectors_text(c, "id"), got, o.text);
    }
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
