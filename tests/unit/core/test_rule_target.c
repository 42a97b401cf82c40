/* The target rule: totals, utilisations of single instances, others; what it needs now and what it
 * would be content with, and when it holds its tongue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf target(enum metric m, double value)
{
    return (struct rule_conf){ .kind = RULE_TARGET,
                               .name = "target",
                               .target = { .metric = { .metric = m },
                                           .value = value,
                                           .tolerance_up = 0.1,
                                           .tolerance_down = 0.1 } };
}

static void check(size_t i, struct opinion o, int32_t out, int32_t in, bool block_in)
{
    if (o.out != out || o.in != in || o.block_in != block_in)
        fail_msg("case %zu: out %d in %d block %d (%s)", i, o.out, o.in, o.block_in, o.text);
}

static void test_total(void **state)
{
    static const struct {
        int32_t count;
        double value; /* target 20 each */
        int32_t out, in;
    } cases[] = {
        { 0, 0, 0, NONE },         { 0, 1, 1, NONE }, { 0, 45, 3, NONE }, { 1, 20, 1, 1 },
        { 1, 22, 1, 1 },           { 1, 22.1, 2, 1 }, { 2, 100, 5, 2 },   { 4, 72, 4, 4 },
        { 4, 71, 4, 4 },           { 4, 60, 3, 3 },   { 4, 0, 0, 0 },     { 10, 1, 1, 1 },
        { 1, 1e12, INT32_MAX, 1 },
    };
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fixture_init(&f, cases[i].count);
        fixture_put(&f, METRIC_CONCURRENCY, S, cases[i].value);
        struct opinion o = fixture_eval(&f, &r);
        check(i, o, cases[i].out, cases[i].in, false);
        assert_true(o.known && o.value == cases[i].value);
    }
}

/* Scale-in believes the window as well as the moment, whichever needs more. */
static void test_window(void **state)
{
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    fixture_init(&f, 5);
    f.ctx.window_in_us = 60 * S;
    for (int i = 0; i < 30; i++)
        fixture_put(&f, METRIC_CONCURRENCY, S, 80);
    fixture_put(&f, METRIC_CONCURRENCY, S, 10);
    check(0, fixture_eval(&f, &r), 1, NONE, true); /* the window is not known all of it */
    for (int i = 0; i < 29; i++)
        fixture_put(&f, METRIC_CONCURRENCY, S, 10);
    fixture_put(&f, METRIC_CONCURRENCY, S, 10);
    check(1, fixture_eval(&f, &r), 1, 3, false); /* 44 on average */
    fixture_put(&f, METRIC_CONCURRENCY, S, 70);
    check(2, fixture_eval(&f, &r), 4, 4, false); /* 70 now */
    r.target.window_down_us = 2 * S;
    for (int i = 0; i < 3; i++)
        fixture_put(&f, METRIC_CONCURRENCY, S, 10);
    check(3, fixture_eval(&f, &r), 1, 1, false); /* its own window */
    fixture_put(&f, METRIC_CONCURRENCY, S, NAN);
    check(4, fixture_eval(&f, &r), NONE, NONE, true);
    fixture_put(&f, METRIC_CONCURRENCY, S, 10);
    check(5, fixture_eval(&f, &r), 1, NONE, true); /* known again, but not for two seconds */
}

static void instance(uint32_t i, enum instance_state s, int64_t age_us, double cpu)
{
    struct instance *x = &f.instances[i];
    f.ctx.instance_count = MAX(f.ctx.instance_count, i + 1);
    *x = (struct instance){ .state = s, .number = i + 1 };
    x->started_us = x->state_us = x->ready_us = f.ctx.now_us - age_us;
    x->sample_us[METRIC_CPU] = isnan(cpu) ? 0 : f.ctx.now_us;
    x->sample[METRIC_CPU] = isnan(cpu) ? 0 : cpu;
}

