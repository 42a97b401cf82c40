/* What happens to instances: starts that fail, crashes, health, drains, replacing, adoption. */
#include <errno.h>

#include "control_fixture.h"

static void test_ready_needs_the_probe(void **state)
{
    struct fixture *f = fixture_new(1);
    configure(f);
    about(f, EVENT_STARTED, 0, 1, false);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_STARTING);
    about(f, EVENT_PROBE, 0, 1, false);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_STARTING);
    about(f, EVENT_PROBE, 0, 1, true);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_READY);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    fixture_free(f);
}

static void test_crash_loop_backs_off(void **state)
{
    static const int64_t delays_us[] = { SEC / 2, SEC, 2 * SEC, 4 * SEC, 8 * SEC };
    struct fixture *f = fixture_new(1);
    configure(f);
    for (uint32_t n = 0; n < ARRAY_LEN(delays_us); n++) {
        about(f, EVENT_EXITED, 0, n + 1, false);
        assert_int_equal(said(f, ACTION_ALERT), 1);
        assert_int_equal(said(f, ACTION_START), 0);
        assert_non_null(strstr(view(f, 0).trouble, "exited before it was ready with status 1"));
        assert_int_equal(view(f, 0).start_failures, n + 1);
        assert_int_equal(state_of(f, 0, n + 2), INSTANCE_PENDING);
        assert_int_equal(control_next_us(f->c), f->now_us + delays_us[n]);
        f->now_us += delays_us[n] - 1;
        tick(f);
        assert_int_equal(said(f, ACTION_START), 0);
        f->now_us += 1;
        tick(f);
        assert_int_equal(number_of(f, ACTION_START, 0), n + 2);
    }
    for (uint32_t n = 6; n < 16; n++) {
        about(f, EVENT_START_FAILED, 0, n, false);
        f->now_us += 60 * SEC;
        tick(f);
        assert_int_equal(said(f, ACTION_START), 1);
    }
    assert_true(view(f, 0).start_trouble);
    about(f, EVENT_PROBE, 0, 16, true); /* all is well now, but the row is not forgotten yet */
    assert_string_equal(view(f, 0).trouble, "");
    assert_false(view(f, 0).start_trouble);
    assert_int_equal(said(f, ACTION_ALERT), 1);
    assert_int_equal(view(f, 0).start_failures, 15);
    f->now_us += 30 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_ALERT), 0);
    assert_int_equal(view(f, 0).start_failures, 0);
    fixture_free(f);
}

/* What is told of a failed start is not covered by an engine that then goes away. */
static void test_why_a_start_failed(void **state)
{
    struct fixture *f = fixture_ready(1);
    operate(f, OPERATOR_RESTART, 0, 0, 0, false);
    about(f, EVENT_EXITED, 0, 2, false);
    about(f, EVENT_DRIVER, 0, 0, false);
    tick(f);
    assert_true(view(f, 0).driver_down);
    assert_null(strstr(view(f, 0).trouble, "exited"));
    assert_non_null(strstr(view(f, 0).start_trouble, "-2 exited before it was ready"));
    fixture_free(f);
}

