/* StatsD packets: what each line means, and what is passed over. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "drivers/source/endpoint.h"
#include "drivers/source/statsd.h"

static void test_lines(void **state)
{
    static const struct {
        const char *packet, *name;
        enum statsd_type type;
        double value;
    } rows[] = {
        { "jobs:12|g", "jobs", STATSD_GAUGE, 12 },
        { "jobs:12.5|g\n", "jobs", STATSD_GAUGE, 12.5 },
        { "jobs:0|g\r\n", "jobs", STATSD_GAUGE, 0 },
        { "jobs:+3|g", "jobs", STATSD_CHANGE, 3 },
        { "jobs:-3|g", "jobs", STATSD_CHANGE, -3 },
        { "hits:1|c", "hits", STATSD_COUNT, 1 },
        { "hits:1|c|@0.1", "hits", STATSD_COUNT, 10 },
        { "hits:4|c|#env:live|@0.5", "hits", STATSD_COUNT, 8 },
        { "jobs:12|g|#tag:x", "jobs", STATSD_GAUGE, 12 },
        { "a.b-c_d:7|g", "a.b-c_d", STATSD_GAUGE, 7 },
        { "junk\n\n:1|g\njobs:1|ms\njobs:2|s\njobs:3|h\njobs:9|g", "jobs", STATSD_GAUGE, 9 },
        { "jobs:abc|g", "jobs", STATSD_BAD, 0 },
        { "jobs:|g", "jobs", STATSD_BAD, 0 },
        { "jobs:nan|g", "jobs", STATSD_BAD, 0 },
        { "jobs:1e999|g", "jobs", STATSD_BAD, 0 },
        { "hits:1|c|@0", "hits", STATSD_BAD, 0 },
        { "hits:1|c|@2", "hits", STATSD_BAD, 0 },
        { "hits:1e308|c|@0.001", "hits", STATSD_BAD, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice packet = slice_of(rows[i].packet);
        struct statsd_metric m;
        assert_true(statsd_next(&packet, &m));
        assert_true(slice_eq(m.name, slice_of(rows[i].name)));
        assert_int_equal(m.type, rows[i].type);
        if (m.type != STATSD_BAD)
            assert_true(m.value == rows[i].value);
        assert_false(statsd_next(&packet, &m));
    }
}

static void test_nothing(void **state)
{
    static const char *const rows[] = { "",         "\n",  "jobs",      "jobs:1", "jobs:1|",
                                        "jobs|1:g", ":|g", "jobs:1|gg", "||||",   "::::" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice packet = slice_of(rows[i]);
        struct statsd_metric m;
        assert_false(statsd_next(&packet, &m));
    }
}

static void test_several(void **state)
{
    struct slice packet = SLICE("a:1|g\nb:2|c\n\nc:3|g");
    struct statsd_metric m;
    char names[8] = "";
    for (size_t n = 0; statsd_next(&packet, &m); n++)
        names[n] = m.name.p[0];
    assert_string_equal(names, "abc");
}

/* Packets of a counter, and the rate that each of them ends: every second, held for two. */
static void test_rates(void **state)
{
    static const struct {
        int64_t at_us;
        double first, second; /* lines; 0 = none */
        double rate;          /* a second; < 0 = it ends no interval */
    } rows[] = {
        { 1000000, 50, 0, -1 }, /* opens the first */
        { 1250000, 50, 0, -1 },   { 1500000, 20, 30, -1 },
        { 1750000, 50, 0, -1 },   { 1800000, 0, 0, -1 }, /* another's packet */
        { 2000000, 50, 0, 200 },  { 2500000, 100, 0, -1 },
        { 3000000, 40, 60, 200 }, /* all its lines are in the interval that it ends */
        { 4250000, 50, 0, 40 },   { 13000000, 0, 0, -1 },
        { 14250000, 25, 25, -1 }, /* opens one after a silence, and is in none */
        { 14500000, 50, 0, -1 },  { 14750000, 50, 0, -1 },
        { 15000000, 50, 0, -1 },  { 15250000, 50, 0, 200 },
        { 17250000, 50, 0, 25 }, /* just not overdue */
        { 19250001, 50, 0, -1 },  { 20250001, 7, 0, 7 },
    };
    struct statsd_rate r = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double rate = -1;
        if (rows[i].first > 0)
            statsd_rate_count(&r, rows[i].first);
        if (rows[i].second > 0)
            statsd_rate_count(&r, rows[i].second);
        bool over = statsd_rate_end(&r, rows[i].at_us, 1000000, 2000000, &rate);
        if (over != (rows[i].rate >= 0) || rate != rows[i].rate)
            fail_msg("row %zu: %g", i, rate);
    }
}

/* However far apart within the time that a rate is known: it never is overdue, and it is right. */
static void test_rates_of_any_rhythm(void **state)
{
    const int64_t every_us = 1000000, held_us = 1500000;
    for (int64_t gap_us = 10000; gap_us <= held_us; gap_us += 10000) {
        struct statsd_rate r = { 0 };
        int64_t known_us = 5000000;
        for (int64_t at_us = known_us; at_us < 60000000; at_us += gap_us) {
            double rate;
            statsd_rate_count(&r, 3);
            if (statsd_rate_end(&r, at_us, every_us, held_us, &rate)) {
                assert_true(at_us - known_us <= held_us);
                assert_true(fabs(rate * (double)gap_us / 3e6 - 1) < 1e-9);
                known_us = at_us;
            }
        }
        assert_true(known_us >= 60000000 - held_us - gap_us);
    }
}

static void test_endpoints(void **state)
{
    static const struct {
        const char *text;
        uint16_t fallback;
        const char *host; /* NULL = refused */
        uint16_t port;
    } rows[] = {
        { "127.0.0.1:6380", 6379, "127.0.0.1", 6380 },
        { "redis.internal", 6379, "redis.internal", 6379 },
        { "[::1]:8125", 0, "::1", 8125 },
        { "[::1]", 6379, "::1", 6379 },
        { "unix:/run/redis.sock", 6379, "/run/redis.sock", 0 },
        { "unix:redis.sock", 6379, NULL, 0 },
        { "127.0.0.1", 0, NULL, 0 },
        { "127.0.0.1:0", 0, NULL, 0 },
        { "127.0.0.1:70000", 0, NULL, 0 },
        { "127.0.0.1:+80", 0, NULL, 0 },
        { "127.0.0.1:redis", 0, NULL, 0 },
        { "::1", 6379, NULL, 0 },
        { ":6379", 6379, NULL, 0 },
        { "", 6379, NULL, 0 },
        { "redis://127.0.0.1:6379", 6379, NULL, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct endpoint e;
        struct err err = { 0 };
        int rc = endpoint_parse(rows[i].text, rows[i].fallback, &e, &err);
        assert_int_equal(rc == 0, rows[i].host != NULL);
        if (rc < 0) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        assert_string_equal(e.host, rows[i].host);
        assert_int_equal(e.port, rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_rates_of_any_rhythm),
        cmocka_unit_test(test_endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
