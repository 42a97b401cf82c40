/* Arenas over malloc. */
#include "sys/mem.h"

void mem_arena_init(struct arena *a, size_t cap_bytes)
{
    arena_init(a, malloc, free, cap_bytes);
}
