/* What engines differ in: those that choose who goes, those that can change what runs. */
#include <errno.h>

#include "control_fixture.h"
#include "core/control_operator.h"

/* A service of an engine that chooses, with `count` ready instances. */
static struct fixture *chosen(int32_t count)
{
    struct fixture *f = fixture_new(1);
    f->services[0].can_choose_victim = false;
    f->services[0].initial = count;
    configure(f);
    all_ready(f, 0);
    operate(f, OPERATOR_SCALE, 0, 0, count, false);
    assert_int_equal(view(f, 0).ready, count);
    return f;
}

static void test_one_fewer(void **state)
{
    struct fixture *f = chosen(3);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    assert_int_equal(said(f, ACTION_DRAIN), 0);
    assert_int_equal(said(f, ACTION_STOP), 1);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 3);
    assert_int_equal(said(f, ACTION_PUBLISH), 0); /* it goes on until the engine has said whom */
    assert_int_equal(view(f, 0).ready, 3);
    about(f, EVENT_LEAVING, 0, 1, false);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_DRAINING);
    assert_int_equal(state_of(f, 0, 3), INSTANCE_READY);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    assert_int_equal(f->actions.count, 1); /* neither drained nor stopped by us, nor replaced */
    about(f, EVENT_DRAINED, 0, 1, false);
    assert_int_equal(said(f, ACTION_STOP), 0);
    about(f, EVENT_EXITED, 0, 1, false);
    assert_string_equal(view(f, 0).trouble, "");
    assert_int_equal(view(f, 0).instance_count, 3);
    assert_int_equal(view(f, 0).ready, 2);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false); /* the candidate may be another one, or itself */
    assert_int_equal(number_of(f, ACTION_STOP, 0), 3);
    about(f, EVENT_LEAVING, 0, 3, false);
    about(f, EVENT_EXITED, 0, 3, false);
    assert_int_equal(view(f, 0).ready, 1);
    assert_int_equal(said(f, ACTION_START), 0);
    fixture_free(f);
}

/* Two requests are two answers, whomever they take. */
static void test_two_fewer(void **state)
{
    struct fixture *f = chosen(4);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 4);
    assert_int_equal(number_of(f, ACTION_STOP, 1), 3);
    about(f, EVENT_LEAVING, 0, 4, false); /* its own request */
    assert_false(control_instance(f->c, 0, 4)->asked);
    assert_true(control_instance(f->c, 0, 3)->asked);
    about(f, EVENT_LEAVING, 0, 1, false);
    assert_false(control_instance(f->c, 0, 3)->asked);
    assert_int_equal(view(f, 0).ready, 2);
    assert_int_equal(view(f, 0).draining, 2);
    fixture_free(f);
}

/* An answer that does not come: the same request is said again, and no other one. */
static void test_asked_again(void **state)
{
    struct fixture *f = chosen(3);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    f->now_us += 60 * SEC - 1;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    assert_int_equal(control_next_us(f->c), f->now_us + 1);
    f->now_us += 1;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 1);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 3);
    about(f, EVENT_LEAVING, 0, 2, false);
    about(f, EVENT_LEAVING, 0, 2, false);
    f->now_us += 600 * SEC - 1;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    f->now_us += 1;
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 2);
    fixture_free(f);
}

/* Without being asked: what it takes is missing, and comes again. */
static void test_engine_moves_one(void **state)
{
    struct fixture *f = chosen(2);
    about(f, EVENT_LEAVING, 0, 1, false);
    assert_int_equal(number_of(f, ACTION_START, 0), 3);
    assert_string_equal(view(f, 0).trouble, "");
    about(f, EVENT_EXITED, 0, 1, false);
    assert_string_equal(view(f, 0).trouble, "");
    about(f, EVENT_PROBE, 0, 3, true);
    f->now_us += 40 * SEC;
    about(f, EVENT_EXITED, 0, 2, false); /* nobody asked for that: a crash */
    assert_non_null(strstr(view(f, 0).trouble, "a-2 exited"));
    assert_int_equal(number_of(f, ACTION_START, 0), 4);
    about(f, EVENT_FOUND, 0, 9, false); /* the engine was quicker, and has one too many */
    assert_int_equal(view(f, 0).starting, 1 + 1);
    assert_int_equal(said(f, ACTION_STOP), 1);
    fixture_free(f);
}

