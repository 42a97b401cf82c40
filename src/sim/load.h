/* Offered load over virtual time: how many requests would be in flight if all were served at once.
 * Pure functions of time, so that a world can ask in any order. */
#pragma once

#include <stdint.h>

#include "base/rng.h"

enum load_kind { LOAD_CONSTANT, LOAD_STEP, LOAD_SINE, LOAD_SPIKES, LOAD_KIND_MAX };

struct load {
    enum load_kind kind;
    double low, high;  /* requests in flight */
    int64_t period_us; /* of the sine, between spikes, or when the step comes */
    int64_t width_us;  /* of a spike */
};

/* Any kind, with at most `most` in flight. */
void load_init(struct load *l, struct rng *r, double most);
double load_at(const struct load *l, int64_t t_us);