struct one {
    enum instance_state state;
    int64_t age_us;
    double cpu; /* NAN = missing */
};

static const struct {
    const char *name;
    struct one all[5];
    int32_t current, ready;
    int32_t out, in;
    bool block_in;
} services[] = {
    { "busy",
      { { INSTANCE_READY, 600 * S, 0.9 }, { INSTANCE_READY, 600 * S, 0.9 } },
      2,
      2,
      3,
      2,
      false },
    { "just as it should be",
      { { INSTANCE_READY, 600 * S, 0.6 }, { INSTANCE_READY, 600 * S, 0.62 } },
      2,
      2,
      2,
      2,
      false },
    { "a starting one counts as idle",
      { { INSTANCE_READY, 600 * S, 0.9 },
        { INSTANCE_READY, 600 * S, 0.9 },
        { INSTANCE_STARTING, S, NAN } },
      3,
      2,
      3,
      3,
      false },
    { "so does one that is ready but not measured since",
      { { INSTANCE_READY, 600 * S, 0.9 },
        { INSTANCE_READY, 600 * S, 0.9 },
        { INSTANCE_READY, S / 2, 0.1 } },
      3,
      3,
      3,
      3,
      false },
    { "idle",
      { { INSTANCE_READY, 600 * S, 0.1 },
        { INSTANCE_READY, 600 * S, 0.2 },
        { INSTANCE_READY, 600 * S, 0.3 } },
      3,
      3,
      1,
      1,
      false },
    { "a missing one counts as busy",
      { { INSTANCE_READY, 600 * S, 0.1 },
        { INSTANCE_READY, 600 * S, 0.2 },
        { INSTANCE_READY, 600 * S, NAN } },
      3,
      3,
      3,
      3,
      false },
    { "all missing", { { INSTANCE_READY, 600 * S, NAN } }, 1, 1, NONE, NONE, true },
    { "those leaving do not count",
      { { INSTANCE_READY, 600 * S, 0.6 },
        { INSTANCE_DRAINING, 600 * S, 1 },
        { INSTANCE_STOPPING, 600 * S, 1 },
        { INSTANCE_GONE, 600 * S, 1 } },
      1,
      1,
      1,
      NONE,
      false },
    { "one alone says nothing about none",
      { { INSTANCE_READY, 600 * S, 0.01 } },
      1,
      1,
      1,
      NONE,
      false },
    { "nor do two",
      { { INSTANCE_READY, 600 * S, 0 }, { INSTANCE_READY, 600 * S, 0 } },
      2,
      2,
      0,
      1,
      false },
    { "none is ready", { { INSTANCE_STARTING, S, NAN } }, 1, 0, NONE, NONE, true },
    { "none at all", { { INSTANCE_GONE, 0, NAN } }, 0, 0, NONE, NONE, false },
};

static void set_up_service(size_t i)
{
    double sum = 0;
    int32_t n = 0;
    fixture_init(&f, services[i].current);
    f.ctx.ready = services[i].ready;
    f.ctx.now_us += S;
    for (uint32_t k = 0; k < 5; k++) {
        const struct one *o = &services[i].all[k];
        if (o->age_us == 0)
            continue;
        instance(k, o->state, o->age_us, o->cpu);
        if (o->state == INSTANCE_READY && !isnan(o->cpu)) {
            sum += o->cpu;
            n++;
        }
    }
    series_put(&f.series[METRIC_CPU], f.ctx.now_us, n > 0 ? sum / n : NAN);
}

static void test_instances(void **state)
{
    struct rule_conf r = target(METRIC_CPU, 0.6);
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        set_up_service(i);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != services[i].out || o.in != services[i].in ||
            o.block_in != services[i].block_in)
            fail_msg("%s: out %d in %d block %d (%s)", services[i].name, o.out, o.in, o.block_in,
                     o.text);
    }
}

