/* Base64 (RFC 4648, section 4), as JSON carries bytes. */
#pragma once

#include <stddef.h>

#include "base/str.h"

/* Bytes of text for n bytes, the NUL included. */
#define BASE64_BYTES(n) (((n) + 2) / 3 * 4 + 1)

/* `ret` has room for BASE64_BYTES(n). */
void base64_write(char *ret, const void *bytes, size_t n);
/* The bytes, with a NUL behind them that is not counted; -1 = not base64, or more than `cap`. */
long base64_read(char *ret, size_t cap, struct slice text);
