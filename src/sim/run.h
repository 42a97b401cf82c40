/* One simulation: a load, a policy, a world of one of two fidelities; out comes how well it went.
 * Same options, same result, on every machine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/fleet.h"
#include "sim/policy.h"
#include "sim/score.h"
#include "sim/trace/trace.h"

enum run_fidelity {
    RUN_TICK,    /* a fluid queue, a second at a time */
    RUN_REQUEST, /* every request is an event */
};

enum run_service { RUN_FIXED, RUN_EXPONENTIAL, RUN_LOGNORMAL, RUN_HISTOGRAM };
enum run_discipline { RUN_SHARED, RUN_FIRST_COME }; /* of requests within an instance */

struct run_histogram { /* of service times: a share of requests below each */
    uint32_t count;
    struct {
        double below_s, share;
    } bucket[64];
};

struct run_options {
    enum run_fidelity fidelity;
    const struct trace *trace;
    const struct policy_ops *policy;
    const struct model_conf *model; /* plimsoll's; service 0 */
    double capacity;                /* requests a second of one instance */
    double slots;                   /* at a time; service time = slots / capacity */
    int32_t initial;                /* 0 = what the first load needs at 70 % */
    struct fleet_conf fleet;
    double slo_wait_s;    /* a request violates that waits longer, or is refused. Default 0.5 */
    double slo_latency_s; /* and one that takes longer in all; 0 = does not count */
    double queue_s;       /* the queue holds this many seconds of capacity, default 10 */
    double allowed_violations; /* the oracle's */
    double cost, watts;        /* of an instance: an hour; at work */
    const struct carbon_conf *carbon;
    uint64_t seed;
    /* RUN_REQUEST */
    enum run_service service;
    double service_cv; /* lognormal's: standard deviation / mean */
    const struct run_histogram *histogram;
    enum run_discipline discipline;
    const char *balance; /* an algorithm of balance/; NULL = least-conn */
    /* The proxy gives an instance no more at a time; 0 = its slots with RUN_FIRST_COME, and queue_s
     * of capacity beyond them with RUN_SHARED. */
    uint32_t concurrency_max;
    /* What to keep besides the score. */
    uint32_t points_max; /* 0 = no points; else the run is folded into at most so many */
    bool decisions;      /* keep them */
};

struct run_point { /* over the time since the point before: means, but for latency's and queue's
                      most */
    int64_t at_us;
    double load, capacity, in_flight, queued, latency_p99_s;
    double ready, starting, desired;
    double paid_s; /* instance-seconds so far */
};

struct run_decision {
    int64_t at_us;
    int32_t before, after;
    char why[200];
};

struct run_result {
    struct score score;
    uint64_t hash; /* of everything that was decided */
    struct run_point *points;
    uint32_t point_count;
    struct run_decision *decisions;
    uint32_t decision_count;
};

/* 0; -EINVAL with a text; -ENOMEM. */
int run_simulate(const struct run_options *o, struct run_result *ret, struct err *err);
void run_result_done(struct run_result *r);

/* The two worlds. */
int run_tick(const struct run_options *o, struct run_result *ret, struct err *err);
int run_request(const struct run_options *o, struct run_result *ret, struct err *err);
