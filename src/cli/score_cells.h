/* The score: every policy on every load, with every start time. Uses as many threads as there are
 * cores; what comes out does not depend on how many. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/run.h"

#define SCORE_CELLS_MAX 96
#define SCORE_POLICIES_MAX 24
#define SCORE_MEAN_RPS 1500.0 /* every load is scaled to this mean, */
#define SCORE_CAPACITY 100.0  /* of which an instance does a 15th, */
#define SCORE_SLOTS 20.0      /* so many at a time */

struct score_cell {
    const struct trace *trace;
    int64_t boot_us;
    struct score scores[SCORE_POLICIES_MAX]; /* as policy_all */
    size_t peer;                             /* the better of hpa and knative: its place */
    double allowed;                          /* its violations: what the oracle may have */
    bool closes;                             /* there is a gap between it and the oracle */
    double gap;                              /* share of it that plimsoll closes */
    bool good; /* no more violations than the peer, and half of the gap */
};

/* Makes the load of a score of a recorded one: without its noise when it has to be scaled up. 0 or
 * -ENOMEM. */
int score_prepare(struct trace *t);
/* Where a policy stands in policy_all. */
size_t score_place(const struct policy_ops *policy);
/* Fills the scores of cells whose trace and boot are set. */
int score_fill(struct score_cell *cells, size_t count, struct err *err);
