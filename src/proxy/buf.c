/* The buffer pool. Two sizes are kept for reuse, a bounded number of each; anything larger (a
 * service that allows huge headers) is taken and given back as it comes. Never holds more than its
 * cap, and what it only keeps gives way to what is asked for. */
#include "proxy/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void buf_pool_init(struct buf_pool *p, size_t cap_bytes)
{
    *p = (struct buf_pool){ .cap_bytes = cap_bytes };
}

static void free_kept(struct buf_pool *p, struct buf_list *list)
{
    for (struct buf *b = list->first, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    p->held_bytes -= list->bytes;
    *list = (struct buf_list){ 0 };
}

void buf_pool_done(struct buf_pool *p)
{
    free_kept(p, &p->small);
    free_kept(p, &p->large);
}

static struct buf_list *list_of(struct buf_pool *p, size_t cap)
{
    return cap == BUF_SMALL_BYTES ? &p->small : cap == BUF_LARGE_BYTES ? &p->large : NULL;
}

static struct buf *allocate(struct buf_pool *p, size_t cap)
{
    if (cap > UINT32_MAX / 2)
        return NULL;
    if (p->held_bytes + cap > p->cap_bytes) {
        free_kept(p, &p->small);
        free_kept(p, &p->large);
    }
    if (p->held_bytes + cap > p->cap_bytes)
        return NULL;
    struct buf *b = malloc(sizeof(*b) + cap);
    if (!b)
        return NULL;
    p->held_bytes += cap;
    b->cap = (uint32_t)cap;
    return b;
}

struct buf *buf_new(struct buf_pool *p, size_t cap)
{
    if (cap <= BUF_SMALL_BYTES)
        cap = BUF_SMALL_BYTES;
    else if (cap <= BUF_LARGE_BYTES)
        cap = BUF_LARGE_BYTES;
    struct buf_list *list = list_of(p, cap);
    struct buf *b = list ? list->first : NULL;
    if (b) {
        list->first = b->next;
        list->bytes -= cap;
    } else if (!(b = allocate(p, cap))) {
        return NULL;
    }
    b->next = NULL;
    b->start = b->end = 0;
    return b;
}

void buf_free(struct buf_pool *p, struct buf **b)
{
    struct buf *gone = *b;
    if (!gone)
        return;
    *b = NULL;
    struct buf_list *list = list_of(p, gone->cap);
    if (list && list->bytes + gone->cap <= BUF_KEPT_BYTES) {
        gone->next = list->first;
        list->first = gone;
        list->bytes += gone->cap;
        return;
    }
    p->held_bytes -= gone->cap;
    free(gone);
}

int buf_grow(struct buf_pool *p, struct buf **b, size_t cap)
{
    struct buf *larger = buf_new(p, cap);
    if (!larger)
        return -ENOBUFS;
    assert(larger->cap >= buf_len(*b));
    if (*b) {
        memcpy(larger->data, buf_head(*b), buf_len(*b));
        larger->end = (uint32_t)buf_len(*b);
    }
    buf_free(p, b);
    *b = larger;
    return 0;
}

void buf_compact(struct buf *b)
{
    if (b->start == 0)
        return;
    memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
}
