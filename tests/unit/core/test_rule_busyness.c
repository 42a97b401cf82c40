/* The busyness rule: uWSGI's cycles of three seconds, its multiplier, and the backlog's emergency,
 * all with its own defaults. A cycle is three evaluations, a second apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf busyness(void)
{
    return (struct rule_conf){ .kind = RULE_BUSYNESS,
                               .name = "busyness",
                               .busyness = { .slots = 1,
                                             .most = 0.5,
                                             .least = 0.25,
                                             .overload_us = 3 * S,
                                             .step = 1,
                                             .multiplier = 10,
                                             .penalty = 2,
                                             .backlog_alert = 33,
                                             .backlog_step = 1,
                                             .backlog_multiplier = 3,
                                             .backlog_nonzero_us = 60 * S } };
}

/* One second with so many requests in flight and waiting; the opinion at its end. */
static struct opinion second(const struct rule_conf *r, double concurrency, double waiting)
{
    f.ctx.now_us += S;
    series_put(&f.series[METRIC_CONCURRENCY], f.ctx.now_us, concurrency);
    series_put(&f.series[METRIC_QUEUE], f.ctx.now_us, waiting);
    struct opinion o = fixture_eval(&f, r), again = fixture_eval(&f, r);
    assert_true(fixture_same(&o, &again));
    assert_string_equal(o.text, again.text);
    return o;
}

/* A whole cycle at one load, given as a share of what is ready. */
static struct opinion cycle(const struct rule_conf *r, double share)
{
    struct opinion o = { 0 };
    for (int i = 0; i < 3; i++)
        o = second(r, share * f.ctx.ready, 0);
    return o;
}

/* The first evaluation begins the first cycle. */
static void start(const struct rule_conf *r, int32_t count)
{
    fixture_init(&f, count);
    second(r, 0, 0);
}

/* How many idle cycles it takes until a stop is asked for. */
static int idle_until_stop(const struct rule_conf *r)
{
    int cycles = 1;
    while (cycle(r, 0.1).in == f.ctx.current && cycles < 99)
        cycles++;
    return cycles;
}

static int seconds_until_stop(const struct rule_conf *r)
{
    int seconds = 1;
    while (second(r, 0, 0).in == f.ctx.current && seconds < 99)
        seconds++;
    return seconds;
}

static void test_judgement(void **state)
{
    static const struct {
        double concurrency[3];
        double slots;
        int32_t ready;
        double busyness;
        int32_t out;
    } cases[] = {
        { { 1, 1, 1 }, 1, 2, 0.5, NONE },     /* not over a half */
        { { 2, 1, 1 }, 1, 2, 2 / 3.0, 3 },    /* (1 + .5 + .5) / 3 */
        { { 9, 0, 0 }, 1, 2, 1 / 3.0, NONE }, /* more than all is all */
        { { 8, 8, 8 }, 4, 2, 1, 3 },          /* four at a time each */
        { { 3, 3, 3 }, 4, 2, 0.375, NONE },   { { 0x1p63, 0x1p63, 0x1p63 }, 1, 2, 1, 3 },
        { { 1, 1, 1 }, 1, 1, 1, 2 }, /* one alone is relieved, too */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = busyness();
        struct opinion o = { 0 };
        r.busyness.slots = cases[i].slots;
        start(&r, cases[i].ready);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(o.out, k == 0 ? 0 : NONE);
            o = second(&r, cases[i].concurrency[k], 0);
        }
        if (o.out != cases[i].out || fabs(o.value - cases[i].busyness) > 1e-9 || !o.known)
            fail_msg("case %zu: out %d (%s)", i, o.out, o.text);
        assert_int_equal(o.in, cases[i].ready);
    }
}

/* What it asks for stands until it is there or another cycle thinks otherwise. */
static void test_asks(void **state)
{
    struct rule_conf r = busyness();
    r.busyness.step = 2;
    start(&r, 3);
    assert_int_equal(cycle(&r, 0.9).out, 5);
    assert_int_equal(second(&r, 3, 0).out, 5);
    f.ctx.current = 5;
    f.ctx.starting = 2;
    for (int i = 0; i < 8; i++) /* law 2: what starts is not started twice */
        assert_int_equal(second(&r, 3, 0).out, NONE);
    f.ctx.starting = 0;
    fixture_count(&f, 5);
    assert_int_equal(cycle(&r, 0.9).out, 7);
    assert_int_equal(cycle(&r, 0.4).out, NONE);
}

