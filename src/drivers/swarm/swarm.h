/* The swarm driver's parts that others may use: its sections, and how labels become a service of
 * the configuration. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "drivers/docker/engine.h"
#include "drivers/driver.h"

enum swarm_reach {
    SWARM_REACH_AUTO,  /* tasks for what is balanced or probed, else mesh */
    SWARM_REACH_TASKS, /* the tasks' addresses in a network that plimsoll is attached to */
    SWARM_REACH_HOST,  /* the node's address and the port that it publishes for the task */
    SWARM_REACH_MESH,  /* not at all: Swarm spreads the load, plimsoll only scales */
};

/* `swarm` of a service. */
struct swarm_conf {
    const char *service; /* its name in the Swarm; NULL = as plimsoll's */
    int64_t port;        /* that the tasks listen on; 0 = not given */
    const char *network; /* name of it, for SWARM_REACH_TASKS; NULL = the first */
    int reach;           /* enum swarm_reach */
    int64_t within_us;   /* from start to ready */
};

/* `swarm` at the top of the file. */
struct swarm_engine_conf {
    struct engine_conf engine;
    bool discover;
};

extern const struct schema_section swarm_section, swarm_engine_section;

struct swarm_label {
    const char *name; /* "plimsoll.min" */
    const char *value;
};

/* The service that the labels describe, in `arena`. The first line is a comment, whose place names
 * the service itself ("service shop"). Nothing is checked here that the configuration
 * checks: a label nobody knows becomes a key where the nearest known one would stand, so that the
 * reader of the configuration names it. -ENOMEM, -E2BIG (more, or longer ones, than are taken). */
int swarm_labels_read(const char *service, const struct swarm_label *labels, size_t count,
                      struct arena *arena, struct driver_discovery *ret);
/* Do they ask for plimsoll (`plimsoll.enable`)? When not, but they look as if: why not, into `buf`,
 * as "label NAME: ...". */
bool swarm_labels_enable(const struct swarm_label *labels, size_t count, char *buf, size_t cap);
