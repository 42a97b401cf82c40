/* The queue rule: from zero and to zero by activity, between one and many by the backlog. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN
#define JOBS ((enum metric)(METRIC_CUSTOM + 2))

static struct fixture f;

static struct rule_conf queue(double value, double activation, int64_t cooldown_us)
{
    return (struct rule_conf){ .kind = RULE_QUEUE,
                               .name = "queue",
                               .queue = { .metric = { .metric = JOBS },
                                          .value = value,
                                          .activation = activation,
                                          .least = 1,
                                          .cooldown_us = cooldown_us } };
}

/* ceil(total / value), in HPA's dead band as it is. */
static void test_length(void **state)
{
    static const struct {
        int32_t count;
        double total, value;
        int32_t out;
    } cases[] = {
        { 0, 1, 20, 1 },
        { 0, 20, 20, 1 },
        { 0, 21, 20, 2 },
        { 0, 0, 20, NONE },
        { 1, 22, 20, 1 },
        { 1, 22.1, 20, 2 },
        { 1, 100, 20, 5 },
        { 5, 90, 20, 5 },
        { 5, 89, 20, 5 },
        { 5, 80, 20, 4 },
        { 5, 1, 20, 1 },
        { 3, 0, 20, 1 },
        { 10, 0x1p63, 1, INT32_MAX },
        { 2, 1e-300, 1e300, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = queue(cases[i].value, 0, 300 * S);
        fixture_init(&f, cases[i].count);
        f.state.word[0] = f.ctx.now_us; /* it was active a moment ago */
        fixture_put(&f, JOBS, S, cases[i].total);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != cases[i].out || !o.known)
            fail_msg("case %zu: out %d (%s)", i, o.out, o.text);
    }
}

/* ceil(ready * age / value): an HPA's Value. */
static void test_age(void **state)
{
    static const struct {
        int32_t count, ready;
        double age;
        int32_t out;
    } cases[] = {
        { 0, 0, 5, 1 },  { 0, 0, 90, 3 }, { 4, 4, 33, 4 }, { 4, 4, 60, 8 },
        { 4, 2, 60, 4 }, { 4, 4, 27, 4 }, { 4, 4, 15, 2 }, { 4, 4, 0, 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = queue(30, 0, 300 * S);
        r.queue.age = true;
        fixture_init(&f, cases[i].count);
        f.ctx.ready = cases[i].ready;
        f.state.word[0] = f.ctx.now_us;
        fixture_put(&f, JOBS, S, cases[i].age);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != cases[i].out)
            fail_msg("case %zu: out %d (%s)", i, o.out, o.text);
    }
}

/* Strictly above, and then at least `least`. */
static void test_activation(void **state)
{
    static const struct {
        double total;
        int32_t out;
    } cases[] = { { 4, NONE }, { 5, NONE }, { 5.01, 3 }, { 100, 10 } };
    struct rule_conf r = queue(10, 5, 300 * S);
    r.queue.least = 3;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fixture_init(&f, 0);
        fixture_put(&f, JOBS, S, cases[i].total);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != cases[i].out || o.in != 0)
            fail_msg("case %zu: out %d in %d (%s)", i, o.out, o.in, o.text);
    }
}

struct moment {
    int64_t step_s;
    double total;
    int32_t in;
    bool block;
};

static void play(const struct rule_conf *r, const struct moment *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fixture_put(&f, JOBS, m[i].step_s * S, m[i].total);
        struct opinion o = fixture_eval(&f, r), again = fixture_eval(&f, r);
        if (o.in != m[i].in || o.block_in != m[i].block)
            fail_msg("moment %zu: in %d block %d (%s)", i, o.in, o.block_in, o.text);
        assert_true(fixture_same(&o, &again));
        assert_string_equal(o.text, again.text);
    }
}

/* To zero after the cooldown from any count, with no gap in it. */
static void test_cooldown(void **state)
{
    static const struct moment moments[] = {
        { 1, 100, 5, false }, { 4, 0, 5, false },
        { 4, 0, 5, false },   { 1, 0, 5, false }, /* 9 s after it was active */
        { 1, 0, 0, false },   { 1, 3, 5, false },
        { 4, 0, 5, false },   { 4, NAN, NONE, true }, /* and again from here */
        { 4, 0, 5, false },   { 4, 0, 5, false },
        { 1, 0, 5, false },   { 1, 0, 0, false },
    };
    struct rule_conf r = queue(20, 0, 10 * S);
    fixture_init(&f, 5);
    series_set_stale(&f.series[JOBS], 60 * S);
    f.ctx.window_in_us = 30 * S;
    f.ctx.current = 1; /* so that the window does not matter */
    struct moment one[ARRAY_LEN(moments)];
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        one[i] = moments[i];
        one[i].in = one[i].in == 5 ? 1 : one[i].in;
    }
    play(&r, one, ARRAY_LEN(one));
    f.ctx.current = 7;
    assert_int_equal(fixture_eval(&f, &r).in, 0);
}

