/* Response heads: which body follows, whether the connection may be used again, and what an
 * instance may not say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
    struct http1_response response;
    struct http1_header headers[8];
    struct http1_error error;
};

static int parse(const char *text, size_t n, enum http1_method method, bool asked_upgrade,
                 struct parsed *ret)
{
    size_t scanned = 0;
    memset(ret, 0, sizeof(*ret));
    return http1_response_parse(text, n, &scanned, &limits, method, asked_upgrade, ret->headers,
                                &ret->response, &ret->error);
}

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *text;
    enum http1_method method;
    int status;
    const char *reason;
    enum http1_body body;
    bool keep_alive;
} good[] = {
    { OK "Content-Length: 5\r\n\r\n", HTTP1_GET, 200, "OK", HTTP1_BODY_LENGTH, true },
    { OK "Content-Length: 0\r\n\r\n", HTTP1_GET, 200, "OK", HTTP1_BODY_NONE, true },
    { OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_GET, 200, "OK", HTTP1_BODY_CHUNKED, true },
    { OK "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_GET, 200, "OK",
      HTTP1_BODY_CHUNKED, false },
    { OK "\r\n", HTTP1_GET, 200, "OK", HTTP1_BODY_CLOSE, false },
    { OK "Content-Length: 5\r\n\r\n", HTTP1_HEAD, 200, "OK", HTTP1_BODY_NONE, true },
    { OK "Transfer-Encoding: chunked\r\n\r\n", HTTP1_HEAD, 200, "OK", HTTP1_BODY_NONE, true },
    { OK "\r\n", HTTP1_HEAD, 200, "OK", HTTP1_BODY_NONE, true },
    { OK "\r\n", HTTP1_CONNECT, 200, "OK", HTTP1_BODY_NONE, true },
    { "HTTP/1.1 204 No Content\r\n\r\n", HTTP1_GET, 204, "No Content", HTTP1_BODY_NONE, true },
    { "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", HTTP1_GET, 204, "x", HTTP1_BODY_NONE, true },
    { "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n", HTTP1_GET, 204, "x", HTTP1_BODY_NONE, false },
    { "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_GET, 204, "x", HTTP1_BODY_NONE,
      false },
    { "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", HTTP1_GET, 304, "x", HTTP1_BODY_NONE, true },
    { "HTTP/1.1 100 Continue\r\n\r\n", HTTP1_POST, 100, "Continue", HTTP1_BODY_NONE, true },
    { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP1_GET, 200, "OK", HTTP1_BODY_LENGTH,
      false },
    { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", HTTP1_GET, 200,
      "OK", HTTP1_BODY_LENGTH, true },
    { "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", HTTP1_GET, 404, "", HTTP1_BODY_NONE, true },
    { "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", HTTP1_GET, 404, "", HTTP1_BODY_NONE, true },
};

static void accepts(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct parsed p;
        size_t n = strlen(good[i].text);
        assert_int_equal(parse(good[i].text, n, good[i].method, false, &p), 0);
        assert_int_equal(p.response.head_bytes, n);
        assert_int_equal(p.response.status, good[i].status);
        assert_true(slice_eq(p.response.reason, slice_of(good[i].reason)));
        assert_int_equal(p.response.body, good[i].body);
        assert_int_equal(p.response.keep_alive, good[i].keep_alive);
        for (size_t cut = 0; cut < n; cut++)
            assert_int_equal(parse(good[i].text, cut, good[i].method, false, &p), HTTP1_MORE);
    }
}

static const char *const bad[] = {
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.1 2x0 OK\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "HTTP/1.1 200 OK\n\r\n",
    OK "X: y\n\r\n",
    OK "X : y\r\n\r\n",
    OK " X: y\r\n\r\n",
    OK "X: y\r\n z\r\n\r\n",
    OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    OK "Content-Length: -1\r\n\r\n",
    OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK "Transfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    OK "a:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
};

static void refuses_with_502(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct parsed p;
        assert_int_equal(parse(bad[i], strlen(bad[i]), HTTP1_GET, false, &p), -EBADMSG);
        assert_int_equal(p.error.status, 502);
        assert_non_null(p.error.text);
    }
}

static void takes_an_upgrade_that_was_asked_for(void **state)
{
    struct parsed p;
    const char *text = "HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), HTTP1_GET, true, &p), 0);
    assert_true(slice_eq(p.response.upgrade, SLICE("websocket")));
    text = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), HTTP1_GET, true, &p), -EBADMSG);
}

static void bounds_the_head(void **state)
{
    char text[600] = OK "X: ";
    struct parsed p;
    memset(text + strlen(text), 'y', sizeof(text) - strlen(text));
    assert_int_equal(parse(text, 511, HTTP1_GET, false, &p), HTTP1_MORE);
    assert_int_equal(parse(text, 512, HTTP1_GET, false, &p), -EBADMSG);
    assert_int_equal(p.error.status, 502);
}

static void leaves_the_next_head_alone(void **state)
{
    struct parsed p;
    const char *text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_int_equal(parse(text, strlen(text), HTTP1_GET, false, &p), 0);
    assert_int_equal(p.response.status, 103);
    assert_memory_equal(text + p.response.head_bytes, "HTTP/1.1 200", 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(refuses_with_502),
        cmocka_unit_test(takes_an_upgrade_that_was_asked_for),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(leaves_the_next_head_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
