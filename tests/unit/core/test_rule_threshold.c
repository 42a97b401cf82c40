/* The threshold rule: it must hold for the whole time, a gap restarts it, one step per `for`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf threshold(double above, double add, double below, double remove,
                                  int64_t for_us)
{
    struct rule_conf r = { .kind = RULE_THRESHOLD, .name = "threshold" };
    r.threshold = (struct rule_threshold_conf){ .metric = { .metric = METRIC_CPU },
                                                .has_above = add > 0,
                                                .has_below = remove > 0,
                                                .above = above,
                                                .below = below,
                                                .add = add,
                                                .remove = remove,
                                                .for_us = for_us };
    return r;
}

/* A moment: the next second's value, what the rule then says, and the count after it. */
struct moment {
    double value;
    int32_t out, in;
    int32_t count; /* 0 = as before */
};

static void play(const struct rule_conf *r, int32_t count, const struct moment *m, size_t n)
{
    fixture_init(&f, count);
    for (size_t i = 0; i < n; i++) {
        fixture_put(&f, METRIC_CPU, S, m[i].value);
        struct opinion o = fixture_eval(&f, r);
        bool blind = isnan(m[i].value) && r->threshold.has_below;
        if (o.out != m[i].out || o.in != m[i].in || o.block_in != blind)
            fail_msg("moment %zu: out %d in %d block %d (%s)", i, o.out, o.in, o.block_in, o.text);
        if (m[i].count > 0)
            fixture_count(&f, m[i].count);
    }
}

static void test_holds_for(void **state)
{
    static const struct moment moments[] = {
        { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 },
        { .9, 3, NONE, 0 }, /* three seconds */
        { .9, 3, NONE, 3 }, /* still asked for, and now had: the clock restarts */
        { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 },
        { .9, 4, NONE, 0 },    { .5, NONE, NONE, 0 },                         /* over */
        { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 }, { NAN, NONE, NONE, 0 }, /* a gap */
        { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 }, { .8, NONE, NONE, 0 },  /* not above */
        { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 }, { .9, NONE, NONE, 0 },
        { .9, 4, NONE, 0 },
    };
    struct rule_conf r = threshold(.8, 1, 0, 0, 3 * S);
    play(&r, 2, moments, ARRAY_LEN(moments));
}

/* A gap that lay between two evaluations restarts the clock too. */
static void test_gap_between(void **state)
{
    struct rule_conf r = threshold(.8, 1, 0, 0, 3 * S);
    fixture_init(&f, 1);
    for (int i = 0; i < 3; i++) {
        fixture_put(&f, METRIC_CPU, S, .9);
        assert_int_equal(fixture_eval(&f, &r).out, NONE);
    }
    fixture_put(&f, METRIC_CPU, SERIES_STALE_US + S, .9);
    assert_int_equal(fixture_eval(&f, &r).out, NONE);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 3 * S);
    fixture_put(&f, METRIC_CPU, 3 * S, .9);
    assert_int_equal(fixture_eval(&f, &r).out, 2);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
}

static void test_remove(void **state)
{
    static const struct moment moments[] = {
        { .1, NONE, 5, 0 },     { .1, NONE, 5, 0 }, { .1, NONE, 4, 0 }, /* two seconds */
        { .1, NONE, 4, 4 },                                             /* got it */
        { .1, NONE, 4, 0 },     { .1, NONE, 4, 0 }, { .1, NONE, 3, 0 },
        { .3, NONE, 4, 0 },     /* within bounds: content as it is */
        { NAN, NONE, NONE, 0 }, /* blind: blocks */
        { .1, NONE, 4, 0 },     { .9, NONE, 4, 0 }, { .9, NONE, 4, 0 },
        { .9, 5, 4, 0 },
    };
    struct rule_conf r = threshold(.8, 1, .2, 1, 2 * S);
    play(&r, 5, moments, ARRAY_LEN(moments));
}

static void test_amounts(void **state)
{
    static const struct {
        int32_t count;
        double add, remove;
        bool ratio;
        int32_t out, in;
    } cases[] = {
        { 10, .1, .1, true, 11, 9 },    { 11, .1, .1, true, 13, 9 },  { 1, .1, .1, true, 2, 0 },
        { 0, .5, .5, true, 1, 0 },      { 3, 2, 2, false, 5, 1 },     { 3, 5, 5, false, 8, 0 },
        { 100, 1, .25, true, 200, 75 }, { 2, 1.5, 1.5, false, 4, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = threshold(.8, cases[i].add, .2, cases[i].remove, 0);
        r.threshold.add_ratio = r.threshold.remove_ratio = cases[i].ratio;
        fixture_init(&f, cases[i].count);
        fixture_put(&f, METRIC_CPU, S, .9);
        assert_int_equal(fixture_eval(&f, &r).out, cases[i].out);
        fixture_init(&f, cases[i].count);
        fixture_put(&f, METRIC_CPU, S, .1);
        assert_int_equal(fixture_eval(&f, &r).in, cases[i].in);
    }
}

/* Law 2: without a `for`, nothing more is asked for until the last step has started. */
static void test_waits_for_starting(void **state)
{
    struct rule_conf r = threshold(.8, 1, 0, 0, 0);
    fixture_init(&f, 2);
    fixture_put(&f, METRIC_CPU, S, .9);
    assert_int_equal(fixture_eval(&f, &r).out, 3);
    f.ctx.current = 3;
    f.ctx.starting = 1;
    for (int i = 0; i < 5; i++) {
        fixture_put(&f, METRIC_CPU, S, .9);
        assert_int_equal(fixture_eval(&f, &r).out, NONE);
    }
    f.ctx.starting = 0;
    f.ctx.ready = 3;
    fixture_put(&f, METRIC_CPU, S, .9);
    assert_int_equal(fixture_eval(&f, &r).out, 4);
}

/* Scale-in without a `for` waits for the service's window. */
static void test_remove_needs_window(void **state)
{
    struct rule_conf r = threshold(0, 0, .2, 1, 0);
    fixture_init(&f, 3);
    f.ctx.window_in_us = 10 * S;
    for (int i = 0; i < 10; i++) {
        fixture_put(&f, METRIC_CPU, S, .1);
        assert_int_equal(fixture_eval(&f, &r).in, 3);
    }
    fixture_put(&f, METRIC_CPU, S, .1);
    assert_int_equal(fixture_eval(&f, &r).in, 2);
}

/* What it asked for is not more than a step above what there is, should that have shrunk. */
static void test_count_moves_below(void **state)
{
    struct rule_conf r = threshold(.8, 1, 0, 0, 2 * S);
    fixture_init(&f, 5);
    for (int i = 0; i < 3; i++) {
        fixture_put(&f, METRIC_CPU, S, .9);
        fixture_eval(&f, &r);
    }
    fixture_count(&f, 2);
    fixture_put(&f, METRIC_CPU, S, .9);
    assert_int_equal(fixture_eval(&f, &r).out, 3);
}

static void test_mark(void **state)
{
    struct rule_conf r = threshold(50, 1, 0, 0, 0);
    r.threshold.metric.metric = METRIC_CONCURRENCY;
    assert_int_equal(rule_mark(&r, 3), 51);
    r.threshold.for_us = S;
    assert_int_equal(rule_mark(&r, 3), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_for),
        cmocka_unit_test(test_gap_between),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_waits_for_starting),
        cmocka_unit_test(test_remove_needs_window),
        cmocka_unit_test(test_count_moves_below),
        cmocka_unit_test(test_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
