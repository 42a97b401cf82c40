/* Capacity on paper: the published staffing answers come out of the whole chain, reserves are what
 * they say, and what cannot be is refused with the way out. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sim/capacity.h"
#include "sim/points.h"

static struct capacity_conf plain(double rate_per_s, double service_s)
{
    return (struct capacity_conf){ .rate_per_s = rate_per_s,
                                   .service_s = service_s,
                                   .service_cv2 = 1,
                                   .arrival_cv2 = 1,
                                   .response_s = -1,
                                   .peak_to_mean = 1,
                                   .concurrency = 1,
                                   .fan_out = 1,
                                   .refused_ratio = 0.001 };
}

static struct capacity_result compute(const struct capacity_conf *c)
{
    struct capacity_result r;
    struct err err = { 0 };
    if (capacity_compute(c, &r, &err) < 0)
        fail_msg("%s", err.text);
    return r;
}

static double step_value(const struct capacity_result *r, const char *name)
{
    for (uint32_t i = 0; i < r->step_count; i++)
        if (strcmp(r->steps[i].name, name) == 0)
            return r->steps[i].value;
    fail_msg("no step \"%s\"", name);
    return NAN;
}

static const char *step_how(const struct capacity_result *r, const char *name)
{
    for (uint32_t i = 0; i < r->step_count; i++)
        if (strcmp(r->steps[i].name, name) == 0)
            return r->steps[i].how;
    fail_msg("no step \"%s\"", name);
    return "";
}

static uint32_t count_steps(const struct capacity_result *r, const char *name)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->step_count; i++)
        count += strcmp(r->steps[i].name, name) == 0;
    return count;
}

static void assert_close(double got, double expected, double within)
{
    if (!(fabs(got - expected) <= within))
        fail_msg("%.17g is not %.17g within %g", got, expected, within);
}

static void test_published_staffing(void **state)
{
    static const struct {
        double rate_per_s, service_s;
        struct queueing_slo slo;
        int64_t instances;
    } cases[] = {
        { 1000, 0.05, { QUEUEING_WAIT_QUANTILE, 0.05, 0.99 }, 54 },
        { 1000, 0.05, { QUEUEING_WAIT_QUANTILE, 0.01, 0.99 }, 61 },
        { 10000, 0.02, { QUEUEING_WAIT_QUANTILE, 0.02, 0.999 }, 207 },
        { 100, 0.05, { QUEUEING_WAIT_QUANTILE, 0, 0.8 }, 8 },
        { 0.2, 240, { QUEUEING_WAIT_QUANTILE, 15, 0.8 }, 55 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct capacity_conf c = plain(cases[i].rate_per_s, cases[i].service_s);
        c.slo = cases[i].slo;
        assert_int_equal(compute(&c).instances, cases[i].instances);
    }
}

static void test_activity_adds_up(void **state)
{
    struct capacity_conf c = plain(10, 0.01);
    c.users = 100;
    c.think_s = 9.99; /* and 10 ms of response */
    c.daily_users = 86400;
    c.requests_a_day = 20;
    c.peak_to_mean = 3;
    struct capacity_result r = compute(&c);
    assert_close(r.mean_per_s, 10 + 10 + 20, 1e-9);
    assert_close(r.peak_per_s, 120, 1e-9);
    c.response_s = 0.01 + 10;
    assert_close(compute(&c).mean_per_s, 35, 1e-9);
}

/* Two kinds of fixed length make a mix with a variance of its own. */
static void test_classes_mix(void **state)
{
    struct capacity_conf c = plain(0, 0);
    c.classes[0] = (struct capacity_class){ "read", 300, 0.01, 0 };
    c.classes[1] = (struct capacity_class){ "write", 100, 0.05, 0 };
    c.class_count = 2;
    struct capacity_result r = compute(&c);
    assert_close(r.service_s, 0.02, 1e-12);
    assert_close(step_value(&r, "busy at a time"), 8, 1e-9);
    assert_non_null(strstr(r.steps[4].how, "cv2 0.75")); /* 3e-4 / 4e-4 */
}

