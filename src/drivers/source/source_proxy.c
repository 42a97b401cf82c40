/* The proxy's gauges as samples: demand, rates, latency, errors. Reads shared memory that another
 * process writes; it believes a number only as the difference of two readings of the same proxy
 * life. The first reading of a life gives no rates: a new proxy is an unknown interval. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/driver.h"
#include "sys/clock.h"
#include "sys/mem.h"

/* What one reading of a service sums up to, over all loops. */
struct reading {
    bool valid;
    int64_t at_us;
    uint64_t requests, arrivals, failed, bytes_in, bytes_out, busy_us;
    uint64_t latency[GAUGES_BUCKETS];
};

struct instance_reading {
    uint32_t number;
    uint64_t requests, errors;
    int64_t at_us;
};

struct source_proxy {
    struct gauges *gauges;
    struct reading last[GAUGES_SERVICES_MAX];
    struct instance_reading last_instance[GAUGES_INSTANCES_MAX];
};

static uint64_t get(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static uint32_t get32(const _Atomic uint32_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void add_loop(struct reading *r, const struct gauges_service_loop *l)
{
    r->requests += get(&l->requests);
    r->arrivals += get(&l->arrivals);
    r->failed += get(&l->responses[5]);
    r->bytes_in += get(&l->bytes_in);
    r->bytes_out += get(&l->bytes_out);
    int64_t since_us = atomic_load_explicit(&l->busy_at_us, memory_order_relaxed);
    uint32_t busy = get32(&l->busy_now);
    r->busy_us += get(&l->busy_us);
    if (busy > 0 && since_us > 0 && since_us < r->at_us)
        r->busy_us += (uint64_t)busy * (uint64_t)(r->at_us - since_us);
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        r->latency[i] += get(&l->latency[i]);
}

static void read_service(const struct gauges *g, uint32_t slot, int64_t now_us, struct reading *ret)
{
    uint32_t loops = MIN(g->loops, (uint32_t)GAUGES_LOOPS_MAX);
    *ret = (struct reading){ .valid = true, .at_us = now_us };
    for (uint32_t i = 0; i < loops; i++)
        add_loop(ret, &g->loop[i][slot]);
}

/* The latency below which `share` of the requests between two readings were answered; the end of
 * the bucket, in seconds. False when there was none. */
static bool percentile(const struct reading *a, const struct reading *b, double share,
                       double *ret_s)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        total += b->latency[i] - a->latency[i];
    if (total == 0)
        return false;
    double wanted = share * (double)total;
    unsigned i = 0;
    for (; i + 1 < GAUGES_BUCKETS; i++) {
        seen += b->latency[i] - a->latency[i];
        if ((double)seen >= wanted)
            break;
    }
    *ret_s = (double)gauges_bucket_floor_us(i + 1) / 1e6;
    return true;
}

/* Without a request in flight or answered, latency is known to be 0, not unknown: else an idle
 * service could never scale in by a rule on latency. */
static void add_latency(const struct reading *a, const struct reading *b, bool idle,
                        struct source_sink *sink)
{
    static const struct {
        enum metric metric;
        double share;
    } wanted[] = { { METRIC_LATENCY_P50, 0.50 },
                   { METRIC_LATENCY_P95, 0.95 },
                   { METRIC_LATENCY_P99, 0.99 } };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        double seconds;
        if (percentile(a, b, wanted[i].share, &seconds))
            source_add(sink, wanted[i].metric, 0, seconds);
        else if (idle)
            source_add(sink, wanted[i].metric, 0, 0);
    }
}

static void add_rates(const struct reading *a, const struct reading *b, bool idle,
                      struct source_sink *sink)
{
    double us = (double)(b->at_us - a->at_us), s = us / 1e6;
    double busy = b->busy_us > a->busy_us ? (double)(b->busy_us - a->busy_us) : 0;
    source_add(sink, METRIC_CONCURRENCY, 0, busy / us);
    source_add(sink, METRIC_RPS, 0, (double)(b->requests - a->requests) / s);
    source_add(sink, METRIC_ARRIVALS, 0, (double)(b->arrivals - a->arrivals) / s);
    source_add(sink, METRIC_ERRORS, 0, (double)(b->failed - a->failed) / s);
    source_add(sink, METRIC_BYTES_IN, 0, (double)(b->bytes_in - a->bytes_in) / s);
    source_add(sink, METRIC_BYTES_OUT, 0, (double)(b->bytes_out - a->bytes_out) / s);
    add_latency(a, b, idle, sink);
}

static void sample_instance(struct source_proxy *p, const struct source_instance *i,
                            uint32_t service, int64_t now_us, struct source_sink *sink)
{
    if (i->gauge >= GAUGES_INSTANCES_MAX || i->number == 0)
        return;
    const struct gauges_instance *g = &p->gauges->instance[i->gauge];
    struct instance_reading *last = &p->last_instance[i->gauge];
    if (get32(&g->number) != i->number || get32(&g->service) != service)
        return;
    struct instance_reading now = { .number = i->number,
                                    .requests = get(&g->requests),
                                    .errors = get(&g->errors),
                                    .at_us = now_us };
    source_add(sink, METRIC_CONCURRENCY, i->number, get32(&g->in_flight));
    source_add(sink, METRIC_CONNECTIONS, i->number, get32(&g->tunnels));
    if (last->number == now.number && now.at_us > last->at_us && now.requests >= last->requests) {
        double s = (double)(now.at_us - last->at_us) / 1e6;
        source_add(sink, METRIC_RPS, i->number, (double)(now.requests - last->requests) / s);
        source_add(sink, METRIC_ERRORS, i->number, (double)(now.errors - last->errors) / s);
    }
    *last = now;
}

static void source_proxy_sample(void *self, const struct source_service *service, int64_t now_us,
                                struct source_sink *sink)
{
    struct source_proxy *p = self;
    if (!p->gauges || service->slot >= GAUGES_SERVICES_MAX)
        return;
    struct reading *last = &p->last[service->slot], now;
    const struct gauges_service *shared = &p->gauges->service[service->slot];
    read_service(p->gauges, service->slot, now_us, &now);
    bool idle = get32(&shared->in_flight) == 0 && get32(&shared->queued) == 0;
    if (last->valid && now.at_us > last->at_us && now.requests >= last->requests)
        add_rates(last, &now, idle, sink);
    source_add(sink, METRIC_QUEUE, 0, get32(&shared->queued));
    source_add(sink, METRIC_CONNECTIONS, 0, get32(&shared->tunnels));
    for (size_t i = 0; i < service->instance_count; i++)
        sample_instance(p, &service->instances[i], service->slot, now_us, sink);
    *last = now;
}

static int source_proxy_open(const struct driver_env *env, void **ret, struct err *err)
{
    struct source_proxy *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "no memory for the proxy's gauges");
    *ret = p;
    return 0;
}

static void source_proxy_set_gauges(void *self, struct gauges *g)
{
    struct source_proxy *p = self;
    p->gauges = g;
    memset(p->last, 0, sizeof(p->last));
    memset(p->last_instance, 0, sizeof(p->last_instance));
}

static void source_proxy_close(void *self)
{
    free(self);
}

const struct source_ops source_proxy = {
    .name = "proxy",
    .open = source_proxy_open,
    .set_gauges = source_proxy_set_gauges,
    .sample = source_proxy_sample,
    .close = source_proxy_close,
};
