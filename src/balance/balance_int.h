/* The algorithms' tables and what several of them compute. Private to balance_*.c. */
#pragma once

#include "balance/balance.h"
#include "base/util.h"

extern const struct balance_ops balance_round_robin;
extern const struct balance_ops balance_weighted_round_robin;
extern const struct balance_ops balance_least_conn;
extern const struct balance_ops balance_random_two;
extern const struct balance_ops balance_ip_hash;

#define BALANCE_SHARE_FULL 1000u

/* How much of its weight slow start lets candidate i have by now: 100..BALANCE_SHARE_FULL. */
uint32_t balance_share(const struct balance *b, size_t i, int64_t now_us);

/* What follows runs once a candidate and request, so it is here, where it can be inlined. */

/* Requests in flight at candidate i, over all loops. */
static inline uint32_t balance_in_flight(const struct balance *b, size_t i)
{
    return atomic_load_explicit(b->candidates[i].in_flight, memory_order_relaxed);
}

/* A tunnel does not count towards max-concurrency, but who has many is not the one for more. */
static inline uint64_t balance_load(const struct balance *b, size_t i)
{
    const struct balance_candidate *c = &b->candidates[i];
    uint64_t tunnels = c->tunnels ? atomic_load_explicit(c->tunnels, memory_order_relaxed) : 0;
    return balance_in_flight(b, i) + tunnels;
}

/* Usable, not tried, below the limit. */
static inline bool balance_may(const struct balance *b, size_t i, const struct balance_request *r)
{
    if (!b->candidates[i].usable)
        return false;
    if (r->tried && (r->tried[i / 64] >> (i % 64) & 1))
        return false;
    return r->max_concurrency == 0 || balance_in_flight(b, i) < r->max_concurrency;
}

/* Weight with slow start: grows linearly from a tenth to the whole over slow_start_us. In
 * thousandths of a unit weight, at least 1. */
static inline uint32_t balance_weight(const struct balance *b, size_t i, int64_t now_us)
{
    uint32_t share = b->slow_start_us > 0 ? balance_share(b, i, now_us) : BALANCE_SHARE_FULL;
    return MAX(b->candidates[i].weight * share, 1u);
}

/* Fewer requests in flight and tunnels per weight at `i` than at `j`. */
static inline bool balance_less_loaded(const struct balance *b, size_t i, size_t j, int64_t now_us)
{
    uint64_t load_i = balance_load(b, i) * balance_weight(b, j, now_us);
    uint64_t load_j = balance_load(b, j) * balance_weight(b, i, now_us);
    return load_i < load_j;
}
