/* What holds a count back, or raises it, between the rules and what runs: headroom, the cost of a
 * change, cooldowns, the order of services, budgets. */
#include <math.h>

#include "control_fixture.h"

static int32_t desired(const struct fixture *f, uint32_t slot)
{
    return view(f, slot).desired;
}

static bool has_step(const struct fixture *f, uint32_t slot, enum limit_kind k)
{
    const struct decision *d = control_decision(f->c, slot);
    for (uint32_t n = 0; n < d->step_count; n++) {
        if (d->steps[n].kind == k)
            return true;
    }
    return false;
}

/* A second for several services, each with so many in flight. */
static void seconds_of(struct fixture *f, uint32_t services, const double *in_flight)
{
    f->now_us += SEC;
    for (uint32_t n = 0; n < services; n++) {
        struct sample samples[] = { { METRIC_CONCURRENCY, 0, in_flight[n] },
                                    { METRIC_QUEUE, 0, 0 } };
        struct event e = event_at(f, EVENT_SAMPLES, (int32_t)n);
        e.samples = samples;
        e.sample_count = ARRAY_LEN(samples);
        send(f, &e);
    }
    tick(f);
    for (uint32_t n = 0; n < services; n++)
        all_ready(f, n);
}

/* Drains and stops end at once. */
static void let_go(struct fixture *f, uint32_t slot)
{
    struct service_view v = view(f, slot);
    for (uint32_t n = 0; n < v.instance_count; n++) {
        enum instance_state s = v.instances[n].state;
        if (s == INSTANCE_DRAINING || s == INSTANCE_STOPPING)
            about(f, EVENT_EXITED, (int32_t)slot, v.instances[n].number, false);
    }
}

/* -- headroom ---------------------------------------------------------------------------------- */

static void test_headroom(void **state)
{
    static const struct {
        double headroom;
        bool ratio;
        double in_flight;
        int32_t want;
    } cases[] = {
        { 0, false, 40, 4 },  { 1, false, 40, 5 },      { 0.25, true, 40, 5 },
        { 0.2, true, 50, 6 }, { 0.01, true, 40, 5 },    { 2.5, false, 40, 7 },
        { 3, false, 0, 1 },   { 1e300, false, 40, 10 }, { NAN, true, 40, 4 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f = fixture_new(1);
        f->services[0].headroom = cases[i].headroom;
        f->services[0].headroom_ratio = cases[i].ratio;
        configure(f);
        all_ready(f, 0);
        for (int n = 0; n < 40; n++)
            seconds_of(f, 1, &cases[i].in_flight);
        if (desired(f, 0) != cases[i].want)
            fail_msg("case %zu: %d", i, desired(f, 0));
        fixture_free(f);
    }
}

/* At rest it stays where it is, whatever the dead band: headroom does not feed itself. */
static void test_headroom_is_calm(void **state)
{
    for (int load = 1; load < 90; load++) {
        struct fixture *f = fixture_new(1);
        f->services[0].max = 50;
        f->services[0].headroom = 0.3;
        f->services[0].headroom_ratio = true;
        configure(f);
        double in_flight = load;
        for (int n = 0; n < 60; n++)
            seconds_of(f, 1, &in_flight);
        int32_t rest = desired(f, 0);
        for (int n = 0; n < 60; n++) {
            seconds_of(f, 1, &in_flight);
            assert_int_equal(desired(f, 0), rest);
        }
        assert_true(rest >= ceil(load / 11.0) && rest <= ceil(load / 9.0 * 1.3) + 2);
        fixture_free(f);
    }
}

static void test_only_what_measures(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].headroom = 2;
    f->services[0].rules[0].kind = RULE_THRESHOLD;
    f->services[0].rules[0].threshold = (struct rule_threshold_conf){
        .metric = { .metric = METRIC_CONCURRENCY }, .has_above = true, .above = 5, .add = 1
    };
    configure(f);
    all_ready(f, 0);
    second(f, 0, 6);
    assert_int_equal(desired(f, 0), 2);
    fixture_free(f);
}

/* -- the cost of a change ---------------------------------------------------------------------- */

static void test_change_pays_for_itself(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].initial = 5;
    f->services[0].change_cost_us = 60 * SEC;
    f->services[0].window_in_us = SEC;
    configure(f);
    all_ready(f, 0);
    double in_flight = 45, quiet = 9;
    for (int n = 0; n < 5; n++)
        seconds_of(f, 1, &in_flight);
    int steps[5] = { 0 };
    for (int n = 1; n <= 200; n++) {
        int32_t before = desired(f, 0);
        seconds_of(f, 1, &quiet);
        for (int32_t k = desired(f, 0); k < before; k++)
            steps[k] = n;
    }
    /* Four are too many: 60 s of instance time are wasted in 15 s; then three are, in 20; ... */
    assert_int_equal(desired(f, 0), 1);
    assert_in_range(steps[4], 15, 18);
    assert_in_range(steps[3] - steps[4], 19, 21);
    assert_in_range(steps[2] - steps[3], 29, 31);
    assert_in_range(steps[1] - steps[2], 59, 61);
    fixture_free(f);
}

