/* The buffer pool. Two sizes are kept for reuse; anything larger (a service that allows huge
 * headers) is taken and given back as it comes. Never hands out more than its cap. */
#include "proxy/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void buf_pool_init(struct buf_pool *p, size_t cap_bytes)
{
    *p = (struct buf_pool){ .cap_bytes = cap_bytes };
}

static void free_all(struct buf *b)
{
    while (b) {
        struct buf *next = b->next;
        free(b);
        b = next;
    }
}

void buf_pool_done(struct buf_pool *p)
{
    free_all(p->free_small);
    free_all(p->free_large);
    *p = (struct buf_pool){ 0 };
}

static struct buf **free_list(struct buf_pool *p, size_t cap)
{
    return cap == BUF_SMALL_BYTES ? &p->free_small : cap == BUF_LARGE_BYTES ? &p->free_large : NULL;
}

struct buf *buf_new(struct buf_pool *p, size_t cap)
{
    if (cap <= BUF_SMALL_BYTES)
        cap = BUF_SMALL_BYTES;
    else if (cap <= BUF_LARGE_BYTES)
        cap = BUF_LARGE_BYTES;
    struct buf **list = free_list(p, cap);
    struct buf *b = list ? *list : NULL;
    if (b) {
        *list = b->next;
    } else {
        if (cap > UINT32_MAX / 2 || p->used_bytes + cap > p->cap_bytes)
            return NULL;
        b = malloc(sizeof(*b) + cap);
        if (!b)
            return NULL;
        p->used_bytes += cap;
        b->cap = (uint32_t)cap;
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
    struct buf **list = free_list(p, gone->cap);
    if (list) {
        gone->next = *list;
        *list = gone;
        return;
    }
    p->used_bytes -= gone->cap;
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
