/* JSON values out of a stream of bytes: an engine's answer is one value, its events and the
 * progress of a pull are many, in pieces that end anywhere. Owns the bytes of the value that is not
 * whole yet, and never more than it was told to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/docker/engine_int.h"

#define CAP_MIN 4096

void json_stream_init(struct json_stream *s, size_t bytes_max)
{
    *s = (struct json_stream){ .bytes_max = bytes_max };
}

void json_stream_done(struct json_stream *s)
{
    free(s->buf);
    json_stream_init(s, s->bytes_max);
}

static int append(struct json_stream *s, const char *bytes, size_t count)
{
    size_t cap = MAX(s->cap, (size_t)CAP_MIN);
    while (cap < s->bytes + count)
        cap *= 2;
    char *grown = cap == s->cap ? s->buf : realloc(s->buf, cap);
    if (!grown)
        return -ENOMEM;
    memcpy(grown + s->bytes, bytes, count);
    s->buf = grown;
    s->cap = cap;
    s->bytes += count;
    return 0;
}

/* Past one character. 1 = a value ends with it. */
static int step(struct json_stream *s, char ch)
{
    if (s->in_string) {
        bool was_escaped = s->escaped;
        s->escaped = !was_escaped && ch == '\\';
        s->in_string = was_escaped || ch != '"';
        return 0;
    }
    switch (ch) {
    case '"':
        s->in_string = true;
        break;
    case '{':
    case '[':
        s->depth++;
        return 0;
    case '}':
    case ']':
        return s->depth == 0 ? -EPROTO : --s->depth == 0;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        return 0;
    }
    return s->depth == 0 ? -EPROTO : 0;
}

/* An engine writes "no limit" as a number that is larger than an integer can be. */
static json_t *load(const char *text, size_t bytes)
{
    json_t *value = json_loadb(text, bytes, 0, NULL);
    return value ? value : json_loadb(text, bytes, JSON_DECODE_INT_AS_REAL, NULL);
}

static int tell(const char *text, size_t bytes, json_stream_value *value, void *ctx)
{
    json_t *json = load(text, bytes);
    if (!json)
        return -EPROTO;
    bool more = value(ctx, json);
    json_decref(json);
    return more ? 0 : -ECANCELED;
}

int json_stream_feed(struct json_stream *s, const char *bytes, size_t count,
                     json_stream_value *value, void *ctx)
{
    size_t begin = 0;
    int rc = append(s, bytes, count);
    while (rc == 0 && s->scanned < s->bytes) {
        rc = step(s, s->buf[s->scanned++]);
        if (rc <= 0)
            continue;
        rc = tell(s->buf + begin, s->scanned - begin, value, ctx);
        begin = s->scanned;
    }
    if (rc < 0)
        return rc;
    s->bytes -= begin;
    s->scanned -= begin;
    if (begin > 0)
        memmove(s->buf, s->buf + begin, s->bytes);
    return s->bytes > s->bytes_max ? -EMSGSIZE : 0;
}
