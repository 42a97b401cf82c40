/* The chunked coding: every body is fed in pieces of every size, and must come out the same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "proxy/http1.h"

#define TRAILER_MAX 64

struct outcome {
    int rc; /* HTTP1_CHUNKED_MORE, HTTP1_CHUNKED_END or -EBADMSG */
    size_t used;
    char data[256], trailer[256];
    size_t data_bytes, trailer_bytes;
};

static void keep(char *to, size_t *n, struct slice piece)
{
    assert_true(piece.n > 0 && *n + piece.n <= 256);
    memcpy(to + *n, piece.p, piece.n);
    *n += piece.n;
}

static struct outcome feed(const char *text, size_t n, size_t piece_bytes)
{
    struct outcome o = { .rc = HTTP1_CHUNKED_MORE };
    struct http1_chunked c;
    http1_chunked_init(&c, TRAILER_MAX);
    while (o.used < n && o.rc != HTTP1_CHUNKED_END && o.rc >= 0) {
        size_t used;
        struct slice piece;
        o.rc = http1_chunked_feed(&c, text + o.used, MIN(piece_bytes, n - o.used), &used, &piece);
        o.used += used;
        if (o.rc == HTTP1_CHUNKED_DATA)
            keep(o.data, &o.data_bytes, piece);
        else if (o.rc == HTTP1_CHUNKED_TRAILER)
            keep(o.trailer, &o.trailer_bytes, piece);
        else
            assert_true(o.rc != HTTP1_CHUNKED_MORE || used > 0);
    }
    if (o.rc < 0)
        assert_non_null(c.error_text);
    else
        assert_int_equal(c.data_bytes, o.data_bytes);
    return o;
}

static const struct {
    const char *text, *data, *trailer;
    size_t beyond; /* bytes that belong to the next message */
} good[] = {
    { "0\r\n\r\n", "", "", 0 },
    { "000\r\n\r\n", "", "", 0 },
    { "5\r\nhello\r\n0\r\n\r\n", "hello", "", 0 },
    { "5\r\nhello\r\n0\r\n\r\nGET /", "hello", "", 5 },
    { "5\r\nhello\r\n1\r\n \r\n0005\r\nworld\r\n0\r\n\r\n", "hello world", "", 0 },
    { "A\r\n\r\n0\r\n\r\n\r\n\r\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n\r", "", 0 },
    { "a;x=y;z=\"q\"\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", "", 0 },
    { "1;\r\nx\r\n0\r\n\r\n", "x", "", 0 },
    { "1\r\nx\r\n0\r\nA: b\r\nC:\td \r\n\r\n", "x", "A: b\r\nC:\td \r\n", 0 },
    { "0\r\nA:\r\n\r\n\r\n", "", "A:\r\n", 2 },
};

static void decodes_in_pieces_of_any_size(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t n = strlen(good[i].text);
        for (size_t piece_bytes = 1; piece_bytes <= n; piece_bytes++) {
            struct outcome o = feed(good[i].text, n, piece_bytes);
            assert_int_equal(o.rc, HTTP1_CHUNKED_END);
            assert_int_equal(o.used, n - good[i].beyond);
            assert_int_equal(o.data_bytes, strlen(good[i].data));
            assert_memory_equal(o.data, good[i].data, o.data_bytes);
            assert_int_equal(o.trailer_bytes, strlen(good[i].trailer));
            assert_memory_equal(o.trailer, good[i].trailer, o.trailer_bytes);
        }
    }
}

