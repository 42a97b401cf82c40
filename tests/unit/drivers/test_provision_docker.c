/* The docker driver against an engine that misbehaves: answers that are lost, completions that come
 * twice, names that are taken, hanging, dying, and rubbish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker.h"
#include "drivers/docker/engine.h"
#include "drivers/driver.h"
#include "fake_engine.h"
#include "sys/clock.h"

#define EVENTS_MAX 8192
#define WITHIN_US (10 * US_PER_S)

static struct rig {
    uv_loop_t loop;
    struct fake_engine engine;
    void *driver;
    bool may_act;
    size_t count;
    struct event events[EVENTS_MAX];
    char addresses[EVENTS_MAX][64];
    struct docker_conf conf;
    struct engine_conf engine_conf;
    struct driver_service service;
    char state[64], host[160];
    size_t notes;
    bool trouble;
    char note[256];
} rig;

static const struct provision_ops *const ops = &provision_docker;

static void on_emit(void *ctx, const struct event *e)
{
    assert_true(rig.count < EVENTS_MAX);
    fmt(rig.addresses[rig.count], 64, "%s", e->address ? e->address : "");
    rig.events[rig.count++] = *e;
}

static bool on_may_act(void *ctx)
{
    assert_ptr_equal(ctx, &rig);
    return rig.may_act;
}

static uint64_t on_token(void *ctx)
{
    return 7;
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
    return NULL;
}

static void on_note(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    assert_int_equal(slot, 3);
    rig.notes++;
    rig.trouble = trouble;
    fmt(rig.note, sizeof(rig.note), "%s", text);
}

static void on_nothing(uv_timer_t *timer)
{
}

#define UNTIL(condition)                             \
    do {                                             \
        int64_t end_us = clock_now_us() + WITHIN_US; \
        while (!(condition)) {                       \
            if (clock_now_us() > end_us)             \
                fail_msg("in vain: %s", #condition); \
            uv_run(&rig.loop, UV_RUN_ONCE);          \
        }                                            \
    } while (0)

/* So that UNTIL looks again even when nothing happens. */
static uv_timer_t heart;

static int setup(void **state)
{
    memset(&rig, 0, sizeof(rig));
    uv_loop_init(&rig.loop);
    uv_timer_init(&rig.loop, &heart);
    uv_timer_start(&heart, on_nothing, 10, 10);
    fake_start(&rig.engine, &rig.loop);
    rig.may_act = true;
    strcpy(rig.state, "/tmp/plimsoll-docker-XXXXXX");
    assert_non_null(mkdtemp(rig.state));
    fmt(rig.host, sizeof(rig.host), "unix://%s", rig.engine.path);
    rig.engine_conf = (struct engine_conf){ .host = rig.host, .timeout_us = US_PER_S / 2 };
    rig.conf = (struct docker_conf){ .image = "x:latest",
                                     .ready = { .within_us = US_PER_S, .interval_us = US_PER_S },
                                     .stop = { .grace_us = US_PER_S } };
    rig.service = (struct driver_service){
        .slot = 3, .name = "shop", .conf = &rig.conf, .template = docker_template(&rig.conf, false)
    };
    const struct driver_env env = { .loop = &rig.loop,
                                    .state_dir = rig.state,
                                    .owner = "me",
                                    .ctx = &rig,
                                    .emit = on_emit,
                                    .may_act = on_may_act,
                                    .token = on_token,
                                    .note = on_note };
    struct err err;
    assert_int_equal(ops->open(&env, &rig.driver, &err), 0);
    ops->set_engine(rig.driver, &rig.engine_conf);
    ops->set_services(rig.driver, &rig.service, 1);
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    rig.count = 0;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    if (rig.driver)
        ops->close(rig.driver);
    fake_end(&rig.engine);
    uv_close((uv_handle_t *)&heart, NULL);
    while (uv_run(&rig.loop, UV_RUN_NOWAIT))
        ;
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    fmt(command, sizeof(command), "rm -r %s", rig.state);
    return system(command);
}

static void start(uint32_t number)
{
    ops->start(rig.driver, &rig.service, number);
}

static struct fake_container *container(uint32_t number)
{
    char name[160];
    docker_name(name, sizeof(name), "me", "shop", number);
    return fake_find(&rig.engine, name);
}

