/* The simulator's own parts: loads, faults, and that a seed is a run. That the laws can be broken
 * at all is shown by telling the checker of a world in which they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/laws.h"
#include "sim/sim.h"

static void test_same_seed_same_run(void **state)
{
    const struct sim_options options = { .chaos_us = 60 * US_PER_S, .settle_us = 300 * US_PER_S };
    uint64_t seen = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim_report a, b;
        assert_int_equal(sim_run_seed(seed, &options, &a), 0);
        assert_int_equal(sim_run_seed(seed, &options, &b), 0);
        assert_int_equal(a.hash, b.hash);
        assert_int_equal(a.events, b.events);
        assert_int_not_equal(a.hash, seen);
        seen = a.hash;
    }
}

/* Each engine by its name, and each drawn by some seeds. */
static void test_engines(void **state)
{
    static const char *const names[] = { "process", "docker", "swarm", "exec" };
    const struct sim_options options = { .chaos_us = 60 * US_PER_S, .settle_us = 300 * US_PER_S };
    unsigned drawn[ARRAY_LEN(names)] = { 0 };
    uint64_t hash[ARRAY_LEN(names)];
    assert_null(engine_find("ship"));
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        struct sim_report r;
        struct sim_options own = options;
        own.engine = engine_find(names[n]);
        assert_non_null(own.engine);
        assert_int_equal(sim_run_seed(7, &own, &r), 0);
        assert_string_equal(r.engine, names[n]);
        hash[n] = r.hash;
        for (size_t k = 0; k < n; k++)
            assert_int_not_equal(hash[k], hash[n]);
        for (uint64_t seed = 0; seed < 200; seed++)
            drawn[n] += engine_of_seed(seed) == own.engine;
        assert_in_range(drawn[n], 30, 70);
    }
}

static void test_loads(void **state)
{
    struct load l = {
        .low = 10, .high = 50, .period_us = 100 * US_PER_S, .width_us = 5 * US_PER_S
    };
    static const struct {
        enum load_kind kind;
        int64_t at_s;
        double value;
    } cases[] = {
        { LOAD_CONSTANT, 7, 50 }, { LOAD_STEP, 99, 10 },    { LOAD_STEP, 100, 50 },
        { LOAD_SINE, 0, 10 },     { LOAD_SINE, 50, 50 },    { LOAD_SINE, 250, 50 },
        { LOAD_SPIKES, 104, 50 }, { LOAD_SPIKES, 105, 10 },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        l.kind = cases[n].kind;
        assert_float_equal(load_at(&l, cases[n].at_s * US_PER_S), cases[n].value, 1e-9);
    }
}

static void test_faults_come_in_all_mixtures(void **state)
{
    unsigned on[FAULT_KIND_MAX] = { 0 }, none = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct rng r;
        struct faults f;
        rng_init(&r, seed);
        faults_init(&f, &r);
        none += f.on == 0;
        faults_init_later(&f, &r);
        faults_init_engine(&f, &r);
        for (unsigned k = 0; k < FAULT_KIND_MAX; k++)
            on[k] += fault_on(&f, (enum fault_kind)k);
    }
    assert_in_range(none, 50, 150);
    for (unsigned k = 0; k < FAULT_KIND_MAX; k++)
        assert_in_range(on[k], 100, 250);
}

/* -- broken laws are seen -------------------------------------------------------------------------
 */

struct court {
    struct world world;
    struct laws laws;
    struct control *c;
    void *memory;
};

static struct court *court_new(void)
{
    static const struct control_caps caps = { .services = 1, .instances = 4, .points = 10 };
    struct court *x = calloc(1, sizeof(*x));
    x->memory = calloc(1, control_bytes(&caps));
    x->c = control_init(x->memory, &caps);
    world_init(&x->world, 1);
    x->world.service_count = 1;
    laws_init(&x->laws);
    return x;
}

