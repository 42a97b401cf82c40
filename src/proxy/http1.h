/* HTTP/1.1 message heads and the chunked coding (RFC 9110, RFC 9112), read strictly and without
 * allocation: every slice points into the caller's buffer and lives as long as its bytes stay put.
 * What RFC 9112 calls an error is one here; nothing is accepted that two parsers could read in two
 * ways. This module decides nothing about connections: it only says what the bytes mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define HTTP1_HEADERS_MAX 256 /* what an array for the parser needs at most */

enum http1_method {
    HTTP1_OTHER, /* a valid token that is none of the following */
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_DELETE,
    HTTP1_CONNECT,
    HTTP1_OPTIONS,
    HTTP1_TRACE,
    HTTP1_PATCH,
};

/* The fields that plimsoll treats in some way; all others are HTTP1_FIELD_OTHER. */
enum http1_field {
    HTTP1_FIELD_OTHER,
    HTTP1_FIELD_TE,
    HTTP1_FIELD_VIA,
    HTTP1_FIELD_HOST,
    HTTP1_FIELD_EXPECT,
    HTTP1_FIELD_UPGRADE,
    HTTP1_FIELD_TRAILER,
    HTTP1_FIELD_FORWARDED,
    HTTP1_FIELD_CONNECTION,
    HTTP1_FIELD_KEEP_ALIVE,
    HTTP1_FIELD_X_REQUEST_ID,
    HTTP1_FIELD_CONTENT_LENGTH,
    HTTP1_FIELD_HTTP2_SETTINGS,
    HTTP1_FIELD_X_FORWARDED_FOR,
    HTTP1_FIELD_PROXY_CONNECTION,
    HTTP1_FIELD_X_FORWARDED_HOST,
    HTTP1_FIELD_X_FORWARDED_PROTO,
    HTTP1_FIELD_TRANSFER_ENCODING,
    HTTP1_FIELD_PROXY_AUTHENTICATE,
    HTTP1_FIELD_PROXY_AUTHORIZATION,
    HTTP1_FIELD_COUNT,
};

struct http1_header {
    struct slice name, value; /* the value without white space around it */
    enum http1_field field;
};

enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH,  /* content_length bytes, at least 1 */
    HTTP1_BODY_CHUNKED, /* see http1_chunked_feed() */
    HTTP1_BODY_CLOSE,   /* responses only: until the connection closes */
};

struct http1_limits {
    size_t head_bytes_max;   /* start line, fields and the blank line: 431 */
    size_t target_bytes_max; /* 414 */
    size_t headers_max; /* entries in the headers array, <= HTTP1_HEADERS_MAX is sensible: 431 */
};

/* Why a message was refused. `text` is a static string for logs and error bodies. */
struct http1_error {
    int status; /* requests: 400, 414, 417, 431, 501, 505; responses: always 502 */
    const char *text;
};

/* What request and response heads have in common. `headers` is the caller's array. */
struct http1_fields {
    struct http1_header *headers;
    size_t count;
    uint32_t seen;          /* BIT(field) for every known field that occurs */
    int64_t content_length; /* -1: none */
    bool chunked;
    bool connection_close, connection_keep_alive, connection_upgrade; /* named in Connection */
    bool connection_other; /* Connection names something else: those fields are hop-by-hop too */
    bool te_trailers;
    struct slice upgrade_value; /* the first Upgrade field; empty: none */
};

struct http1_request {
    struct http1_fields fields;
    enum http1_method method;
    struct slice method_text;
    struct slice target; /* as it was sent */
    /* Path and query as they go to the instance, "*" included. Starts with '?', or is empty, when
     * an absolute-form target had no path: the writer then puts '/' in front. */
    struct slice origin;
    struct slice path; /* `origin` without the query, "/" where that is empty; empty: CONNECT */
    struct slice host; /* with port; from an absolute-form target, else from Host; empty: none */
    int minor;         /* 0 or 1: HTTP/1.0 or HTTP/1.1 and above */
    enum http1_body body;
    bool keep_alive;
    bool expect_continue; /* HTTP/1.1 with a body only */
    struct slice upgrade; /* the protocol asked for, when Connection says upgrade; empty: none.
                             Never h2c, which this proxy does not speak. */
    size_t head_bytes;    /* what to skip to reach the body */
};

