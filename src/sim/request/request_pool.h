/* The instances that have requests or may get some: what the proxy's loops know of them. Who gets a
 * request is decided by the algorithms of balance/, as in the proxy; whose request ends next is the
 * top of a heap over instances. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "balance/balance.h"
#include "base/rng.h"
#include "sim/fleet.h"
#include "sim/request/request_instance.h"

struct request_pool_conf {
    const struct balance_ops *balance;
    enum run_discipline discipline;
    uint32_t slots;
    uint32_t most; /* requests of one instance at a time: the proxy's max-concurrency */
    uint64_t seed;
};

struct request_pool_place {
    int64_t next_ns;
    struct request_instance *instance;
};

struct request_pool {
    struct request_pool_conf conf;
    struct rng rng;
    uint32_t count; /* in the fleet's order */
    struct request_instance *instances[FLEET_MAX], *next[FLEET_MAX];
    struct request_pool_place heap[FLEET_MAX]; /* as many */
    struct balance balance;
    struct balance_candidate candidates[2][FLEET_MAX]; /* those of now, and those of before */
    uint32_t turn;
    struct request_instance *chosen[FLEET_MAX]; /* candidate -> instance */
    uint32_t free;                              /* requests that candidates may still get */
    uint32_t in_flight;                         /* of all, draining ones included */
    uint32_t busy;                              /* slots in use of candidates */
    uint32_t slots;                             /* that candidates have */
};

void request_pool_init(struct request_pool *p, const struct request_pool_conf *conf);
void request_pool_done(struct request_pool *p);
/* The fleet has changed, perhaps: what became ready is a candidate, what drains is none any more,
 * and what was in flight on what is gone is lost. `ret_lost` grows. 0 or
 * -ENOMEM. */
int request_pool_follow(struct request_pool *p, const struct fleet *f, int64_t now_ns,
                        uint32_t *ret_lost);
/* 0, -EAGAIN: nobody may have one more; -ENOMEM. */
int request_pool_give(struct request_pool *p, int64_t now_ns, struct request r);
int64_t request_pool_next_ns(const struct request_pool *p); /* INT64_MAX = nothing runs */
/* The request that ends now. `drained`: it was the last of an instance that drains. */
struct request request_pool_take(struct request_pool *p, int64_t now_ns, bool *ret_drained);
/* The number of an instance that drains and has no request any more; 0 = there is none. */
uint32_t request_pool_drained(const struct request_pool *p);
