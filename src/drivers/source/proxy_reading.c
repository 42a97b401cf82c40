/* Readings of gauges and their differences. Another process writes the gauges while they are read:
 * a number is believed only as the difference of two readings of one proxy life. */
#include "drivers/source/proxy_reading.h"

#include "base/util.h"

static uint64_t get(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static uint32_t get32(const _Atomic uint32_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void add_loop(struct proxy_reading *r, const struct gauges_service_loop *l)
{
    r->requests += get(&l->requests);
    r->arrivals += get(&l->arrivals);
    for (size_t i = 0; i < ARRAY_LEN(r->responses); i++)
        r->responses[i] += get(&l->responses[i]);
    for (size_t i = 0; i < GAUGES_ERROR_MAX; i++)
        r->errors[i] += get(&l->errors[i]);
    r->retries += get(&l->retries);
    r->bytes_in += get(&l->bytes_in);
    r->bytes_out += get(&l->bytes_out);
    int64_t since_us = atomic_load_explicit(&l->busy_at_us, memory_order_relaxed);
    uint32_t busy = get32(&l->busy_now);
    r->busy_us += get(&l->busy_us);
    if (busy > 0 && since_us > 0 && since_us < r->at_us)
        r->busy_us += (uint64_t)busy * (uint64_t)(r->at_us - since_us);
    r->latency_sum_us += get(&l->latency_sum_us);
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        r->latency[i] += get(&l->latency[i]);
}

void proxy_reading_take(const struct gauges *g, uint32_t slot, int64_t now_us,
                        struct proxy_reading *ret)
{
    uint32_t loops = MIN(g->loops, (uint32_t)GAUGES_LOOPS_MAX);
    const struct gauges_service *shared = &g->service[slot];
    *ret = (struct proxy_reading){ .at_us = now_us,
                                   .in_flight = get32(&shared->in_flight),
                                   .queued = get32(&shared->queued),
                                   .tunnels = get32(&shared->tunnels) };
    for (uint32_t i = 0; i < loops; i++)
        add_loop(ret, &g->loop[i][slot]);
}

bool proxy_instance_take(const struct gauges *g, uint32_t gauge, uint32_t slot, uint32_t number,
                         struct proxy_instance *ret)
{
    if (gauge >= GAUGES_INSTANCES_MAX || number == 0)
        return false;
    const struct gauges_instance *i = &g->instance[gauge];
    if (get32(&i->number) != number || get32(&i->service) != slot)
        return false;
    *ret = (struct proxy_instance){ .number = number,
                                    .in_flight = get32(&i->in_flight),
                                    .tunnels = get32(&i->tunnels),
                                    .ejected = get32(&i->ejected) != 0,
                                    .requests = get(&i->requests),
                                    .errors = get(&i->errors) };
    return true;
}

static double rate(uint64_t before, uint64_t now, double s)
{
    return (double)(now - before) / s;
}

void proxy_share_add(struct proxy_share *s, const struct proxy_reading *before,
                     const struct proxy_reading *now)
{
    s->in_flight += now->in_flight;
    s->queued += now->queued;
    s->tunnels += now->tunnels;
    if (!before || now->at_us <= before->at_us || now->requests < before->requests) {
        s->rates = false;
        return;
    }
    double us = (double)(now->at_us - before->at_us), seconds = us / 1e6;
    s->busy += now->busy_us > before->busy_us ? (double)(now->busy_us - before->busy_us) / us : 0;
    s->requests += rate(before->requests, now->requests, seconds);
    s->arrivals += rate(before->arrivals, now->arrivals, seconds);
    s->failed += rate(before->responses[5], now->responses[5], seconds);
    s->bytes_in += rate(before->bytes_in, now->bytes_in, seconds);
    s->bytes_out += rate(before->bytes_out, now->bytes_out, seconds);
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        s->latency[i] += now->latency[i] - before->latency[i];
}

void proxy_instance_share_add(struct proxy_instance_share *s, const struct proxy_instance *before,
                              const struct proxy_instance *now, int64_t span_us)
{
    s->in_flight += now->in_flight;
    s->tunnels += now->tunnels;
    if (!before || before->number != now->number || span_us <= 0 ||
        now->requests < before->requests) {
        s->rates = false;
        return;
    }
    double seconds = (double)span_us / 1e6;
    s->requests += rate(before->requests, now->requests, seconds);
    s->errors += rate(before->errors, now->errors, seconds);
}
