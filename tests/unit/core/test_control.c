/* Deciding: configuration, demand, operator, lease, advise, and what the door refuses. */
#include <errno.h>

#include "control_fixture.h"

static void test_first_config_starts_initial(void **state)
{
    struct fixture *f = fixture_new(2);
    f->services[1].initial = 3;
    configure(f);
    assert_int_equal(f->rc, 0);
    assert_int_equal(said(f, ACTION_START), 4);
    assert_int_equal(said(f, ACTION_RECORD), 2);
    assert_int_equal(control_find(f->c, "b"), 1);
    assert_int_equal(control_find(f->c, "c"), -1);
    assert_int_equal(view(f, 1).desired, 3);
    assert_int_equal(view(f, 1).starting, 3);
    fixture_free(f);
}

static void test_doorbell_decides_at_once(void **state)
{
    struct fixture *f = fixture_ready(1);
    assert_int_equal(control_mark(f->c, 0), 12);
    ring(f, 0, 30, 12);
    assert_int_equal(said(f, ACTION_START), 4);
    const struct decision *d = control_decision(f->c, 0);
    assert_int_equal(d->cause, EVENT_DOORBELL);
    assert_int_equal(d->desired, 5);
    assert_int_equal(d->in_flight, 30);
    assert_int_equal(d->queued, 12);
    ring(f, 0, 30, 12);
    assert_int_equal(said(f, ACTION_START), 0);
    fixture_free(f);
}

static void test_zero_and_back(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].min = 0;
    configure(f);
    assert_int_equal(view(f, 0).desired, 0);
    assert_int_equal(control_mark(f->c, 0), 1);
    ring(f, 0, 0, 1);
    assert_int_equal(said(f, ACTION_START), 1);
    all_ready(f, 0);
    for (int n = 0; n < 30 && view(f, 0).desired == 1; n++)
        second(f, 0, 1);
    assert_int_equal(view(f, 0).desired, 1);
    int quiet = 0;
    while (view(f, 0).desired == 1 && quiet < 100) {
        second(f, 0, 0);
        quiet++;
    }
    assert_in_range(quiet, 10, 12); /* the window, not less */
    assert_int_equal(said(f, ACTION_DRAIN), 1);
    fixture_free(f);
}

static void test_unknown_never_goes_to_zero(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].min = 0;
    f->services[0].initial = 2;
    configure(f);
    all_ready(f, 0);
    for (int n = 0; n < 300; n++)
        second(f, 0, n % 8 == 0 ? -1 : 0);
    assert_int_equal(view(f, 0).desired, 2);
    fixture_free(f);
}

static void test_operator_over_rules(void **state)
{
    struct fixture *f = fixture_ready(2);
    operate(f, OPERATOR_SCALE, 0, 0, 5, false);
    assert_int_equal(said(f, ACTION_START), 3);
    assert_int_equal(said(f, ACTION_RECORD), 1);
    operate(f, OPERATOR_SCALE, 0, 0, 15, false);
    assert_int_equal(view(f, 0).desired, 10);
    operate(f, OPERATOR_SCALE, 0, 0, 15, true);
    assert_int_equal(view(f, 0).desired, 15);
    operate(f, OPERATOR_SCALE, 0, 0, 0, false); /* above min's say */
    assert_int_equal(view(f, 0).desired, 0);
    operate(f, OPERATOR_AUTO, 0, 0, 0, false);
    assert_int_equal(view(f, 0).desired, 1);
    operate(f, OPERATOR_SCALE, 0, 0, -1, false);
    assert_int_equal(f->rc, -EINVAL);
    operate(f, OPERATOR_SCALE, -1, 0, 1, false);
    assert_int_equal(f->rc, -EINVAL);
    fixture_free(f);
}

static void test_pause_keeps_the_count(void **state)
{
    struct fixture *f = fixture_ready(2);
    operate(f, OPERATOR_PAUSE, 0, 0, 0, false);
    assert_true(view(f, 0).paused);
    ring(f, 0, 90, 0);
    assert_int_equal(view(f, 0).desired, 2);
    assert_int_equal(control_mark(f->c, 0), UINT32_MAX);
    f->services[0].max = 1;
    configure(f); /* max holds even so */
    assert_int_equal(view(f, 0).desired, 1);
    f->services[0].max = 10;
    configure(f);
    operate(f, OPERATOR_RESUME, -1, 0, 0, false);
    ring(f, 0, 90, 0);
    assert_int_equal(view(f, 0).desired, 9);
    fixture_free(f);
}

static void test_without_lease_nothing_acts(void **state)
{
    struct fixture *f = fixture_ready(2);
    f->now_us += 40 * SEC;
    about(f, EVENT_LEASE, -1, 0, false);
    ring(f, 0, 90, 0);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_int_equal(view(f, 0).desired, 2);
    about(f, EVENT_EXITED, 0, 1, false);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_LEASE, -1, 0, true);
    assert_int_equal(said(f, ACTION_START), 8);
    fixture_free(f);
}

static void test_advise_acts_on_nothing(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].mode = SERVICE_ADVISE;
    f->services[0].initial = 2;
    configure(f);
    assert_int_equal(said(f, ACTION_START), 2); /* it is served */
    all_ready(f, 0);
    ring(f, 0, 90, 0);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_int_equal(said(f, ACTION_RECORD), 1);
    assert_int_equal(control_decision(f->c, 0)->desired, 9);
    assert_true(control_decision(f->c, 0)->advise);
    operate(f, OPERATOR_SCALE, 0, 0, 3, false);
    assert_int_equal(said(f, ACTION_START), 1);
    f->services[0].mode = SERVICE_AUTO;
    configure(f);
    operate(f, OPERATOR_AUTO, 0, 0, 0, false);
    ring(f, 0, 90, 0);
    assert_int_equal(view(f, 0).desired, 9);
    fixture_free(f);
}

