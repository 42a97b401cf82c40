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
#include "sim/trace/trace.h"

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
    size_t count, bad, missing;
    double rates[RATES_MAX];
} good[] = {
    { "as traces/ has them",
      "# source=somewhere start=1998-06-08 00:00:00 note=x\nt_seconds,rps\n0,1\n60,2.5\n120,0\n",
      60 * US_PER_S,
      INT64_C(897264000) * US_PER_S,
      3,
      0,
      0,
      { 1, 2.5, 0 } },
    { "other names, other columns, quotes, CR, no last newline",
      "host,\"timestamp\",requests\r\na,1500000000,60\r\na,1500000060,120",
      60 * US_PER_S,
      INT64_C(1500000000) * US_PER_S,
      2,
      0,
      0,
      { 1, 2 } },
    { "milliseconds since 1970, steps of half a second",
      "time,load\n1500000000000,1\n1500000000500,2\n",
      500 * US_PER_MS,
      INT64_C(1500000000) * US_PER_S,
      2,
      0,
      0,
      { 1, 2 } },
    { "ISO 8601 with a zone",
      "time,value\n2024-02-29T23:59:00+01:00,4\n2024-03-01 00:00:00+0100,8\n",
      60 * US_PER_S,
      INT64_C(1709247540) * US_PER_S,
      2,
      0,
      0,
      { 4, 8 } },
    { "bad rows lie on the line between their neighbours, and are told",
      "t,rps\n0,1\n1,x\n2,-3\n3,4\n",
      US_PER_S,
      0,
      4,
      2,
      0,
      { 1, 2, 3, 4 } },
    { "rows that do not fit into the steps",
      "t,rps\n0,1\n10,2\n10,3\n5,4\n15,5\n20,6\n30\n",
      10 * US_PER_S,
      0,
      3,
      4,
      0,
      { 1, 2, 6 } },
    { "a Prometheus answer, two series",
      "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},"
      "\"values\":[[1435781430,\"1\"],[1435781445,\"2\"],[1435781475,\"4\"]]},{\"metric\":{},"
      "\"values\":[[1435781430,\"0.5\"],[1435781445,\"NaN\"]]}]}}",
      15 * US_PER_S,
      INT64_C(1435781430) * US_PER_S,
      4,
      1,
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
      0,
      { 1, 2, 0, 1 } },
    { "microseconds since 1970",
      "t,rps\n1700000000000000,1\n1700000060000000,2\n",
      60 * US_PER_S,
      INT64_C(1700000000) * US_PER_S,
      2,
      0,
      0,
      { 1, 2 } },
    { "nanoseconds since 1970",
      "t,rps\n1700000000000000000,1\n1700000060000000000,2\n",
      60 * US_PER_S,
      INT64_C(1700000000) * US_PER_S,
      2,
      0,
      0,
      { 1, 2 } },
    { "times that no calendar has",
      "t,rps\n1600000000,1\n1600000001,2\n1e300,3\n-1,4\n2024-02-30,5\n1969-12-31,6\n",
      US_PER_S,
      INT64_C(1600000000) * US_PER_S,
      2,
      4,
      0,
      { 1, 2 } },
    { "a start before 1970 is none",
      "# start=0001-01-01\nt,rps\n0,1\n1,2\n",
      US_PER_S,
      0,
      2,
      0,
      0,
      { 1, 2 } },
    { "the step is what most rows are apart: a bad row between the first two",
      "t,requests\n0,600\noops\n60,600\n120,600\n",
      60 * US_PER_S,
      0,
      3,
      1,
      0,
      { 10, 10, 10 } },
    { "the step is what most rows are apart: a header once more",
      "t,requests\n0,600\nt,requests\n60,600\n120,600\n",
      60 * US_PER_S,
      0,
      3,
      1,
      0,
      { 10, 10, 10 } },
    { "the step is what most rows are apart: a gap after the first row",
      "t,rps\n0,1\n120,3\n180,4\n240,5\n",
      60 * US_PER_S,
      0,
      5,
      0,
      1,
      { 1, 2, 3, 4, 5 } },
    { "a bad row is not missing as well",
      "t,rps\n0,1\n1,2\nx,3\n3,4\n4,5\n7\n7,8\n",
      US_PER_S,
      0,
      8,
      2,
      1,
      { 1, 2, 3, 4, 5, 6, 7, 8 } },
    { "quoted fields",
      "time,name,rps\n0,\"a,5,b\",100\n1,\"a \"\"5\"\", b\" , \"7\"\n2,\"a,100\n3,a,b,4\n",
      US_PER_S,
      0,
      2,
      2,
      0,
      { 100, 7 } },
    { "semicolons, a byte order mark, a title",
      "\xef\xbb\xbfMy load\nt;host;rps\n0;a,b;10\n60;c;11\n",
      60 * US_PER_S,
      0,
      2,
      1,
      0,
      { 10, 11 } },
    { "tabs, and a field that is empty",
      "x\tt\trps\n\t0\t10\n\t1\t11\n",
      US_PER_S,
      0,
      2,
      0,
      0,
      { 10, 11 } },
    { "a date that is far away",
      "t,rps\n0,10\n86400,11\n7776000000,12\n",
      US_PER_DAY,
      0,
      2,
      1,
      0,
      { 10, 11 } },
    { "Prometheus: gaps are each series' own, a second value is bad",
      "{\"data\":{\"resultType\":\"matrix\",\"result\":[{\"values\":[[1000,\"10\"],[1060,\"10\"],"
      "[1120,\"10\"],[1180,\"10\"],[1180,\"10\"]]},{\"values\":[[1000,\"20\"],[1060,\"NaN\"],"
      "[1180,\"20\"]]}]}}",
      60 * US_PER_S,
      1000 * US_PER_S,
      4,
      2,
      1,
      { 30, 30, 30, 30 } },
    { "Prometheus: series that are scraped a little apart",
      "{\"result\":[{\"values\":[[1000,\"1\"],[1060,\"2\"]]},{\"values\":[[1007,\"10\"],[1067,"
      "\"20\"]]},"
      "{\"values\":[[1050,\"100\"],[1110,\"100\"]]}]}",
      60 * US_PER_S,
      1000 * US_PER_S,
      3,
      0,
      0,
      { 11, 122, 100 } },
    { "an access log that is cut at its begin, with brackets, notes and dates that are not",
      "1 +0000] \"GET / HTTP/1.0\" 200 2326\n"
      "[::1] - a[b] [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326\n"
      "# a note\n"
      "[::1] - - [31/Feb/2001:13:55:36 -0700] \"GET / HTTP/1.0\" 200 2326\n"
      "[::1] - - [10/Oct/2000:13:55:37 -0700] \"GET / HTTP/1.0\" 200 2326\n",
      US_PER_S,
      INT64_C(971211336) * US_PER_S,
      2,
      2,
      0,
      { 1, 1 } },
    { "an access log with lines that are days ahead",
      "h - - [10/Oct/2000:13:55:36 -0700] \"\"\n"
      "h - - [20/Oct/2000:13:55:37 -0700] \"\"\n"
      "h - - [20/Oct/2000:13:55:37 -0700] \"\"\n"
      "h - - [24/Oct/2000:13:55:37 -0700] \"\"\n"
      "h - - [10/Oct/2000:13:55:37 -0700] \"\"\n"
      "h - - [12/Oct/2000:13:55:37 -0700] \"\"\n",
      US_PER_S,
      INT64_C(971211336) * US_PER_S,
      2,
      4,
      0,
      { 1, 1 } },
};