/* A gap between two evaluations may have hidden work. */
static void test_gap_between(void **state)
{
    struct rule_conf r = queue(20, 0, 10 * S);
    fixture_init(&f, 1);
    fixture_put(&f, JOBS, S, 7);
    fixture_eval(&f, &r);
    fixture_put(&f, JOBS, SERIES_STALE_US + 6 * S, 0);
    assert_int_equal(fixture_eval(&f, &r).in, 1);
    for (int i = 0; i < 2; i++)
        fixture_put(&f, JOBS, 5 * S, 0);
    assert_int_equal(fixture_eval(&f, &r).in, 0);
}

/* What never was active goes as soon as the service's window is known. */
static void test_never_active(void **state)
{
    static const struct moment moments[] = {
        { 1, 0, NONE, true }, { 4, 0, NONE, true }, { 4, 0, NONE, true }, { 4, 0, 0, false }
    };
    struct rule_conf r = queue(20, 0, 300 * S);
    fixture_init(&f, 5);
    f.ctx.window_in_us = 10 * S;
    play(&r, moments, ARRAY_LEN(moments));
    assert_int_equal(fixture_eval(&f, &r).out, NONE);
}

/* Between many and one the window must allow it as well as now. */
static void test_window(void **state)
{
    static const struct moment moments[] = {
        { 1, 100, NONE, true }, { 4, 100, NONE, true }, { 5, 100, NONE, true },
        { 1, 100, 5, false },   { 5, 40, 4, false }, /* (100 * 5 + 40 * 5) / 10 = 70 */
        { 5, 40, 2, false },    { 1, 80, 4, false },
    };
    struct rule_conf r = queue(20, 0, 300 * S);
    fixture_init(&f, 8);
    f.ctx.window_in_us = 10 * S;
    play(&r, moments, ARRAY_LEN(moments));
}

static void test_unknown(void **state)
{
    struct rule_conf r = queue(20, 0, 300 * S);
    fixture_init(&f, 2);
    struct opinion o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    fixture_put(&f, JOBS, S, INFINITY);
    o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
}

static void test_projection(void **state)
{
    static const struct {
        double total;
        int32_t count;
        bool asks;
    } cases[] = {
        { 40, 1, true }, { 40, 2, false }, { 44, 2, false }, { 44.1, 2, true },
        { 0, 0, false }, { 1, 0, true },   { 1, 2, true },   /* `least` is 3 */ { 1, 3, false },
    };
    double value;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = queue(20, 0, 300 * S);
        r.queue.least = cases[i].total < 2 ? 3 : 1;
        fixture_init(&f, 5);
        fixture_put(&f, JOBS, S, cases[i].total);
        struct opinion o = fixture_eval(&f, &r);
        if (rule_asks_out(&r, &o, &f.ctx, cases[i].count, &value) != cases[i].asks)
            fail_msg("case %zu", i);
    }
}

static void test_mark_and_next(void **state)
{
    struct rule_conf r = queue(20, 0, 300 * S);
    fixture_init(&f, 1);
    fixture_put(&f, JOBS, S, 1);
    fixture_eval(&f, &r);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 300 * S);
    assert_int_equal(rule_mark(&r, 2), UINT32_MAX);
    r.queue.metric.metric = METRIC_CONCURRENCY;
    assert_int_equal(rule_mark(&r, 2), 45);
    assert_int_equal(rule_mark(&r, 0), 1);
}

static void test_words(void **state)
{
    static const struct metric_conf metrics[METRIC_CUSTOM_MAX] = { [2] = { .name = "jobs" } };
    struct rule_conf r = queue(20, 0, 300 * S);
    fixture_init(&f, 1);
    f.ctx.metrics = metrics;
    fixture_put(&f, JOBS, S, 50);
    assert_string_equal(fixture_eval(&f, &r).text, "jobs 50, for each 20: needs 3");
    fixture_put(&f, JOBS, S, 0);
    assert_string_equal(fixture_eval(&f, &r).text,
                        "jobs 0, for each 20: needs 1; inactive, none after 5m");
    f.ctx.words = false;
    assert_string_equal(fixture_eval(&f, &r).text, "");
    fixture_init(&f, 0); /* none runs, and none is needed: nothing is waited for */
    f.ctx.metrics = metrics;
    fixture_put(&f, JOBS, S, 0);
    assert_string_equal(fixture_eval(&f, &r).text, "jobs 0: inactive, needs none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),      cmocka_unit_test(test_age),
        cmocka_unit_test(test_activation),  cmocka_unit_test(test_cooldown),
        cmocka_unit_test(test_gap_between), cmocka_unit_test(test_never_active),
        cmocka_unit_test(test_window),      cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_projection),  cmocka_unit_test(test_mark_and_next),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
