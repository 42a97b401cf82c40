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

/* The one that is running, or NULL. */
static const struct config_service *running(const char *name)
{
    for (uint32_t i = 0; i < w.c.config->service_count; i++)
        if (strcmp(w.c.config->services[i].name, name) == 0)
            return &w.c.config->services[i];
    return NULL;
}

static void test_each_fault(void **state)
{
    const char *said = describe(ARRAY_LEN(wrong), wrong);
    assert_non_null(strstr(said, "label mxa of c: "));
    assert_non_null(strstr(said, "did you mean \"max\""));
    assert_non_null(strstr(said, "label mni of c: "));
    assert_non_null(strstr(said, "label listen of b: "));
    assert_null(strstr(said, "label target of b"));
    assert_non_null(strstr(said, "service b is left out, because "));
    assert_null(strstr(said, " of a: "));
    assert_int_equal(trouble_count(), 4);
    assert_int_equal(w.c.config->service_count, 2);
    assert_string_equal(describe(ARRAY_LEN(wrong), wrong), "");
}

/* It runs by now: what is still wrong leaves the whole as it is. */
static void test_one_put_right(void **state)
{
    describe(ARRAY_LEN(wrong), wrong);
    const char *said = describe(3, (struct driver_discovery[]){ wrong[0], wrong[1], better });
    assert_non_null(strstr(said, "over: label mni of c: "));
    assert_non_null(strstr(said, "; service c goes on as it was\n"));
    assert_int_equal(trouble_count(), 3);
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
    assert_int_equal(trouble_count(), 4);
    arena_done(&arena);
}

/* --- who was there first stays --- */

/* Two that want the same listener, and one that wants the other's name as well. */
static const struct driver_discovery shop =
    SERVICE("shop", "    listen: \":8081\"\n", "listen of shop");
static const struct driver_discovery another =
    SERVICE("another", "    listen: \":8081\"\n", "listen of another");
static const struct driver_discovery same_name = {
    .name = "shop",
    .text = "  # service dup\n  \"shop\":\n    fake: {}\n    listen: \":8085\"\n",
    .places =
        (const char *const[]){ "service dup", "label name of dup", "service dup", "listen of dup" },
    .line_count = 4,
};

static const struct {
    const struct driver_discovery *newcomer;
    const char *said;
} newcomers[] = {
    { &another, "listen of another: " },
    { &same_name, "label name of dup: service shop and service dup both want the name shop; "
                  "service dup is left "
                  "out\n" },
};

static void test_newcomers(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(newcomers); i++) {
        describe(1, &shop);
        const char *said = describe(2, (struct driver_discovery[]){ *newcomers[i].newcomer, shop });
        if (!strstr(said, newcomers[i].said))
            fail_msg("%s", said);
        assert_null(strstr(said, "of shop: "));
        assert_string_equal(running("shop")->listeners[0], "tcp:*:8081");
        assert_string_equal(
            describe(2, (struct driver_discovery[]){ *newcomers[i].newcomer, shop }), "");
        describe(1, newcomers[i].newcomer); /* the other one has gone: now it is free */
        assert_int_equal(trouble_count(), 0);
        assert_int_equal(w.c.config->service_count, 1);
        assert_int_equal(w.c.config->services[0].listener_count, 1);
        describe(0, w.items);
    }
}

/* Another controller, with the configuration that ran and no memory of its own. */
static void test_newcomers_after_a_restart(void **state)
{
    describe(1, &shop);
    for (size_t i = 0; i < ARRAY_LEN(newcomers); i++) {
        discovery_close(&w.c);
        uv_run(&w.c.loop, UV_RUN_DEFAULT);
        describe(2, (struct driver_discovery[]){ *newcomers[i].newcomer, shop });
        assert_string_equal(running("shop")->listeners[0], "tcp:*:8081");
        assert_true(discovery_trouble(&w.c, 0) && !strstr(discovery_trouble(&w.c, 0), "of shop: "));
    }
}

/* Nobody runs yet: the engine's order, the oldest first, says who was there first. */
static void test_together(void **state)
{
    describe(2, (struct driver_discovery[]){ shop, another });
    assert_string_equal(running("shop")->listeners[0], "tcp:*:8081");
    assert_true(!running("another") || running("another")->listener_count == 0);
}