static size_t containers(void)
{
    size_t n = 0;
    for (size_t i = 0; i < rig.engine.count; i++)
        n += rig.engine.containers[i].labels != NULL;
    return n;
}

/* --- a life --- */

static void test_life(void **state)
{
    char path[160], text[64] = "";
    start(1);
    start(1);
    UNTIL(count_of(EVENT_PROBE) > 0);
    assert_int_equal(rig.engine.created, 1);
    assert_int_equal(count_of(EVENT_STARTED), 1);
    assert_non_null(strstr(rig.engine.last_body, "\"plimsoll.token\":\"7\""));
    assert_non_null(strstr(rig.engine.last_body, "\"plimsoll.service\":\"shop\""));
    ops->stop(rig.driver, 3, 1);
    ops->stop(rig.driver, 3, 1);
    UNTIL(count_of(EVENT_EXITED) > 0);
    assert_int_equal(containers(), 0);
    assert_int_equal(count_of(EVENT_EXITED), 1);
    assert_string_equal(last_of(EVENT_EXITED)->text, "exited 143");
    fmt(path, sizeof(path), "%s/log/shop-1.log", rig.state);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_string_equal(text, "last words\n");
}

static void test_many_at_once(void **state)
{
    int64_t began_us = clock_now_us();
    for (uint32_t i = 1; i <= 200; i++)
        start(i);
    UNTIL(rig.engine.creates >= 100);
    print_message("100 creations have reached the engine after %lld us\n",
                  (long long)(clock_now_us() - began_us));
    UNTIL(count_of(EVENT_STARTED) == 200);
    assert_int_equal(rig.engine.started, 200);
    assert_in_range(rig.engine.most_connections, 8, 140);
}

static void test_few_start_at_once(void **state)
{
    rig.engine.slow = "/start";
    for (uint32_t i = 1; i <= 30; i++)
        start(i);
    UNTIL(rig.engine.created == 30 && rig.engine.slow_count >= 8);
    assert_int_equal(rig.engine.slow_count, 8);
    ops->stop(rig.driver, 3, 30); /* its turn has not come: it is never started */
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_null(container(30));
    assert_int_equal(rig.engine.slow_count, 8);
    assert_int_equal(rig.engine.started, 0);
}

/* Who takes its time to end does not hold up the others for longer than a second. */
static void test_few_end_at_once(void **state)
{
    for (uint32_t i = 1; i <= 20; i++)
        start(i);
    UNTIL(count_of(EVENT_STARTED) == 20);
    rig.engine.slow = "/stop";
    int64_t began_us = clock_now_us();
    for (uint32_t i = 1; i <= 20; i++)
        ops->stop(rig.driver, 3, i);
    UNTIL(rig.engine.slow_count > 0);
    UNTIL(rig.engine.slow_count == 20);
    assert_true(clock_now_us() - began_us >= 2 * US_PER_S); /* eight, eight, and the others */
}

/* --- answers --- */

static void test_lost_answers(void **state)
{
    static const char *const parts[] = { "create", "start", "json" };
    for (uint32_t i = 0; i < ARRAY_LEN(parts); i++) {
        rig.engine.lose = parts[i];
        rig.engine.lose_count = 2;
        start(i + 1);
        UNTIL(count_of(EVENT_STARTED) == i + 1);
        assert_int_equal(rig.engine.created, i + 1);
        assert_int_equal(rig.engine.started, i + 1);
    }
    rig.engine.lose = "stop";
    rig.engine.lose_count = 1;
    ops->stop(rig.driver, 3, 1);
    rig.engine.lose = "?force";
    rig.engine.lose_count = 1;
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(containers(), 2);
    assert_int_equal(count_of(EVENT_START_FAILED), 0);
}

static void test_name_taken_by_ours(void **state)
{
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    json_t *labels = json_incref(container(1)->labels);
    json_object_set_new(labels, "plimsoll.instance", json_string("2"));
    snprintf(fake_add(&rig.engine, "plimsoll-me-shop-2", labels)->status, 16, "running");
    start(2);
    UNTIL(count_of(EVENT_STARTED) == 2);
    assert_int_equal(count_of(EVENT_START_FAILED), 0);
    json_decref(labels);
}

