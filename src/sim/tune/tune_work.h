/* Simulations in parallel. Private to tune*.c. */
#pragma once

#include "sim/run.h"

struct tune_job {
    struct run_options options;
    struct run_result result;
    int rc;
};

/* Runs them all, `threads` at a time. What comes out does not depend on how many. */
void tune_work(struct tune_job *jobs, uint32_t count, uint32_t threads);
