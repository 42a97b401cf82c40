/* The process driver from start to exit, with real processes and a keeper of the test's own. This
 * program is also the app that it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <sys/stat.h>

#include "base/us.h"
#include "config/config.h"
#include "drivers/process/process.h"
#include "unit/drivers/app.h"
#include "unit/drivers/fake_keeper.h"

static char state_dir[64];
static char program[512];
static const char *app_command[] = { program, "--app" };
static const char *env_names[] = { "NOT_READY" };
static const char *env_values[] = { NULL };
static char not_ready_path[96];
static struct process_conf conf;
static struct driver_service service;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int set_up(void **state)
{
    strcpy(state_dir, "/tmp/plimsoll-test-XXXXXX");
    if (!mkdtemp(state_dir) || chmod(state_dir, 0755) < 0)
        return -1;
    snprintf(not_ready_path, sizeof(not_ready_path), "%s/not-ready", state_dir);
    env_values[0] = not_ready_path;
    conf = (struct process_conf){
        .command = { 2, app_command },
        .env = { 1, env_names, env_values },
        .listen = PROCESS_LISTEN_PORT,
        .ports = "23000-23099",
        .port_min = 23000,
        .port_max = 23099,
        .ready = { .within_us = 30 * US_PER_S, .interval_us = 50 * US_PER_MS },
        .stop = { .grace_us = 10 * US_PER_S },
        .log = { .size_bytes = 1 << 20, .keep = 1 },
    };
    service = (struct driver_service){ .slot = 4,
                                       .name = "shop",
                                       .conf = &conf,
                                       .template = 0xabcdef0123456789,
                                       .drain_us = 300 * US_PER_MS,
                                       .probe = { .interval_us = 20 * US_PER_MS,
                                                  .timeout_us = 2 * US_PER_S } };
    fake_begin(state_dir);
    provision_process.set_services(fake.driver, &service, 1);
    return 0;
}

static int tear_down(void **state)
{
    fake_end();
    return nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct event *wait_for(enum event_type type, size_t *at)
{
    const struct event *e = fake_wait(type, at);
    if (!e)
        fail_msg("no event of type %d came", (int)type);
    assert_int_equal(e->service, 4);
    return e;
}

static const struct event *wait_probe(bool passed, size_t *at)
{
    const struct event *e;
    do {
        e = wait_for(EVENT_PROBE, at);
    } while (e->flag != passed);
    return e;
}

static void set_not_ready(bool on)
{
    if (on)
        close(open(not_ready_path, O_WRONLY | O_CREAT, 0600));
    else
        unlink(not_ready_path);
}

static void test_life(void **state)
{
    size_t at = 0;
    provision_process.start(fake.driver, &service, 1);
    const struct event *e = wait_for(EVENT_STARTED, &at);
    assert_int_equal(e->number, 1);
    assert_true(e->pid > 0);
    assert_memory_equal(fake.addresses[at - 1], "tcp:127.0.0.1:230", 17);
    wait_probe(true, &at);
    wait_probe(true, &at); /* and again, at the interval */
    provision_process.stop(fake.driver, 4, 1);
    provision_process.stop(fake.driver, 4, 1);
    e = wait_for(EVENT_EXITED, &at);
    assert_false(e->flag);
    assert_true(WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGTERM);
    assert_non_null(strstr(e->text, "signal 15"));
}

static void test_http_and_back(void **state)
{
    size_t at = 0;
    conf.ready.http = "/healthz";
    set_not_ready(true);
    provision_process.start(fake.driver, &service, 1);
    const struct event *e;
    do { /* it does not even listen at first */
        e = wait_probe(false, &at);
    } while (!strstr(e->text, "503"));
    set_not_ready(false);
    wait_probe(true, &at);
    set_not_ready(true);
    wait_probe(false, &at);
    set_not_ready(false);
    wait_probe(true, &at);
}

static void test_health_probe_differs_from_readiness(void **state)
{
    size_t at = 0;
    service.probe.kind = CONFIG_PROBE_HTTP;
    service.probe.path = "/healthz";
    provision_process.set_services(fake.driver, &service, 1);
    set_not_ready(true);
    provision_process.start(fake.driver, &service, 1);
    wait_probe(true, &at); /* ready: it listens */
    wait_probe(false, &at);
}

static void test_unix_socket(void **state)
{
    struct stat st;
    size_t at = 0;
    conf.listen = PROCESS_LISTEN_SOCKET;
    conf.ready.http = "/";
    provision_process.start(fake.driver, &service, 7);
    wait_for(EVENT_STARTED, &at);
    const char *address = fake.addresses[at - 1];
    assert_memory_equal(address, "unix:", 5);
    wait_probe(true, &at);
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    provision_process.stop(fake.driver, 4, 7);
    wait_for(EVENT_EXITED, &at);
    assert_int_not_equal(stat(address + 5, &st), 0);
}

