/* The chunked coding: the first byte says in what pieces the rest arrives. Whatever the pieces, the
 * same bytes are used, the same data comes out, and skipping agrees with reading. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "proxy/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define TRAILER_MAX 256

struct outcome {
    int rc;
    size_t used;
    uint64_t data_bytes, data_hash, trailer_bytes;
};

static struct outcome read_all(const char *text, size_t n, size_t piece_bytes)
{
    struct outcome o = { .rc = HTTP1_CHUNKED_MORE };
    struct http1_chunked c;
    http1_chunked_init(&c, TRAILER_MAX);
    while (o.used < n && o.rc >= 0 && o.rc != HTTP1_CHUNKED_END) {
        struct slice piece = { NULL, 0 };
        size_t have = MIN(piece_bytes, n - o.used), used = 0;
        o.rc = http1_chunked_feed(&c, text + o.used, have, &used, &piece);
        assert(used <= have);
        if (o.rc == HTTP1_CHUNKED_DATA || o.rc == HTTP1_CHUNKED_TRAILER)
            assert(piece.n > 0 && piece.p + piece.n == text + o.used + used);
        else if (o.rc == HTTP1_CHUNKED_MORE)
            assert(used == have);
        if (o.rc == HTTP1_CHUNKED_DATA)
            for (size_t i = 0; i < piece.n; i++)
                o.data_hash = (o.data_hash ^ (uint8_t)piece.p[i]) * UINT64_C(0x100000001b3);
        o.data_bytes += o.rc == HTTP1_CHUNKED_DATA ? piece.n : 0;
        o.trailer_bytes += o.rc == HTTP1_CHUNKED_TRAILER ? piece.n : 0;
        o.used += used;
    }
    assert(o.rc >= 0 || c.error_text);
    assert(c.data_bytes == o.data_bytes && o.trailer_bytes <= TRAILER_MAX);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2 || n > 8192)
        return 0;
    char *text = malloc(--n);
    assert(text);
    memcpy(text, data + 1, n);
    struct outcome whole = read_all(text, n, n), pieces = read_all(text, n, 1 + data[0] % 32u);
    assert(whole.used == pieces.used && whole.data_hash == pieces.data_hash);
    assert(whole.data_bytes == pieces.data_bytes && (whole.rc < 0) == (pieces.rc < 0));
    assert(whole.rc < 0 || whole.trailer_bytes == pieces.trailer_bytes);
    assert((whole.rc == HTTP1_CHUNKED_END) == (pieces.rc == HTTP1_CHUNKED_END));

    struct http1_chunked c;
    size_t used;
    http1_chunked_init(&c, TRAILER_MAX);
    int rc = http1_chunked_skip(&c, text, n, &used);
    assert(used == whole.used && (rc < 0) == (whole.rc < 0));
    assert((rc == HTTP1_CHUNKED_END) == (whole.rc == HTTP1_CHUNKED_END));
    free(text);
    return 0;
}
