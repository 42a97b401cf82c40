/* The two walks over a table of fields, and the exact forms of the values that JSON has no word
 * for. Knows no struct of anybody's: offsets and sizes come from the tables. */
#include "store/codec.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"

static const char hex_digits[] = "0123456789abcdef";

static int hex_value(char c)
{
    const char *at = c ? memchr(hex_digits, c, 16) : NULL;
    return at ? (int)(at - hex_digits) : -1;
}

static json_t *hex_text(const char *text, size_t bytes)
{
    char *hex = malloc(2 * bytes + 1);
    if (!hex)
        return NULL;
    for (size_t i = 0; i < bytes; i++) {
        hex[2 * i] = hex_digits[(unsigned char)text[i] >> 4];
        hex[2 * i + 1] = hex_digits[text[i] & 15];
    }
    json_t *json = json_pack("{s:s%}", "hex", hex, 2 * bytes);
    free(hex);
    return json;
}

json_t *codec_text(const char *text, size_t bytes)
{
    json_t *json = json_stringn(text, bytes); /* NULL when it is not UTF-8 */
    return json ? json : hex_text(text, bytes);
}

char *codec_text_decode(const json_t *json, size_t *ret_bytes)
{
    const json_t *hex = json_object_get(json, "hex");
    const char *from = json_string_value(hex ? hex : json);
    size_t n = json_string_length(hex ? hex : json);
    char *text = from && !(hex && n % 2) ? malloc(n + 1) : NULL;
    if (!text)
        return NULL;
    if (!hex) {
        memcpy(text, from, n);
    } else {
        n /= 2;
        for (size_t i = 0; i < n; i++) {
            int high = hex_value(from[2 * i]), low = hex_value(from[2 * i + 1]);
            if (high < 0 || low < 0) {
                free(text);
                return NULL;
            }
            text[i] = (char)(high << 4 | low);
        }
    }
    text[n] = '\0';
    *ret_bytes = n;
    return text;
}

json_t *codec_double(double value)
{
    if (isnan(value))
        return json_string("nan");
    if (isinf(value))
        return json_string(value > 0 ? "inf" : "-inf");
    return json_real(value);
}

int codec_double_decode(const json_t *json, double *ret)
{
    const char *text = json_string_value(json);
    if (json_is_number(json))
        *ret = json_number_value(json);
    else if (text && strcmp(text, "nan") == 0)
        *ret = NAN;
    else if (text && strcmp(text, "inf") == 0)
        *ret = INFINITY;
    else if (text && strcmp(text, "-inf") == 0)
        *ret = -INFINITY;
    else
        return -EPROTO;
    return 0;
}

json_t *codec_hex(uint64_t value)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)value);
    return json_string(text);
}

int codec_hex_decode(const json_t *json, uint64_t *ret)
{
    const char *text = json_string_value(json);
    uint64_t value = 0;
    if (!text || strlen(text) != 16)
        return -EPROTO;
    for (; *text; text++) {
        int digit = hex_value(*text);
        if (digit < 0)
            return -EPROTO;
        value = value << 4 | (unsigned)digit;
    }
    *ret = value;
    return 0;
}

void codec_time_format(int64_t wall_us, char buf[CODEC_TIME_BYTES])
{
    int64_t us = ((wall_us % US_PER_S) + US_PER_S) % US_PER_S;
    time_t seconds = (time_t)((wall_us - us) / US_PER_S);
    struct tm tm = { 0 };
    char date[28];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf, CODEC_TIME_BYTES, "%s.%06dZ", date, (int)us);
}

json_t *codec_time(int64_t wall_us)
{
    char text[CODEC_TIME_BYTES];
    codec_time_format(wall_us, text);
    return json_string(text);
}

static int64_t load(const struct codec_field *f, const void *base)
{
    const char *at = (const char *)base + f->offset;
    int64_t value = 0;
    switch (f->size) {
    case 1:
        return *(const uint8_t *)at;
    case 4:
        if (f->kind == CODEC_I32)
            return *(const int32_t *)(const void *)at;
        return *(const uint32_t *)(const void *)at;
    default:
        memcpy(&value, at, sizeof(value)); /* 64 bits of either sign keep their pattern */
        return value;
    }
}

static bool store_value(const struct codec_field *f, void *base, int64_t value)
{
    char *at = (char *)base + f->offset;
    switch (f->size) {
    case 1:
        *(uint8_t *)at = (uint8_t)value;
        return value >= 0 && value <= (f->kind == CODEC_BOOL ? 1 : UINT8_MAX);
    case 4: {
        uint32_t narrow = (uint32_t)value;
        memcpy(at, &narrow, sizeof(narrow));
        return f->kind == CODEC_I32 ? value == (int32_t)narrow : value == (int64_t)narrow;
    }
    default:
        memcpy(at, &value, sizeof(value));
        return true;
    }
}

/* The pointer that a CODEC_STRING is. */
static const char **string_at(const struct codec_field *f, const void *base)
{
    return (const char **)(uintptr_t)((const char *)base + f->offset);
}

static json_t *encode(const struct codec_field *f, const void *base)
{
    const char *at = (const char *)base + f->offset;
    if (f->kind == CODEC_STRING)
        return codec_text(*string_at(f, base), strlen(*string_at(f, base)));
    if (f->kind == CODEC_TEXT)
        return codec_text(at, strnlen(at, f->size));
    int64_t value = load(f, base);
    if (f->has_absent && value == f->absent)
        return json_null();
    switch (f->kind) {
    case CODEC_BOOL:
        return json_boolean(value);
    case CODEC_HEX:
        return codec_hex((uint64_t)value);
    case CODEC_TIME:
        return codec_time(value);
    case CODEC_ENUM:
        return value < f->name_count ? json_string(f->name((unsigned)value)) : json_integer(value);
    default:
        return json_integer(value);
    }
}