struct http1_response {
    struct http1_fields fields;
    int status; /* 100..599 */
    struct slice reason;
    int minor;
    enum http1_body body; /* given the request's method */
    bool keep_alive;      /* the connection may carry another request after the body */
    struct slice upgrade; /* status 101 with Connection: upgrade; empty: none */
    size_t head_bytes;
};

#define HTTP1_MORE 1

/* Parse the head at the start of buf[0..n). Returns 0 when it is whole and `ret` filled in,
 * HTTP1_MORE when bytes are missing, -EBADMSG with `ret_error` filled in when it is refused.
 * `*scanned` is 0 for a new message and is then carried, untouched, from call to call as more bytes
 * arrive behind the old ones (which may move, as a whole): a head that trickles in is not parsed
 * from its start each time. `headers` has room for limits->headers_max entries. On HTTP1_MORE and
 * on errors `ret` holds rubbish, save that on errors method_text, target and minor are valid or
 * zero. */
int http1_request_parse(const char *buf, size_t n, size_t *scanned,
                        const struct http1_limits *limits, struct http1_header *headers,
                        struct http1_request *ret, struct http1_error *ret_error);

/* As above for an instance's response to a request with `method`; `asked_upgrade` when that request
 * carried Upgrade (a 101 that nobody asked for is an error). 1xx heads other than 101 come back
 * with body NONE, and the final head follows. */
int http1_response_parse(const char *buf, size_t n, size_t *scanned,
                         const struct http1_limits *limits, enum http1_method method,
                         bool asked_upgrade, struct http1_header *headers,
                         struct http1_response *ret, struct http1_error *ret_error);

/* The first field with this name (a known one), or NULL. */
const struct http1_header *http1_find(const struct http1_fields *f, enum http1_field field);
/* The same by name, ASCII case ignored. */
const struct http1_header *http1_find_name(const struct http1_fields *f, struct slice name);

/* GET, HEAD, OPTIONS, TRACE, PUT, DELETE (RFC 9110, 9.2.2). */
bool http1_method_idempotent(enum http1_method method);

/* "example.com", "example.com:80", "[::1]:8080"; not empty, no user part. */
bool http1_host_valid(struct slice host);
/* The host without its port, brackets kept. */
struct slice http1_host_name(struct slice host);

/* The next element of a comma-separated list, white space trimmed, empty elements skipped; false at
 * the end. `*rest` starts as the whole value. Quoted strings are not understood. */
bool http1_list_next(struct slice *rest, struct slice *ret_item);

/* The chunked coding as a state machine over bytes that come in any pieces. It serves both ways of
 * use: pass the bytes it has used on as they are, or pick the data out. */
struct http1_chunked {
    uint8_t state;
    uint8_t digits;
    uint64_t left;       /* of the current chunk's data; while reading a size: the size so far */
    uint64_t data_bytes; /* payload reported so far */
    uint32_t extension_debt; /* bytes of extensions not outweighed by data */
    uint32_t trailer_bytes;
    uint32_t trailer_bytes_max;
    const char *error_text; /* static; set when feeding returned -EBADMSG */
};

enum http1_chunked_event {
    HTTP1_CHUNKED_MORE,    /* all n bytes used; more are needed */
    HTTP1_CHUNKED_DATA,    /* ret_piece is payload */
    HTTP1_CHUNKED_TRAILER, /* ret_piece is one raw piece of the trailer section, line ends included
                            */
    HTTP1_CHUNKED_END,     /* the body ends after *ret_used bytes */
};

void http1_chunked_init(struct http1_chunked *c, uint32_t trailer_bytes_max);
/* Read up to the next event (enum http1_chunked_event). *ret_used bytes at buf are done with, those
 * of the piece included; call again with the rest. -EBADMSG: refuse, close; *ret_used then counts
 * the good bytes. After END or an error it must not be fed again. */
int http1_chunked_feed(struct http1_chunked *c, const char *buf, size_t n, size_t *ret_used,
                       struct slice *ret_piece);
/* Use up as much as belongs to the body: HTTP1_CHUNKED_MORE (all of n does) or HTTP1_CHUNKED_END;
 * -EBADMSG. For passing a body through unchanged. */
int http1_chunked_skip(struct http1_chunked *c, const char *buf, size_t n, size_t *ret_used);
