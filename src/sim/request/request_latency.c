/* A histogram of times. It must never cost a request more than a few instructions. */
#include "sim/request/request_latency.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"

#define NS_PER_S 1e9
#define FINE_BITS 6

static_assert(REQUEST_LATENCY_FINE == 1u << FINE_BITS, "one shift tells the bucket");

void request_latency_init(struct request_latency *l)
{
    memset(l, 0, sizeof(*l));
    l->low = REQUEST_LATENCY_BUCKETS;
}

/* Below 64 ns a bucket is a nanosecond; from there on each power of two is cut into 64. */
static uint32_t bucket_of(uint64_t ns)
{
    if (ns < REQUEST_LATENCY_FINE)
        return (uint32_t)ns;
    uint32_t shift = 63 - FINE_BITS - (uint32_t)__builtin_clzll(ns);
    return shift * REQUEST_LATENCY_FINE + (uint32_t)(ns >> shift);
}

static double bucket_begin_ns(uint32_t bucket)
{
    if (bucket < 2 * REQUEST_LATENCY_FINE)
        return bucket;
    uint32_t shift = bucket / REQUEST_LATENCY_FINE - 1;
    uint64_t top = bucket - shift * REQUEST_LATENCY_FINE;
    return (double)(top << shift);
}

void request_latency_add(struct request_latency *l, int64_t ns)
{
    uint32_t b = bucket_of(ns > 0 ? (uint64_t)ns : 0);
    b = MIN(b, REQUEST_LATENCY_BUCKETS - 1);
    l->bucket[b]++;
    l->count++;
    l->sum_s += (double)ns / NS_PER_S;
    l->low = MIN(l->low, b);
    l->high = MAX(l->high, b + 1);
}

void request_latency_move(struct request_latency *from, struct request_latency *to)
{
    for (uint32_t b = from->low; b < from->high; b++) {
        to->bucket[b] += from->bucket[b];
        from->bucket[b] = 0;
    }
    to->count += from->count;
    to->sum_s += from->sum_s;
    to->low = MIN(to->low, from->low);
    to->high = MAX(to->high, from->high);
    from->count = 0;
    from->sum_s = 0;
    from->low = REQUEST_LATENCY_BUCKETS;
    from->high = 0;
}

double request_latency_quantile_s(const struct request_latency *l, double ratio)
{
    double wanted = ratio * (double)l->count;
    double below = 0;
    for (uint32_t b = l->low; b < l->high; b++) {
        double here = (double)l->bucket[b];
        if (here > 0 && below + here >= wanted) {
            double begin = bucket_begin_ns(b);
            double within = (wanted - below) / here;
            return (begin + (bucket_begin_ns(b + 1) - begin) * within) / NS_PER_S;
        }
        below += here;
    }
    return 0;
}

double request_latency_mean_s(const struct request_latency *l)
{
    return l->count > 0 ? l->sum_s / (double)l->count : 0;
}
