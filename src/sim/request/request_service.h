/* How much work a request is: drawn from one of four distributions of the same mean, so that an
 * instance's capacity is what it was said to be. */
#pragma once

#include "base/err.h"
#include "base/rng.h"
#include "sim/request/request_exponential.h"
#include "sim/run.h"

struct request_service {
    enum run_service kind;
    double mean_ns;
    double log_mean, log_deviation; /* lognormal's: of its logarithm */
    double spare;                   /* normals come in pairs */
    bool has_spare;
    uint32_t bucket_count; /* a histogram's, its shares made cumulative and its mean mean_ns */
    struct {
        double from_ns, below_ns, share;
    } bucket[ARRAY_LEN(((struct run_histogram *)0)->bucket)];
    struct request_exponential exponential;
    struct rng rng;
};

/* 0, or -EINVAL with a text: a cv that is negative, a histogram that is none. */
int request_service_init(struct request_service *s, const struct run_options *o, uint64_t seed,
                         struct err *err);
double request_service_draw(struct request_service *s); /* work, in ns; > 0 */
/* What a histogram says of the mean, values even within a bucket; 0 = nothing is in it. */
double request_histogram_mean_s(const struct run_histogram *h);