static void test_reserves(void **state)
{
    static const struct {
        int64_t spare, zones, instances;
    } cases[] = { { 0, 0, 54 }, { 2, 0, 56 }, { 0, 2, 108 }, { 0, 3, 81 },
                  { 0, 4, 72 }, { 1, 3, 83 }, { 2, 3, 84 } };
    struct capacity_conf c = plain(1000, 0.05);
    c.slo = (struct queueing_slo){ QUEUEING_WAIT_QUANTILE, 0.05, 0.99 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        c.spare = cases[i].spare;
        c.zones = cases[i].zones;
        assert_int_equal(compute(&c).instances, cases[i].instances);
    }
    c.spare = c.zones = 0;
    c.headroom = 0.2; /* as if 1250 came */
    struct capacity_conf more = plain(1250, 0.05);
    more.slo = c.slo;
    assert_int_equal(compute(&c).instances, compute(&more).instances);
    c.headroom = 0;
    c.concurrency = 8;
    assert_int_equal(compute(&c).instances, 7);
}

/* 4 + 4 + 3 without one of the full zones are the 7 that the load needs. What is recommended is
 * always the least number that is allowed as well. */
static void test_zones_need_not_be_equal(void **state)
{
    struct capacity_conf c = plain(100, 0.05);
    c.slo = (struct queueing_slo){ QUEUEING_SOJOURN_QUANTILE, 0.3, 0.99 };
    for (c.zones = 2; c.zones <= 9; c.zones++) {
        for (c.spare = 0; c.spare <= 4; c.spare++) {
            c.instances_max = 0;
            int64_t least = compute(&c).instances, left = least - (least + c.zones - 1) / c.zones;
            assert_true(left - c.spare >= 7);
            c.instances_max = least;
            assert_true(compute(&c).fits);
            c.instances_max = least - 1;
            assert_false(compute(&c).fits);
        }
    }
    c.zones = 3;
    c.spare = 0;
    c.instances_max = 11;
    struct capacity_result r = compute(&c);
    assert_int_equal(r.working, 7);
    assert_int_equal(r.instances, 11);
    assert_true(r.fits);
    c.instances_max = 10; /* 4 + 3 + 3 */
    r = compute(&c);
    assert_false(r.fits);
    assert_string_equal(step_how(&r, "at most"), "1 too few; 6 of them may work");
}

static void test_connections(void **state)
{
    struct capacity_conf c = plain(1, 0.001);
    c.connections = 90000;
    c.connections_each = 10000; /* just as many slots as connections refuse 0.3 % */
    assert_int_equal(compute(&c).instances, 10);
    c.refused_ratio = 0.01;
    assert_int_equal(compute(&c).instances, 9);
    c.instances_max = 3; /* a third of the people, though the requests are nothing */
    struct capacity_result r = compute(&c);
    assert_false(r.fits);
    assert_close(r.fitting_per_s, 1.0 / 3, 0.01);
}

/* Whichever of requests and connections is the tighter, each says once what fits of it. */
static void test_each_step_once(void **state)
{
    struct capacity_conf c = plain(100, 0.05);
    c.slo = (struct queueing_slo){ QUEUEING_SOJOURN_QUANTILE, 0.3, 0.99 };
    c.connections_each = 10;
    c.instances_max = 4;
    for (c.spare = 0; c.spare <= 5; c.spare++) {
        for (c.connections = 20; c.connections <= 2000; c.connections *= 10) {
            struct capacity_result r = compute(&c);
            assert_int_equal(count_steps(&r, "connections that fit"), 1);
        }
    }
}

static void test_at_most_so_many(void **state)
{
    struct capacity_conf c = plain(1000, 0.05);
    c.slo = (struct queueing_slo){ QUEUEING_WAIT_QUANTILE, 0.05, 0.99 };
    c.instances_max = 54;
    assert_true(compute(&c).fits);
    c.instances_max = 30;
    struct capacity_result r = compute(&c);
    assert_false(r.fits);
    c.rate_per_s = r.fitting_per_s * 0.999; /* what it says does fit, and no more */
    assert_true(compute(&c).fits);
    c.rate_per_s = r.fitting_per_s * 1.001;
    assert_false(compute(&c).fits);
    c.rate_per_s = 1000;
    c.service_s = step_value(&r, "or a service time of") * 0.999;
    assert_true(compute(&c).fits);
    c.spare = 30; /* nobody is left to work */
    assert_close(compute(&c).fitting_per_s, 0, 0);
}

