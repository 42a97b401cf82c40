/* What a configuration means: the example of the design, the defaults, both vocabularies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "config/config.h"
#include "sys/mem.h"

#include "unit/config/driver_section.h"

#define NOW_US (INT64_C(1780000000) * US_PER_S) /* 2026-05-28 */

struct fixture {
    struct arena arena;
    struct config *config;
    struct err errors[8];
    size_t error_count;
};

static struct fixture f;

static int parse(const char *text)
{
    arena_done(&f.arena);
    mem_arena_init(&f.arena, (size_t)64 << 20);
    f.config = NULL;
    return config_parse(&f.arena, "c.yaml", text, strlen(text), &test_all_sections, NOW_US,
                        &f.config, f.errors, ARRAY_LEN(f.errors), &f.error_count);
}

static struct config *parse_ok(const char *text)
{
    int rc = parse(text);
    if (rc < 0)
        fail_msg("%s: %s", f.errors[0].place, f.errors[0].text);
    return f.config;
}

static int setup(void **state)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/vectors/zoneinfo", getenv("PLIMSOLL_TESTS"));
    return setenv("TZDIR", path, 1);
}

static int teardown(void **state)
{
    arena_done(&f.arena);
    return 0;
}

static const char *const example =
    "admin: 127.0.0.1:7575                       # looking needs no token\n"
    "state: /var/lib/plimsoll\n"
    "services:\n"
    "  shop:\n"
    "    listen: [\":8080\"]\n"
    "    route: {host: shop.example}             # several services may share a listener\n"
    "    balance: least-conn\n"
    "    run:                                    # the driver's own section\n"
    "      command: [node, server.js]\n"
    "      ready: {http: /healthz, within: 30s}\n"
    "      stop: {signal: TERM, grace: 10s}\n"
    "    scale:\n"
    "      min: 1\n"
    "      max: 10\n"
    "      rules:\n"
    "        - target:    {metric: concurrency, value: 20}\n"
    "        - threshold: {metric: cpu, above: 80%, for: 5m, add: 1}\n"
    "        - schedule:  {cron: \"0 9 * * MON-FRI\", for: 9h, timezone: Europe/Berlin, min: 4}\n"
    "      behavior:\n"
    "        down: {stabilize: 5m, at-most: 10% per 1m}\n";

static void test_example_service(void **state)
{
    struct config *c = parse_ok(example);
    assert_string_equal(c->admin, "127.0.0.1:7575");
    assert_string_equal(c->state, "/var/lib/plimsoll");
    assert_int_equal(c->service_count, 1);
    const struct config_service *s = &c->services[0];
    assert_string_equal(s->name, "shop");
    assert_int_equal(s->listener_count, 1);
    assert_string_equal(s->listeners[0], "tcp:*:8080");
    assert_int_equal(s->host.count, 1);
    assert_string_equal(s->host.items[0], "shop.example");
    assert_string_equal(s->balance, "least-conn");
    assert_ptr_equal(s->driver, &test_run_section);
    const struct test_run *run = s->driver_conf;
    assert_int_equal(run->command.count, 2);
    assert_string_equal(run->command.items[1], "server.js");
    assert_string_equal(run->ready.http, "/healthz");
    assert_int_equal(run->ready.within_us, 30 * US_PER_S);
    assert_int_equal(run->grace_us, 10 * US_PER_S);
    assert_false(s->scale_defaulted);
}

