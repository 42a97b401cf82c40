/* The swarm driver against a Swarm that the test plays: which task is whose, when replicas change
 * and when they must not, and what the core is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/swarm/swarm.h"
#include "sys/clock.h"

#include "unit/drivers/fake_swarm.h"

#define SLOT 3
#define EVENTS_MAX 4096
#define WITHIN_US (20 * US_PER_S)

static struct rig {
    uv_loop_t loop;
    uv_timer_t heart;
    void *driver;
    bool may_act;
    uint64_t token;
    uint32_t number; /* the newest that number_of() has given */
    char refs[64][16];
    size_t count;
    struct event events[EVENTS_MAX];
    char addresses[EVENTS_MAX][64];
    char trouble[300];
    int discovered;
    struct swarm_conf conf;
    struct swarm_engine_conf engine;
    struct driver_service service;
} rig;

static const struct provision_ops *const ops = &provision_swarm;

static void on_emit(void *ctx, const struct event *e)
{
    assert_true(rig.count < EVENTS_MAX);
    str_copy(rig.addresses[rig.count], 64, e->address ? e->address : "");
    if (e->ref && e->number < ARRAY_LEN(rig.refs))
        str_copy(rig.refs[e->number], 16, e->ref);
    rig.number = MAX(rig.number, e->number);
    rig.events[rig.count++] = *e;
}

static bool on_may_act(void *ctx)
{
    assert_ptr_equal(ctx, &rig);
    return rig.may_act;
}

static uint64_t on_token(void *ctx)
{
    return rig.token;
}

static uint32_t on_number_of(void *ctx, uint32_t slot, const char *ref)
{
    assert_int_equal(slot, SLOT);
    for (uint32_t n = 1; n < ARRAY_LEN(rig.refs); n++)
        if (strcmp(rig.refs[n], ref) == 0)
            return n;
    return ++rig.number;
}

static void on_note(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    str_copy(rig.trouble, sizeof(rig.trouble), trouble ? text : "");
}

static void on_discovered(void *ctx)
{
    rig.discovered++;
}

static size_t count_of(enum event_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < rig.count; i++)
        n += rig.events[i].type == type;
    return n;
}

static const struct event *last_of(enum event_type type)
{
    for (size_t i = rig.count; i > 0; i--)
        if (rig.events[i - 1].type == type)
            return &rig.events[i - 1];
    fail_msg("no such event");
    return NULL;
}

static void on_heart(uv_timer_t *timer)
{
}

static void turn(void)
{
    uv_run(&rig.loop, UV_RUN_ONCE);
    fake_answer_all();
}

#define UNTIL(condition)                                              \
    do {                                                              \
        int64_t end_us = clock_now_us() + WITHIN_US;                  \
        while (!(condition)) {                                        \
            if (clock_now_us() > end_us)                              \
                fail_msg("in vain: %s; %s", #condition, rig.trouble); \
            turn();                                                   \
        }                                                             \
    } while (0)

/* A whole look more: what was to happen has happened. */
static void look_again(void)
{
    size_t lists = count_of(EVENT_FOUND_ALL);
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) > lists);
}

static void configure(bool serves)
{
    rig.service = (struct driver_service){
        .slot = SLOT, .name = "shop", .conf = &rig.conf, .template = 1, .serves = serves
    };
    ops->set_services(rig.driver, &rig.service, 1);
}

static void open_rig(int replicas)
{
    struct err err = { 0 };
    memset(&rig, 0, sizeof(rig));
    memset(&fake, 0, sizeof(fake));
    uv_loop_init(&rig.loop);
    uv_timer_init(&rig.loop, &rig.heart);
    uv_timer_start(&rig.heart, on_heart, 2, 2);
    fake.exists = true;
    fake.labels = json_object();
    fake.version = 10;
    fake.replicas = replicas;
    fake_follow();
    rig.may_act = true;
    rig.conf = (struct swarm_conf){ .port = 80, .reach = SWARM_REACH_MESH, .within_us = US_PER_S };
    const struct driver_env env = { .loop = &rig.loop,
                                    .owner = "us",
                                    .ctx = &rig,
                                    .emit = on_emit,
                                    .may_act = on_may_act,
                                    .token = on_token,
                                    .number_of = on_number_of,
                                    .discovered = on_discovered,
                                    .note = on_note };
    assert_int_equal(ops->open(&env, &rig.driver, &err), 0);
    ops->set_engine(rig.driver, &rig.engine);
    configure(false);
    fake.options.state(fake.options.ctx, true, "");
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
}