/* Before the engines are heard: what ran, also as 0.2 has written it down. */
static void test_recalled(void **state)
{
    static const char text[] = BASE "\n---\n# found in engines\nservices:\n"
                                    "  \"shop\":\n    \"fake\": {}\n    \"listen\": \":8081\"\n"
                                    "  \"web\":\n    \"fake\": {}\n    \"listen\": \":8082\"\n";
    struct arena arena;
    struct config *config;
    struct err errors[4];
    size_t count;
    arena_done(&w.arena);
    assert_int_equal(controller_parse_config(&w.arena, "c.yaml", text, strlen(text), &w.c.config,
                                             errors, ARRAY_LEN(errors), &count),
                     0);
    mem_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(discovery_load(&w.c, &arena, &config, errors, ARRAY_LEN(errors), &count), 0);
    assert_int_equal(config->service_count, 2);
    assert_string_equal(config->services[1].listeners[0], "tcp:*:8082");
    assert_int_equal(trouble_count(), 0);
    arena_done(&arena);
    describe(1, &shop);
    assert_int_equal(trouble_count(), 0);
    assert_int_equal(w.c.config->service_count, 1);
}

/* --- a service that runs is never taken in part --- */

static const struct driver_discovery good =
    SERVICE("s", "    listen: \":8081\"\n    scale:\n      min: 2\n      max: 10\n", "listen of s",
            "service s", "min of s", "max of s");
static const struct driver_discovery bad_max =
    SERVICE("s", "    listen: \":8081\"\n    scale:\n      min: 3\n      max: 10x\n", "listen of s",
            "service s", "min of s", "max of s");
static const struct driver_discovery taken_listener =
    SERVICE("s", "    listen: \":8082\"\n    scale:\n      min: 3\n      max: 10\n", "listen of s",
            "service s", "min of s", "max of s");
static const struct driver_discovery taken_name = {
    .name = "t",
    .text = "  # service s\n  \"t\":\n    fake: {}\n",
    .places = (const char *const[]){ "service s", "name of s", "service s" },
    .line_count = 3,
};
static const struct driver_discovery other = SERVICE("t", "    listen: \":8082\"\n", "listen of t");

static const struct {
    const struct driver_discovery *now;
    const char *said;
} spoilt[] = {
    { &bad_max, "max of s: " },
    { &taken_listener, "listen of s: " },
    { &taken_name, "service s both want the name t" },
};

static void test_what_runs_goes_on(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
        describe(2, (struct driver_discovery[]){ good, other });
        const char *said = describe(2, (struct driver_discovery[]){ *spoilt[i].now, other });
        assert_non_null(strstr(said, spoilt[i].said));
        assert_non_null(strstr(said, "; service s goes on as it was\n"));
        assert_int_equal(trouble_count(), 1);
        assert_int_equal(running("s")->scale->min, 2);
        assert_int_equal(running("s")->scale->max, 10);
        assert_string_equal(running("s")->listeners[0], "tcp:*:8081");
        assert_string_equal(running("t")->listeners[0], "tcp:*:8082");
        assert_string_equal(describe(2, (struct driver_discovery[]){ *spoilt[i].now, other }), "");
        discovery_close(&w.c);
        uv_run(&w.c.loop, UV_RUN_DEFAULT);
        describe(2, (struct driver_discovery[]){ *spoilt[i].now, other });
        assert_int_equal(running("s")->scale->max, 10);
        describe(2, (struct driver_discovery[]){ good, other });
        assert_int_equal(trouble_count(), 0);
    }
}

/* A change that is right is taken, also where two change places. */
static const struct driver_discovery at_first[] = {
    SERVICE("s", "    listen: \":8081\"\n", "listen of s"),
    SERVICE("t", "    listen: \":8082\"\n", "listen of t"),
};
static const struct driver_discovery swapped[] = {
    SERVICE("s", "    listen: \":8082\"\n", "listen of s"),
    SERVICE("t", "    listen: \":8081\"\n", "listen of t"),
};

static void test_two_change_places(void **state)
{
    describe(2, at_first);
    assert_string_equal(describe(2, swapped), "");
    assert_string_equal(running("s")->listeners[0], "tcp:*:8082");
    assert_string_equal(running("t")->listeners[0], "tcp:*:8081");
}

/* --- in the words of those who wrote the labels --- */

static const struct driver_discovery twice =
    SERVICE("s", "    listen: \":8081\"\n    scale:\n      min: 2\n      max: 3\n      min: 3\n",
            "listen of s", "service s", "label min of s", "max of s", "label scale.min of s");
static const struct driver_discovery no_listener =
    SERVICE("u", "    scale:\n      max: 3\n      min: 2\n", "service u", "label max of u",
            "label min of u");

static void test_no_lines_of_a_text_nobody_wrote(void **state)
{
    const char *said = describe(1, &twice);
    assert_non_null(strstr(said, "label scale.min of s: "));
    assert_non_null(strstr(said, "the first is label min of s"));
    said = describe(1, &no_listener);
    assert_non_null(strstr(said, "service u: services.u.scale: \"u\" has no listener"));
    assert_null(strstr(said, "label max of u: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_put_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newcomers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newcomers_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recalled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_runs_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_change_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_lines_of_a_text_nobody_wrote, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