/* In cycles: how long until a stop is asked for. The first one comes 30 s after the beginning. */
static void test_stops(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 5);
    int64_t begun_us = f.ctx.now_us;
    for (int i = 1; i < 10; i++)
        assert_int_equal(cycle(&r, 0.1).in, 5);
    assert_int_equal(cycle(&r, 0.1).in, 4);
    assert_int_equal(f.ctx.now_us, begun_us + 30 * S);
    assert_int_equal(second(&r, 0, 0).in, 4); /* it stands */
    assert_int_equal(second(&r, 0, 0).in, 4);
    fixture_count(&f, 4);
    assert_int_equal(second(&r, 0, 0).in, 4); /* got it: the next after ten cycles more */
    for (int i = 2; i < 10; i++)
        assert_int_equal(cycle(&r, 0.1).in, 4);
    assert_int_equal(cycle(&r, 0.1).in, 3);
}

/* A stop taken back within multiplier cycles makes stops rarer by the penalty; the multiplier then
 * shrinks by one for each start that comes later, and for each stop right after a stop. */
static void test_multiplier(void **state)
{
    /* Respawned at once: 10 + 2. A stop after a start leaves it there; one after a stop makes it
     * 11, then 10, and no less. */
    static const int gaps[] = { 12, 12, 11, 10, 10 };
    struct rule_conf r = busyness();
    start(&r, 9);
    assert_int_equal(idle_until_stop(&r), 10);
    fixture_count(&f, 8);
    assert_int_equal(cycle(&r, 0.9).out, 9);
    fixture_count(&f, 9);
    for (size_t i = 0; i < ARRAY_LEN(gaps); i++) {
        int got = idle_until_stop(&r);
        if (got != gaps[i])
            fail_msg("stop %zu after %d cycles", i, got);
        fixture_count(&f, f.ctx.current - 1);
    }
    /* A start long after the last stop shrinks it, but not below what it began with. */
    fixture_count(&f, 9);
    for (int i = 0; i < 12; i++)
        cycle(&r, 0.4);
    assert_int_equal(cycle(&r, 0.9).out, 10);
    fixture_count(&f, 10);
    assert_int_equal(idle_until_stop(&r), 10);
}

/* In between, each cycle puts the stop off by one; the third in a row begins the wait anew. */
static void test_between(void **state)
{
    static const struct {
        int idle, calm; /* cycles, one after the other */
        int stop_in;    /* idle cycles after those until a stop */
    } cases[] = {
        { 0, 0, 10 }, { 0, 1, 10 }, { 0, 2, 10 }, { 0, 3, 10 }, { 0, 6, 10 },
        { 5, 0, 5 },  { 5, 1, 5 },  { 5, 2, 5 },  { 5, 3, 10 }, { 5, 4, 10 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = busyness();
        start(&r, 5);
        for (int k = 0; k < cases[i].idle; k++)
            assert_int_equal(cycle(&r, 0.1).in, 5);
        for (int k = 0; k < cases[i].calm; k++)
            assert_int_equal(cycle(&r, 0.4).in, 5);
        int got = idle_until_stop(&r);
        if (got != cases[i].stop_in)
            fail_msg("case %zu: after %d", i, got);
    }
}

/* What others forbid changes no counter: a stop below min is no stop, a start above max no start.
 */
static void test_forbidden(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 5);
    assert_int_equal(idle_until_stop(&r), 10);
    for (int i = 0; i < 20; i++)
        assert_int_equal(cycle(&r, 0.1).in, 4); /* min is 5 */
    for (int i = 0; i < 20; i++)
        assert_int_equal(cycle(&r, 0.9).out, 6); /* max is 5 */
    /* Neither was a stop taken back too soon. */
    fixture_count(&f, 6);
    assert_int_equal(idle_until_stop(&r), 10);
    fixture_count(&f, 5);
    assert_int_equal(cycle(&r, 0.9).out, 6);
    fixture_count(&f, 6);
    assert_int_equal(idle_until_stop(&r), 12); /* this one was */
}

static void test_one_instance(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 1);
    for (int i = 0; i < 30; i++)
        assert_int_equal(cycle(&r, i % 2 ? 0 : 0.4).in, 1);
}

/* More than 33 waiting: at once, not at the end of a cycle, and no stop for three cycles. */
static void test_backlog(void **state)
{
    struct rule_conf r = busyness();
    r.busyness.backlog_step = 2;
    start(&r, 3);
    assert_int_equal(second(&r, 0, 33).out, NONE);
    struct opinion o = second(&r, 0, 34);
    assert_int_equal(o.out, 5);
    assert_non_null(strstr(o.text, "for the backlog"));
    f.ctx.current = 5;
    f.ctx.starting = 2;
    assert_int_equal(second(&r, 0, 34).out, NONE);
    fixture_count(&f, 5);
    f.ctx.starting = 0;
    assert_int_equal(second(&r, 0, 34).out, 7); /* and again, a second later */
    fixture_count(&f, 7);
    second(&r, 0, 0);
    assert_in_range(seconds_until_stop(&r), 8, 11); /* nine, at the end of a cycle */
    fixture_count(&f, 6);
    /* Four came for the backlog: after each of four stops it is three cycles, and then ten. */
    for (int i = 5; i >= 2; i--) {
        assert_in_range(seconds_until_stop(&r), 9, 9);
        fixture_count(&f, i);
    }
    assert_in_range(seconds_until_stop(&r), 30, 30);
}