static int close_rig(void **state)
{
    ops->close(rig.driver);
    uv_close((uv_handle_t *)&rig.heart, NULL);
    for (size_t i = 0; i < ARRAY_LEN(fake.calls); i++)
        if (fake.calls[i].used)
            engine_cancel(&fake.calls[i]);
    while (uv_run(&rig.loop, UV_RUN_NOWAIT))
        ;
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    json_decref(fake.labels);
    return 0;
}

static void start(uint32_t number)
{
    ops->start(rig.driver, &rig.service, number);
}

/* --- */

static void test_what_runs_is_found(void **state)
{
    open_rig(2);
    assert_int_equal(count_of(EVENT_FOUND), 2);
    assert_true(last_of(EVENT_FOUND)->flag);
    assert_string_equal(rig.refs[1], "task1");
    UNTIL(count_of(EVENT_PROBE) >= 2);
    look_again();
    assert_int_equal(rig.number, 2);
    assert_int_equal(fake.posts, 0);
}

static void test_starts_are_one_change(void **state)
{
    open_rig(1);
    for (uint32_t n = 2; n <= 4; n++)
        start(n);
    start(4);
    UNTIL(count_of(EVENT_STARTED) == 3);
    assert_int_equal(fake.replicas, 4);
    assert_int_equal(fake.posts, 1);
    assert_string_equal(rig.refs[2], "task2");
    assert_string_equal(rig.refs[4], "task4");
    look_again();
    assert_int_equal(fake.posts, 1);
}

static void test_swarm_chooses_who_goes(void **state)
{
    open_rig(3);
    ops->stop(rig.driver, SLOT, 1);
    ops->stop(rig.driver, SLOT, 1);
    UNTIL(count_of(EVENT_LEAVING) == 1);
    assert_int_equal(last_of(EVENT_LEAVING)->number, 3);
    assert_int_equal(fake.replicas, 2);
    assert_int_equal(count_of(EVENT_EXITED), 0);
    ops->stop(rig.driver, SLOT, 3); /* the core waits long, and asks again */
    look_again();
    fake_end_leaving();
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(last_of(EVENT_EXITED)->number, 3);
    look_again();
    assert_int_equal(fake.replicas, 2);
    assert_int_equal(fake.posts, 1);
}

/* It is gone before it was seen to leave: it is the one all the same. */
static void test_one_that_goes_quickly(void **state)
{
    open_rig(3);
    ops->stop(rig.driver, SLOT, 1);
    UNTIL(fake.posts == 1);
    fake_end_leaving();
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(count_of(EVENT_LEAVING), 1);
    assert_int_equal(last_of(EVENT_EXITED)->number, 3);
    look_again();
    assert_int_equal(fake.replicas, 2);
    assert_int_equal(fake.posts, 1);
}

/* Who ends by itself is not the one fewer that was asked for. */
static void test_a_crash_answers_nobody(void **state)
{
    open_rig(3);
    fake.update = "updating"; /* replicas stay */
    look_again();
    ops->stop(rig.driver, SLOT, 2);
    fake_crash(2, 3);
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(count_of(EVENT_LEAVING), 0);
    start(4); /* the core's answer */
    fake.update = NULL;
    UNTIL(fake.replicas == 2);
    UNTIL(count_of(EVENT_LEAVING) == 1);
    assert_int_equal(fake.posts, 1);
}

static void test_one_that_was_not_started_yet(void **state)
{
    open_rig(1);
    rig.may_act = false;
    start(2);
    ops->stop(rig.driver, SLOT, 2);
    assert_int_equal(last_of(EVENT_EXITED)->number, 2);
    rig.may_act = true;
    look_again();
    assert_int_equal(fake.posts, 0);
}

static void test_a_quicker_person(void **state)
{
    open_rig(1);
    fake.interfere = true;
    start(2);
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(fake.replicas, 2);
    assert_int_equal(fake.posts, 2);
    assert_non_null(json_object_get(fake.labels, "person"));
}

