/* A decision: the desired count and every opinion and limit that led to it. This is the record that
 * `why` shows, the store keeps and `replay` prints. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"

/* Who had the last word on a step, in the order they are applied (the later wins over the earlier).
 */
enum limit_kind {
    LIMIT_INITIAL,    /* the first decision of a service: what it begins with */
    LIMIT_RULES,      /* what combine made of the opinions */
    LIMIT_HEADROOM,   /* what is kept free beyond the need */
    LIMIT_PROJECTION, /* law 3 */
    LIMIT_CHANGE,     /* a scale-in that has not paid for itself yet */
    LIMIT_STABILIZE,
    LIMIT_RATE, /* behavior's policies */
    LIMIT_MIN,
    LIMIT_MAX,
    LIMIT_SCHEDULE, /* min, max or count as a schedule has moved them */
    LIMIT_BUDGET,
    LIMIT_OPERATOR,
    LIMIT_PAUSED,
    LIMIT_LEASE,
    LIMIT_BACKOFF,
    LIMIT_ORDER, /* another service goes first */
    LIMIT_KIND_MAX,
};

#define DECISION_STEPS_MAX 16
#define DECISION_TEXT_MAX 120

struct decision_step {
    enum limit_kind kind;
    int32_t from, to;
    char text[DECISION_TEXT_MAX];
};

struct decision_opinion {
    char rule[64];
    struct opinion opinion;
};

struct decision {
    uint64_t sequence; /* 1.. over all services */
    int64_t now_us, wall_us;
    char service[MODEL_NAME_MAX];
    uint32_t slot;
    uint64_t token; /* of the lease it was made under; 0 = none */
    uint8_t cause;  /* enum event_type that led to it */
    bool advise;    /* nothing follows from it */
    bool silent;    /* made without words: names and texts mean nothing */
    int32_t before; /* desired before */
    int32_t desired;
    int32_t ready, starting, draining;
    int32_t in_flight, queued; /* newest known demand; -1 = unknown */
    uint32_t opinion_count;
    struct decision_opinion opinions[MODEL_RULES_MAX];
    uint32_t step_count;
    struct decision_step steps[DECISION_STEPS_MAX];
    char summary[200]; /* one sentence for a person */
};

const char *limit_kind_name(enum limit_kind k);