static void test_exec_probe(void **state)
{
    const char *words[] = { "test", "!", "-e", not_ready_path };
    size_t at = 0;
    conf.ready.exec = (struct schema_list){ 4, words };
    set_not_ready(true);
    provision_process.start(fake.driver, &service, 1);
    const struct event *e = wait_probe(false, &at);
    assert_string_equal(e->text, "exited with status 1");
    set_not_ready(false);
    wait_probe(true, &at);
}

static void test_exits_at_once(void **state)
{
    const char *words[] = { "sh", "-c", "exit 9" };
    size_t at = 0;
    conf.command = (struct schema_list){ 3, words };
    provision_process.start(fake.driver, &service, 1);
    wait_for(EVENT_STARTED, &at);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_string_equal(e->text, "exited with status 9");
}

static void test_no_such_command(void **state)
{
    const char *words[] = { "no-such-command" };
    size_t at = 0;
    conf.command = (struct schema_list){ 1, words };
    provision_process.start(fake.driver, &service, 1);
    const struct event *e = wait_for(EVENT_START_FAILED, &at);
    assert_non_null(strstr(e->text, "no such file"));
}

/* Somebody else listens on the port that the instance was given: it answers, and yet the instance
 * is not ready. */
static void test_foreign_listener_is_not_ready(void **state)
{
    const char *words[] = { "sleep", "1000" };
    size_t at = 0;
    conf.command = (struct schema_list){ 2, words };
    provision_process.start(fake.driver, &service, 1);
    wait_for(EVENT_STARTED, &at);
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)atoi(fake.addresses[at - 1] + 14)) };
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 16), 0);
    const struct event *e;
    do {
        e = wait_for(EVENT_PROBE, &at);
        assert_false(e->flag);
    } while (!strstr(e->text, "somebody else"));
    close(fd);
}

static void test_ignores_term(void **state)
{
    const char *words[] = { "sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 1; done" };
    char log[128];
    struct stat st;
    size_t at = 0;
    conf.command = (struct schema_list){ 3, words };
    conf.stop.grace_us = 30 * US_PER_MS;
    provision_process.start(fake.driver, &service, 1);
    wait_for(EVENT_STARTED, &at);
    process_log_path(state_dir, "shop", 1, log, sizeof(log));
    while (stat(log, &st) < 0 || st.st_size == 0) /* the trap is set */
        uv_run(&fake.loop, UV_RUN_ONCE);
    provision_process.stop(fake.driver, 4, 1);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_true(WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGKILL);
}

static void test_stop_of_what_is_not_there(void **state)
{
    size_t at = 0;
    provision_process.stop(fake.driver, 4, 12);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_int_equal(e->number, 12);
    assert_true(e->flag);
}

/* Stopped before the keeper has said that it runs. */
static void test_stop_while_starting(void **state)
{
    size_t at = 0;
    provision_process.start(fake.driver, &service, 1);
    provision_process.stop(fake.driver, 4, 1);
    wait_for(EVENT_STARTED, &at);
    wait_for(EVENT_EXITED, &at);
}

static void test_another_controller_finds_it(void **state)
{
    size_t at = 0;
    provision_process.start(fake.driver, &service, 3);
    int64_t pid = wait_for(EVENT_STARTED, &at)->pid;
    char address[128];
    strcpy(address, fake.addresses[at - 1]);
    wait_probe(true, &at);
    fake_close_driver();
    fake_open_driver(state_dir);
    provision_process.set_services(fake.driver, &service, 1);
    provision_process.list(fake.driver);
    const struct event *e = wait_for(EVENT_FOUND, &at);
    assert_int_equal(e->number, 3);
    assert_int_equal(e->pid, pid);
    assert_true(e->template == service.template);
    assert_true(e->flag);
    assert_string_equal(fake.addresses[at - 1], address);
    wait_for(EVENT_FOUND_ALL, &at);
    wait_probe(true, &at);
    provision_process.stop(fake.driver, 4, 3);
    wait_for(EVENT_EXITED, &at);
}

/* Another controller, which knows `count` services, asks what runs. */
static void come_back(const struct driver_service *services, size_t count)
{
    fake_close_driver();
    fake_open_driver(state_dir);
    provision_process.set_services(fake.driver, services, count);
    provision_process.list(fake.driver);
}

static void test_unknown_service_is_ended_after_its_drain(void **state)
{
    size_t at = 0;
    provision_process.start(fake.driver, &service, 3);
    wait_for(EVENT_STARTED, &at);
    wait_probe(true, &at);
    int64_t began_us = clock_now_us();
    come_back(NULL, 0);
    while (fake.children[0].pid > 0 && clock_now_us() < began_us + PATIENCE_US)
        uv_run(&fake.loop, UV_RUN_ONCE);
    assert_int_equal(fake.children[0].pid, 0);
    assert_true(clock_now_us() - began_us >= service.drain_us);
    for (; at < fake.event_count; at++) /* nobody was told of it */
        assert_int_not_equal(fake.events[at].type, EVENT_EXITED);
}