static void test_replicas_set_by_hand(void **state)
{
    open_rig(2);
    fake.replicas = 4;
    fake_follow();
    look_again();
    assert_int_equal(rig.number, 4);
    fake.replicas = 1;
    fake_follow();
    look_again();
    UNTIL(count_of(EVENT_LEAVING) >= 3);
    fake_end_leaving();
    UNTIL(count_of(EVENT_EXITED) == 3);
    assert_int_equal(fake.posts, 0);
}

/* The core's start and Swarm's replacement are one. */
static void test_a_crash(void **state)
{
    open_rig(2);
    fake_crash(0, 3);
    ops->probe(rig.driver, SLOT, 1);
    rig.count = 0;
    start(3); /* for another reason: the next look finds both */
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_string_equal(last_of(EVENT_EXITED)->text, "exited with status 3");
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(last_of(EVENT_STARTED)->number, 3);
    assert_int_equal(fake.posts, 0);
    assert_int_equal(fake.replicas, 2);
}

static void test_updates_are_waited_for(void **state)
{
    static const char *const states[] = { "updating", "paused", "rollback_started",
                                          "rollback_paused" };
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        open_rig(1);
        fake.update = states[i];
        start(2);
        UNTIL(strstr(rig.trouble, "replicas stay at 1") != NULL);
        look_again();
        assert_int_equal(fake.posts, 0);
        fake.update = "completed";
        UNTIL(count_of(EVENT_STARTED) == 1);
        UNTIL(rig.trouble[0] == '\0');
        assert_int_equal(fake.replicas, 2);
        close_rig(state);
    }
    open_rig(0);
}

static const struct {
    const char *state, *err;
    enum event_type told;
    const char *text;
} failures[] = {
    { "rejected", "No such image: x:1", EVENT_START_FAILED, "No such image: x:1" },
    { "failed", "task: non-zero exit (1)", EVENT_START_FAILED, "task: non-zero exit (1)" },
    { "pending", "no suitable node", EVENT_START_FAILED, "no suitable node" },
};

static void test_starts_that_fail(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        open_rig(0);
        fake.new_state = failures[i].state;
        fake.new_err = failures[i].err;
        start(1);
        UNTIL(count_of(failures[i].told) == 1);
        assert_string_equal(last_of(failures[i].told)->text, failures[i].text);
        assert_int_equal(last_of(failures[i].told)->number, 1);
        assert_int_equal(fake.replicas, 1); /* Swarm goes on trying */
        start(2);
        look_again();
        assert_int_equal(fake.posts, 1);
        close_rig(state);
    }
    open_rig(0);
}

static const struct {
    bool exists, global;
    const char *text;
} refused[] = {
    { false, false, "there is no such service in the Swarm" },
    { true, true, "it is no replicated service, and has no replicas that could be set" },
};

static void test_what_cannot_be_scaled(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        open_rig(0);
        fake.exists = refused[i].exists;
        fake.global = refused[i].global;
        fake_make("running");
        start(1);
        UNTIL(count_of(EVENT_START_FAILED) == 1);
        assert_int_equal(count_of(EVENT_STARTED) + count_of(EVENT_FOUND), 0);
        assert_string_equal(last_of(EVENT_START_FAILED)->text, refused[i].text);
        assert_true(rig.trouble[0]);
        close_rig(state);
    }
    open_rig(0);
}

static void test_without_the_lease(void **state)
{
    open_rig(1);
    rig.may_act = false;
    start(2);
    for (int i = 0; i < 200; i++)
        turn();
    assert_int_equal(fake.posts, 0);
    rig.may_act = true;
    UNTIL(count_of(EVENT_STARTED) == 1);
}

/* A standby gives no task a number, and what it knew as a leader is of the past. */
static void test_standing_by(void **state)
{
    open_rig(2);
    rig.may_act = false;
    configure(false);
    rig.count = 0;
    rig.service.name = "other"; /* that has the slot now */
    ops->set_services(rig.driver, &rig.service, 1);
    rig.service.name = "shop";
    ops->set_services(rig.driver, &rig.service, 1);
    fake.replicas = 3;
    fake_follow();
    for (int i = 0; i < 200; i++)
        turn();
    assert_int_equal(rig.count, 0);
    assert_int_equal(rig.number, 2);
    rig.may_act = true;
    look_again();
    assert_int_equal(count_of(EVENT_FOUND), 3);
    assert_int_equal(count_of(EVENT_EXITED), 0);
}