/* One that is to be replaced serves, but its successor's failure is still news. */
static void test_trouble_lasts_until_all_are_ready(void **state)
{
    struct fixture *f = fixture_ready(1);
    operate(f, OPERATOR_RESTART, 0, 0, 0, false);
    about(f, EVENT_EXITED, 0, 2, false);
    tick(f);
    assert_true(view(f, 0).start_trouble);
    f->now_us += SEC;
    tick(f);
    about(f, EVENT_PROBE, 0, 3, true);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

static void told(struct fixture *f, enum event_type type, uint32_t number, const char *text)
{
    struct event e = event_at(f, type, 0);
    e.number = number;
    memcpy(e.text, text, strlen(text) + 1);
    send(f, &e);
}

/* What will be done is whole; the cause may be cut, and then it shows. */
static void test_trouble_texts(void **state)
{
    struct fixture *f = fixture_ready(2);
    char cause[160];
    told(f, EVENT_EXITED, 1, "exited 137: killed");
    assert_string_equal(view(f, 0).trouble,
                        "tried again after 500ms: a-1 ended: exited 137: killed");
    f->now_us += SEC;
    tick(f); /* its successor is started */
    memset(cause, 'x', sizeof(cause));
    cause[sizeof(cause) - 1] = '\0';
    told(f, EVENT_START_FAILED, 3, cause);
    static const char begin[] = "tried again after 1s: a-3 cannot be started: xxx";
    struct service_view v = view(f, 0);
    assert_memory_equal(v.trouble, begin, sizeof(begin) - 1);
    assert_string_equal(v.trouble + strlen(v.trouble) - 4, "x...");
    fixture_free(f);
}

static void test_first_crash_is_replaced_at_once(void **state)
{
    struct fixture *f = fixture_ready(2);
    f->now_us += 40 * SEC;
    about(f, EVENT_EXITED, 0, 1, false);
    assert_int_equal(number_of(f, ACTION_START, 0), 3);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    about(f, EVENT_PROBE, 0, 3, true);
    f->now_us += 2 * SEC;
    about(f, EVENT_EXITED, 0, 3, false);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_int_equal(state_of(f, 0, 2), INSTANCE_READY);
    fixture_free(f);
}

static void test_failing_together_is_one_failure(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].initial = 5;
    configure(f);
    for (uint32_t n = 1; n <= 5; n++)
        about(f, EVENT_START_FAILED, 0, n, false);
    assert_int_equal(view(f, 0).start_failures, 1);
    fixture_free(f);
}

static void test_not_ready_in_time(void **state)
{
    struct fixture *f = fixture_new(1);
    configure(f);
    f->now_us += 30 * SEC - 1;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    f->now_us += 1;
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    assert_non_null(strstr(view(f, 0).trouble, "is not ready within 30s"));
    f->now_us += SEC;
    tick(f);
    assert_int_equal(number_of(f, ACTION_START, 0), 2);
    fixture_free(f);
}

static void test_ill_well_and_replaced(void **state)
{
    struct fixture *f = fixture_ready(2);
    for (int n = 0; n < 3; n++)
        about(f, EVENT_PROBE, 0, 1, false);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_FAILING);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    assert_int_equal(said(f, ACTION_ALERT), 1);
    assert_int_equal(said(f, ACTION_START), 0); /* its replacement is itself, for now */
    about(f, EVENT_PROBE, 0, 1, true);
    about(f, EVENT_PROBE, 0, 1, true);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_READY);
    for (int n = 0; n < 3; n++)
        about(f, EVENT_PROBE, 0, 1, false);
    f->now_us += 60 * SEC;
    tick(f);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 1);
    assert_int_equal(view(f, 0).starting, 1);
    fixture_free(f);
}

/* All of them ill at once is seldom their own fault: one by one until one is well. */
static void test_all_ill_go_one_by_one(void **state)
{
    struct fixture *f = fixture_ready(3);
    f->services[0].max = 3;
    f->services[0].min = 3;
    configure(f);
    for (uint32_t number = 1; number <= 3; number++) {
        for (int n = 0; n < 3; n++)
            about(f, EVENT_PROBE, 0, number, false);
    }
    f->now_us += 60 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_DRAIN), 1);
    uint32_t drained = number_of(f, ACTION_DRAIN, 0);
    f->now_us += SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_DRAIN), 0);
    assert_true(control_next_us(f->c) > f->now_us); /* nobody is waiting for what cannot be */
    assert_int_equal(view(f, 0).failing, 2);
    uint32_t well = drained % 3 + 1; /* another one recovers by itself */
    about(f, EVENT_PROBE, 0, well, true);
    about(f, EVENT_PROBE, 0, well, true);
    assert_int_equal(state_of(f, 0, well), INSTANCE_READY);
    assert_int_equal(said(f, ACTION_DRAIN), 1); /* now the last of them is plainly ill itself */
    fixture_free(f);
}

