/* What a section says as one number, for templates and shapes: put in one after the other, so that
 * nothing runs into what follows it. The numbers are labels of instances that outlive this program:
 * what is put in here stays as it is. */
#pragma once

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "config/schema.h"

static inline void hash_text(XXH3_state_t *h, const char *text)
{
    XXH3_64bits_update(h, text ? text : "", strlen(text ? text : "") + 1);
}

static inline void hash_number(XXH3_state_t *h, int64_t number)
{
    XXH3_64bits_update(h, &number, sizeof(number));
}

static inline void hash_list(XXH3_state_t *h, const struct schema_list *list)
{
    hash_number(h, (int64_t)list->count);
    for (size_t i = 0; i < list->count; i++)
        hash_text(h, list->items[i]);
}

static inline void hash_map(XXH3_state_t *h, const struct schema_map *map)
{
    hash_number(h, (int64_t)map->count);
    for (size_t i = 0; i < map->count; i++) {
        hash_text(h, map->names[i]);
        hash_text(h, map->values[i]);
    }
}
