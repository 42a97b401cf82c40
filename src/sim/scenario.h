/* A scenario: services with policies, applications and loads, all drawn from the seed. */
#pragma once

#include "core/model.h"
#include "sim/world.h"

struct scenario {
    struct model_conf model;
    struct service_conf services[WORLD_SERVICES_MAX];
    bool tracks[WORLD_SERVICES_MAX]; /* has a target on concurrency: must follow the load */
    double target[WORLD_SERVICES_MAX];
    bool wide; /* with every kind of rule, budgets, order, ... */
    struct rng rng;
    struct rng engines; /* of what only some engines need */
};

void scenario_init(struct scenario *s, struct world *w, uint64_t seed);
/* A reload: something changes. */
void scenario_change(struct scenario *s, const struct world *w);
/* The last service goes, or comes back. */
void scenario_leave(struct scenario *s, const struct world *w);
void scenario_come_back(struct scenario *s, const struct world *w);
/* What is left to be calm: every service, nothing that moves by the clock. */
void scenario_calm(struct scenario *s, struct world *w);
/* The configuration as of now; valid until the next change. */
const struct model_conf *scenario_model(struct scenario *s);
