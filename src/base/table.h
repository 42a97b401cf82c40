/* An open-addressing hash table from text to a pointer, in memory the owner hands in. Keys are not
 * copied. Walking goes in order of insertion through the owner's own array, never through this. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct table_slot {
    uint64_t hash;
    struct slice key;
    void *value; /* NULL = free */
};

struct table {
    struct table_slot *slots;
    size_t cap; /* a power of two */
    size_t count;
};

/* `slots` is zeroed; `cap` a power of two. At most 3/4 of the slots may be used. */
void table_init(struct table *t, struct table_slot *slots, size_t cap);
void *table_get(const struct table *t, struct slice key); /* NULL when absent */
/* 0, -EEXIST or -ENOBUFS. `value` is not NULL. */
int table_put(struct table *t, struct slice key, void *value);
void *table_take(struct table *t, struct slice key); /* removes; NULL when absent */

uint64_t table_hash(struct slice key);
