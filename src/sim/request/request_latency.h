/* Many times, remembered well enough for their percentiles: buckets whose width is 1/64 of where
 * they stand, as in HdrHistogram. */
#pragma once

#include <stdint.h>

#define REQUEST_LATENCY_FINE 64u /* buckets from one power of two to the next */
#define REQUEST_LATENCY_BITS 44  /* longer times count as 2^44 ns, almost five hours */
#define REQUEST_LATENCY_BUCKETS (REQUEST_LATENCY_FINE * (REQUEST_LATENCY_BITS - 5))

struct request_latency {
    uint64_t count;
    double sum_s;
    uint32_t low, high; /* buckets in use: [low, high) */
    uint64_t bucket[REQUEST_LATENCY_BUCKETS];
};

void request_latency_init(struct request_latency *l);
void request_latency_add(struct request_latency *l, int64_t ns);
/* What is in `from` moves to `to`; `from` is empty then. */
void request_latency_move(struct request_latency *from, struct request_latency *to);
/* The time that a share `ratio` of them is below, in seconds; 0 when there are none. */
double request_latency_quantile_s(const struct request_latency *l, double ratio);
double request_latency_mean_s(const struct request_latency *l);
