/* Any bytes as a StatsD packet: read to the end, in pieces that lie within it. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/source/statsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_inside(struct slice part, const char *begin, size_t bytes)
{
    assert(part.p >= begin && part.p + part.n <= begin + bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *begin = (const char *)data;
    struct slice packet = { begin, bytes };
    struct statsd_metric m;
    size_t left = bytes;
    while (statsd_next(&packet, &m)) {
        assert(packet.n < left);
        left = packet.n;
        check_inside(m.name, begin, bytes);
        check_inside(m.text, begin, bytes);
        assert(m.name.n > 0);
        assert(m.type == STATSD_BAD || isfinite(m.value));
    }
    return 0;
}
