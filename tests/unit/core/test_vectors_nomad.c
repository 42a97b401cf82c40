/* Nomad Autoscaler's strategies and how it merges checks, said with our own parts: the target rule
 * (its threshold is both tolerances; pass-through is a target of one each), the step rule for
 * threshold, the schedule rule for fixed-value, behavior's policies (max_scale_up, max_scale_down)
 * and combine. What is not a rule's is counted by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/num.h"
#include "core/combine.h"
#include "unit/core/fixture.h"
#include "unit/core/vectors.h"

static struct fixture f;
static json_t *root;

/* What Nomad would call the action. */
struct action {
    const char *direction; /* "up", "down", "none", or "no_result" */
    int32_t count;
};

static struct action action_of(int32_t from, int32_t to)
{
    return (struct action){ to > from ? "up" : to < from ? "down" : "none", to };
}

static struct rule_conf target_rule(double target, double threshold)
{
    return (struct rule_conf){ .kind = RULE_TARGET,
                               .name = "target",
                               .target = { .metric = { .metric = METRIC_LATENCY_P50 },
                                           .value = target,
                                           .tolerance_up = threshold,
                                           .tolerance_down = threshold } };
}

/* max_scale_up and max_scale_down: so many in one step. */
static void limit(struct behavior_direction *d, int64_t most)
{
    if (most <= 0)
        return;
    d->policy_count = 1;
    d->policy[0] = (struct behavior_policy){ .value = (int32_t)most, .period_us = US_PER_S };
}

static struct action decide(const struct rule_conf *r, const json_t *metrics, int32_t count,
                            const struct behavior_conf *behavior)
{
    struct behavior_state state = { 0 };
    struct behavior_result limited;
    struct combined combined;
    enum metric metric = r->kind == RULE_STEP ? r->step.metric.metric : r->target.metric.metric;
    fixture_init(&f, count);
    for (size_t i = 0; i < json_array_size(metrics); i++)
        fixture_put(&f, metric, US_PER_S, json_number_value(json_array_get(metrics, i)));
    struct opinion o = fixture_eval(&f, r);
    if (!o.known)
        return (struct action){ "no_result", count };
    combine(r, &o, 1, count, &combined);
    behavior_apply(behavior, &state, f.ctx.now_us, count, combined.want, &limited);
    return action_of(count, limited.limited);
}

static void check(const char *id, struct action got, const json_t *expect)
{
    const char *direction = vectors_text(expect, "direction");
    if (json_is_true(json_object_get(expect, "no_result")))
        direction = "no_result";
    if (strcmp(got.direction, direction) != 0)
        fail_msg("%s: %s to %d, not %s", id, got.direction, got.count, direction);
    if (got.count != vectors_integer(expect, "count", got.count))
        fail_msg("%s: %d", id, got.count);
}

static bool number_of(const json_t *config, const char *key, double *ret)
{
    const json_t *text = json_object_get(config, key);
    return !text || num_parse_double(slice_of(json_string_value(text)), ret) == 0;
}

static void test_target_value(void **state)
{
    const json_t *cases =
        json_object_get(json_object_get(json_object_get(root, "groups"), "target_value"), "cases");
    unsigned run = 0, refused = 0;
    for (size_t i = 0; i < json_array_size(cases); i++, run++) {
        const json_t *c = json_array_get(cases, i), *config = json_object_get(c, "config");
        const json_t *expect = json_object_get(c, "expect");
        struct behavior_conf behavior = { 0 };
        double target = NAN, threshold = 0.01, up = 0, down = 0;
        bool sane = number_of(config, "target", &target) &&
                    number_of(config, "threshold", &threshold) &&
                    number_of(config, "max_scale_up", &up) &&
                    number_of(config, "max_scale_down", &down) && !isnan(target);
        if (sane == json_is_string(json_object_get(expect, "error")))
            fail_msg("%s: the numbers are %s", vectors_text(c, "id"), sane ? "taken" : "refused");
        if (!sane) {
            refused++;
            continue;
        }
        limit(&behavior.up, (int64_t)up);
        limit(&behavior.down, (int64_t)down);
        struct rule_conf r = target_rule(target, threshold);
        int32_t count = (int32_t)vectors_integer(c, "count", -1);
        check(vectors_text(c, "id"), decide(&r, json_object_get(c, "metrics"), count, &behavior),
              expect);
    }
    assert_int_equal(run, 17);
    assert_int_equal(refused, 5);
}

