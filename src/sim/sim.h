/* The simulator: the real core in virtual time, in a world that goes wrong in every way the seed
 * switches on, with the laws checked after each step. Same seed, same run, on every machine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/engine.h"

struct sim_options {
    int64_t chaos_us;  /* with faults; 0 = default */
    int64_t settle_us; /* after them, until nothing may move any more; 0 = default */
    const struct world_engine *engine; /* NULL = the seed's own */
    bool verbose;                      /* print every event, action and decision to stdout */
};

struct sim_report {
    uint64_t seed;
    const char *engine;
    uint32_t faults; /* enum fault_kind, as bits */
    uint64_t hash;   /* of all actions and decisions */
    uint64_t events, actions, decisions, starts;
    double instance_seconds;
    int64_t at_us;  /* of the violation */
    char law[32];   /* "" = all held */
    char text[320]; /* what was seen */
};

/* 0 = every law held; 1 = one did not, and the report says which; -ENOMEM. */
int sim_run_seed(uint64_t seed, const struct sim_options *options, struct sim_report *ret);