static void test_money(void **state)
{
    struct capacity_conf c = plain(1000, 0.05);
    c.slo = (struct queueing_slo){ QUEUEING_WAIT_QUANTILE, 0.05, 0.99 };
    c.cost = 0.1;
    c.watts = 100;
    c.grams_per_kwh = 400;
    struct capacity_result r = compute(&c);
    assert_close(r.cost_month, 54 * 0.1 * 730, 1e-9);
    assert_close(r.kwh_month, 54 * 73, 1e-9);
    assert_close(r.co2_kg_month, 54 * 73 * 0.4, 1e-9);
}

static void test_usl(void **state)
{
    struct capacity_conf c = plain(1200, 0);
    c.has_usl = true;
    c.usl = (struct usl){ 0.0277285, 0.0001044, 89.9952 };
    struct capacity_result r = compute(&c);
    assert_true(usl_throughput(&c.usl, (double)r.instances) > 1200);
    assert_true(usl_throughput(&c.usl, (double)r.instances - 1) <= 1200);
    assert_close(step_value(&r, "USL peak"), 96.5, 0.05);
    struct err err = { 0 };
    c.service_s = 0.005; /* the law says 11.1 ms */
    assert_int_equal(capacity_compute(&c, &r, &err), -EINVAL);
    assert_non_null(strstr(err.text, "leave --service out"));
    c.service_s = 0;
    c.rate_per_s = 1900;
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    assert_non_null(strstr(err.text, " 1900/s: 97 carry 1884/s, and more than that carry less"));
    assert_false(r.fits); /* and what is known of the load is there */
    assert_close(r.peak_per_s, 1900, 0);
    assert_close(step_value(&r, "USL peak"), 96.5, 0.05);
}

