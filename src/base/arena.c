/* Bump allocation in chunks. */
#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/util.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define ALIGN 16u

struct arena_chunk {
    _Alignas(ALIGN) struct arena_chunk *next;
    size_t size_bytes; /* of data */
    size_t used_bytes;
    _Alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a, void *(*chunk_alloc)(size_t), void (*chunk_free)(void *),
                size_t cap_bytes)
{
    *a = (struct arena){ .chunk_alloc = chunk_alloc,
                         .chunk_free = chunk_free,
                         .cap_bytes = cap_bytes };
}

void arena_done(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *next = a->chunks->next;
        a->chunk_free(a->chunks);
        a->chunks = next;
    }
    a->used_bytes = 0;
}

static struct arena_chunk *grow(struct arena *a, size_t bytes)
{
    size_t room = a->cap_bytes - MIN(a->cap_bytes, a->used_bytes);
    if (room < sizeof(struct arena_chunk) || room - sizeof(struct arena_chunk) < bytes)
        return NULL;
    size_t whole = MAX(MIN(CHUNK_BYTES, room), bytes + sizeof(struct arena_chunk));
    size_t data_bytes = whole - sizeof(struct arena_chunk);
    struct arena_chunk *c = a->chunk_alloc(whole);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){ .next = a->chunks, .size_bytes = data_bytes };
    a->chunks = c;
    a->used_bytes += whole;
    return c;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (MAX(bytes, 1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct arena_chunk *c = a->chunks;
    if (!c || c->size_bytes - c->used_bytes < bytes)
        c = grow(a, bytes);
    if (!c)
        return NULL;
    void *p = c->data + c->used_bytes;
    c->used_bytes += bytes;
    return memset(p, 0, bytes);
}

void *arena_alloc_array(struct arena *a, size_t count, size_t bytes_each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, bytes_each, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *text, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    if (copy && n > 0)
        memcpy(copy, text, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_strndup(a, text, strlen(text));
}
