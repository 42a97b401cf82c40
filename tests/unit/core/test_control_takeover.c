/* Another controller goes on where the leader stopped: it has replayed the leader's events, finds
 * what runs, gets the lease, and decides as the leader would have. */
#include "control_fixture.h"

enum { SERVICES = 2 };

/* Two services: one with a `for`, stabilization and a window, one that learns. */
static struct fixture *cluster(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->caps =
        (struct control_caps){ .services = 8, .instances = 40, .points = 120, .words = 65536 };
    f->memory = calloc(1, control_bytes(&f->caps));
    f->c = control_init(f->memory, &f->caps);
    f->now_us = 100 * SEC;
    f->conf.services = f->services;
    f->conf.service_count = SERVICES;
    service_default(&f->services[0], "a");
    service_default(&f->services[1], "b");
    f->services[0].behavior.down.stabilize_us = 60 * SEC;
    f->services[1].behavior.down.stabilize_us = 60 * SEC;
    struct rule_conf *r = &f->services[0].rules[f->services[0].rule_count++];
    r->kind = RULE_THRESHOLD;
    r->threshold = (struct rule_threshold_conf){
        .metric = { .metric = METRIC_QUEUE, .stat = SERIES_AVG, .window_us = 10 * SEC },
        .has_above = true,
        .above = 5,
        .add = 1,
        .for_us = 20 * SEC,
    };
    r = &f->services[1].rules[f->services[1].rule_count++];
    r->kind = RULE_PREDICTIVE;
    r->predictive = (struct rule_predictive_conf){
        .metric = { .metric = METRIC_CONCURRENCY, .stat = SERIES_AVG }, .value = 10
    };
    f->actions = (struct actions){ .items = f->items, .cap = ARRAY_LEN(f->items) };
    return f;
}

/* Both are told the same, as leader and follower are. */
struct pair {
    struct fixture *leader, *follower;
};

static void tell(const struct pair *p, const struct event *e)
{
    send(p->leader, e);
    send(p->follower, e);
    p->follower->now_us = p->leader->now_us;
}

static void pass(const struct pair *p, int32_t seconds, double concurrency)
{
    for (int32_t n = 0; n < seconds; n++) {
        p->leader->now_us += SEC;
        for (int32_t slot = 0; slot < SERVICES; slot++) {
            struct sample samples[] = { { METRIC_CONCURRENCY, 0, concurrency },
                                        { METRIC_QUEUE, 0, 0 } };
            struct event e = event_at(p->leader, EVENT_SAMPLES, slot);
            e.samples = samples;
            e.sample_count = ARRAY_LEN(samples);
            tell(p, &e);
        }
        struct event e = event_at(p->leader, EVENT_TICK, -1);
        tell(p, &e);
    }
}

static void make_ready(const struct pair *p)
{
    for (uint32_t slot = 0; slot < SERVICES; slot++) {
        struct service_view v = view(p->leader, slot);
        for (uint32_t n = 0; n < v.instance_count; n++) {
            struct event e = event_at(p->leader, EVENT_PROBE, (int32_t)slot);
            e.number = v.instances[n].number;
            e.flag = true;
            if (v.instances[n].state == INSTANCE_STARTING)
                tell(p, &e);
        }
    }
}

static struct pair pair_new(void)
{
    struct pair p = { cluster(), cluster() };
    struct event e = event_at(p.leader, EVENT_CONFIG, -1);
    e.conf = &p.leader->conf;
    tell(&p, &e);
    e = event_at(p.leader, EVENT_LEASE, -1);
    e.flag = true;
    e.token = 5;
    tell(&p, &e);
    make_ready(&p);
    for (int n = 0; n < 12; n++) {
        pass(&p, 10, 42);
        make_ready(&p);
    }
    assert_int_equal(view(p.leader, 0).ready, 5);
    return p;
}

static void pair_free(struct pair *p)
{
    fixture_free(p->leader);
    fixture_free(p->follower);
}

/* Nothing but the view changes hands: no start, stop or drain while it does. */
static void quietly(struct fixture *f, const struct event *e)
{
    send(f, e);
    assert_int_equal(f->rc, 0);
    for (size_t n = 0; n < f->actions.count; n++) {
        enum action_type type = f->items[n].type;
        assert_true(type == ACTION_PUBLISH || type == ACTION_RECORD);
        if (type == ACTION_RECORD)
            assert_int_equal(f->items[n].decision->desired, f->items[n].decision->before);
    }
}

