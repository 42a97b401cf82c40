/* Reading loads in three forms, whole and in pieces of every size; and what can be done with one.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace.h"

/* Feeds `text` in pieces of `piece` bytes. The reader is the caller's to free, with its bad rows.
 */
static int read_text(const char *text, size_t piece, struct trace *ret,
                     struct trace_reader **ret_reader, struct err *err)
{
    struct trace_reader *r = trace_reader_new("test");
    size_t bytes = strlen(text);
    int rc = 0;
    assert_non_null(r);
    for (size_t at = 0; rc == 0 && at < bytes; at += piece)
        rc = trace_reader_feed(r, text + at, MIN(piece, bytes - at), err);
    if (rc == 0)
        rc = trace_reader_end(r, ret, err);
    *ret_reader = r;
    return rc;
}

#define RATES_MAX 12

static const struct {
    const char *about, *text;
    int64_t step_us, start_wall_us;
    size_t count, bad;
    double rates[RATES_MAX];
} good[] = {
    { "as traces/ has them",
      "# source=somewhere start=1998-06-08 00:00:00 note=x\nt_seconds,rps\n0,1\n60,2.5\n120,0\n",
      60 * US_PER_S,
      INT64_C(897264000) * US_PER_S,
      3,
      0,
      { 1, 2.5, 0 } },
    { "other names, other columns, quotes, CR, no last newline",
      "host,\"timestamp\",requests\r\na,1500000000,60\r\na,1500000060,120",
      60 * US_PER_S,
      INT64_C(1500000000) * US_PER_S,
      2,
      0,
      { 1, 2 } },
    { "milliseconds since 1970, steps of half a second",
      "time,load\n1500000000000,1\n1500000000500,2\n",
      500 * US_PER_MS,
      INT64_C(1500000000) * US_PER_S,
      2,
      0,
      { 1, 2 } },
    { "ISO 8601 with a zone",
      "time,value\n2024-02-29T23:59:00+01:00,4\n2024-03-01 00:00:00+0100,8\n",
      60 * US_PER_S,
      INT64_C(1709247540) * US_PER_S,
      2,
      0,
      { 4, 8 } },
    { "bad rows lie on the line between their neighbours, and are told",
      "t,rps\n0,1\n1,x\n2,-3\n3,4\n",
      US_PER_S,
      0,
      4,
      3,
      { 1, 2, 3, 4 } },
    { "rows that do not fit into the steps",
      "t,rps\n0,1\n10,2\n10,3\n5,4\n15,5\n20,6\n30\n",
      10 * US_PER_S,
      0,
      3,
      4,
      { 1, 2, 6 } },
    { "a Prometheus answer, two series",
      "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
      "\"values\":[[1435781430,\"1\"],[1435781445,\"2\"],[1435781475,\"4\"]]},{\"metric\":{},"
      "\"values\":[[1435781430,\"0.5\"],[1435781445,\"NaN\"]]}]}}",
      15 * US_PER_S,
      INT64_C(1435781430) * US_PER_S,
      4,
      1,
      { 1.5, 2, 3, 4 } },
    { "an access log, a little out of order",
      "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326\n"
      "1.2.3.4 - - [10/Oct/2000:13:55:38 -0700] \"GET / HTTP/1.0\" 200 2326 \"-\" \"x\"\n"
      "nonsense\n"
      "1.2.3.4 - frank [10/Oct/2000:20:55:36 +0000] \"GET [a] HTTP/1.0\" 200 2326\n"
      "1.2.3.4 - - [10/Oct/2000:13:55:35 -0700] \"GET / HTTP/1.0\" 200 2326\n"
      "1.2.3.4 - - [10/Oct/2000:11:55:35 -0700] \"GET / HTTP/1.0\" 200 2326\n"
      "1.2.3.4 - - [10/Oct/2010:13:55:35 -0700] \"GET / HTTP/1.0\" 200 2326\n",
      US_PER_S,
      INT64_C(971211335) * US_PER_S,
      4,
      3,
      { 1, 2, 0, 1 } },
};

