/* What holds for every algorithm: nobody is chosen who may not be, everybody who may is, weights
 * and slow start mean what they say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "balance/balance_int.h"
#include "base/util.h"
#include "unit/balance/world.h"

static void finds_algorithms_by_name(void **state)
{
    static const char *const names[] = { "round-robin", "weighted-round-robin", "least-conn",
                                         "random-two", "ip-hash" };
    size_t n = 0;
    for (; balance_all[n]; n++) {
        assert_true(n < ARRAY_LEN(names));
        assert_string_equal(balance_all[n]->name, names[n]);
        assert_ptr_equal(balance_find(slice_of(names[n])), balance_all[n]);
        assert_true(balance_all[n]->help[0]);
    }
    assert_int_equal(n, ARRAY_LEN(names));
    assert_null(balance_find(SLICE("round")));
    assert_null(balance_find(SLICE("")));
}

static void none_when_there_is_none(void **state)
{
    for (size_t a = 0; balance_all[a]; a++) {
        struct world w;
        world_init(&w, balance_all[a]->name, 0);
        assert_int_equal(world_pick(&w), BALANCE_NONE);
        world_init(&w, balance_all[a]->name, 3);
        for (size_t i = 0; i < 3; i++)
            w.candidates[i].usable = false;
        assert_int_equal(world_pick(&w), BALANCE_NONE);
    }
}

/* Five candidates, each out for another reason, and only number 4 left. */
static void chooses_only_whom_it_may(void **state)
{
    for (size_t a = 0; balance_all[a]; a++) {
        struct world w;
        uint64_t tried[1] = { BIT(1) | BIT(4) };
        world_init(&w, balance_all[a]->name, 5);
        w.candidates[0].usable = false;
        w.in_flight[2] = 8;
        w.in_flight[3] = 7;
        w.request.max_concurrency = 8;
        w.request.tried = tried;
        for (int n = 0; n < 200; n++)
            assert_int_equal(world_pick(&w), 3);
        w.in_flight[3] = 8;
        assert_int_equal(world_pick(&w), BALANCE_NONE);
        w.request.max_concurrency = 0;
        world_pick_many(&w, 200);
        assert_true(w.picked[0] + w.picked[1] + w.picked[4] == 0 && w.picked[3] > 200);
    }
}

static void spreads_evenly_over_equals(void **state)
{
    for (size_t a = 0; balance_all[a]; a++) {
        struct world w;
        world_init(&w, balance_all[a]->name, 7);
        world_pick_many(&w, 7000);
        for (size_t i = 0; i < 7; i++)
            assert_in_range(w.picked[i], 880, 1120);
    }
}

static void tried_bitmap_reaches_beyond_one_word(void **state)
{
    struct balance_candidate candidates[130] = { 0 };
    _Atomic uint32_t in_flight = 0;
    uint64_t tried[3] = { UINT64_MAX, UINT64_MAX, 1 };
    struct balance b;
    for (uint32_t i = 0; i < ARRAY_LEN(candidates); i++)
        candidates[i] = (struct balance_candidate){ &in_flight, i, 1, 0, true, 0 };
    for (size_t a = 0; balance_all[a]; a++) {
        struct balance_request r = { .tried = tried };
        balance_prepare(&b, balance_all[a], candidates, ARRAY_LEN(candidates), 0, NULL);
        assert_int_equal(balance_pick(&b, &r), 129);
    }
}

static void weight_grows_with_slow_start(void **state)
{
    static const struct {
        int64_t since_ready_us;
        uint32_t weight;
    } cases[] = {
        { -US_PER_S, 500 },      { 0, 500 },
        { 5 * US_PER_S, 2750 },  { 9 * US_PER_S, 4550 },
        { 10 * US_PER_S, 5000 }, { 500 * US_PER_S, 5000 },
    };
    struct world w;
    world_init(&w, "round-robin", 1);
    w.candidates[0].weight = 5;
    assert_int_equal(balance_weight(&w.balance, 0, w.request.now_us), 5000);
    w.balance.slow_start_us = 10 * US_PER_S;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        w.candidates[0].ready_us = w.request.now_us - cases[i].since_ready_us;
        assert_int_equal(balance_weight(&w.balance, 0, w.request.now_us), cases[i].weight);
    }
    w.candidates[0].weight = 1000;
    assert_int_equal(balance_weight(&w.balance, 0, INT64_MAX), 1000 * 1000);
}