/* Law 1's last sentence, all the way: a floor, said so, and nothing that scales in. */
static void test_fallback(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].initial = 2;
    f->services[0].rules[0].fallback_after_us = 5 * SEC;
    f->services[0].rules[0].fallback = 4;
    configure(f);
    all_ready(f, 0);
    for (int n = 0; n < 12; n++)
        second(f, 0, 15);
    for (int n = 0; n < 5; n++)
        second(f, 0, -1);
    assert_int_equal(view(f, 0).desired, 2);
    for (int n = 0; n < 2; n++)
        second(f, 0, -1);
    assert_int_equal(view(f, 0).desired, 4);
    const struct decision *d = control_decision(f->c, 0);
    assert_string_equal(
        d->opinions[0].opinion.text,
        "concurrency has been unknown for 6s: falls back to at least 4, no scale-in");
    all_ready(f, 0);
    for (int n = 0; n < 60; n++)
        second(f, 0, -1);
    assert_int_equal(view(f, 0).desired, 4);
    for (int n = 0; n < 9; n++)
        second(f, 0, 15);
    assert_int_equal(view(f, 0).desired, 4); /* the window is not known all of it yet */
    for (int n = 0; n < 4; n++)
        second(f, 0, 15);
    assert_int_equal(view(f, 0).desired, 2);
    fixture_free(f);
}

/* A thousand rings a second do not make the window shorter. */
static void test_doorbells_leave_the_window(void **state)
{
    struct fixture *f = fixture_ready(10);
    f->services[0].window_in_us = 60 * SEC;
    configure(f);
    for (int n = 0; n < 70; n++)
        second(f, 0, 100);
    for (int n = 0; n < 13000; n++) {
        f->now_us += SEC / 1000;
        ring(f, 0, 10, 0);
    }
    tick(f);
    assert_int_equal(view(f, 0).desired, 9); /* 80 on average, not 10 */
    fixture_free(f);
}

static void test_drain_comes_before_stop(void **state)
{
    struct fixture *f = fixture_ready(3);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    assert_int_equal(said(f, ACTION_DRAIN), 2);
    assert_int_equal(said(f, ACTION_STOP), 0);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 3); /* the newest goes first */
    about(f, EVENT_DRAINED, 0, 3, false);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 3);
    f->now_us += 20 * SEC;
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 2);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false); /* a draining one does not come back */
    assert_int_equal(number_of(f, ACTION_START, 0), 4);
    f->now_us += 60 * SEC; /* no exit was reported: asked again */
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 3); /* and 4 was not ready in time */
    fixture_free(f);
}

/* New template or restart: one more, ready, then one less; ready never below three. */
static void replace_all(struct fixture *f)
{
    for (int round = 0; round < 3; round++) {
        assert_int_equal(said(f, ACTION_START), 1);
        uint32_t fresh = number_of(f, ACTION_START, 0);
        tick(f);
        assert_int_equal(f->actions.count, 0);
        about(f, EVENT_PROBE, 0, fresh, true);
        assert_int_equal(said(f, ACTION_DRAIN), 1);
        assert_true(number_of(f, ACTION_DRAIN, 0) <= 3);
        assert_int_equal(view(f, 0).ready, 3);
    }
    assert_int_equal(said(f, ACTION_START), 0);
}

static void test_template_change_replaces(void **state)
{
    struct fixture *f = fixture_ready(3);
    operate(f, OPERATOR_SCALE, 0, 0, 3, false);
    f->services[0].template = 8;
    configure(f);
    replace_all(f);
    fixture_free(f);
}

static void test_restart_replaces(void **state)
{
    struct fixture *f = fixture_ready(3);
    operate(f, OPERATOR_SCALE, 0, 0, 3, false);
    operate(f, OPERATOR_RESTART, 0, 0, 0, false);
    replace_all(f);
    fixture_free(f);
}