static void test_example_scale(void **state)
{
    struct config *c = parse_ok(example);
    const struct service_conf *s = c->services[0].scale;
    assert_ptr_equal(s, &c->model.services[0]);
    assert_string_equal(s->name, "shop");
    assert_int_equal(s->min, 1);
    assert_int_equal(s->max, 10);
    assert_int_equal(s->initial, -1);
    assert_int_equal(s->rule_count, 3);
    assert_int_equal(s->rules[0].kind, RULE_TARGET);
    assert_string_equal(s->rules[0].name, "target concurrency 20");
    assert_int_equal(s->rules[0].target.metric.metric, METRIC_CONCURRENCY);
    assert_true(s->rules[0].target.value == 20 && s->rules[0].target.tolerance_up == 0.1);
    assert_string_equal(s->rules[1].name, "threshold cpu above 80% for 5m");
    assert_true(s->rules[1].threshold.above == 0.8 && s->rules[1].threshold.add == 1);
    assert_true(s->rules[1].threshold.has_above && !s->rules[1].threshold.has_below);
    assert_false(s->rules[1].threshold.add_ratio);
    assert_int_equal(s->rules[1].threshold.for_us, 5 * US_PER_MIN);
    assert_string_equal(s->rules[2].name, "schedule 0 9 * * MON-FRI for 9h Europe/Berlin");
    assert_int_equal(s->rules[2].schedule.min, 4);
    assert_int_equal(s->rules[2].schedule.max, -1);
    assert_int_equal(s->rules[2].schedule.for_us, 9 * US_PER_HOUR);
    assert_string_equal(c->model.zones[s->rules[2].schedule.zone].name, "Europe/Berlin");
    assert_int_equal(s->behavior.down.stabilize_us, 5 * US_PER_MIN);
    assert_int_equal(s->behavior.down.policy_count, 1);
    assert_true(s->behavior.down.policy[0].percent);
    assert_int_equal(s->behavior.down.policy[0].value, 10);
    assert_int_equal(s->behavior.down.policy[0].period_us, US_PER_MIN);
    assert_int_equal(s->behavior.up.policy_count, 0);
}

static const char *const smallest = "services: {a: {listen: 8080, run: {command: x}}}\n";

static void test_service_defaults(void **state)
{
    const struct config_service *s = &parse_ok(smallest)->services[0];
    assert_int_equal(s->protocol, CONFIG_HTTP);
    assert_string_equal(s->balance, "least-conn");
    assert_int_equal(s->weight, 1);
    assert_int_equal(s->max_concurrency, 0);
    assert_int_equal(s->queue_length, 1000);
    assert_int_equal(s->queue_deadline_us, 10 * US_PER_S);
    assert_int_equal(s->retry_attempts, 2);
    assert_int_equal(s->timeouts.header_us, 10 * US_PER_S);
    assert_int_equal(s->timeouts.body_us, 30 * US_PER_S);
    assert_int_equal(s->timeouts.idle_us, 60 * US_PER_S);
    assert_int_equal(s->timeouts.connect_us, 2 * US_PER_S);
    assert_int_equal(s->timeouts.response_us, 60 * US_PER_S);
    assert_int_equal(s->timeouts.upstream_idle_us, 4 * US_PER_S);
    assert_int_equal(s->limits.header_bytes, 32768);
    assert_int_equal(s->limits.header_count, 100);
    assert_int_equal(s->limits.uri_bytes, 8192);
    assert_int_equal(s->eject_failures, 5);
    assert_int_equal(s->eject_us, 10 * US_PER_S);
    assert_int_equal(s->slow_start_us, 0);
    assert_int_equal(s->drain_us, 30 * US_PER_S);
    assert_int_equal(s->probe, CONFIG_PROBE_NONE);
    assert_int_equal(s->probe_interval_us, US_PER_S);
    assert_int_equal(s->probe_timeout_us, US_PER_S);
    const struct test_run *run = s->driver_conf;
    assert_int_equal(run->ready.within_us, 60 * US_PER_S);
}

static void test_top_defaults(void **state)
{
    const struct config *c = parse_ok(smallest);
    assert_string_equal(c->admin, "127.0.0.1:7575");
    assert_null(c->admin_token_file);
    assert_null(c->state);
    assert_null(c->access_log);
    assert_int_equal(c->log_level, 2);
    assert_int_equal(c->proxy_loops, 0);
    assert_int_equal(c->connections_max, 16000);
    assert_int_equal(c->access_log_bytes, 100 << 20);
    assert_int_equal(c->trust.count, 0);
}

