/* Bytes of the link's encodings: little-endian whole numbers, and texts behind their length. A
 * writer counts on when its buffer is full; a reader that once met nonsense stays bad and gives
 * zeros. Neither ever touches a byte outside its buffer. Private to link/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct wire_writer {
    uint8_t *p;
    size_t cap;
    size_t n; /* bytes the encoding takes; > cap = did not fit */
};

struct wire_reader {
    const uint8_t *p;
    size_t left;
    bool bad;
};

void wire_put_bytes(struct wire_writer *w, const void *p, size_t n);
void wire_put(struct wire_writer *w, uint64_t value, unsigned bytes);
void wire_put_text(struct wire_writer *w, struct slice text); /* 32-bit length, then the bytes */

/* NULL, and the reader bad, when so many are not left. */
const uint8_t *wire_get_bytes(struct wire_reader *r, size_t n);
uint64_t wire_get(struct wire_reader *r, unsigned bytes);
/* A number in min..max, or the reader is bad; every kind of whole number goes as 64 bits signed. */
int64_t wire_get_in(struct wire_reader *r, unsigned bytes, int64_t min, int64_t max);
/* A text of at most `n_max` bytes, none of them NUL (it will become a C string somewhere). */
struct slice wire_get_text(struct wire_reader *r, size_t n_max);
