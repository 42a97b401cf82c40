/* What engines describe, with mistakes in it: each is told once and by itself, what follows from
 * one is not, and the rest becomes the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "controller/controller_int.h"
#include "controller/discovery.h"
#include "sys/mem.h"
#include "unit/store/scratch.h"

#define BASE "engine: {discover: true}\n"

/* --- an engine, and the rest of the controller, in place of the real ones --- */

static struct world {
    struct controller c;
    struct controller_options options;
    struct arena arena;
    struct driver_discovery items[4];
    size_t item_count;
    char notes[2000];
    struct str said;
} w;

static const struct schema_key service_keys[] = { { 0 } };
static const struct schema_section service_section = { .name = "fake",
                                                       .size_bytes = 8,
                                                       .keys = service_keys };
static const struct schema_key engine_keys_here[] = {
    { .name = "discover", .type = SCHEMA_BOOL, .fallback = "false" },
    { 0 },
};
static const struct schema_section engine_section = { .name = "engine",
                                                      .size_bytes = 8,
                                                      .keys = engine_keys_here };

static uint64_t no_template(const void *conf, bool serves)
{
    return 1;
}

static int64_t a_second(const void *conf)
{
    return US_PER_S;
}

static size_t discover(void *self, struct driver_discovery *items, size_t cap)
{
    memcpy(items, w.items, w.item_count * sizeof(*items));
    return w.item_count;
}

static const struct provision_ops fake = { .name = "fake",
                                           .section = &service_section,
                                           .engine = &engine_section,
                                           .template = no_template,
                                           .start_within_us = a_second,
                                           .discover = discover };
const struct provision_ops *const provision_all[] = { &fake, NULL };
const struct source_ops *const source_all[] = { NULL };
const struct feed_ops *const feed_all[] = { NULL };

void controller_note(struct controller *c, enum store_event_kind kind, const char *service,
                     const char *instance, const char *format, ...)
{
    va_list args;
    if (kind == STORE_EVENT_CONFIG)
        return;
    str_put(&w.said, kind == STORE_EVENT_RESOLVED ? "over: " : "");
    va_start(args, format);
    str_putv(&w.said, format, args);
    va_end(args);
    str_put(&w.said, "\n");
}

int controller_apply(struct controller *c, struct arena *arena, struct config *config,
                     struct err *err)
{
    arena_done(&w.arena);
    w.arena = *arena;
    c->config = config;
    return 0;
}

/* --- */

static int setup(void **state)
{
    struct err errors[4];
    size_t count;
    memset(&w, 0, sizeof(w));
    if (scratch_make(state) < 0)
        return -1;
    FILE *f = fopen(scratch_path("c.yaml"), "w");
    fputs(BASE, f);
    fclose(f);
    w.options.config_path = scratch_path("c.yaml");
    w.c.options = &w.options;
    w.c.phase = PHASE_LIVE;
    w.c.provisioners[0] = &w;
    uv_loop_init(&w.c.loop);
    mem_arena_init(&w.arena, (size_t)16 << 20);
    return controller_parse_config(&w.arena, w.options.config_path, BASE, strlen(BASE), &w.c.config,
                                   errors, ARRAY_LEN(errors), &count);
}

static int teardown(void **state)
{
    discovery_close(&w.c);
    uv_run(&w.c.loop, UV_RUN_DEFAULT);
    uv_loop_close(&w.c.loop);
    arena_done(&w.arena);
    return scratch_drop(state);
}

/* What is said of services that are described like this, from now on. */
static const char *describe(size_t count, const struct driver_discovery *items)
{
    memcpy(w.items, items, count * sizeof(*items));
    w.item_count = count;
    str_init(&w.said, w.notes, sizeof(w.notes));
    controller_rediscover(&w.c);
    uv_run(&w.c.loop, UV_RUN_DEFAULT);
    return w.notes;
}

static size_t trouble_count(void)
{
    size_t n = 0;
    while (discovery_trouble(&w.c, n))
        n++;
    return n;
}

#define SERVICE(name_, text_, ...)                                                          \
    {                                                                                       \
        .name = name_, .text = "  " name_ ":\n    fake: {}\n" text_,                        \
        .places = (const char *const[]){ "service " name_, "service " name_, __VA_ARGS__ }, \
        .line_count = 2 + ARRAY_LEN(((const char *const[]){ __VA_ARGS__ }))                 \
    }

static const struct driver_discovery wrong[] = {
    SERVICE("a", "    listen: \":8081\"\n", "label listen of a"),
    SERVICE("b",
            "    listen: \":8081\"\n    scale:\n      max: 3\n      rules:\n        - "
            "target: {metric: concurrency, value: 4}\n",
            "label listen of b", "service b", "label max of b", "service b", "label target of b"),
    SERVICE("c", "    listen: \":8083\"\n    scale:\n      mxa: 3\n      mni: 1\n",
            "label listen of c", "service c", "label mxa of c", "label mni of c"),
};

static const struct driver_discovery better =
    SERVICE("c", "    listen: \":8083\"\n    scale:\n      mxa: 3\n", "label listen of c",
            "service c", "label mxa of c");

static void test_each_fault(void **state)
{
    const char *said = describe(ARRAY_LEN(wrong), wrong);
    assert_non_null(strstr(said, "label mxa of c: "));
    assert_non_null(strstr(said, "did you mean \"max\""));
    assert_non_null(strstr(said, "label mni of c: "));
    assert_non_null(strstr(said, "label listen of b: "));
    assert_null(strstr(said, "label target of b"));
    assert_null(strstr(said, " of a: "));
    assert_int_equal(trouble_count(), 3);
    assert_int_equal(w.c.config->service_count, 2);
    assert_string_equal(describe(ARRAY_LEN(wrong), wrong), "");
}

static void test_one_put_right(void **state)
{
    describe(ARRAY_LEN(wrong), wrong);
    const char *said = describe(3, (struct driver_discovery[]){ wrong[0], wrong[1], better });
    assert_true(strncmp(said, "over: label mni of c: ", 22) == 0);
    assert_null(strstr(strchr(said, '\n') + 1, "\n"));
    assert_int_equal(trouble_count(), 2);
}

/* A reload reads the file anew, and the engines are as wrong as before. */
static void test_reload(void **state)
{
    struct arena arena;
    struct config *config;
    struct err errors[4];
    size_t count;
    describe(ARRAY_LEN(wrong), wrong);
    mem_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(discovery_load(&w.c, &arena, &config, errors, ARRAY_LEN(errors), &count), 0);
    assert_int_equal(config->service_count, 2);
    assert_int_equal(trouble_count(), 3);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_put_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