static void test_need_resets_the_waste(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].initial = 2;
    f->services[0].change_cost_us = 30 * SEC;
    f->services[0].window_in_us = SEC;
    configure(f);
    all_ready(f, 0);
    double busy = 18, quiet = 5;
    for (int n = 0; n < 400; n++)
        seconds_of(f, 1, n % 25 == 24 ? &busy : &quiet);
    assert_int_equal(desired(f, 0), 2);
    ring(f, 0, 60, 0); /* scale-out does not ask for the price */
    assert_int_equal(desired(f, 0), 6);
    fixture_free(f);
}

/* -- order --------------------------------------------------------------------------------------
 */

/* a is the web, b the database: a comes after b. */
static struct fixture *fixture_order(void)
{
    struct fixture *f = fixture_new(2);
    f->services[0].after_count = 1;
    strcpy(f->services[0].after[0], "b");
    f->services[1].min = 2;
    return f;
}

static void test_waits_for_the_first(void **state)
{
    struct fixture *f = fixture_order();
    configure(f);
    assert_int_equal(desired(f, 0), 0); /* not even its minimum */
    assert_int_equal(desired(f, 1), 2);
    assert_true(has_step(f, 0, LIMIT_ORDER));
    f->now_us += SEC;
    tick(f);
    assert_int_equal(desired(f, 0), 0);
    all_ready(f, 1);
    tick(f);
    assert_int_equal(desired(f, 0), 1);
    fixture_free(f);
}

