/* Formatting without libc's printf, so that core can explain itself and still be pure.
 * Knows %s %.*s %c %d %i %u %x %ld %lld %lu %llu %zu %lx %llx, widths with 0 or space
 * padding for integers and strings, %% and %g (see fmt_double). */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/* Write at most `cap` bytes including the final NUL; returns the length the whole text has, so a
 * result >= cap means that it was cut, behind a whole character. `cap` may be 0. */
size_t fmt_v(char *buf, size_t cap, const char *format, va_list args) _printf_(3, 0);
size_t fmt(char *buf, size_t cap, const char *format, ...) _printf_(3, 4);

/* Of the first `n` bytes of a UTF-8 text those before a character that their end cuts: who reads
 * half of one takes the whole text for none (JSON). What is no UTF-8 stays. */
size_t fmt_whole(const char *text, size_t n);

/* A double for people: at most `decimals` (0..9) digits behind the point, trailing zeros removed,
 * "nan", "inf" and "-inf" spelled out. Values of 1e18 and above print as "1e18" or more. */
size_t fmt_double(char *buf, size_t cap, double value, int decimals);
