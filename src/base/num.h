/* Numbers with units, as people write them in a config: no locale, and what is too small
 * to count is refused, never taken for zero. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* All return 0, -EINVAL (not such a number) or -ERANGE; the result is untouched on failure. */
int num_parse_i64(struct slice text, int64_t *ret);
/* Decimal, with an optional exponent; never nan or inf. */
int num_parse_double(struct slice text, double *ret);
/* "250ms", "10s", "5m" or "5min", "1h30m", "1.5s", "2d", "500us": larger units first. A bare 0 is a
 * duration, other bare numbers are not. */
int num_parse_duration(struct slice text, int64_t *ret_us);
/* Bytes: "512", "64KiB", "1.5GiB", "4k" (1024, as are K, Ki and KiB), "10MB" (powers of 1000). */
int num_parse_size(struct slice text, int64_t *ret_bytes);
/* "80%" -> 0.8. */
int num_parse_percent(struct slice text, double *ret_ratio);

/* The shortest exact text a person would have written: "1m30s", "250ms". Returns the length. */
size_t num_format_duration(char *buf, size_t cap, int64_t us);
/* The same as people say it: three digits below a minute ("7.99s", "157ms"), from then on two units
 * at most ("2m8s", "1d3h"). Rounded: for texts, never for what is read back. */
size_t num_format_duration_short(char *buf, size_t cap, int64_t us);
size_t num_format_size(char *buf, size_t cap, int64_t bytes);
