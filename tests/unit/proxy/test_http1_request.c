/* Request heads: what is accepted, how it is read, and what is refused with which status. Every
 * case is parsed whole and once more byte by byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "proxy/http1.h"

static const struct http1_limits limits = {
    .head_bytes_max = 512,
    .target_bytes_max = 64,
    .headers_max = 8,
};

struct parsed {
    struct http1_request request;
    struct http1_header headers[8];
    struct http1_error error;
};

static int parse(const char *text, size_t n, struct parsed *ret)
{
    size_t scanned = 0;
    memset(ret, 0, sizeof(*ret));
    return http1_request_parse(text, n, &scanned, &limits, ret->headers, &ret->request,
                               &ret->error);
}

/* The bytes arrive one at a time, each in a block of its own size so that sanitizers see overruns.
 */
static int parse_trickled(const char *text, size_t n, struct parsed *ret)
{
    size_t scanned = 0;
    int rc = HTTP1_MORE;
    for (size_t have = 1; have <= n && rc == HTTP1_MORE; have++) {
        char *copy = malloc(have);
        assert_non_null(copy);
        memcpy(copy, text, have);
        memset(ret, 0, sizeof(*ret));
        rc = http1_request_parse(copy, have, &scanned, &limits, ret->headers, &ret->request,
                                 &ret->error);
        free(copy);
    }
    return rc;
}

static void assert_slice(struct slice s, const char *expected)
{
    assert_int_equal(s.n, strlen(expected));
    if (s.n > 0)
        assert_memory_equal(s.p, expected, s.n);
}

#define H "Host: a\r\n"

static const struct {
    const char *text;
    const char *origin, *path, *host;
    int64_t content_length;
    enum http1_body body;
    bool keep_alive;
} good[] = {
    { "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "/", "/", "a.example", -1, 0, true },
    { "\r\nGET / HTTP/1.1\r\n" H "\r\n", "/", "/", "a", -1, 0, true },
    { "GET /x?y=/z|[1] HTTP/1.1\r\nhOsT:a:80\r\n\r\n", "/x?y=/z|[1]", "/x", "a:80", -1, 0, true },
    { "GET / HTTP/1.1\r\nHost: \t [::1]:8080 \t\r\n\r\n", "/", "/", "[::1]:8080", -1, 0, true },
    { "GET / HTTP/1.0\r\n\r\n", "/", "/", "", -1, 0, false },
    { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "/", "", -1, 0, true },
    { "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "/", "/", "", -1, 0, false },
    { "GET / HTTP/1.1\r\n" H "Connection: foo ,CLOSE\r\n\r\n", "/", "/", "a", -1, 0, false },
    { "GET / HTTP/1.7\r\n" H "\r\n", "/", "/", "a", -1, 0, true },
    { "GET http://b.example:81/p?q HTTP/1.1\r\n" H "\r\n", "/p?q", "/p", "b.example:81", -1, 0,
      true },
    { "GET HTTPS://b HTTP/1.1\r\n" H "\r\n", "", "/", "b", -1, 0, true },
    { "GET http://b?q HTTP/1.1\r\n" H "\r\n", "?q", "/", "b", -1, 0, true },
    { "OPTIONS http://b HTTP/1.1\r\n" H "\r\n", "*", "*", "b", -1, 0, true },
    { "OPTIONS * HTTP/1.1\r\n" H "\r\n", "*", "*", "a", -1, 0, true },
    { "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "b:443", "", "b:443", -1, 0, true },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 12\r\n\r\n", "/", "/", "a", 12, HTTP1_BODY_LENGTH,
      true },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "/", "/", "a", 0, 0, true },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n", "/", "/", "a",
      INT64_MAX, HTTP1_BODY_LENGTH, true },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", "/", "/", "a", -1,
      HTTP1_BODY_CHUNKED, true },
    { "GET / HTTP/1.1\r\n" H "X: a\tb \xc3\xa9\r\nY:\r\n\r\n", "/", "/", "a", -1, 0, true },
};

static void accepts(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct parsed p;
        size_t n = strlen(good[i].text);
        assert_int_equal(parse(good[i].text, n, &p), 0);
        assert_int_equal(p.request.head_bytes, n);
        assert_slice(p.request.origin, good[i].origin);
        assert_slice(p.request.path, good[i].path);
        assert_slice(p.request.host, good[i].host);
        assert_int_equal(p.request.fields.content_length, good[i].content_length);
        assert_int_equal(p.request.body, good[i].body);
        assert_int_equal(p.request.keep_alive, good[i].keep_alive);
        assert_int_equal(parse_trickled(good[i].text, n, &p), 0);
        assert_int_equal(p.request.head_bytes, n);
    }
}

