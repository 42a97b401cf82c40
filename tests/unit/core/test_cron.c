/* Cron: what parses, and when it matches before and after an instant, over clock changes too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/us.h"
#include "base/util.h"
#include "core/cron.h"

static const struct zone_conf utc = { .name = "UTC" };
/* Two years of Berlin: the clock goes from 2 to 3 in March and from 3 to 2 in October. */
static const struct zone_conf berlin = {
    .name = "Europe/Berlin",
    .offset_s = 3600,
    .transition_count = 3,
    .transition = { { 1743296400, 7200 }, { 1761440400, 3600 }, { 1774746000, 7200 } },
};
/* Half an hour, in the other half of the year: 2:00 to 2:30 in October, 2:00 to 1:30 in April. */
static const struct zone_conf lord_howe = {
    .name = "Australia/Lord_Howe",
    .offset_s = 37800,
    .transition_count = 2,
    .transition = { { 1728142200, 39600 }, { 1743865200, 37800 } },
};

/* "2025-03-30 01:00" in UTC; "" = none. */
static int64_t instant(const char *text, int64_t none)
{
    struct tm tm = { 0 };
    if (text[0] == '\0')
        return none;
    if (sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) < 5)
        fail_msg("instant \"%s\"", text);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (int64_t)timegm(&tm) * US_PER_S;
}

static struct cron parsed(const char *text)
{
    struct cron c;
    struct err err = { 0 };
    if (cron_parse(slice_of(text), &c, &err) < 0)
        fail_msg("\"%s\": %s", text, err.text);
    return c;
}

