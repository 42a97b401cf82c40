/* Time arithmetic. Every instant and every duration in plimsoll is an int64_t of microseconds;
 * instants are monotonic unless the name says `wall`. Sums saturate, so that "never" stays never.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)
#define US_PER_MIN (60 * US_PER_S)
#define US_PER_HOUR (60 * US_PER_MIN)
#define US_PER_DAY (24 * US_PER_HOUR)

/* The instant that never comes, and the duration without end. */
#define US_NEVER INT64_MAX

static inline int64_t us_add(int64_t a_us, int64_t b_us)
{
    int64_t sum;
    if (__builtin_add_overflow(a_us, b_us, &sum))
        return a_us > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static inline int64_t us_sub(int64_t a_us, int64_t b_us)
{
    int64_t diff;
    if (__builtin_sub_overflow(a_us, b_us, &diff))
        return b_us < 0 ? INT64_MAX : INT64_MIN;
    return diff;
}

static inline int64_t us_mul(int64_t a_us, int64_t k)
{
    int64_t product;
    if (__builtin_mul_overflow(a_us, k, &product))
        return (a_us > 0) == (k > 0) ? INT64_MAX : INT64_MIN;
    return product;
}
