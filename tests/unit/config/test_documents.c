/* Several documents in one text: one configuration, whose services stand in any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "config/config.h"
#include "config/flags.h"
#include "sys/mem.h"

#include "unit/config/driver_section.h"

#define SERVICE(name, port) \
    "  " name ": {listen: \":" port "\", run: {command: [a]}, scale: {max: 2}}\n"
#define FOUND "---\nservices:\n"

struct engine_section {
    const char *host;
    bool discover;
};

static const struct schema_key engine_keys_here[] = {
    { .name = "host", .type = SCHEMA_TEXT, .offset = offsetof(struct engine_section, host) },
    { .name = "discover",
      .type = SCHEMA_BOOL,
      .offset = offsetof(struct engine_section, discover),
      .fallback = "false" },
    { 0 },
};
static const struct schema_section engine_section = { .name = "swarm",
                                                      .size_bytes = sizeof(struct engine_section),
                                                      .keys = engine_keys_here };
static const struct schema_section *const tops[] = { &engine_section, NULL };

static struct arena arena;
static struct err errors[4];
static size_t error_count;

static int read_text(const char *text, struct config **ret)
{
    struct config_sections sections = test_all_sections;
    sections.tops = tops;
    arena_done(&arena);
    mem_arena_init(&arena, (size_t)16 << 20);
    return config_parse(&arena, "f", text, strlen(text), &sections, 0, ret, errors,
                        ARRAY_LEN(errors), &error_count);
}

static int teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

static const struct {
    const char *text;
    const char *names[4];
} good[] = {
    { "services:\n" SERVICE("a", "1") FOUND SERVICE("b", "2"), { "a", "b" } },
    { "services:\n" SERVICE("a", "1") FOUND SERVICE("b", "2") FOUND SERVICE("c", "3"),
      { "a", "b", "c" } },
    { "swarm: {discover: true}\n" FOUND SERVICE("b", "2"), { "b" } },
    { "swarm: {discover: true}\n", { 0 } },
    { "swarm: {discover: true}\nservices:\n", { 0 } },
    { "swarm: {discover: true}\nservices: {}\n" FOUND, { 0 } },
    { "swarm: {discover: true}\nservices:\n" SERVICE("a", "1") FOUND, { "a" } },
};

static void test_good(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct config *c;
        if (read_text(good[i].text, &c) < 0)
            fail_msg("%s: %s\n%s", errors[0].place, errors[0].text, good[i].text);
        uint32_t n = 0;
        for (; good[i].names[n]; n++)
            assert_string_equal(c->services[n].name, good[i].names[n]);
        assert_int_equal(c->service_count, n);
        assert_int_equal(config_discovers(c), strstr(good[i].text, "discover") != NULL);
    }
}

static const struct {
    const char *text, *place, *part;
} bad[] = {
    { "swarm: {discover: false}\n", "f:1:1", "services: is missing" },
    { "swarm: {}\n", "f:1:1", "services: is missing" },
    { "services:\n" SERVICE("a", "1") FOUND SERVICE("a", "2"), "f:5:3", "written twice" },
    { "services:\n" SERVICE("a", "1") FOUND SERVICE("b", "1"), "f:5:15", "service \"a\"" },
    { "services:\n" SERVICE("a", "1") FOUND "  b: {run: {command: [a]}, lisen: 1}\n", "f:5:28",
      "unknown key" },
    { "services:\n" SERVICE("a", "1") "---\nstate: /x\n", "f:4:1", "a second document" },
    { "services:\n" SERVICE("a", "1") "---\n[1]\n", "f:4:1", "a document is a map" },
    { "services: 3\n" FOUND SERVICE("b", "2"), "f:1:11", "services: is a single value" },
    { "services:\n" SERVICE("a", "1") FOUND "  b: [\n", "f:", "not valid YAML" },
};

static void test_bad(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config *c;
        assert_int_equal(read_text(bad[i].text, &c), -EINVAL);
        if (strncmp(errors[0].place, bad[i].place, strlen(bad[i].place)) != 0 ||
            !strstr(errors[0].text, bad[i].part))
            fail_msg("%s: %s\n%s", errors[0].place, errors[0].text, bad[i].text);
    }
}

static void test_flag(void **state)
{
    static const char *const listen[] = { ":80" };
    char text[512];
    struct str out;
    struct err err = { 0 };
    struct config *c;
    struct config_flags flags = { .swarm = true, .admin = "off" };
    str_init(&out, text, sizeof(text));
    assert_int_equal(config_from_flags(&flags, &out, &err), 0);
    assert_int_equal(read_text(text, &c), 0);
    assert_true(config_discovers(c));
    assert_string_equal(c->admin, "off");
    flags.listen = listen;
    flags.listen_count = 1;
    assert_int_equal(config_from_flags(&flags, &out, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--swarm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_flag),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
