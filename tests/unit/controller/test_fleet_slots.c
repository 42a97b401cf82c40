/* The fleet's slots in the gauges: none is given out twice, none is used again before the proxy has
 * let go of it, and a proxy that was there before is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controller/controller_int.h"

static int set_up(void **state)
{
    struct fleet *f = calloc(1, sizeof(*f));
    f->cap = GAUGES_INSTANCES_MAX;
    f->items = calloc(f->cap, sizeof(*f->items));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fleet *f = *state;
    free(f->items);
    free(f);
    return 0;
}

static void test_add_is_idempotent(void **state)
{
    struct fleet_instance *a = fleet_add(*state, 3, 1);
    assert_ptr_equal(fleet_add(*state, 3, 1), a);
    assert_ptr_equal(fleet_find(*state, 3, 1), a);
    assert_null(fleet_find(*state, 4, 1));
    assert_null(fleet_find(*state, 3, 0));
}

static void test_slots_differ_and_run_out(void **state)
{
    static bool seen[GAUGES_INSTANCES_MAX];
    for (uint32_t n = 1; n <= GAUGES_INSTANCES_MAX; n++) {
        uint32_t slot = fleet_add(*state, 0, n)->gauge;
        assert_true(slot < GAUGES_INSTANCES_MAX);
        assert_false(seen[slot]);
        seen[slot] = true;
    }
    assert_null(fleet_add(*state, 0, GAUGES_INSTANCES_MAX + 1));
}

static void test_slot_is_free_only_when_applied(void **state)
{
    struct fleet *f = *state;
    for (uint32_t n = 1; n <= GAUGES_INSTANCES_MAX; n++)
        fleet_add(f, 0, n);
    uint32_t slot = fleet_find(f, 0, 7)->gauge;
    fleet_remove(f, fleet_find(f, 0, 7), 100);
    assert_int_equal(fleet_add(f, 1, 1)->gauge, UINT32_MAX);
    fleet_remove(f, fleet_find(f, 1, 1), 100);
    fleet_applied(f, 99);
    assert_int_equal(fleet_add(f, 1, 2)->gauge, UINT32_MAX);
    fleet_remove(f, fleet_find(f, 1, 2), 100);
    fleet_applied(f, 100);
    assert_int_equal(fleet_add(f, 1, 3)->gauge, slot);
}

static void test_takes_the_slots_that_the_proxy_uses(void **state)
{
    struct fleet *f = *state;
    struct gauges *g = calloc(1, sizeof(*g));
    fleet_add(f, 0, 1); /* slot 0 */
    fleet_add(f, 0, 2); /* slot 1 */
    g->instance[1].number = 1;
    g->instance[900].number = 2;
    g->instance[901].number = 3; /* of which we know nothing */
    fleet_take_gauges(f, g);
    assert_int_equal(fleet_find(f, 0, 1)->gauge, 1);
    assert_int_equal(fleet_find(f, 0, 2)->gauge, 900);
    assert_int_equal(fleet_add(f, 0, 4)->gauge, 2);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add_is_idempotent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slots_differ_and_run_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slot_is_free_only_when_applied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takes_the_slots_that_the_proxy_uses, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