static void check_good(size_t n, size_t piece)
{
    struct trace t;
    struct trace_reader *r;
    struct err err = { 0 };
    const struct trace_bad *bad;
    size_t kept;
    if (read_text(good[n].text, piece, &t, &r, &err) < 0)
        fail_msg("%s: %s", good[n].about, err.text);
    if (trace_reader_bad(r, &bad, &kept) != good[n].bad)
        fail_msg("%s: %llu bad rows", good[n].about,
                 (unsigned long long)trace_reader_bad(r, &bad, &kept));
    assert_int_equal(kept, good[n].bad);
    for (size_t k = 0; k < kept; k++)
        assert_true(bad[k].line > 0 && bad[k].reason[0] != '\0');
    assert_int_equal(t.step_us, good[n].step_us);
    assert_int_equal(t.start_wall_us, good[n].start_wall_us);
    assert_int_equal(t.count, good[n].count);
    for (size_t k = 0; k < t.count; k++)
        if (fabs(t.rates[k] - good[n].rates[k]) > 1e-9)
            fail_msg("%s: step %zu is %g, not %g", good[n].about, k, t.rates[k], good[n].rates[k]);
    trace_done(&t);
    trace_reader_free(r);
}

static void test_good(void **state)
{
    static const size_t pieces[] = { 1, 2, 7, 64, 100000 };
    for (size_t n = 0; n < ARRAY_LEN(good); n++)
        for (size_t p = 0; p < ARRAY_LEN(pieces); p++)
            check_good(n, pieces[p]);
}

static void test_places(void **state)
{
    struct trace t;
    struct trace_reader *r;
    struct err err = { 0 };
    const struct trace_bad *bad;
    size_t kept;
    assert_int_equal(read_text("# x\n\nt,rps\n0,1\n1,2\n2,many\n", 3, &t, &r, &err), 0);
    assert_int_equal(trace_reader_bad(r, &bad, &kept), 1);
    assert_int_equal(bad[0].line, 6);
    assert_string_equal(bad[0].reason, "\"many\" is no rate");
    assert_string_equal(t.note, "x");
    trace_done(&t);
    trace_reader_free(r);
}

static const struct {
    const char *text, *reason;
} refused[] = {
    { "", "nothing in it" },
    { "\n\n# only a note\n", "nothing in it" },
    { "a,b\n1,2\n", "no header" },
    { "t,rps\n", "no row" },
    { "t,rps\n0,1\n", "one row" },
    { "t,rps\nx,y\n", "no row" },
    { "{", "test:1:" },
    { "{}", "data.result" },
    { "{\"data\":{\"result\":[]}}", "two values" },
    { "{\"data\":{\"result\":[{\"values\":[[0,\"1\"],[0.001,\"1\"],[90000000,\"1\"]]}]}}",
      "more than" },
};

static void test_refused(void **state)
{
    for (size_t n = 0; n < ARRAY_LEN(refused); n++) {
        struct trace t;
        struct trace_reader *r;
        struct err err = { 0 };
        int rc = read_text(refused[n].text, 5, &t, &r, &err);
        if (rc >= 0 || !strstr(err.text, refused[n].reason))
            fail_msg("%s: %d \"%s\"", refused[n].text, rc, err.text);
        trace_reader_free(r);
    }
}

static void test_long_lines_and_many_bad_rows(void **state)
{
    struct trace_reader *r = trace_reader_new("test");
    struct trace t;
    struct err err = { 0 };
    char line[10000];
    const struct trace_bad *bad;
    size_t kept;
    static const char head[] = "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET /";
    memset(line, 'a', sizeof(line));
    memcpy(line, head, sizeof(head) - 1);
    line[sizeof(line) - 1] = '\n';
    for (int n = 0; n < 3; n++)
        assert_int_equal(trace_reader_feed(r, line, sizeof(line), &err), 0);
    for (int n = 0; n < 100; n++)
        assert_int_equal(trace_reader_feed(r, "[]/\n", 4, &err), 0);
    assert_int_equal(trace_reader_end(r, &t, &err), 0);
    assert_float_equal(t.rates[0], 3, 0);
    assert_int_equal(trace_reader_bad(r, &bad, &kept), 100);
    assert_int_equal(kept, TRACE_BAD_MAX);
    trace_done(&t);
    trace_reader_free(r);
}

