/* The instance's life: every move that is allowed, and that no other is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/decision.h"
#include "core/event.h"
#include "core/model.h"

static const char allowed[INSTANCE_STATE_MAX][INSTANCE_STATE_MAX + 1] = {
    /* to: pending, starting, warming, ready, failing, standby, draining, stopping, gone */
    [INSTANCE_PENDING] = ".x......x",  [INSTANCE_STARTING] = "..xx.x.xx",
    [INSTANCE_WARMING] = "...x...xx",  [INSTANCE_READY] = "....x.x.x",
    [INSTANCE_FAILING] = "...x..x.x",  [INSTANCE_STANDBY] = "...x...xx",
    [INSTANCE_DRAINING] = ".......xx", [INSTANCE_STOPPING] = "........x",
    [INSTANCE_GONE] = "x........",
};

static void test_allowed_moves(void **state)
{
    for (int from = 0; from < INSTANCE_STATE_MAX; from++) {
        for (int to = 0; to < INSTANCE_STATE_MAX; to++) {
            if (allowed[from][to] != 'x')
                continue;
            struct instance i = { .state = (enum instance_state)from };
            instance_move(&i, (enum instance_state)to, 77);
            assert_int_equal(i.state, to);
            assert_int_equal(i.state_us, 77);
        }
    }
}

static void test_ready_is_remembered_once(void **state)
{
    struct instance i = { .state = INSTANCE_STARTING };
    instance_move(&i, INSTANCE_READY, 10);
    instance_move(&i, INSTANCE_FAILING, 20);
    instance_move(&i, INSTANCE_READY, 30);
    assert_int_equal(i.ready_us, 10);
    assert_int_equal(i.state_us, 30);
}

static void test_what_counts(void **state)
{
    for (int s = 0; s < INSTANCE_STATE_MAX; s++) {
        struct instance i = { .state = (enum instance_state)s };
        bool leaving = s == INSTANCE_DRAINING || s == INSTANCE_STOPPING || s == INSTANCE_GONE;
        assert_int_equal(instance_counts(&i), !leaving);
    }
}

static void test_outdated(void **state)
{
    struct instance i = { .state = INSTANCE_READY, .template = 5 };
    assert_false(instance_outdated(&i, 5));
    assert_true(instance_outdated(&i, 6));
    i.replace = true;
    assert_true(instance_outdated(&i, 5));
    i.protected_ = true;
    assert_false(instance_outdated(&i, 6));
    i = (struct instance){ .state = INSTANCE_DRAINING, .template = 5 };
    assert_false(instance_outdated(&i, 6));
}

static void test_everything_has_a_name(void **state)
{
    for (int n = 0; n < INSTANCE_STATE_MAX; n++)
        assert_string_not_equal(instance_state_name((enum instance_state)n), "unknown");
    for (int n = 0; n < EVENT_TYPE_MAX; n++)
        assert_string_not_equal(event_type_name((enum event_type)n), "unknown");
    for (int n = 0; n < OPERATOR_MAX; n++)
        assert_string_not_equal(operator_op_name((enum operator_op)n), "unknown");
    for (int n = 0; n < LIMIT_KIND_MAX; n++)
        assert_string_not_equal(limit_kind_name((enum limit_kind)n), "unknown");
    assert_string_equal(event_type_name(EVENT_TYPE_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_moves),
        cmocka_unit_test(test_ready_is_remembered_once),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_outdated),
        cmocka_unit_test(test_everything_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
