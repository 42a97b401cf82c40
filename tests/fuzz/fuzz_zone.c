/* Any bytes as a time zone file, and as a zone's rule: refused, or read as transitions in order. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "config/zone.h"
#include "config/zone_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone_conf z = { 0 };
    struct zone_rule r;
    if (zone_parse(data, size, INT64_C(1780000000), &z) == 0) {
        assert(z.transition_count <= ZONE_TRANSITIONS_MAX);
        for (uint32_t i = 1; i < z.transition_count; i++)
            assert(z.transition[i].at_s > z.transition[i - 1].at_s);
    }
    if (zone_rule_parse((struct slice){ (const char *)data, size }, &r) == 0 && r.has_summer) {
        int64_t start_s, end_s;
        zone_rule_year(&r, 2024, &start_s, &end_s);
    }
    return 0;
}
