/* Which instance gets this request. Pure: the random number, the time and the in-flight counts are
 * handed in. One algorithm, one file, one const table; balance.c lists them.
 *
 * Threading: a `struct balance` belongs to one loop. It is rebuilt from each new snapshot by
 * balance_prepare() and holds only positions and derived weights; in-flight counts are read through
 * pointers to the gauges, with relaxed atomics. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/str.h"

#define BALANCE_CANDIDATES_MAX 4096
#define BALANCE_NONE (-1)

/* One instance as an algorithm sees it. */
struct balance_candidate {
    const _Atomic uint32_t *in_flight; /* over all loops */
    uint32_t number;                   /* the instance's number: stable identity for hashing */
    uint32_t weight;                   /* 1..1000, as configured */
    int64_t ready_us;                  /* slow start counts from here */
    bool usable;                       /* not draining, not ejected; the caller keeps it current */
    int64_t current;                   /* the algorithm's own: smooth weighted round-robin */
    /* Over all loops: open Upgrade tunnels are load too. NULL = none. */
    const _Atomic uint32_t *tunnels;
};

struct balance_request {
    int64_t now_us;
    uint64_t random;          /* a fresh random number */
    struct slice client_ip;   /* 4 or 16 bytes; for ip-hash */
    uint32_t max_concurrency; /* per instance; 0 = none: candidates at it are not chosen */
    const uint64_t *tried;    /* bitmap over candidates not to choose again (retry); NULL = none */
};

struct balance {
    const struct balance_ops *ops;
    struct balance_candidate *candidates; /* the caller's memory */
    size_t count;
    int64_t slow_start_us; /* 0 = none */
    uint32_t weight_max;   /* of the candidates */
    size_t next;           /* round-robin's position */
};

struct balance_ops {
    const char *name;
    const char *help;
    /* Index of a candidate, or BALANCE_NONE when none is usable below its limit. */
    int (*pick)(struct balance *b, const struct balance_request *r);
};

/* By the name people write: round-robin, weighted-round-robin, least-conn, random-two, ip-hash.
 * NULL when unknown. `balance_names` is NULL-terminated. */
const struct balance_ops *balance_find(struct slice name);
extern const struct balance_ops *const balance_all[];

/* Takes over `candidates` (their `current` is set), keeping turns and position of `old`, by
 * instance number, where the algorithm is the same and numbers ascend. `old` may be NULL or `b`
 * itself; its candidates must still be there, and may be freed afterwards. */
void balance_prepare(struct balance *b, const struct balance_ops *ops,
                     struct balance_candidate *candidates, size_t count, int64_t slow_start_us,
                     const struct balance *old);
int balance_pick(struct balance *b, const struct balance_request *r);
