/* Load on the instances: a fluid model. What is offered is served up to the capacity of those that
 * serve, the rest waits in a queue of limited length. */
#include "sim/world.h"

#include <math.h>

#include "base/us.h"
#include "base/util.h"

#define QUEUE_MAX 1000
#define SAMPLES_MAX (16 + 2 * WORLD_INSTANCES_MAX)

static void spread(struct world *w, struct world_service *s, uint32_t service)
{
    s->ready = 0;
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        const struct world_instance *i = &w->instances[n];
        s->ready += i->alive && i->serving && i->service == service;
    }
    double offered = floor(load_at(&s->load, w->now_us) + 0.5);
    double served = MIN(offered, floor(s->ready * s->capacity));
    s->in_flight = (uint32_t)served;
    s->queued = (uint32_t)MIN(offered - served, QUEUE_MAX);
}

struct batch {
    struct sample items[SAMPLES_MAX];
    uint32_t count;
};

static void add(struct world *w, struct batch *b, enum metric m, uint32_t number, double value)
{
    if (fault_hits(&w->faults, &w->rng, FAULT_SAMPLES, 12))
        return;
    if (fault_hits(&w->faults, &w->rng, FAULT_SAMPLES, 40))
        value = NAN;
    if (fault_hits(&w->faults, &w->rng, FAULT_SAMPLES, 40))
        value = -value;
    b->items[b->count++] = (struct sample){ .metric = m, .number = number, .value = value };
}

static void fill(struct world *w, const struct world_service *s, uint32_t service, struct batch *b)
{
    double each = s->ready > 0 ? (double)s->in_flight / s->ready : 0;
    add(w, b, METRIC_CONCURRENCY, 0, (double)s->in_flight + s->queued);
    add(w, b, METRIC_QUEUE, 0, s->queued);
    add(w, b, METRIC_CONNECTIONS, 0, 0);
    add(w, b, METRIC_RPS, 0, s->in_flight * 10.0);
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        const struct world_instance *i = &w->instances[n];
        if (!i->known || !i->alive || i->service != service || i->number == 0)
            continue;
        add(w, b, METRIC_CONCURRENCY, i->number, i->serving ? each : 0);
        add(w, b, METRIC_CPU, i->number, i->serving ? each / s->capacity : 0.01);
    }
}

/* What a source says that may lie: what it is asked for, nothing, or anything at all. */
static double lie(struct world *w, double value)
{
    static const double lies[] = { NAN, INFINITY, -INFINITY, -1, 0x1p63, 1e308, 0x1p-1074 };
    if (!fault_on(&w->faults, FAULT_SAMPLES) || rng_below(&w->later, 20) > 0)
        return value;
    return lies[rng_below(&w->later, ARRAY_LEN(lies))];
}

/* Samples that only wide seeds have. What waits takes longer; each metric of its own follows the
 * load in its way, the second one comes every five seconds only. */
static void fill_wide(struct world *w, const struct world_service *s, struct batch *b)
{
    double offered = floor(load_at(&s->load, w->now_us));
    double latency =
        0.1 + 0.01 * s->queued + (s->ready > 0 ? 0.1 * s->in_flight / s->ready : 0) / 50;
    const struct sample all[] = {
        { METRIC_ARRIVALS, 0, s->in_flight * 10.0 },
        { METRIC_LATENCY_P99, 0, s->in_flight > 0 ? latency : 0 },
        { METRIC_CUSTOM, 0, offered * 0.2 },
        { METRIC_CUSTOM + 1, 0, offered * 0.5 },
    };
    bool all_come = w->now_us / US_PER_S % 5 == 0;
    for (size_t n = 0; n < ARRAY_LEN(all); n++) {
        if (n == ARRAY_LEN(all) - 1 && !all_come)
            break;
        b->items[b->count] = all[n];
        b->items[b->count++].value = lie(w, all[n].value);
    }
}

void world_sample(struct world *w)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct world_service *s = &w->services[n];
        struct batch b = { .count = 0 };
        spread(w, s, n);
        if (s->slot < 0 || fault_hits(&w->faults, &w->rng, FAULT_SAMPLES, 20))
            continue;
        fill(w, s, n, &b);
        if (w->wide)
            fill_wide(w, s, &b);
        struct event e = world_event(w, EVENT_SAMPLES, s->slot);
        e.samples = b.items;
        e.sample_count = b.count;
        w->deliver(w->ctx, &e);
    }
}

void world_ring(struct world *w)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct world_service *s = &w->services[n];
        spread(w, s, n);
        uint32_t demand = s->in_flight + s->queued;
        if (s->slot < 0 || demand < w->mark(w->ctx, s->slot)) {
            s->rung = 0;
            continue;
        }
        if (demand == s->rung)
            continue;
        s->rung = demand;
        struct event e = world_event(w, EVENT_DOORBELL, s->slot);
        e.in_flight = s->in_flight;
        e.queued = s->queued;
        w->deliver(w->ctx, &e);
    }
}