static const char *const bad[] = {
    "\r\n",
    "x\r\n",
    "-1\r\n",
    "+1\r\nx",
    " 1\r\nx",
    "1 \r\nx",
    "1 ;x\r\nx",
    "0x1\r\nx",
    "1\nx\r\n0\r\n\r\n",
    "1\rx",
    "1\r\rx",
    "1;a\nx\r\n0\r\n\r\n",
    "1;a\rb\r\nx",
    "1;\x01\r\nx",
    "1\r\nxx",
    "1\r\nx\n",
    "1\r\nx\rx",
    "1\r\nx0\r\n\r\n",
    "10000000000000000\r\n",
    "00000000000000001\r\n",
    "8000000000000000\r\n",
    "ffffffffffffffff\r\n",
    "0\r\nA: b\n\r\n",
    "0\r\nA : b\r\n\r\n",
    "0\r\n: b\r\n\r\n",
    "0\r\nA\r\n\r\n",
    "0\r\nA: b\r\n c\r\n\r\n",
    "0\r\nA: \x01\r\n\r\n",
    "0\r\n\rx",
    "0\r\nA: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
};

static void refuses(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t n = strlen(bad[i]), used = feed(bad[i], n, n).used;
        for (size_t piece_bytes = 1; piece_bytes <= n; piece_bytes++) {
            struct outcome o = feed(bad[i], n, piece_bytes);
            assert_int_equal(o.rc, -EBADMSG);
            assert_int_equal(o.used, used);
        }
    }
}

static void takes_the_largest_size(void **state)
{
    struct outcome o = feed("7ffffffffffffff0\r\nx", 19, 19);
    assert_int_equal(o.rc, HTTP1_CHUNKED_DATA);
    assert_int_equal(o.data_bytes, 1);
}

/* Extensions with no data to speak of are refused after a while, the same ones with data are not.
 */
static void bounds_extensions(void **state)
{
    struct http1_chunked c;
    char small[128] = "1;", large[256] = "40;";
    int rounds = 0, rc = 0;
    size_t used;
    memset(small + 2, 'x', 50);
    strcat(small, "\r\nx\r\n");
    memset(large + 3, 'x', 50);
    strcat(large, "\r\n");
    memset(large + strlen(large), 'd', 64);
    strcat(large, "\r\n");
    http1_chunked_init(&c, 0);
    for (; rounds < 1000 && rc == 0; rounds++)
        rc = http1_chunked_skip(&c, small, strlen(small), &used);
    assert_int_equal(rc, -EBADMSG);
    assert_in_range(rounds, 80, 90);
    http1_chunked_init(&c, 0);
    for (rounds = 0; rounds < 1000; rounds++)
        assert_int_equal(http1_chunked_skip(&c, large, strlen(large), &used), HTTP1_CHUNKED_MORE);
    assert_int_equal(c.data_bytes, 64 * 1000);
}

static void skips_to_the_end(void **state)
{
    const char *text = "5\r\nhello\r\n0\r\nA: b\r\n\r\nGET";
    struct http1_chunked c;
    size_t used;
    http1_chunked_init(&c, TRAILER_MAX);
    assert_int_equal(http1_chunked_skip(&c, text, 7, &used), HTTP1_CHUNKED_MORE);
    assert_int_equal(used, 7);
    assert_int_equal(http1_chunked_skip(&c, text + 7, strlen(text) - 7, &used), HTTP1_CHUNKED_END);
    assert_string_equal(text + 7 + used, "GET");
}

static void feeding_nothing_changes_nothing(void **state)
{
    struct http1_chunked c;
    size_t used = 9;
    struct slice piece;
    http1_chunked_init(&c, TRAILER_MAX);
    assert_int_equal(http1_chunked_feed(&c, "", 0, &used, &piece), HTTP1_CHUNKED_MORE);
    assert_int_equal(used, 0);
    assert_int_equal(http1_chunked_feed(&c, "5\r\n", 3, &used, &piece), HTTP1_CHUNKED_MORE);
    assert_int_equal(used, 3);
    assert_int_equal(http1_chunked_feed(&c, "", 0, &used, &piece), HTTP1_CHUNKED_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_in_pieces_of_any_size),
        cmocka_unit_test(refuses),
        cmocka_unit_test(takes_the_largest_size),
        cmocka_unit_test(bounds_extensions),
        cmocka_unit_test(skips_to_the_end),
        cmocka_unit_test(feeding_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
