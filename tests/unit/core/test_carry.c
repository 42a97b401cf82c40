/* What one instance carries: the line between measurements, and what makes them wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "core/carry.h"

#define TARGET_S 0.25

static struct carry carry;

static void learn(double rate_per_s, double latency_s, int32_t ready)
{
    struct carry_point p = { rate_per_s, latency_s };
    carry_learn(&carry, &p, TARGET_S, ready);
}

static void forget(void)
{
    memset(&carry, 0, sizeof(carry));
}

static void assert_limit(double expected)
{
    double limit = carry_limit(&carry, TARGET_S);
    if (!(fabs(limit - expected) <= 1e-9))
        fail_msg("%.12g is not %.12g", limit, expected);
}

/* M/M/1 with 50 ms: 1/W = 20 - rate, so 16 a second take just the target. */
static double mm1(double rate_per_s)
{
    return 1 / (20 - rate_per_s);
}

static void test_nothing_is_known(void **state)
{
    forget();
    assert_true(isinf(carry_limit(&carry, TARGET_S)));
    assert_true(carry_reach(&carry, TARGET_S, TARGET_S) == 0);
    learn(NAN, 1, 1);
    learn(0, 1, 1);
    learn(5, 0, 1);
    assert_true(isinf(carry_limit(&carry, TARGET_S)));
}

static void test_the_line_is_exact_for_mm1(void **state)
{
    forget();
    learn(8, mm1(8), 2);
    assert_true(isinf(carry_limit(&carry, TARGET_S)));
    learn(12, mm1(12), 2);
    assert_true(fabs(carry_reach(&carry, TARGET_S, TARGET_S) - 16) < 1e-9); /* ahead */
    learn(19, mm1(19), 2);
    assert_limit(16); /* between */
}

static void test_only_too_much_is_known(void **state)
{
    forget();
    learn(20, 0.5, 1);
    assert_limit(10);
    learn(18, 5, 1); /* far too much: half */
    assert_limit(9);
}

static void test_contradictions_are_forgotten(void **state)
{
    forget();
    learn(10, 0.1, 2);
    learn(15, 0.4, 2);
    learn(15.5, 0.2, 2); /* now fine, now not: the edge is here */
    assert_true(carry.bad.rate_per_s == 15);
    assert_true(fabs(carry.good.rate_per_s - 15 * 0.95) < 1e-9);
    learn(20, 0.2, 2); /* far more than was too much, and fine */
    assert_true(isinf(carry_limit(&carry, TARGET_S)));
    learn(19.5, 0.3, 2); /* a little too much: just below it */
    assert_true(fabs(carry.good.rate_per_s - 19.5 * 0.95) < 1e-9);
    learn(14, 0.5, 2); /* less than was fine, and too much */
    assert_limit(7);
}

static void test_another_program(void **state)
{
    forget();
    learn(10, 0.2, 2);
    learn(15, 0.4, 2);
    for (int i = 0; i < 5; i++)
        learn(10, 0.2, 2);
    learn(10, 0.1, 2);
    learn(10, 0.1, 2);
    learn(10, 0.2, 2); /* chance */
    assert_true(carry.bad.rate_per_s == 15);
    for (int i = 0; i < 3; i++)
        learn(10, 0.1, 2);
    assert_true(carry.bad.rate_per_s == 0);
}

static void test_another_load_tells_little(void **state)
{
    forget();
    learn(10, 0.1, 2);
    learn(15, 0.4, 2);
    learn(10, 0.1, 5); /* 50 a second, not 30 */
    assert_true(carry.bad.rate_per_s == 15);
    learn(10, 0.1, 7);
    assert_true(carry.bad.rate_per_s == 0);
}

static void test_words_from_a_file(void **state)
{
    memset(&carry, 0xff, sizeof(carry));
    carry_check(&carry);
    assert_true(isinf(carry_limit(&carry, TARGET_S)));
    carry.good = (struct carry_point){ 9, 0.1 };
    carry.bad = (struct carry_point){ 8, 0.5 };
    carry_check(&carry);
    assert_true(carry.bad.rate_per_s == 0 && carry.good.rate_per_s == 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_the_line_is_exact_for_mm1),
        cmocka_unit_test(test_only_too_much_is_known),
        cmocka_unit_test(test_contradictions_are_forgotten),
        cmocka_unit_test(test_another_program),
        cmocka_unit_test(test_another_load_tells_little),
        cmocka_unit_test(test_words_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
