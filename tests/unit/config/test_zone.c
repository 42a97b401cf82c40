/* Time zones: known transitions of real zones, before and after the last one that the file writes
 * out; rules; broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/zone.h"
#include "config/zone_rule.h"

#define YEAR_2026_S INT64_C(1767225600) /* 1 January, UTC */
#define YEAR_2050_S INT64_C(2524608000)

static int32_t offset_at(const struct zone_conf *z, int64_t at_s)
{
    int32_t offset_s = z->offset_s;
    for (uint32_t i = 0; i < z->transition_count && z->transition[i].at_s <= at_s; i++)
        offset_s = z->transition[i].offset_s;
    return offset_s;
}

static int setup(void **state)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/vectors/zoneinfo", getenv("PLIMSOLL_TESTS"));
    return setenv("TZDIR", path, 1);
}

/* From Python's zoneinfo over the same files. 2050 lies beyond what the files write out, except in
 * Morocco, whose changes around Ramadan no rule can say. */
static void test_known_transitions(void **state)
{
    static const struct {
        const char *name;
        int64_t year_s, at_s;
        int32_t before_s, after_s;
    } cases[] = {
        { "Europe/Berlin", YEAR_2026_S, 1774746000, 3600, 7200 },
        { "Europe/Berlin", YEAR_2026_S, 1792890000, 7200, 3600 },
        { "Europe/Berlin", YEAR_2050_S, 2531955600, 3600, 7200 },
        { "Europe/Berlin", YEAR_2050_S, 2550704400, 7200, 3600 },
        { "America/New_York", YEAR_2026_S, 1772953200, -18000, -14400 },
        { "America/New_York", YEAR_2026_S, 1793512800, -14400, -18000 },
        { "America/New_York", YEAR_2050_S, 2530767600, -18000, -14400 },
        { "America/New_York", YEAR_2050_S, 2551327200, -14400, -18000 },
        { "Australia/Lord_Howe", YEAR_2026_S, 1775314800, 39600, 37800 },
        { "Australia/Lord_Howe", YEAR_2026_S, 1791041400, 37800, 39600 },
        { "Australia/Lord_Howe", YEAR_2050_S, 2532524400, 39600, 37800 },
        { "Australia/Lord_Howe", YEAR_2050_S, 2548251000, 37800, 39600 },
        { "Africa/Casablanca", YEAR_2026_S, 1771120800, 3600, 0 },
        { "Africa/Casablanca", YEAR_2026_S, 1774144800, 0, 3600 },
        { "Africa/Casablanca", YEAR_2050_S, 2536192800, 3600, 0 },
        { "Africa/Casablanca", YEAR_2050_S, 2539821600, 0, 3600 },
        { "America/Santiago", YEAR_2026_S, 1775358000, -10800, -14400 },
        { "America/Santiago", YEAR_2026_S, 1788667200, -14400, -10800 },
        { "America/Santiago", YEAR_2050_S, 2532567600, -10800, -14400 },
        { "America/Santiago", YEAR_2050_S, 2545876800, -14400, -10800 },
        { "EST5EDT", YEAR_2026_S, 1772953200, -18000, -14400 },
        { "EST5EDT", YEAR_2026_S, 1793512800, -14400, -18000 },
        { "EST5EDT", YEAR_2050_S, 2530767600, -18000, -14400 },
        { "EST5EDT", YEAR_2050_S, 2551327200, -14400, -18000 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_conf z;
        struct err err = { 0 };
        assert_int_equal(zone_load(cases[i].name, cases[i].year_s, &z, &err), 0);
        assert_string_equal(z.name, cases[i].name);
        assert_int_equal(offset_at(&z, cases[i].at_s - 1), cases[i].before_s);
        assert_int_equal(offset_at(&z, cases[i].at_s), cases[i].after_s);
    }
}

static void test_zones_without_summer(void **state)
{
    static const struct {
        const char *name;
        int32_t offset_s;
    } cases[] = { { "Asia/Kolkata", 19800 }, { "UTC", 0 }, { "Etc/UTC", 0 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_conf z;
        assert_int_equal(zone_load(cases[i].name, YEAR_2026_S, &z, NULL), 0);
        assert_int_equal(z.transition_count, 0);
        assert_int_equal(z.offset_s, cases[i].offset_s);
    }
}

/* From a year ago to ten years ahead, in order, and each a change. */
static void test_window(void **state)
{
    struct zone_conf z;
    assert_int_equal(zone_load("Europe/Berlin", YEAR_2026_S, &z, NULL), 0);
    assert_in_range(z.transition_count, 21, 23);
    for (uint32_t i = 0; i < z.transition_count; i++) {
        assert_true(i == 0 || z.transition[i].at_s > z.transition[i - 1].at_s);
        assert_true(i == 0 || z.transition[i].offset_s != z.transition[i - 1].offset_s);
    }
    assert_true(z.transition[0].at_s > YEAR_2026_S - 366 * 86400);
    assert_true(z.transition[z.transition_count - 1].at_s > YEAR_2026_S + 9 * INT64_C(365) * 86400);
}

static void test_rules(void **state)
{
    static const struct {
        const char *rule;
        int year;
        int64_t start_s, end_s;
    } cases[] = {
        /* the last Sunday of March and of October, 2:00 and 3:00 local time */
        { "CET-1CEST,M3.5.0,M10.5.0/3", 2024, 1711846800, 1729990800 },
        /* J60 is 1 March in every year; 59 is 29 February in a leap year */
        { "AAA0BBB,J60/0,59/0", 2024, 1709251200, 1709161200 },
        { "AAA0BBB,J60/0,59/0", 2023, 1677628800, 1677625200 },
        /* hours beyond a day, and before it (RFC 8536 section 3.3.1) */
        { "<-03>3<-02>,M3.5.0/-2,M10.5.0/26", 2024, 1711846800, 1730088000 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_rule r;
        int64_t start_s, end_s;
        assert_int_equal(zone_rule_parse(slice_of(cases[i].rule), &r), 0);
        zone_rule_year(&r, cases[i].year, &start_s, &end_s);
        assert_int_equal(start_s, cases[i].start_s);
        assert_int_equal(end_s, cases[i].end_s);
    }
}

static void test_bad_rules(void **state)
{
    static const char *const rules[] = {
        "",
        "A1",
        "CET",
        "CET-",
        "CET-1CEST",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,J0,J365",
        "CET-1CEST,366,1",
        "CET-168",
        "<CET-1",
        "CET-1x",
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct zone_rule r;
        assert_int_equal(zone_rule_parse(slice_of(rules[i]), &r), -EINVAL);
    }
}

/* A file cut anywhere is refused or read; nothing beyond its end is. */
static void test_cut_files(void **state)
{
    unsigned char data[4096];
    char path[600];
    struct zone_conf z;
    snprintf(path, sizeof(path), "%s/Europe/Berlin", getenv("TZDIR"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(data, 1, sizeof(data), file);
    fclose(file);
    assert_int_equal(zone_parse(data, n, YEAR_2026_S, &z), 0);
    for (size_t cut = 0; cut < n; cut++) {
        unsigned char *copy = malloc(cut + 1);
        memcpy(copy, data, cut);
        assert_int_equal(zone_parse(copy, cut, YEAR_2026_S, &z), -EINVAL);
        free(copy);
    }
}

static void test_unknown_zones(void **state)
{
    static const char *const names[] = {
        "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "", "README.md"
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct zone_conf z;
        struct err err = { 0 };
        assert_int_equal(zone_load(names[i], YEAR_2026_S, &z, &err), -EINVAL);
        assert_true(strstr(err.text, names[i]) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_transitions),
        cmocka_unit_test(test_zones_without_summer),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_bad_rules),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_unknown_zones),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
