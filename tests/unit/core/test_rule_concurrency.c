/* The concurrency rule: Knative's decision function, with its own constants unless a case says
 * otherwise: 100 each of which 70 % are aimed at, a minute and six seconds, panic at twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define S US_PER_S
#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf concurrency(void)
{
    return (struct rule_conf){ .kind = RULE_CONCURRENCY,
                               .name = "concurrency",
                               .concurrency = { .metric = METRIC_CONCURRENCY,
                                                .value = 100,
                                                .utilization = 0.7,
                                                .stable_us = 60 * S,
                                                .panic_us = 6 * S,
                                                .panic_threshold = 2,
                                                .up_rate = 1000,
                                                .down_rate = 2,
                                                .burst_capacity = 211,
                                                .grace_us = 30 * S,
                                                .activation = 1 } };
}

/* So many seconds, every one with this value and an evaluation; the opinion after the last. */
static struct opinion spend(const struct rule_conf *r, int seconds, double value)
{
    struct opinion o = { 0 };
    for (int i = 0; i < seconds; i++) {
        fixture_put(&f, METRIC_CONCURRENCY, S, value);
        o = fixture_eval(&f, r);
        struct opinion again = fixture_eval(&f, r);
        assert_true(fixture_same(&o, &again));
        assert_string_equal(o.text, again.text);
    }
    return o;
}

/* ceil(stable / 70), within [floor(ready / 2), ceil(1000 * ready)]. */
static void test_stable(void **state)
{
    static const struct {
        int32_t ready;
        double load, value, up_rate, down_rate;
        int32_t activation, want;
    } cases[] = {
        { 1, 70, 100, 1000, 2, 1, 1 },    { 1, 70.5, 100, 1000, 2, 1, 2 },
        { 3, 210, 100, 1000, 2, 1, 3 },   { 3, 211, 100, 1000, 2, 1, 4 },
        { 10, 70, 100, 1000, 2, 1, 5 },   { 11, 70, 100, 1000, 2, 1, 5 },
        { 10, 70, 100, 1000, 10, 1, 1 },  { 10, 1050, 100, 1.2, 2, 1, 12 },
        { 10, 1e9, 100, 1.25, 2, 1, 13 }, { 1, 0.001, 100, 1000, 2, 1, 1 },
        { 1, 5, 100, 1000, 2, 4, 4 },     { 6, 350, 100, 1000, 2, 4, 5 },
        { 3, 2.4, 1, 1000, 2, 1, 4 },     { 2, 0x1p63, 100, 1000, 2, 1, 2000 },
        { 5, 5, 0, 1000, 2, 1, 500 }, /* a target of nothing is 0.01 */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = concurrency();
        r.concurrency.value = cases[i].value;
        r.concurrency.up_rate = cases[i].up_rate;
        r.concurrency.down_rate = cases[i].down_rate;
        r.concurrency.activation = cases[i].activation;
        r.concurrency.panic_threshold = INFINITY;
        fixture_init(&f, cases[i].ready);
        f.state.word[0] = 1; /* not the first evaluation */
        struct opinion o = spend(&r, 62, cases[i].load);
        if (o.out != cases[i].want || o.in != MIN(cases[i].want, cases[i].ready))
            fail_msg("case %zu: out %d in %d (%s)", i, o.out, o.in, o.text);
    }
}

/* A sum that has left the numbers is much, not nothing. */
static void test_infinite(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 5);
    (void)spend(&r, 62, 350);
    for (int i = 0; i < FIXTURE_POINTS; i++)
        f.points[METRIC_CONCURRENCY][i].mean = f.points[METRIC_CONCURRENCY][i].value = INFINITY;
    struct opinion o = fixture_eval(&f, &r);
    assert_true(o.out == 5000 && o.in == 5);
}

/* Panic begins at ceil(panic / 70) / ready >= 2, holds the most it saw, and ends a stable window
 * after it was last over that. */
static void test_panic(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 2);
    f.state.word[0] = 1;
    assert_int_equal(spend(&r, 61, 100).out, 2);
    /* 210 alone would be 3 of 2 ready: no panic. The stable mean is (59 * 100 + 210) / 60 = 101.8.
     */
    assert_int_equal(spend(&r, 1, 210).out, 2);
    /* 350 at once is 5 of 2 ready. */
    assert_int_equal(spend(&r, 1, 350).out, 5);
    assert_int_equal(f.state.word[1], f.ctx.now_us);
    /* The load is over; the panic is not, and the count stays. */
    fixture_count(&f, 5);
    int64_t renewed_us = f.ctx.now_us;
    struct opinion o = spend(&r, 60, 10);
    assert_int_equal(f.ctx.now_us, renewed_us + 60 * S);
    assert_true(o.out == 5 && o.in == 5);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 1);
    o = spend(&r, 1, 10); /* strictly after a stable window */
    assert_true(o.out == 2 && o.in == 2);
    assert_int_equal(f.state.word[1], 0);
}

/* The panic window's mean does it too: three of four are lost at the end of a surge. */
static void test_panic_by_mean(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 4);
    f.state.word[0] = 1;
    spend(&r, 61, 10);
    assert_int_equal(spend(&r, 6, 250).out, 2); /* (54 * 10 + 6 * 250) / 60 = 34; half of 4 */
    f.ctx.ready = 1;
    /* (5 * 250 + 10) / 6 = 210: 3 of 1 ready. */
    assert_int_equal(spend(&r, 1, 10).out, 3);
}