static void test_name_taken_by_another(void **state)
{
    json_t *labels = json_pack("{s:s}", "whose", "not yours");
    fake_add(&rig.engine, "plimsoll-me-shop-1", labels);
    json_decref(labels);
    start(1);
    UNTIL(count_of(EVENT_START_FAILED) == 1);
    assert_non_null(strstr(last_of(EVENT_START_FAILED)->text, "is taken by another container"));
    assert_non_null(container(1));
}

static void test_crash_told_twice(void **state)
{
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    fake_die(&rig.engine, container(1), 137, 3);
    UNTIL(containers() == 0);
    assert_int_equal(count_of(EVENT_EXITED), 1);
    assert_string_equal(last_of(EVENT_EXITED)->text, "exited 137: killed, out of memory");
    assert_int_equal(last_of(EVENT_EXITED)->status, 137 << 8);
}

/* Of a process in it: the container goes on, and ends for whatever reason later. */
static void test_out_of_memory_inside(void **state)
{
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    fake_event(&rig.engine, container(1), "oom", 5);
    UNTIL(rig.notes > 0);
    assert_true(rig.trouble);
    assert_string_equal(rig.note, "shop-1: a process in it was killed, out of memory");
    fake_die(&rig.engine, container(1), 1, 1);
    UNTIL(rig.notes > 1); /* it is over */
    assert_string_equal(last_of(EVENT_EXITED)->text, "exited 1");
    assert_int_equal(rig.notes, 2);
    assert_false(rig.trouble);
}

static void test_cannot_be_stopped(void **state)
{
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    rig.engine.fail = "stop";
    rig.engine.fail_count = 2;
    ops->stop(rig.driver, 3, 1);
    UNTIL(rig.notes == 1);
    assert_true(rig.trouble);
    assert_string_equal(rig.note, "shop-1: cannot be stopped: the engine is not well");
    UNTIL(rig.notes == 2);
    assert_false(rig.trouble);
    assert_int_equal(containers(), 0);
}

static void test_list_refused(void **state)
{
    rig.engine.fail = "/containers/json";
    rig.engine.fail_count = 1;
    ops->list(rig.driver);
    UNTIL(rig.notes == 1);
    assert_true(rig.trouble);
    assert_string_equal(rig.note, "the engine does not say what runs: the engine is not well");
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    assert_int_equal(rig.notes, 2);
    assert_false(rig.trouble);
}

/* --- logs --- */

static int ask_log(struct err *err)
{
    return ops->follow_log(rig.driver, 3, 1, err);
}

static void test_log_comes(void **state)
{
    char path[160], text[64] = "";
    struct err err = { 0 };
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    rig.engine.hangs = true;
    assert_int_equal(ask_log(&err), -EAGAIN);
    UNTIL(ask_log(&err) != -EAGAIN); /* the engine is missed */
    assert_int_equal(ask_log(&err), -EIO);
    assert_non_null(strstr(err.text, "does not answer in time"));
    rig.engine.hangs = false;
    UNTIL(ask_log(&err) == 0);
    fmt(path, sizeof(path), "%s/log/shop-1.log", rig.state);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text), f), 11);
    assert_string_equal(text, "last words\n");
    fclose(f);
    assert_int_equal(ops->follow_log(rig.driver, 3, 99, &err), 0); /* what there is is there */
}

static void test_log_refused(void **state)
{
    struct err err = { 0 };
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    rig.engine.fail = "logs";
    rig.engine.fail_count = 1;
    assert_int_equal(ask_log(&err), -EAGAIN);
    UNTIL(ask_log(&err) != -EAGAIN);
    assert_non_null(strstr(err.text, "the engine is not well"));
    UNTIL(ask_log(&err) == 0);
}

/* Nobody tells: the next list does. */
static void test_crash_not_told(void **state)
{
    start(1);
    start(2);
    UNTIL(count_of(EVENT_STARTED) == 2);
    json_decref(container(2)->labels);
    container(2)->labels = NULL;
    fake_die(&rig.engine, container(1), 1, 0);
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_EXITED) == 2 && containers() == 0);
}

static void test_refused(void **state)
{
    rig.engine.fail = "start";
    rig.engine.fail_count = 1;
    start(1);
    UNTIL(count_of(EVENT_START_FAILED) == 1);
    assert_string_equal(last_of(EVENT_START_FAILED)->text, "the engine is not well");
    UNTIL(containers() == 0);
}

