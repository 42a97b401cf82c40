/* The exec driver from start to exit, with a plugin of the test's own: this program. Its instances
 * are files in a directory, so that a plugin that is started again finds what the last one left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/us.h"
#include "drivers/plugin/exec_int.h"
#include "sys/clock.h"

#define PATIENCE_US (20 * US_PER_S)
#define EVENTS_MAX 512

/* --- the plugin --- */

static bool exists(const char *name)
{
    return access(name, F_OK) == 0;
}

static void say(const char *format, ...) _printf_(1, 2);
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

static void plugin_list(json_int_t id)
{
    DIR *all = opendir(".");
    const char *comma = "";
    say("{\"id\":%lld,\"ok\":[", (long long)id);
    for (struct dirent *d = readdir(all); d; d = readdir(all)) {
        if (strncmp(d->d_name, "plimsoll-", 9) != 0)
            continue;
        say("%s{\"name\":\"%s\",\"template\":\"ab\",\"drain\":0}", comma, d->d_name);
        comma = ",";
    }
    say("]}\n");
    closedir(all);
}

/* As others would have it, or not: names as addresses, and an end without a word of it. */
static bool plugin_garble(const char *what, json_int_t id, const char *name)
{
    if (strcmp(what, "start") == 0 && exists("garble-start")) {
        close(open(name, O_CREAT | O_WRONLY, 0600));
        say("{\"id\":%lld,\"ok\":{\"name\":\"%s\",\"address\":\"localhost:80\"}}\n", (long long)id,
            name);
    } else if (strcmp(what, "start") == 0 && exists("rename-start")) {
        close(open(name, O_CREAT | O_WRONLY, 0600));
        say("{\"id\":%lld,\"ok\":{\"name\":\"other\"}}\n", (long long)id);
    } else if (strcmp(what, "list") == 0 && exists("garble-list")) {
        say("{\"id\":%lld,\"ok\":[{\"address\":7}]}\n", (long long)id);
    } else if (strcmp(what, "stop") == 0 && exists("garble-stop")) {
        say("{\"id\":%lld}\n", (long long)id);
    } else if (strcmp(what, "start") == 0 && exists("hang-start")) {
        return true;
    } else {
        return false;
    }
    return true;
}

/* A file in the directory says what goes wrong: "lose-start", "die-start", "refuse-start", ... */
static void plugin_obey(const json_t *request)
{
    const char *what = json_string_value(json_object_get(request, "do"));
    const char *name = json_string_value(json_object_get(request, "name"));
    json_int_t id = json_integer_value(json_object_get(request, "id"));
    char fault[64];
    if (!what || plugin_garble(what, id, name))
        return;
    snprintf(fault, sizeof(fault), "refuse-%s", what);
    if (exists(fault)) {
        say("{\"id\":%lld,\"error\":\"not today\"}\n", (long long)id);
        return;
    }
    if (strcmp(what, "list") == 0) {
        plugin_list(id);
        return;
    }
    if (strcmp(what, "start") == 0)
        close(open(name, O_CREAT | O_WRONLY, 0600));
    if (strcmp(what, "stop") == 0)
        unlink(name);
    snprintf(fault, sizeof(fault), "die-%s", what);
    if (exists(fault)) {
        unlink(fault);
        say("{\"id\":%lld,\"o", (long long)id);
        _exit(3);
    }
    snprintf(fault, sizeof(fault), "lose-%s", what);
    if (exists(fault)) {
        unlink(fault);
        return;
    }
    say("{\"id\":%lld,\"ok\":{}}\n", (long long)id);
    if (exists("end-at-once") && name && unlink(name) == 0)
        say("{\"event\":\"exited\",\"name\":\"%s\",\"status\":4}\n", name);
}

static int be_plugin(void)
{
    char line[65536];
    say("{\"plimsoll\":1,\"name\":\"fake\",\"can\":[\"resize\"]}\n");
    while (fgets(line, sizeof(line), stdin)) {
        json_t *request = json_loads(line, 0, NULL);
        plugin_obey(request);
        json_decref(request);
    }
    return 0;
}

/* --- the controller's side --- */

static struct {
    uv_loop_t loop;
    uv_timer_t timer; /* so that waiting ends */
    void *driver;
    char directory[64];
    struct event events[EVENTS_MAX];
    size_t count;
    char notes[16][256];
    size_t note_count;
    bool leads;
} t;

static char program[512];
static const char *command[] = { program, "--plugin" };
static struct exec_conf conf;
static struct driver_service service;