static void test_target_value_direction(void **state)
{
    const json_t *cases = json_object_get(
        json_object_get(json_object_get(root, "groups"), "target_value_direction"), "cases");
    assert_int_equal(json_array_size(cases), 8);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        double threshold = vectors_number(c, "threshold", -1);
        struct rule_conf r = target_rule(1, threshold);
        json_t *metrics = json_pack("[f]", vectors_number(c, "factor", -1));
        /* The direction alone is asked for: a thousandfold count shows it whatever the rounding. */
        int32_t count = (int32_t)vectors_integer(c, "count", -1) * 1000;
        check(vectors_text(c, "id"), decide(&r, metrics, count, &(struct behavior_conf){ 0 }),
              json_object_get(c, "expect"));
        json_decref(metrics);
    }
}

/* A check's action as an opinion on a service of 10. The vectors' counts are labels: they say which
 * of two is larger, so an `up` to n is shifted above 10. */
static struct opinion opinion_of(const json_t *action)
{
    struct opinion o;
    const char *direction = vectors_text(action, "direction");
    int32_t count = (int32_t)vectors_integer(action, "count", -1);
    rule_opinion_init(&o);
    o.known = true;
    o.in = strcmp(direction, "down") == 0 ? count : 10;
    if (strcmp(direction, "up") == 0)
        o.out = 11 + count;
    return o;
}

static void test_precedence(void **state)
{
    const json_t *cases = json_object_get(
        json_object_get(json_object_get(root, "groups"), "multi_check_precedence"), "cases");
    assert_int_equal(json_array_size(cases), 13);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        struct opinion opinions[2] = { opinion_of(json_object_get(c, "a")),
                                       opinion_of(json_object_get(c, "b")) };
        struct rule_conf rules[2] = { target_rule(1, 0), target_rule(1, 0) };
        struct combined combined;
        combine(rules, opinions, 2, 10, &combined);
        struct action got = action_of(10, combined.want);
        got.count -= strcmp(got.direction, "up") == 0     ? 11
                     : strcmp(got.direction, "none") == 0 ? 10
                                                          : 0;
        check(vectors_text(c, "id"), got, expect);
    }
}

/* -- threshold: a step rule with `points` ---------------------------------------------------------
 */

/* "delta", "percentage" or "value", exactly one of them. */
static bool read_action(const json_t *config, struct rule_step_conf *ret)
{
    static const struct {
        const char *key;
        enum rule_step_type type;
    } actions[] = {
        { "delta", RULE_STEP_CHANGE },
        { "percentage", RULE_STEP_PERCENT },
        { "value", RULE_STEP_EXACT },
    };
    unsigned given = 0;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (!json_object_get(config, actions[i].key))
            continue;
        given++;
        ret->type = actions[i].type;
        if (!number_of(config, actions[i].key, &ret->steps[0].adjustment))
            return false;
    }
    return given == 1;
}

/* Bounds from `lower_bound` up to `upper_bound`, and as many values in them as
 * `within_bounds_trigger` says, out of the ten seconds that the series may have. */
static bool read_threshold(const json_t *config, struct rule_conf *ret)
{
    double lower = -1e9, upper = INFINITY, points = 5;
    bool bounded = json_object_get(config, "lower_bound") || json_object_get(config, "upper_bound");
    *ret = (struct rule_conf){ .kind = RULE_STEP, .name = "step" };
    ret->step.metric = (struct rule_metric){ .metric = METRIC_LATENCY_P50,
                                             .stat = SERIES_LAST,
                                             .window_us = 10 * US_PER_S };
    ret->step.step_count = 1;
    if (!bounded || !number_of(config, "lower_bound", &lower) ||
        !number_of(config, "upper_bound", &upper) ||
        !number_of(config, "within_bounds_trigger", &points))
        return false;
    ret->step.threshold = lower;
    ret->step.steps[0] = (struct rule_step){ .lower = 0, .upper = upper - lower };
    ret->step.points = (uint32_t)points;
    return read_action(config, &ret->step);
}

static void test_threshold(void **state)
{
    const json_t *cases =
        json_object_get(json_object_get(json_object_get(root, "groups"), "threshold"), "cases");
    unsigned refused = 0;
    assert_int_equal(json_array_size(cases), 21);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        struct rule_conf r;
        bool sane = read_threshold(json_object_get(c, "config"), &r);
        if (sane == json_is_string(json_object_get(expect, "error")))
            fail_msg("%s: the numbers are %s", vectors_text(c, "id"), sane ? "taken" : "refused");
        refused += !sane;
        if (sane)
            check(vectors_text(c, "id"),
                  decide(&r, json_object_get(c, "metrics"),
                         (int32_t)vectors_integer(c, "count", -1), &(struct behavior_conf){ 0 }),
                  expect);
    }
    assert_int_equal(refused, 6);
}