static void check_good(size_t n, size_t piece)
{
    struct trace t;
    struct trace_reader *r;
    struct err err = { 0 };
    if (read_text(good[n].text, piece, &t, &r, &err) < 0)
        fail_msg("%s: %s", good[n].about, err.text);
    const struct trace_losses *l = trace_reader_losses(r);
    if (l->bad_rows != good[n].bad || l->missing_steps != good[n].missing)
        fail_msg("%s: %llu bad rows, %llu missing steps", good[n].about,
                 (unsigned long long)l->bad_rows, (unsigned long long)l->missing_steps);
    assert_true(l->said <= TRACE_SAID_MAX);
    for (size_t k = 0; k < l->said; k++)
        assert_true(l->first[k].text[0] != '\0' &&
                    (k == 0 || l->first[k].line >= l->first[k - 1].line));
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

static const struct {
    const char *text;
    uint64_t line;
    const char *said;
} places[] = {
    { "# x\n\nt,rps\n0,1\n1,2\n2,many\n", 6, "\"many\" is no rate" },
    { "t,rps\n0,1\n1,2\n3,2\n", 4, "1 step is missing before this row" },
    { "t,rps\n0,1\n1,2\n4,2\n", 4, "2 steps are missing before this row" },
    { "t,rps\n0,1\n1,2\n1,2\n3\n", 4, "not later than the row before" },
    { "t,rps\n0,1\n1,2\n1e18,2\n", 4, "more than 100000 steps" },
    { "t,rps\n0,1\n1,2\n2.5,2\n", 4, "not a whole" },
    { "t,rps\n0,1\n1,2\n1e30,2\n", 4, "\"1e30\" is no time" },
    { "t,rps\n0,1\n1,2\n2\n", 4, "fewer columns" },
    { "t,rps\n0,1\n1,2\n2,3,4\n", 4, "more columns" },
    { "t,rps\n0,1\n1,2\n2,\"4\n", 4, "a quote that is not closed" },
    { "h [10/Oct/2000:13:55:36 -0700]\nh [10/Oct/2000:13:55:36]\n", 2, "no [day" },
    { "h [10/Oct/2000:13:55:36 -0700]\nh [14/Oct/2000:13:55:36 -0700]\n", 2, "a day later" },
    { "{\"result\":[{\"values\":[[1,\"1\"],[2,\"1\"],[3,\"x\"]]}]}", 0,
      "series 1, value 3: no rate" },
    { "{\"result\":[{\"values\":[[1,\"1\"],[2,\"1\"],[4,\"1\"]]}]}", 0,
      "1 step is missing in series 1" },
};

static void test_places(void **state)
{
    for (size_t n = 0; n < ARRAY_LEN(places); n++) {
        struct trace t;
        struct trace_reader *r;
        struct err err = { 0 };
        if (read_text(places[n].text, 3, &t, &r, &err) < 0)
            fail_msg("%s: %s", places[n].text, err.text);
        const struct trace_losses *l = trace_reader_losses(r);
        if (l->said == 0 || l->first[0].line != places[n].line ||
            !strstr(l->first[0].text, places[n].said))
            fail_msg("%s: %llu: %s", places[n].text, (unsigned long long)l->first[0].line,
                     l->first[0].text);
        trace_done(&t);
        trace_reader_free(r);
    }
}

/* Names and notes go into JSON: well-formed, and cut between characters. */
static void test_note_is_utf8(void **state)
{
    static const struct {
        const char *note, *expected;
    } cases[] = {
        { "x", "x" },
        { "caf\xc3\xa9", "caf\xc3\xa9" },
        { "caf\xe9!", "caf\xef\xbf\xbd!" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        char text[64] = "# ";
        struct trace t;
        struct trace_reader *r;
        struct err err;
        strcat(strcat(text, cases[n].note), "\nt,rps\n0,1\n1,1\n");
        assert_int_equal(read_text(text, 2, &t, &r, &err), 0);
        assert_string_equal(t.note, cases[n].expected);
        trace_done(&t);
        trace_reader_free(r);
    }
}

static void test_cut_names_and_notes(void **state)
{
    char name[101] = "", text[1000] = "#";
    struct trace t;
    struct err err;
    for (int n = 0; n < 50; n++)
        strcat(name, "\xc3\xa9");
    for (int n = 0; n < 5; n++)
        strcat(text, name);
    strcat(text, "\nt,rps\n0,1\n1,1\n");
    struct trace_reader *r = trace_reader_new(name);
    assert_int_equal(trace_reader_feed(r, text, strlen(text), &err), 0);
    assert_int_equal(trace_reader_end(r, &t, &err), 0);
    assert_int_equal(strlen(t.name), 62);  /* of 63 */
    assert_int_equal(strlen(t.note), 398); /* of 399 */
    trace_done(&t);
    trace_reader_free(r);
}

static const struct {
    const char *text, *reason;
} refused[] = {
    { "", "nothing in it" },
    { "\n\n# only a note\n", "nothing in it" },
    { "a,b\n1,2\n", "no header" },
    { "# a note\ntime,foo\n0,1\n1,2\n", "test:2: no column is a rate (rps, rate, value, load)" },
    { "\"Time\",\"sum(rate(http_requests_total[5m]))\"\n2024-01-01 00:00:00,1\n",
      "there are: Time, sum(rate(http_requests_total[5m]))" },
    { "time,foo\n", "test:1: no column is a rate" },
    { "Date,2024\nx\ntime,\x1b[1mfoo\n0,1\n", "test:3: no column" },
    { "time,\x1b[1mfoo\n0,1\n", "there are: time,  [1mfoo" },
    { "\x1f\x8b\x08\x01\x02\n\x03\n", "zcat FILE | plimsoll simulate --trace -" },
    { "\x28\xb5\x2f\xfd\x04", "(zstd)" },
    { "\xfd\x37zXZ\n", "(xz)" },
    { "t,rps\n", "no row" },
    { "t,rps\n0,1\n", "one row" },
    { "t,rps\nx,y\n", "no row" },
    { "{", "test:1:" },
    { "t,rps\n0,1\n0,1\n", "later than" },
    { "t,rps\n0,1\n400000000,1\n", "later than" },
    { "t,rps\n0,1\n31536000,1\n63072000,1\n94608000,1\n126144000,1\n157680000,1\n"
      "189216000,1\n220752000,1\n252288000,1\n283824000,1\n315360000,1\n",
      "longer than 10 years" },
    { "h - - [10/Oct/1900:13:55:36 -0700] \"\"\n", "no header" },
    { "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\nr\ns\nt\nt,rps\n0,1\n1,1\n",
      "no header" },
    { "{\"status\":\"error\",\"error\":\"parse error at char 5\"}", "parse error at char 5" },
    { "{\"data\":{\"resultType\":\"vector\",\"result\":[{\"value\":[1,\"2\"]}]}}",
      "instant query" },
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
        if (strstr(refused[n].reason, "no column is"))
            assert_int_equal(trace_reader_losses(r)->said, 0); /* once is enough */
        trace_reader_free(r);
    }
}

static void test_long_lines_and_many_bad_rows(void **state)
{
    struct trace_reader *r = trace_reader_new("test");
    struct trace t;
    struct err err = { 0 };
    char line[10000];
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
    assert_int_equal(trace_reader_losses(r)->bad_rows, 100);
    assert_int_equal(trace_reader_losses(r)->said, 100);
    assert_int_equal(trace_reader_losses(r)->first[TRACE_SAID_MAX - 1].line, 3 + TRACE_SAID_MAX);
    trace_done(&t);
    trace_reader_free(r);
}

/* A silence of days is one when enough lines come after it. */
static void test_log_goes_on_days_later(void **state)
{
    static const struct {
        int lines;
        size_t count;
    } cases[] = { { 1, 1 }, { 2, 259201 }, { 16, 259201 }, { 17, 259201 } };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        char text[1000] = "h [10/Oct/2000:13:55:36 -0700]\n";
        struct trace t;
        struct trace_reader *r;
        struct err err;
        for (int k = 0; k < cases[n].lines; k++)
            strcat(text, "h [13/Oct/2000:13:55:36 -0700]\n");
        assert_int_equal(read_text(text, 50, &t, &r, &err), 0);
        assert_int_equal(t.count, cases[n].count);
        if (t.count > 1)
            assert_float_equal(t.rates[t.count - 1], cases[n].lines, 0);
        assert_int_equal(trace_reader_losses(r)->bad_rows, t.count == 1);
        trace_done(&t);
        trace_reader_free(r);
    }
}

