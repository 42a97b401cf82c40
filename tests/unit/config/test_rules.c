/* Every kind of rule, sources, budgets, energy and groups: from YAML to the core's model, and the
 * name that explanations show. */
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
#define WEB "services:\n  web:\n    listen: \":8080\"\n    run: {command: [node]}\n"
#define WORKER                                                     \
    "services:\n  mail:\n    run: {command: [mail]}\n"             \
    "    sources:\n      jobs: {redis: {list: mail}, every: 2s}\n" \
    "      oldest: {push: , global: true}\n"

struct fixture {
    struct arena arena;
    struct config *config;
    struct err errors[8];
    size_t error_count;
};

static struct fixture f;

static struct config *parse(const char *text)
{
    arena_done(&f.arena);
    mem_arena_init(&f.arena, (size_t)64 << 20);
    f.config = NULL;
    int rc = config_parse(&f.arena, "c.yaml", text, strlen(text), &test_all_sections, NOW_US,
                          &f.config, f.errors, ARRAY_LEN(f.errors), &f.error_count);
    if (rc < 0)
        fail_msg("%s: %s", f.errors[0].place, f.errors[0].text);
    return f.config;
}

static int teardown(void **state)
{
    arena_done(&f.arena);
    return 0;
}

static const struct rule_conf *parse_rule(const char *service, const char *rule)
{
    char text[1000];
    snprintf(text, sizeof(text), "%s    scale:\n      max: 9\n      rules:\n        - %s\n",
             service, rule);
    const struct config *config = parse(text);
    assert_int_equal(config->model.services[0].rule_count, 1);
    return &config->model.services[0].rules[0];
}

static const struct {
    const char *service, *rule, *name;
} names[] = {
    { WEB, "target: {metric: cpu, value: 60%, headroom: auto}", "target cpu 60%, headroom auto" },
    { WEB, "concurrency: {}", "concurrency 100 at 70%" },
    { WEB, "concurrency: {mode: knative, metric: rps}", "concurrency rps 200/s at 70%" },
    { WEB, "concurrency: {value: 8, utilization: 90%}", "concurrency 8 at 90%" },
    { WORKER, "queue: {metric: jobs, length: 5}", "queue jobs length 5" },
    { WORKER, "queue: {metric: oldest, age: 1m30s, stat: max, window: 1m}",
      "queue oldest max over 1m age 1m30s" },
    { WORKER, "target: {metric: jobs, value: 2.5}", "target jobs 2.5" },
    { WORKER, "threshold: {metric: cpu, above: 80%, add: 1}", "threshold cpu above 80%" },
    { WEB, "busyness: {}", "busyness 25% to 50%" },
    { WEB, "predictive: {value: 20}", "predictive concurrency 20" },
    { WEB, "predictive: {metric: rps, value: 20, mode: forecast-only}",
      "predictive rps 20/s, forecast only" },
    { WEB, "slo: p99 below 250ms", "slo p99 below 250ms" },
    { WEB, "slo: p50<1s", "slo p50 below 1s" },
    { WEB, "slo: {latency: p95 below 1500ms}", "slo p95 below 1s500ms" },
};

static void test_names(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(parse_rule(names[i].service, names[i].rule)->name, names[i].name);
}

static void test_concurrency(void **state)
{
    const struct rule_concurrency_conf *c = &parse_rule(WEB, "concurrency:  {}")->concurrency;
    assert_int_equal(c->metric, METRIC_CONCURRENCY);
    assert_true(c->value == 100 && c->utilization == 0.7 && c->panic_threshold == 2);
    assert_true(c->up_rate == 1000 && c->down_rate == 2 && c->burst_capacity == 211);
    assert_int_equal(c->stable_us, 60 * US_PER_S);
    assert_int_equal(c->panic_us, 6 * US_PER_S);
    assert_int_equal(c->grace_us, 30 * US_PER_S);
    assert_int_equal(c->delay_us, 0);
    assert_int_equal(c->activation, 1);
    c = &parse_rule(WEB, "concurrency: {stable: 2m, panic: 30s, burst-capacity: -1}")->concurrency;
    assert_int_equal(c->panic_us, 30 * US_PER_S);
    assert_true(c->burst_capacity == -1);
}

