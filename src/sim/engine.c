/* The list of engines. */
#include "sim/engine.h"

#include <string.h>

#include "base/rng.h"
#include "base/util.h"

const struct world_engine engine_process = { .name = "process" };

static const struct world_engine docker = {
    .name = "docker", .resizes = true, .hangs = true, .late = true, .repeats = true
};
static const struct world_engine swarm = { .name = "swarm", .chooses = true, .late = true };
static const struct world_engine exec = {
    .name = "exec", .resizes = true, .repeats = true, .forgets = true
};

static const struct world_engine *const engines[] = { &engine_process, &docker, &swarm, &exec };

const struct world_engine *engine_of_seed(uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed ^ UINT64_C(0xe2619e));
    return engines[rng_below(&r, ARRAY_LEN(engines))];
}

const struct world_engine *engine_find(const char *name)
{
    for (size_t n = 0; n < ARRAY_LEN(engines); n++) {
        if (strcmp(engines[n]->name, name) == 0)
            return engines[n];
    }
    return NULL;
}
