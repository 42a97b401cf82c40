/* Energy and carbon. It owns two formulas and remembers nothing. */
#include "core/energy.h"

#include "base/us.h"
#include "base/util.h"

double energy_grams_per_kwh(const struct carbon_conf *c, const struct zone_conf *zones,
                            uint32_t zone_count, int64_t wall_us, int64_t *ret_until_us)
{
    static const struct zone_conf utc = { .name = "UTC" };
    int64_t newest_us = INT64_MIN, until_us = US_NEVER;
    double grams = c->grams;
    for (uint32_t n = 0; n < MIN(c->window_count, MODEL_CARBON_MAX); n++) {
        const struct zone_conf *zone =
            c->windows[n].zone < zone_count ? &zones[c->windows[n].zone] : &utc;
        int64_t opened_us = cron_last(&c->windows[n].cron, zone, wall_us);
        int64_t next_us = cron_next(&c->windows[n].cron, zone, wall_us);
        until_us = MIN(until_us, next_us);
        int64_t closes_us = us_add(opened_us, c->windows[n].for_us);
        if (opened_us == INT64_MIN || closes_us <= wall_us)
            continue;
        until_us = MIN(until_us, closes_us);
        if (opened_us < newest_us)
            continue;
        newest_us = opened_us;
        grams = c->windows[n].grams;
    }
    if (ret_until_us)
        *ret_until_us = until_us;
    return grams;
}

double energy_kwh(double watts, int64_t us)
{
    return us > 0 ? watts / 1000 * ((double)us / (double)US_PER_HOUR) : 0;
}
