/* Linear probing with backward-shift deletion. */
#include "base/table.h"

#include <assert.h>
#include <errno.h>
#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

uint64_t table_hash(struct slice key)
{
    return XXH3_64bits(key.p, key.n);
}

void table_init(struct table *t, struct table_slot *slots, size_t cap)
{
    assert(cap > 0 && (cap & (cap - 1)) == 0);
    *t = (struct table){ .slots = slots, .cap = cap };
}

static struct table_slot *find(const struct table *t, struct slice key, uint64_t hash)
{
    size_t i = hash & (t->cap - 1);
    while (t->slots[i].value && !(t->slots[i].hash == hash && slice_eq(t->slots[i].key, key)))
        i = (i + 1) & (t->cap - 1);
    return &t->slots[i];
}

void *table_get(const struct table *t, struct slice key)
{
    return find(t, key, table_hash(key))->value;
}

int table_put(struct table *t, struct slice key, void *value)
{
    assert(value);
    uint64_t hash = table_hash(key);
    struct table_slot *slot = find(t, key, hash);
    if (slot->value)
        return -EEXIST;
    if ((t->count + 1) * 4 > t->cap * 3)
        return -ENOBUFS;
    *slot = (struct table_slot){ .hash = hash, .key = key, .value = value };
    t->count++;
    return 0;
}

void *table_take(struct table *t, struct slice key)
{
    struct table_slot *slot = find(t, key, table_hash(key));
    void *value = slot->value;
    if (!value)
        return NULL;
    size_t hole = (size_t)(slot - t->slots), mask = t->cap - 1;
    for (size_t i = (hole + 1) & mask; t->slots[i].value; i = (i + 1) & mask) {
        size_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct table_slot){ 0 };
    t->count--;
    return value;
}
