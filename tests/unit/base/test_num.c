/* Numbers with units: what is read, what is refused, and that what is written is read back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "base/rng.h"
#include "base/us.h"

#define UNTOUCHED 4711

struct number_case {
    const char *text;
    int rc;
    int64_t value;
};

static const struct number_case integers[] = {
    { "0", 0, 0 },
    { "-0", 0, 0 },
    { "+7", 0, 7 },
    { "007", 0, 7 },
    { "9223372036854775807", 0, INT64_MAX },
    { "-9223372036854775808", 0, INT64_MIN },
    { "9223372036854775808", -ERANGE, 0 },
    { "-9223372036854775809", -ERANGE, 0 },
    { "99999999999999999999999", -ERANGE, 0 },
    { "", -EINVAL, 0 },
    { "-", -EINVAL, 0 },
    { "+-1", -EINVAL, 0 },
    { "1 ", -EINVAL, 0 },
    { " 1", -EINVAL, 0 },
    { "1.0", -EINVAL, 0 },
    { "0x1", -EINVAL, 0 },
    { "1e3", -EINVAL, 0 },
};

static const struct number_case durations[] = {
    { "0", 0, 0 },
    { " 0 ", 0, 0 },
    { "0s", 0, 0 },
    { "250ms", 0, 250 * US_PER_MS },
    { "500us", 0, 500 },
    { "10s", 0, 10 * US_PER_S },
    { "10 s", 0, 10 * US_PER_S },
    { "5m", 0, 5 * US_PER_MIN },
    { "5min", 0, 5 * US_PER_MIN },
    { "1h30m", 0, 90 * US_PER_MIN },
    { "1h 30m", 0, 90 * US_PER_MIN },
    { "2d", 0, 2 * US_PER_DAY },
    { "1.5s", 0, 1500 * US_PER_MS },
    { ".5s", 0, 500 * US_PER_MS },
    { "0.0000015s", 0, 2 },
    { "1.3333333333333333333h", 0, INT64_C(4800000000) },
    { "106751991d", 0, 106751991 * US_PER_DAY },
    { "106751992d", -ERANGE, 0 },
    { "9223372036854775807us", 0, INT64_MAX },
    { "9223372036854775808us", -ERANGE, 0 },
    { "106751991d999h", -ERANGE, 0 },
    { "0.1us", -ERANGE, 0 },
    { "99999999999999999999s", -ERANGE, 0 },
    { "0.00000000000000000000000000001s", -ERANGE, 0 },
    { "", -EINVAL, 0 },
    { "10", -EINVAL, 0 },
    { "s", -EINVAL, 0 },
    { ".s", -EINVAL, 0 },
    { "-1s", -EINVAL, 0 },
    { "1.2.3s", -EINVAL, 0 },
    { "1x", -EINVAL, 0 },
    { "1S", -EINVAL, 0 },
    { "1s1", -EINVAL, 0 },
    { "1e3s", -EINVAL, 0 },
    { "5m1h", -EINVAL, 0 },
    { "5m5m", -EINVAL, 0 },
    { "5m5min", -EINVAL, 0 },
};

static const struct number_case sizes[] = {
    { "0", 0, 0 },
    { "512", 0, 512 },
    { "512B", 0, 512 },
    { "4k", 0, 4096 },
    { "4 KiB", 0, 4096 },
    { "4Ki", 0, 4096 },
    { "4kB", 0, 4000 },
    { "10MB", 0, 10 * 1000 * 1000 },
    { "1.5GiB", 0, INT64_C(3) << 29 },
    { "2TiB", 0, INT64_C(2) << 40 },
    { "9007199254740993", 0, INT64_C(9007199254740993) },
    { "9223372036854775807", 0, INT64_MAX },
    { "8388608TiB", -ERANGE, 0 },
    { "0.1", -ERANGE, 0 },
    { "", -EINVAL, 0 },
    { "k", -EINVAL, 0 },
    { "-1", -EINVAL, 0 },
    { "1kk", -EINVAL, 0 },
    { "1k1", -EINVAL, 0 },
    { "1kib", -EINVAL, 0 },
};

static void check(const struct number_case *cases, size_t n,
                  int (*parse)(struct slice text, int64_t *ret))
{
    for (size_t i = 0; i < n; i++) {
        int64_t value = UNTOUCHED;
        assert_int_equal(parse(slice_of(cases[i].text), &value), cases[i].rc);
        assert_true(value == (cases[i].rc < 0 ? UNTOUCHED : cases[i].value));
    }
}

static void parses_integers(void **state)
{
    check(integers, ARRAY_LEN(integers), num_parse_i64);
}

static void parses_durations(void **state)
{
    check(durations, ARRAY_LEN(durations), num_parse_duration);
}

static void parses_sizes(void **state)
{
    check(sizes, ARRAY_LEN(sizes), num_parse_size);
}

static void parses_doubles_as_strtod_does(void **state)
{
    static const char *const good[] = { "0",     "-0",    "1",
                                        "-1.5",  "+2.25", "0.1",
                                        "0.8",   "99.99", "1e3",
                                        "1E-3",  "1e+22", "123456789.125",
                                        ".5",    "5.",    "0.30000000000000004",
                                        "1e300", "4e-300" };
    static const char *const bad[] = { "",    "-",   ".",   "e3", "1e", "1e1.5", "1.2.3",
                                       "nan", "inf", "0x1", "1 ", " 1", "1,5",   "--1" };
    static const char *const too_large[] = { "1e309", "1e999", "2e308" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        double value, expected = strtod(good[i], NULL);
        assert_int_equal(num_parse_double(slice_of(good[i]), &value), 0);
        double off = value > expected ? value - expected : expected - value;
        assert_true(off <= (expected < 0 ? -expected : expected) * 1e-14);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad) + ARRAY_LEN(too_large); i++) {
        bool large = i >= ARRAY_LEN(bad);
        double value = UNTOUCHED;
        const char *text = large ? too_large[i - ARRAY_LEN(bad)] : bad[i];
        assert_int_equal(num_parse_double(slice_of(text), &value), large ? -ERANGE : -EINVAL);
        assert_true(value == UNTOUCHED);
    }
}

/* Up to 15 digits and 22 places, decimal to double is exact arithmetic with one rounding. */
static void short_decimals_are_exact(void **state)
{
    static const char *const texts[] = { "0.1", "0.8", "99.99", "3.14159", "1234.5678", "1e22" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        double value;
        assert_int_equal(num_parse_double(slice_of(texts[i]), &value), 0);
        assert_true(value == strtod(texts[i], NULL));
    }
}

