/* The section `run`, commands, ports and logs: everything of the process driver that needs no
 * process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/us.h"
#include "base/util.h"
#include "config/config.h"
#include "drivers/process/process.h"

static struct arena arena;
static struct link_start start;

static int set_up(void **state)
{
    arena_init(&arena, malloc, free, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_done(&arena);
    return 0;
}

/* The section of a service with these lines under `run:`, or NULL with the first error. */
static const struct process_conf *parse(const char *run, struct err *err)
{
    static const struct schema_section *const provisioners[] = { &process_section, NULL };
    static const struct config_sections sections = { .provisioners = provisioners };
    static struct err errors[4];
    struct config *config;
    char text[2048];
    size_t count = 0;
    int n = snprintf(text, sizeof(text), "services: {shop: {listen: 80, run: {%s}}}\n", run);
    int rc =
        config_parse(&arena, "t.yaml", text, (size_t)n, &sections, 0, &config, errors, 4, &count);
    if (rc < 0) {
        if (err)
            *err = errors[0];
        return NULL;
    }
    return config->services[0].driver_conf;
}

static void test_defaults(void **state)
{
    const struct process_conf *c = parse("command: [node, app.js]", NULL);
    assert_non_null(c);
    assert_int_equal(c->command.count, 2);
    assert_int_equal(c->port_min, 21000);
    assert_int_equal(c->port_max, 28999);
    assert_int_equal(c->ready.within_us, 30 * US_PER_S);
    assert_int_equal(process_start_within_us(c), 30 * US_PER_S);
    assert_int_equal(c->stop.grace_us, 10 * US_PER_S);
    assert_int_equal(process_stop_signal(c), SIGTERM);
    assert_int_equal(c->log.size_bytes, 10 << 20);
    assert_int_equal(c->log.keep, 3);
    assert_false(process_uses_socket(c));
}

static void test_all_keys(void **state)
{
    const struct process_conf *c = parse(
        "command: [app, --at, '{socket}'], env: {A: b}, env-file: /e, directory: /srv, user: web, "
        "group: www, ports: 3000-3001, ready: {http: /ok, within: 5s, interval: 100ms}, stop: "
        "{signal: QUIT, grace: 1m}, limits: {open-files: 100, memory: 1GiB, processes: 7, core: "
        "none}, log: {size: 1MiB, keep: 0}",
        NULL);
    assert_non_null(c);
    assert_string_equal(c->env.values[0], "b");
    assert_string_equal(c->ready.http, "/ok");
    assert_int_equal(process_stop_signal(c), SIGQUIT);
    assert_int_equal(c->limits.memory_bytes, 1 << 30);
    assert_int_equal(c->limits.core, PROCESS_CORE_NONE);
    assert_int_equal(c->port_max, 3001);
    assert_true(process_uses_socket(c));
}

