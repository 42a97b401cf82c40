/* What may go wrong. Each seed switches on a random subset, because combinations find more than
 * everything at once (swarm testing: Groce et al., "Swarm Testing", ISSTA 2012). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

enum fault_kind {
    FAULT_START_FAILS, /* the engine refuses, or the instance exits before it is ready */
    FAULT_START_HANGS, /* never ready */
    FAULT_CRASH,       /* a ready instance exits */
    FAULT_PROBE_HANGS, /* a ready instance fails its probes for a while */
    FAULT_DRAIN_SLOW,  /* longer than the deadline */
    FAULT_LOST,        /* completions that never arrive */
    FAULT_TWICE,       /* completions that arrive twice */
    FAULT_DRIVER,      /* the engine is away for a while */
    FAULT_SAMPLES,     /* missing, NaN, negative */
    FAULT_RESTART,     /* the controller is killed; its state was saved */
    FAULT_AMNESIA,     /* as RESTART, and its state is lost */
    FAULT_SWAP,        /* saved, loaded and compared at any moment */
    FAULT_WALL,        /* the wall clock jumps */
    FAULT_CONFIG,      /* reloads */
    FAULT_OPERATOR,    /* commands */
    FAULT_LEASE,       /* lost for a while */
    FAULT_STILL,       /* the monotonic clock goes back a little */
    FAULT_LATER, /* from here on drawn from numbers of their own: older seeds stay what they are */
    FAULT_LEAVE = FAULT_LATER, /* a service goes, the controller is killed, and it comes back */
    FAULT_ENGINE,              /* what only some engines do; again of numbers of their own */
    FAULT_HANG = FAULT_ENGINE, /* it goes silent, and nobody says so at first */
    FAULT_LATE,                /* exits are told late */
    FAULT_AGAIN,               /* it is asked twice for one instance */
    FAULT_RELIST,              /* it forgets what it has told, and lists everything */
    FAULT_MOVE,                /* it ends instances and makes others, unasked */
    FAULT_KIND_MAX,
};

struct faults {
    uint32_t on; /* bits */
};

void faults_init(struct faults *f, struct rng *r);
void faults_init_later(struct faults *f, struct rng *r);
void faults_init_engine(struct faults *f, struct rng *r);
bool fault_on(const struct faults *f, enum fault_kind k);
/* On, and the dice say that it happens now: once in `one_in`. */
bool fault_hits(const struct faults *f, struct rng *r, enum fault_kind k, uint32_t one_in);