static void parses_percent(void **state)
{
    double ratio = UNTOUCHED;
    static const char *const bad[] = { "80", "%", " %", "80%%", "80 % x", "x%", "" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(num_parse_percent(slice_of(bad[i]), &ratio), -EINVAL);
    assert_true(ratio == UNTOUCHED);
    assert_int_equal(num_parse_percent(SLICE("80%"), &ratio), 0);
    assert_true(ratio == 0.8);
    assert_int_equal(num_parse_percent(SLICE(" 12.5 % "), &ratio), 0);
    assert_true(ratio == 0.125);
}

static void formats_durations(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        { 0, "0s" },
        { 1, "1us" },
        { 250 * US_PER_MS, "250ms" },
        { 90 * US_PER_S, "1m30s" },
        { 1500 * US_PER_MS, "1s500ms" },
        { 26 * US_PER_HOUR, "1d2h" },
        { -90 * US_PER_S, "-1m30s" },
        { US_NEVER, "never" },
    };
    char buf[64];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(num_format_duration(buf, sizeof(buf), cases[i].us), strlen(cases[i].text));
        assert_string_equal(buf, cases[i].text);
    }
    num_format_duration(buf, sizeof(buf), INT64_MIN);
    assert_string_equal(buf, "-106751991d4h54s775ms808us");
    assert_int_equal(num_format_duration(buf, 0, 1), 0);
}

