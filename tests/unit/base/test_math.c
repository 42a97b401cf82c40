/* exp, log and pow beside libm's, whose long double forms have eleven bits more; and what they must
 * answer at the edges. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/math.h"
#include "base/rng.h"
#include "base/util.h"

#define POINTS 200000
#define ULPS_MAX 1.0L

static struct rng rng;

static double uniform(double from, double to)
{
    return from + (to - from) * rng_unit(&rng);
}

static long double ulp_of(long double exact)
{
    int exponent;
    frexpl(exact, &exponent);
    return ldexpl(1, exponent - DBL_MANT_DIG < -1074 ? -1074 : exponent - DBL_MANT_DIG);
}

static void assert_near(double got, long double exact, const char *what, double x, double y)
{
    if (isinf((double)exact) && isinf(got))
        return;
    long double ulps = fabsl(got - exact) / ulp_of(exact);
    if (!(ulps <= ULPS_MAX))
        fail_msg("%s(%a, %a) is %a, off by %Lg ulp", what, x, y, got, ulps);
}

static void test_exp_is_near_libm(void **state)
{
    for (int i = 0; i < POINTS; i++) {
        double x = i % 2 ? uniform(-746, 710) : uniform(-1, 1);
        assert_near(math_exp(x), expl(x), "exp", x, 0);
    }
}

static double any_positive(void)
{
    return ldexp(uniform(1, 2), (int)uniform(-1074, 1024));
}

static void test_log_is_near_libm(void **state)
{
    for (int i = 0; i < POINTS; i++) {
        double x = i % 3 == 0 ? any_positive() : i % 3 == 1 ? uniform(0.5, 2) : uniform(0.99, 1.01);
        assert_near(math_log(x), logl(x), "log", x, 0);
    }
}

static void test_pow_is_near_libm(void **state)
{
    for (int i = 0; i < POINTS; i++) {
        double x = i % 2 ? any_positive() : uniform(0.9, 1.1);
        double y = i % 4 < 2 ? uniform(-10, 10) : uniform(-1, 1) * 709 / fabs(log(x));
        assert_near(math_pow(x, y), powl(x, y), "pow", x, y);
    }
}

static void test_pow_of_integers_is_exact(void **state)
{
    for (int base = 2; base <= 12; base++) {
        double power = 1;
        for (int n = 0; power < 0x1p53; n++, power *= base) {
            assert_true(math_pow(base, n) == power);
            assert_true(math_pow(-base, n) == (n % 2 ? -power : power));
        }
    }
    for (int k = -1074; k < 1024; k++)
        assert_true(math_pow(2, k) == ldexp(1, k));
}

struct special {
    double x, y, expected;
};

static const struct special exps[] = {
    { 0, 0, 1 },
    { -0.0, 0, 1 },
    { INFINITY, 0, INFINITY },
    { -INFINITY, 0, 0 },
    { NAN, 0, NAN },
    { 709.782712893384, 0, 0x1.fffffffffff2ap+1023 },
    { 709.7827128933841, 0, INFINITY },
    { -745.1332191019411, 0, 0x1p-1074 },
    { -745.1332191019413, 0, 0 },
    { 1e300, 0, INFINITY },
    { -1e300, 0, 0 },
    { 0x1p-60, 0, 1 },
};

static const struct special logs[] = {
    { 0, 0, -INFINITY },
    { -0.0, 0, -INFINITY },
    { 1, 0, 0 },
    { -1, 0, NAN },
    { -INFINITY, 0, NAN },
    { NAN, 0, NAN },
    { INFINITY, 0, INFINITY },
    { 0x1p-1074, 0, -0x1.74385446d71c3p+9 },
    { DBL_MAX, 0, 0x1.62e42fefa39efp+9 },
};

static const struct special pows[] = {
    { NAN, 0, 1 },
    { 1, NAN, 1 },
    { NAN, 1, NAN },
    { 2, NAN, NAN },
    { -1, INFINITY, 1 },
    { -1, -INFINITY, 1 },
    { 0.5, INFINITY, 0 },
    { 0.5, -INFINITY, INFINITY },
    { 2, INFINITY, INFINITY },
    { -2, -INFINITY, 0 },
    { 0, 3, 0 },
    { -0.0, 3, -0.0 },
    { -0.0, 2, 0 },
    { -0.0, 0.5, 0 },
    { 0, -1, INFINITY },
    { -0.0, -1, -INFINITY },
    { -0.0, -2, INFINITY },
    { INFINITY, 2, INFINITY },
    { INFINITY, -2, 0 },
    { -INFINITY, 3, -INFINITY },
    { -INFINITY, 2, INFINITY },
    { -INFINITY, -3, -0.0 },
    { -INFINITY, -0.5, 0 },
    { -8, 1.0 / 3, NAN },
    { -2, 3, -8 },
    { -2, 0x1p53, INFINITY },
    { -1, 0x1p53 - 1, -1 },
    { 1e300, 2, INFINITY },
    { -1e300, 3, -INFINITY },
    { 1e-300, 2, 0 },
    { 0x1.fffffffffffffp-1, 1e300, 0 },
    { 0x1.0000000000001p+0, 1e300, INFINITY },
    { DBL_MAX, 0x1p-1074, 1 },
};

static bool same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

static double exp_of(double x, double y)
{
    return math_exp(x);
}

static double log_of(double x, double y)
{
    return math_log(x);
}

static void check(const char *what, double (*f)(double, double), const struct special *cases,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double got = f(cases[i].x, cases[i].y);
        if (!same(got, cases[i].expected))
            fail_msg("%s(%a, %a) is %a, not %a", what, cases[i].x, cases[i].y, got,
                     cases[i].expected);
    }
}

static void test_special_cases(void **state)
{
    check("exp", exp_of, exps, ARRAY_LEN(exps));
    check("log", log_of, logs, ARRAY_LEN(logs));
    check("pow", math_pow, pows, ARRAY_LEN(pows));
}

/* Every bit of many results, folded: whatever machine or compiler this runs on, the same. */
static void test_bits_are_the_same_everywhere(void **state)
{
    uint64_t folded = 0;
    struct rng own;
    rng_init(&own, 2026);
    for (int i = 0; i < POINTS; i++) {
        double x = 1400 * rng_unit(&own) - 700;
        double base = 100 * rng_unit(&own);
        double results[] = { math_exp(x), math_log(base), math_pow(base, x / 10) };
        for (size_t k = 0; k < ARRAY_LEN(results); k++) {
            uint64_t bits;
            memcpy(&bits, &results[k], sizeof(bits));
            folded = (folded ^ bits) * UINT64_C(0x100000001b3);
        }
    }
    assert_int_equal(folded, UINT64_C(0x839e836dfe7f5ea9));
}

int main(void)
{
    rng_init(&rng, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_is_near_libm),
        cmocka_unit_test(test_log_is_near_libm),
        cmocka_unit_test(test_pow_is_near_libm),
        cmocka_unit_test(test_pow_of_integers_is_exact),
        cmocka_unit_test(test_special_cases),
        cmocka_unit_test(test_bits_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