static void test_memory(void **state)
{
    struct rule_conf r = target(METRIC_MEMORY, 100 << 20);
    fixture_init(&f, 2);
    f.ctx.now_us += S;
    for (uint32_t i = 0; i < 2; i++) {
        instance(i, INSTANCE_READY, 600 * S, NAN);
        f.instances[i].sample_us[METRIC_MEMORY] = f.ctx.now_us;
        f.instances[i].sample[METRIC_MEMORY] = 130 << 20;
    }
    series_put(&f.series[METRIC_MEMORY], f.ctx.now_us, 130 << 20);
    check(0, fixture_eval(&f, &r), 3, 2, false);
    f.ctx.now_us += 2 * SERIES_STALE_US; /* old samples are none */
    series_put(&f.series[METRIC_MEMORY], f.ctx.now_us, 130 << 20);
    check(1, fixture_eval(&f, &r), NONE, NONE, true);
}

static void test_global(void **state)
{
    static const struct {
        int32_t count, ready;
        double value; /* target 0.2 s */
        int32_t out, in;
        bool block_in;
    } cases[] = {
        { 4, 4, 0.4, 8, 4, false },
        { 4, 4, 0.21, 4, 4, false },
        { 4, 4, 0.1, 2, 2, false },
        { 4, 2, 0.4, 4, 4, false }, /* two start: they are not asked for twice */
        { 4, 0, 0.4, NONE, NONE, true },
        { 0, 0, 0.1, 1, NONE, false },
        { 4, 4, NAN, NONE, NONE, true },
    };
    struct rule_conf r = target(METRIC_LATENCY_P95, 0.2);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fixture_init(&f, cases[i].count);
        f.ctx.ready = cases[i].ready;
        fixture_put(&f, METRIC_LATENCY_P95, S, cases[i].value);
        check(i, fixture_eval(&f, &r), cases[i].out, cases[i].in, cases[i].block_in);
    }
}

/* A window over a mean does not ask again for what has come since; but one high second does not
 * ask at all. */
static void test_window_of_a_mean(void **state)
{
    struct rule_conf r = target(METRIC_HOST_CPU, 0.6);
    r.target.metric.window_us = 10 * S;
    fixture_init(&f, 2);
    for (int i = 0; i < 20; i++)
        fixture_put(&f, METRIC_HOST_CPU, S, 0.6);
    fixture_put(&f, METRIC_HOST_CPU, S, 1);
    assert_int_equal(fixture_eval(&f, &r).out, 2);
    for (int i = 0; i < 10; i++)
        fixture_put(&f, METRIC_HOST_CPU, S, 1.2);
    assert_int_equal(fixture_eval(&f, &r).out, 4);
    fixture_count(&f, 4);
    for (int i = 0; i < 10; i++) {
        fixture_put(&f, METRIC_HOST_CPU, S, 0.6);
        struct opinion o = fixture_eval(&f, &r);
        assert_int_equal(o.out, 4);
        assert_true(o.in == NONE || o.in == 4);
    }
    /* Nor is a window's mean from a time of more instances believed when there are to be fewer. */
    fixture_put(&f, METRIC_HOST_CPU, S, 0.65);
    struct opinion o = fixture_eval(&f, &r);
    double value;
    assert_true(o.value < 0.61);
    assert_true(rule_asks_out(&r, &o, &f.ctx, 3, &value) && fabs(value - 0.65 * 4 / 3) < 1e-9);
    fixture_put(&f, METRIC_HOST_CPU, S, NAN);
    assert_true(fixture_eval(&f, &r).block_in);
}

static void test_mark(void **state)
{
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    for (int32_t count = 0; count < 5; count++) {
        uint32_t mark = rule_mark(&r, count);
        fixture_init(&f, count);
        fixture_put(&f, METRIC_CONCURRENCY, S, mark - 1);
        assert_true(fixture_eval(&f, &r).out <= count);
        fixture_put(&f, METRIC_CONCURRENCY, S, mark);
        assert_true(fixture_eval(&f, &r).out > count);
    }
    r.target.metric.metric = METRIC_RPS;
    assert_int_equal(rule_mark(&r, 3), UINT32_MAX);
    r.target.metric = (struct rule_metric){ METRIC_CONCURRENCY, SERIES_AVG, 10 * S };
    assert_int_equal(rule_mark(&r, 3), UINT32_MAX);
}