/* -- pass-through: a target of one each ---------------------------------------------------------
 */

static void test_pass_through(void **state)
{
    const json_t *cases =
        json_object_get(json_object_get(json_object_get(root, "groups"), "pass_through"), "cases");
    unsigned refused = 0;
    assert_int_equal(json_array_size(cases), 8);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *config = json_object_get(c, "config");
        const json_t *expect = json_object_get(c, "expect");
        struct behavior_conf behavior = { 0 };
        double up = 0, down = 0;
        bool sane =
            number_of(config, "max_scale_up", &up) && number_of(config, "max_scale_down", &down);
        if (sane == json_is_string(json_object_get(expect, "error")))
            fail_msg("%s: the numbers are %s", vectors_text(c, "id"), sane ? "taken" : "refused");
        refused += !sane;
        if (!sane)
            continue;
        limit(&behavior.up, (int64_t)up);
        limit(&behavior.down, (int64_t)down);
        struct rule_conf r = target_rule(1, 0);
        r.target.metric.metric = METRIC_CUSTOM; /* a total that somebody's source brings */
        check(vectors_text(c, "id"),
              decide(&r, json_object_get(c, "metrics"), (int32_t)vectors_integer(c, "count", -1),
                     &behavior),
              expect);
    }
    assert_int_equal(refused, 2);
}

/* -- fixed-value: a schedule's count ------------------------------------------------------------
 */

static void test_fixed_value(void **state)
{
    const json_t *cases =
        json_object_get(json_object_get(json_object_get(root, "groups"), "fixed_value"), "cases");
    unsigned refused = 0;
    assert_int_equal(json_array_size(cases), 5);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        double value = NAN;
        bool sane = number_of(json_object_get(c, "config"), "value", &value) && !isnan(value);
        if (sane == json_is_string(json_object_get(expect, "error")))
            fail_msg("%s: the number is %s", vectors_text(c, "id"), sane ? "taken" : "refused");
        refused += !sane;
        if (!sane)
            continue;
        struct rule_conf r = { .kind = RULE_SCHEDULE, .name = "schedule" };
        struct combined combined;
        r.schedule = (struct rule_schedule_conf){
            .for_us = US_PER_DAY, .min = -1, .max = -1, .count = (int32_t)value
        };
        assert_int_equal(cron_parse(slice_of("* * * * *"), &r.schedule.cron, NULL), 0);
        int32_t count = (int32_t)vectors_integer(c, "count", -1);
        fixture_init(&f, count);
        f.ctx.wall_us = 1000 * US_PER_DAY;
        struct opinion o = fixture_eval(&f, &r);
        combine(&r, &o, 1, count, &combined);
        check(vectors_text(c, "id"), action_of(count, combined.set_min), expect);
    }
    assert_int_equal(refused, 2);
}

/* Every group of the file is either tested here or named as one that plimsoll has no use for. */
static void test_nothing_skipped(void **state)
{
    static const struct {
        const char *group;
        size_t cases;
        const char *why; /* NULL = tested above */
    } known[] = {
        { "target_value", 17, NULL },
        { "target_value_direction", 8, NULL },
        { "multi_check_precedence", 13, NULL },
        { "threshold", 21, NULL },
        { "pass_through", 8, NULL },
        { "fixed_value", 5, NULL },
        { "cap_count", 6, "min, max and advise mode are control's" },
    };
    const json_t *groups = json_object_get(root, "groups");
    assert_int_equal(json_object_size(groups), ARRAY_LEN(known));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        const json_t *cases = json_object_get(json_object_get(groups, known[i].group), "cases");
        assert_int_equal(json_array_size(cases), known[i].cases);
        if (known[i].why)
            print_message("not applicable: nomad %s, %zu cases: %s\n", known[i].group,
                          known[i].cases, known[i].why);
    }
}

static int load(void **state)
{
    root = vectors_load("nomad_strategies.json");
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
        cmocka_unit_test(test_target_value),    cmocka_unit_test(test_target_value_direction),
        cmocka_unit_test(test_precedence),      cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_pass_through),    cmocka_unit_test(test_fixed_value),
        cmocka_unit_test(test_nothing_skipped),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
