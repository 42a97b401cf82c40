/* Services and their instances as one loop sees them: the newest snapshot's settings, the balancing
 * state, the connections. A loop's own: no locks. They outlive the snapshot that took them away for
 * as long as a request or a connection refers to them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "balance/balance.h"
#include "base/list.h"
#include "link/snapshot.h"
#include "proxy/address.h"
#include "proxy/timer.h"

struct loop;
struct pool;

/* One instance. */
struct backend {
    struct service *service;
    struct snapshot_instance conf;
    struct address address;
    bool gone;
    struct list idle;   /* of struct upstream: kept alive, newest first */
    struct list active; /* of struct upstream: in use */
    uint32_t connections;
    struct timer drain_timer;
};

struct service {
    struct snapshot_service conf; /* `instances` points nowhere here */
    bool gone;
    uint32_t refs; /* requests and backends */
    uint32_t count;
    struct backend **backends;
    struct balance_candidate *candidates; /* in the order of `backends` */
    struct balance balance;
    uint64_t eject_seen; /* shared.eject_epoch for which `usable` is right */
    bool has_usable;
    uint32_t busy_now;  /* requests of this loop, waiting or in flight */
    struct list parked; /* of struct exchange: every attempt failed, trying again soon */
};

/* Where clients come in: one listening address. */
#define SITES_MAX 256
struct site {
    char address[SNAPSHOT_ADDRESS_MAX];
    struct service **services;
    uint32_t count;
    bool tcp;                                                   /* the first service is plain L4 */
    uint32_t header_bytes_max, header_count_max, uri_bytes_max; /* the largest of its services' */
    int64_t header_timeout_us, idle_timeout_us;
};

/* Make the loop's tables those of the pool. 0 or -ENOMEM (nothing is changed that matters). */
int service_apply(struct loop *l, const struct pool *p);
void service_unref(struct loop *l, struct service *s);
/* Whether its slot's counts are still its own. */
bool backend_owns_slot(struct loop *l, const struct backend *b);
void backend_release(struct loop *l, struct backend *b); /* free it when it is gone and unused */
/* Recompute who may be chosen, if an ejection has changed since. When all that are left are
 * ejected, all of them may: a bad answer is better than none. */
void service_refresh(struct loop *l, struct service *s);
/* The site of a listening address, made on first sight; NULL when there are too many. */
struct site *site_get(struct loop *l, const char *address);