static void test_operator_drains_and_protects(void **state)
{
    struct fixture *f = fixture_ready(3);
    operate(f, OPERATOR_PROTECT, 0, 3, 0, true);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 2);
    operate(f, OPERATOR_DRAIN, 0, 1, 0, false);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 1);
    assert_int_equal(said(f, ACTION_START), 1); /* the count is as it was */
    operate(f, OPERATOR_DRAIN, 0, 77, 0, false);
    assert_int_equal(f->rc, -EINVAL);
    fixture_free(f);
}

static void test_restart_without_memory_adopts(void **state)
{
    struct fixture *f = fixture_new(1);
    about(f, EVENT_RESTART, -1, 0, false);
    configure(f);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_FOUND, 0, 4, true);
    about(f, EVENT_FOUND, 0, 9, true);
    about(f, EVENT_FOUND, 0, 6, false);
    ring(f, 0, 0, 90);
    assert_int_equal(said(f, ACTION_START), 0); /* not before the list is complete */
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    assert_int_equal(view(f, 0).ready, 2);
    assert_int_equal(said(f, ACTION_START), 6);
    assert_int_equal(number_of(f, ACTION_START, 0), 10);
    assert_int_equal(said(f, ACTION_DRAIN), 0);
    fixture_free(f);
}

static void test_restart_with_memory(void **state)
{
    struct fixture *f = fixture_ready(3);
    about(f, EVENT_RESTART, -1, 0, false);
    about(f, EVENT_FOUND, 0, 1, true);
    about(f, EVENT_FOUND, 0, 3, true);
    assert_int_equal(view(f, 0).ready, 3);
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    assert_int_equal(state_of(f, 0, 2), INSTANCE_GONE);
    assert_int_equal(number_of(f, ACTION_START, 0), 4);
    assert_int_equal(view(f, 0).start_failures, 0); /* nobody's fault */
    fixture_free(f);
}

static void test_clock_of_another_boot(void **state)
{
    struct fixture *f = fixture_ready(2);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    f->now_us = 5 * SEC;
    about(f, EVENT_RESTART, -1, 0, false);
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    assert_int_equal(said(f, ACTION_START), 2);
    assert_int_equal(control_decision(f->c, 0)->now_us, 5 * SEC);
    fixture_free(f);
}

/* Two services of two instances each, the second one without a place in the configuration any more,
 * and its instance 2 gone while the controller was away. */
static struct fixture *restarted_while_leaving(void)
{
    struct fixture *f = fixture_new(2);
    for (int32_t n = 0; n < 2; n++)
        f->services[n].initial = f->services[n].min = 2;
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    f->conf.service_count = 1;
    configure(f);
    assert_int_equal(said(f, ACTION_DRAIN), 2);
    about(f, EVENT_RESTART, -1, 0, false);
    for (uint32_t number = 1; number <= 2; number++)
        about(f, EVENT_FOUND, 0, number, true);
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    return f;
}

static void test_leaving_goes_on_draining_after_a_restart(void **state)
{
    struct fixture *f = restarted_while_leaving();
    about(f, EVENT_FOUND, 1, 1, true);
    assert_int_equal(said(f, ACTION_STOP), 0);
    about(f, EVENT_FOUND_ALL, 1, 0, false);
    assert_int_equal(state_of(f, 1, 1), INSTANCE_DRAINING);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 1); /* the proxy may be a new one: again */
    assert_int_equal(said(f, ACTION_STOP), 0);
    assert_int_equal(state_of(f, 1, 2), INSTANCE_GONE);
    about(f, EVENT_DRAINED, 1, 1, false);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    about(f, EVENT_EXITED, 1, 1, false);
    assert_int_equal(said(f, ACTION_FORGET), 1);
    assert_int_equal(control_find(f->c, "b"), -1);
    fixture_free(f);
}

