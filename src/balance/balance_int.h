/* The algorithms' tables and what several of them compute. Private to balance_*.c. */
#pragma once

#include "balance/balance.h"

extern const struct balance_ops balance_round_robin;
extern const struct balance_ops balance_weighted_round_robin;
extern const struct balance_ops balance_least_conn;
extern const struct balance_ops balance_random_two;
extern const struct balance_ops balance_ip_hash;

#define BALANCE_SHARE_FULL 1000u

/* How much of its weight slow start lets candidate i have by now: 100..BALANCE_SHARE_FULL. */
uint32_t balance_share(const struct balance *b, size_t i, int64_t now_us);

/* Requests in flight at candidate i, over all loops. */
uint32_t balance_in_flight(const struct balance *b, size_t i);

/* Fewer requests in flight and tunnels per weight at `i` than at `j`. */
bool balance_less_loaded(const struct balance *b, size_t i, size_t j, int64_t now_us);
