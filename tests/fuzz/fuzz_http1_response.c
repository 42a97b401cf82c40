/* Response heads, for every kind of request: the same answer in pieces, and what the proxy writes
 * from an accepted head is accepted again with the same body. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proxy/headers.h"
#include "proxy/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct http1_limits limits = {
    .head_bytes_max = 2048,
    .target_bytes_max = 256,
    .headers_max = 16,
};

static const struct http1_limits limits_out = {
    .head_bytes_max = 16384,
    .target_bytes_max = 256,
    .headers_max = 32,
};

struct asked {
    enum http1_method method;
    bool upgrade;
    size_t piece_bytes;
};

static void check_rewritten(const struct http1_response *r, const struct asked *asked)
{
    char out[16384];
    struct http1_header headers[32];
    struct http1_response again;
    struct http1_error error;
    size_t scanned = 0;
    struct headers_response h = {
        .response = r,
        .client_minor = 1,
        .keep_alive = true,
        .chunk = r->body == HTTP1_BODY_CLOSE,
        .request_id = SLICE("id"),
    };
    int n = headers_write_response(out, sizeof(out), &h);
    assert(n > 0);
    int rc = http1_response_parse(out, (size_t)n, &scanned, &limits_out, asked->method,
                                  asked->upgrade, headers, &again, &error);
    assert(rc == 0 && again.head_bytes == (size_t)n);
    assert(again.status == r->status && slice_eq(again.reason, r->reason));
    assert(again.body == (h.chunk ? HTTP1_BODY_CHUNKED : r->body));
    assert(again.keep_alive && slice_eq(again.upgrade, r->upgrade));
    assert(r->body != HTTP1_BODY_LENGTH || again.fields.content_length == r->fields.content_length);
}

static int parse_pieces(const char *text, size_t n, const struct asked *asked,
                        struct http1_response *ret)
{
    struct http1_header headers[16];
    struct http1_error error;
    size_t scanned = 0;
    int rc = HTTP1_MORE;
    for (size_t have = 0; have < n && rc == HTTP1_MORE;) {
        have = MIN(n, have + asked->piece_bytes);
        char *copy = malloc(have);
        assert(copy);
        memcpy(copy, text, have);
        rc = http1_response_parse(copy, have, &scanned, &limits, asked->method, asked->upgrade,
                                  headers, ret, &error);
        free(copy);
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3 || n > 4096)
        return 0;
    const struct asked asked = {
        .method = data[0] % (HTTP1_PATCH + 1),
        .upgrade = data[0] & 0x80,
        .piece_bytes = 1 + data[1] % 64u,
    };
    const char *text = (const char *)data + 2;
    struct http1_header headers[16];
    struct http1_response whole, pieces;
    struct http1_error error = { 0 };
    size_t scanned = 0;
    n -= 2;
    int rc = http1_response_parse(text, n, &scanned, &limits, asked.method, asked.upgrade, headers,
                                  &whole, &error);
    assert(rc == 0 || rc == HTTP1_MORE || rc == -EBADMSG);
    assert(rc != -EBADMSG || (error.status == 502 && error.text));
    if (rc == 0) {
        assert(memcmp(text + whole.head_bytes - 4, "\r\n\r\n", 4) == 0);
        check_rewritten(&whole, &asked);
    }
    int rc_pieces = parse_pieces(text, n, &asked, &pieces);
    assert((rc == 0) == (rc_pieces == 0));
    assert(rc != 0 || (whole.head_bytes == pieces.head_bytes && whole.body == pieces.body));
    return 0;
}