static void test_scale_defaults(void **state)
{
    const struct config *c = parse_ok(smallest);
    const struct service_conf *s = &c->model.services[0];
    assert_true(c->services[0].scale_defaulted);
    assert_int_equal(s->mode, SERVICE_AUTO);
    assert_int_equal(s->min, 1);
    assert_int_equal(s->max, sysconf(_SC_NPROCESSORS_ONLN));
    assert_int_equal(s->surge, 1);
    assert_int_equal(s->window_in_us, 60 * US_PER_S);
    assert_int_equal(s->health.fail_after, 3);
    assert_int_equal(s->health.pass_after, 2);
    assert_int_equal(s->health.replace_after_us, 30 * US_PER_S);
    assert_int_equal(s->behavior.up.stabilize_us, 0);
    assert_int_equal(s->behavior.down.stabilize_us, 60 * US_PER_S);
    assert_int_equal(s->rule_count, 2);
    assert_string_equal(s->rules[0].name, "target concurrency 70");
    assert_string_equal(s->rules[1].name, "target cpu 70%");
}

#define AUTO "target: {metric: concurrency, value: 20, headroom: auto}"
#define NIGHT "schedule: {cron: '0 9 * * *', for: 9h, min: 2}"

/* Learnt headroom and Knative's windows hold by themselves, unless the holding is written. */
static void test_who_holds_by_himself_is_not_held_twice(void **state)
{
    static const struct {
        const char *behavior, *rules;
        int64_t stabilize_us;
    } cases[] = {
        { "{}", "[" AUTO "]", 0 },
        { "{down: {stabilize: 2m}}", "[" AUTO "]", 120 * US_PER_S },
        { "{}", "[concurrency: {}]", 0 },
        { "{}", "[concurrency: {}, " NIGHT "]", 0 },
        { "{down: {stabilize: 1m}}", "[concurrency: {}]", 60 * US_PER_S },
        { "{}", "[concurrency: {}, target: {metric: cpu, value: 60%}]", 60 * US_PER_S },
        { "{}", "[" NIGHT "]", 60 * US_PER_S },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[400];
        snprintf(text, sizeof(text),
                 "services: {a: {listen: 8080, run: {command: x}, scale: {behavior: %s, rules: "
                 "%s}}}",
                 cases[i].behavior, cases[i].rules);
        const struct config *c = parse_ok(text);
        assert_int_equal(c->model.services[0].behavior.down.stabilize_us, cases[i].stabilize_us);
    }
}

/* A target that the limit keeps out of reach would leave the service at its minimum for ever. */
static void test_default_target_below_limit(void **state)
{
    const struct config *c =
        parse_ok("services: {a: {listen: 8080, max-concurrency: 10, run: {command: x}}}");
    assert_true(c->model.services[0].rules[0].target.value == 7);
}

static void test_vocabularies_agree(void **state)
{
    static const char *const texts[] = {
        "services: {a: {listen: 8080, run: {command: x}, scale: {behavior: {up: {stabilize: 2m, "
        "at-most: [50% per 1m, 4 per 15s], select: min}, down: {select: disabled}}}}}",
        "services: {a: {listen: 8080, run: {command: x}, scale: {behavior: {up: "
        "{stabilizationWindowSeconds: 120, policies: [{type: Percent, value: 50, periodSeconds: "
        "60}, {type: Pods, value: 4, periodSeconds: 15}], selectPolicy: Min}, down: {selectPolicy: "
        "Disabled}}}}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct behavior_conf *b = &parse_ok(texts[i])->model.services[0].behavior;
        assert_int_equal(b->up.stabilize_us, 120 * US_PER_S);
        assert_int_equal(b->up.select, BEHAVIOR_MIN_CHANGE);
        assert_int_equal(b->up.policy_count, 2);
        assert_true(b->up.policy[0].percent && b->up.policy[0].value == 50);
        assert_int_equal(b->up.policy[0].period_us, 60 * US_PER_S);
        assert_true(!b->up.policy[1].percent && b->up.policy[1].value == 4);
        assert_int_equal(b->down.select, BEHAVIOR_DISABLED);
        assert_int_equal(b->down.stabilize_us, 60 * US_PER_S);
    }
}

static const struct rule_conf *parse_rule(const char *rule)
{
    char text[600];
    snprintf(text, sizeof(text),
             "services: {a: {listen: 8080, run: {command: x}, scale: {max: 50, rules: [%s]}}}",
             rule);
    return &parse_ok(text)->model.services[0].rules[0];
}

