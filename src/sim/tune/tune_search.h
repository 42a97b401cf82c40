/* Where to look: points of the unit cube, spread evenly at first, then ever closer to what was
 * good. Deterministic in its seed; knows neither knobs nor policies. */
#pragma once

#include <stdint.h>

#include "base/rng.h"
#include "sim/tune/tune_space.h"

struct tune_point {
    double at[TUNE_KNOBS_MAX];
};

/* A Latin hypercube: along each axis one point in each of `count` equal slices. McKay, Beckman and
 * Conover, "A comparison of three methods for selecting values of input variables", 1979. */
void tune_search_spread(struct rng *r, uint32_t axes, struct tune_point *points, uint32_t count);
/* Near a good one: a few coordinates moved by up to `reach`; or, when there is `other`, somewhere
 * on the line through both. */
void tune_search_near(struct rng *r, uint32_t axes, const struct tune_point *from,
                      const struct tune_point *other, double reach, struct tune_point *ret);
