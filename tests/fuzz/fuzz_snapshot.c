/* Any bytes as a snapshot: refused, or taken as something that encodes to the same bytes. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "link/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct snapshot s;
    struct err err;
    arena_init(&arena, malloc, free, (size_t)256 << 20);
    if (snapshot_decode(data, size, &arena, &s, &err) == 0) {
        size_t n = 0;
        uint8_t *again = malloc(size + 1);
        assert(snapshot_size(&s) == size);
        int rc = snapshot_encode(&s, again, size, &n);
        assert(rc == 0 && n == size);
        assert(memcmp(again, data, size) == 0);
        free(again);
    }
    arena_done(&arena);
    return 0;
}