static void test_waits_no_longer_than_five_minutes(void **state)
{
    struct fixture *f = fixture_order();
    f->services[1].start_within_us = 3600 * SEC;
    configure(f);
    int waited = 0, alerts = 0;
    while (desired(f, 0) == 0 && waited < 1000) {
        f->now_us += SEC;
        tick(f);
        waited++;
        alerts += (int)said(f, ACTION_ALERT);
    }
    assert_int_equal(waited, 300);
    assert_int_equal(alerts, 1);
    assert_string_equal(view(f, 0).trouble, "does not wait for b any longer");
    all_ready(f, 1);
    tick(f);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

static void test_in_the_reverse_order(void **state)
{
    struct fixture *f = fixture_order();
    f->services[0].initial = 4;
    f->services[1].initial = 4;
    f->services[0].behavior.down.stabilize_us = 60 * SEC;
    configure(f);
    all_ready(f, 1);
    double busy[] = { 38, 38 }, quiet[] = { 8, 8 };
    for (int n = 0; n < 30; n++)
        seconds_of(f, 2, busy);
    assert_int_equal(desired(f, 0), 4);
    assert_int_equal(desired(f, 1), 4);
    bool first = false;
    for (int n = 0; n < 300; n++) {
        seconds_of(f, 2, quiet);
        if (desired(f, 1) < 4 && !first) {
            first = true;
            assert_int_equal(desired(f, 0), 1); /* the web went first, all of it */
            assert_int_equal(view(f, 0).draining, 0);
        }
        let_go(f, 0);
    }
    assert_true(first);
    assert_int_equal(desired(f, 1), 2);
    fixture_free(f);
}

/* -- budgets ------------------------------------------------------------------------------------
 */

static struct fixture *fixture_budget(double per_hour, double cost_a, double cost_b)
{
    struct fixture *f = fixture_new(2);
    f->conf.budget_count = 1;
    strcpy(f->conf.budgets[0].name, "compute");
    f->conf.budgets[0].per_hour = per_hour;
    f->services[0].cost = cost_a;
    f->services[1].cost = cost_b;
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    return f;
}

static void test_one_yields_to_the_other(void **state)
{
    struct fixture *f = fixture_budget(6, 1, 1);
    ring(f, 0, 90, 0); /* a wants 9, and nobody else anything */
    assert_int_equal(desired(f, 0), 5);
    assert_true(has_step(f, 0, LIMIT_BUDGET));
    ring(f, 1, 90, 0); /* then b wants as many */
    assert_int_equal(desired(f, 0), 3);
    assert_int_equal(desired(f, 1), 3);
    assert_non_null(strstr(control_decision(f->c, 1)->summary, "budget compute: 6.00 an hour"));
    operate(f, OPERATOR_SCALE, 1, 0, 5, false); /* the operator is above it */
    assert_int_equal(desired(f, 0), 1);
    assert_int_equal(desired(f, 1), 5);
    operate(f, OPERATOR_AUTO, 1, 0, 0, false);
    assert_int_equal(desired(f, 0), 3);
    assert_int_equal(desired(f, 1), 3);
    fixture_free(f);
}

static void test_budget_beats_the_minimum(void **state)
{
    struct fixture *f = fixture_new(2);
    f->conf.budget_count = 1;
    f->conf.budgets[0].per_hour = 3;
    f->services[0].cost = f->services[1].cost = 1;
    f->services[0].min = 4;
    f->services[1].min = 2;
    configure(f);
    assert_int_equal(desired(f, 0) + desired(f, 1), 3);
    assert_int_equal(desired(f, 1), 1);
    fixture_free(f);
}

static void test_a_day_that_is_spent(void **state)
{
    struct fixture *f = fixture_new(1);
    f->conf.budget_count = 1;
    strcpy(f->conf.budgets[0].name, "compute");
    f->conf.budgets[0].per_day = 36;
    f->services[0].cost = 1;
    f->services[0].initial = 9;
    configure(f);
    all_ready(f, 0);
    double busy = 88;
    int64_t end_us = 0;
    struct budget_view b;
    int alerts = 0;
    for (int n = 0; n < 3600; n++) { /* from 22:15 to midnight */
        f->now_us += 10 * SEC;
        ring(f, 0, (uint32_t)busy, 0);
        alerts += (int)said(f, ACTION_ALERT);
        assert_true(control_budget(f->c, 0, &b));
        assert_true(b.spent[BUDGET_DAY] <= 36.1);
        if (end_us == 0)
            end_us = b.until_us[BUDGET_DAY];
        if (b.until_us[BUDGET_DAY] != end_us)
            break;
    }
    assert_int_equal(desired(f, 0), 9); /* a new day */
    assert_true(b.spent[BUDGET_DAY] < 1);
    assert_int_equal(alerts, 0); /* 16 an evening is less than 36 */
    f->conf.budgets[0].per_day = 10;
    configure(f);
    alerts += (int)said(f, ACTION_ALERT);
    bool cut = false;
    for (int n = 0; n < 8000; n++) {
        f->now_us += 10 * SEC;
        ring(f, 0, (uint32_t)busy, 0);
        alerts += (int)said(f, ACTION_ALERT);
        assert_true(control_budget(f->c, 0, &b));
        if (b.until_us[BUDGET_DAY] != end_us + US_PER_DAY)
            break;
        cut = cut || b.tight[BUDGET_DAY];
        assert_true(b.spent[BUDGET_DAY] <= 10.2);
        all_ready(f, 0);
        let_go(f, 0);
    }
    assert_true(cut);
    assert_in_range(alerts, 1, 2);
    fixture_free(f);
}

/* Prices and ceilings that are none: no count goes wild, and nothing that is spent is NaN. */
static void test_prices_that_are_none(void **state)
{
    static const double odd[] = { NAN, INFINITY, -INFINITY, -1, 0, 0x1p-1074, 1e308 };
    for (size_t i = 0; i < ARRAY_LEN(odd) * ARRAY_LEN(odd); i++) {
        struct fixture *f = fixture_budget(odd[i / ARRAY_LEN(odd)], odd[i % ARRAY_LEN(odd)], 1);
        f->conf.budgets[0].per_day = odd[i / ARRAY_LEN(odd)];
        f->services[0].budget_weight = odd[i % ARRAY_LEN(odd)];
        configure(f);
        for (int n = 0; n < 20; n++) {
            f->now_us += 600 * SEC;
            ring(f, 0, 90, 0);
            ring(f, 1, 90, 0);
        }
        struct budget_view b;
        assert_true(control_budget(f->c, 0, &b));
        assert_false(isnan(b.spent[BUDGET_DAY]));
        assert_in_range(desired(f, 0), 0, 10);
        assert_in_range(desired(f, 1), 0, 10);
        fixture_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headroom),
        cmocka_unit_test(test_headroom_is_calm),
        cmocka_unit_test(test_only_what_measures),
        cmocka_unit_test(test_change_pays_for_itself),
        cmocka_unit_test(test_need_resets_the_waste),
        cmocka_unit_test(test_waits_for_the_first),
        cmocka_unit_test(test_waits_no_longer_than_five_minutes),
        cmocka_unit_test(test_in_the_reverse_order),
        cmocka_unit_test(test_one_yields_to_the_other),
        cmocka_unit_test(test_budget_beats_the_minimum),
        cmocka_unit_test(test_a_day_that_is_spent),
        cmocka_unit_test(test_prices_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
