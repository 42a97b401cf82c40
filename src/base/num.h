/* Numbers with units, as people write them in a config: no locale, no silent rounding. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* All return 0, -EINVAL (not such a number) or -ERANGE; the result is untouched on failure. */
int num_parse_i64(struct slice text, int64_t *ret);
int num_parse_double(struct slice text,
                     double *ret); /* decimal, optional exponent; never nan/inf */
/* "250ms", "10s", "5m", "1h30m", "2d", "500us"; a bare 0 is a duration, other bare numbers are not.
 */
int num_parse_duration(struct slice text, int64_t *ret_us);
/* "512", "64KiB", "10MB", "1.5GiB", "4k" (1024): bytes. */
int num_parse_size(struct slice text, int64_t *ret_bytes);
/* "80%" -> 0.8. */
int num_parse_percent(struct slice text, double *ret_ratio);

/* The shortest exact text a person would have written: "1m30s", "250ms". Returns the length. */
size_t num_format_duration(char *buf, size_t cap, int64_t us);
size_t num_format_size(char *buf, size_t cap, int64_t bytes);
