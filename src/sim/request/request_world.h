/* The world in which every request is an event: Poisson arrivals, one queue at the proxy, balancing
 * by the proxy's own code, instances that work on what they are given, drain and crash. Time is
 * whole nanoseconds since the run's begin. */
#pragma once

#include "base/err.h"
#include "sim/fleet.h"
#include "sim/request/request_arrivals.h"
#include "sim/request/request_latency.h"
#include "sim/request/request_pool.h"
#include "sim/request/request_queue.h"
#include "sim/request/request_service.h"
#include "sim/run.h"

#define REQUEST_NS_PER_US INT64_C(1000)
#define REQUEST_NS_PER_S INT64_C(1000000000)
#define REQUEST_MARK_NONE UINT64_MAX

/* Every request that arrived was answered, refused or lost, waits, or is in flight. */
struct request_counts {
    uint64_t arrived, answered, refused;
    uint64_t lost;   /* in flight on an instance that crashed */
    uint64_t waited; /* of the answered: longer than the SLO allows */
};

struct request_world {
    const struct run_options *options;
    struct request_counts counts;
    struct request_latency latency; /* of those answered; the owner empties it */
    double busy_ns, slots_ns;       /* slots in use, and there, times time; likewise */
    uint64_t mark;                  /* the bell rings when so many are in flight and queued */
    bool queue_rang, mark_rang;     /* rings once until it is over */

    int64_t now_ns, arrival_ns;
    int64_t deadline_ns; /* who has queued for longer is refused */
    struct fleet fleet;
    struct request_pool pool;
    struct request_queue queue;
    struct request_arrivals arrivals;
    struct request_service service;
};

/* The fleet begins with `initial` ready instances. 0; -EINVAL with a text; -ENOMEM. */
int request_world_init(struct request_world *w, const struct run_options *o, int32_t initial,
                       struct err *err);
void request_world_done(struct request_world *w);
/* Time passes until `until_ns`, or until the bell rings. 0 = it is then; 1 = the bell rang;
 * -ENOMEM. */
int request_world_advance(struct request_world *w, int64_t until_ns);
/* The run is over: of those that are still here, who violates already is counted as `waited`. */
void request_world_end(struct request_world *w);
/* Somebody has ordered instances, or sent some away. 0 or -ENOMEM. */
int request_world_follow(struct request_world *w);