static void test_asks_out(void **state)
{
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    double value = 0;
    fixture_init(&f, 4);
    fixture_put(&f, METRIC_CONCURRENCY, S, 50);
    struct opinion o = fixture_eval(&f, &r);
    assert_false(rule_asks_out(&r, &o, &f.ctx, 3, &value));
    assert_true(rule_asks_out(&r, &o, &f.ctx, 2, &value) && value == 25);
    assert_true(rule_asks_out(&r, &o, &f.ctx, 0, &value));
    o.known = false;
    assert_false(rule_asks_out(&r, &o, &f.ctx, 1, &value));
    struct rule_conf l = target(METRIC_LATENCY_P95, 0.2);
    fixture_put(&f, METRIC_LATENCY_P95, S, 0.12);
    o = fixture_eval(&f, &l);
    assert_false(rule_asks_out(&l, &o, &f.ctx, 3, &value));
    assert_true(rule_asks_out(&l, &o, &f.ctx, 2, &value) && value == 0.24);
}

/* headroom: auto. The value is what one carries; what it keeps free is lookahead's. */
static void test_headroom_auto(void **state)
{
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    r.target.headroom_auto = true;
    assert_in_range(rule_ops(RULE_TARGET)->more_words(&r), 1, FIXTURE_MORE);
    fixture_init(&f, 20);
    f.ctx.window_in_us = 60 * S;
    fixture_put(&f, METRIC_CONCURRENCY, S, 140);
    struct opinion o = fixture_eval(&f, &r);
    check(0, o, 10, NONE, true); /* a beginner keeps 30 %; the window is not known yet */
    for (int i = 0; i < 60; i++)
        fixture_put(&f, METRIC_CONCURRENCY, S, 140);
    o = fixture_eval(&f, &r);
    assert_true(o.out >= 8 && o.out <= 10 && o.in == o.out && o.value == 140);
    struct opinion again = fixture_eval(&f, &r);
    assert_true(fixture_same(&o, &again));
    double value;
    assert_true(rule_asks_out(&r, &o, &f.ctx, o.out - 1, &value));
    assert_false(rule_asks_out(&r, &o, &f.ctx, o.out, &value));
    assert_int_equal(rule_mark(&r, 7), 141);
    fixture_put(&f, METRIC_CONCURRENCY, S, NAN);
    check(1, fixture_eval(&f, &r), NONE, NONE, true);
}

/* Full, and three times as many come as are answered: what waits does not hide how many. */
static void test_headroom_auto_queue(void **state)
{
    struct rule_conf r = target(METRIC_CONCURRENCY, 20);
    r.target.headroom_auto = true;
    fixture_init(&f, 5);
    fixture_put(&f, METRIC_CONCURRENCY, S, 5 * 20 + 1000);
    series_put(&f.series[METRIC_QUEUE], f.ctx.now_us, 1000);
    series_put(&f.series[METRIC_ARRIVALS], f.ctx.now_us, 1500);
    series_put(&f.series[METRIC_RPS], f.ctx.now_us, 500);
    struct opinion o = fixture_eval(&f, &r); /* 15 for what comes, and 1 to drain in 10 s */
    assert_true(o.out >= 16 && o.out <= 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total),         cmocka_unit_test(test_window),
        cmocka_unit_test(test_instances),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_global),        cmocka_unit_test(test_mark),
        cmocka_unit_test(test_asks_out),      cmocka_unit_test(test_window_of_a_mean),
        cmocka_unit_test(test_headroom_auto), cmocka_unit_test(test_headroom_auto_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
