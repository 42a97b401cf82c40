/* Exponential random numbers, fast: every request needs one or two. */
#pragma once

#include "base/rng.h"

#define REQUEST_EXPONENTIAL_LAYERS 256

struct request_exponential {
    double x[REQUEST_EXPONENTIAL_LAYERS + 1]; /* the layers' right edges, falling */
    double f[REQUEST_EXPONENTIAL_LAYERS + 1]; /* e^-x */
};

void request_exponential_init(struct request_exponential *e);
double request_exponential_draw(const struct request_exponential *e, struct rng *r); /* mean 1 */