static void test_rubbish(void **state)
{
    rig.engine.rubbish = true;
    start(1);
    UNTIL(count_of(EVENT_START_FAILED) == 1);
    assert_non_null(strstr(last_of(EVENT_START_FAILED)->text, "does not say"));
    ops->list(rig.driver);
    UNTIL(rig.engine.requests > 6);
    assert_int_equal(count_of(EVENT_FOUND_ALL), 0);
    rig.engine.rubbish = false;
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
}

/* --- images --- */

static void test_pull(void **state)
{
    char path[160];
    setenv("DOCKER_CONFIG", rig.state, 1);
    fmt(path, sizeof(path), "%s/config.json", rig.state);
    FILE *f = fopen(path, "w");
    fputs("{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"bWU6c2VjcmV0\"}}}", f);
    fclose(f);
    rig.engine.no_image = true;
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    unsetenv("DOCKER_CONFIG");
    assert_int_equal(rig.engine.pulls, 1);
    assert_string_equal(rig.engine.last_auth,
                        "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzZWNyZXQiLCJzZXJ2ZXJhZGRyZXNzIjoia"
                        "HR0cHM6Ly9pbmRleC5kb2NrZXIuaW8vdjEvIn0=");
}

static void test_no_image(void **state)
{
    rig.engine.no_image = true;
    rig.engine.pull_error = "manifest unknown";
    start(1);
    UNTIL(count_of(EVENT_START_FAILED) == 1);
    assert_string_equal(last_of(EVENT_START_FAILED)->text,
                        "cannot pull x:latest: manifest unknown");
    rig.conf.pull = DOCKER_PULL_NEVER;
    start(2);
    UNTIL(count_of(EVENT_START_FAILED) == 2);
    assert_string_equal(last_of(EVENT_START_FAILED)->text, "No such image: x:latest");
    assert_int_equal(rig.engine.pulls, 1);
}

/* --- the engine goes and comes --- */

static void test_gone_and_back(void **state)
{
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    fake_kill(&rig.engine);
    start(2);
    ops->stop(rig.driver, 3, 1);
    UNTIL(count_of(EVENT_DRIVER) == 1);
    assert_false(last_of(EVENT_DRIVER)->flag);
    assert_non_null(strstr(last_of(EVENT_DRIVER)->text, "no engine at unix://"));
    fake_listen(&rig.engine);
    UNTIL(count_of(EVENT_STARTED) == 2 && count_of(EVENT_EXITED) == 1);
    assert_true(last_of(EVENT_DRIVER)->flag);
    assert_int_equal(count_of(EVENT_DRIVER), 2);
    assert_int_equal(rig.engine.created, 2);
}

static void test_hangs(void **state)
{
    rig.engine.hangs = true;
    start(1);
    UNTIL(count_of(EVENT_DRIVER) == 1);
    assert_non_null(strstr(last_of(EVENT_DRIVER)->text, "does not answer in time"));
    fake_wake(&rig.engine);
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(rig.engine.created, 1);
    assert_int_equal(rig.engine.started, 1);
}

static void test_stopped_before_it_was(void **state)
{
    fake_kill(&rig.engine);
    start(1);
    ops->stop(rig.driver, 3, 1);
    fake_listen(&rig.engine);
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(containers(), 0);
    assert_int_equal(count_of(EVENT_STARTED), 0);
}

static void test_too_old(void **state)
{
    fake_kill(&rig.engine);
    rig.engine.version = "1.12";
    fake_listen(&rig.engine);
    UNTIL(count_of(EVENT_DRIVER) == 1);
    rig.engine_conf.timeout_us *= 2; /* another engine, to the driver: it is asked at once */
    ops->set_engine(rig.driver, &rig.engine_conf);
    UNTIL(count_of(EVENT_DRIVER) == 2);
    assert_false(last_of(EVENT_DRIVER)->flag);
    assert_non_null(strstr(last_of(EVENT_DRIVER)->text, "API 1.30 or newer"));
}

/* --- the lease --- */

