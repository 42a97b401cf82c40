/* Rewritten heads, compared as whole texts. Every one is also written into every shorter buffer,
 * which must be refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "proxy/headers.h"

static const struct http1_limits limits = {
    .head_bytes_max = 4096,
    .target_bytes_max = 1024,
    .headers_max = 32,
};

static struct http1_header headers[32];

static void parse_request(const char *text, struct http1_request *ret)
{
    size_t scanned = 0;
    struct http1_error error;
    assert_int_equal(
        http1_request_parse(text, strlen(text), &scanned, &limits, headers, ret, &error), 0);
}

static void parse_response(const char *text, enum http1_method method, struct http1_response *ret)
{
    size_t scanned = 0;
    struct http1_error error;
    assert_int_equal(http1_response_parse(text, strlen(text), &scanned, &limits, method, true,
                                          headers, ret, &error),
                     0);
}

static void expect_request(const struct headers_request *h, const char *expected)
{
    char buf[2048] = { 0 };
    int n = headers_write_request(buf, sizeof(buf), h);
    assert_string_equal(buf, expected);
    assert_int_equal(n, strlen(expected));
    for (int cap = 0; cap < n; cap++) {
        char *small = malloc((size_t)cap + 1);
        assert_int_equal(headers_write_request(small, (size_t)cap, h), -ENOBUFS);
        free(small);
    }
}

static void expect_response(const struct headers_response *h, const char *expected)
{
    char buf[2048] = { 0 };
    int n = headers_write_response(buf, sizeof(buf), h);
    assert_string_equal(buf, expected);
    assert_int_equal(n, strlen(expected));
    for (int cap = 0; cap < n; cap++) {
        char *small = malloc((size_t)cap + 1);
        assert_int_equal(headers_write_response(small, (size_t)cap, h), -ENOBUFS);
        free(small);
    }
}

struct request_case {
    const char *in;
    struct headers_request h;
    const char *out;
};

#define CLIENT .client = { "192.0.2.1", 9 }, .request_id = { "id", 2 }
#define ADDED(host, via)                                                                     \
    "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: " host       \
    "\r\nForwarded: for=192.0.2.1;host=" host ";proto=http\r\nX-Request-Id: id\r\nVia: " via \
    " plimsoll\r\n"

static const struct request_case requests[] = {
    { "GET /a?b HTTP/1.1\r\nUser-Agent: x\r\nHost: h.example\r\nAccept:*/*\r\nCookie: \t c "
      "\r\n\r\n",
      { CLIENT },
      "GET /a?b HTTP/1.1\r\nHost: h.example\r\nUser-Agent: x\r\nAccept:*/*\r\nCookie: \t "
      "c\r\n" ADDED("h.example", "1.1") "\r\n" },
    /* hop-by-hop fields, and those that Connection names; Host and Content-Length stay */
    { "POST / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine, Host, content-length\r\n"
      "Keep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTE: gzip\r\n"
      "Upgrade: h2c\r\nHTTP2-Settings: x\r\nx-mine: 1\r\nX-Mine2: 2\r\nContent-Length: 3\r\n\r\n",
      { CLIENT },
      "POST / HTTP/1.1\r\nHost: h\r\nX-Mine2: 2\r\nContent-Length: 3\r\n" ADDED("h",
                                                                                "1.1") "\r\n" },
    { "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
      "Connection: TE\r\nTrailer: x\r\n\r\n",
      { CLIENT },
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n" ADDED(
          "h", "1.1") "TE: trailers\r\nConnection: TE\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
      { CLIENT, .close = true },
      "GET / HTTP/1.1\r\nHost: h\r\n" ADDED("h", "1.1") "Connection: close\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: x\r\n\r\n",
      { CLIENT },
      "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: x\r\n" ADDED(
          "h", "1.1") "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
    /* what a stranger says about where the request comes from is not passed on */
    { "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
      "X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nx_forwarded_for: 6\r\nForwarded: for=6\r\n"
      "X-Request-Id: evil\r\nVia: 1.1 other\r\n\r\n",
      { CLIENT },
      "GET / HTTP/1.1\r\nHost: h\r\n" ADDED("h", "1.1") "\r\n" },
    /* what a trusted proxy says is continued */
    { "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n"
      "X-Forwarded-Host: front\r\nX-Forwarded-Port: 1\r\nForwarded: for=1.1.1.1\r\n"
      "X-Request-Id: id\r\nX-Forwarded-For: 2.2.2.2\r\n\r\n",
      { CLIENT, .trusted = true },
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: front\r\n"
      "X-Forwarded-Port: 1\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\n"
      "Forwarded: for=1.1.1.1, for=192.0.2.1;host=h;proto=http\r\nX-Request-Id: id\r\n"
      "Via: 1.1 plimsoll\r\n\r\n" },
    { "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
      { .client = { "2001:db8::1", 11 }, .request_id = { "id", 2 }, .https = true },
      "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX-Forwarded-For: 2001:db8::1\r\n"
      "X-Forwarded-Proto: https\r\nX-Forwarded-Host: [::1]:80\r\n"
      "Forwarded: for=\"[2001:db8::1]\";host=\"[::1]:80\";proto=https\r\nX-Request-Id: id\r\n"
      "Via: 1.1 plimsoll\r\n\r\n" },
    { "GET / HTTP/1.0\r\nX: y\r\n\r\n",
      { .request_id = { "id", 2 }, .host_default = { "shop", 4 } },
      "GET / HTTP/1.1\r\nHost: shop\r\nX: y\r\nX-Forwarded-Proto: http\r\n"
      "Forwarded: for=unknown;proto=http\r\nX-Request-Id: id\r\nVia: 1.0 plimsoll\r\n\r\n" },
    /* absolute-form: its host wins, the path may be missing */
    { "GET http://t?q HTTP/1.1\r\nHost: h\r\n\r\n",
      { CLIENT },
      "GET /?q HTTP/1.1\r\nHost: t\r\n" ADDED("t", "1.1") "\r\n" },
    { "GET http://t HTTP/1.1\r\nHost: h\r\n\r\n",
      { CLIENT },
      "GET / HTTP/1.1\r\nHost: t\r\n" ADDED("t", "1.1") "\r\n" },
    { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
      { CLIENT },
      "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n" ADDED(
          "h", "1.1") "\r\n" },
    { "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
      { CLIENT, .drop_expect = true },
      "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n" ADDED("h", "1.1") "\r\n" },
};