static void formats_durations_for_people(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        { 0, "0s" },
        { 250, "250us" },
        { 1500, "1.5ms" },
        { 469229, "469ms" },
        { 999999, "1s" },
        { 7989046, "7.99s" },
        { 15 * US_PER_S + 1, "15s" },
        { 59960 * US_PER_MS, "1m" },
        { 90 * US_PER_S, "1m30s" },
        { 59 * US_PER_MIN + 59600 * US_PER_MS, "1h" },
        { 2 * US_PER_HOUR + 3 * US_PER_MIN + 20 * US_PER_S, "2h3m" },
        { 26 * US_PER_HOUR + 40 * US_PER_MIN, "1d3h" },
        { -157068, "-157ms" },
        { -90 * US_PER_S, "-1m30s" },
        { US_NEVER, "never" },
    };
    char buf[64];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(num_format_duration_short(buf, sizeof(buf), cases[i].us),
                         strlen(cases[i].text));
        assert_string_equal(buf, cases[i].text);
    }
    num_format_duration_short(buf, sizeof(buf), INT64_MIN);
    assert_string_equal(buf, "-106751991d4h");
}

static void formats_sizes(void **state)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0B" },         { 512, "512B" },     { 1024, "1KiB" },
        { 1025, "1025B" },   { 1 << 20, "1MiB" }, { INT64_C(3) << 29, "1536MiB" },
        { 1 << 30, "1GiB" }, { -4096, "-4096B" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char buf[64];
        num_format_size(buf, sizeof(buf), cases[i].bytes);
        assert_string_equal(buf, cases[i].text);
    }
}

static void reads_back_what_it_writes(void **state)
{
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 10000; i++) {
        int64_t value = (int64_t)(rng_u64(&rng) >> (1 + rng_below(&rng, 62))), again;
        char buf[64];
        num_format_duration(buf, sizeof(buf), value);
        assert_int_equal(num_parse_duration(slice_of(buf), &again), 0);
        assert_true(again == value);
        num_format_size(buf, sizeof(buf), value);
        assert_int_equal(num_parse_size(slice_of(buf), &again), 0);
        assert_true(again == value);
    }
}

static void time_saturates(void **state)
{
    assert_true(us_add(US_NEVER, 1) == US_NEVER);
    assert_true(us_add(INT64_MIN, -1) == INT64_MIN);
    assert_true(us_add(5, -7) == -2);
    assert_true(us_sub(0, INT64_MIN) == INT64_MAX);
    assert_true(us_sub(-1, INT64_MIN) == INT64_MAX);
    assert_true(us_sub(5, INT64_MIN) == INT64_MAX);
    assert_true(us_sub(-2, INT64_MAX) == INT64_MIN);
    assert_true(us_sub(INT64_MIN, 1) == INT64_MIN);
    assert_true(us_sub(7, 5) == 2);
    assert_true(us_mul(INT64_MAX, 2) == INT64_MAX);
    assert_true(us_mul(INT64_MAX, -2) == INT64_MIN);
    assert_true(us_mul(INT64_MIN, -1) == INT64_MAX);
    assert_true(us_mul(INT64_MIN, 2) == INT64_MIN);
    assert_true(us_mul(0, INT64_MAX) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_integers),
        cmocka_unit_test(parses_durations),
        cmocka_unit_test(parses_sizes),
        cmocka_unit_test(parses_doubles_as_strtod_does),
        cmocka_unit_test(short_decimals_are_exact),
        cmocka_unit_test(parses_percent),
        cmocka_unit_test(formats_durations),
        cmocka_unit_test(formats_durations_for_people),
        cmocka_unit_test(formats_sizes),
        cmocka_unit_test(reads_back_what_it_writes),
        cmocka_unit_test(time_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