static void test_records_are_news(void **state)
{
    struct fixture *f = fixture_ready(3);
    uint32_t records = 0;
    for (int n = 0; n < 100; n++) {
        second(f, 0, 29);
        records += said(f, ACTION_RECORD);
    }
    assert_in_range(records, 0, 2); /* that the window has become known, and no more */
    fixture_free(f);
}

static void test_refusals(void **state)
{
    struct fixture *f = fixture_ready(1);
    static const enum event_type about_instances[] = {
        EVENT_STARTED, EVENT_START_FAILED, EVENT_PROBE, EVENT_EXITED, EVENT_DRAINED,
    };
    for (size_t n = 0; n < ARRAY_LEN(about_instances); n++) {
        about(f, about_instances[n], 0, 99, true);
        assert_int_equal(f->rc, -EINVAL);
        about(f, about_instances[n], 5, 1, true);
        assert_int_equal(f->rc, -EINVAL);
    }
    about(f, EVENT_FOUND, 7, 1, true);
    assert_int_equal(f->rc, -EINVAL);
    about(f, EVENT_FOUND, 0, 0, true);
    assert_int_equal(f->rc, -EINVAL);
    struct event e = event_at(f, EVENT_TYPE_MAX, 0);
    send(f, &e);
    assert_int_equal(f->rc, -EINVAL);
    assert_int_equal(view(f, 0).ready, 1);
    fixture_free(f);
}

static void test_too_many_services(void **state)
{
    struct fixture *f = fixture_new(8);
    configure(f);
    assert_int_equal(f->rc, 0);
    strcpy(f->services[0].name, "other");
    configure(f); /* the old one is still leaving: nine */
    assert_int_equal(f->rc, -ENOBUFS);
    assert_int_equal(control_find(f->c, "a"), 0);
    fixture_free(f);
}

static void test_time_never_goes_back(void **state)
{
    struct fixture *f = fixture_ready(1);
    second(f, 0, 5);
    f->now_us -= 50 * SEC;
    ring(f, 0, 40, 0);
    assert_int_equal(control_decision(f->c, 0)->now_us, 101 * SEC);
    assert_int_equal(view(f, 0).desired, 4);
    fixture_free(f);
}

/* 8 services of 10: 80 starts and 8 records do not fit into 64 actions. */
static void test_what_does_not_fit_comes_next(void **state)
{
    struct fixture *f = fixture_new(8);
    for (int n = 0; n < 8; n++)
        f->services[n].initial = 10;
    configure(f);
    assert_int_equal(f->actions.count, 64);
    assert_true(control_next_us(f->c) <= f->now_us);
    uint32_t starts = said(f, ACTION_START), records = said(f, ACTION_RECORD);
    uint32_t pools = said(f, ACTION_PUBLISH);
    for (int n = 0; n < 3; n++) {
        tick(f);
        starts += said(f, ACTION_START);
        records += said(f, ACTION_RECORD);
        pools += said(f, ACTION_PUBLISH);
    }
    assert_int_equal(starts, 80);
    assert_int_equal(records, 8);
    assert_true(pools >= 8);
    assert_int_equal(f->actions.count, 0);
    fixture_free(f);
}

static void test_removed_service_leaves(void **state)
{
    struct fixture *f = fixture_new(2);
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    f->conf.service_count = 1;
    configure(f);
    assert_int_equal(said(f, ACTION_DRAIN), 1);
    assert_true(view(f, 1).leaving);
    about(f, EVENT_DRAINED, 1, 1, false);
    assert_int_equal(said(f, ACTION_STOP), 1);
    about(f, EVENT_EXITED, 1, 1, false);
    assert_int_equal(said(f, ACTION_FORGET), 1);
    assert_int_equal(said(f, ACTION_ALERT), 0);
    struct service_view v;
    assert_false(control_view(f->c, 1, &v));
    f->conf.service_count = 2;
    configure(f);
    assert_int_equal(control_find(f->c, "b"), 1);
    fixture_free(f);
}

static void test_stop_ends_everything(void **state)
{
    struct fixture *f = fixture_new(2);
    f->services[1].min = 2;
    configure(f);
    all_ready(f, 0);
    operate(f, OPERATOR_STOP, -1, 0, 0, false);
    assert_true(control_stopping(f->c));
    assert_int_equal(said(f, ACTION_DRAIN), 1);
    assert_int_equal(said(f, ACTION_STOP), 2);
    ring(f, 0, 100, 0);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_EXITED, 1, 1, false);
    about(f, EVENT_EXITED, 1, 2, false);
    f->now_us += 20 * SEC; /* the drain's deadline */
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    assert_int_equal(said(f, ACTION_STOPPED), 0);
    about(f, EVENT_EXITED, 0, 1, false);
    assert_int_equal(said(f, ACTION_STOPPED), 1);
    tick(f);
    assert_int_equal(said(f, ACTION_STOPPED), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_config_starts_initial),
        cmocka_unit_test(test_doorbell_decides_at_once),
        cmocka_unit_test(test_zero_and_back),
        cmocka_unit_test(test_unknown_never_goes_to_zero),
        cmocka_unit_test(test_operator_over_rules),
        cmocka_unit_test(test_pause_keeps_the_count),
        cmocka_unit_test(test_without_lease_nothing_acts),
        cmocka_unit_test(test_advise_acts_on_nothing),
        cmocka_unit_test(test_records_are_news),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_many_services),
        cmocka_unit_test(test_time_never_goes_back),
        cmocka_unit_test(test_what_does_not_fit_comes_next),
        cmocka_unit_test(test_removed_service_leaves),
        cmocka_unit_test(test_stop_ends_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
