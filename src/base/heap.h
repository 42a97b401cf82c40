/* A binary min-heap of links that lie in the things it holds: timers. Ties are broken by order of
 * insertion, so two timers of one instant fire as they were set. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    int64_t key;
    uint64_t sequence;
    size_t index; /* 1-based place in the heap; 0 = not in it */
};

struct heap {
    struct heap_item **items; /* the owner's array */
    size_t count, cap;
    uint64_t sequence;
};

void heap_init(struct heap *h, struct heap_item **items, size_t cap);
/* 0, or -ENOBUFS when the heap is full. The item must not be in a heap. */
int heap_push(struct heap *h, struct heap_item *item, int64_t key);
struct heap_item *heap_top(const struct heap *h); /* NULL when empty */
void heap_remove(struct heap *h, struct heap_item *item);
/* Move an item that is in the heap to another key. */
void heap_move(struct heap *h, struct heap_item *item, int64_t key);
