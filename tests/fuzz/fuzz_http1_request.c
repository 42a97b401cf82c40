/* Request heads. The first byte says in what pieces the rest arrives; pieces or not, the answer is
 * the same, and what the proxy writes from an accepted head is accepted again and means the same.
 */
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
    .target_bytes_max = 300,
    .headers_max = 32,
};

static void check_slice(struct slice s, const char *text, size_t n)
{
    assert(s.n == 0 || (s.p >= text && s.p + s.n <= text + n));
}

static void check_head(const struct http1_request *r, const char *text, size_t n)
{
    assert(r->head_bytes >= 16 && r->head_bytes <= MIN(n, limits.head_bytes_max));
    assert(memcmp(text + r->head_bytes - 4, "\r\n\r\n", 4) == 0);
    assert(r->fields.count <= limits.headers_max);
    assert(r->minor == 0 || r->host.n > 0);
    assert(!r->fields.chunked || r->fields.content_length < 0);
    check_slice(r->method_text, text, n);
    check_slice(r->target, text, n);
    check_slice(r->host, text, n);
    check_slice(r->upgrade, text, n);
    for (size_t i = 0; i < r->fields.count; i++) {
        check_slice(r->fields.headers[i].name, text, n);
        check_slice(r->fields.headers[i].value, text, n);
        assert(r->fields.headers[i].name.n > 0);
    }
}

static void check_rewritten(const struct http1_request *r, bool trusted)
{
    char out[16384];
    struct http1_header headers[32];
    struct http1_request again;
    struct http1_error error;
    size_t scanned = 0;
    struct headers_request h = {
        .request = r,
        .client = SLICE("2001:db8::1"),
        .trusted = trusted,
        .host_default = SLICE("default"),
        .request_id = SLICE("id"),
    };
    int n = headers_write_request(out, sizeof(out), &h);
    assert(n > 0);
    int rc = http1_request_parse(out, (size_t)n, &scanned, &limits_out, headers, &again, &error);
    assert(rc == 0 && again.head_bytes == (size_t)n);
    assert(slice_eq(again.method_text, r->method_text));
    assert(again.body == r->body);
    assert(again.fields.content_length == r->fields.content_length);
    assert(slice_eq(again.host, r->host.n > 0 ? r->host : h.host_default));
    assert(slice_eq(again.upgrade, r->upgrade));
}

static int parse_pieces(const char *text, size_t n, size_t piece_bytes, struct http1_request *ret)
{
    struct http1_header headers[16];
    struct http1_error error;
    size_t scanned = 0;
    int rc = HTTP1_MORE;
    for (size_t have = 0; have < n && rc == HTTP1_MORE;) {
        have = MIN(n, have + piece_bytes);
        char *copy = malloc(have);
        assert(copy);
        memcpy(copy, text, have);
        rc = http1_request_parse(copy, have, &scanned, &limits, headers, ret, &error);
        free(copy);
    }
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 4096)
        return 0;
    const char *text = (const char *)data + 1;
    struct http1_header headers[16];
    struct http1_request whole, pieces;
    struct http1_error error = { 0 };
    size_t scanned = 0;
    int rc = http1_request_parse(text, --n, &scanned, &limits, headers, &whole, &error);
    assert(rc == 0 || rc == HTTP1_MORE || rc == -EBADMSG);
    assert(rc != -EBADMSG || (error.status >= 400 && error.status <= 505 && error.text));
    if (rc == 0) {
        check_head(&whole, text, n);
        check_rewritten(&whole, false);
        check_rewritten(&whole, true);
    }
    int rc_pieces = parse_pieces(text, n, 1 + data[0] % 64u, &pieces);
    assert((rc == 0) == (rc_pieces == 0));
    assert(rc != 0 || (whole.head_bytes == pieces.head_bytes && whole.body == pieces.body));
    return 0;
}