/* What is cut is not taken for a number. */
static void test_long_row(void **state)
{
    static const char head[] = "t,rps\n0,1\n1,2\n2,", tail[] = ",12345\n3,4\n";
    char text[6000] = "";
    struct trace t;
    struct trace_reader *r;
    struct err err = { 0 };
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + sizeof(text) - sizeof(tail), tail, sizeof(tail));
    assert_int_equal(read_text(text, 1000, &t, &r, &err), 0);
    const struct trace_losses *l = trace_reader_losses(r);
    assert_int_equal(l->bad_rows, 1);
    assert_int_equal(l->first[0].line, 4);
    assert_string_equal(l->first[0].text, "longer than 4096 bytes");
    assert_int_equal(t.count, 4);
    assert_float_equal(t.rates[2], 3, 1e-9);
    trace_done(&t);
    trace_reader_free(r);
}

/* -- what can be done with one -- */

static void test_fill_gaps(void **state)
{
    double rates[] = { NAN, 2, NAN, NAN, 5, NAN };
    static const double filled[] = { 2, 2, 3, 4, 5, 5 };
    struct trace t = { .step_us = US_PER_S, .count = ARRAY_LEN(rates), .rates = rates };
    assert_int_equal(trace_fill_gaps(&t), 4);
    for (size_t n = 0; n < ARRAY_LEN(rates); n++)
        assert_float_equal(rates[n], filled[n], 1e-12);
    trace_scale_time(&t, 1e-300);
    assert_true(trace_length_us(&t) > TRACE_LENGTH_US_MAX);
}

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
    assert_int_equal(other.count, 2); /* the last 10 s are no whole step */
    assert_float_equal(other.rates[0], (0 * 10 + 10 * 10 + 20 * 5) / 25.0, 1e-12);
    assert_float_equal(other.rates[1], (20 * 5 + 30 * 10 + 40 * 10) / 25.0, 1e-12);
    trace_scale(&other, 2);
    trace_scale_time(&other, 5);
    assert_float_equal(other.rates[1], 64, 1e-12);
    assert_int_equal(other.step_us, 5 * US_PER_S);
    trace_done(&other);
    trace_done(&part);
    assert_int_equal(trace_resample(&ramps, 0, &other), -EINVAL);
    assert_int_equal(trace_resample(&ramps, 1, &other), -E2BIG);
    assert_int_equal(trace_resample(&ramps, 60 * US_PER_S + 1, &other), -ERANGE);
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
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_lines_and_many_bad_rows),
        cmocka_unit_test(test_rate_at),
        cmocka_unit_test(test_slice_and_resample),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_note_is_utf8),
        cmocka_unit_test(test_log_goes_on_days_later),
        cmocka_unit_test(test_cut_names_and_notes),
        cmocka_unit_test(test_long_row),
        cmocka_unit_test(test_fill_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