static void test_matches(void **state)
{
    static const struct {
        const char *cron;
        const struct zone_conf *zone;
        const char *at, *last, *next;
    } cases[] = {
        { "0 9 * * MON-FRI", &utc, "2025-06-06 12:00", "2025-06-06 09:00", "2025-06-09 09:00" },
        { "0 9 * * MON-FRI", &utc, "2025-06-09 09:00", "2025-06-09 09:00", "2025-06-10 09:00" },
        { "0 9 * * MON-FRI", &utc, "2025-06-09 08:59:59", "2025-06-06 09:00", "2025-06-09 09:00" },
        { "*/15 * * * *", &utc, "2025-06-09 08:16", "2025-06-09 08:15", "2025-06-09 08:30" },
        { "5/20 1 * * *", &utc, "2025-06-09 01:30", "2025-06-09 01:25", "2025-06-09 01:45" },
        { "0 0 29 2 *", &utc, "2025-06-09 00:00", "2024-02-29 00:00", "2028-02-29 00:00" },
        { "0 0 30 2 *", &utc, "2025-06-09 00:00", "", "" },
        { "0 0 31 12 *", &utc, "2025-12-31 23:59", "2025-12-31 00:00", "2026-12-31 00:00" },
        /* both day fields given: either will do */
        { "0 0 13 * FRI", &utc, "2025-06-10 00:00", "2025-06-06 00:00", "2025-06-13 00:00" },
        { "0 0 13 * FRI", &utc, "2025-06-13 00:00", "2025-06-13 00:00", "2025-06-20 00:00" },
        { "0 0 1 * */2", &utc, "2025-06-09 00:00", "2025-06-01 00:00", "2025-07-01 00:00" },
        { "0 0 * * 7", &utc, "2025-06-09 00:00", "2025-06-08 00:00", "2025-06-15 00:00" },
        { "@hourly", &utc, "2025-06-09 08:16", "2025-06-09 08:00", "2025-06-09 09:00" },
        { "@weekly", &utc, "2025-06-09 08:16", "2025-06-08 00:00", "2025-06-15 00:00" },
        { "@yearly", &utc, "1970-01-01 00:00", "1970-01-01 00:00", "1971-01-01 00:00" },
        /* a week goes round: Sunday comes after Saturday too */
        { "0 0 * * SAT-SUN", &utc, "2025-06-07 12:00", "2025-06-07 00:00", "2025-06-08 00:00" },
        { "0 0 * * SAT-SUN", &utc, "2025-06-09 00:00", "2025-06-08 00:00", "2025-06-14 00:00" },
        { "0 0 * * FRI-MON", &utc, "2025-06-09 12:00", "2025-06-09 00:00", "2025-06-13 00:00" },
        /* local time */
        { "0 9 * * *", &berlin, "2025-01-10 08:00", "2025-01-10 08:00", "2025-01-11 08:00" },
        { "0 9 * * *", &berlin, "2025-07-10 08:00", "2025-07-10 07:00", "2025-07-11 07:00" },
        { "30 0 * * *", &berlin, "2025-07-09 23:00", "2025-07-09 22:30", "2025-07-10 22:30" },
        /* a time that is skipped matches at the change, once */
        { "30 2 * * *", &berlin, "2025-03-30 00:59:59", "2025-03-29 01:30", "2025-03-30 01:00" },
        { "30 2 * * *", &berlin, "2025-03-30 01:00", "2025-03-30 01:00", "2025-03-31 00:30" },
        { "*/30 2 * * *", &berlin, "2025-03-30 01:00", "2025-03-30 01:00", "2025-03-31 00:00" },
        { "0 3 * * *", &berlin, "2025-03-30 00:30", "2025-03-29 02:00", "2025-03-30 01:00" },
        /* a time that comes twice matches the first time only */
        { "30 2 * * *", &berlin, "2025-10-26 00:29", "2025-10-25 00:30", "2025-10-26 00:30" },
        { "30 2 * * *", &berlin, "2025-10-26 01:30", "2025-10-26 00:30", "2025-10-27 01:30" },
        { "0 * * * *", &berlin, "2025-10-26 00:30", "2025-10-26 00:00", "2025-10-26 02:00" },
        { "0 3 * * *", &berlin, "2025-10-26 01:30", "2025-10-25 01:00", "2025-10-26 02:00" },
        { "15 2 * * *", &lord_howe, "2024-10-05 15:00", "2024-10-04 15:45", "2024-10-05 15:30" },
        { "45 1 * * *", &lord_howe, "2025-04-05 15:20", "2025-04-05 14:45", "2025-04-06 15:15" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c = parsed(cases[i].cron);
        int64_t at_us = instant(cases[i].at, 0);
        int64_t last_us = cron_last(&c, cases[i].zone, at_us);
        int64_t next_us = cron_next(&c, cases[i].zone, at_us);
        if (last_us != instant(cases[i].last, INT64_MIN))
            fail_msg("case %zu, \"%s\" at %s: last is %lld s", i, cases[i].cron, cases[i].at,
                     (long long)(last_us / US_PER_S));
        if (next_us != instant(cases[i].next, US_NEVER))
            fail_msg("case %zu, \"%s\" at %s: next is %lld s", i, cases[i].cron, cases[i].at,
                     (long long)(next_us / US_PER_S));
    }
}

/* Walking on from match to match and looking back from each gives the same instants, and none lies
 * between two of them. */
static void test_last_and_next_agree(void **state)
{
    static const char *const texts[] = { "* * * * *", "*/7 1-4 * * *", "30 2 * * SUN",
                                         "0 0,3 25-31 3,10 *" };
    static const struct zone_conf *const zones[] = { &utc, &berlin, &lord_howe };
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
            struct cron c = parsed(texts[t]);
            int64_t at_us = instant("2025-10-25 22:17", 0);
            for (int i = 0; i < 300; i++) {
                int64_t next_us = cron_next(&c, zones[z], at_us);
                assert_true(next_us > at_us);
                if (next_us == US_NEVER)
                    break;
                assert_int_equal(cron_last(&c, zones[z], next_us), next_us);
                int64_t before_us = cron_last(&c, zones[z], next_us - 1);
                assert_true(before_us <= at_us);
                at_us = next_us;
            }
        }
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *cron, *says;
    } cases[] = {
        { "", "1 to 63 characters" },
        { "* * * *", "day of week is missing" },
        { "* * * * * *", "more than 5 fields" },
        { "60 * * * *", "cron minute \"60\"" },
        { "* 24 * * *", "cron hour \"24\"" },
        { "* * 0 * *", "cron day of month \"0\"" },
        { "* * * 13 *", "cron month \"13\"" },
        { "* * * FOO *", "cron month \"FOO\"" },
        { "* * * * 8", "cron day of week \"8\"" },
        { "5-1 * * * *", "ends before it begins" },
        { "* * * NOV-FEB *", "ends before it begins" },
        { "*/0 * * * *", "step after /" },
        { "*/x * * * *", "step after /" },
        { "1,,2 * * * *", "cron minute \"\"" },
        { "-1 * * * *", "cron minute \"-1\"" },
        { "1- * * * *", "end of the range" },
        { "+1 * * * *", "cron minute \"+1\"" },
        { "00001 * * * *", "cron minute \"00001\"" },
        { "@reboot", "know @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually" },
        { "* * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * * *", "characters" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron c = { .text = "untouched" };
        struct err err = { 0 };
        assert_int_equal(cron_parse(slice_of(cases[i].cron), &c, &err), -EINVAL);
        if (!strstr(err.text, cases[i].says))
            fail_msg("\"%s\": says \"%s\"", cases[i].cron, err.text);
        assert_string_equal(c.text, "untouched");
    }
}