/* An end that was not announced is a crash, and no answer. */
static void test_crash_is_no_answer(void **state)
{
    struct fixture *f = chosen(3);
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    about(f, EVENT_EXITED, 0, 1, false);
    assert_non_null(strstr(view(f, 0).trouble, "a-1 exited"));
    assert_int_equal(view(f, 0).starting, 1);
    about(f, EVENT_LEAVING, 0, 2, false);
    f->now_us += 300 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    assert_int_equal(state_of(f, 0, 3), INSTANCE_READY);
    about(f, EVENT_EXITED, 0, 2, false);
    assert_int_equal(said(f, ACTION_START), 0);
    fixture_free(f);
}

static void test_answered_while_away(void **state)
{
    struct fixture *f = chosen(3);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    assert_int_equal(said(f, ACTION_STOP), 2);
    about(f, EVENT_RESTART, -1, 0, false);
    about(f, EVENT_FOUND, 0, 2, true);
    about(f, EVENT_FOUND, 0, 3, true);
    about(f, EVENT_LEAVING, 0, 3, false); /* it went while nobody listened, and is still going */
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    assert_int_equal(f->actions.count, 1);
    assert_int_equal(said(f, ACTION_PUBLISH), 1);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_GONE);
    assert_int_equal(state_of(f, 0, 2), INSTANCE_READY);
    assert_int_equal(state_of(f, 0, 3), INSTANCE_DRAINING);
    f->now_us += 300 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    fixture_free(f);
}

static void test_stop_of_all(void **state)
{
    struct fixture *f = chosen(3);
    operate(f, OPERATOR_STOP, -1, 0, 0, false);
    assert_int_equal(said(f, ACTION_STOP), 3);
    assert_int_equal(said(f, ACTION_DRAIN), 0);
    for (uint32_t n = 1; n <= 3; n++) {
        about(f, EVENT_LEAVING, 0, n, false);
        assert_int_equal(said(f, ACTION_STOPPED), 0);
    }
    for (uint32_t n = 1; n <= 3; n++)
        about(f, EVENT_EXITED, 0, n, false);
    assert_int_equal(said(f, ACTION_STOPPED), 1);
    fixture_free(f);
}

static void test_engine_rolls_itself(void **state)
{
    struct fixture *f = chosen(3);
    f->services[0].template = 8;
    configure(f);
    assert_int_equal(said(f, ACTION_START) + said(f, ACTION_STOP) + said(f, ACTION_DRAIN), 0);
    operate(f, OPERATOR_RESTART, 0, 0, 0, false);
    assert_int_equal(f->rc, -ENOTSUP);
    operate(f, OPERATOR_DRAIN, 0, 1, 0, false);
    assert_int_equal(f->rc, -ENOTSUP);
    tick(f);
    assert_int_equal(f->actions.count, 0);
    fixture_free(f);
}

