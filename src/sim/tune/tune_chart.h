/* The candidates as a chart of text: violations (logarithmic) against instance-hours. */
#pragma once

#include "base/str.h"
#include "sim/tune/tune.h"

/* 'o' = front, '.' = the others, 'B' = as it was given, '@' = the best; a line where the SLO is. */
void tune_chart_write(const struct tune_result *r, double allowed, struct str *out);
