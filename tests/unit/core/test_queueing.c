/* Erlang's tables, exact rationals, a textbook's worked example, and staffing for targets. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "core/queueing.h"

static void assert_close(double got, double expected, double within)
{
    if (!(fabs(got - expected) <= within))
        fail_msg("%.17g is not %.17g within %g", got, expected, within);
}

static struct queueing_load mm(double arrivals_per_s, double service_s)
{
    return (struct queueing_load){ arrivals_per_s, service_s, 1, 1 };
}

/* -- Erlang ------------------------------------------------------------------------------------
 */

struct rational {
    int64_t servers;
    double offered, above, below;
};

static void test_erlang_b_is_exact(void **state)
{
    static const struct rational cases[] = {
        { 1, 1, 1, 2 }, { 2, 1, 1, 5 }, { 3, 2, 4, 19 }, { 4, 3, 27, 131 }, { 5, 3, 81, 736 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_close(queueing_erlang_b(cases[i].offered, cases[i].servers),
                     cases[i].above / cases[i].below, 1e-15);
}

static void test_erlang_c_is_exact(void **state)
{
    static const struct rational cases[] = {
        { 2, 1, 1, 3 },
        { 3, 2, 4, 9 },
        { 4, 3, 27, 53 },
        { 5, 4, 128, 231 },
        { 10, 8, 4194304, 10250507 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_close(queueing_erlang_c(cases[i].offered, cases[i].servers),
                     cases[i].above / cases[i].below, 2e-15);
}

/* Offered load for a share of 1 %, 2 % and 5 % refused, with as many digits as tables print. */
struct table_row {
    int64_t servers;
    double offered[3], half_digit;
};

static void test_erlang_b_table(void **state)
{
    static const double blocked[] = { 0.01, 0.02, 0.05 };
    static const struct table_row rows[] = {
        { 1, { 0.0101, 0.0204, 0.0526 }, 5e-5 }, { 2, { 0.153, 0.223, 0.381 }, 5e-4 },
        { 3, { 0.455, 0.602, 0.899 }, 5e-4 },    { 5, { 1.361, 1.657, 2.218 }, 5e-4 },
        { 10, { 4.461, 5.084, 6.216 }, 5e-4 },   { 15, { 8.108, 9.010, 10.633 }, 5e-4 },
        { 20, { 12.03, 13.18, 15.25 }, 5e-3 },   { 50, { 37.90, 40.26, 44.53 }, 5e-3 },
        { 100, { 84.06, 87.97, 95.24 }, 5e-3 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(blocked); k++)
            assert_close(queueing_erlang_b_offered(rows[i].servers, blocked[k]), rows[i].offered[k],
                         rows[i].half_digit * 1.001);
}

static void test_erlang_at_the_edges(void **state)
{
    assert_close(queueing_erlang_b(0, 0), 1, 0);
    assert_close(queueing_erlang_b(5, 0), 1, 0);
    assert_close(queueing_erlang_b(0, 3), 0, 0);
    assert_close(queueing_erlang_c(0, 3), 0, 0);
    assert_close(queueing_erlang_c(3, 3), 1, 0);
    assert_close(queueing_erlang_c(7, 3), 1, 0);
    assert_close(queueing_erlang_b(0.5, 1), 0.5 / 1.5, 1e-16); /* a / (1 + a) */
    assert_close(queueing_erlang_b(1e5, 100000), sqrt(2 / (3.14159265 * 1e5)), 1e-5);
    double refused = queueing_erlang_b(99000, 100000);
    assert_true(refused > 0 && refused < 1e-3);
}

/* -- waits -------------------------------------------------------------------------------------
 */

/* 360 calls in half an hour of 240 s each, 55 agents. */
static void test_worked_example(void **state)
{
    struct queueing_load load = mm(360.0 / 1800, 240);
    struct queueing q = queueing_of(&load, 55);
    assert_close(queueing_offered(&load), 48, 1e-12);
    assert_close(queueing_utilisation(&q), 0.8727, 5e-5);
    assert_close(queueing_wait_ratio(&q), 0.238701, 5e-7);
    assert_close(queueing_wait_mean_s(&q), 8.184, 5e-4);
    assert_close(1 - queueing_wait_over(&q, 15), 0.845883, 5e-7);
}

static void test_sojourn_agrees_with_simulation(void **state)
{
    struct queueing_load load = mm(8, 1.0 / 5);
    struct queueing q = queueing_of(&load, 2);
    assert_close(queueing_sojourn_over(&q, 0.5), 0.4209, 2e-4);
}

/* With one server the whole time is exponential with rate mu - lambda: exact, and near the point
 * where the general formula divides by nothing (theta = mu at lambda -> 0). */
static void test_sojourn_of_one_server(void **state)
{
    static const double arrivals[] = { 0, 1e-12, 1e-7, 1e-3, 1, 5, 9, 9.99 };
    for (size_t i = 0; i < ARRAY_LEN(arrivals); i++) {
        struct queueing_load load = mm(arrivals[i], 0.1);
        struct queueing q = queueing_of(&load, 1);
        for (double t = 0; t < 100; t = 2 * t + 0.01)
            assert_close(queueing_sojourn_over(&q, t), exp(-(10 - arrivals[i]) * t), 1e-9);
    }
}

static void test_quantiles_invert_the_tails(void **state)
{
    static const double cv2[] = { 0, 0.25, 1, 4, 30 };
    static const double ratios[] = { 0.5, 0.9, 0.99, 0.9999 };
    for (size_t i = 0; i < ARRAY_LEN(cv2); i++)
        for (size_t k = 0; k < ARRAY_LEN(ratios); k++) {
            struct queueing_load load = { 90, 0.1, 1, cv2[i] };
            struct queueing q = queueing_of(&load, 10);
            double wait = queueing_wait_quantile_s(&q, ratios[k]);
            double sojourn = queueing_sojourn_quantile_s(&q, ratios[k]);
            if (wait > 0)
                assert_close(queueing_wait_over(&q, wait), 1 - ratios[k], 1e-9);
            assert_close(queueing_sojourn_over(&q, sojourn), 1 - ratios[k], 1e-9);
            assert_true(sojourn > wait);
        }
}

/* The area under a tail is the mean, whatever the mix. */
static void test_tails_have_the_means(void **state)
{
    static const double cv2[] = { 0, 0.3, 1, 6 };
    for (size_t i = 0; i < ARRAY_LEN(cv2); i++) {
        struct queueing_load load = { 8, 0.2, 1.5, cv2[i] };
        struct queueing q = queueing_of(&load, 2);
        const double step_s = 1e-4;
        double area = 0;
        for (double t = step_s / 2; t < 60; t += step_s)
            area += queueing_sojourn_over(&q, t) * step_s;
        assert_close(area, queueing_sojourn_mean_s(&q), 1e-3 * area);
    }
}

static void test_allen_cunneen(void **state)
{
    struct queueing_load load = mm(40, 0.2);
    struct queueing exponential = queueing_of(&load, 10);
    load.service_cv2 = 0;
    struct queueing fixed = queueing_of(&load, 10);
    load.arrival_cv2 = 3;
    load.service_cv2 = 9;
    struct queueing bursts = queueing_of(&load, 10);
    double mean_s = queueing_wait_mean_s(&exponential);
    assert_close(queueing_wait_mean_s(&fixed), mean_s / 2, 1e-15);
    assert_close(queueing_wait_mean_s(&bursts), mean_s * 6, 1e-14);
    load.arrival_cv2 = load.service_cv2 = 0; /* clockwork: nobody waits */
    struct queueing clockwork = queueing_of(&load, 10);
    assert_close(queueing_wait_mean_s(&clockwork), 0, 0);
    assert_close(queueing_sojourn_over(&clockwork, 0.21), 0, 0);
}

static void test_overload_waits_for_ever(void **state)
{
    struct queueing_load load = mm(50, 0.2);
    struct queueing q = queueing_of(&load, 10);
    assert_true(isinf(queueing_wait_mean_s(&q)));
    assert_true(isinf(queueing_wait_quantile_s(&q, 0.5)));
    assert_true(isinf(queueing_sojourn_quantile_s(&q, 0.5)));
    assert_close(queueing_wait_over(&q, 1e9), 1, 0);
    assert_close(queueing_sojourn_over(&q, 1e9), 1, 0);
}

/* -- staffing ----------------------------------------------------------------------------------
 */

struct staffing {
    double arrivals_per_s, service_s;
    struct queueing_slo slo;
    int64_t servers;
};

static const struct staffing staffings[] = {
    { 1000, 0.05, { QUEUEING_WAIT_QUANTILE, 0.05, 0.99 }, 54 },
    { 1000, 0.05, { QUEUEING_WAIT_QUANTILE, 0.01, 0.99 }, 61 },
    { 10000, 0.02, { QUEUEING_WAIT_QUANTILE, 0.02, 0.999 }, 207 },
    { 100, 0.05, { QUEUEING_WAIT_QUANTILE, 0, 0.8 }, 8 },
    { 100, 0.05, { .goal = QUEUEING_STABLE }, 6 },
};

static void test_staffing_for_a_target(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(staffings); i++) {
        const struct staffing *s = &staffings[i];
        struct queueing_load load = mm(s->arrivals_per_s, s->service_s);
        struct queueing q;
        assert_int_equal(queueing_least(&load, &s->slo, 1, 100000, &q), 0);
        assert_int_equal(q.servers, s->servers);
        struct queueing fewer = queueing_of(&load, q.servers - 1);
        assert_false(queueing_meets(&fewer, &s->slo));
        double most = queueing_most_arrivals(&load, &s->slo, q.servers);
        assert_true(most >= s->arrivals_per_s);
        load.arrivals_per_s = most * 1.0001;
        struct queueing over = queueing_of(&load, q.servers);
        assert_false(queueing_meets(&over, &s->slo));
    }
}

static void test_staffing_by_instances(void **state)
{
    struct queueing_load load = mm(1000, 0.05);
    struct queueing_slo slo = { QUEUEING_WAIT_QUANTILE, 0.05, 0.99 };
    struct queueing q;
    assert_int_equal(queueing_least(&load, &slo, 8, 100000, &q), 0);
    assert_int_equal(q.servers, 56);
    assert_int_equal(queueing_least(&load, &slo, 8, 55, &q), -ERANGE);
}

/* More servers shorten the wait, never the service. */
static void test_staffing_out_of_reach(void **state)
{
    struct queueing_load load = mm(10, 0.1);
    struct queueing_slo slo = { QUEUEING_SOJOURN_QUANTILE, 0.05, 0.99 };
    struct queueing q;
    assert_int_equal(queueing_least(&load, &slo, 1, 1000, &q), -ERANGE);
    assert_close(queueing_most_arrivals(&load, &slo, 1000), 0, 1e-9);
}

static void test_large_pools(void **state)
{
    struct queueing_load load = mm(1e6, 0.1);
    struct queueing_slo slo = { QUEUEING_WAIT_QUANTILE, 0, 0.5 };
    struct queueing q;
    assert_int_equal(queueing_least(&load, &slo, 1, 200000, &q), 0);
    double beta = ((double)q.servers - 1e5) / sqrt(1e5);
    assert_close(queueing_halfin_whitt(beta), queueing_wait_ratio(&q), 1e-3);
}

static void test_halfin_whitt(void **state)
{
    assert_close(queueing_halfin_whitt(0.5), 0.504539, 5e-7);
    assert_close(queueing_halfin_whitt(1), 0.223361, 5e-7);
    assert_close(queueing_halfin_whitt(2), 0.026881, 5e-7);
    assert_close(queueing_halfin_whitt(0), 1, 0);
    assert_close(queueing_halfin_whitt(60), 0, 0);
    assert_close(queueing_erlang_c(1000, 1016), 0.503704, 5e-7);
    assert_close(queueing_erlang_c(1000, 1032), 0.223063, 5e-7);
    assert_close(queueing_erlang_c(1000, 1064), 0.027246, 5e-7);
    for (double beta = 0.1; beta < 6; beta += 0.1)
        assert_close(queueing_halfin_whitt_beta(queueing_halfin_whitt(beta)), beta, 1e-6);
}

static void test_fan_out(void **state)
{
    assert_close(queueing_fan_out(0.01, 100), 0.634, 5e-4);
    assert_close(queueing_fan_out(0.01, 1), 0.01, 1e-12);
    assert_close(queueing_fan_out(0, 1e9), 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erlang_b_is_exact),
        cmocka_unit_test(test_erlang_c_is_exact),
        cmocka_unit_test(test_erlang_b_table),
        cmocka_unit_test(test_erlang_at_the_edges),
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_sojourn_agrees_with_simulation),
        cmocka_unit_test(test_sojourn_of_one_server),
        cmocka_unit_test(test_quantiles_invert_the_tails),
        cmocka_unit_test(test_tails_have_the_means),
        cmocka_unit_test(test_allen_cunneen),
        cmocka_unit_test(test_overload_waits_for_ever),
        cmocka_unit_test(test_staffing_for_a_target),
        cmocka_unit_test(test_staffing_by_instances),
        cmocka_unit_test(test_staffing_out_of_reach),
        cmocka_unit_test(test_large_pools),
        cmocka_unit_test(test_halfin_whitt),
        cmocka_unit_test(test_fan_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