static const struct {
    const char *text;
    int status;
} bad[] = {
    /* the request line */
    { "GET / HTTP/1.1\n" H "\r\n", 400 },
    { "GET / HTTP/1.1\r" H "\r\n", 400 },
    { "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400 },
    { "\nGET / HTTP/1.1\r\n" H "\r\n", 400 },
    { " GET / HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET  / HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET\t/ HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET /  HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET / HTTP/1.1 \r\n" H "\r\n", 400 },
    { "GET / http/1.1\r\n" H "\r\n", 400 },
    { "GET / HTTP/1.10\r\n" H "\r\n", 400 },
    { "GET / HTTP/11\r\n" H "\r\n", 400 },
    { "GET /\r\n" H "\r\n", 400 },
    { "GET / HTTP/2.0\r\n" H "\r\n", 505 },
    { "GET / HTTP/0.9\r\n" H "\r\n", 505 },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
    { "G@T / HTTP/1.1\r\n" H "\r\n", 400 },
    { "G\xc3\xa9T / HTTP/1.1\r\n" H "\r\n", 400 },
    { "AMETHODLONGERTHANANYONEHASEVERREGISTERED / HTTP/1.1\r\n" H "\r\n", 501 },
    /* targets */
    { "GET /a#b HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET /\x01 HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET a HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET * HTTP/1.1\r\n" H "\r\n", 400 },
    { "OPTIONS *a HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET b:443 HTTP/1.1\r\n" H "\r\n", 400 },
    { "CONNECT / HTTP/1.1\r\n" H "\r\n", 400 },
    { "CONNECT b HTTP/1.1\r\n" H "\r\n", 400 },
    { "CONNECT b: HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET ftp://b/ HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET http:///x HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET http://u@b/ HTTP/1.1\r\n" H "\r\n", 400 },
    { "GET http://b HTTP/1.1\r\n\r\n", 400 },
    { "GET "
      "/0123456789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\n\r\n",
      414 },
    /* Host */
    { "GET / HTTP/1.1\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H H "\r\n", 400 },
    { "GET / HTTP/1.0\r\n" H H "\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: [1]\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\nHost: a%4\r\n\r\n", 400 },
    { "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
    /* field lines */
    { "GET / HTTP/1.1\r\n" H "X : y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X\t: y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H ": y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X(: y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\rZ: y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\r\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\r\n z\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\r\n\tz\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n X: y\r\n" H "\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: y\x01y\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "X: 0123456789\x7f\r\n\r\n", 400 },
    { "GET / HTTP/1.1\r\n" H "\n", 400 },
    { "GET / HTTP/1.1\n\n", 400 },
    { "GET / HTTP/1.1\r\n" H "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\n\r\n", 431 },
    /* framing */
    { "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 400 },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
    { "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417 },
};

static void refuses(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct parsed p;
        size_t n = strlen(bad[i].text);
        assert_int_equal(parse(bad[i].text, n, &p), -EBADMSG);
        assert_int_equal(p.error.status, bad[i].status);
        assert_non_null(p.error.text);
        assert_int_equal(parse_trickled(bad[i].text, n, &p), -EBADMSG);
        assert_int_equal(p.error.status, bad[i].status);
    }
}

static void refuses_every_control_byte_in_a_value(void **state)
{
    for (int b = 0; b < 256; b++) {
        for (size_t pad = 0; pad < 10; pad++) {
            char text[80] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            size_t n = strlen(text);
            memset(text + n, 'y', pad + 10);
            text[n + pad] = (char)b;
            n += pad + 10;
            memcpy(text + n, "\r\n\r\n", 4);
            struct parsed p;
            bool fine = b == '\t' || (b >= ' ' && b != 0x7f);
            assert_int_equal(parse(text, n + 4, &p), fine ? 0 : -EBADMSG);
        }
    }
}

static void every_prefix_wants_more(void **state)
{
    static const char text[] = "\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        struct parsed p;
        assert_int_equal(parse(text, n, &p), HTTP1_MORE);
    }
}

static void bounds_the_head(void **state)
{
    char text[600] = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    struct parsed p;
    size_t n = strlen(text);
    memset(text + n, 'y', sizeof(text) - n);
    assert_int_equal(parse(text, 511, &p), HTTP1_MORE);
    assert_int_equal(parse(text, 512, &p), -EBADMSG);
    assert_int_equal(p.error.status, 431);
    assert_int_equal(parse_trickled(text, 600, &p), -EBADMSG);
    assert_int_equal(p.error.status, 431);
    memcpy(text + 508, "\r\n\r\n", 4); /* the largest head that fits */
    assert_int_equal(parse(text, 600, &p), 0);
    assert_int_equal(p.request.head_bytes, 512);
    memcpy(text + 508, "y\r\n\r\n", 5);
    assert_int_equal(parse(text, 600, &p), -EBADMSG);
}

static void knows_methods(void **state)
{
    static const struct {
        const char *text;
        enum http1_method method;
        bool idempotent;
    } cases[] = {
        { "GET", HTTP1_GET, true },       { "HEAD", HTTP1_HEAD, true },
        { "POST", HTTP1_POST, false },    { "PUT", HTTP1_PUT, true },
        { "DELETE", HTTP1_DELETE, true }, { "OPTIONS", HTTP1_OPTIONS, true },
        { "TRACE", HTTP1_TRACE, true },   { "PATCH", HTTP1_PATCH, false },
        { "get", HTTP1_OTHER, false },    { "PURGE", HTTP1_OTHER, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64] = "";
        strcat(strcpy(text, cases[i].text), " / HTTP/1.1\r\nHost: a\r\n\r\n");
        struct parsed p;
        assert_int_equal(parse(text, strlen(text), &p), 0);
        assert_int_equal(p.request.method, cases[i].method);
        assert_slice(p.request.method_text, cases[i].text);
        assert_int_equal(http1_method_idempotent(p.request.method), cases[i].idempotent);
    }
}

static void reads_upgrade_expect_and_te(void **state)
{
    struct parsed p;
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, TE, X-Mine\r\n"
                       "Upgrade: websocket\r\nTE: gzip, trailers\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_slice(p.request.upgrade, "websocket");
    assert_true(p.request.fields.te_trailers);
    assert_true(p.request.fields.connection_other);
    text = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_slice(p.request.upgrade, "");
    text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_slice(p.request.upgrade, "");
    text = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_true(p.request.expect_continue);
    text = "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_false(p.request.expect_continue);
}

static void finds_fields(void **state)
{
    struct parsed p;
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: 7\r\nCookie: c=1\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), &p), 0);
    assert_slice(http1_find(&p.request.fields, HTTP1_FIELD_X_REQUEST_ID)->value, "7");
    assert_null(http1_find(&p.request.fields, HTTP1_FIELD_VIA));
    assert_slice(http1_find_name(&p.request.fields, SLICE("cookie"))->value, "c=1");
    assert_null(http1_find_name(&p.request.fields, SLICE("cookies")));
}

static void knows_every_field_by_name(void **state)
{
    static const char *const names[HTTP1_FIELD_COUNT] = {
        [HTTP1_FIELD_VIA] = "VIA",
        [HTTP1_FIELD_TRAILER] = "Trailer",
        [HTTP1_FIELD_UPGRADE] = "Upgrade",
        [HTTP1_FIELD_FORWARDED] = "Forwarded",
        [HTTP1_FIELD_KEEP_ALIVE] = "Keep-Alive",
        [HTTP1_FIELD_HTTP2_SETTINGS] = "HTTP2-Settings",
        [HTTP1_FIELD_X_FORWARDED_FOR] = "X-Forwarded-For",
        [HTTP1_FIELD_PROXY_CONNECTION] = "Proxy-Connection",
        [HTTP1_FIELD_X_FORWARDED_HOST] = "X-Forwarded-Host",
        [HTTP1_FIELD_X_FORWARDED_PROTO] = "X-Forwarded-Proto",
        [HTTP1_FIELD_PROXY_AUTHENTICATE] = "Proxy-Authenticate",
        [HTTP1_FIELD_PROXY_AUTHORIZATION] = "Proxy-Authorization",
    };
    for (int f = 0; f < HTTP1_FIELD_COUNT; f++) {
        if (!names[f])
            continue;
        char text[96] = "GET / HTTP/1.1\r\nHost: a\r\n";
        strcat(strcat(text, names[f]), ": 1\r\n\r\n");
        struct parsed p;
        assert_int_equal(parse(text, strlen(text), &p), 0);
        assert_int_equal(p.headers[1].field, f);
    }
}

static void splits_hosts(void **state)
{
    static const struct {
        const char *host, *name;
    } cases[] = {
        { "a", "a" },
        { "a:80", "a" },
        { "[::1]:8080", "[::1]" },
        { "[::1]", "[::1]" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_slice(http1_host_name(slice_of(cases[i].host)), cases[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_every_control_byte_in_a_value),
        cmocka_unit_test(every_prefix_wants_more),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(knows_methods),
        cmocka_unit_test(reads_upgrade_expect_and_te),
        cmocka_unit_test(finds_fields),
        cmocka_unit_test(knows_every_field_by_name),
        cmocka_unit_test(splits_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
