/* Tuning: a search for the numbers of a policy on one part of a load, and the honest answer of the
 * rest. A candidate is a configuration's text; what is read back from it is simulated. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "sim/run.h"

#define TUNE_RUNS_MAX 10000
#define TUNE_FAMILIES_MAX 4
#define TUNE_RESERVE 0.5 /* of the violations that the SLO allows: the best leaves them free */

/* Reads a configuration as `plimsoll check` does. `ret` has the one service that is tuned, in the
 * arena. Called from one thread. 0, or -EINVAL when such a policy cannot be. */
typedef int (*tune_reader)(void *context, struct arena *arena, const char *text, size_t bytes,
                           struct model_conf *ret);

struct tune_options {
    struct run_options run; /* the load and the world; policy and model are tune's */
    double train_share;     /* of the load, from its begin; 0 < share < 1 */
    double allowed;         /* share of requests that may violate */
    uint32_t runs;          /* to spend on the search */
    uint32_t threads;
    uint64_t seed;
    uint32_t family_count; /* policies to start from: whole configurations, as YAML */
    const char *families[TUNE_FAMILIES_MAX];
    const char *service; /* the one to tune */
    tune_reader read;
    void *context;
    void (*progress)(uint32_t done, uint32_t of); /* NULL = nobody looks */
};

struct tune_outcome {
    double requests, violations; /* violations: a share */
    double instance_hours, cost, co2_g;
    double moves;
};

struct tune_candidate {
    uint32_t family;
    bool base;        /* as it was given */
    const char *text; /* the whole configuration */
    const char *yaml; /* its `scale` section, two spaces deep */
    bool front;       /* of those trained: none is better in both */
    bool tested;      /* the front and the bases */
    struct tune_outcome train, test;
};

struct tune_result {
    struct arena arena;
    uint32_t count, invalid;           /* simulated; refused by the reader */
    struct tune_candidate *candidates; /* the front first, by instance-hours; then the others */
    uint32_t front_count;
    int64_t best; /* the cheapest that keeps the SLO in training, if any can with the reserve; -1 =
                     none keeps it */
    double train_s, test_s;
};

/* Deterministic in the options, whatever the number of threads. 0; -EINVAL with a text; -ENOMEM. */
int tune_run(const struct tune_options *o, struct tune_result *ret, struct err *err);
void tune_result_done(struct tune_result *r);
