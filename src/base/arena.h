/* An arena: many allocations, one free. A configuration lives in one and is freed whole on reload.
 * The memory comes from functions the owner hands in (sys/mem.h has malloc's), so base stays pure.
 */
#pragma once

#include <stddef.h>

struct arena_chunk;

struct arena {
    void *(*chunk_alloc)(size_t bytes);
    void (*chunk_free)(void *chunk);
    struct arena_chunk *chunks; /* newest first */
    size_t used_bytes;          /* of all chunks, headers included */
    size_t cap_bytes;           /* hard limit */
};

void arena_init(struct arena *a, void *(*chunk_alloc)(size_t), void (*chunk_free)(void *),
                size_t cap_bytes);
void arena_done(struct arena *a);

/* Zeroed, aligned for anything; NULL when the cap is reached or the owner's allocator fails. */
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_alloc_array(struct arena *a, size_t count, size_t bytes_each);
/* A NUL-terminated copy, or NULL. */
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t n);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_alloc_array((a), (count), sizeof(type)))
