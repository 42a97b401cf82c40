/* Counters over all proxy lives: what gauges that are gone had counted, plus what the living ones
 * count. */
#include "controller/controller_int.h"

static uint64_t get(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void add_loop(struct totals_service *t, const struct gauges_service_loop *l)
{
    t->requests += get(&l->requests);
    for (size_t i = 0; i < ARRAY_LEN(t->responses); i++)
        t->responses[i] += get(&l->responses[i]);
    for (size_t i = 0; i < GAUGES_ERROR_MAX; i++)
        t->errors[i] += get(&l->errors[i]);
    t->retries += get(&l->retries);
    t->bytes_in += get(&l->bytes_in);
    t->bytes_out += get(&l->bytes_out);
    t->latency_sum_us += get(&l->latency_sum_us);
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        t->latency[i] += get(&l->latency[i]);
}

static void add_gauges(struct totals_service *t, const struct gauges *g, uint32_t slot)
{
    for (uint32_t i = 0; i < MIN(g->loops, (uint32_t)GAUGES_LOOPS_MAX); i++)
        add_loop(t, &g->loop[i][slot]);
}

void totals_fold(struct totals *t, const struct gauges *g)
{
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        add_gauges(&t->service[slot], g, slot);
    t->accepted += get(&g->client_accepted);
    t->refused += get(&g->client_refused);
    t->log_dropped += get(&g->log_dropped);
}

/* What the living proxy has counted is taken off in advance; the arithmetic is modulo 2^64. */
void totals_forget(struct totals *t, const struct gauges *g, uint32_t slot)
{
    static struct totals_service counted;
    struct totals_service *s = &t->service[slot];
    counted = (struct totals_service){ 0 };
    if (g)
        add_gauges(&counted, g, slot);
    *s = (struct totals_service){ .requests = 0 - counted.requests,
                                  .retries = 0 - counted.retries,
                                  .bytes_in = 0 - counted.bytes_in,
                                  .bytes_out = 0 - counted.bytes_out,
                                  .latency_sum_us = 0 - counted.latency_sum_us };
    for (size_t i = 0; i < ARRAY_LEN(s->responses); i++)
        s->responses[i] = 0 - counted.responses[i];
    for (size_t i = 0; i < GAUGES_ERROR_MAX; i++)
        s->errors[i] = 0 - counted.errors[i];
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        s->latency[i] = 0 - counted.latency[i];
}

void totals_read(const struct totals *t, const struct gauges *g, uint32_t slot,
                 struct totals_service *ret)
{
    *ret = t->service[slot];
    if (g)
        add_gauges(ret, g, slot);
}