/* Any backlog for a minute is one instance, and then another minute. */
static void test_backlog_stays(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 3);
    for (int i = 0; i < 60; i++)
        assert_int_equal(second(&r, 1, 1).out, NONE);
    assert_int_equal(second(&r, 1, 1).out, 4);
    fixture_count(&f, 4);
    for (int i = 0; i < 59; i++)
        assert_int_equal(second(&r, 1.4, 1).out, NONE);
    assert_int_equal(second(&r, 1.4, 0).out, NONE); /* worked off */
    for (int i = 0; i < 60; i++)
        assert_int_equal(second(&r, 1.4, 1).out, NONE);
    assert_int_equal(second(&r, 1.4, 1).out, 5);
}

/* A cycle with a gap in it is not judged; unknown blocks scale-in and takes a stop back. */
static void test_unknown(void **state)
{
    struct rule_conf r = busyness();
    fixture_init(&f, 3);
    struct opinion o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    start(&r, 3);
    second(&r, 3, 0);
    second(&r, 3, 0);
    o = second(&r, NAN, 0);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    assert_int_equal(second(&r, 3, 0).out, NONE);
    assert_int_equal(second(&r, 3, 0).out, NONE);
    assert_int_equal(second(&r, 3, 0).out, NONE);
    assert_int_equal(second(&r, 3, 0).out, 4);
    start(&r, 3);
    for (int i = 0; i < 10; i++)
        o = cycle(&r, 0);
    assert_int_equal(o.in, 2);
    o = second(&r, NAN, 0);
    assert_true(o.in == NONE && o.block_in);
    assert_int_equal(second(&r, 0, 0).in, 3);
    f.ctx.ready = 0; /* nobody is ready: a share of nothing says nothing */
    o = second(&r, 5, 0);
    assert_true(o.in == NONE && o.block_in && !o.known);
    assert_int_equal(second(&r, 5, 40).out, 4); /* but a backlog does */
    fixture_count(&f, 0);
    o = second(&r, 0, 0);
    assert_true(o.out == NONE && o.in == NONE && !o.block_in);
}

/* Time that stands still, or words from a file that make no sense, do no harm. */
static void test_extremes(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 3);
    for (int i = 0; i < 10; i++) {
        fixture_put(&f, METRIC_CONCURRENCY, 0, 3);
        assert_int_equal(fixture_eval(&f, &r).out, NONE);
    }
    static const int64_t words[] = { INT64_MAX, INT64_MIN, -1, 1, 0x7ff8000000000000 };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        fixture_init(&f, 3);
        for (int k = 0; k < FIXTURE_MORE; k++)
            f.more[k] = words[i];
        for (int k = 0; k < 30; k++) {
            struct opinion o = second(&r, 1, 0);
            assert_true(o.out == NONE || (o.out > 0 && o.out <= 3 + MODEL_COUNT_MAX));
            assert_true(o.in == NONE || (o.in >= 2 && o.in <= 3));
        }
    }
}

static void test_projection(void **state)
{
    struct rule_conf r = busyness();
    double value;
    start(&r, 4);
    struct opinion o = cycle(&r, 0.2); /* of 4: .27 of 3, .4 of 2, .8 of 1 */
    assert_false(rule_asks_out(&r, &o, &f.ctx, 3, &value));
    assert_false(rule_asks_out(&r, &o, &f.ctx, 2, &value));
    assert_true(rule_asks_out(&r, &o, &f.ctx, 1, &value));
    assert_true(fabs(value - 0.8) < 1e-9);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 3 * S);
    assert_int_equal(rule_mark(&r, 3), UINT32_MAX);
}

static void test_words(void **state)
{
    struct rule_conf r = busyness();
    start(&r, 4);
    assert_string_equal(second(&r, 1, 0).text,
                        "busyness not yet measured, bounds 25% and 50%: as it is");
    second(&r, 1, 0);
    assert_string_equal(second(&r, 1, 0).text, "busyness 25%, bounds 25% and 50%: as it is");
    assert_string_equal(cycle(&r, 0).text, "busyness 0%, bounds 25% and 50%: one fewer in 27s");
    assert_string_equal(cycle(&r, 1).text, "busyness 100%, bounds 25% and 50%: wants more");
    f.ctx.words = false;
    assert_string_equal(fixture_eval(&f, &r).text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judgement),     cmocka_unit_test(test_asks),
        cmocka_unit_test(test_stops),         cmocka_unit_test(test_multiplier),
        cmocka_unit_test(test_between),       cmocka_unit_test(test_one_instance),
        cmocka_unit_test(test_forbidden),     cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_backlog_stays), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_extremes),      cmocka_unit_test(test_projection),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
