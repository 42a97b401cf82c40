/* Buffers, and the bounded pool of them that each loop owns. A connection holds one only while it
 * has bytes in it, so ten thousand idle ones cost none. Belongs to one loop: no locks. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BUF_SMALL_BYTES (4 * 1024)  /* most request heads fit */
#define BUF_LARGE_BYTES (32 * 1024) /* bodies: measured, the size that decides their cost */

struct buf {
    struct buf *next; /* in the pool's free list */
    uint32_t cap;
    uint32_t start, end; /* the bytes in it: data[start..end) */
    char data[];
};

#define BUF_KEPT_BYTES (2u << 20) /* of each size; what is given back beyond it is freed */

struct buf_list {
    struct buf *first;
    size_t bytes;
};

struct buf_pool {
    struct buf_list small, large; /* kept for reuse */
    size_t held_bytes;            /* handed out or kept, all sizes */
    size_t cap_bytes;
};

void buf_pool_init(struct buf_pool *p, size_t cap_bytes);
void buf_pool_done(struct buf_pool *p);
/* An empty one of at least `cap` bytes; NULL when the pool is full. */
struct buf *buf_new(struct buf_pool *p, size_t cap);
/* Give back and clear the pointer; does nothing with NULL. */
void buf_free(struct buf_pool *p, struct buf **b);
/* Exchange for one of at least `cap` bytes with the same content at its beginning. 0 or -ENOBUFS.
 */
int buf_grow(struct buf_pool *p, struct buf **b, size_t cap);
void buf_compact(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
    return b ? b->end - b->start : 0;
}

static inline size_t buf_room(const struct buf *b)
{
    return b->cap - b->end;
}

static inline char *buf_head(struct buf *b)
{
    return b->data + b->start;
}

static inline char *buf_tail(struct buf *b)
{
    return b->data + b->end;
}