static void rewrites_requests(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct http1_request r;
        struct headers_request h = requests[i].h;
        parse_request(requests[i].in, &r);
        h.request = &r;
        expect_request(&h, requests[i].out);
    }
}

struct response_case {
    const char *in;
    enum http1_method method;
    struct headers_response h;
    const char *out;
};

#define VIA "Via: 1.1 plimsoll\r\n"

static const struct response_case responses[] = {
    { "HTTP/1.1 200 OK\r\nServer: s\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n"
      "X-Hop: 1\r\nUpgrade: h2\r\nContent-Length: 5\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1, .keep_alive = true },
      "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n" VIA "\r\n" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1 },
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" VIA "Connection: close\r\n\r\n" },
    { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 0, .keep_alive = true },
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" VIA "Connection: keep-alive\r\n\r\n" },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1, .keep_alive = true },
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n" VIA "\r\n" },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 0, .dechunked = true },
      "HTTP/1.1 200 OK\r\n" VIA "Connection: close\r\n\r\n" },
    { "HTTP/1.0 200\r\nX-Request-Id: theirs\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1, .keep_alive = true, .chunk = true, .request_id = { "ours", 4 } },
      "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\nX-Request-Id: ours\r\n"
      "Via: 1.0 plimsoll\r\n\r\n" },
    { "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nTransfer-Coding: x\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1, .keep_alive = true, .chunk = true },
      "HTTP/1.1 204 No Content\r\nTransfer-Coding: x\r\n" VIA "\r\n" },
    { "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1, .keep_alive = true },
      "HTTP/1.1 304 x\r\nContent-Length: 5\r\n" VIA "\r\n" },
    { "HTTP/1.1 100 Continue\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1 },
      "HTTP/1.1 100 Continue\r\n" VIA "\r\n" },
    { "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1 },
      "HTTP/1.1 101 x\r\n" VIA "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" },
    { "HTTP/1.1 426 x\r\nUpgrade: a\r\nContent-Length: 0\r\n\r\n",
      HTTP1_GET,
      { .client_minor = 1 },
      "HTTP/1.1 426 x\r\nContent-Length: 0\r\n" VIA
      "Upgrade: a\r\nConnection: close, Upgrade\r\n\r\n" },
};

static void rewrites_responses(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
        struct http1_response r;
        struct headers_response h = responses[i].h;
        parse_response(responses[i].in, responses[i].method, &r);
        h.response = &r;
        expect_response(&h, responses[i].out);
    }
}

static void chooses_request_ids(void **state)
{
    const uint64_t random[2] = { UINT64_C(0x0123456789abcdef), 0xf };
    const char *made = "0123456789abcdef000000000000000f";
    static const struct {
        const char *text;
        bool trusted;
        const char *id; /* NULL: made here */
    } cases[] = {
        { "GET / HTTP/1.0\r\n\r\n", true, NULL },
        { "GET / HTTP/1.0\r\nX-Request-Id: abc-1\r\n\r\n", true, "abc-1" },
        { "GET / HTTP/1.0\r\nX-Request-Id: abc-1\r\n\r\n", false, NULL },
        { "GET / HTTP/1.0\r\nX-Request-Id: a b\r\n\r\n", true, NULL },
        { "GET / HTTP/1.0\r\nX-Request-Id:\r\n\r\n", true, NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http1_request r;
        char buf[HEADERS_REQUEST_ID_HEX];
        parse_request(cases[i].text, &r);
        struct slice id = headers_request_id(&r, cases[i].trusted, random, buf);
        assert_true(slice_eq(id, slice_of(cases[i].id ? cases[i].id : made)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rewrites_requests),
        cmocka_unit_test(rewrites_responses),
        cmocka_unit_test(chooses_request_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
