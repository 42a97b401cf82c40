/* The plan: what is wanted against what there is. Answers with one move at a time, so that each
 * next answer sees what the last one changed, and a move that cannot be made now is simply asked
 * for again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct instance;

struct plan_input {
    const struct instance *instances;
    uint32_t instance_count; /* slots, those GONE included */
    uint32_t slot_count;     /* how many there may be */
    int32_t wanted;
    int32_t surge;       /* 1.. */
    uint64_t template;   /* of what is to run */
    bool leaving;        /* nothing of it is to stay, protected ones included */
    bool may_start;      /* no back-off, engine up */
    bool engine_chooses; /* who goes, and when what is outdated is replaced */
};

enum plan_move_type {
    PLAN_NOTHING,
    PLAN_CREATE, /* a new instance, pending */
    PLAN_LAUNCH, /* a pending one is started */
    PLAN_DROP,   /* a pending one is given up */
    PLAN_STOP,   /* one that never was ready; or any, of an engine that chooses */
    PLAN_DRAIN,  /* one that has traffic, or had it */
};

struct plan_move {
    enum plan_move_type type;
    uint32_t index; /* of the instance; for PLAN_CREATE the free slot */
};

void plan_next(const struct plan_input *in, struct plan_move *ret);