/* Whoever waits for an answer is told before what the core would make of it. */
static void test_asked_before(void **state)
{
    static const struct {
        struct event e;
        int theirs, ours; /* where the engine chooses, and where we do */
    } cases[] = {
        { { .op = OPERATOR_DRAIN, .number = 1 }, -ENOTSUP, 0 },
        { { .op = OPERATOR_DRAIN, .number = 9 }, -ENOENT, -ENOENT },
        { { .op = OPERATOR_PROTECT, .number = 1, .flag = true }, -ENOTSUP, 0 },
        { { .op = OPERATOR_PROTECT, .number = 1 }, 0, 0 },
        { { .op = OPERATOR_RESTART }, -ENOTSUP, 0 },
        { { .op = OPERATOR_SCALE, .count = 3 }, 0, 0 },
        { { .op = OPERATOR_SCALE, .count = -1 }, -EINVAL, -EINVAL },
        { { .op = OPERATOR_SCALE, .service = 3 }, -ENOENT, -ENOENT },
        { { .op = OPERATOR_SCALE, .service = -1 }, -ENOENT, -ENOENT },
        { { .op = OPERATOR_AUTO, .service = -1 }, 0, 0 },
        { { .op = OPERATOR_PAUSE }, 0, 0 },
        { { .op = OPERATOR_STOP, .service = -1 }, 0, 0 },
        { { .op = OPERATOR_MAX }, -EINVAL, -EINVAL },
    };
    struct fixture *f = chosen(2);
    for (int ours = 0; ours < 2; ours++) {
        f->services[0].can_choose_victim = ours;
        configure(f);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            int wanted = ours ? cases[i].ours : cases[i].theirs;
            int rc = control_check_operator(f->c, &cases[i].e);
            if (rc != wanted)
                fail_msg("case %zu of %d: %d", i, ours, rc);
        }
    }
    f->conf.service_count = 0;
    configure(f);
    assert_int_equal(control_check_operator(f->c, &cases[5].e), -ENOENT); /* it leaves */
    fixture_free(f);
}

static void test_cannot_protect(void **state)
{
    struct fixture *f = chosen(2);
    operate(f, OPERATOR_PROTECT, 0, 2, 0, true);
    assert_string_equal(view(f, 0).trouble,
                        "a-2 is protected, but the engine chooses who goes and may take it");
    assert_int_equal(said(f, ACTION_ALERT), 1);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1); /* what can be done for it */
    operate(f, OPERATOR_PROTECT, 0, 2, 0, false);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

/* Neither one that is not ready in time nor one that is ill can be stopped: it is said. */
static void test_ill_ones_are_the_engines(void **state)
{
    struct fixture *f = chosen(2);
    for (int n = 0; n < 3; n++)
        about(f, EVENT_PROBE, 0, 1, false);
    assert_int_equal(state_of(f, 0, 1), INSTANCE_FAILING);
    f->now_us += 3600 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP) + said(f, ACTION_DRAIN), 0);
    assert_true(control_next_us(f->c) > f->now_us);
    operate(f, OPERATOR_SCALE, 0, 0, 3, false);
    f->now_us += 30 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    assert_int_equal(said(f, ACTION_ALERT), 1);
    assert_string_equal(view(f, 0).trouble,
                        "only the engine can replace it: a-3 is not ready within 30s");
    f->now_us += 600 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_ALERT), 0);
    assert_true(control_next_us(f->c) > f->now_us);
    fixture_free(f);
}

/* -- shapes -------------------------------------------------------------------------------------
 */

static struct fixture *shaped(int32_t count)
{
    struct fixture *f = fixture_new(1);
    f->services[0].can_resize = true;
    f->services[0].shape = 11;
    f->services[0].initial = count;
    configure(f);
    all_ready(f, 0);
    operate(f, OPERATOR_SCALE, 0, 0, count, false);
    return f;
}

static void resized(struct fixture *f, uint32_t number, bool done, uint64_t shape)
{
    struct event e = event_at(f, EVENT_RESIZED, 0);
    e.number = number;
    e.flag = done;
    e.shape = shape;
    if (!done)
        str_copy(e.text, sizeof(e.text), "memory is in use");
    send(f, &e);
}

static void reshape(struct fixture *f, uint64_t shape)
{
    f->services[0].shape = shape;
    configure(f);
}

static void test_resize(void **state)
{
    struct fixture *f = shaped(2);
    reshape(f, 12);
    assert_int_equal(said(f, ACTION_RESIZE), 2);
    assert_int_equal(said(f, ACTION_START) + said(f, ACTION_DRAIN), 0); /* it is no replacement */
    resized(f, 1, true, 12);
    assert_int_equal(control_instance(f->c, 0, 1)->shape, 12);
    assert_int_equal(f->actions.count, 0);
    f->now_us += 60 * SEC;
    tick(f); /* of the second nothing was heard */
    assert_int_equal(said(f, ACTION_RESIZE), 1);
    assert_int_equal(number_of(f, ACTION_RESIZE, 0), 2);
    resized(f, 2, true, 0);
    assert_int_equal(control_instance(f->c, 0, 2)->shape, 12);
    f->now_us += 600 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_RESIZE), 0);
    operate(f, OPERATOR_SCALE, 0, 0, 3, false); /* a new one has it from its start */
    about(f, EVENT_STARTED, 0, 3, false);
    assert_int_equal(said(f, ACTION_RESIZE), 0);
    fixture_free(f);
}

