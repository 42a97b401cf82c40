/* Each block has a head with its size and its owner; a hole is a block without owner. So walking
 * the heads is walking all there is, in the order of addresses. */
#include "core/pool.h"

#include <assert.h>
#include <string.h>

struct head {
    void *owner;  /* NULL = a hole */
    size_t bytes; /* this head included */
};

static_assert(sizeof(struct head) == POOL_ALIGN, "what follows a head is aligned as it is");

size_t pool_bytes(size_t bytes)
{
    return sizeof(struct head) + (bytes + POOL_ALIGN - 1) / POOL_ALIGN * POOL_ALIGN;
}

void pool_init(struct pool *p, void *memory, size_t cap)
{
    *p = (struct pool){ .memory = memory, .cap = cap };
}

static struct head *head_of(void *block)
{
    return (struct head *)block - 1;
}

void *pool_take(struct pool *p, size_t bytes, void *owner)
{
    size_t all = pool_bytes(bytes);
    if (all > p->cap - p->used)
        return NULL;
    struct head *h = (struct head *)(void *)(p->memory + p->used);
    p->used += all;
    *h = (struct head){ .owner = owner, .bytes = all };
    memset(h + 1, 0, all - sizeof(*h));
    return h + 1;
}

void pool_move_owner(void *block, void *owner)
{
    head_of(block)->owner = owner;
}

void pool_trim(void *block, size_t bytes)
{
    struct head *h = head_of(block);
    size_t kept = pool_bytes(bytes);
    assert(kept <= h->bytes);
    if (kept == h->bytes)
        return;
    struct head *hole = (struct head *)(void *)((char *)h + kept);
    *hole = (struct head){ .owner = NULL, .bytes = h->bytes - kept };
    h->bytes = kept;
}

void pool_give(void *block)
{
    if (block)
        head_of(block)->owner = NULL;
}

void pool_compact(struct pool *p)
{
    size_t to = 0;
    for (size_t from = 0; from < p->used;) {
        struct head h;
        memcpy(&h, p->memory + from, sizeof(h));
        if (h.owner) {
            void *block = p->memory + to + sizeof(h);
            memmove(p->memory + to, p->memory + from, h.bytes);
            memcpy(h.owner, &block, sizeof(block));
            to += h.bytes;
        }
        from += h.bytes;
    }
    p->used = to;
}