static void test_queue(void **state)
{
    const struct rule_conf *r = parse_rule(
        WORKER, "queue: {metric: oldest, age: 30s, activation: 5s, cooldown: 1m, fallback: "
                "{after: 3m, as: current}}");
    assert_int_equal(r->queue.metric.metric, METRIC_CUSTOM + 1);
    assert_true(r->queue.age && r->queue.value == 30 && r->queue.activation == 5);
    assert_int_equal(r->queue.cooldown_us, US_PER_MIN);
    assert_int_equal(r->queue.least, 1);
    assert_int_equal(r->fallback_as, RULE_FALLBACK_CURRENT);
    assert_int_equal(r->fallback_after_us, 3 * US_PER_MIN);
    r = parse_rule(WORKER,
                   "queue: {metric: jobs, length: 5, least: 2, fallback: {after: 1m, count: "
                   "3, as: if-higher}}");
    assert_true(!r->queue.age && r->queue.value == 5 && r->queue.activation == 0);
    assert_int_equal(r->queue.cooldown_us, 5 * US_PER_MIN);
    assert_int_equal(r->queue.least, 2);
    assert_int_equal(r->fallback, 3);
    assert_int_equal(r->fallback_as, RULE_FALLBACK_IF_HIGHER);
}

static void test_busyness(void **state)
{
    const struct rule_busyness_conf *b =
        &parse_rule(WEB, "busyness: {slots: 4, cycle: 10s}")->busyness;
    assert_true(b->slots == 4 && b->most == 0.5 && b->least == 0.25);
    assert_int_equal(b->overload_us, 10 * US_PER_S);
    assert_int_equal(b->step, 1);
    assert_int_equal(b->multiplier, 10);
    assert_int_equal(b->penalty, 2);
    assert_int_equal(b->backlog_alert, 33);
    assert_int_equal(b->backlog_step, 1);
    assert_int_equal(b->backlog_multiplier, 3);
    assert_int_equal(b->backlog_nonzero_us, US_PER_MIN);
}

