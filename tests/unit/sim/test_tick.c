/* The fluid world on loads that can be worked out by hand; and plimsoll in it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/default_policy.h"
#include "sim/run.h"

/* Never moves. */
static int32_t still_count;

static void *still_open(const struct policy_setup *s)
{
    still_count = s->initial;
    return &still_count;
}

static void still_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
}

static int32_t still_desired(const void *self)
{
    return still_count;
}

static void still_close(void *self)
{
}

static const struct policy_ops still = {
    .name = "still",
    .open = still_open,
    .step = still_step,
    .desired = still_desired,
    .close = still_close,
};

static struct default_policy fallback;

static struct run_options options_of(const struct trace *t, const struct policy_ops *policy)
{
    default_policy_init(&fallback, 20);
    return (struct run_options){
        .trace = t,
        .policy = policy,
        .model = &fallback.model,
        .capacity = 100,
        .slots = 20,
        .fleet = { .boot_us = 60 * US_PER_S },
    };
}

static void simulate(const struct run_options *o, struct run_result *ret)
{
    struct err err = { 0 };
    if (run_simulate(o, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static double flat150[] = { 150, 150, 150, 150 };
static double ends[] = { 200, 200, 0, 0, 0, 0 };

/* 150/s on one instance that does 100/s: the wait is 0.5 s after a second, 1 s after two, ... The
 * first second's requests wait no longer than the SLO allows; all later ones do. */
static void test_waits(void **state)
{
    const struct trace t = { .step_us = US_PER_S, .count = 4, .rates = flat150 };
    struct run_options o = options_of(&t, &still);
    struct run_result r;
    o.initial = 1;
    simulate(&o, &r);
    assert_float_equal(r.score.requests, 600, 1e-9);
    assert_float_equal(r.score.waited, 450, 1e-9);
    assert_float_equal(r.score.violations, 0.75, 1e-12);
    assert_float_equal(r.score.refused, 0, 0);
    assert_float_equal(r.score.instance_hours * 3600, 4, 1e-9);
    assert_float_equal(r.score.mean_utilisation, 1, 1e-12);
    assert_float_equal(r.score.theta_u, 50, 1e-9); /* one of two is missing */
    run_result_done(&r);
    o.slo_wait_s = 1.25; /* passed in the midst of the third second: w goes from 1 to 1.5 */
    simulate(&o, &r);
    assert_float_equal(r.score.waited, 75 + 150, 1e-9);
    run_result_done(&r);
}

/* Centres at 10, 30, ... s: 200/s until 30 s, then down to 0 at 50 s. 100/s pile up, more than the
 * 1,000 that ten seconds of one instance's work are; the rest is refused. */
static void test_refuses(void **state)
{
    const struct trace t = { .step_us = 20 * US_PER_S, .count = 6, .rates = ends };
    struct run_options o = options_of(&t, &still);
    struct run_result r;
    o.initial = 1;
    o.points_max = 200;
    simulate(&o, &r);
    assert_float_equal(r.score.requests, 200 * 30 + 2000, 1e-6);
    assert_true(r.score.refused > 2000 && r.score.refused < 3000);
    double most = 0;
    for (uint32_t n = 0; n < r.point_count; n++)
        most = MAX(most, r.points[n].queued);
    assert_float_equal(most, 1000, 1e-9);
    assert_float_equal(r.points[r.point_count - 1].queued, 0, 0);
    assert_float_equal(r.points[r.point_count - 1].paid_s, 120, 1e-9);
    run_result_done(&r);
}

static void test_begins_with_what_the_first_load_needs(void **state)
{
    double rates[] = { 990, 990 };
    const struct trace t = { .step_us = 60 * US_PER_S, .count = 2, .rates = rates };
    const struct run_options o = options_of(&t, &still);
    struct run_result r;
    simulate(&o, &r);
    assert_float_equal(r.score.instance_hours * 3600, 15 * 120, 1e-6); /* ceil(9.9 / 0.7) */
    assert_float_equal(r.score.violations, 0, 0);
    run_result_done(&r);
}

/* What runs and what the core wants are the same from the first second on, whatever the load. */
static void expect_count(struct run_options *o, int32_t count)
{
    for (enum run_fidelity f = RUN_TICK; f <= RUN_REQUEST; f++) {
        struct run_result r;
        o->fidelity = f;
        o->points_max = 600;
        o->decisions = true;
        simulate(o, &r);
        assert_true(r.point_count > 1);
        for (uint32_t n = 0; n < r.point_count; n++) {
            assert_float_equal(r.points[n].desired, count, 0);
            assert_float_equal(r.points[n].ready, count, 0);
        }
        assert_int_equal(r.decision_count, 0);
        assert_float_equal(r.score.instance_hours * 60, 5 * count, 1e-9);
        run_result_done(&r);
    }
}

static const struct {
    int32_t min, max, initial, run;
} limits[] = {
    { 1, 1, 0, 1 }, { 1, 3, 0, 3 }, { 20, 20, 0, 20 }, { 20, 30, 4, 20 }, { 0, 0, 0, 0 },
};

static double flat500[] = { 500, 500, 500, 500, 500 };
static const struct trace five_minutes = {
    .start_wall_us = INT64_C(1700000000) * US_PER_S,
    .step_us = 60 * US_PER_S,
    .count = ARRAY_LEN(flat500),
    .rates = flat500,
};

static void test_keeps_min_and_max(void **state)
{
    for (size_t n = 0; n < ARRAY_LEN(limits); n++) {
        struct run_options o = options_of(&five_minutes, &policy_plimsoll);
        fallback.service.min = limits[n].min;
        fallback.service.max = limits[n].max;
        o.initial = limits[n].initial;
        expect_count(&o, limits[n].run);
    }
}

/* Limits that a schedule has moved before the run began; 8 are what the load needs. */
static void test_keeps_scheduled_limits(void **state)
{
    static const int32_t moved[][2] = { { 12, 12 }, { 2, 2 } };
    for (size_t n = 0; n < ARRAY_LEN(moved); n++) {
        struct run_options o = options_of(&five_minutes, &policy_plimsoll);
        struct rule_conf *r = &fallback.service.rules[fallback.service.rule_count++];
        r->kind = RULE_SCHEDULE;
        assert_int_equal(cron_parse(slice_of("* * * * *"), &r->schedule.cron, NULL), 0);
        r->schedule.for_us = US_PER_HOUR;
        r->schedule.min = moved[n][0];
        r->schedule.max = moved[n][1];
        r->schedule.count = -1;
        expect_count(&o, moved[n][1]);
    }
}

/* The others would be told the same limits. */
static void test_peers_keep_min_and_max(void **state)
{
    for (size_t n = 1; policy_all[n]; n++) {
        struct run_options o = options_of(&five_minutes, policy_all[n]);
        struct run_result r;
        fallback.service.min = 2;
        fallback.service.max = 3;
        o.points_max = 600;
        simulate(&o, &r);
        for (uint32_t k = 0; k < r.point_count; k++)
            assert_in_range(r.points[k].ready, 2, 3);
        run_result_done(&r);
    }
}

#define HOURS 6

static void make_waves(double *rates, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        size_t at = n % 60;
        rates[n] = 500 + 40.0 * (double)(at < 30 ? at : 60 - at);
    }
}

static void test_plimsoll_follows(void **state)
{
    double rates[HOURS * 60];
    const struct trace t = { .step_us = 60 * US_PER_S, .count = ARRAY_LEN(rates), .rates = rates };
    struct run_options o = options_of(&t, &policy_plimsoll);
    struct run_result a, b;
    make_waves(rates, ARRAY_LEN(rates));
    o.decisions = true;
    simulate(&o, &a);
    assert_true(a.score.violations < 0.001);
    assert_true(a.score.moves > 10);
    assert_int_equal(a.score.moves, a.decision_count);
    for (uint32_t n = 0; n < a.decision_count; n++) {
        assert_int_not_equal(a.decisions[n].before, a.decisions[n].after);
        assert_true(a.decisions[n].why[0] != '\0');
    }
    simulate(&o, &b);
    assert_int_equal(a.hash, b.hash);
    assert_float_equal(a.score.instance_hours, b.score.instance_hours, 0);
    run_result_done(&a);
    run_result_done(&b);
}

/* Starts that fail, instances that crash: the core hears of it and makes up for it. */
static void test_plimsoll_in_a_bad_world(void **state)
{
    double rates[HOURS * 60];
    const struct trace t = { .step_us = 60 * US_PER_S, .count = ARRAY_LEN(rates), .rates = rates };
    struct run_options o = options_of(&t, &policy_plimsoll);
    struct run_result r, other;
    make_waves(rates, ARRAY_LEN(rates));
    o.fleet.boot_spread = 0.3;
    o.fleet.start_failures = 0.1;
    o.fleet.crashes_per_day = 10;
    o.fleet.noisy_share = 0.1;
    o.fleet.noisy_slowdown = 2;
    o.seed = 11;
    simulate(&o, &r);
    assert_true(r.score.violations < 0.2);
    assert_true(r.score.mean_utilisation > 0.3);
    o.seed = 12;
    simulate(&o, &other);
    assert_int_not_equal(r.hash, other.hash);
    run_result_done(&r);
    run_result_done(&other);
}

/* Four times as slow hold what they serve four times as long: 10 full ones have 200 in flight. */
static void test_slow_ones_hold_more(void **state)
{
    double rates[] = { 250, 250 };
    const struct trace t = { .step_us = 5 * US_PER_S, .count = 2, .rates = rates };
    struct run_options o = options_of(&t, &still);
    struct run_result r;
    o.initial = 10;
    o.fleet.noisy_share = 1;
    o.fleet.noisy_slowdown = 4;
    o.points_max = 10;
    simulate(&o, &r);
    assert_float_equal(r.points[1].in_flight, 200, 1e-9);
    assert_float_equal(r.points[1].latency_p99_s, 0.8, 1e-9);
    run_result_done(&r);
}

/* 1.1 / (1.1 / 15) is a hair above 15. */
static void test_counts_without_rounding(void **state)
{
    double rates[] = { 1.1, 1.1 };
    const struct trace t = { .step_us = 60 * US_PER_S, .count = 2, .rates = rates };
    static const char *const fixed[] = { "static_mean", "static_peak", "oracle" };
    for (size_t n = 0; n < ARRAY_LEN(fixed); n++) {
        struct run_options o = options_of(&t, policy_find(fixed[n]));
        struct run_result r;
        o.capacity = trace_mean(&t) / 15;
        o.initial = 15;
        simulate(&o, &r);
        assert_float_equal(r.score.instance_hours * 3600, 15 * 120, 1e-6);
        assert_float_equal(r.score.tau_u, 0, 0);
        run_result_done(&r);
    }
}

static void test_bill(void **state)
{
    double rates[] = { 90, 90 };
    const struct trace t = {
        .step_us = US_PER_HOUR, .count = 2, .rates = rates, .start_wall_us = 23 * US_PER_HOUR
    };
    struct run_options o = options_of(&t, &still);
    struct carbon_conf carbon = { .grams = 400, .window_count = 1 };
    struct run_result r;
    assert_int_equal(cron_parse(slice_of("0 0 * * *"), &carbon.windows[0].cron, NULL), 0);
    carbon.windows[0].for_us = 12 * US_PER_HOUR;
    carbon.windows[0].grams = 100;
    o.initial = 1;
    o.cost = 0.25;
    o.watts = 500;
    o.carbon = &carbon;
    simulate(&o, &r);
    assert_float_equal(r.score.cost, 0.5, 1e-9);
    assert_float_equal(r.score.energy_kwh, 1, 1e-9);
    assert_float_equal(r.score.co2_g, 200 + 50, 0.2); /* an hour before midnight, one after */
    run_result_done(&r);
}

static void test_refused_options(void **state)
{
    double rates[] = { 1, -1 };
    const struct trace bad = { .step_us = US_PER_S, .count = 2, .rates = rates };
    const struct trace good = { .step_us = US_PER_S, .count = 1, .rates = rates };
    const struct trace empty = { .step_us = US_PER_S };
    const struct trace *const traces[] = { &bad, &empty, NULL };
    struct run_result r;
    struct err err;
    for (size_t n = 0; n < ARRAY_LEN(traces); n++) {
        struct run_options o = options_of(traces[n], &still);
        assert_int_equal(run_simulate(&o, &r, &err), -EINVAL);
    }
    struct run_options o = options_of(&good, &still);
    o.capacity = 0;
    assert_int_equal(run_simulate(&o, &r, &err), -EINVAL);
    o = options_of(&good, &still);
    o.fleet.start_failures = 2;
    assert_int_equal(run_simulate(&o, &r, &err), -EINVAL);
    o = options_of(&good, &still);
    o.fidelity = RUN_REQUEST;
    o.slots = 2.5;
    assert_int_equal(run_simulate(&o, &r, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_begins_with_what_the_first_load_needs),
        cmocka_unit_test(test_keeps_min_and_max),
        cmocka_unit_test(test_keeps_scheduled_limits),
        cmocka_unit_test(test_peers_keep_min_and_max),
        cmocka_unit_test(test_plimsoll_follows),
        cmocka_unit_test(test_plimsoll_in_a_bad_world),
        cmocka_unit_test(test_slow_ones_hold_more),
        cmocka_unit_test(test_counts_without_rounding),
        cmocka_unit_test(test_bill),
        cmocka_unit_test(test_refused_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