static void judge(struct court *x, enum event_type type, bool flag, enum action_type a,
                  uint32_t number)
{
    struct event e = world_event(&x->world, type, 0);
    e.flag = flag;
    struct action item = { .type = a, .number = number, .deadline_us = US_NEVER };
    struct actions actions = { .items = &item, .cap = 2, .count = a < ACTION_TYPE_MAX };
    laws_check(&x->laws, &x->world, x->c, &e, &actions);
}

static void verdict(struct court *x, const char *law)
{
    assert_string_equal(x->laws.law, law);
    free(x->memory);
    free(x);
}

static void test_start_without_lease(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_LEASE, false, ACTION_TYPE_MAX, 0);
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    verdict(x, "4 lease");
}

static void test_start_before_the_list(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_RESTART, false, ACTION_TYPE_MAX, 0);
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    verdict(x, "5 restart");
}

static void test_number_twice(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    verdict(x, "2 number");
}

static void test_undrained_stop(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    x->laws.entries[0].was_ready = true;
    judge(x, EVENT_TICK, false, ACTION_STOP, 1);
    verdict(x, "4 drain");
}

static void test_stop_before_the_drain_is_over(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    x->laws.entries[0].was_ready = true;
    judge(x, EVENT_TICK, false, ACTION_DRAIN, 1);
    judge(x, EVENT_TICK, false, ACTION_STOP, 1);
    verdict(x, "4 drain");
}

static void test_drain_where_the_engine_chooses(void **state)
{
    struct court *x = court_new();
    world_use_engine(&x->world, engine_find("swarm"));
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    x->laws.entries[0].was_ready = true;
    judge(x, EVENT_TICK, false, ACTION_STOP, 1); /* one fewer: nothing wrong with that */
    assert_string_equal(x->laws.law, "");
    judge(x, EVENT_TICK, false, ACTION_DRAIN, 1);
    verdict(x, "4 drain");
}

static void test_decided_under_another_lease(void **state)
{
    struct court *x = court_new();
    struct event e = world_event(&x->world, EVENT_LEASE, -1);
    struct service_conf conf = { .name = "a", .max = 1 };
    struct model_conf model = { .service_count = 1, .services = &conf };
    struct decision d = { .token = 4, .service = "a" };
    struct action said[CONTROL_ACTIONS_MIN], item = { .type = ACTION_RECORD, .decision = &d };
    struct actions actions = { .items = said, .cap = ARRAY_LEN(said) };
    struct event config = world_event(&x->world, EVENT_CONFIG, -1);
    config.conf = &model;
    control_step(x->c, &config, &actions);
    e.flag = true;
    e.token = 5;
    actions = (struct actions){ .items = &item, .cap = 2, .count = 1 };
    laws_check(&x->laws, &x->world, x->c, &e, &actions);
    verdict(x, "4 token");
}

static void test_resize_without_lease(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_LEASE, false, ACTION_TYPE_MAX, 0);
    judge(x, EVENT_TICK, false, ACTION_RESIZE, 1);
    verdict(x, "4 lease");
}

static void test_action_in_the_calm(void **state)
{
    struct court *x = court_new();
    x->laws.calm = true;
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    verdict(x, "6 calm");
}

static void test_a_good_life(void **state)
{
    struct court *x = court_new();
    judge(x, EVENT_TICK, false, ACTION_START, 1);
    x->laws.entries[0].was_ready = true;
    judge(x, EVENT_TICK, false, ACTION_DRAIN, 1);
    x->laws.entries[0].drained = true;
    judge(x, EVENT_TICK, false, ACTION_STOP, 1);
    judge(x, EVENT_TICK, false, ACTION_START, 2);
    verdict(x, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_faults_come_in_all_mixtures),
        cmocka_unit_test(test_start_without_lease),
        cmocka_unit_test(test_start_before_the_list),
        cmocka_unit_test(test_number_twice),
        cmocka_unit_test(test_undrained_stop),
        cmocka_unit_test(test_stop_before_the_drain_is_over),
        cmocka_unit_test(test_drain_where_the_engine_chooses),
        cmocka_unit_test(test_decided_under_another_lease),
        cmocka_unit_test(test_resize_without_lease),
        cmocka_unit_test(test_action_in_the_calm),
        cmocka_unit_test(test_a_good_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
