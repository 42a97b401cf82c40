/* A policy without a world: it is shown what the test says, second by second, and orders instances
 * of a real fleet. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/policy.h"

#define RIG_CAPACITY 100.0
#define RIG_SLOTS 20.0

struct rig {
    const struct policy_ops *ops;
    void *self;
    struct policy_setup setup;
    struct fleet fleet;
    int64_t now_s, wall_us; /* wall_us: when it was 0 */
};

/* What is seen in each of the next seconds. */
struct rig_load {
    double utilisation, concurrency, queued, arrivals;
};

static inline void rig_begin(struct rig *r, const char *policy, int32_t initial, int64_t boot_s,
                             const struct trace *future)
{
    *r = (struct rig){ .ops = policy_find(policy) };
    assert_non_null(r->ops);
    r->setup = (struct policy_setup){
        .capacity = RIG_CAPACITY,
        .slots = RIG_SLOTS,
        .initial = initial,
        .min = 1,
        .max = MODEL_COUNT_MAX,
        .boot_us = boot_s * US_PER_S,
        .slo_wait_s = 0.5,
        .queue_s = 10,
        .future = future,
    };
    const struct fleet_conf conf = { .boot_us = boot_s * US_PER_S };
    fleet_init(&r->fleet, &conf, 1, 0);
    fleet_begin(&r->fleet, initial);
    r->self = r->ops->open(&r->setup);
    assert_non_null(r->self);
}

static inline void rig_run(struct rig *r, int64_t until_s, const struct rig_load *load)
{
    while (r->now_s < until_s) {
        int64_t now_us = ++r->now_s * US_PER_S;
        fleet_advance(&r->fleet, now_us);
        const struct policy_view v = {
            .now_us = now_us,
            .wall_us = r->wall_us + now_us,
            .step_us = US_PER_S,
            .arrivals = load->arrivals,
            .answered = load->arrivals,
            .in_flight = load->concurrency,
            .queued = load->queued,
            .concurrency = load->concurrency + load->queued,
            .utilisation = load->utilisation,
            .fleet = &r->fleet,
        };
        r->ops->step(r->self, &v, &r->fleet);
        r->fleet.news_count = 0;
    }
}

static inline int32_t rig_desired(const struct rig *r)
{
    return r->ops->desired(r->self);
}

static inline void rig_end(struct rig *r)
{
    r->ops->close(r->self);
}
