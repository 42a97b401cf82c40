/* The recorded load of a service, read from the database of a state directory: what `simulate
 * --recorded` feeds to a policy. Reads only, and does not mind whether plimsoll runs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Series beside those of metrics: how many instances there were. No metric's name begins so. */
#define RECORDED_READY "@ready"
#define RECORDED_DESIRED "@desired"

#define RECORDED_STEP_S 60

/* A value a minute; NaN = unknown. */
struct recorded {
    int64_t wall_us; /* of the first minute's beginning */
    size_t count;
    double *arrivals; /* requests a second that came; of older records those that were answered */
    double *ready;    /* instances */
};

/* The minutes from `from_wall_us` to `to_wall_us`; those at the ends of which nothing is known are
 * left out. 0; -ENOENT: no database, no such service in it, or nothing of that time, and -EIO, with
 * a text that says which. */
int recorded_read(const char *state_dir, const char *service, int64_t from_wall_us,
                  int64_t to_wall_us, struct recorded *ret, struct err *err);
void recorded_done(struct recorded *r);
