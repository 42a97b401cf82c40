/* What the files of the HTTP/1.1 parser share: character classes, the cursor and the field parser.
 * Private to http1_*.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/http1.h"

enum http1_class_bit {
    HTTP1_TOKEN = 1,  /* tchar, RFC 9110, 5.6.2 */
    HTTP1_VALUE = 2,  /* in a field value: HTAB, SP, VCHAR, obs-text */
    HTTP1_TARGET = 4, /* in a request target */
    HTTP1_HOST = 8,   /* in a host name */
    HTTP1_DIGIT = 16,
    HTTP1_HEX = 32,
};

extern const uint8_t http1_class[256];

static inline bool http1_is(char c, enum http1_class_bit bit)
{
    return http1_class[(uint8_t)c] & bit;
}

/* The bytes still to be read. */
struct http1_cursor {
    const char *p, *end;
};

/* Set the error and return -EBADMSG. */
int http1_refuse(struct http1_error *error, int status, const char *text);

/* CR LF at the cursor: 0 and past it, HTTP1_MORE, or -EBADMSG with 400. */
int http1_line_end(struct http1_cursor *c, struct http1_error *error);

/* Whether a head of which `*scanned` bytes were looked at before is worth a parse: it is new, or
 * the new bytes hold its end or a bare LF. Else *scanned moves on. */
bool http1_worth_parsing(const char *buf, size_t n, size_t *scanned);

/* "HTTP/1.x": 0 and the minor version, 1 for any above; HTTP1_MORE; 400 or 505. */
int http1_version(struct http1_cursor *c, int *ret_minor, struct http1_error *error);

/* The field lines up to and including the blank line. */
int http1_fields_parse(struct http1_cursor *c, const struct http1_limits *limits, int minor,
                       struct http1_fields *f, struct http1_error *error);
