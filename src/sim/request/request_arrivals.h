/* When requests come: a Poisson process whose rate follows the trace, linear between the centres of
 * its steps as trace_at() has it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "sim/request/request_exponential.h"
#include "sim/trace/trace.h"

struct request_arrivals {
    const struct trace *trace;
    struct rng rng;
    struct request_exponential exponential;
    size_t piece; /* from the centre of step piece - 1 to that of step piece */
    int64_t begin_ns;
    double at_s, length_s; /* within the piece */
    double rate, slope;    /* at `at_s`, and its growth a second */
};

void request_arrivals_init(struct request_arrivals *a, const struct trace *t, uint64_t seed);
/* The next one, in ns since the trace's begin; never less than the one before. INT64_MAX when the
 * trace is over. */
int64_t request_arrivals_next(struct request_arrivals *a);
