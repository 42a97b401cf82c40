/* Engines as fault models: what they do by themselves, and how what they say goes astray. What a
 * model does is in world.c and world_tasks.c; here stands which of them does what. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct world_engine {
    const char *name;
    /* Takes "one fewer" and says who goes; replaces what ended by itself, makes tasks of its own,
     * rolls updates, clears machines. */
    bool chooses;
    bool resizes; /* can give a running instance another shape */
    /* Goes silent before anybody says that it is away; what it was asked for by then is done or
     * lost, and not answered. */
    bool hangs;
    bool late;    /* exits are told some time after */
    bool repeats; /* asked twice for the same instance: it is one, said twice */
    bool forgets; /* dies, and lists everything again: what ended meanwhile is not told */
};

/* The one that a seed runs with. */
const struct world_engine *engine_of_seed(uint64_t seed);
/* NULL = none of that name. */
const struct world_engine *engine_find(const char *name);
extern const struct world_engine engine_process;