static void test_held_back(void **state)
{
    int before = rig.engine.creates;
    rig.may_act = false;
    start(1);
    ops->probe(rig.driver, 3, 1);
    for (int i = 0; i < 30; i++)
        uv_run(&rig.loop, UV_RUN_ONCE);
    assert_int_equal(rig.engine.creates, before);
    assert_int_equal(count_of(EVENT_STARTED) + count_of(EVENT_START_FAILED), 0);
    rig.may_act = true;
    start(1); /* it was forgotten: it may be asked for again */
    UNTIL(count_of(EVENT_STARTED) == 1);
}

/* --- what is found --- */

static json_t *labels(const char *service, const char *number)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "plimsoll.owner", "me", "plimsoll.service",
                     service, "plimsoll.instance", number, "plimsoll.template", "abc",
                     "plimsoll.port", "80", "plimsoll.drain", "0");
}

static void add_as(const char *service, const char *number, const char *status)
{
    char name[64];
    fmt(name, sizeof(name), "plimsoll-me-%s-%s", service, number);
    json_t *l = labels(service, number);
    snprintf(fake_add(&rig.engine, name, l)->status, 16, "%s", status);
    json_decref(l);
}

static void test_found(void **state)
{
    add_as("shop", "4", "running");
    add_as("shop", "5", "created");
    add_as("shop", "6", "exited");
    add_as("gone", "1", "running");
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    assert_int_equal(count_of(EVENT_FOUND), 1);
    assert_int_equal(last_of(EVENT_FOUND)->number, 4);
    assert_int_equal(last_of(EVENT_FOUND)->template, 0xabc);
    UNTIL(containers() == 1);
    assert_int_equal(count_of(EVENT_EXITED), 1);
    assert_int_equal(last_of(EVENT_EXITED)->number, 6);
}

/* By a controller that died in the middle: of what is as it would be made now, the rest follows. */
static void test_found_being_made(void **state)
{
    char template[32];
    json_t *l = labels("shop", "7");
    fmt(template, sizeof(template), "%llx", (unsigned long long)rig.service.template);
    json_object_set_new(l, "plimsoll.template", json_string(template));
    fake_add(&rig.engine, "plimsoll-me-shop-7", l);
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    assert_int_equal(count_of(EVENT_FOUND), 1);
    assert_int_equal(last_of(EVENT_FOUND)->number, 7);
    assert_false(last_of(EVENT_FOUND)->flag);
    start(7); /* the controller asks again */
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(rig.engine.creates, 0);
    assert_int_equal(rig.engine.started, 1);
    assert_int_equal(count_of(EVENT_START_FAILED), 0);
    json_decref(l);
}

static void test_thousand(void **state)
{
    char number[16];
    for (int i = 1; i <= 1000; i++) {
        fmt(number, sizeof(number), "%d", i);
        add_as("shop", number, "running");
    }
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    assert_int_equal(count_of(EVENT_FOUND), 1000);
    clock_t before = clock();
    ops->list(rig.driver); /* all are known now */
    UNTIL(count_of(EVENT_FOUND_ALL) == 2);
    print_message("1000 known containers listed in %ld us of CPU, the fake engine's included\n",
                  (long)((clock() - before) * US_PER_S / CLOCKS_PER_SEC));
    assert_int_equal(count_of(EVENT_FOUND), 2000);
}

/* --- services --- */

/* An action on a reload comes before the whole list does. */
static void test_service_not_told_yet(void **state)
{
    struct driver_service zeta = rig.service;
    zeta.slot = 5;
    zeta.name = "zeta";
    ops->start(rig.driver, &zeta, 1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(last_of(EVENT_STARTED)->service, 5);
}

static void test_slots_given_anew(void **state)
{
    struct driver_service two[] = { rig.service, rig.service };
    add_as("shop", "4", "running");
    add_as("old", "4", "running");
    two[0].name = "old";
    two[1].slot = 5;
    ops->set_services(rig.driver, two, 2); /* old 3, shop 5 */
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND) == 2 && count_of(EVENT_FOUND_ALL) == 2);
    two[0].slot = 6;
    two[1].slot = 3;
    ops->set_services(rig.driver, two, 2);
    rig.count = 0;
    ops->stop(rig.driver, 3, 4);
    UNTIL(count_of(EVENT_EXITED) == 1);
    assert_int_equal(last_of(EVENT_EXITED)->service, 3);
    assert_int_equal(containers(), 1);
    assert_string_equal(rig.engine.containers[1].name, "plimsoll-me-old-4");
}

