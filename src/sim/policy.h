/* What decides in a simulation: plimsoll's core, or the algorithm of a peer. One algorithm, one
 * file, one const table; policies.c lists them. All see the same once a second, and all order
 * instances of the same fleet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"
#include "sim/fleet.h"
#include "sim/trace/trace.h"

/* Known before the run begins. */
struct policy_setup {
    double capacity; /* requests a second that one instance can do */
    double slots;    /* requests that it does at a time */
    int32_t initial, min, max;
    int64_t boot_us;
    int64_t start_wall_us;
    uint64_t seed;
    const struct model_conf *model; /* plimsoll's: service 0 is the one */
    const struct trace *future;     /* for the oracle and fixed fleets alone */
    double allowed_violations;      /* the oracle's: share of requests it may let wait */
    double slo_wait_s;              /* a request violates that waits longer */
    double queue_s;                 /* of capacity that the queue holds */
};

/* What there is to see at the end of a step. */
struct policy_view {
    int64_t now_us, wall_us;
    int64_t step_us;
    double arrivals; /* a second, over the step */
    double answered; /* a second */
    double in_flight, queued;
    double concurrency; /* both */
    double utilisation; /* share of the ready instances' slots in use, mean over the step, 0..1 */
    double latency_p50_s, latency_p95_s, latency_p99_s; /* of the requests answered; 0 = none */
    const struct fleet *fleet;
};

struct policy_ops {
    const char *name; /* "knative" */
    const char *help; /* one line: whose, with which constants, and the source */
    void *(*open)(const struct policy_setup *s); /* NULL = no memory */
    /* Orders what it wants of the fleet. */
    void (*step)(void *self, const struct policy_view *v, struct fleet *fleet);
    /* What it wants now (before the first step: what is ready from the begin), and, when that has
     * changed in the last step, a sentence why; else NULL. */
    int32_t (*desired)(const void *self);
    const char *(*why)(const void *self);
    void (*close)(void *self);
    /* RUN_REQUEST, both or neither: demand in flight and queued has passed `mark`, or a queue has
     * begun, at this very moment between two steps. */
    void (*bell)(void *self, const struct policy_view *v, struct fleet *fleet);
    uint32_t (*mark)(const void *self);
};

extern const struct policy_ops *const policy_all[]; /* NULL-terminated; policy_plimsoll first */
extern const struct policy_ops policy_plimsoll;
bool policy_measures(enum metric m); /* is plimsoll told it? All else is unknown to it */
const struct policy_ops *policy_find(const char *name); /* NULL = there is none */
