/* The outside, in virtual time: engines that start and stop instances, applications that take their
 * time, probes, load. It is told actions and tells events; it never looks into the core. Whatever
 * drives it (random faults, or one day a recorded load) hands in a delivery function. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/rng.h"
#include "core/control.h"
#include "sim/engine.h"
#include "sim/faults.h"
#include "sim/load.h"

#define WORLD_SERVICES_MAX 3
#define WORLD_CUSTOM 2          /* metrics of its own that a service has */
#define WORLD_INSTANCES_MAX 256 /* of all services, at any one time */
#define WORLD_EVENTS_MAX 4096

/* One instance as the engine knows it. */
struct world_instance {
    bool known; /* to the engine; false = the entry is free */
    bool alive;
    bool stopping;
    bool app_ready; /* answers its probes */
    bool serving;   /* is in the pool, as last published */
    uint32_t service, number;
    uint32_t generation; /* of the entry: what was sent to an earlier one is dropped */
    uint64_t template, shape;
    bool reached; /* the engine has begun to make it */
    bool said;    /* the core was told that it runs */
    bool late;    /* its exit was held back once */
    /* Of engines that choose. A number of 0 = the core does not know of it yet. */
    bool asked;           /* one fewer was asked for in its name, and not yet answered */
    bool untold;          /* is ended by the engine, and that was not told yet */
    int64_t ill_until_us; /* fails its probes */
    int64_t drained_us;   /* nothing in flight from then on; US_NEVER = it is not draining */
};

struct world_service {
    char name[MODEL_NAME_MAX];
    int32_t slot; /* the core's; -1 = not configured */
    struct load load;
    double capacity; /* requests in flight an instance can serve */
    int64_t start_us, start_spread_us;
    int64_t drain_us; /* at most */
    int64_t stop_us;  /* at most */
    uint32_t ready;   /* serving and alive */
    uint32_t in_flight, queued;
    uint32_t rung;            /* the demand at which the doorbell rang last */
    uint64_t template, shape; /* as configured */
    uint32_t number;          /* the highest that an instance of it had */
    bool rolling;             /* an update is going on */
};

enum world_event_kind {
    WORLD_TICK,
    WORLD_LOAD,
    WORLD_STARTED,
    WORLD_START_FAILED,
    WORLD_APP_READY,
    WORLD_PROBE,
    WORLD_CRASH,
    WORLD_EXITED,
    WORLD_DRAINED,
    WORLD_NOT_THERE, /* the answer to a stop of what is gone */
    WORLD_DRIVER,
    WORLD_SILENT,    /* somebody notices that the engine hangs */
    WORLD_AGAIN,     /* it is asked a second time for an instance */
    WORLD_RESIZED,   /* arg = whether it worked */
    WORLD_UNHEALTHY, /* the engine ends what does not become ready */
    WORLD_REPLACE,   /* this and the next: of engines that choose */
    WORLD_CHOOSE,
    WORLD_ROLL,
    WORLD_LOOK,
    WORLD_OWN, /* of whoever drives the world */
};

struct world_event {
    struct heap_item item;
    enum world_event_kind kind;
    uint32_t service, instance, generation;
    int64_t arg;
    struct world_event *next_free;
};

struct world {
    int64_t now_us, wall_us; /* wall = now + what it jumped */
    int64_t wall_offset_us;
    struct rng rng;
    struct faults faults;
    struct rng later; /* of what only wide seeds have: older ones stay what they are */
    bool wide;        /* metrics of services' own, latency, histories */
    const struct world_engine *engine;
    struct rng engines; /* of what only some engines do */
    bool driver_up;
    bool hangs; /* it is not up, and nobody knows */
    int64_t tick_us;
    int64_t probe_us;
    double instance_seconds;
    int64_t counted_us;

    uint32_t service_count;
    struct world_service services[WORLD_SERVICES_MAX];
    struct world_instance instances[WORLD_INSTANCES_MAX];

    struct heap heap;
    struct heap_item *heap_items[WORLD_EVENTS_MAX];
    struct world_event events[WORLD_EVENTS_MAX];
    struct world_event *free_events;

    void *ctx;
    void (*deliver)(void *ctx, const struct event *e);
    void (*own)(void *ctx, int64_t arg);       /* a WORLD_OWN event */
    uint32_t (*mark)(void *ctx, int32_t slot); /* the doorbell's */
};

/* With the engine `process`. */
void world_init(struct world *w, uint64_t seed);
/* Before anything else. */
void world_use_engine(struct world *w, const struct world_engine *engine);
/* What is configured now: an engine of its own will rolls the update. */
void world_configure(struct world *w, const struct model_conf *conf);
/* Let everything that is due until `until_us` happen. */
void world_run(struct world *w, int64_t until_us);
/* Carry out what the core said: START, DRAIN, STOP, RESIZE. */
void world_act(struct world *w, const struct action *a);
/* The pool of a service: which numbers are in it. */
void world_publish(struct world *w, uint32_t service, const uint32_t *ready, uint32_t count);
/* FOUND for all that runs of each service, and FOUND_ALL. */
void world_list(struct world *w);
/* Something of the driver's own, after `delay_us`. */
void world_schedule(struct world *w, int64_t delay_us, int64_t arg);
/* The engine is away until `us` from now. */
void world_driver_away(struct world *w, int64_t us);
void world_driver_back(struct world *w);
/* Now and then: what this kind of engine does to those who use it. */
void world_strike(struct world *w);
struct world_instance *world_find(const struct world *w, uint32_t service, uint32_t number);
/* -1 = not of this world. */
int32_t world_service_of(const struct world *w, uint32_t slot);

/* An event with this moment's times filled in. */
struct event world_event(const struct world *w, enum event_type type, int32_t slot);

/* world_load.c */
void world_sample(struct world *w);
void world_ring(struct world *w);
