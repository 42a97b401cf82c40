/* The shared queue. The lock is held for a few instructions, and never while anything is decided.
 */
#include "proxy/queue.h"

#include <errno.h>

#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/loop.h"

static struct shared_queue *queue_of(struct loop *l, const struct service *s)
{
    return &l->shared->queues[s->conf.slot];
}

bool queue_busy(struct loop *l, const struct service *s)
{
    return atomic_load(&queue_of(l, s)->waiting) > 0;
}

int queue_push(struct loop *l, struct exchange *x)
{
    struct shared_queue *q = queue_of(l, x->service);
    x->waiter = (struct waiter){ .loop = l, .exchange = x };
    pthread_mutex_lock(&q->lock);
    uint32_t waiting = atomic_load(&q->waiting);
    bool fits = waiting < x->service->conf.queue_length;
    if (fits) {
        list_push_back(&q->waiters, &x->waiter.link);
        atomic_store(&q->waiting, waiting + 1);
    }
    pthread_mutex_unlock(&q->lock);
    if (!fits)
        return -ENOBUFS;
    if (waiting == 0)
        gauges_ring(l, x->service);
    return 0;
}

void queue_put_back(struct loop *l, struct exchange *x)
{
    struct shared_queue *q = queue_of(l, x->service);
    pthread_mutex_lock(&q->lock);
    list_push_front(&q->waiters, &x->waiter.link);
    atomic_fetch_add(&q->waiting, 1);
    pthread_mutex_unlock(&q->lock);
}

void queue_remove(struct loop *l, struct exchange *x)
{
    struct shared_queue *q = queue_of(l, x->service);
    pthread_mutex_lock(&q->lock);
    if (!list_empty(&x->waiter.link)) {
        list_remove(&x->waiter.link);
        atomic_fetch_sub(&q->waiting, 1);
    }
    pthread_mutex_unlock(&q->lock);
}

/* The oldest waiter's loop; with `take` the waiter itself is taken out if it is this loop's. */
static struct loop *oldest(struct loop *l, struct shared_queue *q, struct exchange **ret_taken)
{
    struct loop *owner = NULL;
    pthread_mutex_lock(&q->lock);
    if (!list_empty(&q->waiters)) {
        struct waiter *w = LIST_ENTRY(q->waiters.next, struct waiter, link);
        owner = w->loop;
        if (ret_taken && owner == l) {
            list_remove(&w->link);
            atomic_fetch_sub(&q->waiting, 1);
            *ret_taken = w->exchange;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return owner;
}

void queue_kick(struct shared *shared, uint32_t slot)
{
    struct shared_queue *q = &shared->queues[slot];
    if (atomic_load(&q->waiting) == 0)
        return;
    struct loop *owner = oldest(NULL, q, NULL);
    if (owner)
        letterbox_post_wake(&owner->letterbox, slot);
}

void queue_serve(struct loop *l, uint32_t slot)
{
    struct shared_queue *q = &l->shared->queues[slot];
    for (;;) {
        struct exchange *x = NULL;
        struct loop *owner = oldest(l, q, &x);
        if (owner && owner != l)
            letterbox_post_wake(&owner->letterbox, slot);
        if (!x || !exchange_resume(l, x))
            return;
    }
}

void queue_evict(struct loop *l, struct service *s, const char *reason)
{
    struct shared_queue *q = queue_of(l, s);
    struct list mine;
    list_init(&mine);
    pthread_mutex_lock(&q->lock);
    LIST_FOR_EACH (it, &q->waiters) {
        struct waiter *w = LIST_ENTRY(it, struct waiter, link);
        if (w->loop == l && w->exchange->service == s) {
            list_remove(it);
            atomic_fetch_sub(&q->waiting, 1);
            list_push_back(&mine, it);
        }
    }
    pthread_mutex_unlock(&q->lock);
    LIST_FOR_EACH (it, &mine) {
        list_remove(it);
        exchange_unavailable(l, LIST_ENTRY(it, struct waiter, link)->exchange, reason);
    }
    LIST_FOR_EACH (it, &s->parked)
        exchange_unavailable(l, LIST_ENTRY(it, struct exchange, parked), reason);
}