static void test_metric_units(void **state)
{
    static const struct {
        const char *rule;
        double value;
    } cases[] = {
        { "{target: {metric: cpu, value: 60%}}", 0.6 },
        { "{target: {metric: cpu, value: 0.6}}", 0.6 },
        { "{target: {metric: latency-p99, value: 250ms}}", 0.25 },
        { "{target: {metric: memory, value: 64MiB}}", 64 << 20 },
        { "{target: {metric: rps, value: 12.5}}", 12.5 },
        { "{target: {metric: \"queue\", value: \"3\"}}", 3 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_true(parse_rule(cases[i].rule)->target.value == cases[i].value);
}

/* What is measured as a share is looked at over a while, unless the rule says otherwise. */
static void test_default_windows(void **state)
{
    static const struct {
        const char *rule;
        int64_t window_us;
        const char *name;
    } cases[] = {
        { "{target: {metric: cpu, value: 60%}}", 15 * US_PER_S, "target cpu 60%" },
        { "{target: {metric: cpu, value: 60%, window: 0}}", 0, "target cpu now 60%" },
        { "{target: {metric: memory, value: 64MiB, window: 1m}}", 60 * US_PER_S,
          "target memory over 1m 64MiB" },
        { "{target: {metric: host-cpu, value: 60%}}", 15 * US_PER_S, "target host-cpu 60%" },
        { "{target: {metric: host-memory, value: 60%}}", 15 * US_PER_S, "target host-memory 60%" },
        { "{target: {metric: concurrency, value: 6}}", 0, "target concurrency 6" },
        { "{target: {metric: latency-p99, value: 1s}}", 0, "target latency-p99 1s" },
        { "{target: {metric: rps, value: 6, window: 10s}}", 10 * US_PER_S,
          "target rps over 10s 6/s" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct rule_conf *r = parse_rule(cases[i].rule);
        assert_int_equal(r->target.metric.window_us, cases[i].window_us);
        assert_string_equal(r->name, cases[i].name);
    }
    const struct config *c = parse_ok("services: {a: {listen: 8080, run: {command: x}}}");
    assert_int_equal(c->model.services[0].rules[0].target.metric.window_us, 0);
    assert_int_equal(c->model.services[0].rules[1].target.metric.window_us, 15 * US_PER_S);
}

static void test_fallback(void **state)
{
    static const struct {
        const char *rule;
        const char *error; /* NULL = it is fine */
    } cases[] = {
        { "{target: {metric: cpu, value: 60%, fallback: {after: 5m, count: 4}}}", NULL },
        { "{threshold: {metric: cpu, above: 60%, add: 1, fallback: {after: 5m, count: 4}}}", NULL },
        { "{step: {metric: queue, threshold: 5, steps: [{from: 0, add: 1}], "
          "fallback: {after: 5m, count: 4}}}",
          NULL },
        { "{target: {metric: cpu, value: 60%, fallback: {after: 5m}}}", "count" },
        { "{target: {metric: cpu, value: 60%, fallback: {count: 4}}}", "after" },
        { "{target: {metric: cpu, value: 60%, fallback: {after: 0s, count: 4}}}", "after" },
        { "{target: {metric: cpu, value: 60%, fallback: {after: 5m, count: 0}}}", "count" },
        { "{target: {metric: cpu, value: 60%, fallback: 4}}", "fallback" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[600];
        snprintf(text, sizeof(text),
                 "services: {a: {listen: 8080, run: {command: x}, scale: {max: 50, rules: [%s]}}}",
                 cases[i].rule);
        if (cases[i].error) {
            assert_true(parse(text) < 0);
            assert_non_null(strstr(f.errors[0].text, cases[i].error));
            continue;
        }
        const struct rule_conf *r = &parse_ok(text)->model.services[0].rules[0];
        assert_int_equal(r->fallback_after_us, 300 * US_PER_S);
        assert_int_equal(r->fallback, 4);
    }
    assert_int_equal(parse_rule("{target: {metric: cpu, value: 60%}}")->fallback_after_us, 0);
}

static void test_target_details(void **state)
{
    const struct rule_conf *r = parse_rule(
        "{target: {metric: rps, value: 5, stat: p95, window: 5m, tolerance: {up: 5%, down: 20%}, "
        "window-down: 10m}}");
    assert_int_equal(r->target.metric.stat, SERIES_P95);
    assert_int_equal(r->target.metric.window_us, 5 * US_PER_MIN);
    assert_int_equal(r->target.window_down_us, 10 * US_PER_MIN);
    assert_true(r->target.tolerance_up == 0.05 && r->target.tolerance_down == 0.2);
    r = parse_rule("{target: {metric: rps, value: 5, tolerance: 25%}}");
    assert_true(r->target.tolerance_up == 0.25 && r->target.tolerance_down == 0.25);
}

static void test_threshold_details(void **state)
{
    const struct rule_conf *r = parse_rule(
        "{threshold: {metric: queue, above: 10, below: 2, add: 50%, remove: 1, for: 30s}}");
    assert_true(r->threshold.add == 0.5 && r->threshold.add_ratio);
    assert_true(r->threshold.remove == 1 && !r->threshold.remove_ratio);
    assert_true(r->threshold.above == 10 && r->threshold.below == 2);
}

static void test_step_details(void **state)
{
    const struct rule_conf *r = parse_rule(
        "{step: {metric: cpu, threshold: 60%, type: percent, min-magnitude: 2, for: 1m, warm-up: "
        "2m, steps: [{from: 10%, add: 30%}, {from: 0, to: 10%, add: 10}, {to: 0, remove: 10%}]}}");
    const struct rule_step_conf *s = &r->step;
    assert_int_equal(s->type, RULE_STEP_PERCENT);
    assert_int_equal(s->step_count, 3);
    assert_true(s->steps[0].lower == -__builtin_inf() && s->steps[0].upper == 0);
    assert_true(s->steps[0].adjustment == -10);
    assert_true(s->steps[1].adjustment == 10 && s->steps[2].adjustment == 30);
    assert_true(s->steps[2].lower == 0.1 && s->steps[2].upper == __builtin_inf());
    assert_int_equal(s->min_magnitude, 2);
    assert_int_equal(s->warmup_us, 2 * US_PER_MIN);
}

static void test_listeners(void **state)
{
    static const struct {
        const char *written, *canonical;
    } cases[] = {
        { "8080", "tcp:*:8080" },
        { "\":8080\"", "tcp:*:8080" },
        { "\"*:80\"", "tcp:*:80" },
        { "localhost:80", "tcp:127.0.0.1:80" },
        { "127.0.0.1:80", "tcp:127.0.0.1:80" },
        { "\"[::1]:80\"", "tcp:[::1]:80" },
        { "\"[0:0::0:1]:80\"", "tcp:[::1]:80" },
        { "\"unix:/run/x.sock\"", "unix:/run/x.sock" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        snprintf(text, sizeof(text), "services: {a: {listen: %s, run: {command: x}}}",
                 cases[i].written);
        assert_string_equal(parse_ok(text)->services[0].listeners[0], cases[i].canonical);
    }
}

static void test_shared_listener(void **state)
{
    const struct config *c = parse_ok(
        "services:\n"
        "  a: {listen: 80, route: {host: [A.example, \"*.b.example\"]}, run: {command: x}}\n"
        "  b: {listen: 80, route: {host: a.example, path: /api/}, run: {command: x}}\n"
        "  c: {listen: 80, docker: {image: i}}\n");
    assert_int_equal(c->service_count, 3);
    assert_string_equal(c->services[0].host.items[0], "a.example");
    assert_string_equal(c->services[2].driver->name, "docker");
}

static void test_anchors_and_merge(void **state)
{
    const struct config *c = parse_ok("services:\n"
                                      "  a: &base\n"
                                      "    listen: 80\n"
                                      "    weight: 3\n"
                                      "    run: &run {command: [x, y], env: {A: 1, B: }}\n"
                                      "  b:\n"
                                      "    <<: *base\n"
                                      "    listen: 81\n"
                                      "  c: {listen: 82, run: *run}\n");
    assert_int_equal(c->services[1].weight, 3);
    assert_string_equal(c->services[1].listeners[0], "tcp:*:81");
    const struct test_run *run = c->services[2].driver_conf;
    assert_int_equal(run->env.count, 2);
    assert_string_equal(run->env.names[0], "A");
    assert_string_equal(run->env.values[0], "1");
    assert_string_equal(run->env.values[1], "");
}

static void test_health(void **state)
{
    const struct config *c =
        parse_ok("services:\n"
                 "  a: {listen: 80, run: {command: x}, health: {http: /up, replace-after: never}}\n"
                 "  b: {listen: 81, run: {command: x}, health: {tcp: true, interval: 5s}}\n");
    assert_int_equal(c->services[0].probe, CONFIG_PROBE_HTTP);
    assert_string_equal(c->services[0].probe_path, "/up");
    assert_true(c->model.services[0].health.replace_after_us == US_NEVER);
    assert_int_equal(c->services[1].probe, CONFIG_PROBE_TCP);
    assert_int_equal(c->services[1].probe_interval_us, 5 * US_PER_S);
}

/* Several errors at once, in the order of the file. */
static void test_errors_collected(void **state)
{
    assert_int_equal(parse("servces: {}\n"
                           "log: loud\n"
                           "services:\n"
                           "  a:\n"
                           "    listen: [80, 99999]\n"
                           "    scael: 1\n"
                           "    drain: 10\n"
                           "    run: {command: x}\n"),
                     -EINVAL);
    static const char *const places[] = { "c.yaml:1:1", "c.yaml:2:6", "c.yaml:5:18", "c.yaml:6:5",
                                          "c.yaml:7:12" };
    assert_int_equal(f.error_count, ARRAY_LEN(places));
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        assert_string_equal(f.errors[i].place, places[i]);
    assert_string_equal(f.errors[3].text,
                        "services.a: unknown key \"scael\"; did you mean \"scale\"?");
}

/* A key that is right elsewhere is named with its place, unless another one is a slip away. */
static void test_misplaced_keys(void **state)
{
    static const char *const all[][2] = {
        { "min: 1", "unknown key \"min\"; did you mean \"scale.min\"?" },
        { "deadline: 1s", "unknown key \"deadline\"; did you mean \"queue.deadline\"?" },
        { "timeout: 1s", "unknown key \"timeout\"; did you mean \"timeouts\"?" },
        { "run: {command: x, http: /ready}", "unknown key \"http\"; did you mean \"ready.http\"?" },
        { "run: {command: x, signal: TERM}",
          "unknown key \"signal\"; did you mean \"stop.signal\"?" },
        { "command: x", "unknown key \"command\": here it is \"run.command\"" },
        { "image: x", "unknown key \"image\": here it is \"docker.image\"" },
        { "xyzzy: 1", "unknown key \"xyzzy\"; possible here: " },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char text[200];
        bool own = strncmp(all[i][0], "run", 3) == 0;
        snprintf(text, sizeof(text), "services:\n  a:\n    listen: 80\n    %s\n%s", all[i][0],
                 own ? "" : "    run: {command: x}\n");
        assert_int_equal(parse(text), -EINVAL);
        if (!strstr(f.errors[0].text, all[i][1]))
            fail_msg("%s: %s", all[i][0], f.errors[0].text);
    }
}

/* What is no map is told once, and not read as one. */
static void test_driver_that_is_no_map(void **state)
{
    static const char *const all[][3] = {
        { "run", "[app]", "services.a.run: is a list here; write a map" },
        { "run", "app", "services.a.run: is a single value here; write a map" },
        { "run: {command: x}\n    sources: {jobs: {redis", "[list]}}",
          "services.a.sources.jobs.redis: is a list here; write a map" },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char text[200];
        snprintf(text, sizeof(text), "services:\n  a:\n    listen: 80\n    %s: %s\n", all[i][0],
                 all[i][1]);
        assert_int_equal(parse(text), -EINVAL);
        assert_string_equal(f.errors[0].text, all[i][2]);
        assert_int_equal(f.error_count, 1);
    }
}

static void test_no_driver(void **state)
{
    assert_int_equal(parse("services:\n  a:\n    listen: 80\n"), -EINVAL);
    assert_string_equal(f.errors[0].text, "services.a: nothing says what to run; give a section "
                                          "\"run\" or \"docker\"");
}

static void test_errors_capped(void **state)
{
    char text[4000] = "services:\n  a:\n    listen: 80\n    run: {command: x}\n";
    for (int i = 0; i < 100; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "    bad%d: 1\n", i);
    assert_int_equal(parse(text), -EINVAL);
    assert_int_equal(f.error_count, ARRAY_LEN(f.errors));
}

static void test_show_error(void **state)
{
    const char *text = "services:\n\ta: \xc3\xa4 x\n";
    struct err e = { .place = "c.yaml:2:7", .text = "wrong" };
    char buf[200];
    struct str out;
    str_init(&out, buf, sizeof(buf));
    config_show_error(text, &e, &out);
    assert_string_equal(buf, "c.yaml:2:7: wrong\n"
                             "     2 | \ta: \xc3\xa4 x\n"
                             "       | \t     ^\n");
    /* Nothing in it is obeyed. */
    e = (struct err){ .place = "c\033.yaml:2:4", .text = "\"a\nb\177\"" };
    str_init(&out, buf, sizeof(buf));
    config_show_error("x:\n\t\033\xc2\x9b: x\r\n", &e, &out);
    assert_string_equal(buf, "c .yaml:2:4: \"a b \"\n"
                             "     2 | \t  : x\n"
                             "       | \t  ^\n");
}

/* Whatever allocation fails, the answer is -ENOMEM and one error, until there is room for all. */
static void test_allocations_fail(void **state)
{
    size_t failures = 0;
    int rc = -ENOMEM;
    for (size_t cap = 0; rc == -ENOMEM; cap += 97) {
        arena_done(&f.arena);
        mem_arena_init(&f.arena, cap);
        rc = config_parse(&f.arena, "c.yaml", example, strlen(example), &test_all_sections, NOW_US,
                          &f.config, f.errors, ARRAY_LEN(f.errors), &f.error_count);
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(f.error_count, 1);
        assert_non_null(strstr(f.errors[0].text, "out of memory"));
        failures++;
    }
    assert_true(failures > 100);
}

static void test_too_long(void **state)
{
    arena_done(&f.arena);
    mem_arena_init(&f.arena, 1 << 20);
    int rc = config_parse(&f.arena, "c.yaml", "", CONFIG_TEXT_MAX + 1, &test_all_sections, NOW_US,
                          &f.config, f.errors, ARRAY_LEN(f.errors), &f.error_count);
    assert_int_equal(rc, -EINVAL);
    assert_non_null(strstr(f.errors[0].text, "at most 4194304"));
}

/* Nine levels of ten aliases: a billion values, if anyone counted. */
static void test_alias_bomb(void **state)
{
    char text[2000] = "x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n";
    for (int i = 1; i < 10; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "x%d: &x%d [*x%d,*x%d,*x%d,*x%d,*x%d,*x%d,*x%d,*x%d,*x%d]\n", i, i, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "services: *x9\n");
    assert_int_equal(parse(text), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_service),
        cmocka_unit_test(test_example_scale),
        cmocka_unit_test(test_service_defaults),
        cmocka_unit_test(test_top_defaults),
        cmocka_unit_test(test_scale_defaults),
        cmocka_unit_test(test_default_target_below_limit),
        cmocka_unit_test(test_who_holds_by_himself_is_not_held_twice),
        cmocka_unit_test(test_vocabularies_agree),
        cmocka_unit_test(test_metric_units),
        cmocka_unit_test(test_default_windows),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_target_details),
        cmocka_unit_test(test_threshold_details),
        cmocka_unit_test(test_step_details),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_shared_listener),
        cmocka_unit_test(test_anchors_and_merge),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_errors_collected),
        cmocka_unit_test(test_errors_capped),
        cmocka_unit_test(test_misplaced_keys),
        cmocka_unit_test(test_no_driver),
        cmocka_unit_test(test_driver_that_is_no_map),
        cmocka_unit_test(test_show_error),
        cmocka_unit_test(test_allocations_fail),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_alias_bomb),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