/* In panic both values count, and the larger one wins. */
static void test_panic_never_below_stable(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 1);
    spend(&r, 61, 400);
    struct opinion o = spend(&r, 6, 150); /* (54 * 400 + 6 * 150) / 60 = 375: 6; 150 is 3 */
    assert_int_equal(o.out, 6);
}

/* A controller that finds several ready ones begins in panic. */
static void test_begins_in_panic(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 4);
    assert_int_equal(spend(&r, 61, 10).in, 4);
    assert_int_equal(spend(&r, 1, 10).in, 2);
    fixture_init(&f, 1);
    spend(&r, 1, 10);
    assert_int_equal(f.state.word[1], 0);
}

static void test_from_and_to_zero(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 0);
    assert_int_equal(spend(&r, 5, 0).out, 0);
    assert_int_equal(spend(&r, 1, 1).out, 1);
    fixture_count(&f, 1);
    /* The window still holds the request for 60 s; then comes the grace of 30 s. */
    assert_int_equal(spend(&r, 59, 0).in, 1);
    int64_t idle_us = f.ctx.now_us + S;
    assert_int_equal(spend(&r, 1, 0).in, 1);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), idle_us + 30 * S);
    assert_int_equal(spend(&r, 29, 0).in, 1);
    assert_int_equal(spend(&r, 1, 0).in, 0);
}

static void test_unknown(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 2);
    struct opinion o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    /* Known again, it scales out at once and in after a whole stable window. */
    o = spend(&r, 1, 500);
    assert_true(o.out == 8 && o.in == NONE && o.block_in && o.known);
    o = spend(&r, 59, 0);
    assert_true(o.in == NONE && o.block_in);
    spend(&r, 1, NAN);
    o = spend(&r, 60, 0);
    assert_true(o.in == NONE && o.block_in);
    o = spend(&r, 1, 0);
    assert_true(o.in != NONE && !o.block_in);
    /* Nor does the grace run while it is not: 60 s known and idle, and then 30. */
    fixture_count(&f, 1);
    spend(&r, 1, NAN);
    o = spend(&r, 90, 0);
    assert_int_equal(o.in, 1);
    assert_int_equal(spend(&r, 1, 0).in, 0);
}

/* The most that was wanted within the delay, in buckets of two seconds. */
static void test_delay(void **state)
{
    struct rule_conf r = concurrency();
    r.concurrency.delay_us = 10 * S;
    r.concurrency.stable_us = 6 * S;
    r.concurrency.panic_threshold = INFINITY;
    assert_int_equal(rule_ops(RULE_CONCURRENCY)->more_words(&r), 5);
    fixture_init(&f, 4);
    f.state.word[0] = 1;
    assert_int_equal(spend(&r, 10, 280).in, 4);
    /* Wanted: 4 until 1012 s, 3 ((280 + 5 * 140) / 6 = 163.3) until 1015, 2 from then on. The
     * bucket of 1012 leaves with that of 1022, the bucket of 1014 with that of 1024. */
    assert_int_equal(spend(&r, 11, 140).in, 4);
    assert_int_equal(spend(&r, 1, 140).in, 3);
    assert_int_equal(spend(&r, 1, 140).in, 3);
    assert_int_equal(spend(&r, 1, 140).in, 2);
    /* Whatever a file says of it. */
    f.state.word[4] = INT64_MAX;
    f.more[0] = INT64_MAX;
    assert_int_equal(spend(&r, 1, 140).in, 2);
}

/* A count lower than that would be asked to grow at once. */
static void test_projection(void **state)
{
    struct rule_conf r = concurrency();
    double value;
    fixture_init(&f, 10);
    struct opinion o = spend(&r, 61, 300); /* 300 / 70 = 4.3; in panic from 2 on down */
    assert_false(rule_asks_out(&r, &o, &f.ctx, 5, &value));
    assert_true(rule_asks_out(&r, &o, &f.ctx, 4, &value));
    assert_true(fabs(value - 300) < 1e-9);
    o = spend(&r, 1, 1000); /* 15 of 7 are panic, of 8 they are not: ceil(311.7 / 70) = 5 */
    assert_true(rule_asks_out(&r, &o, &f.ctx, 7, &value));
    assert_false(rule_asks_out(&r, &o, &f.ctx, 8, &value));
    o = spend(&r, 62, 0);
    assert_false(rule_asks_out(&r, &o, &f.ctx, 0, &value));
}

static void test_mark(void **state)
{
    struct rule_conf r = concurrency();
    /* 2 of 1 are needed beyond 70, 4 of 2 beyond 210. */
    assert_int_equal(rule_mark(&r, 1), 71);
    assert_int_equal(rule_mark(&r, 2), 211);
    assert_int_equal(rule_mark(&r, 0), 1);
    r.concurrency.metric = METRIC_RPS;
    assert_int_equal(rule_mark(&r, 2), UINT32_MAX);
}

static void test_words(void **state)
{
    struct rule_conf r = concurrency();
    fixture_init(&f, 2);
    f.state.word[0] = 1;
    struct opinion o = spend(&r, 61, 140);
    assert_string_equal(o.text, "concurrency 140 over 1m, 140 now, target 70: needs 2; excess "
                                "burst capacity -151");
    f.ctx.words = false;
    assert_string_equal(fixture_eval(&f, &r).text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stable),
        cmocka_unit_test(test_infinite),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_panic_by_mean),
        cmocka_unit_test(test_panic_never_below_stable),
        cmocka_unit_test(test_begins_in_panic),
        cmocka_unit_test(test_from_and_to_zero),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_projection),
        cmocka_unit_test(test_mark),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
