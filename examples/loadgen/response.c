/* Follows a response to its end; keeps nothing of it but the status. */
#include "response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    PHASE_STATUS,
    PHASE_HEADER,
    PHASE_SIZED,
    PHASE_CHUNK_SIZE,
    PHASE_CHUNK,
    PHASE_CHUNK_END,
    PHASE_TRAILER,
    PHASE_UNTIL_CLOSE,
    PHASE_DONE
};

void response_clear(struct response *r)
{
    r->phase = PHASE_STATUS;
    r->code = 0;
    r->close = r->chunked = r->sized = false;
    r->left = 0;
    r->line_bytes = 0;
}

bool response_begun(const struct response *r)
{
    return r->phase != PHASE_STATUS || r->line_bytes > 0;
}

static int status_line(struct response *r)
{
    if (strncmp(r->line, "HTTP/1.", 7) != 0 || strlen(r->line) < 12)
        return -1;
    r->code = (int)strtol(r->line + 9, NULL, 10);
    r->phase = PHASE_HEADER;
    return r->code >= 100 && r->code < 600 ? 0 : -1;
}

/* The empty line: what follows? */
static int head_done(struct response *r)
{
    if (r->code < 200)
        r->phase = PHASE_STATUS;
    else if (r->code == 204 || r->code == 304)
        r->phase = PHASE_DONE;
    else if (r->chunked)
        r->phase = PHASE_CHUNK_SIZE;
    else if (r->sized)
        r->phase = r->left > 0 ? PHASE_SIZED : PHASE_DONE;
    else
        r->phase = PHASE_UNTIL_CLOSE;
    return 0;
}

static int header_line(struct response *r)
{
    const char *l = r->line;
    if (l[0] == 0)
        return head_done(r);
    if (strncasecmp(l, "content-length:", 15) == 0) {
        r->sized = true;
        r->left = strtoull(l + 15, NULL, 10);
    } else if (strncasecmp(l, "transfer-encoding:", 18) == 0) {
        r->chunked = strcasestr(l, "chunked") != NULL;
    } else if (strncasecmp(l, "connection:", 11) == 0) {
        r->close = strcasestr(l, "close") != NULL;
    }
    return 0;
}

static int size_line(struct response *r)
{
    char *end;
    r->left = strtoull(r->line, &end, 16);
    if (end == r->line)
        return -1;
    r->phase = r->left > 0 ? PHASE_CHUNK : PHASE_TRAILER;
    return 0;
}

static int take_line(struct response *r)
{
    switch (r->phase) {
    case PHASE_STATUS:
        return status_line(r);
    case PHASE_HEADER:
        return header_line(r);
    case PHASE_CHUNK_SIZE:
        return size_line(r);
    case PHASE_CHUNK_END:
        r->phase = PHASE_CHUNK_SIZE;
        return r->line[0] ? -1 : 0;
    default: /* PHASE_TRAILER */
        if (r->line[0] == 0)
            r->phase = PHASE_DONE;
        return 0;
    }
}

/* Bytes up to the end of a line; returns how many were used, or -1. */
static long feed_line(struct response *r, const char *data, size_t bytes)
{
    const char *end = memchr(data, '\n', bytes);
    size_t n = end ? (size_t)(end - data) : bytes;
    if (r->line_bytes + n >= RESPONSE_LINE_MAX)
        return -1;
    memcpy(r->line + r->line_bytes, data, n);
    r->line_bytes += n;
    if (!end)
        return (long)n;
    if (r->line_bytes > 0 && r->line[r->line_bytes - 1] == '\r')
        r->line_bytes--;
    r->line[r->line_bytes] = 0;
    r->line_bytes = 0;
    return take_line(r) < 0 ? -1 : (long)n + 1;
}

static size_t feed_data(struct response *r, size_t bytes)
{
    if (r->phase == PHASE_UNTIL_CLOSE)
        return bytes;
    size_t n = bytes < r->left ? bytes : (size_t)r->left;
    r->left -= n;
    if (r->left == 0)
        r->phase = r->phase == PHASE_CHUNK ? PHASE_CHUNK_END : PHASE_DONE;
    return n;
}

int response_feed(struct response *r, const char *data, size_t bytes)
{
    while (bytes > 0 && r->phase != PHASE_DONE) {
        bool body =
            r->phase == PHASE_SIZED || r->phase == PHASE_CHUNK || r->phase == PHASE_UNTIL_CLOSE;
        long n = body ? (long)feed_data(r, bytes) : feed_line(r, data, bytes);
        if (n < 0)
            return -1;
        data += n;
        bytes -= (size_t)n;
    }
    if (r->phase != PHASE_DONE)
        return 0;
    return bytes > 0 ? -1 : 1; /* nobody asked for more */
}

int response_end(const struct response *r)
{
    return r->phase == PHASE_UNTIL_CLOSE ? 1 : -1;
}