static void test_slo(void **state)
{
    char text[] = WEB "    scale: {max: 9, cost: 0.5, rules: [slo: {latency: p99 below 250ms, "
                      "cost-max: 3}]}\n";
    const struct rule_slo_conf *s = &parse(text)->model.services[0].rules[0].slo;
    assert_int_equal(s->metric, METRIC_LATENCY_P99);
    assert_true(s->below_s == 0.25 && s->cost_max == 3);
    struct rule_slo_conf slo;
    struct err err = { 0 };
    assert_int_equal(config_parse_slo("p95 < 2s", &slo, &err), 0);
    assert_int_equal(slo.metric, METRIC_LATENCY_P95);
    assert_true(slo.below_s == 2 && slo.cost_max == 0);
    static const char *const wrong[] = { "",          "p99",    "<",
                                         "p99<",      "<1s",    "p99 below -1s",
                                         "p99<0",     "p90<1s", "p99 below 2h",
                                         "p99below1s" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_true(config_parse_slo(wrong[i], &slo, &err) < 0);
}

static void test_scale(void **state)
{
    const struct service_conf *s =
        &parse(WEB "    scale: {max: 9, headroom: 20%, change-cost: 10m, cost: 0.2, watts: 45.5, "
                   "behavior: {up: {cooldown: 10s}, down: {cooldown: 3m}}}\n")
             ->model.services[0];
    assert_true(s->headroom_ratio && s->headroom == 0.2 && s->cost == 0.2 && s->watts == 45.5);
    assert_int_equal(s->change_cost_us, 10 * US_PER_MIN);
    assert_int_equal(s->behavior.up.cooldown_us, 10 * US_PER_S);
    assert_int_equal(s->behavior.down.cooldown_us, 3 * US_PER_MIN);
    assert_int_equal(s->budget, -1);
    assert_true(s->budget_weight == 1);
    s = &parse(WEB "    scale: {max: 9, headroom: 2}\n")->model.services[0];
    assert_true(!s->headroom_ratio && s->headroom == 2);
}

static void test_sources(void **state)
{
    const struct config *config =
        parse(WORKER "    scale: {rules: [queue: {metric: jobs, length: 1}]}\n");
    const struct config_service *s = &config->services[0];
    assert_int_equal(s->listener_count, 0);
    assert_false(s->scale_defaulted);
    assert_int_equal(s->source_count, 2);
    assert_string_equal(s->sources[0].name, "jobs");
    assert_ptr_equal(s->sources[0].driver, &test_redis_section);
    assert_string_equal(((const struct test_redis *)s->sources[0].driver_conf)->list, "mail");
    assert_int_equal(s->sources[0].every_us, 2 * US_PER_S);
    assert_int_equal(s->sources[0].timeout_us, 2 * US_PER_S);
    assert_int_equal(s->sources[1].timeout_us, 5 * US_PER_S);
    assert_int_equal(s->sources[1].metric, METRIC_CUSTOM + 1);
    assert_int_equal(s->scale->metric_count, 2);
    assert_string_equal(s->scale->metrics[1].name, "oldest");
    assert_true(!s->scale->metrics[0].global && s->scale->metrics[1].global);
    assert_int_equal(s->scale->metrics[0].stale_us, 5 * US_PER_S);
    assert_int_equal(s->scale->metrics[1].stale_us, 15 * US_PER_S);
}

/* A worker with a fixed number needs no rule. */
static void test_fixed_worker(void **state)
{
    const struct config *config =
        parse("services: {mail: {run: {command: m}, scale: {min: 3, max: 3}}}\n");
    assert_int_equal(config->model.services[0].rule_count, 0);
    assert_false(config->services[0].scale_defaulted);
}

static void test_budgets(void **state)
{
    const struct config *config =
        parse("budgets:\n  compute: {per-hour: 4, per-month: 2000, currency: EUR}\n  spare: "
              "{per-day: 5}\n"
              "energy: {carbon: 350, windows: [{cron: \"0 11 * * *\", for: 4h, carbon: 120}]}\n" WEB
              "    scale: {max: 9, cost: 0.2, budget: {name: compute, weight: 2}, after: db}\n"
              "  db:\n    listen: 5432\n    protocol: tcp\n    run: {command: [db]}\n"
              "    scale: {max: 4, cost: 0.9, budget: compute}\n");
    const struct model_conf *m = &config->model;
    assert_int_equal(m->budget_count, 2);
    assert_string_equal(m->budgets[0].name, "compute");
    assert_string_equal(m->budgets[0].currency, "EUR");
    assert_string_equal(m->zones[m->budgets[0].zone].name, "UTC");
    assert_true(m->budgets[0].per_hour == 4 && m->budgets[0].per_day == 0);
    assert_true(m->budgets[0].per_month == 2000 && m->budgets[1].per_day == 5);
    assert_int_equal(m->services[0].budget, 0);
    assert_true(m->services[0].budget_weight == 2 && m->services[1].budget_weight == 1);
    assert_int_equal(m->services[0].after_count, 1);
    assert_string_equal(m->services[0].after[0], "db");
    assert_true(m->carbon.grams == 350 && m->carbon.window_count == 1);
    assert_true(m->carbon.windows[0].grams == 120);
    assert_int_equal(m->carbon.windows[0].for_us, 4 * US_PER_HOUR);
}

static void test_ratio(void **state)
{
    const struct config *config =
        parse(WEB "  mail: {run: {command: m}, scale: {max: 9, rules: [ratio: {service: web, per: "
                  "4}]}}\n");
    const struct rule_conf *r = &config->model.services[1].rules[0];
    assert_string_equal(r->ratio.service, "web");
    assert_true(r->ratio.per == 4);
    assert_string_equal(r->name, "ratio 1 per 4 web");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_queue),   cmocka_unit_test(test_busyness),
        cmocka_unit_test(test_slo),     cmocka_unit_test(test_scale),
        cmocka_unit_test(test_sources), cmocka_unit_test(test_fixed_worker),
        cmocka_unit_test(test_budgets), cmocka_unit_test(test_ratio),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
