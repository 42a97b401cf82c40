/* The command line of `plimsoll capacity`, read into what is to be computed. */
#pragma once

#include "base/err.h"
#include "cli/options.h"
#include "sim/capacity.h"
#include "sim/points.h"

extern const struct option_spec capacity_options[];

/* 0, or -EINVAL with a text that names the option, its value and the way out. `ret_points` is what
 * --usl had, its bad rows included. */
int capacity_read(const struct options *o, struct capacity_conf *ret, struct points *ret_points,
                  struct err *err);