static bool is_absent(const struct codec_field *f, const void *base)
{
    if (f->kind == CODEC_TEXT)
        return ((const char *)base)[f->offset] == '\0';
    if (f->kind == CODEC_STRING)
        return !*string_at(f, base);
    return load(f, base) == f->absent;
}

int codec_put(json_t *object, const struct codec_field *fields, size_t count, const void *base)
{
    for (const struct codec_field *f = fields; f < fields + count; f++) {
        if ((f->optional || f->kind == CODEC_STRING) && is_absent(f, base))
            continue;
        if (json_object_set_new(object, f->key, encode(f, base)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static bool decode_text(const struct codec_field *f, const json_t *json, void *base)
{
    char *at = (char *)base + f->offset;
    size_t n;
    char *text = codec_text_decode(json, &n);
    bool fits = text && n < f->size;
    if (fits)
        memcpy(at, text, n + 1);
    free(text);
    return fits;
}

static bool decode_enum(const struct codec_field *f, const json_t *json, void *base)
{
    const char *text = json_string_value(json);
    for (unsigned i = 0; text && i < f->name_count; i++)
        if (strcmp(f->name(i), text) == 0)
            return store_value(f, base, i);
    return false;
}

static bool decode(const struct codec_field *f, const json_t *json, void *base)
{
    uint64_t bits;
    size_t n;
    switch (f->kind) {
    case CODEC_STRING:
        *string_at(f, base) = codec_text_decode(json, &n);
        return *string_at(f, base) != NULL;
    case CODEC_TEXT:
        return decode_text(f, json, base);
    case CODEC_ENUM:
        return decode_enum(f, json, base);
    case CODEC_BOOL:
        return json_is_boolean(json) && store_value(f, base, json_is_true(json));
    case CODEC_HEX:
        return codec_hex_decode(json, &bits) == 0 && store_value(f, base, (int64_t)bits);
    case CODEC_TIME:
        return false;
    default:
        if (f->has_absent && json_is_null(json))
            return store_value(f, base, f->absent);
        return json_is_integer(json) && store_value(f, base, json_integer_value(json));
    }
}

int codec_get(const json_t *object, const struct codec_field *fields, size_t count, void *base,
              struct err *err)
{
    for (const struct codec_field *f = fields; f < fields + count; f++) {
        const json_t *json = json_object_get(object, f->key);
        if (!json && f->kind == CODEC_STRING) {
            *string_at(f, base) = NULL;
        } else if (!json && f->optional) {
            if (f->kind == CODEC_TEXT)
                ((char *)base)[f->offset] = '\0';
            else
                store_value(f, base, f->absent);
        } else if (!json || !decode(f, json, base)) {
            return err_set(err, -EPROTO, "\"%s\" is %s", f->key, json ? "malformed" : "missing");
        }
    }
    return 0;
}

char *codec_words(const uint64_t *words, size_t count)
{
    size_t n = 0, cap = 64 + count * 38; /* a run of one word: 16 + 1 + 20 digits and a space */
    char *text = malloc(cap);
    if (!text)
        return NULL;
    text[0] = '\0';
    for (size_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && words[i + run] == words[i]; run++)
            ;
        const char *gap = i ? " " : "";
        n += (size_t)snprintf(text + n, cap - n, "%s%llx", gap, (unsigned long long)words[i]);
        if (run > 1)
            n += (size_t)snprintf(text + n, cap - n, "*%zu", run);
    }
    char *tight = realloc(text, n + 1);
    return tight ? tight : text;
}

/* One word or run at *at; moves *at behind it and its space. */
static int next_run(const char **at, uint64_t *ret_word, size_t *ret_times)
{
    char *end;
    if (hex_value(**at) < 0 || (*at)[1] == 'x') /* strtoull() would take more */
        return -EPROTO;
    errno = 0;
    *ret_word = strtoull(*at, &end, 16);
    *ret_times = 1;
    if (*end == '*') {
        const char *times = end + 1;
        *ret_times = *times >= '1' && *times <= '9' ? strtoull(times, &end, 10) : 0;
    }
    if (errno || !*ret_times || (*end && *end != ' ') || (*end == ' ' && !end[1]))
        return -EPROTO;
    *at = *end ? end + 1 : end;
    return 0;
}

/* A state larger than this is not ours: it would be half a gigabyte. */
#define WORDS_MAX ((size_t)64 * 1024 * 1024)

int codec_words_decode(const char *text, uint64_t **ret_words, size_t *ret_count)
{
    size_t count = 0, times;
    uint64_t word;
    for (const char *at = text; *at; count += times) {
        int rc = next_run(&at, &word, &times);
        if (rc < 0)
            return rc;
        if (times > WORDS_MAX - count)
            return -EPROTO;
    }
    uint64_t *words = malloc(MAX(count, 1u) * sizeof(*words));
    if (!words)
        return -ENOMEM;
    size_t i = 0;
    for (const char *at = text; *at && next_run(&at, &word, &times) == 0;)
        for (; times; times--)
            words[i++] = word;
    *ret_words = words;
    *ret_count = count;
    return 0;
}