/* -- what can be done with one -- */

static double ramp[] = { 0, 10, 20, 30, 40, 50 };
static const struct trace ramps = { .step_us = 10 * US_PER_S, .count = 6, .rates = ramp };

static void test_rate_at(void **state)
{
    static const struct {
        double at_s, rate;
    } cases[] = {
        { 0, 0 }, { 5, 0 }, { 10, 5 }, { 15, 10 }, { 17, 12 }, { 55, 50 }, { 59, 50 }, { 900, 50 },
    };
    struct trace_cursor c;
    trace_cursor_init(&c, &ramps);
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        int64_t at_us = (int64_t)(cases[n].at_s * 1e6);
        assert_float_equal(trace_at(&ramps, at_us), cases[n].rate, 1e-9);
        assert_float_equal(trace_cursor_at(&c, at_us), cases[n].rate, 1e-9);
    }
    assert_float_equal(trace_mean(&ramps), 25, 0);
    assert_float_equal(trace_peak(&ramps), 50, 0);
}

static void test_slice_and_resample(void **state)
{
    struct trace part, other;
    assert_int_equal(trace_slice(&ramps, 20 * US_PER_S, 40 * US_PER_S, &part), 0);
    assert_int_equal(part.count, 2);
    assert_float_equal(part.rates[0], 20, 0);
    assert_int_equal(trace_resample(&part, 5 * US_PER_S, &other), 0);
    assert_int_equal(other.count, 4);
    assert_float_equal(other.rates[1], 20, 1e-12);
    trace_done(&other);
    assert_int_equal(trace_resample(&ramps, 25 * US_PER_S, &other), 0);
    assert_int_equal(other.count, 3);
    assert_float_equal(other.rates[0], (0 * 10 + 10 * 10 + 20 * 5) / 25.0, 1e-12);
    assert_float_equal(other.rates[2], 50, 1e-12); /* the last 10 s */
    trace_scale(&other, 2);
    trace_scale_time(&other, 5);
    assert_float_equal(other.rates[2], 100, 1e-12);
    assert_int_equal(other.step_us, 5 * US_PER_S);
    trace_done(&other);
    trace_done(&part);
    assert_int_equal(trace_resample(&ramps, 0, &other), -EINVAL);
    assert_int_equal(trace_resample(&ramps, 1, &other), -E2BIG);
}

/* A hundred times as many people: the rate a hundred times as high, the noise of counting them ten
 * times; a real change stays what it is. */
static void test_grow(void **state)
{
    enum { COUNT = 400 };
    double rates[COUNT];
    struct trace t = { .step_us = US_PER_S, .count = COUNT, .rates = rates };
    struct rng rng;
    rng_init(&rng, 5);
    for (int n = 0; n < COUNT; n++) {
        double rate = n < 200 ? 4 : 400;
        rates[n] = 0;
        for (int k = 0; k < 4000; k++)
            rates[n] += rng_unit(&rng) < rate / 4000;
    }
    double before = 0, after = 0;
    for (int n = 20; n < 180; n++)
        before += (rates[n] - 4) * (rates[n] - 4);
    assert_int_equal(trace_grow(&t, 100), 0);
    for (int n = 20; n < 180; n++)
        after += (rates[n] - 400) * (rates[n] - 400);
    /* In variance: 100 times of Poisson's, and what the filter takes for signal. */
    assert_true(after > before * 50 && after < before * 1000);
    assert_true(rates[199] < 3000 && rates[200] > 35000); /* the step is no noise */
    assert_int_equal(trace_grow(&t, 0.5), 0);
    assert_true(rates[200] > 17500 && rates[200] < 25000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_long_lines_and_many_bad_rows),
        cmocka_unit_test(test_rate_at), cmocka_unit_test(test_slice_and_resample),
        cmocka_unit_test(test_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
