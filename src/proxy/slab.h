/* A bounded pool of things of one size: connections, requests. Belongs to one loop. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct slab_chunk;
struct slab_free;

struct slab {
    size_t item_bytes;
    uint32_t used, cap;
    struct slab_free *free;
    struct slab_chunk *chunks;
};

void slab_init(struct slab *s, size_t item_bytes, uint32_t cap);
void slab_done(struct slab *s);
/* Zeroed; NULL when `cap` are in use. */
void *slab_new(struct slab *s);
void slab_free(struct slab *s, void *item);