/* Its service begins anew while it drains: the name is not to be had until it has ended. */
static void test_unknown_keeps_its_name(void **state)
{
    size_t at = 0;
    service.drain_us = 20 * US_PER_S;
    provision_process.start(fake.driver, &service, 1);
    wait_probe(true, &at);
    come_back(NULL, 0);
    while (fake.list_asked)
        uv_run(&fake.loop, UV_RUN_ONCE);
    provision_process.set_services(fake.driver, &service, 1);
    provision_process.start(fake.driver, &service, 1);
    const struct event *e = wait_for(EVENT_START_FAILED, &at);
    assert_non_null(strstr(e->text, "another shop-1 still runs"));
    provision_process.start(fake.driver, &service, 2);
    wait_for(EVENT_STARTED, &at);
    assert_int_equal(fake.child_count, 2);
}

/* The configuration does not know its service any more, but the core does. */
static void test_leaving_service_is_found(void **state)
{
    const struct driver_service leaving = { .slot = 4, .name = "shop" };
    static const char script[] = "trap '' TERM; trap 'exit 5' INT; echo trapped; "
                                 "while :; do sleep 0.02; done";
    const char *words[] = { "sh", "-c", script };
    char log[128];
    struct stat st;
    size_t at = 0;
    conf.command = (struct schema_list){ 3, words };
    conf.stop.signal = 1; /* INT */
    provision_process.start(fake.driver, &service, 3);
    wait_for(EVENT_STARTED, &at);
    process_log_path(state_dir, "shop", 3, log, sizeof(log));
    while (stat(log, &st) < 0 || st.st_size == 0)
        uv_run(&fake.loop, UV_RUN_ONCE);
    come_back(&leaving, 1);
    const struct event *e = wait_for(EVENT_FOUND, &at);
    assert_int_equal(e->number, 3);
    assert_true(e->template == service.template);
    wait_for(EVENT_FOUND_ALL, &at);
    wait_probe(false, &at); /* it is looked at, without a section to say how */
    provision_process.start(fake.driver, &leaving, 4);
    provision_process.stop(fake.driver, 4, 3);
    e = wait_for(EVENT_EXITED, &at);
    assert_string_equal(e->text, "exited with status 5"); /* by the signal it was promised */
    assert_int_equal(fake.child_count, 1);
}

/* It comes back into the configuration: what runs is as it was, and more can be started. */
static void test_leaving_service_comes_back(void **state)
{
    const struct driver_service leaving = { .slot = 4, .name = "shop" };
    size_t at = 0;
    provision_process.start(fake.driver, &service, 3);
    wait_probe(true, &at);
    come_back(&leaving, 1);
    wait_for(EVENT_FOUND_ALL, &at);
    provision_process.set_services(fake.driver, &service, 1);
    provision_process.start(fake.driver, &service, 4);
    const struct event *e = wait_for(EVENT_STARTED, &at);
    assert_int_equal(e->number, 4);
    do {
        e = wait_probe(true, &at);
    } while (e->number != 4);
    provision_process.stop(fake.driver, 4, 3);
    e = wait_for(EVENT_EXITED, &at);
    assert_int_equal(e->number, 3);
}

/* Two instances never get the same port, even before either of them listens. */
static void test_ports_differ(void **state)
{
    size_t at = 0;
    char first[128];
    provision_process.start(fake.driver, &service, 1);
    provision_process.start(fake.driver, &service, 2);
    wait_for(EVENT_STARTED, &at);
    strcpy(first, fake.addresses[at - 1]);
    wait_for(EVENT_STARTED, &at);
    assert_string_not_equal(first, fake.addresses[at - 1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--app") == 0)
        app_main();
    if (!realpath("/proc/self/exe", program))
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_http_and_back),
        TEST(test_health_probe_differs_from_readiness),
        TEST(test_unix_socket),
        TEST(test_exec_probe),
        TEST(test_exits_at_once),
        TEST(test_no_such_command),
        TEST(test_foreign_listener_is_not_ready),
        TEST(test_ignores_term),
        TEST(test_stop_of_what_is_not_there),
        TEST(test_stop_while_starting),
        TEST(test_another_controller_finds_it),
        TEST(test_unknown_service_is_ended_after_its_drain),
        TEST(test_unknown_keeps_its_name),
        TEST(test_leaving_service_is_found),
        TEST(test_leaving_service_comes_back),
        TEST(test_ports_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
