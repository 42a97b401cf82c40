/* Energy and carbon: what instances draw, and how many grams of CO2 a kWh is at a time. Pure. */
#pragma once

#include <stdint.h>

#include "core/model.h"

/* Grams of CO2 for a kWh at this wall time: of the open windows the one that opened last, else the
 * constant. `ret_until_us` (wall, may be NULL) is when it may be another; US_NEVER = never. */
double energy_grams_per_kwh(const struct carbon_conf *c, const struct zone_conf *zones,
                            uint32_t zone_count, int64_t wall_us, int64_t *ret_until_us);

/* kWh of `watts` over a time; negative times are none. */
double energy_kwh(double watts, int64_t us);