static void test_refuses(void **state)
{
    static const struct {
        const char *run, *says;
    } rows[] = {
        { "directory: /", "command" },
        { "command: []", "command" },
        { "command: a, ports: 9-3", "range of ports" },
        { "command: a, ports: 1-99999", "range of ports" },
        { "command: a, ready: {http: x}", "begins with /" },
        { "command: a, ready: {http: /x, tcp: true}", "one of" },
        { "command: a, stop: {signal: SEGV}", "SEGV" },
        { "command: a, comand: b", "comand" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = { 0 };
        if (parse(rows[i].run, &err))
            fail_msg("taken: %s", rows[i].run);
        if (!strstr(err.text, rows[i].says) && !strstr(err.place, rows[i].says))
            fail_msg("%s: says \"%s\"", rows[i].run, err.text);
    }
}

static void test_template(void **state)
{
    static const struct {
        const char *run;
        bool same;
    } rows[] = {
        { "command: [a, b], env: {X: 1}", true },
        { "command: [a, b], env: {X: 1}, ready: {http: /}", true },
        { "command: [a, b], env: {X: 1}, stop: {grace: 1s}", true },
        { "command: [a, b], env: {X: 1}, ports: 4000-5000", true },
        { "command: [ab], env: {X: 1}", false },
        { "command: [a, b, ''], env: {X: 1}", false },
        { "command: [a, b], env: {X: 2}", false },
        { "command: [a, b], env: {Y: 1}", false },
        { "command: [a, b], env: {X: 1}, user: web", false },
        { "command: [a, b], env: {X: 1}, group: web", false },
        { "command: [a, b], env: {X: 1}, directory: /", false },
        { "command: [a, b], env: {X: 1}, listen: socket", false },
        { "command: [a, b], env: {X: 1}, limits: {memory: 1GiB}", false },
    };
    uint64_t first = process_template(parse(rows[0].run, NULL), true);
    for (size_t i = 1; i < ARRAY_LEN(rows); i++)
        if ((process_template(parse(rows[i].run, NULL), true) == first) != rows[i].same)
            fail_msg("%s", rows[i].run);
}

static int build(const char *run, const char *address, struct err *err)
{
    struct process_identity who = {
        .name = "shop-3", .service = "shop", .address = address, .meta = "m", .log_path = "/l"
    };
    return process_command(parse(run, NULL), &who, false, &arena, &start, err);
}

static const char *env_of(const char *name)
{
    static char value[256];
    size_t n = strlen(name), found = 0;
    for (uint32_t i = 0; i < start.envc; i++) {
        struct slice e = start.env[i];
        if (e.n > n && memcmp(e.p, name, n) == 0 && e.p[n] == '=' && ++found == 1)
            snprintf(value, sizeof(value), "%.*s", (int)(e.n - n - 1), e.p + n + 1);
    }
    assert_true(found <= 1);
    return found ? value : NULL;
}

static void test_command(void **state)
{
    static const struct {
        const char *run, *address;
        const char *argv[4];
    } rows[] = {
        { "command: [app, '--port={port}', x]",
          "tcp:127.0.0.1:21005",
          { "app", "--port=21005", "x" } },
        { "command: [app, '{socket}']", "unix:/s", { "app", "/s" } },
        { "command: [app, '{instance}/{service}{other}{']",
          "unix:/s",
          { "app", "shop-3/shop{other}{" } },
        { "command: app", "unix:/s", { "app" } },
        { "command: 'app -p {port}'", "tcp:127.0.0.1:8", { "/bin/sh", "-c", "exec app -p 8" } },
        { "command: cd x && app", "unix:/s", { "/bin/sh", "-c", "cd x && app" } },
        { "command: A=b app", "unix:/s", { "/bin/sh", "-c", "A=b app" } },
        { "command: 'exec app -p {port}'",
          "tcp:127.0.0.1:8",
          { "/bin/sh", "-c", "exec app -p 8" } },
        { "command: '  exec app'", "unix:/s", { "/bin/sh", "-c", "exec app" } },
        { "command: . ./run.sh", "unix:/s", { "/bin/sh", "-c", ". ./run.sh" } },
        { "command: executor x", "unix:/s", { "/bin/sh", "-c", "exec executor x" } },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t argc = 0;
        assert_int_equal(build(rows[i].run, rows[i].address, NULL), 0);
        for (; argc < 4 && rows[i].argv[argc]; argc++)
            if (argc >= start.argc || !slice_eq(start.argv[argc], slice_of(rows[i].argv[argc])))
                fail_msg("%s: word %u", rows[i].run, argc);
        assert_int_equal(start.argc, argc);
    }
}

static void test_environment(void **state)
{
    char path[] = "/tmp/plimsoll-env-XXXXXX", run[256];
    int fd = mkstemp(path);
    static const char file[] = "# comment\nexport FROM_FILE=\"a b\"\nBOTH=file\n\nnonsense\n";
    assert_int_equal(write(fd, file, sizeof(file) - 1), sizeof(file) - 1);
    close(fd);
    setenv("FROM_OWN", "own", 1);
    setenv("BOTH", "own", 1);
    setenv("PLIMSOLL_KEEPER_FD", "7", 1);
    snprintf(run, sizeof(run), "command: a, env-file: %s, env: {BOTH: 'conf {port}', X: y}", path);
    assert_int_equal(build(run, "tcp:127.0.0.1:21005", NULL), 0);
    assert_string_equal(env_of("PORT"), "21005");
    assert_string_equal(env_of("FROM_OWN"), "own");
    assert_string_equal(env_of("FROM_FILE"), "a b");
    assert_string_equal(env_of("BOTH"), "conf 21005");
    assert_null(env_of("PLIMSOLL_KEEPER_FD"));
    assert_null(env_of("SOCKET"));
    assert_int_equal(start.memory_bytes_max, -1);
    unlink(path);
    struct err err;
    assert_int_equal(build(run, "unix:/s", &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
}

static void test_environment_of_a_user(void **state)
{
    setenv("FROM_OWN", "own", 1);
    setenv("LANG", "C.UTF-8", 1);
    setenv("HOME", "/somewhere/else", 1);
    assert_int_equal(build("command: a, user: daemon, env: {X: y, SHELL: /bin/other}",
                           "tcp:127.0.0.1:21005", NULL),
                     0);
    assert_null(env_of("FROM_OWN"));
    assert_non_null(env_of("PATH"));
    assert_string_equal(env_of("LANG"), "C.UTF-8");
    assert_string_equal(env_of("HOME"), getpwnam("daemon")->pw_dir);
    assert_string_equal(env_of("USER"), "daemon");
    assert_string_equal(env_of("LOGNAME"), "daemon");
    assert_string_equal(env_of("SHELL"), "/bin/other");
    assert_string_equal(env_of("X"), "y");
    assert_int_equal(build("command: a, user: no-such-user", "unix:/s", NULL), 0);
    assert_null(env_of("HOME")); /* the keeper refuses it */
}

static bool is_taken(void *ctx, uint16_t port)
{
    return port == *(uint16_t *)ctx;
}

static void test_port(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&a, &bytes);
    uint16_t used = ntohs(a.sin_port), none = 0;
    int64_t next = used;
    assert_int_equal(process_choose_port(used, used, &next, is_taken, &none), 0);
    close(fd);
    assert_int_equal(process_choose_port(used, used, &next, is_taken, &none), used);
    assert_int_equal(process_choose_port(used, used, &next, is_taken, &used), 0);
}

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void check_file(const char *path, const char *wanted)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (!wanted) {
        assert_int_equal(fd, -1);
        return;
    }
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    assert_string_equal(text, wanted);
}

static void test_log_rotation(void **state)
{
    char dir[] = "/tmp/plimsoll-log-XXXXXX", path[64], rotated[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a.log", dir);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    write_text(fd, "first");
    assert_int_equal(process_log_rotate(path, 5, 2), 0); /* not larger */
    check_file(path, "first");
    assert_int_equal(process_log_rotate(path, 4, 2), 0);
    write_text(fd, "second"); /* the same descriptor writes on, at the new beginning */
    check_file(path, "second");
    assert_int_equal(process_log_rotate(path, 4, 2), 0);
    write_text(fd, "third");
    assert_int_equal(process_log_rotate(path, 4, 2), 0);
    check_file(path, "");
    snprintf(rotated, sizeof(rotated), "%s.1", path);
    check_file(rotated, "third");
    snprintf(rotated, sizeof(rotated), "%s.2", path);
    check_file(rotated, "second");
    snprintf(rotated, sizeof(rotated), "%s.3", path);
    check_file(rotated, NULL);
    close(fd);
    process_log_remove(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_all_keys),
        TEST(test_refuses),
        TEST(test_template),
        TEST(test_command),
        TEST(test_environment),
        TEST(test_environment_of_a_user),
        TEST(test_port),
        TEST(test_log_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
