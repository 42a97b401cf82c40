/* The command line as a configuration: what it becomes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "config/config.h"
#include "config/flags.h"
#include "sys/mem.h"

#include "unit/config/driver_section.h"

static const char *const listen_8080[] = { ":8080" };
static const char *const node[] = { "/usr/bin/Node_20.sh", "server.js",
                                    "--say=\"a\\b\"\n\x01\xc3\xa4" };

static char text[65536];
static struct arena arena;

static struct config *build(const struct config_flags *flags)
{
    struct str out;
    struct err err = { 0 }, errors[4];
    size_t count;
    struct config *config = NULL;
    str_init(&out, text, sizeof(text));
    if (config_from_flags(flags, &out, &err) < 0)
        fail_msg("%s", err.text);
    arena_done(&arena);
    mem_arena_init(&arena, (size_t)16 << 20);
    if (config_parse(&arena, "command line", text, out.len, &test_all_sections, 0, &config, errors,
                     ARRAY_LEN(errors), &count) < 0)
        fail_msg("%s: %s\n%s", errors[0].place, errors[0].text, text);
    return config;
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static void test_smallest(void **state)
{
    const struct config *c = build(&(struct config_flags){
        .listen = listen_8080, .listen_count = 1, .command = node, .command_count = 3 });
    const struct config_service *s = &c->services[0];
    const struct test_run *run = s->driver_conf;
    assert_string_equal(s->name, "node-20-sh");
    assert_string_equal(s->listeners[0], "tcp:*:8080");
    assert_true(s->scale_defaulted);
    assert_int_equal(run->command.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(run->command.items[i], node[i]);
}

static void test_everything(void **state)
{
    static const char *const listens[] = { ":8080", "unix:/run/a.sock" };
    static const char *const targets[] = { "concurrency=20", "cpu=60%" };
    static const char *const env[] = { "A=b=c", "EMPTY=" };
    const struct config *c = build(&(struct config_flags){ .listen = listens,
                                                           .listen_count = 2,
                                                           .name = "shop",
                                                           .balance = "random-two",
                                                           .min = "0",
                                                           .max = "8",
                                                           .max_concurrency = "5",
                                                           .queue_deadline = "3s",
                                                           .drain = "7s",
                                                           .target = targets,
                                                           .target_count = 2,
                                                           .ready = "/up",
                                                           .ready_within = "9s",
                                                           .admin = "off",
                                                           .state = "/tmp/x",
                                                           .env = env,
                                                           .env_count = 2,
                                                           .command = node,
                                                           .command_count = 2 });
    const struct config_service *s = &c->services[0];
    const struct test_run *run = s->driver_conf;
    assert_string_equal(c->admin, "off");
    assert_string_equal(c->state, "/tmp/x");
    assert_string_equal(s->name, "shop");
    assert_int_equal(s->listener_count, 2);
    assert_string_equal(s->balance, "random-two");
    assert_int_equal(s->max_concurrency, 5);
    assert_int_equal(s->queue_deadline_us, 3 * US_PER_S);
    assert_int_equal(s->drain_us, 7 * US_PER_S);
    assert_int_equal(s->scale->min, 0);
    assert_int_equal(s->scale->max, 8);
    assert_string_equal(s->scale->rules[0].name, "target concurrency 20");
    assert_string_equal(s->scale->rules[1].name, "target cpu 60%");
    assert_string_equal(run->ready.http, "/up");
    assert_int_equal(run->ready.within_us, 9 * US_PER_S);
    assert_string_equal(run->env.names[0], "A");
    assert_string_equal(run->env.values[0], "b=c");
    assert_string_equal(run->env.values[1], "");
}

static void test_names(void **state)
{
    static const struct {
        const char *program, *name;
    } cases[] = {
        { "node", "node" },
        { "./a_b--c", "a-b-c" },
        { "/x/-.-", "app" },
        { "dir/", "app" },
        { "PYTHON3.11", "python3-11" },
        { "a123456789b123456789c123456789d123456789e12345678-f",
          "a123456789b123456789c123456789d123456789e1234567" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct config *c = build(&(struct config_flags){ .listen = listen_8080,
                                                               .listen_count = 1,
                                                               .command = &cases[i].program,
                                                               .command_count = 1 });
        assert_string_equal(c->services[0].name, cases[i].name);
    }
}

static void test_names_of_interpreted_programs(void **state)
{
    static const struct {
        const char *command[4];
        const char *name;
    } cases[] = {
        { { "node", "server.js" }, "server" },
        { { "/usr/bin/python3", "-u", "shop/app.py" }, "app" },
        { { "python3.11", "-m", "http.server" }, "http-server" },
        { { "java", "-jar", "shop.jar" }, "shop" },
        { { "python3", "-c", "print(1)" }, "python3" },
        { { "./server.js", "x.js" }, "server-js" },
        { { "nodes", "x.js" }, "nodes" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = 0;
        while (n < 4 && cases[i].command[n])
            n++;
        const struct config *c = build(&(struct config_flags){ .listen = listen_8080,
                                                               .listen_count = 1,
                                                               .command = cases[i].command,
                                                               .command_count = n });
        assert_string_equal(c->services[0].name, cases[i].name);
    }
}

static void test_refused(void **state)
{
    static const char *const bad_target[] = { "concurrency" }, *const bad_env[] = { "=x" };
    static const char *const bad_bytes[] = { "a\xff" };
    static const struct {
        struct config_flags flags;
        const char *text;
    } cases[] = {
        { { .listen = listen_8080, .listen_count = 1 }, "nothing to run" },
        { { .command = node, .command_count = 1 }, "nowhere to listen" },
        { { .listen = listen_8080,
            .listen_count = 1,
            .command = node,
            .command_count = 1,
            .target = bad_target,
            .target_count = 1 },
          "--target concurrency: write METRIC=VALUE" },
        { { .listen = listen_8080,
            .listen_count = 1,
            .command = node,
            .command_count = 1,
            .env = bad_env,
            .env_count = 1 },
          "--env =x: write KEY=VALUE" },
        { { .listen = listen_8080,
            .listen_count = 1,
            .command = node,
            .command_count = 1,
            .ready = "udp" },
          "--ready udp" },
        { { .listen = listen_8080, .listen_count = 1, .command = bad_bytes, .command_count = 1 },
          "UTF-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str out;
        struct err err = { 0 };
        str_init(&out, text, sizeof(text));
        assert_int_equal(config_from_flags(&cases[i].flags, &out, &err), -EINVAL);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

static void test_too_long(void **state)
{
    struct str out;
    struct err err = { 0 };
    str_init(&out, text, 40);
    assert_int_equal(config_from_flags(&(struct config_flags){ .listen = listen_8080,
                                                               .listen_count = 1,
                                                               .command = node,
                                                               .command_count = 1 },
                                       &out, &err),
                     -ENOBUFS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smallest), cmocka_unit_test(test_everything),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_names_of_interpreted_programs),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