/* Another leads, and what it does is not heard of: it is asked for anew. */
static void test_led_before(void **state)
{
    struct driver_service zeta = rig.service;
    zeta.name = "zeta"; /* has shop's slot now */
    start(4);
    UNTIL(count_of(EVENT_STARTED) == 1);
    rig.may_act = false;
    ops->set_services(rig.driver, &rig.service, 1);
    rig.count = 0;
    json_decref(rig.engine.containers[0].labels); /* removed */
    rig.engine.containers[0].labels = NULL;
    add_as("zeta", "4", "running");
    rig.may_act = true;
    ops->set_services(rig.driver, &zeta, 1);
    assert_int_equal(rig.count, 0);
    ops->list(rig.driver);
    UNTIL(count_of(EVENT_FOUND_ALL) == 1);
    assert_int_equal(count_of(EVENT_FOUND), 1);
    assert_int_equal(count_of(EVENT_EXITED), 0);
}

/* --- resizing, usage --- */

static void test_resize(void **state)
{
    rig.conf.limits.memory_bytes = 64 << 20;
    rig.service.template = docker_template(&rig.conf, false);
    ops->set_services(rig.driver, &rig.service, 1);
    start(1);
    UNTIL(count_of(EVENT_STARTED) == 1);
    assert_int_equal(last_of(EVENT_STARTED)->shape, docker_shape(&rig.conf));
    uint64_t template = docker_template(&rig.conf, false);
    rig.conf.limits.memory_bytes = 128 << 20;
    assert_int_equal(docker_template(&rig.conf, false), template);
    ops->resize(rig.driver, &rig.service, 1);
    UNTIL(count_of(EVENT_RESIZED) == 1);
    assert_true(last_of(EVENT_RESIZED)->flag);
    assert_int_equal(last_of(EVENT_RESIZED)->shape, docker_shape(&rig.conf));
    assert_string_equal(rig.engine.last_body, "{\"Memory\":134217728,\"MemorySwap\":134217728}");
    rig.engine.fail = "update";
    rig.engine.fail_count = 1;
    ops->resize(rig.driver, &rig.service, 1);
    UNTIL(count_of(EVENT_RESIZED) == 2);
    assert_false(last_of(EVENT_RESIZED)->flag);
}

static size_t sample(struct sample *samples, size_t cap)
{
    const struct source_instance one = { .number = 1 };
    const struct source_service service = { .slot = 3, .instances = &one, .instance_count = 1 };
    struct source_sink sink = { .samples = samples, .cap = cap };
    ops->sample(rig.driver, &service, 0, &sink);
    return sink.count;
}

static void test_usage(void **state)
{
    struct sample samples[4];
    rig.service.wants_usage = true;
    ops->set_services(rig.driver, &rig.service, 1);
    start(1);
    UNTIL(sample(samples, 4) == 2);
    assert_int_equal(samples[0].metric, METRIC_CPU);
    assert_true(samples[0].value > 0.2 && samples[0].value < 0.3);
    assert_int_equal(samples[1].metric, METRIC_MEMORY);
    assert_true(samples[1].value == 4000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* a client may be gone when the engine wakes */
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_many_at_once),
        TEST(test_few_start_at_once),
        TEST(test_few_end_at_once),
        TEST(test_lost_answers),
        TEST(test_name_taken_by_ours),
        TEST(test_name_taken_by_another),
        TEST(test_crash_told_twice),
        TEST(test_out_of_memory_inside),
        TEST(test_cannot_be_stopped),
        TEST(test_list_refused),
        TEST(test_log_comes),
        TEST(test_log_refused),
        TEST(test_crash_not_told),
        TEST(test_refused),
        TEST(test_rubbish),
        TEST(test_pull),
        TEST(test_no_image),
        TEST(test_gone_and_back),
        TEST(test_hangs),
        TEST(test_stopped_before_it_was),
        TEST(test_too_old),
        TEST(test_held_back),
        TEST(test_found),
        TEST(test_service_not_told_yet),
        TEST(test_slots_given_anew),
        TEST(test_led_before),
        TEST(test_found_being_made),
        TEST(test_thousand),
        TEST(test_resize),
        TEST(test_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
