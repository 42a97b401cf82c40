/* What a reload would change, as people are told; and the reference of the keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "config/config.h"
#include "sys/mem.h"

#include "unit/config/driver_section.h"

#define NOW_US (INT64_C(1780000000) * US_PER_S)
#define BASE "services:\n  shop:\n    listen: \":8080\"\n    run: {command: [node, server.js]}\n"

static struct config *parse(struct arena *arena, const char *text)
{
    struct err errors[4];
    size_t count;
    struct config *config = NULL;
    mem_arena_init(arena, (size_t)16 << 20);
    if (config_parse(arena, "c.yaml", text, strlen(text), &test_all_sections, NOW_US, &config,
                     errors, ARRAY_LEN(errors), &count) < 0)
        fail_msg("%s: %s", errors[0].place, errors[0].text);
    return config;
}

static int setup(void **state)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/vectors/zoneinfo", getenv("PLIMSOLL_TESTS"));
    return setenv("TZDIR", path, 1);
}

struct diff_case {
    const char *before, *after, *lines;
};

#define RUN(limit) "services: {a: {listen: 80, run: {command: x, " #limit "}}}"
#define RULES BASE "    scale:\n      max: 9\n      rules:\n"

static const struct diff_case cases[] = {
    { BASE, "# a comment\n" BASE "    balance: least-conn\n    drain: 30s\n", "" },
    { BASE "    scale: {max: 4}\n", BASE "    scale: {max: 8}\n",
      "services.shop.scale.max: 4 -> 8 (takes effect at once)\n" },
    { BASE
      "    max-concurrency: 10\n    scale: {max: 4, rules: [target: {metric: rps, value: 9}]}\n",
      BASE "    scale: {max: 4, rules: [target: {metric: rps, value: 9}]}\n",
      "services.shop.max-concurrency: 10 -> unlimited (takes effect at once)\n" },
    { BASE,
      "services:\n  shop:\n    listen: [\":8080\", \":8081\"]\n    run: {command: [node, a.js]}\n",
      "services.shop.listen: :8080 -> [:8080, :8081] (opens and closes listeners)\n"
      "services.shop.run.command: [node, server.js] -> [node, a.js] (replaces instances one by "
      "one)\n" },
    { "services: {a: {listen: 80, run: {command: x, env: {A: 1}, ready: {within: 1m}}}}",
      "services: {a: {listen: 80, run: {command: x, env: {A: 2}, ready: {within: 60s}}}}",
      "services.a.run.env: {A: 1} -> {A: 2} (replaces instances one by one)\n" },
    { BASE, BASE "  web: {listen: 81, run: {command: x}}\n",
      "services.web: added (its instances are started)\n" },
    { BASE "  web: {listen: 81, run: {command: x}}\n", BASE,
      "services.web: removed (its instances are drained and stopped)\n" },
    { BASE, "log: debug\nproxy: {loops: 3}\n" BASE,
      "log: info -> debug (takes effect at once)\n"
      "proxy.loops: auto -> 3 (takes effect at the next start)\n" },
    { RULES "        - target: {metric: cpu, value: 60%}\n",
      RULES "        - target: {metric: cpu, value: 50%}\n",
      "services.shop.scale.rules: target cpu 60% -> removed (takes effect at once)\n"
      "services.shop.scale.rules: added -> target cpu 50% (takes effect at once)\n" },
    { RULES "        - schedule: {cron: \"0 9 * * *\", for: 1h, min: 2}\n"
            "        - schedule: {cron: \"0 8 * * *\", for: 1h, min: 2, timezone: Europe/Berlin}\n",
      RULES "        - schedule: {cron: \"0 8 * * *\", for: 1h, min: 2, timezone: Europe/Berlin}\n"
            "        - schedule: {cron: \"0 9 * * *\", for: 1h, min: 2}\n",
      "" },
    { BASE, BASE "    scale: {behavior: {down: {stabilize: 5m, at-most: 10% per 1m}}}\n",
      "services.shop.scale.behavior.down: stabilize 1m -> stabilize 5m, at most 10% per 1m (takes "
      "effect at once)\n" },
    { BASE, "services: {shop: {listen: \":8080\", docker: {image: node}}}",
      "services.shop.driver: run -> docker (replaces instances one by one)\n" },
    { "budgets: {a: {per-hour: 9}}\n" BASE "    scale: {max: 4, cost: 1, budget: a}\n",
      "budgets: {a: {per-hour: 8, currency: EUR}, b: {per-day: 1}}\nenergy: {carbon: 300}\n" BASE
      "    scale: {max: 4, cost: 1.5, budget: {name: a, weight: 3}, headroom: 1}\n",
      "energy.carbon: 0 -> 300 (takes effect at once)\n"
      "budgets.a: 9 per hour, UTC -> 8 per hour EUR, UTC (takes effect at once)\n"
      "budgets.b: none -> added (takes effect at once)\n"
      "services.shop.scale.headroom: not set -> 1 (takes effect at once)\n"
      "services.shop.scale.cost: 1 -> 1.5 (takes effect at once)\n"
      "services.shop.scale.budget: a, weight 1 -> a, weight 3 (takes effect at once)\n" },
    { BASE "    sources: {jobs: {redis: {list: a}}, old: {push: }}\n",
      BASE "    sources: {jobs: {redis: {list: b}, every: 2s}, new: {push: }}\n",
      "services.shop.sources.jobs.every: 10s -> 2s (takes effect at once)\n"
      "services.shop.sources.jobs.timeout: 5s -> 2s (takes effect at once)\n"
      "services.shop.sources.jobs.redis.list: a -> b (takes effect at once)\n"
      "services.shop.sources: old -> removed (takes effect at once)\n"
      "services.shop.sources: added -> new (takes effect at once)\n" },
    { BASE "    scale: {max: 4, rules: [slo: p99 below 1s]}\n",
      BASE "    scale: {max: 4, rules: [slo: p99 below 2s, concurrency: {}]}\n",
      "services.shop.scale.rules: slo p99 below 1s -> removed (takes effect at once)\n"
      "services.shop.scale.rules: added -> slo p99 below 2s (takes effect at once)\n"
      "services.shop.scale.rules: added -> concurrency 100 at 70% (takes effect at once)\n" },
    { BASE, "engine: {timeout: 10s}\n" BASE, "" },
    { "engine: {host: a}\n" BASE, "engine: {host: b, timeout: 2s}\n" BASE,
      "engine.host: a -> b (another engine: what runs on the old one is left alone)\n"
      "engine.timeout: 10s -> 2s (takes effect at once)\n" },
    { "group: {host: a}\n" BASE, "group: {host: b}\n" BASE,
      "group.host: a -> b (takes effect at the next start)\n" },
    { "told: {to: [{url: a}]}\n" BASE, "told:\n  to:\n    - url: a\n" BASE, "" },
    { "told: {to: [{url: a, key: hunter2}]}\n" BASE,
      "told: {to: [{url: a, key: swordfish}]}\n" BASE,
      "told.to: as it was -> as it is written now (takes effect at once)\n" },
    { "told: {when: {loud: [a]}}\n" BASE, "told: {to: b, when: {loud: [a, b]}}\n" BASE,
      "told.to: not set -> as it is written now (takes effect at once)\n"
      "told.when.loud: as it was -> as it is written now (takes effect at once)\n" },
    { "told: {when: {loud: off}}\n" BASE, BASE,
      "told.when.loud: as it was -> not set (takes effect at once)\n" },
    { RUN(memory : 1MiB), RUN(memory : 2MiB),
      "services.a.run.memory: 1MiB -> 2MiB (resizes instances while they run)\n" },
    { RUN(), RUN(memory : 2MiB),
      "services.a.run.memory: 0B -> 2MiB (replaces instances one by one)\n" },
    { RUN(memory : 1MiB), RUN(),
      "services.a.run.memory: 1MiB -> 0B (replaces instances one by one)\n" },
};

static void test_diff(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_arena_ struct arena a = { 0 }, b = { 0 };
        char text[2000];
        struct str out;
        size_t lines = 0;
        str_init(&out, text, sizeof(text));
        size_t said = config_diff(parse(&a, cases[i].before), parse(&b, cases[i].after), &out);
        for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
            lines++;
        assert_string_equal(text, cases[i].lines);
        assert_int_equal(said, lines);
    }
}

/* Every key that can be written is in the reference. */
static void test_reference(void **state)
{
    static const char *const wanted[] = {
        "| `admin` |",
        "### proxy",
        "| `loops` |",
        "## services.NAME",
        "| `max-concurrency` |",
        "services.NAME.scale.rules.target",
        "| `window-down` |",
        "services.NAME.scale.rules.queue",
        "services.NAME.scale.budget",
        "## budgets.NAME",
        "energy.windows",
        "services.NAME.sources.NAME\n",
        "services.NAME.sources.NAME.redis",
        "services.NAME.run",
        "| `env` |",
        "| `stabilizationWindowSeconds` |",
        "| `10s` |",
        "add \\| remove",
        "| `concurrency` |",
    };
    static char text[65536];
    struct str out;
    str_init(&out, text, sizeof(text));
    config_print_reference(&test_all_sections, &out);
    assert_false(out.cut);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!strstr(text, wanted[i]))
            fail_msg("no \"%s\" in the reference", wanted[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
