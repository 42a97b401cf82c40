/* A goal as people write it: "p99<250ms", "p99.9 below 1s", "wait-p95<100ms". */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "sim/run.h"

struct tune_slo {
    double share; /* of requests that may take longer */
    double limit_s;
    bool wait; /* the limit is for the wait alone, not for the service time with it */
};

/* 0, or -EINVAL with a text. */
int tune_slo_parse(const char *text, struct tune_slo *ret, struct err *err);
/* What the run is to count as a violation. -EINVAL: no number of instances could keep it. */
int tune_slo_set(const struct tune_slo *slo, struct run_options *o, struct err *err);
