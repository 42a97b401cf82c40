/* Sift up, sift down. */
#include "base/heap.h"

#include <assert.h>
#include <errno.h>

void heap_init(struct heap *h, struct heap_item **items, size_t cap)
{
    *h = (struct heap){ .items = items, .cap = cap };
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key < b->key || (a->key == b->key && a->sequence < b->sequence);
}

static void place(struct heap *h, size_t index, struct heap_item *item)
{
    h->items[index - 1] = item;
    item->index = index;
}

static void sift_up(struct heap *h, struct heap_item *item)
{
    size_t i = item->index;
    while (i > 1 && before(item, h->items[i / 2 - 1])) {
        place(h, i, h->items[i / 2 - 1]);
        i /= 2;
    }
    place(h, i, item);
}

static void sift_down(struct heap *h, struct heap_item *item)
{
    size_t i = item->index;
    for (;;) {
        size_t child = i * 2;
        if (child > h->count)
            break;
        if (child < h->count && before(h->items[child], h->items[child - 1]))
            child++;
        if (!before(h->items[child - 1], item))
            break;
        place(h, i, h->items[child - 1]);
        i = child;
    }
    place(h, i, item);
}

int heap_push(struct heap *h, struct heap_item *item, int64_t key)
{
    assert(item->index == 0);
    if (h->count == h->cap)
        return -ENOBUFS;
    item->key = key;
    item->sequence = ++h->sequence;
    item->index = ++h->count;
    sift_up(h, item);
    return 0;
}

struct heap_item *heap_top(const struct heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    assert(item->index > 0 && h->items[item->index - 1] == item);
    struct heap_item *last = h->items[h->count - 1];
    h->count--;
    if (last != item) {
        last->index = item->index;
        sift_up(h, last);
        sift_down(h, last);
    }
    item->index = 0;
}

void heap_move(struct heap *h, struct heap_item *item, int64_t key)
{
    assert(item->index > 0);
    item->key = key;
    item->sequence = ++h->sequence;
    sift_up(h, item);
    sift_down(h, item);
}