/* One of four is at 10 % of its weight: round-robin, weighted-round-robin, random-two and ip-hash
 * give it less; least-conn sees it in the in-flight counts alone. */
static void slow_start_holds_requests_back(void **state)
{
    static const struct {
        const char *name;
        unsigned lo, hi;
    } cases[] = {
        { "round-robin", 320, 326 }, /* 10000 * 0.1 / 3.1 = 322.6 */
        { "weighted-round-robin", 320, 326 },
        { "random-two", 250, 700 },
        { "ip-hash", 250, 400 },
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct world w;
        world_init(&w, cases[c].name, 4);
        w.balance.slow_start_us = 10 * US_PER_S;
        w.candidates[2].ready_us = w.request.now_us;
        world_pick_many(&w, 10000);
        assert_in_range(w.picked[2], cases[c].lo, cases[c].hi);
    }
}

static void all_in_slow_start_share_evenly(void **state)
{
    for (size_t a = 0; balance_all[a]; a++) {
        struct world w;
        world_init(&w, balance_all[a]->name, 4);
        w.balance.slow_start_us = 10 * US_PER_S;
        for (size_t i = 0; i < 4; i++)
            w.candidates[i].ready_us = w.request.now_us;
        world_pick_many(&w, 4000);
        for (size_t i = 0; i < 4; i++)
            assert_in_range(w.picked[i], 880, 1120);
    }
}

/* A new snapshot every third pick must not always begin with the same instance. */
static void turns_survive_a_new_snapshot(void **state)
{
    static const char *const names[] = { "round-robin", "weighted-round-robin", "least-conn" };
    for (size_t a = 0; a < ARRAY_LEN(names); a++) {
        struct world w;
        struct balance_candidate other[WORLD_MAX];
        world_init(&w, names[a], 5);
        for (int n = 0; n < 100; n++) {
            world_pick_many(&w, 3);
            const struct balance old = w.balance;
            struct balance_candidate *fresh = old.candidates == w.candidates ? other : w.candidates;
            memcpy(fresh, old.candidates, 5 * sizeof(*fresh));
            balance_prepare(&w.balance, old.ops, fresh, 5, 0, &old);
        }
        for (size_t i = 0; i < 5; i++)
            assert_in_range(w.picked[i], 59, 61);
    }
}

static void position_goes_by_number_not_by_index(void **state)
{
    struct world w, shrunk;
    world_init(&w, "round-robin", 5);
    world_pick_many(&w, 3); /* number 4 is next */
    world_init(&shrunk, "round-robin", 4);
    for (uint32_t i = 0; i < 4; i++)
        shrunk.candidates[i].number = i + 2; /* number 1 is gone */
    balance_prepare(&shrunk.balance, w.balance.ops, shrunk.candidates, 4, 0, &w.balance);
    assert_int_equal(shrunk.candidates[world_pick(&shrunk)].number, 4);
    balance_prepare(&shrunk.balance, balance_find(SLICE("least-conn")), shrunk.candidates, 4, 0,
                    &w.balance);
    assert_int_equal(shrunk.balance.next, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_algorithms_by_name),
        cmocka_unit_test(none_when_there_is_none),
        cmocka_unit_test(chooses_only_whom_it_may),
        cmocka_unit_test(spreads_evenly_over_equals),
        cmocka_unit_test(tried_bitmap_reaches_beyond_one_word),
        cmocka_unit_test(weight_grows_with_slow_start),
        cmocka_unit_test(slow_start_holds_requests_back),
        cmocka_unit_test(all_in_slow_start_share_evenly),
        cmocka_unit_test(turns_survive_a_new_snapshot),
        cmocka_unit_test(position_goes_by_number_not_by_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
