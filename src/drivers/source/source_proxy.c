/* The proxies' gauges as samples: demand, rates, latency, errors. Ours is read from the memory that
 * it shares with us, those of other members from what they told; a sample is of all of them
 * together or, while one is unknown, not there. The first reading of a proxy life gives no rates: a
 * new proxy is an unknown interval. */
#include "drivers/source/source_proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/driver.h"
#include "sys/clock.h"
#include "sys/mem.h"

struct source_proxy {
    struct gauges *gauges;
    const struct proxy_others *others;
    struct proxy_reading last[GAUGES_SERVICES_MAX]; /* at_us 0 = none yet in this life */
    struct last_instance {
        struct proxy_instance reading;
        int64_t at_us;
    } last_instance[GAUGES_INSTANCES_MAX];
};

/* The latency below which `wanted` of the requests were answered; the end of the bucket, in
 * seconds. False when there was none. */
static bool percentile(const struct proxy_share *s, double wanted, double *ret_s)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < GAUGES_BUCKETS; i++)
        total += s->latency[i];
    if (total == 0)
        return false;
    wanted *= (double)total;
    unsigned i = 0;
    for (; i + 1 < GAUGES_BUCKETS; i++) {
        seen += s->latency[i];
        if ((double)seen >= wanted)
            break;
    }
    *ret_s = (double)gauges_bucket_floor_us(i + 1) / 1e6;
    return true;
}

/* Without a request in flight or answered, latency is known to be 0, not unknown: else an idle
 * service could never scale in by a rule on latency. */
static void add_latency(const struct proxy_share *s, struct source_sink *sink)
{
    static const struct {
        enum metric metric;
        double wanted;
    } percentiles[] = { { METRIC_LATENCY_P50, 0.50 },
                        { METRIC_LATENCY_P95, 0.95 },
                        { METRIC_LATENCY_P99, 0.99 } };
    bool idle = s->in_flight == 0 && s->queued == 0;
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++) {
        double seconds;
        if (percentile(s, percentiles[i].wanted, &seconds))
            source_add(sink, percentiles[i].metric, 0, seconds);
        else if (idle)
            source_add(sink, percentiles[i].metric, 0, 0);
    }
}

static void add_share(const struct proxy_share *s, struct source_sink *sink)
{
    if (s->rates) {
        source_add(sink, METRIC_CONCURRENCY, 0, s->busy);
        source_add(sink, METRIC_RPS, 0, s->requests);
        source_add(sink, METRIC_ARRIVALS, 0, s->arrivals);
        source_add(sink, METRIC_ERRORS, 0, s->failed);
        source_add(sink, METRIC_BYTES_IN, 0, s->bytes_in);
        source_add(sink, METRIC_BYTES_OUT, 0, s->bytes_out);
        add_latency(s, sink);
    }
    source_add(sink, METRIC_QUEUE, 0, s->queued);
    source_add(sink, METRIC_CONNECTIONS, 0, s->tunnels);
}

static void sample_instance(struct source_proxy *p, const struct source_instance *i, uint32_t slot,
                            bool known, int64_t now_us, struct source_sink *sink)
{
    struct proxy_instance_share share = { .rates = true };
    struct proxy_instance now;
    if (!proxy_instance_take(p->gauges, i->gauge, slot, i->number, &now))
        return;
    struct last_instance *last = &p->last_instance[i->gauge];
    proxy_instance_share_add(&share, &last->reading, &now, now_us - last->at_us);
    *last = (struct last_instance){ .reading = now, .at_us = now_us };
    if (!known)
        return;
    if (p->others)
        p->others->add_instance(p->others->ctx, slot, i->number, &share);
    source_add(sink, METRIC_CONCURRENCY, i->number, share.in_flight);
    source_add(sink, METRIC_CONNECTIONS, i->number, share.tunnels);
    if (share.rates) {
        source_add(sink, METRIC_RPS, i->number, share.requests);
        source_add(sink, METRIC_ERRORS, i->number, share.errors);
    }
}

static void source_proxy_sample(void *self, const struct source_service *service, int64_t now_us,
                                struct source_sink *sink)
{
    static struct proxy_share share;
    static struct proxy_reading now;
    struct source_proxy *p = self;
    if (!p->gauges || service->slot >= GAUGES_SERVICES_MAX)
        return;
    struct proxy_reading *last = &p->last[service->slot];
    proxy_reading_take(p->gauges, service->slot, now_us, &now);
    share = (struct proxy_share){ .rates = true };
    proxy_share_add(&share, last->at_us > 0 ? last : NULL, &now);
    *last = now;
    bool known = !p->others || p->others->add(p->others->ctx, service->slot, &share);
    if (known)
        add_share(&share, sink);
    for (size_t i = 0; i < service->instance_count; i++)
        sample_instance(p, &service->instances[i], service->slot, known, now_us, sink);
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

void source_proxy_set_others(void *self, const struct proxy_others *others)
{
    struct source_proxy *p = self;
    p->others = others;
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
