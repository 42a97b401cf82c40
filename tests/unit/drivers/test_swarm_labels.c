/* Labels as a service of the configuration: what they become, and who is named when one is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "config/config.h"
#include "config/tables.h"
#include "drivers/swarm/swarm.h"
#include "sys/mem.h"

#define L(name, value)          \
    {                           \
        "plimsoll." name, value \
    }

static struct arena labels_arena, config_arena;
static struct err errors[8];
static size_t error_count;
static struct driver_discovery found;

static const struct schema_section *const provisioners[] = { &swarm_section, NULL };
static const struct schema_section *const tops[] = { &swarm_engine_section, NULL };
static const struct config_sections sections = { provisioners, NULL, tops };

static int setup(void **state)
{
    mem_arena_init(&labels_arena, (size_t)16 << 20);
    mem_arena_init(&config_arena, (size_t)16 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_done(&labels_arena);
    arena_done(&config_arena);
    return 0;
}

static int read_labels(const char *service, const struct swarm_label *labels, size_t count,
                       struct config **ret)
{
    static char text[65536];
    int rc = swarm_labels_read(service, labels, count, &labels_arena, &found);
    assert_int_equal(rc, 0);
    size_t n = fmt(text, sizeof(text), "swarm: {discover: true}\n---\nservices:\n%s", found.text);
    return config_parse(&config_arena, "labels", text, n, &sections, 0, ret, errors,
                        ARRAY_LEN(errors), &error_count);
}

/* The place of the first error. */
static const char *blamed(void)
{
    const char *colon = strchr(errors[0].place, ':');
    int line = 0;
    for (const char *p = colon + 1; *p >= '0' && *p <= '9'; p++)
        line = 10 * line + (*p - '0');
    assert_in_range(line, 4, 3 + found.line_count);
    return found.places[line - 4];
}

static void test_everything(void **state)
{
    static const struct swarm_label labels[] = {
        L("enable", "true"),
        L("min", "2"),
        L("max", "12"),
        L("target.cpu", "60%"),
        L("target.concurrency", "20"),
        L("target.concurrency.window", "30s"),
        L("rules.0.schedule.cron", "0 9 * * MON-FRI"),
        L("rules.0.schedule.for", "9h"),
        L("rules.0.schedule.min", "4"),
        L("behavior.down.stabilize", "5m"),
        L("behavior.down.at-most", "10% per 1m"),
        L("listen", ":8080"),
        L("route.host", "[shop.example, www.shop.example]"),
        L("balance", "random-two"),
        L("health.http", "/healthz"),
        L("port", "8000"),
        L("reach", "host-port"),
        { "traefik.enable", "true" },
    };
    struct config *config;
    if (read_labels("stack_Web.shop", labels, ARRAY_LEN(labels), &config) < 0)
        fail_msg("%s: %s\n%s", errors[0].place, errors[0].text, found.text);
    const struct config_service *s = &config->services[0];
    const struct swarm_conf *conf = s->driver_conf;
    assert_string_equal(s->name, "stack-web-shop");
    assert_string_equal(found.name, s->name);
    assert_string_equal(conf->service, "stack_Web.shop");
    assert_int_equal(conf->port, 8000);
    assert_int_equal(conf->reach, SWARM_REACH_HOST);
    assert_int_equal(s->scale->min, 2);
    assert_int_equal(s->scale->max, 12);
    assert_int_equal(s->host.count, 2);
    assert_string_equal(s->balance, "random-two");
    assert_string_equal(s->probe_path, "/healthz");
    assert_string_equal(s->listeners[0], "tcp:*:8080");
    assert_int_equal(s->scale->rule_count, 3);
}

static void test_whole_sections(void **state)
{
    static const struct swarm_label labels[] = {
        L("enable", "true"),
        L("name", "shop"),
        L("listen", ":80"),
        L("scale", "{min: 1, max: 5,\n  rules: [{target: {metric: rps, value: 100}}]}"),
    };
    struct config *config;
    if (read_labels("web", labels, ARRAY_LEN(labels), &config) < 0)
        fail_msg("%s: %s\n%s", errors[0].place, errors[0].text, found.text);
    assert_string_equal(config->services[0].name, "shop");
    assert_int_equal(config->services[0].scale->max, 5);
    assert_int_equal(config->services[0].scale->rule_count, 1);
}

