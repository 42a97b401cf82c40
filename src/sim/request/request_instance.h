/* One instance at work on its requests. It does `slots` of them at a time at full speed. Beyond
 * that they share the slots (processor sharing), or wait for one in its own queue (first come).
 *
 * Sharing needs no event per slice of time: everybody gets the same, so what one has got since the
 * instance was last idle is one number, `done_ns`, and a request ends when that has grown by its
 * work (Parekh and Gallager's virtual time, "A generalized processor sharing approach", 1993). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/request/request_queue.h"
#include "sim/run.h"

struct request_running {
    double end_ns; /* done when done_ns is here */
    struct request request;
};

struct request_instance {
    _Atomic uint32_t in_flight; /* what the balancing looks at: running and waiting */
    uint32_t number;
    bool draining;
    bool shares;
    uint32_t slots;
    uint32_t running, cap;
    uint32_t place;  /* in the pool's heap */
    double slowness; /* 1 = as it should be */
    bool alone;      /* none has to share: speed and pace are the instance's own */
    double speed;    /* of done_ns against the clock */
    double pace;     /* 1 / speed */
    double done_ns;  /* as of `seen_ns` */
    int64_t seen_ns;
    struct request_running *heap; /* the first to end on top */
    struct request_queue waiting;
};

void request_instance_init(struct request_instance *i, uint32_t number, enum run_discipline d,
                           uint32_t slots, double slowness, int64_t now_ns);
void request_instance_done(struct request_instance *i);
/* 0 or -ENOMEM. */
int request_instance_add(struct request_instance *i, int64_t now_ns, struct request r);
/* When the next one ends if nothing else comes; INT64_MAX = none runs. */
int64_t request_instance_next_ns(const struct request_instance *i);
/* Takes the one that ends now. */
struct request request_instance_take(struct request_instance *i, int64_t now_ns);

static inline uint32_t request_instance_count(const struct request_instance *i)
{
    return atomic_load_explicit(&i->in_flight, memory_order_relaxed);
}

/* Slots in use. */
static inline uint32_t request_instance_busy(const struct request_instance *i)
{
    return i->running < i->slots ? i->running : i->slots;
}
