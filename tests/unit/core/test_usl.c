/* Gunther's law: published coefficients, and fits that must find them again. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "core/usl.h"

/* Gunther's SPEC SDM91 measurement as published with the R package usl. */
static const struct usl published = { 0.0277285, 0.0001044, 89.9952 };
static const double sizes[] = { 1, 18, 36, 72, 108, 144, 216 };

static void assert_close(double got, double expected, double within)
{
    if (!(fabs(got - expected) <= within))
        fail_msg("%.17g is not %.17g within %g", got, expected, within);
}

static void test_published_values(void **state)
{
    assert_close(usl_peak(&published), 96.50, 0.01);
    assert_close(usl_throughput(&published, 96.50), 1883.77, 0.05);
    assert_close(usl_throughput(&published, 1), 89.9952, 1e-9);
    assert_close(usl_throughput(&published, 72), 1850.05, 0.05);
    assert_close(usl_throughput(&published, 216), 1645.98, 0.05);
}

/* The measurement itself (Gunther, "Guerrilla Capacity Planning", table of the SDM benchmark): its
 * fit by nonlinear least squares is what the package's manual prints. */
static const struct usl_point specsdm91[] = {
    { 1, 64.9 },     { 18, 995.9 },   { 36, 1652.4 },  { 72, 1853.2 },
    { 108, 1828.9 }, { 144, 1775.0 }, { 216, 1702.2 },
};

static void test_published_fit(void **state)
{
    struct usl u;
    double r2;
    assert_int_equal(usl_fit(specsdm91, ARRAY_LEN(specsdm91), &u, &r2), 0);
    assert_close(u.alpha, published.alpha, 5e-8);
    assert_close(u.beta, published.beta, 5e-8);
    assert_close(u.gamma, published.gamma, 5e-5);
    assert_close(r2, 0.99, 0.001);
}

static void measure(const struct usl *u, struct usl_point points[ARRAY_LEN(sizes)])
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        points[i] = (struct usl_point){ sizes[i], usl_throughput(u, sizes[i]) };
}

static void test_fit_finds_the_coefficients(void **state)
{
    static const struct usl laws[] = {
        { 0.0277285, 0.0001044, 89.9952 },
        { 0, 0, 10 },
        { 0.1, 0, 500 },
        { 0, 0.001, 3 },
        { 0.5, 0.01, 20000 },
        { 0.9, 1e-7, 0.001 },
    };
    for (size_t i = 0; i < ARRAY_LEN(laws); i++) {
        struct usl_point points[ARRAY_LEN(sizes)];
        struct usl u;
        double r2;
        measure(&laws[i], points);
        assert_int_equal(usl_fit(points, ARRAY_LEN(points), &u, &r2), 0);
        assert_close(u.alpha, laws[i].alpha, 1e-9);
        assert_close(u.beta, laws[i].beta, 1e-11);
        assert_close(u.gamma, laws[i].gamma, 1e-6 * laws[i].gamma);
        assert_close(r2, 1, 1e-9);
    }
}

static void test_fit_with_noise_is_near(void **state)
{
    struct rng rng;
    rng_init(&rng, 3);
    for (int round = 0; round < 200; round++) {
        struct usl_point points[ARRAY_LEN(sizes)];
        struct usl u;
        double r2;
        measure(&published, points);
        for (size_t i = 0; i < ARRAY_LEN(points); i++)
            points[i].throughput *= 0.98 + 0.04 * rng_unit(&rng);
        assert_int_equal(usl_fit(points, ARRAY_LEN(points), &u, &r2), 0);
        assert_close(usl_peak(&u), 96.5, 10);
        assert_close(usl_throughput(&u, usl_peak(&u)), 1883.77, 60);
        assert_true(r2 > 0.99);
    }
}

/* More than linear growth is no contention below zero: the coefficients stop at 0. */
static void test_coefficients_stay_at_zero(void **state)
{
    static const struct usl_point points[] = { { 1, 9 }, { 2, 20 }, { 4, 42 }, { 8, 85 } };
    struct usl u;
    double r2;
    assert_int_equal(usl_fit(points, ARRAY_LEN(points), &u, &r2), 0);
    assert_close(u.alpha, 0, 0);
    assert_close(u.beta, 0, 0);
    assert_close(u.gamma, 897.0 / 85, 1e-9);
    assert_true(isinf(usl_peak(&u)));
}

static void test_what_cannot_be_fitted(void **state)
{
    static const struct usl_point two[] = { { 1, 9 }, { 2, 18 }, { 2, 17 } };
    static const struct usl_point zero[] = { { 1, 9 }, { 2, 18 }, { 3, 0 } };
    static const struct usl_point lost[] = { { 1, 9 }, { 2, 18 }, { 3, NAN } };
    struct usl u = { 7, 7, 7 };
    double r2;
    assert_int_equal(usl_fit(two, 3, &u, &r2), -ENODATA);
    assert_int_equal(usl_fit(two, 0, &u, &r2), -ENODATA);
    assert_int_equal(usl_fit(zero, 3, &u, &r2), -EINVAL);
    assert_int_equal(usl_fit(lost, 3, &u, &r2), -EINVAL);
    assert_close(u.alpha, 7, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_published_fit),
        cmocka_unit_test(test_fit_finds_the_coefficients),
        cmocka_unit_test(test_fit_with_noise_is_near),
        cmocka_unit_test(test_coefficients_stay_at_zero),
        cmocka_unit_test(test_what_cannot_be_fitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