/* Listed, it need not wait; and what drains does not come back. */
static void test_leaving_comes_back_after_a_restart(void **state)
{
    struct fixture *f = restarted_while_leaving();
    about(f, EVENT_FOUND, 1, 1, true);
    about(f, EVENT_FOUND_ALL, 1, 0, false);
    f->conf.service_count = 2;
    configure(f);
    assert_int_equal(control_find(f->c, "b"), 1); /* what is left of it is its own */
    assert_int_equal(said(f, ACTION_START), 2);
    assert_int_equal(number_of(f, ACTION_START, 0), 3);
    assert_int_equal(state_of(f, 1, 1), INSTANCE_DRAINING);
    all_ready(f, 1);
    assert_int_equal(view(f, 1).ready, 2);
    about(f, EVENT_DRAINED, 1, 1, false);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    about(f, EVENT_EXITED, 1, 1, false);
    assert_int_equal(said(f, ACTION_FORGET), 0);
    assert_int_equal(said(f, ACTION_START), 0);
    fixture_free(f);
}

/* Back before the list is complete: it starts with the list, not with the time-out. */
static void test_leaving_comes_back_before_the_list(void **state)
{
    struct fixture *f = restarted_while_leaving();
    f->conf.service_count = 2;
    configure(f);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_FOUND, 1, 1, true);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_FOUND_ALL, 1, 0, false);
    assert_int_equal(said(f, ACTION_START), 2);
    fixture_free(f);
}

/* However long it is away after a restart: what comes meanwhile waits for the list too. */
static void test_configured_while_the_engine_is_away(void **state)
{
    struct fixture *f = fixture_new(1);
    about(f, EVENT_RESTART, -1, 0, false);
    configure(f);
    about(f, EVENT_DRIVER, -1, 0, false);
    f->now_us += 40 * SEC;
    tick(f);
    f->conf.service_count = 2;
    service_default(&f->services[1], "b");
    configure(f);
    about(f, EVENT_DRIVER, -1, 0, true);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_FOUND, 1, 1, true);
    assert_int_equal(said(f, ACTION_START), 0);
    about(f, EVENT_FOUND_ALL, 1, 0, true);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_int_equal(view(f, 1).ready, 1);
    fixture_free(f);
}

static void test_engine_away(void **state)
{
    struct fixture *f = fixture_ready(2);
    about(f, EVENT_DRIVER, 0, 0, false);
    assert_int_equal(said(f, ACTION_ALERT), 1);
    ring(f, 0, 40, 0);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_int_equal(said(f, ACTION_RECORD), 1); /* decisions go on */
    assert_int_equal(view(f, 0).desired, 4);
    assert_int_equal(view(f, 0).starting, 2);
    about(f, EVENT_DRIVER, 0, 0, true);
    assert_int_equal(said(f, ACTION_START), 2);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_needs_the_probe),
        cmocka_unit_test(test_crash_loop_backs_off),
        cmocka_unit_test(test_why_a_start_failed),
        cmocka_unit_test(test_trouble_lasts_until_all_are_ready),
        cmocka_unit_test(test_trouble_texts),
        cmocka_unit_test(test_first_crash_is_replaced_at_once),
        cmocka_unit_test(test_failing_together_is_one_failure),
        cmocka_unit_test(test_not_ready_in_time),
        cmocka_unit_test(test_ill_well_and_replaced),
        cmocka_unit_test(test_all_ill_go_one_by_one),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_doorbells_leave_the_window),
        cmocka_unit_test(test_drain_comes_before_stop),
        cmocka_unit_test(test_template_change_replaces),
        cmocka_unit_test(test_restart_replaces),
        cmocka_unit_test(test_operator_drains_and_protects),
        cmocka_unit_test(test_restart_without_memory_adopts),
        cmocka_unit_test(test_restart_with_memory),
        cmocka_unit_test(test_clock_of_another_boot),
        cmocka_unit_test(test_engine_away),
        cmocka_unit_test(test_configured_while_the_engine_is_away),
        cmocka_unit_test(test_leaving_goes_on_draining_after_a_restart),
        cmocka_unit_test(test_leaving_comes_back_after_a_restart),
        cmocka_unit_test(test_leaving_comes_back_before_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
