/* Requests that wait for an instance: one queue per service over all loops, oldest first. A waiter
 * belongs to its loop; only the order is shared. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct service;
struct exchange;
struct shared;

struct waiter {
    struct list link; /* under the queue's lock */
    struct loop *loop;
    struct exchange *exchange;
};

/* Anyone waiting before this request? */
bool queue_busy(struct loop *l, const struct service *s);
/* Join at the end (or, put back, at the front). -ENOBUFS when queue_length wait already. */
int queue_push(struct loop *l, struct exchange *x);
void queue_put_back(struct loop *l, struct exchange *x);
void queue_remove(struct loop *l, struct exchange *x);
/* Something was freed: wake the loop of the oldest waiter. Cheap when nobody waits.
 * Any thread. */
void queue_kick(struct shared *shared, uint32_t slot);
/* This loop was woken: give instances to the oldest waiters while they are its own. */
void queue_serve(struct loop *l, uint32_t slot);
/* Answer this loop's waiters with 503 and the reason. */
void queue_evict(struct loop *l, struct service *s, const char *reason);
