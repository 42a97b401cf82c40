/* Candidates with in-flight counters of their own, for the tests of the algorithms. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "balance/balance.h"
#include "base/rng.h"
#include "base/us.h"

#define WORLD_MAX 64

struct world {
    struct balance balance;
    struct balance_candidate candidates[WORLD_MAX];
    _Atomic uint32_t in_flight[WORLD_MAX];
    unsigned picked[WORLD_MAX]; /* how often world_pick() answered with this index */
    struct rng rng;
    struct balance_request request;
};

/* `n` candidates of weight 1 with numbers 1..n, ready for a long time. */
static inline void world_init(struct world *w, const char *algorithm, size_t n)
{
    memset(w, 0, sizeof(*w));
    rng_init(&w->rng, 7);
    w->request.now_us = 1000 * US_PER_S;
    for (size_t i = 0; i < n; i++)
        w->candidates[i] = (struct balance_candidate){
            .in_flight = &w->in_flight[i],
            .number = (uint32_t)i + 1,
            .weight = 1,
            .usable = true,
        };
    balance_prepare(&w->balance, balance_find(slice_of(algorithm)), w->candidates, n, 0, NULL);
}

static inline int world_pick(struct world *w)
{
    w->request.random = rng_u64(&w->rng);
    int i = balance_pick(&w->balance, &w->request);
    if (i >= 0)
        w->picked[i]++;
    return i;
}

/* `times` picks by clients with addresses of their own. */
static inline void world_pick_many(struct world *w, unsigned times)
{
    for (unsigned n = 0; n < times; n++) {
        uint32_t ip = n * 2654435761u;
        w->request.client_ip = (struct slice){ (const char *)&ip, sizeof(ip) };
        world_pick(w);
    }
    w->request.client_ip = (struct slice){ 0 };
}