static void find_all(struct fixture *f)
{
    for (uint32_t slot = 0; slot < SERVICES; slot++) {
        struct service_view v = view(f, slot);
        for (uint32_t n = 0; n < v.instance_count; n++) {
            struct event e = event_at(f, EVENT_FOUND, (int32_t)slot);
            e.number = v.instances[n].number;
            e.template = 7;
            e.flag = v.instances[n].state == INSTANCE_READY;
            if (v.instances[n].state != INSTANCE_GONE)
                quietly(f, &e);
        }
        struct event e = event_at(f, EVENT_FOUND_ALL, (int32_t)slot);
        quietly(f, &e);
    }
}

static void take_over(struct fixture *f, int64_t away_us)
{
    f->now_us += away_us;
    struct event e = event_at(f, EVENT_RESTART, -1);
    quietly(f, &e);
    find_all(f);
    e = event_at(f, EVENT_LEASE, -1);
    e.flag = true;
    e.token = 6;
    quietly(f, &e);
}

static void test_a_follower_is_the_leader(void **state)
{
    struct pair p = pair_new();
    size_t words = control_save_words(p.leader->c);
    assert_int_equal(words, control_save_words(p.follower->c));
    uint64_t *a = calloc(words, sizeof(*a)), *b = calloc(words, sizeof(*b));
    control_save(p.leader->c, a, words);
    control_save(p.follower->c, b, words);
    assert_memory_equal(a, b, words * sizeof(*a));
    free(a);
    free(b);
    pair_free(&p);
}

/* Constant load: as many before as after, at once and for good. */
static void test_changes_no_decision(void **state)
{
    for (int64_t away_us = 0; away_us <= 6 * SEC; away_us += 3 * SEC) {
        struct pair p = pair_new();
        int32_t desired[SERVICES];
        for (uint32_t n = 0; n < SERVICES; n++)
            desired[n] = view(p.leader, n).desired;
        take_over(p.follower, away_us);
        p.leader->now_us = p.follower->now_us;
        for (int n = 0; n < 300; n++) {
            pass(&p, 1, 42);
            for (uint32_t slot = 0; slot < SERVICES; slot++) {
                assert_int_equal(view(p.follower, slot).desired, desired[slot]);
                assert_int_equal(view(p.follower, slot).starting, 0);
                assert_int_equal(view(p.follower, slot).draining, 0);
            }
        }
        pair_free(&p);
    }
}

/* A scale-in that the leader had waited for: what is unknown for a moment restarts its clocks and
 * no more (law 5), so it comes as late as that makes it: the window of 10 s, stabilization of 60 s.
 */
static void test_windows_go_on(void **state)
{
    struct pair p = pair_new();
    pass(&p, 40, 12); /* 40 of 60 s of stabilization are over */
    assert_int_equal(view(p.leader, 0).desired, 5);
    take_over(p.follower, SEC);
    p.leader->now_us = p.follower->now_us;
    int32_t waited = 0;
    while (view(p.follower, 0).desired == 5 && waited < 100) {
        pass(&p, 1, 12);
        waited++;
    }
    assert_in_range(waited, 10, 72);
    assert_int_equal(view(p.follower, 0).desired, 2);
    pair_free(&p);
}

/* More load is answered at once, by the same count as the leader's. */
static void test_scale_out_is_the_same(void **state)
{
    struct pair p = pair_new();
    take_over(p.follower, SEC);
    p.leader->now_us = p.follower->now_us + 1;
    for (uint32_t slot = 0; slot < SERVICES; slot++) {
        struct event e = event_at(p.leader, EVENT_DOORBELL, (int32_t)slot);
        e.in_flight = 75;
        tell(&p, &e);
        assert_int_equal(view(p.follower, slot).desired, view(p.leader, slot).desired);
        assert_int_equal(view(p.follower, slot).desired, 8);
        assert_int_equal(said(p.follower, ACTION_START), 3);
        assert_int_equal(number_of(p.follower, ACTION_START, 0),
                         number_of(p.leader, ACTION_START, 0));
    }
    pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_follower_is_the_leader),
        cmocka_unit_test(test_changes_no_decision),
        cmocka_unit_test(test_windows_go_on),
        cmocka_unit_test(test_scale_out_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
