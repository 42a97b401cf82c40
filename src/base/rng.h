/* A seeded generator (xoshiro256**, seeded by splitmix64: Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2018). Same seed, same numbers, on every machine. */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* 0 <= result < bound; bound must be > 0. Without modulo bias. */
uint64_t rng_below(struct rng *r, uint64_t bound);
/* 0 <= result < 1, 53 bits. */
double rng_unit(struct rng *r);
