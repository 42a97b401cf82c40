/* Any bytes as a recorded load: refused with a reason, or taken as rates that can be simulated, at
 * times and with texts that others can read; and the same whether they come whole or in pieces. */
#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/default_policy.h"
#include "sim/policy.h"
#include "sim/run.h"
#include "sim/trace/trace.h"

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

static bool is_utf8(const char *text)
{
    json_t *j = json_string(text);
    bool ok = j != NULL;
    json_decref(j);
    return ok;
}

/* Its first minute, with the peer that keeps a table of the hours of the day. */
static void simulate(const struct trace *t)
{
    static struct default_policy fallback;
    struct run_result result;
    struct err err;
    struct trace minute = *t;
    minute.step_us = MIN(t->step_us, US_PER_MIN);
    minute.count = (size_t)MIN((int64_t)t->count, US_PER_MIN / minute.step_us);
    default_policy_init(&fallback, 20);
    struct run_options o = {
        .trace = &minute,
        .policy = policy_find("hist"),
        .model = &fallback.model,
        .capacity = MAX(trace_peak(&minute) / 5, 1),
        .slots = 20,
    };
    if (run_simulate(&o, &result, &err) == 0)
        run_result_done(&result);
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
    assert(whole.start_wall_us >= 0 && whole.start_wall_us / US_PER_S < INT64_C(253402300800));
    assert(trace_length_us(&whole) <= TRACE_LENGTH_US_MAX);
    assert(is_utf8(whole.name) && is_utf8(whole.note));
    simulate(&whole);
    assert(isfinite(trace_at(&whole, trace_length_us(&whole) / 2)));
    trace_done(&whole);
    trace_done(&pieces);
    return 0;
}
