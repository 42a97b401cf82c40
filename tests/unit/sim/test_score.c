/* The elasticity metrics on an example that can be worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sim/score.h"

static void score_of(const double *d, const double *s, size_t count, double dt_s, struct score *ret)
{
    struct score_meter m;
    score_begin(&m);
    for (size_t n = 0; n < count; n++)
        score_step(&m, dt_s, d[n], s[n]);
    score_end(&m, ret);
}

static const double demand[] = { 1, 2, 3, 4, 4, 3, 2, 1 };
static const double supply[] = { 2, 2, 2, 3, 5, 5, 3, 1 };

static void test_eight_steps(void **state)
{
    struct score s;
    score_of(demand, supply, ARRAY_LEN(demand), 1, &s);
    assert_float_equal(s.theta_u, 7.291667, 1e-6);
    assert_float_equal(s.theta_o, 30.208333, 1e-6);
    assert_float_equal(s.tau_u, 25, 1e-9);
    assert_float_equal(s.tau_o, 50, 1e-9);
    assert_float_equal(s.upsilon, 100.0 * 4 / 7, 1e-9);
    assert_float_equal(s.bungee_u, 0.25, 1e-9);
    assert_float_equal(s.bungee_o, 0.625, 1e-9);
    assert_float_equal(s.jitter, 60.0 * (7 - 6) / 8, 1e-9);
}

static void test_step_length_does_not_matter(void **state)
{
    struct score a, b;
    score_of(demand, supply, ARRAY_LEN(demand), 1, &a);
    score_of(demand, supply, ARRAY_LEN(demand), 300, &b);
    assert_float_equal(a.theta_u, b.theta_u, 1e-9);
    assert_float_equal(a.theta_o, b.theta_o, 1e-9);
    assert_float_equal(a.tau_u, b.tau_u, 1e-9);
    assert_float_equal(a.upsilon, b.upsilon, 1e-9);
    assert_float_equal(a.bungee_o, b.bungee_o, 1e-9);
}

static void test_perfect_and_empty(void **state)
{
    struct score s;
    score_of(demand, demand, ARRAY_LEN(demand), 1, &s);
    assert_float_equal(s.theta_u + s.theta_o + s.tau_u + s.tau_o + s.upsilon + s.jitter, 0, 0);
    score_of(NULL, NULL, 0, 1, &s);
    assert_float_equal(s.theta_u + s.upsilon + s.violations, 0, 0);
    static const double zero[] = { 0, 0 }, two[] = { 2, 2 };
    score_of(zero, two, 2, 1, &s); /* nothing is demanded: no share of it can be superfluous */
    assert_float_equal(s.theta_o, 0, 0);
    assert_float_equal(s.tau_o, 100, 0);
}

static void test_speedup(void **state)
{
    const struct score fixed = { .theta_u = 8, .theta_o = 30, .tau_u = 20, .tau_o = 60 };
    const struct score s = { .theta_u = 1, .theta_o = 15, .tau_u = 0, .tau_o = 60 };
    double ratios[4];
    double speedup = score_speedup(&fixed, &s, ratios);
    assert_float_equal(ratios[0], 8, 1e-12);
    assert_float_equal(ratios[2], 200, 1e-9); /* nothing counts as 0.1 % */
    assert_float_equal(speedup * speedup * speedup * speedup, 8 * 2 * 200 * 1, 1e-6);
    assert_float_equal(score_speedup(&s, &s, ratios), 1, 1e-12);
}

static void test_help_defines_all(void **state)
{
    static const char *const words[] = { "violations", "theta_U", "theta_O", "tau_U",   "tau_O",
                                         "upsilon",    "acc_U",   "jitter",  "speedup", "Herbst" };
    for (size_t n = 0; n < ARRAY_LEN(words); n++)
        assert_non_null(strstr(score_help(), words[n]));
    assert_non_null(strstr(score_help(), "UTIL"));
    assert_non_null(strstr(score_help_short(), "UTIL"));
    assert_non_null(strstr(score_help_short(), "upsilon = 100/(T - dt)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eight_steps),
        cmocka_unit_test(test_step_length_does_not_matter),
        cmocka_unit_test(test_perfect_and_empty),
        cmocka_unit_test(test_speedup),
        cmocka_unit_test(test_help_defines_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
