/* What all kinds share: names, and the fallback for a metric that stays unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/combine.h"
#include "unit/core/fixture.h"

#define S US_PER_S

static struct fixture f;

static void test_kinds(void **state)
{
    static const char *const names[] = {
        "target",   "threshold",  "step", "schedule", "concurrency", "queue",
        "busyness", "predictive", "slo",  "ratio",
    };
    for (unsigned k = 0; k < RULE_KIND_MAX; k++) {
        assert_string_equal(rule_kind_name((enum rule_kind)k), names[k]);
        assert_non_null(rule_ops((enum rule_kind)k)->eval);
    }
    assert_string_equal(rule_kind_name(RULE_KIND_MAX), "?");
}

static struct rule_conf falling_back(int64_t after_us, int32_t fallback)
{
    return (struct rule_conf){ .kind = RULE_TARGET,
                               .name = "target",
                               .fallback_after_us = after_us,
                               .fallback = fallback,
                               .target = { .metric = { .metric = METRIC_RPS }, .value = 10 } };
}

/* Unknown causes nothing for a while, then the stated count as a floor; it never scales in. */
static void test_fallback(void **state)
{
    static const struct {
        double value;
        int32_t want;
    } moments[] = {
        { 30, 3 },  { NAN, 3 }, { NAN, 3 }, { NAN, 5 }, { NAN, 5 }, { 45, 5 },
        { NAN, 5 }, { 60, 6 },  { NAN, 6 }, { NAN, 6 }, { NAN, 6 }, /* more than the fallback: stays
                                                                     */
    };
    struct rule_conf r = falling_back(2 * S, 5);
    fixture_init(&f, 3);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct combined c;
        fixture_put(&f, METRIC_RPS, S, moments[i].value);
        struct opinion o = fixture_eval(&f, &r);
        combine(&r, &o, 1, f.ctx.current, &c);
        if (c.want != moments[i].want)
            fail_msg("moment %zu: %d (%s)", i, c.want, o.text);
        assert_int_equal(o.block_in, isnan(moments[i].value));
        fixture_count(&f, c.want);
    }
}

static void test_fallback_next(void **state)
{
    struct rule_conf r = falling_back(7 * S, 5);
    fixture_init(&f, 3);
    fixture_eval(&f, &r);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 7 * S);
    fixture_count(&f, 0); /* nothing runs, nothing to fall back for */
    assert_int_equal(fixture_eval(&f, &r).out, RULE_ABSTAIN);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
    r.fallback_after_us = 0;
    fixture_count(&f, 3);
    fixture_eval(&f, &r);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_fallback_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
