/* The lookahead: what it keeps free under calm and jumpy loads, that it does not move under a
 * constant one, chases what lasts and not what is over before a start is, and survives anything. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "core/logbins.h"
#include "core/lookahead.h"

#define WORDS 2048
#define DAY 86400

static int64_t words[WORDS];
static struct lookahead_load now;

static void begin(double start_s)
{
    memset(words, 0, sizeof(words));
    assert_true(lookahead_words() <= WORDS);
    now = (struct lookahead_load){ .now_us = 1000 * US_PER_S, .start_s = start_s };
}

static struct lookahead_answer second(double load)
{
    struct lookahead_answer a;
    now.now_us += US_PER_S;
    now.load = load;
    lookahead_learn(words, &now);
    lookahead_ask(words, &now, &a);
    return a;
}

static void test_bins(void **state)
{
    static const struct {
        double value, edge;
    } cases[] = {
        { -1, 0 },       { 0, 0 },     { NAN, 0 },         { 1.0 / 128, 0 }, { 1, 1.0625 },
        { 1.5, 1.5625 }, { 2, 2.125 }, { 0.1, 0.1015625 }, { 1e300, 128 },   { INFINITY, 128 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct logbins b = { 0 };
        double above;
        logbins_add(&b, cases[i].value, 2);
        double edge = logbins_edge_below(&b, 0, &above);
        if (edge != cases[i].edge || above != 0)
            fail_msg("case %zu: %g, %g above", i, edge, above);
        assert_true(logbins_edge_below(&b, 2, &above) == 0);
        assert_true(above == (cases[i].edge > 0 ? 2 : 0));
    }
}

static void test_bins_quantile(void **state)
{
    struct logbins b = { 0 };
    double above;
    for (int i = 0; i < 90; i++)
        logbins_add(&b, 0.5, 1);
    for (int i = 0; i < 10; i++)
        logbins_add(&b, 3, 1);
    assert_true(logbins_edge_below(&b, 9.5, &above) == 3.125 && above == 0);
    assert_true(logbins_edge_below(&b, 10, &above) == 0.53125 && above == 10);
    logbins_stretch(&b, 2);
    assert_true(logbins_edge_below(&b, 0, &above) == 6.25);
    logbins_fade(&b, 0.5, 6); /* 45 and 5: the 5 are forgotten */
    assert_true(logbins_edge_below(&b, 0, &above) == 1.0625);
}

/* At first the reference decides, 7 / 0.7; then nothing moves for as long as the load does not. */
static void test_constant(void **state)
{
    begin(5);
    assert_int_equal(second(7).count, 10);
    for (int i = 0; i < 600; i++)
        (void)second(7);
    int32_t count = second(7).count;
    assert_in_range(count, 7, 10);
    for (int i = 0; i < DAY; i++)
        assert_int_equal(second(7).count, count);
}

static void test_nothing_to_do(void **state)
{
    begin(5);
    for (int i = 0; i < 60; i++)
        (void)second(7);
    for (int i = 0; i < 100; i++)
        assert_true(second(0).count > 0); /* not at once */
    for (int i = 0; i < 260; i++)
        (void)second(0);
    assert_int_equal(second(0).count, 0);
    assert_true(second(0.1).count >= 1);
}

static double slow(int t)
{
    return 20 + 10 * ((t % 7200 < 3600 ? t % 3600 : 3600 - t % 3600) / 3600.0);
}

static double jumpy(int t)
{
    return slow(t) * (t / 60 % 10 == 7 ? 1.3 : 1);
}

struct tally {
    double idle, missed;
};

/* Beyond the first day: instances kept free, and load that was missed a start later. */
static struct tally run(double (*load)(int), double start_s, int days)
{
    struct tally y = { 0 };
    static int32_t counts[512];
    begin(start_s);
    for (int t = 0; t < days * DAY; t++) {
        counts[t % 512] = second(load(t)).count;
        if (t < DAY)
            continue;
        double missing = load(t) - counts[(t - (int)start_s - 1) % 512];
        y.idle += (counts[t % 512] - load(t)) / ((days - 1) * DAY);
        y.missed += MAX(0, missing) / ((days - 1) * DAY);
    }
    return y;
}

static void test_learns(void **state)
{
    struct tally calm = run(slow, 60, 3), jumps = run(jumpy, 60, 3);
    assert_true(calm.missed == 0);
    assert_true(calm.idle < 3); /* a target of 70 % keeps 11 */
    assert_true(jumps.idle > 1.5 * calm.idle && jumps.idle < 12);
    assert_true(jumps.missed < 0.01);
}

static void test_step(void **state)
{
    begin(60);
    for (int i = 0; i < 300; i++)
        (void)second(5);
    assert_true(second(50).count < 50); /* for a second */
    now.waiting = true;
    assert_true(second(50).count >= 50);
    now.load = 80; /* the doorbell, within the same second */
    struct lookahead_answer a;
    now.now_us += US_PER_S / 10;
    lookahead_learn(words, &now);
    lookahead_ask(words, &now, &a);
    assert_true(a.count >= 80);
}

/* Spikes of a few seconds are over long before five minutes are. */
static void test_spikes(void **state)
{
    begin(300);
    struct lookahead_answer a = { 0 };
    for (int t = 0; t < DAY; t++)
        a = second(t % 97 < 3 ? 40 : 10);
    assert_true(a.lasting < 0.2);
    begin(5);
    for (int t = 0; t < DAY; t++)
        a = second(slow(t));
    assert_true(a.lasting > 0.9);
}

static void test_twice(void **state)
{
    int64_t before[WORDS];
    struct lookahead_answer a, b;
    begin(30);
    for (int t = 0; t < 5000; t++)
        a = second(jumpy(t));
    memcpy(before, words, sizeof(before));
    lookahead_learn(words, &now);
    lookahead_ask(words, &now, &b);
    assert_memory_equal(before, words, sizeof(before));
    assert_true(a.count == b.count && a.most == b.most);
}

/* Loads, clocks and starts that no one has. */
static void test_nonsense(void **state)
{
    static const double loads[] = { NAN, INFINITY, -1, 1e18, 0, 1e308, 3 };
    begin(30);
    for (int t = 0; t < 2000; t++) {
        struct lookahead_answer a = second(loads[t % (int)ARRAY_LEN(loads)]);
        assert_true(a.count >= 0 && a.count <= 1000000000);
        now.start_s = t % 100 == 0 ? loads[t / 100 % (int)ARRAY_LEN(loads)] : now.start_s;
        now.now_us += t % 300 == 0 ? US_PER_DAY : t % 301 == 0 ? -US_PER_DAY : 0;
    }
}

static void test_words_from_a_file(void **state)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 300; round++) {
        begin(30);
        for (int t = 0; t < 100; t++)
            (void)second(jumpy(t));
        for (int i = 0; i < 1 + round; i++) {
            uint64_t at = rng_below(&rng, lookahead_words());
            words[at] = (int64_t)rng_u64(&rng);
        }
        for (int t = 0; t < 100; t++)
            assert_true(second(jumpy(t)).count >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bins),     cmocka_unit_test(test_bins_quantile),
        cmocka_unit_test(test_constant), cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_learns),   cmocka_unit_test(test_step),
        cmocka_unit_test(test_spikes),   cmocka_unit_test(test_twice),
        cmocka_unit_test(test_nonsense), cmocka_unit_test(test_words_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
