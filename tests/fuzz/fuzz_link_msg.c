/* Any bytes as a link message: refused, or taken as something that encodes to the same bytes. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "link/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct link_start start;
    static uint8_t again[LINK_BYTES_MAX];
    struct link_msg m;
    struct err err;
    if (link_decode(data, size, &start, &m, &err) < 0)
        return 0;
    int n = link_encode(&m, again, sizeof(again));
    assert(n >= 0 && (size_t)n == size);
    assert(memcmp(again, data, size) == 0);
    return 0;
}
