/* What each algorithm promises beyond what all of them do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "unit/balance/world.h"

static void round_robin_goes_in_order(void **state)
{
    struct world w;
    world_init(&w, "round-robin", 3);
    w.candidates[1].weight = 1000; /* no matter */
    for (int n = 0; n < 9; n++)
        assert_int_equal(world_pick(&w), n % 3);
    w.candidates[1].usable = false;
    assert_int_equal(world_pick(&w), 0);
    assert_int_equal(world_pick(&w), 2);
    assert_int_equal(world_pick(&w), 0);
}

/* The sequence that nginx's documentation of the algorithm gives for weights 5, 1, 1. */
static void weighted_round_robin_is_smooth(void **state)
{
    static const int expected[] = { 0, 0, 1, 0, 2, 0, 0 };
    struct world w;
    world_init(&w, "weighted-round-robin", 3);
    w.candidates[0].weight = 5;
    for (size_t n = 0; n < 5 * ARRAY_LEN(expected); n++)
        assert_int_equal(world_pick(&w), expected[n % ARRAY_LEN(expected)]);
}

static void weighted_round_robin_is_exact(void **state)
{
    struct world w;
    world_init(&w, "weighted-round-robin", 3);
    w.candidates[0].weight = 1;
    w.candidates[1].weight = 300;
    w.candidates[2].weight = 1000;
    world_pick_many(&w, 13010);
    assert_int_equal(w.picked[0], 10);
    assert_int_equal(w.picked[1], 3000);
    assert_int_equal(w.picked[2], 10000);
}

static void least_conn_takes_the_least_loaded(void **state)
{
    static const struct {
        uint32_t in_flight[3], weight[3];
        int expected;
    } cases[] = {
        { { 3, 2, 3 }, { 1, 1, 1 }, 1 },
        { { 4, 2, 3 }, { 4, 1, 1 }, 0 },
        { { 4, 2, 1 }, { 1, 1, 1 }, 2 },
        { { 10, 6, 3 }, { 1000, 500, 1 }, 0 },
        { { UINT32_MAX, UINT32_MAX - 1, UINT32_MAX }, { 1000, 1000, 1000 }, 1 },
    };
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct world w;
        world_init(&w, "least-conn", 3);
        for (size_t i = 0; i < 3; i++) {
            w.in_flight[i] = cases[c].in_flight[i];
            w.candidates[i].weight = cases[c].weight[i];
        }
        for (int n = 0; n < 5; n++)
            assert_int_equal(world_pick(&w), cases[c].expected);
    }
}

static void least_conn_counts_tunnels(void **state)
{
    static _Atomic uint32_t tunnels[2] = { 3, 1 };
    struct world w;
    world_init(&w, "least-conn", 2);
    w.candidates[0].tunnels = &tunnels[0];
    w.candidates[1].tunnels = &tunnels[1];
    for (int n = 0; n < 3; n++)
        assert_int_equal(world_pick(&w), 1);
}

static void least_conn_rotates_ties(void **state)
{
    struct world w;
    world_init(&w, "least-conn", 4);
    w.in_flight[1] = 1;
    static const int expected[] = { 0, 2, 3, 0, 2, 3 };
    for (size_t n = 0; n < ARRAY_LEN(expected); n++)
        assert_int_equal(world_pick(&w), expected[n]);
}

static void least_conn_spares_slow_starters(void **state)
{
    struct world w;
    world_init(&w, "least-conn", 2);
    w.balance.slow_start_us = 10 * US_PER_S;
    w.candidates[0].ready_us = w.request.now_us; /* counts a tenth: 1 there is like 10 here */
    w.in_flight[0] = 1;
    w.in_flight[1] = 9;
    assert_int_equal(world_pick(&w), 1);
    w.in_flight[1] = 11;
    assert_int_equal(world_pick(&w), 0);
}

/* With requests that stay, two choices keep the fullest close to the mean; one choice does not. */
static void random_two_keeps_loads_close(void **state)
{
    struct world w;
    world_init(&w, "random-two", 50);
    for (int n = 0; n < 5000; n++)
        w.in_flight[world_pick(&w)]++;
    for (size_t i = 0; i < 50; i++)
        assert_in_range(w.in_flight[i], 94, 106);
}

static void random_two_never_takes_the_most_loaded(void **state)
{
    struct world w;
    world_init(&w, "random-two", 3);
    w.in_flight[1] = 5;
    world_pick_many(&w, 1000);
    assert_int_equal(w.picked[1], 0);
    assert_in_range(w.picked[0], 420, 580);
}

/* With nothing to choose by load, both draws go by weight. */
static void random_two_draws_by_weight(void **state)
{
    static const uint32_t weights[] = { 1, 2, 7 };
    struct world w;
    world_init(&w, "random-two", 3);
    for (size_t i = 0; i < 3; i++)
        w.candidates[i].weight = weights[i];
    balance_prepare(&w.balance, w.balance.ops, w.candidates, 3, 0, NULL);
    world_pick_many(&w, 10000); /* none is loaded: the first draw stays */
    assert_in_range(w.picked[0], 850, 1150);
    assert_in_range(w.picked[1], 1800, 2200);
    assert_in_range(w.picked[2], 6700, 7300);
    /* One that is far heavier than the many others: few draws are had at once. */
    world_init(&w, "random-two", 50);
    w.candidates[0].weight = 1000;
    balance_prepare(&w.balance, w.balance.ops, w.candidates, 50, 0, NULL);
    world_pick_many(&w, 10000);
    assert_in_range(w.picked[0], 9300, 9700); /* 1000 of 1049 */
}