static void on_event(void *ctx, const struct event *e)
{
    assert_true(t.count < EVENTS_MAX);
    t.events[t.count++] = *e;
}

static void on_note(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    if (t.note_count < ARRAY_LEN(t.notes))
        snprintf(t.notes[t.note_count++], sizeof(t.notes[0]), "%s", text);
}

static bool may_act(void *ctx)
{
    return t.leads;
}

static void on_timer(uv_timer_t *timer)
{
}

static void open_driver(void)
{
    const struct driver_env env = { .loop = &t.loop,
                                    .state_dir = t.directory,
                                    .owner = "me",
                                    .emit = on_event,
                                    .may_act = may_act,
                                    .note = on_note };
    struct err err;
    assert_int_equal(provision_exec.open(&env, &t.driver, &err), 0);
    provision_exec.set_services(t.driver, &service, 1);
}

static int set_up(void **state)
{
    memset(&t, 0, sizeof(t));
    strcpy(t.directory, "/tmp/plimsoll-test-XXXXXX");
    if (!mkdtemp(t.directory))
        return -1;
    conf = (struct exec_conf){ .command = { 2, command },
                               .directory = t.directory,
                               .timeout_us = US_PER_S / 5,
                               .ready = { .within_us = 30 * US_PER_S } };
    service = (struct driver_service){ .slot = 4, .name = "shop", .conf = &conf, .template = 0xab };
    t.leads = true;
    uv_loop_init(&t.loop);
    uv_timer_init(&t.loop, &t.timer);
    uv_timer_start(&t.timer, on_timer, 5, 5);
    open_driver();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int tear_down(void **state)
{
    provision_exec.close(t.driver);
    uv_close((uv_handle_t *)&t.timer, NULL);
    uv_run(&t.loop, UV_RUN_DEFAULT); /* until the plugin has ended */
    if (uv_loop_close(&t.loop) != 0)
        return -1;
    return nftw(t.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The first event of that kind from *at on. */
static const struct event *wait_for(enum event_type type, size_t *at)
{
    int64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (clock_now_us() < give_up_us) {
        for (; *at < t.count; (*at)++)
            if (t.events[*at].type == type)
                return &t.events[(*at)++];
        uv_run(&t.loop, UV_RUN_ONCE);
    }
    fail_msg("no event of type %d came", (int)type);
    return NULL;
}

static size_t count_of(enum event_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < t.count; i++)
        n += t.events[i].type == type;
    return n;
}

static void wait_note(const char *part)
{
    int64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (clock_now_us() < give_up_us) {
        for (size_t i = 0; i < t.note_count; i++)
            if (strstr(t.notes[i], part))
                return;
        uv_run(&t.loop, UV_RUN_ONCE);
    }
    fail_msg("no note with \"%s\" came", part);
}

static const char *file(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", t.directory, name);
    return path;
}

static void make_file(const char *name)
{
    close(open(file(name), O_CREAT | O_WRONLY, 0600));
}

static size_t start_one(uint32_t number)
{
    size_t at = t.count;
    provision_exec.start(t.driver, &service, number);
    const struct event *e = wait_for(EVENT_STARTED, &at);
    assert_int_equal(e->number, number);
    assert_int_equal(e->template, 0xab);
    return at;
}

/* --- tests --- */

static void test_life(void **state)
{
    size_t at = start_one(1);
    const struct event *e = wait_for(EVENT_PROBE, &at); /* a worker is ready when it runs */
    assert_true(e->flag);
    assert_true(exists(file("plimsoll-me-shop-1")));
    provision_exec.start(t.driver, &service, 1); /* twice is once */
    provision_exec.stop(t.driver, 4, 1);
    provision_exec.stop(t.driver, 4, 1);
    e = wait_for(EVENT_EXITED, &at);
    assert_int_equal(e->number, 1);
    assert_false(exists(file("plimsoll-me-shop-1")));
    assert_int_equal(count_of(EVENT_STARTED), 1);
    provision_exec.stop(t.driver, 4, 1); /* what is gone is told to be */
    e = wait_for(EVENT_EXITED, &at);
    assert_string_equal(e->text, "was not running");
}

static void test_exit(void **state)
{
    size_t at = 0;
    make_file("end-at-once");
    provision_exec.start(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_false(e->flag);
    assert_int_equal(e->status, 4 << 8);
    assert_string_equal(e->text, "exited with status 4");
}

static void test_refused(void **state)
{
    size_t at = 0;
    make_file("refuse-start");
    provision_exec.start(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_START_FAILED, &at);
    assert_string_equal(e->text, "not today");
}

/* Whoever answers with another name has not started what it was asked for: it may be there, and is
 * ended. */
static void test_renamed(void **state)
{
    size_t at = 0;
    make_file("rename-start");
    provision_exec.start(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_START_FAILED, &at);
    assert_string_equal(e->text,
                        "the plugin answers with the name other instead of plimsoll-me-shop-1");
    while (exists(file("plimsoll-me-shop-1")))
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_int_equal(count_of(EVENT_STARTED), 0);
}

static void test_found(void **state)
{
    size_t at = 0;
    make_file("plimsoll-me-shop-7");
    make_file("plimsoll-other-shop-8"); /* somebody else's */
    provision_exec.list(t.driver);
    const struct event *e = wait_for(EVENT_FOUND, &at);
    assert_int_equal(e->number, 7);
    assert_int_equal(e->template, 0xab);
    wait_for(EVENT_FOUND_ALL, &at);
    assert_int_equal(count_of(EVENT_FOUND), 1);
}

/* Of a service that nobody knows: ended after the drain that it was promised. */
static void test_unknown(void **state)
{
    int64_t give_up_us = clock_now_us() + PATIENCE_US;
    make_file("plimsoll-me-gone-3");
    provision_exec.list(t.driver);
    while (exists(file("plimsoll-me-gone-3")) && clock_now_us() < give_up_us)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_false(exists(file("plimsoll-me-gone-3")));
    assert_int_equal(count_of(EVENT_FOUND), 0);
    assert_int_equal(count_of(EVENT_EXITED), 0);
}

static void test_lost_start(void **state)
{
    start_one(1);
    make_file("lose-start");
    start_one(2); /* by the list */
    wait_note("has not answered the start of plimsoll-me-shop-2 in time");
    assert_int_equal(count_of(EVENT_START_FAILED), 0);
}

static void test_lost_stop(void **state)
{
    size_t at = start_one(1);
    make_file("lose-stop");
    provision_exec.stop(t.driver, 4, 1);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_string_equal(e->text, "is not there any more, says the plugin");
}

static void test_death(void **state)
{
    size_t at = start_one(1);
    make_file("die-start");
    provision_exec.start(t.driver, &service, 2);
    const struct event *e = wait_for(EVENT_DRIVER, &at);
    assert_false(e->flag);
    assert_non_null(strstr(e->text, "exited with status 3"));
    wait_note("ended in the middle of a line");
    e = wait_for(EVENT_DRIVER, &at);
    assert_true(e->flag);
    e = wait_for(EVENT_STARTED, &at);
    assert_int_equal(e->number, 2);
    assert_int_equal(count_of(EVENT_EXITED), 0);
}

static size_t lead_again(uint32_t slot)
{
    size_t at = t.count;
    t.leads = true;
    service.slot = slot;
    provision_exec.set_services(t.driver, &service, 1);
    provision_exec.list(t.driver);
    return at;
}

static void lose_lead(void)
{
    t.leads = false;
    provision_exec.set_services(t.driver, &service, 1);
}

/* Another controller decides now: what waits is dropped without a word, and so is what we knew.
 * When we lead again, the slots may be others'. */
static void test_deposed(void **state)
{
    size_t at = start_one(1);
    t.leads = false;
    provision_exec.start(t.driver, &service, 2);
    provision_exec.stop(t.driver, 4, 1);
    lose_lead();
    make_file("plimsoll-me-shop-3"); /* the other's */
    provision_exec.stop(t.driver, 4, 1);
    at = lead_again(5);
    wait_for(EVENT_FOUND_ALL, &at);
    assert_int_equal(count_of(EVENT_FOUND), 2);
    for (size_t i = 0; i < t.count; i++)
        if (t.events[i].type == EVENT_FOUND)
            assert_int_equal(t.events[i].service, 5);
    assert_int_equal(count_of(EVENT_EXITED) + count_of(EVENT_START_FAILED), 0);
    assert_false(exists(file("plimsoll-me-shop-2")));
    provision_exec.stop(t.driver, 5, 1);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_int_equal(e->service, 5);
}

/* A service's slot changes while its instances run. */
static void test_slots(void **state)
{
    size_t at = start_one(1);
    service.slot = 9;
    provision_exec.set_services(t.driver, &service, 1);
    provision_exec.stop(t.driver, 9, 1);
    const struct event *e = wait_for(EVENT_EXITED, &at);
    assert_int_equal(e->service, 9);
}

static pid_t plugin_pid(void)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%d", &pid) != 1)
        fail_msg("no plugin runs");
    fclose(f);
    return pid;
}

/* What stands in the pipe of a plugin that sleeps is not carried out when it wakes. */
static void test_deposed_pipe(void **state)
{
    start_one(1);
    pid_t pid = plugin_pid();
    kill(pid, SIGSTOP);
    provision_exec.start(t.driver, &service, 2);
    uv_run(&t.loop, UV_RUN_ONCE);
    lose_lead();
    kill(pid, SIGCONT);
    size_t at = lead_again(4);
    wait_for(EVENT_FOUND_ALL, &at);
    assert_int_equal(count_of(EVENT_FOUND), 1);
    assert_false(exists(file("plimsoll-me-shop-2")));
}

/* It runs, and nobody can say where: it is ended. */
static void test_garbled_start(void **state)
{
    int64_t give_up_us = clock_now_us() + PATIENCE_US;
    size_t at = 0;
    make_file("garble-start");
    provision_exec.start(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_START_FAILED, &at);
    assert_string_equal(e->text, "the plugin gives the address \"localhost:80\", which is none of "
                                 "IP:PORT, [IPv6]:PORT and unix:/PATH");
    while (exists(file("plimsoll-me-shop-1")) && clock_now_us() < give_up_us)
        uv_run(&t.loop, UV_RUN_ONCE);
    assert_false(exists(file("plimsoll-me-shop-1")));
    assert_int_equal(count_of(EVENT_EXITED), 0);
}

/* When plimsoll stops it does not wait for ever for a word that can be understood. */
static void test_garbled_end(void **state)
{
    size_t at = start_one(1);
    make_file("garble-list");
    make_file("garble-stop");
    make_file("hang-start");
    provision_exec.start(t.driver, &service, 2);
    service.conf = NULL;
    provision_exec.set_services(t.driver, &service, 1);
    provision_exec.stop(t.driver, 4, 1);
    provision_exec.stop(t.driver, 4, 2);
    for (uint32_t n = 1; n <= 2; n++) {
        const struct event *e = wait_for(EVENT_EXITED, &at);
        assert_string_equal(e->text, "its plugin has not said that it has ended: it may still run");
    }
}

static void test_gone_unseen(void **state)
{
    size_t at = start_one(1);
    unlink(file("plimsoll-me-shop-1"));
    const struct event *e = wait_for(EVENT_EXITED, &at); /* the next list notices */
    assert_true(e->flag);
}

static void test_resize(void **state)
{
    const char *names[] = { "memory" }, *values[] = { "1GiB" };
    size_t at = start_one(1);
    uint64_t before = exec_shape(&conf);
    conf.size = (struct schema_map){ 1, names, values };
    assert_int_not_equal(before, exec_shape(&conf));
    provision_exec.resize(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_RESIZED, &at);
    assert_true(e->flag);
    assert_int_equal(e->shape, exec_shape(&conf));
    make_file("refuse-resize");
    provision_exec.resize(t.driver, &service, 1);
    e = wait_for(EVENT_RESIZED, &at);
    assert_false(e->flag);
    assert_string_equal(e->text, "not today");
}

static void test_no_plugin(void **state)
{
    static const char *none[] = { "/no/such/plugin" };
    size_t at = t.count;
    conf.command = (struct schema_list){ 1, none };
    provision_exec.set_services(t.driver, &service, 1);
    const struct event *e = wait_for(EVENT_DRIVER, &at);
    assert_false(e->flag);
    assert_string_equal(e->text, "plugin (/no/such/plugin) cannot be run: no such file or "
                                 "directory");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--plugin") == 0)
        return be_plugin();
    if (!realpath("/proc/self/exe", program))
        return 1;
    signal(SIGPIPE, SIG_IGN);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_life),         TEST(test_exit),          TEST(test_refused),
        TEST(test_found),        TEST(test_unknown),       TEST(test_death),
        TEST(test_lost_start),   TEST(test_lost_stop),     TEST(test_slots),
        TEST(test_deposed_pipe), TEST(test_garbled_start), TEST(test_garbled_end),
        TEST(test_deposed),      TEST(test_resize),        TEST(test_gone_unseen),
        TEST(test_no_plugin),    TEST(test_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
