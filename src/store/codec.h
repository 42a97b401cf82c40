/* Fields of plain structs as JSON, by table: one walk encodes, one walk decodes.
 * Everything survives the way there and back: NaN and infinities as strings, 64-bit hashes as hex,
 * texts that are not UTF-8 as {"hex":".."}. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum codec_kind {
    CODEC_BOOL,
    CODEC_I32,
    CODEC_I64,
    CODEC_U8,
    CODEC_U32,
    CODEC_U64,
    CODEC_HEX,    /* uint64_t as 16 hex digits */
    CODEC_TEXT,   /* char[size] */
    CODEC_STRING, /* const char *, NULL = nothing, and then no key; malloc'd when decoded */
    CODEC_ENUM,   /* unsigned of `size` bytes, by name */
    CODEC_TIME,   /* int64_t of wall microseconds as ISO 8601; encoded only */
};

struct codec_field {
    const char *key;
    enum codec_kind kind;
    size_t offset, size;
    const char *(*name)(unsigned value); /* CODEC_ENUM */
    unsigned name_count;
    bool has_absent; /* `absent` stands for nothing: null, or no key when `optional` */
    bool optional;
    int64_t absent;
};

/* Into an object; 0 or -ENOMEM. */
int codec_put(json_t *object, const struct codec_field *fields, size_t count, const void *base);
/* Out of an object: absent keys of optional fields give their `absent`. 0 or -EPROTO. */
int codec_get(const json_t *object, const struct codec_field *fields, size_t count, void *base,
              struct err *err);

json_t *codec_text(const char *text, size_t bytes);
/* Into a malloc'd, NUL-terminated text; NULL when it is none. */
char *codec_text_decode(const json_t *json, size_t *ret_bytes);
json_t *codec_double(double value);
int codec_double_decode(const json_t *json, double *ret);
json_t *codec_hex(uint64_t value);
int codec_hex_decode(const json_t *json, uint64_t *ret);
/* "2026-11-20T05:15:03.123456Z". */
#define CODEC_TIME_BYTES 40
void codec_time_format(int64_t wall_us, char buf[CODEC_TIME_BYTES]);
json_t *codec_time(int64_t wall_us);

/* A list of words as one text: hex numbers without leading zeros, separated by spaces, a run of the
 * same word as "word*times". malloc'd. */
char *codec_words(const uint64_t *words, size_t count);
int codec_words_decode(const char *text, uint64_t **ret_words, size_t *ret_count);