/* Changed, and back again before the engine has answered: which of them it has is unknown. */
static void test_resize_and_back(void **state)
{
    struct fixture *f = shaped(1);
    reshape(f, 12);
    assert_int_equal(said(f, ACTION_RESIZE), 1);
    reshape(f, 11);
    assert_int_equal(said(f, ACTION_RESIZE), 1);
    resized(f, 1, true, 12);
    assert_int_equal(said(f, ACTION_RESIZE), 0);
    resized(f, 1, false, 12);
    assert_int_equal(f->actions.count, 0);
    resized(f, 1, true, 11);
    f->now_us += 600 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_RESIZE), 0);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

static void replaced_one_by_one(struct fixture *f)
{
    assert_int_equal(said(f, ACTION_START), 1);
    assert_int_equal(said(f, ACTION_DRAIN), 0);
    about(f, EVENT_PROBE, 0, number_of(f, ACTION_START, 0), true);
    assert_int_equal(said(f, ACTION_DRAIN), 1);
    assert_int_equal(view(f, 0).ready, 2);
}

static void test_resize_fails(void **state)
{
    struct fixture *f = shaped(2);
    reshape(f, 12);
    resized(f, 1, false, 0);
    assert_int_equal(said(f, ACTION_ALERT), 1);
    assert_string_equal(view(f, 0).trouble,
                        "replaced instead: a-1 cannot be resized: memory is in use");
    replaced_one_by_one(f);
    assert_int_equal(number_of(f, ACTION_DRAIN, 0), 1);
    resized(f, 2, true, 12);
    assert_string_equal(view(f, 0).trouble, "");
    fixture_free(f);
}

/* An engine that cannot: a new shape is as a new template. */
static void test_cannot_resize(void **state)
{
    struct fixture *f = shaped(2);
    f->services[0].can_resize = false;
    reshape(f, 12);
    assert_int_equal(said(f, ACTION_RESIZE), 0);
    replaced_one_by_one(f);
    fixture_free(f);
}

/* What the engine tells of its shape counts; what it does not tell is as configured. */
static void test_found_with_a_shape(void **state)
{
    struct fixture *f = shaped(2);
    about(f, EVENT_RESTART, -1, 0, false);
    reshape(f, 12);
    for (uint32_t n = 1; n <= 3; n++) {
        struct event e = event_at(f, EVENT_FOUND, 0);
        e.number = n;
        e.template = 7;
        e.flag = true;
        e.shape = n == 1 ? 12 : 0;
        send(f, &e);
    }
    about(f, EVENT_FOUND_ALL, 0, 0, false);
    assert_int_equal(said(f, ACTION_RESIZE), 1);
    assert_int_equal(number_of(f, ACTION_RESIZE, 0), 2); /* 3 is new: believed to be right */
    fixture_free(f);
}

/* -- the lease's token --------------------------------------------------------------------------
 */

static void lease(struct fixture *f, bool held, uint64_t token)
{
    struct event e = event_at(f, EVENT_LEASE, -1);
    e.flag = held;
    e.token = token;
    send(f, &e);
}

static uint64_t token_of(struct fixture *f, int32_t count)
{
    operate(f, OPERATOR_SCALE, 0, 0, count, false);
    assert_int_equal(said(f, ACTION_RECORD), 1);
    for (size_t n = 0; n < f->actions.count; n++) {
        if (f->items[n].type == ACTION_RECORD)
            return f->items[n].decision->token;
    }
    return 0;
}

