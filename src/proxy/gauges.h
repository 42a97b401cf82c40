/* Counting: in flight, queued, outcomes, and the doorbell. Called by the loop that owns the
 * request. */
#pragma once

#include <stdint.h>

#include "link/gauges.h"

struct loop;
struct service;
struct backend;

/* A request has come that is to be served. */
void gauges_arrived(struct loop *l, const struct service *s);
void gauges_queued(struct loop *l, struct service *s, int delta);
/* The instance's own count is raised by whoever reserves it; see dispatch.c. */
void gauges_in_flight(struct loop *l, struct service *s, int delta);
void gauges_tunnels(struct loop *l, struct service *s, int delta);
void gauges_done(struct loop *l, const struct service *s, int status, int64_t latency_us,
                 uint64_t bytes_in, uint64_t bytes_out);
void gauges_error(struct loop *l, const struct service *s, enum gauges_error error);
void gauges_retry(struct loop *l, const struct service *s);
/* Wake the controller for this service. Never blocks. */
void gauges_ring(struct loop *l, const struct service *s);

/* For counters that only this thread writes: no locked instruction needed. */
static inline void gauges_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