static void test_spelling(void **state)
{
    struct cron a = parsed("0 9 * JAN-mar Mon,7"), b = parsed(" 0\t9  * 1,2,3  0,1 ");
    assert_int_equal(a.month, b.month);
    assert_int_equal(a.weekday, b.weekday);
    assert_true(a.day_any && !a.weekday_any);
    assert_string_equal(b.text, "0\t9  * 1,2,3  0,1");
    assert_string_equal(parsed("@daily").text, "@daily");
}

/* Several ways to write the same days. */
static void test_weekdays(void **state)
{
    static const struct {
        const char *weekdays;
        uint32_t bits; /* 0 = Sunday */
    } cases[] = {
        { "SAT-SUN", BIT(6) | BIT(0) },
        { "fri-sun", BIT(5) | BIT(6) | BIT(0) },
        { "6-7", BIT(6) | BIT(0) },
        { "MON-SUN", 0x7f },
        { "0-7", 0x7f },
        { "SUN-SAT", 0x7f },
        { "SUN-SUN", BIT(0) },
        { "5-1", BIT(5) | BIT(6) | BIT(0) | BIT(1) },
        { "7-1", BIT(0) | BIT(1) },
        { "FRI-SUN/2", BIT(5) | BIT(0) },
        { "SAT-SUN,WED", BIT(6) | BIT(0) | BIT(3) },
        { "2/2", BIT(2) | BIT(4) | BIT(6) },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64];
        snprintf(text, sizeof(text), "0 0 * * %s", cases[i].weekdays);
        if (parsed(text).weekday != cases[i].bits)
            fail_msg("\"%s\": 0x%x", text, parsed(text).weekday);
    }
}

static void test_macros(void **state)
{
    static const struct {
        const char *macro, *same_as;
    } cases[] = {
        { "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
        { "@weekly", "0 0 * * SUN" }, { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 JAN *" },
        { "@annually", "0 0 1 1 *" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cron a = parsed(cases[i].macro), b = parsed(cases[i].same_as);
        assert_true(a.minute == b.minute && a.hour == b.hour && a.day == b.day);
        assert_true(a.month == b.month && a.weekday == b.weekday);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),  cmocka_unit_test(test_last_and_next_agree),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_weekdays), cmocka_unit_test(test_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