/* A start on a reload comes before the list of services does. */
static void test_service_not_told_yet(void **state)
{
    open_rig(0);
    ops->set_services(rig.driver, NULL, 0);
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
}

/* The label says that a later leader has been here. */
static void test_fencing(void **state)
{
    open_rig(1);
    rig.token = 7;
    start(2);
    UNTIL(count_of(EVENT_STARTED) == 1);
    const char *token = json_string_value(json_object_get(fake.labels, "plimsoll.token"));
    assert_string_equal(token, "7");
    rig.token = 6;
    start(3);
    look_again();
    look_again();
    assert_int_equal(fake.posts, 1);
    rig.token = 8;
    UNTIL(count_of(EVENT_STARTED) == 2);
}

static void test_let_go(void **state)
{
    open_rig(2);
    ops->stop(rig.driver, SLOT, 2); /* the core asks before the driver knows */
    rig.service.conf = NULL;
    ops->set_services(rig.driver, &rig.service, 1);
    ops->stop(rig.driver, SLOT, 1);
    assert_int_equal(count_of(EVENT_EXITED), 2);
    look_again();
    assert_int_equal(fake.replicas, 2);
    assert_int_equal(fake.posts, 0);
}

static void test_addresses(void **state)
{
    open_rig(0);
    rig.conf.reach = SWARM_REACH_HOST;
    configure(true);
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_string_equal(rig.addresses[rig.count - 1], "tcp:10.0.0.7:32000");
    rig.conf.port = 81;
    configure(true);
    UNTIL(strstr(rig.trouble, "no port is published") != NULL);
}

/* Nobody has to say how tasks are reached, and why not is told. */
static void test_reach_by_itself(void **state)
{
    open_rig(0);
    rig.conf.reach = SWARM_REACH_AUTO;
    rig.conf.port = 1; /* where nobody listens */
    fake.network_address = "127.0.0.1/8";
    configure(true);
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    UNTIL(strstr(rig.trouble, "does not listen on tcp:127.0.0.1:1") != NULL);
    assert_non_null(strstr(rig.trouble, "is plimsoll attached to the task's network?"));
    rig.conf.port = 80;
    fake.publishes = true;
    look_again();
    assert_string_equal(rig.addresses[rig.count - 2], "tcp:10.0.0.7:32000");
}

static void test_discovery(void **state)
{
    struct driver_discovery items[4];
    struct swarm_engine_conf engine = { .discover = true };
    open_rig(1);
    ops->set_engine(rig.driver, &engine);
    fake.options.state(fake.options.ctx, true, "");
    UNTIL(rig.discovered == 1);
    assert_int_equal(ops->discover(rig.driver, items, 4), 0);
    json_object_set_new(fake.labels, "plimsoll.enable", json_string("true"));
    look_again();
    UNTIL(rig.discovered == 2);
    assert_int_equal(ops->discover(rig.driver, items, 4), 1);
    assert_string_equal(items[0].name, "shop");
    json_object_set_new(fake.labels, "plimsoll.token", json_string("9"));
    look_again();
    assert_int_equal(rig.discovered, 2);
    ops->set_engine(rig.driver, &rig.engine);
    assert_int_equal(ops->discover(rig.driver, items, 4), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_runs_is_found),
        TEST(test_starts_are_one_change),
        TEST(test_swarm_chooses_who_goes),
        TEST(test_one_that_goes_quickly),
        TEST(test_a_crash_answers_nobody),
        TEST(test_one_that_was_not_started_yet),
        TEST(test_a_quicker_person),
        TEST(test_replicas_set_by_hand),
        TEST(test_a_crash),
        TEST(test_updates_are_waited_for),
        TEST(test_starts_that_fail),
        TEST(test_what_cannot_be_scaled),
        TEST(test_without_the_lease),
        TEST(test_standing_by),
        TEST(test_service_not_told_yet),
        TEST(test_fencing),
        TEST(test_let_go),
        TEST(test_addresses),
        TEST(test_reach_by_itself),
        TEST(test_discovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
