/* Rows of points as values at equal distances; private to store/. */
#pragma once

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

/* See store_read_steps(). */
int recorded_steps(sqlite3 *reader, const char *service, const char *metric, uint32_t step_s,
                   int64_t *from_s, double *ret_values, size_t *count);
