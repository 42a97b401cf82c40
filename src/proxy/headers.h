/* Message heads as they leave the proxy: hop-by-hop fields out (RFC 9110, 7.6.1), forwarding fields
 * in. Writes into the caller's buffer from a parsed head; allocates nothing, reads no clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proxy/http1.h"

#define HEADERS_REQUEST_ID_MAX 128 /* a longer one from outside is replaced */
#define HEADERS_REQUEST_ID_HEX 32  /* bytes of one made here */

/* This request's id: the incoming X-Request-Id when the peer is trusted and it is sane (1 to
 * HEADERS_REQUEST_ID_MAX visible ASCII bytes), else `random` as 32 hex digits in `buf`. */
struct slice headers_request_id(const struct http1_request *request, bool trusted,
                                const uint64_t random[2], char buf[HEADERS_REQUEST_ID_HEX]);

struct headers_request {
    const struct http1_request *request;
    struct slice client;       /* "192.0.2.1", "2001:db8::1" (no brackets); empty: unknown */
    bool trusted;              /* the peer is in `trust:`: its forwarding fields are continued */
    bool https;                /* how the client reached us */
    bool close;                /* ask the instance to close afterwards; else keep-alive */
    bool drop_expect;          /* the proxy answers Expect: 100-continue itself */
    struct slice host_default; /* Host for an HTTP/1.0 request that has none */
    struct slice request_id;   /* from headers_request_id() */
};

struct headers_response {
    const struct http1_response *response;
    int client_minor;        /* the client's HTTP/1.x */
    bool keep_alive;         /* the client's connection stays open; says so as its version wants */
    bool dechunked;          /* the body goes on without its chunked coding (HTTP/1.0 clients) */
    bool chunk;              /* the body had no length and goes on chunked */
    struct slice request_id; /* added unless empty; replaces the instance's own */
};

/* Both return the number of bytes written (never 0), or -ENOBUFS when they do not fit into cap.
 * A 1xx head is not for an HTTP/1.0 client: the caller keeps it to itself. */
int headers_write_request(char *buf, size_t cap, const struct headers_request *h);
int headers_write_response(char *buf, size_t cap, const struct headers_response *h);
