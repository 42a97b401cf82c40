/* A ring buffer of requests. It must never know why they wait or for how long they may. */
#include "sim/request/request_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAP_FIRST 16u
#define CAP_MAX (UINT32_C(1) << 28)

void request_queue_done(struct request_queue *q)
{
    free(q->items);
    *q = (struct request_queue){ 0 };
}

static int grow(struct request_queue *q)
{
    if (q->cap == CAP_MAX)
        return -ENOMEM;
    uint32_t cap = q->cap ? 2 * q->cap : CAP_FIRST;
    struct request *items = malloc(cap * sizeof(*items));
    if (!items)
        return -ENOMEM;
    for (uint32_t i = 0; i < q->count; i++)
        items[i] = q->items[(q->first + i) & (q->cap - 1)];
    free(q->items);
    q->items = items;
    q->cap = cap;
    q->first = 0;
    return 0;
}

int request_queue_put(struct request_queue *q, struct request r)
{
    int rc = q->count == q->cap ? grow(q) : 0;
    if (rc < 0)
        return rc;
    q->items[(q->first + q->count++) & (q->cap - 1)] = r;
    return 0;
}

const struct request *request_queue_top(const struct request_queue *q)
{
    return q->count > 0 ? &q->items[q->first] : NULL;
}

const struct request *request_queue_get(const struct request_queue *q, uint32_t n)
{
    assert(n < q->count);
    return &q->items[(q->first + n) & (q->cap - 1)];
}

struct request request_queue_take(struct request_queue *q)
{
    assert(q->count > 0);
    struct request r = q->items[q->first];
    q->first = (q->first + 1) & (q->cap - 1);
    q->count--;
    return r;
}
