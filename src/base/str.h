/* Text being built in memory that the caller owns. A str never allocates: when the text does not
 * fit, it is cut, stays NUL-terminated, and `cut` says so. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

/* A piece of text that someone else owns; not NUL-terminated. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

struct str {
    char *p;
    size_t len;
    size_t cap; /* bytes at p, the final NUL included; at least 1 */
    bool cut;
};

void str_init(struct str *s, char *buf, size_t cap);
void str_clear(struct str *s);
void str_put(struct str *s, const char *text);
void str_put_n(struct str *s, const char *text, size_t n);
void str_put_char(struct str *s, char c);
void str_putf(struct str *s, const char *format, ...) _printf_(2, 3);
void str_putv(struct str *s, const char *format, va_list args) _printf_(2, 0);

struct slice slice_of(const char *text);
bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b); /* ASCII only */
struct slice slice_trim(struct slice s);              /* spaces and tabs, both ends */

/* What a terminal would obey: ASCII's control characters, and those that UTF-8 writes in two bytes
 * (U+0080 to U+009F). The bytes of the one that the text begins with; 0 = it begins with none. */
size_t str_control_bytes(const char *text);
/* They become blanks. For what others said. */
void str_clean(char *text);
bool str_is_clean(const char *text);

/* Copy into a fixed field; returns false, and leaves an empty field, when it does not fit. */
bool str_copy(char *dst, size_t cap, const char *src);

/* Levenshtein distance in which a swap of neighbours is one step; both at most 63 bytes long
 * (longer ones count as 64 apart). */
unsigned str_distance(const char *a, const char *b);