static const struct {
    struct swarm_label label;
    const char *text; /* a part of what is said */
} wrong[] = {
    { L("mni", "2"), "unknown key \"mni\"; did you mean \"min\"?" },
    { L("maxx", "2"), "did you mean \"max\"?" },
    { L("prot", "80"), "did you mean \"port\"?" },
    { L("lissten", ":80"), "did you mean \"listen\"?" },
    { L("taget.cpu", "60%"), "did you mean \"target\"?" },
    { L("target.cpuu", "60%"), "did you mean \"cpu\"?" },
    { L("target.cpu", "6o%"), "6o%" },
    { L("behavior.down.stabilise", "5m"), "did you mean \"stabilize\"?" },
    { L("reach", "hostport"), "did you mean \"host-port\"?" },
    { L("max", "[1, 2"), "\"[1, 2\" is not a whole number" },
    { L("rules", "[{target: {metric: cpu, value: 60%}]"), "" },
    { L("listen", "nowhere"), "nowhere" },
    { L("name", "Not a name"), "cannot be a service's name" },
    { L("a\"b: c", "x"), "unknown key" },
    { L("", "x"), "unknown key" },
    { L("..", "x"), "" },
};

static void test_mistakes_are_named(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        bool has_listener = strcmp(wrong[i].label.name, "plimsoll.listen") == 0;
        struct swarm_label labels[] = { L("enable", "true"), wrong[i].label, L("listen", ":80") };
        struct config *config;
        char place[200];
        fmt(place, sizeof(place), "label %s of service web", wrong[i].label.name);
        if (read_labels("web", labels, ARRAY_LEN(labels) - has_listener, &config) == 0)
            fail_msg("%s is taken:\n%s", wrong[i].label.name, found.text);
        if (!strstr(errors[0].text, wrong[i].text))
            fail_msg("%s: %s", wrong[i].label.name, errors[0].text);
        assert_string_equal(blamed(), place);
    }
}

/* The words that labels may begin with are those of the configuration. */
static void test_every_key_has_a_label(void **state)
{
    const struct schema_section *all[] = { &config_section_service, &config_section_scale,
                                           &swarm_section };
    for (size_t n = 0; n < ARRAY_LEN(all); n++)
        for (const struct schema_key *k = all[n]->keys; k->name; k++) {
            char name[64];
            struct swarm_label label = { name, "?" };
            fmt(name, sizeof(name), "plimsoll.%s", k->name);
            if (strcmp(k->name, "service") == 0) /* it is the one that has the label */
                continue;
            assert_int_equal(swarm_labels_read("web", &label, 1, &labels_arena, &found), 0);
            char line[80];
            size_t indent = all[n] == &config_section_service ? 4 : 6;
            fmt(line, sizeof(line), "\n%*s\"%s\": ", (int)indent, "", k->name);
            if (!strstr(found.text, line))
                fail_msg("%s is not where it belongs:\n%s", k->name, found.text);
        }
}

static const struct {
    struct swarm_label label;
    bool enabled;
    const char *text;
} enabling[] = {
    { L("enable", "true"), true, "" },
    { L("enable", "false"), false, "" },
    { L("token", "17"), false, "" },
    { { "traefik.enable", "true" }, false, "" },
    { L("enabel", "true"), false, "did you mean that?" },
    { L("min", "1"), false, "plimsoll.min: means nothing without plimsoll.enable=true" },
};

static void test_enable(void **state)
{
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(enabling); i++) {
        assert_int_equal(swarm_labels_enable(&enabling[i].label, 1, text, sizeof(text)),
                         enabling[i].enabled);
        if (!strstr(text, enabling[i].text) || (!enabling[i].text[0] && text[0]))
            fail_msg("%s: %s", enabling[i].label.name, text);
    }
}

static void test_limits(void **state)
{
    static struct swarm_label many[300];
    static char long_value[10000];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct swarm_label)L("min", "1");
    assert_int_equal(swarm_labels_read("web", many, 300, &labels_arena, &found), -E2BIG);
    memset(long_value, 'x', sizeof(long_value) - 1);
    many[0].value = long_value;
    assert_int_equal(swarm_labels_read("web", many, 1, &labels_arena, &found), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_sections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_key_has_a_label, setup, teardown),
        cmocka_unit_test(test_enable),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
