/* Any bytes as a zone and a cron expression: refused with a reason, or one whose matches before and
 * after an instant agree with each other. The first bytes make the zone and the instant. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_BYTES 8

/* Up to seven clock changes of up to two hours, months apart, as zones have them. */
static struct zone_conf zone_of(const uint8_t *head)
{
    struct zone_conf z = { .name = "Fuzz", .offset_s = ((int8_t)head[0]) * 400 };
    z.transition_count = head[1] % 8;
    for (uint32_t i = 0; i < z.transition_count; i++) {
        z.transition[i].at_s = INT64_C(1735689600) + (i + 1) * 86400 * (30 + head[2] % 200);
        z.transition[i].offset_s = z.offset_s + (i % 2 ? 0 : ((int8_t)head[3]) * 60);
    }
    return z;
}

/* Matches further apart than the search reaches are not seen from each other. */
#define NEAR_US (4 * 366 * US_PER_DAY)

static void check(const struct cron *c, const struct zone_conf *z, int64_t wall_us)
{
    int64_t last_us = cron_last(c, z, wall_us), next_us = cron_next(c, z, wall_us);
    assert(last_us <= wall_us && next_us > wall_us);
    if (last_us != INT64_MIN)
        assert(cron_last(c, z, last_us) == last_us);
    if (last_us == INT64_MIN || next_us == US_NEVER || next_us - last_us > NEAR_US)
        return;
    assert(cron_next(c, z, last_us) == next_us);
    assert(cron_last(c, z, next_us - 1) == last_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cron c, again;
    struct err err = { 0 };
    if (size < HEAD_BYTES)
        return 0;
    struct slice text = { (const char *)data + HEAD_BYTES, size - HEAD_BYTES };
    if (cron_parse(text, &c, &err) < 0) {
        assert(err.text[0] != '\0' && memchr(err.text, '\0', sizeof(err.text)));
        return 0;
    }
    if (!memchr(text.p, '\0', text.n)) {
        assert(cron_parse(slice_of(c.text), &again, &err) == 0);
        assert(memcmp(&c, &again, sizeof(c)) == 0);
    }
    struct zone_conf z = zone_of(data);
    uint32_t at_s = (uint32_t)(data[4] | data[5] << 8 | data[6] << 16) * 8;
    check(&c, &z, (INT64_C(1735689600) + at_s) * US_PER_S + data[7]);
    return 0;
}
