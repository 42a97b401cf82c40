/* How long the core takes: for a sample event, for a tick over many services, and for a simulated
 * second of one. Prints a table; measures with the process's own CPU time, on one core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control.h"

#define METRICS 10
#define RULES 5
#define POINTS 60
#define INSTANCES_EACH 4
#define WALL_US (INT64_C(1700000000) * US_PER_S)

struct bench {
    struct control *c;
    size_t bytes;
    int64_t now_us;
    struct service_conf *services;
    struct model_conf model;
    struct action items[CONTROL_ACTIONS_MIN];
    struct actions actions;
    int32_t busy; /* requests in flight of an instance */
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void target(struct service_conf *s, enum metric m, double value)
{
    struct rule_conf *r = &s->rules[s->rule_count++];
    r->kind = RULE_TARGET;
    snprintf(r->name, sizeof(r->name), "target %s", metric_name(m));
    r->target = (struct rule_target_conf){
        .metric = { .metric = m, .stat = SERIES_AVG },
        .value = value,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
    };
}

static void threshold(struct service_conf *s, enum metric m, double above)
{
    struct rule_conf *r = &s->rules[s->rule_count++];
    r->kind = RULE_THRESHOLD;
    snprintf(r->name, sizeof(r->name), "threshold %s", metric_name(m));
    r->threshold = (struct rule_threshold_conf){
        .metric = { .metric = m, .stat = SERIES_AVG, .window_us = 60 * US_PER_S },
        .has_above = true,
        .above = above,
        .add = 1,
    };
}

static void describe(struct service_conf *s, uint32_t n, int32_t initial, uint32_t rules)
{
    *s = (struct service_conf){
        .min = 1,
        .max = 1000,
        .initial = initial,
        .template = 1,
        .surge = 1,
        .can_choose_victim = true,
        .start_within_us = 60 * US_PER_S,
        .drain_us = 20 * US_PER_S,
        .window_in_us = 60 * US_PER_S,
        .health = { 3, 2, 60 * US_PER_S },
        .budget = -1,
        .budget_weight = 1,
        .behavior.down.stabilize_us = 60 * US_PER_S,
        .metric_count = 5,
    };
    snprintf(s->name, sizeof(s->name), "service-%u", n);
    for (uint32_t m = 0; m < s->metric_count; m++)
        snprintf(s->metrics[m].name, sizeof(s->metrics[m].name), "metric-%u", m);
    target(s, METRIC_CONCURRENCY, 10);
    if (rules > 1)
        target(s, METRIC_RPS, 100);
    for (uint32_t m = 0; s->rule_count < rules; m++)
        threshold(s, METRIC_CUSTOM + m, 1e6);
}

static void step(struct bench *b, const struct event *e)
{
    control_step(b->c, e, &b->actions);
}

static struct event event_of(const struct bench *b, enum event_type type, int32_t service)
{
    return (struct event){
        .type = type, .now_us = b->now_us, .wall_us = WALL_US + b->now_us, .service = service
    };
}

static void make_ready(struct bench *b)
{
    for (uint32_t slot = 0; slot < b->model.service_count; slot++) {
        struct service_view v;
        control_view(b->c, slot, &v);
        for (uint32_t n = 0; n < v.instance_count; n++) {
            if (v.instances[n].state != INSTANCE_STARTING)
                continue;
            struct event e = event_of(b, EVENT_PROBE, (int32_t)slot);
            e.number = v.instances[n].number;
            e.flag = true;
            step(b, &e);
        }
    }
}

static void sample(struct bench *b, uint32_t slot, int32_t count)
{
    double wave = (double)((b->now_us / US_PER_S + slot) % 7) / 7;
    double in_flight = count * (9.1 + wave);
    const struct sample samples[METRICS] = {
        { METRIC_CONCURRENCY, 0, in_flight },
        { METRIC_RPS, 0, in_flight * 10 },
        { METRIC_QUEUE, 0, 0 },
        { METRIC_LATENCY_P99, 0, 0.1 + wave },
        { METRIC_ARRIVALS, 0, in_flight },
        { METRIC_CUSTOM, 0, wave },
        { METRIC_CUSTOM + 1, 0, wave },
        { METRIC_CUSTOM + 2, 0, wave },
        { METRIC_CUSTOM + 3, 0, wave },
        { METRIC_CUSTOM + 4, 0, wave },
    };
    struct event e = event_of(b, EVENT_SAMPLES, (int32_t)slot);
    e.samples = samples;
    e.sample_count = METRICS;
    step(b, &e);
}