static void test_decisions_carry_the_token(void **state)
{
    struct fixture *f = fixture_ready(2);
    assert_int_equal(token_of(f, 3), 0);
    lease(f, true, 77);
    assert_int_equal(token_of(f, 2), 77);
    lease(f, false, 77);
    operate(f, OPERATOR_SCALE, 0, 0, 5, false);
    assert_int_equal(said(f, ACTION_START) + said(f, ACTION_STOP) + said(f, ACTION_DRAIN), 0);
    lease(f, true, 91);
    assert_int_equal(said(f, ACTION_START), 3);
    assert_int_equal(token_of(f, 4), 91);
    fixture_free(f);
}

/* Another lease without a loss between: what was said under the old one may not have been done. */
static void test_another_token_says_stops_again(void **state)
{
    struct fixture *f = fixture_ready(2);
    lease(f, true, 77);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    about(f, EVENT_DRAINED, 0, 2, false);
    assert_int_equal(said(f, ACTION_STOP), 1);
    lease(f, true, 77);
    assert_int_equal(said(f, ACTION_STOP), 0);
    lease(f, true, 91);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 2);
    fixture_free(f);
}

/* An engine that pulls an image first, or has many before this one, is not too slow an instance. */
static void test_launching_is_not_starting(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].launch_within_us = 600 * SEC;
    configure(f);
    f->now_us += 599 * SEC;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    about(f, EVENT_STARTED, 0, 1, false);
    f->now_us += 30 * SEC - 1;
    tick(f);
    assert_int_equal(said(f, ACTION_STOP), 0);
    f->now_us += 1;
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    assert_non_null(strstr(view(f, 0).trouble, "is not ready within 30s"));
    fixture_free(f);
}

static void test_launching_ends(void **state)
{
    struct fixture *f = fixture_new(1);
    f->services[0].launch_within_us = 600 * SEC;
    configure(f);
    f->now_us += 600 * SEC;
    tick(f);
    assert_int_equal(number_of(f, ACTION_STOP, 0), 1);
    assert_non_null(strstr(view(f, 0).trouble, "does not run within 10m"));
    fixture_free(f);
}

/* A service that comes while all goes on may have been running: it begins with what is found. */
static void test_new_services_are_listed(void **state)
{
    struct fixture *f = fixture_new(2);
    f->conf.service_count = 1;
    configure(f);
    f->conf.service_count = 2;
    struct event e = event_at(f, EVENT_CONFIG, -1);
    e.conf = &f->conf;
    e.flag = true;
    send(f, &e);
    assert_int_equal(said(f, ACTION_START), 0);
    assert_true(view(f, 1).unlisted);
    assert_false(view(f, 0).unlisted);
    for (uint32_t number = 1; number <= 3; number++)
        about(f, EVENT_FOUND, 1, number, true);
    about(f, EVENT_FOUND_ALL, 1, 0, false);
    assert_false(view(f, 1).unlisted);
    assert_int_equal(view(f, 1).desired, 3);
    assert_int_equal(view(f, 1).ready, 3);
    assert_int_equal(said(f, ACTION_START), 0);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launching_is_not_starting),
        cmocka_unit_test(test_launching_ends),
        cmocka_unit_test(test_new_services_are_listed),
        cmocka_unit_test(test_one_fewer),
        cmocka_unit_test(test_two_fewer),
        cmocka_unit_test(test_asked_again),
        cmocka_unit_test(test_engine_moves_one),
        cmocka_unit_test(test_crash_is_no_answer),
        cmocka_unit_test(test_answered_while_away),
        cmocka_unit_test(test_stop_of_all),
        cmocka_unit_test(test_engine_rolls_itself),
        cmocka_unit_test(test_asked_before),
        cmocka_unit_test(test_cannot_protect),
        cmocka_unit_test(test_ill_ones_are_the_engines),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_resize_and_back),
        cmocka_unit_test(test_resize_fails),
        cmocka_unit_test(test_cannot_resize),
        cmocka_unit_test(test_found_with_a_shape),
        cmocka_unit_test(test_decisions_carry_the_token),
        cmocka_unit_test(test_another_token_says_stops_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