/* The peak lies between two numbers, and the one above it may be the better one. */
static void test_usl_peak_is_rounded_to_what_carries_more(void **state)
{
    static const struct {
        double peak;
        const char *said;
    } cases[] = {
        { 0.9, ": 1 carries 100/s" }, { 1.4, ": 1 carries 100/s" }, { 1.9, ": 2 carry 1" },
        { 2.4, ": 2 carry 1" },       { 2.6, ": 3 carry 1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct capacity_conf c = plain(1000, 0);
        struct capacity_result r;
        struct err err = { 0 };
        c.has_usl = true;
        c.usl = (struct usl){ 0, 1 / (cases[i].peak * cases[i].peak), 100 };
        assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
        if (!strstr(err.text, cases[i].said))
            fail_msg("peak %g: %s", cases[i].peak, err.text);
    }
}

static struct capacity_conf fitted(const struct usl_point *points, uint32_t count)
{
    struct capacity_conf c = plain(500, 0);
    c.has_usl = true;
    assert_int_equal(usl_fit(points, count, &c.usl, &c.usl_r2), 0);
    c.usl_worst = capacity_worst_row(&c.usl, points, count);
    return c;
}

/* Enough for the load, but the more there are the slower each is: the target is what fails. */
static void test_usl_target_out_of_reach(void **state)
{
    static const struct usl_point points[] = {
        { 1, 100 }, { 2, 190 }, { 4, 340 }, { 8, 560 }, { 16, 800 },
    };
    struct capacity_conf c = fitted(points, ARRAY_LEN(points));
    struct capacity_result r;
    struct err err = { 0 };
    c.concurrency = 4;
    c.slo = (struct queueing_slo){ QUEUEING_SOJOURN_QUANTILE, 0.25, 0.99 };
    strcpy(c.slo_text, "p99<250ms");
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    const char *comes = strstr(err.text, "\"p99<250ms\": out of reach of any number");
    const char *number = strstr(err.text, "(--usl): ");
    if (!comes || !number || strstr(err.text, "carry less"))
        fail_msg("%s", err.text);
    long long n;
    double best_s;
    assert_int_equal(sscanf(number, "(--usl): %lld come nearest, with %lf s", &n, &best_s), 2);
    c.slo.limit_s = best_s * 1.001; /* what it says is reached, with that number, and no less */
    assert_int_equal(compute(&c).working, n);
    c.slo.limit_s = best_s * 0.999;
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    c.usl.beta = 0; /* there is no peak to stop at, and yet an end */
    c.slo.limit_s = 0.19;
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    assert_non_null(strstr(err.text, "come nearest, with 0."));
    c.rate_per_s = 5000;
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    assert_non_null(strstr(err.text, "however many there are, they carry less than"));
}

/* Least squares always find a law, also where there is none. */
static void test_usl_that_does_not_fit(void **state)
{
    static const struct {
        struct usl_point points[7];
        uint32_t count;
        const char *said[3];
    } cases[] = {
        { { { 1, 100 }, { 2, 300 }, { 4, 1600 }, { 8, 9000 } },
          4,
          { "R2 is 0.81", "misses a row by ", "alpha and beta" } },
        { { { 1, 100 }, { 2, 90 }, { 4, 500 }, { 8, 100 }, { 16, 900 } },
          5,
          { "R2 is 0.62", "misses a row by ", "alpha and beta" } },
        { { { 1, 100 }, { 2, 190 }, { 4, 340 }, { 8, 560 }, { 16, 800 } }, 5, { NULL } },
        { { { 1, 64.9 },
            { 18, 995.9 },
            { 36, 1652.4 },
            { 72, 1853.2 },
            { 108, 1828.9 },
            { 144, 1775 },
            { 216, 1702.2 } },
          7,
          { "at N = 1 it says ", "and 64.9/s was measured" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct capacity_conf c = fitted(cases[i].points, cases[i].count);
        c.rate_per_s = 50;
        struct capacity_result r = compute(&c);
        char all[1024] = "";
        for (uint32_t k = 0; k < r.warning_count; k++)
            strcat(all, r.warnings[k].text);
        assert_int_equal(r.warning_count > 0, cases[i].said[0] != NULL);
        for (size_t k = 0; k < ARRAY_LEN(cases[i].said) && cases[i].said[k]; k++)
            if (!strstr(all, cases[i].said[k]))
                fail_msg("case %zu has no \"%s\": %s", i, cases[i].said[k], all);
    }
    struct capacity_conf c = plain(10, 0.01);
    assert_int_equal(compute(&c).warning_count, 0);
    c = plain(10, 0);
    c.has_usl = true;
    c.usl_r2 = 1;
    c.usl = (struct usl){ 0.1, 0, 100 };
    assert_non_null(strstr(compute(&c).warnings[0].text, "beta, which cannot be below 0, is held"));
    c.usl = (struct usl){ 0, 0.001, 100 };
    assert_non_null(strstr(compute(&c).warnings[0].text, "alpha, which"));
    c.usl.alpha = 0.1;
    assert_int_equal(compute(&c).warning_count, 0);
}

/* Numbers in the laws are what was given, however small. */
static void test_small_numbers_are_shown(void **state)
{
    struct capacity_conf c = plain(0, 0.00002);
    c.users = 0.5;
    c.think_s = 10;
    c.daily_users = 0.5;
    c.requests_a_day = 0.004;
    struct capacity_result r = compute(&c);
    assert_non_null(strstr(step_how(&r, "of users at a time"), " = 0.5 / (10 + 0.00002)"));
    assert_string_equal(step_how(&r, "of users a day"), "0.5 users * 0.004 requests / 86400 s");
    assert_non_null(strstr(step_how(&r, "busy at a time"), " * 0.00002 s"));
}

/* Kinds of requests say what the variance is, and never more than was measured. */
static void test_usl_and_classes(void **state)
{
    struct capacity_conf c = plain(0, 0);
    c.has_usl = true;
    c.usl = (struct usl){ 0.0277285, 0.0001044, 89.9952 };
    c.classes[0] = (struct capacity_class){ "read", 900, 0.001, 0 };
    c.classes[1] = (struct capacity_class){ "write", 300, 0.005, 0 };
    c.class_count = 2;
    struct capacity_result r = compute(&c);
    assert_close(r.service_s, 1 / 89.9952, 1e-9);
    assert_true(usl_throughput(&c.usl, (double)r.instances) > 1200);
    assert_non_null(strstr(r.steps[4].how, "cv2 0.75"));
}

/* Requests that are all the same: no rounding makes their variance negative. */
static void test_constant_service(void **state)
{
    static const double times_s[] = { 0.001, 0.003, 0.007, 0.01, 0.05, 0.07, 0.1, 0.2, 0.3 };
    static const double rates[] = { 3, 10, 100 };
    for (size_t i = 0; i < ARRAY_LEN(times_s) * ARRAY_LEN(rates); i++) {
        struct capacity_conf c = plain(rates[i % 3], times_s[i / 3]);
        c.service_cv2 = 0;
        c.slo = (struct queueing_slo){ QUEUEING_SOJOURN_QUANTILE, 5, 0.99 };
        struct capacity_result r = compute(&c);
        assert_true(step_value(&r, "latency p50") >= times_s[i / 3] * 0.999);
        c.rate_per_s = 0;
        c.classes[0] = (struct capacity_class){ "a", rates[i % 3], times_s[i / 3], 0 };
        c.classes[1] = (struct capacity_class){ "b", 3, times_s[i / 3], 0 };
        c.class_count = 2;
        r = compute(&c);
        assert_true(step_value(&r, "latency p50") >= times_s[i / 3] * 0.999);
    }
}

static void test_out_of_reach(void **state)
{
    struct capacity_result r = { 0 };
    struct err err = { 0 };
    struct capacity_conf c = plain(10, 0.08);
    c.slo = (struct queueing_slo){ QUEUEING_SOJOURN_QUANTILE, 0.05, 0.99 };
    assert_int_equal(capacity_compute(&c, &r, &err), CAPACITY_NONE);
    assert_non_null(strstr(err.text, "0.3684 s"));
    assert_false(r.fits);
    assert_close(step_value(&r, "busy at a time"), 0.8, 1e-9);
    r.instances = 7;
    c = plain(0, 0.08);
    assert_int_equal(capacity_compute(&c, &r, &err), -EINVAL);
    assert_int_equal(r.instances, 7);
    c = plain(10, 0);
    assert_int_equal(capacity_compute(&c, &r, &err), -EINVAL);
}

/* -- measured points ---------------------------------------------------------------------------
 */

static void test_points(void **state)
{
    static const char text[] = "# SDM91\n\nN,X\n1,64.9\n18; 995.9\r\n36\t1652.4\n72 1853.2";
    struct points p;
    points_read(text, strlen(text), &p);
    assert_int_equal(p.count, 4);
    assert_int_equal(p.bad_count, 0);
    assert_close(p.point[1].throughput, 995.9, 0);
    assert_close(p.point[3].n, 72, 0);
}

static void test_bad_points_are_told(void **state)
{
    static const char text[] = "1,2\nN,X\n3\n4,5,6\n7,nan\n8,-1\n0,9\n10,11\n12,1e999\n";
    static const uint32_t lines[] = { 2, 3, 4, 5, 6, 7, 9 };
    struct points p;
    points_read(text, strlen(text), &p);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.bad_count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(p.bad[i].line, lines[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_staffing),
        cmocka_unit_test(test_activity_adds_up),
        cmocka_unit_test(test_classes_mix),
        cmocka_unit_test(test_reserves),
        cmocka_unit_test(test_zones_need_not_be_equal),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_each_step_once),
        cmocka_unit_test(test_at_most_so_many),
        cmocka_unit_test(test_money),
        cmocka_unit_test(test_usl),
        cmocka_unit_test(test_usl_peak_is_rounded_to_what_carries_more),
        cmocka_unit_test(test_usl_target_out_of_reach),
        cmocka_unit_test(test_usl_that_does_not_fit),
        cmocka_unit_test(test_small_numbers_are_shown),
        cmocka_unit_test(test_usl_and_classes),
        cmocka_unit_test(test_constant_service),
        cmocka_unit_test(test_out_of_reach),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_bad_points_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
