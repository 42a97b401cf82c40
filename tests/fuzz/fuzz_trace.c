/* Any bytes as a recorded load: refused with a reason, or taken as rates that can be simulated; and
 * the same whether they come whole or in pieces. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const uint8_t *data, size_t size, size_t piece, struct trace *ret,
                    uint64_t *ret_bad)
{
    struct err err = { 0 };
    struct trace_reader *r = trace_reader_new("fuzz");
    int rc = 0;
    assert(r);
    for (size_t at = 0; rc == 0 && at < size; at += piece)
        rc = trace_reader_feed(r, (const char *)data + at, MIN(piece, size - at), &err);
    if (rc == 0)
        rc = trace_reader_end(r, ret, &err);
    assert(rc == 0 || err.text[0] != '\0');
    const struct trace_losses *l = trace_reader_losses(r);
    for (size_t n = 0; n < MIN(l->said, TRACE_SAID_MAX); n++)
        assert(l->first[n].text[0] != '\0');
    *ret_bad = l->bad_rows;
    trace_reader_free(r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace whole, pieces;
    uint64_t bad_whole, bad_pieces;
    int rc = read_all(data, size, MAX(size, 1), &whole, &bad_whole);
    int again = read_all(data, size, 3, &pieces, &bad_pieces);
    assert(rc == again && bad_whole == bad_pieces);
    if (rc < 0)
        return 0;
    assert(whole.count > 0 && whole.count == pieces.count && whole.step_us > 0);
    assert(memcmp(whole.rates, pieces.rates, whole.count * sizeof(double)) == 0);
    for (size_t n = 0; n < whole.count; n++)
        assert(isfinite(whole.rates[n]) && whole.rates[n] >= 0);
    assert(isfinite(trace_at(&whole, trace_length_us(&whole) / 2)));
    trace_done(&whole);
    trace_done(&pieces);
    return 0;
}
