/* The slab: chunks of 64 items, a free list through them. Memory once taken is kept for reuse. */
#include "proxy/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#ifdef __SANITIZE_ADDRESS__ /* so that the sanitizer sees a use after free in here too */
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

#define CHUNK_ITEMS 64

struct slab_free {
    struct slab_free *next;
};

struct slab_chunk {
    struct slab_chunk *next;
    _Alignas(16) char items[];
};

void slab_init(struct slab *s, size_t item_bytes, uint32_t cap)
{
    *s =
        (struct slab){ .item_bytes = (MAX(item_bytes, sizeof(struct slab_free)) + 15) & ~(size_t)15,
                       .cap = cap };
}

void slab_done(struct slab *s)
{
    while (s->chunks) {
        struct slab_chunk *next = s->chunks->next;
        free(s->chunks);
        s->chunks = next;
    }
    s->free = NULL;
    s->used = 0;
}

static int add_chunk(struct slab *s)
{
    struct slab_chunk *c = malloc(sizeof(*c) + CHUNK_ITEMS * s->item_bytes);
    if (!c)
        return -1;
    c->next = s->chunks;
    s->chunks = c;
    for (size_t i = CHUNK_ITEMS; i-- > 0;) {
        struct slab_free *f = (void *)(c->items + i * s->item_bytes);
        f->next = s->free;
        s->free = f;
    }
    return 0;
}

void *slab_new(struct slab *s)
{
    if (s->used >= s->cap || (!s->free && add_chunk(s) < 0))
        return NULL;
    struct slab_free *f = s->free;
    s->free = f->next;
    s->used++;
    ASAN_UNPOISON_MEMORY_REGION(f, s->item_bytes);
    memset(f, 0, s->item_bytes);
    return f;
}

void slab_free(struct slab *s, void *item)
{
    struct slab_free *f = item;
    f->next = s->free;
    s->free = f;
    s->used--;
    ASAN_POISON_MEMORY_REGION(f + 1, s->item_bytes - sizeof(*f));
}
