/* The chunked transfer coding (RFC 9112, 7.1) as a state machine that takes its bytes in any
 * pieces. It never holds data: pieces are reported where they lie. */
#include "proxy/http1_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Extensions are allowed this much more than the data they come with, so that a body cannot be
 * nothing but extensions. */
#define EXTENSION_DEBT_MAX 4096
#define SIZE_DIGITS_MAX 16

enum {
    SIZE,      /* a chunk's size */
    EXTENSION, /* behind the size, up to CR */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START, /* at the start of a line behind the last chunk */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
    ENDED,
    FAILED,
};

void http1_chunked_init(struct http1_chunked *c, uint32_t trailer_bytes_max)
{
    memset(c, 0, sizeof(*c));
    c->state = SIZE;
    c->trailer_bytes_max = trailer_bytes_max;
}

static int fail(struct http1_chunked *c, const char *text)
{
    c->state = FAILED;
    c->error_text = text;
    return -EBADMSG;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The size line but its LF. */
static int size_byte(struct http1_chunked *c, char b)
{
    if (http1_is(b, HTTP1_HEX)) {
        if (++c->digits > SIZE_DIGITS_MAX || c->left > (INT64_MAX >> 4))
            return fail(c, "a chunk's size is too large");
        c->left = c->left << 4 | hex_value(b);
        return 0;
    }
    if (c->digits == 0)
        return fail(c, "a chunk has no valid size");
    if (b == '\r')
        c->state = SIZE_LF;
    else if (b == ';')
        c->state = EXTENSION;
    else
        return fail(c, "an invalid byte behind a chunk's size");
    return 0;
}

static int extension_byte(struct http1_chunked *c, char b)
{
    if (b == '\r') {
        c->state = SIZE_LF;
        return 0;
    }
    if (!http1_is(b, HTTP1_VALUE))
        return fail(c, "an invalid byte in a chunk's extension");
    if (++c->extension_debt > EXTENSION_DEBT_MAX)
        return fail(c, "chunk extensions are too long");
    return 0;
}

/* Pay the extensions' debt with the data that is coming, and go to it. */
static void begin_chunk(struct http1_chunked *c)
{
    c->extension_debt -= (uint32_t)MIN((uint64_t)c->extension_debt, c->left);
    c->state = c->left > 0 ? DATA : TRAILER_START;
    c->digits = 0;
}

static int want_byte(struct http1_chunked *c, char b, char wanted, uint8_t next)
{
    if (b != wanted)
        return fail(c, wanted == '\n' ? "CR without LF in a chunked body"
                                      : "a chunk's data does not end in CR LF");
    c->state = next;
    return 0;
}

static int trailer_byte(struct http1_chunked *c, char b)
{
    if (c->state == TRAILER_START && b == '\r') {
        c->state = END_LF;
        return 0;
    }
    if (++c->trailer_bytes > c->trailer_bytes_max)
        return fail(c, "trailers are too long");
    if (c->state == TRAILER_LF)
        return want_byte(c, b, '\n', TRAILER_START);
    if (c->state == TRAILER_VALUE) {
        if (b == '\r')
            c->state = TRAILER_LF;
        else if (!http1_is(b, HTTP1_VALUE))
            return fail(c, "an invalid byte in a trailer");
        return 0;
    }
    if (b == ':' && c->state == TRAILER_NAME)
        c->state = TRAILER_VALUE;
    else if (http1_is(b, HTTP1_TOKEN))
        c->state = TRAILER_NAME;
    else
        return fail(c, "an invalid byte in a trailer's name");
    return 0;
}

/* One byte that is not payload. */
static int step(struct http1_chunked *c, char b)
{
    switch (c->state) {
    case SIZE:
        return size_byte(c, b);
    case EXTENSION:
        return extension_byte(c, b);
    case SIZE_LF:
        if (b != '\n')
            return fail(c, "CR without LF in a chunked body");
        begin_chunk(c);
        return 0;
    case DATA_CR:
        return want_byte(c, b, '\r', DATA_LF);
    case DATA_LF:
        return want_byte(c, b, '\n', SIZE);
    case END_LF:
        return want_byte(c, b, '\n', ENDED);
    default:
        return trailer_byte(c, b);
    }
}

static bool in_trailer(const struct http1_chunked *c)
{
    return c->state >= TRAILER_START && c->state <= TRAILER_LF;
}

static int take_data(struct http1_chunked *c, const char *p, size_t n, struct slice *ret_piece)
{
    size_t bytes = (size_t)MIN((uint64_t)n, c->left);
    c->left -= bytes;
    c->data_bytes += bytes;
    if (c->left == 0)
        c->state = DATA_CR;
    *ret_piece = (struct slice){ p, bytes };
    return HTTP1_CHUNKED_DATA;
}

int http1_chunked_feed(struct http1_chunked *c, const char *buf, size_t n, size_t *ret_used,
                       struct slice *ret_piece)
{
    assert(c->state < ENDED);
    const char *trailer = NULL;
    size_t i = 0;
    while (i < n && c->state != DATA) {
        if (!trailer && in_trailer(c) && !(c->state == TRAILER_START && buf[i] == '\r'))
            trailer = buf + i;
        if (trailer && c->state == TRAILER_START && buf[i] == '\r')
            break; /* report the lines before the end */
        int rc = step(c, buf[i]);
        if (rc < 0) {
            *ret_used = i;
            return rc;
        }
        i++;
        if (c->state == ENDED) {
            *ret_used = i;
            return HTTP1_CHUNKED_END;
        }
    }
    if (trailer) {
        *ret_piece = (struct slice){ trailer, (size_t)(buf + i - trailer) };
        *ret_used = i;
        return HTTP1_CHUNKED_TRAILER;
    }
    if (i == n) {
        *ret_used = n;
        return HTTP1_CHUNKED_MORE;
    }
    int event = take_data(c, buf + i, n - i, ret_piece);
    *ret_used = i + ret_piece->n;
    return event;
}

int http1_chunked_skip(struct http1_chunked *c, const char *buf, size_t n, size_t *ret_used)
{
    size_t used = 0;
    int event;
    do {
        size_t step_bytes;
        struct slice piece;
        event = http1_chunked_feed(c, buf + used, n - used, &step_bytes, &piece);
        used += step_bytes;
    } while (event == HTTP1_CHUNKED_DATA || event == HTTP1_CHUNKED_TRAILER);
    *ret_used = used;
    return event;
}