static void second(struct bench *b, int32_t count)
{
    b->now_us += US_PER_S;
    for (uint32_t slot = 0; slot < b->model.service_count; slot++)
        sample(b, slot, count);
    struct event e = event_of(b, EVENT_TICK, -1);
    step(b, &e);
}

static void done(struct bench *b)
{
    free(b->c);
    free(b->services);
    free(b);
}

static struct bench *begin(uint32_t services, int32_t initial, uint32_t rules, uint32_t instances)
{
    struct control_caps caps = {
        .services = services, .instances = instances, .points = POINTS, .rules = services * rules
    };
    struct bench *b = calloc(1, sizeof(*b));
    b->actions = (struct actions){ .items = b->items, .cap = ARRAY_LEN(b->items) };
    b->bytes = control_bytes(&caps);
    b->c = control_init(calloc(1, b->bytes), &caps);
    b->now_us = 1000 * US_PER_S;
    b->services = calloc(services, sizeof(*b->services));
    for (uint32_t n = 0; n < services; n++)
        describe(&b->services[n], n, initial, rules);
    b->model = (struct model_conf){ .service_count = services, .services = b->services };
    struct event e = event_of(b, EVENT_CONFIG, -1);
    e.conf = &b->model;
    step(b, &e);
    for (uint32_t n = 0; n < services / 16 + 2; n++) { /* what did not fit comes later */
        e = event_of(b, EVENT_TICK, -1);
        step(b, &e);
    }
    make_ready(b);
    return b;
}

/* Seconds for one full tick: samples of every service, and the tick. */
static void bench_tick(uint32_t services)
{
    struct bench *b = begin(services, 2, RULES, INSTANCES_EACH);
    for (int n = 0; n < 130; n++)
        second(b, 2);
    int rounds = services >= 10000 ? 20 : 100;
    double samples_s = 0, before = cpu_s();
    for (int n = 0; n < rounds; n++) {
        double from = cpu_s();
        b->now_us += US_PER_S;
        for (uint32_t slot = 0; slot < services; slot++)
            sample(b, slot, 2);
        samples_s += cpu_s() - from;
        struct event e = event_of(b, EVENT_TICK, -1);
        step(b, &e);
    }
    double all_s = (cpu_s() - before) / rounds;
    printf("%8u services, %d rules, %d metrics: full tick %8.3f ms (%.2f us each; %.2f us for its "
           "sample event), %.1f MB (%.1f KB each)\n",
           services, RULES, METRICS, all_s * 1e3, all_s / services * 1e6,
           samples_s / rounds / services * 1e6, (double)b->bytes / 1e6,
           (double)b->bytes / services / 1e3);
    done(b);
}

static void bench_second(uint32_t rules)
{
    struct bench *b = begin(1, 50, rules, 200);
    for (int n = 0; n < 1000; n++)
        second(b, 50);
    const int rounds = 2000000;
    double before = cpu_s();
    for (int n = 0; n < rounds; n++) {
        b->now_us += US_PER_S;
        double in_flight = 50 * (9.1 + (double)(n % 7) / 7);
        const struct sample samples[] = { { METRIC_CONCURRENCY, 0, in_flight },
                                          { METRIC_QUEUE, 0, 0 },
                                          { METRIC_RPS, 0, in_flight * 10 } };
        struct event e = { .type = EVENT_SAMPLES,
                           .now_us = b->now_us,
                           .wall_us = WALL_US + b->now_us,
                           .samples = samples,
                           .sample_count = ARRAY_LEN(samples) };
        step(b, &e);
        e.type = EVENT_TICK;
        e.service = -1;
        step(b, &e);
    }
    struct service_view v;
    control_view(b->c, 0, &v);
    printf("%8d instances, 1 service, %u rule%s: %.0f ns for a simulated second\n", v.ready, rules,
           rules == 1 ? "" : "s", (cpu_s() - before) / rounds * 1e9);
    done(b);
}

int main(int argc, char **argv)
{
    static const uint32_t services[] = { 100, 1000, 10000 };
    for (size_t n = 0; n < ARRAY_LEN(services); n++)
        bench_tick(services[n]);
    for (uint32_t rules = 1; rules <= 2; rules++)
        bench_second(rules);
    return 0;
}
