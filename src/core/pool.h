/* Blocks of different sizes in one piece of memory that never grows. What is freed leaves a hole;
 * pool_compact() closes them all, moves the blocks and tells each owner where its block is now. */
#pragma once

#include <stddef.h>

#define POOL_ALIGN 16

struct pool {
    char *memory;
    size_t cap, used; /* bytes; holes count as used */
};

/* What a block of so many bytes takes. */
size_t pool_bytes(size_t bytes);
/* `memory` is 16-aligned. */
void pool_init(struct pool *p, void *memory, size_t cap);
/* Zeroed and 16-aligned. `owner` is the address of the one pointer to it, which pool_compact() will
 * change. NULL = no room; closing the holes may make some. */
void *pool_take(struct pool *p, size_t bytes, void *owner);
/* The pointer to a block lies somewhere else now. */
void pool_move_owner(void *block, void *owner);
/* Keeps the first `bytes` of it. */
void pool_trim(void *block, size_t bytes);
void pool_give(void *block); /* NULL is allowed */
void pool_compact(struct pool *p);