#define CLIENTS 5000

/* The number of the instance that each client goes to. */
static void map_clients(struct world *w, uint32_t ret_numbers[CLIENTS])
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        uint8_t ip[16] = { 0x20, 0x01, 0x0d, 0xb8, [14] = (uint8_t)(c >> 8), [15] = (uint8_t)c };
        w->request.client_ip = (struct slice){ (const char *)ip, c % 2 ? 16 : 4 };
        if (c % 2 == 0)
            memcpy(ip, &c, 4);
        ret_numbers[c] = w->candidates[world_pick(w)].number;
    }
}

static void ip_hash_is_the_same_every_time(void **state)
{
    static uint32_t first[CLIENTS], again[CLIENTS];
    struct world w;
    world_init(&w, "ip-hash", 8);
    map_clients(&w, first);
    for (size_t i = 0; i < 8; i++)
        w.in_flight[i] = (uint32_t)i * 100; /* load says nothing */
    map_clients(&w, again);
    assert_memory_equal(first, again, sizeof(first));
}

/* Taking one away moves its clients and no others; they come to all the rest. The limit, a retry
 * and an ejection are the same as being away. */
static void ip_hash_moves_only_whom_it_must(void **state)
{
    static uint32_t before[CLIENTS], after[CLIENTS];
    static const uint64_t tried = BIT(3);
    for (int how = 0; how < 4; how++) {
        struct world w;
        unsigned came[10] = { 0 }, moved = 0;
        world_init(&w, "ip-hash", 8);
        map_clients(&w, before);
        w.candidates[3].usable = how != 0;
        w.in_flight[3] = how == 1 ? 9 : 0;
        w.request.max_concurrency = 9;
        w.request.tried = how == 2 ? &tried : NULL;
        if (how == 3) {
            memmove(&w.candidates[3], &w.candidates[4], 4 * sizeof(w.candidates[0]));
            w.balance.count--;
        }
        map_clients(&w, after);
        for (int c = 0; c < CLIENTS; c++) {
            assert_true(before[c] == after[c] || before[c] == 4);
            moved += before[c] != after[c];
            came[after[c]] += before[c] != after[c];
        }
        assert_in_range(moved, CLIENTS / 8 * 85 / 100, CLIENTS / 8 * 115 / 100);
        for (size_t number = 1; number <= 8; number++)
            assert_true(number == 4 || came[number] > moved / 7 / 2);
    }
}

static void ip_hash_gives_a_newcomer_its_share(void **state)
{
    static uint32_t before[CLIENTS], after[CLIENTS];
    struct world w;
    unsigned moved = 0;
    world_init(&w, "ip-hash", 10);
    w.balance.count = 9;
    map_clients(&w, before);
    w.balance.count = 10;
    map_clients(&w, after);
    for (int c = 0; c < CLIENTS; c++) {
        assert_true(before[c] == after[c] || after[c] == 10);
        moved += before[c] != after[c];
    }
    assert_in_range(moved, CLIENTS / 10 * 85 / 100, CLIENTS / 10 * 115 / 100);
}

static void ip_hash_honours_weight(void **state)
{
    static uint32_t before[CLIENTS], after[CLIENTS];
    struct world w;
    world_init(&w, "ip-hash", 4);
    map_clients(&w, before);
    memset(w.picked, 0, sizeof(w.picked));
    w.candidates[2].weight = 5;
    map_clients(&w, after);
    assert_in_range(w.picked[2], CLIENTS * 5 / 8 * 95 / 100, CLIENTS * 5 / 8 * 105 / 100);
    for (int c = 0; c < CLIENTS; c++) /* more weight takes clients and gives none away */
        assert_true(before[c] == after[c] || after[c] == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_goes_in_order),
        cmocka_unit_test(weighted_round_robin_is_smooth),
        cmocka_unit_test(weighted_round_robin_is_exact),
        cmocka_unit_test(least_conn_takes_the_least_loaded),
        cmocka_unit_test(least_conn_counts_tunnels),
        cmocka_unit_test(least_conn_rotates_ties),
        cmocka_unit_test(least_conn_spares_slow_starters),
        cmocka_unit_test(random_two_keeps_loads_close),
        cmocka_unit_test(random_two_never_takes_the_most_loaded),
        cmocka_unit_test(random_two_draws_by_weight),
        cmocka_unit_test(ip_hash_is_the_same_every_time),
        cmocka_unit_test(ip_hash_moves_only_whom_it_must),
        cmocka_unit_test(ip_hash_gives_a_newcomer_its_share),
        cmocka_unit_test(ip_hash_honours_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
