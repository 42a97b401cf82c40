/* The formatter against libc's own, and decimals against tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fmt.h"
#include "base/rng.h"

#define SAME(...)                                                  \
    do {                                                           \
        char ours[128], theirs[128];                               \
        int n = snprintf(theirs, sizeof(theirs), __VA_ARGS__);     \
        assert_int_equal(fmt(ours, sizeof(ours), __VA_ARGS__), n); \
        assert_string_equal(ours, theirs);                         \
    } while (0)

static void formats_as_printf_does(void **state)
{
    SAME("%s", "");
    SAME("plain %% text");
    SAME("%d %d %d %i", 0, -1, INT32_MIN, INT32_MAX);
    SAME("%u %x", UINT32_MAX, UINT32_MAX);
    SAME("%ld %ld %lld", INT64_MIN, INT64_MAX, -7LL);
    SAME("%lu %llu %zu %lx %llx", UINT64_MAX, 5ULL, SIZE_MAX, UINT64_MAX, 255ULL);
    SAME("[%5d] [%-5d] [%05d] [%05d] [%2d]", 42, 42, 42, -42, 12345);
    SAME("[%*d] [%-*d] [%*d]", 6, 42, 6, 42, -6, 42);
    SAME("[%8s] [%-8s] [%.3s] [%.*s] [%8.2s]", "abc", "abc", "abcdef", 2, "abcdef", "abc");
    SAME("[%c] [%3c] [%-3c]", 'x', 'y', 'z');
    SAME("%08x|%016lx", 0xbeefu, 0xbeefUL);
}

static void never_reads_beyond_a_precision(void **state)
{
    char *three = malloc(3);
    char buf[8];
    memcpy(three, "abc", 3);
    assert_int_equal(fmt(buf, sizeof(buf), "%.*s", 3, three), 3);
    assert_string_equal(buf, "abc");
    free(three);
}

static void cuts_and_tells_the_whole_length(void **state)
{
    char buf[4] = "zzz";
    assert_int_equal(fmt(buf, sizeof(buf), "%s", "abcdef"), 6);
    assert_string_equal(buf, "abc");
    assert_int_equal(fmt(buf, 1, "%d", 12345), 5);
    assert_string_equal(buf, "");
    buf[0] = 'q';
    assert_int_equal(fmt(buf, 0, "%d", 12345), 5);
    assert_int_equal(fmt(NULL, 0, "%g", 1.5), 3);
    assert_int_equal(buf[0], 'q');
}

static const struct {
    double value;
    int decimals;
    const char *text;
} doubles[] = {
    { 0.0, 3, "0" },
    { -0.0, 3, "0" },
    { 1.0, 3, "1" },
    { -1.5, 3, "-1.5" },
    { 0.1, 1, "0.1" },
    { 0.1, 9, "0.1" },
    { 0.25, 1, "0.3" },
    { 0.05, 3, "0.05" },
    { 0.0004, 3, "0" },
    { -0.0004, 3, "0" },
    { 0.9996, 3, "1" },
    { -0.9996, 3, "-1" },
    { 99.99, 2, "99.99" },
    { 1.005, 3, "1.005" },
    { 2.5, 0, "3" },
    { 0.49999999999999994, 0, "0" },
    { 100, 0, "100" },
    { 1.23456789, 12, "1.23456789" },
    { 1.5, -1, "2" },
    { 123456789.125, 3, "123456789.125" },
    { 9007199254740993.0, 3, "9007199254740992" },
    { 999999999999999872.0, 9, "999999999999999872" },
    { 1e17, 9, "100000000000000000" },
    { 1e18, 3, "1e18" },
    { -1e18, 3, "-1e18" },
    { 1.5e18, 3, "1.5e18" },
    { 1.5e18, 0, "2e18" },
    { 9.9996e18, 3, "1e19" },
    { 1.2345e100, 4, "1.2345e100" },
    { 1e300, 9, "1e300" },
    { 1.7976931348623157e308, 3, "1.798e308" },
    { 5e-324, 9, "0" },
    { __builtin_nan(""), 3, "nan" },
    { __builtin_inf(), 3, "inf" },
    { -__builtin_inf(), 3, "-inf" },
};

/* No character is left in two, and what is no UTF-8 stays as it is. */
static void cuts_behind_whole_characters(void **state)
{
    static const struct {
        const char *text;
        size_t cap;
        const char *cut;
    } all[] = {
        { "a\xc3\xa4", 3, "a" },
        { "a\xc3\xa4", 4, "a\xc3\xa4" },
        { "\xe2\x82\xac.", 3, "" },
        { "\xe2\x82\xac.", 4, "\xe2\x82\xac" },
        { "x\xf0\x9f\x98\x80.", 5, "x" },
        { "x\xf0\x9f\x98\x80.", 6, "x\xf0\x9f\x98\x80" },
        { "\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80" },
        { "\x80\x80", 2, "\x80" },
        { "abc", 1, "" },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char buf[16];
        assert_int_equal(fmt(buf, all[i].cap, "%s", all[i].text), strlen(all[i].text));
        assert_string_equal(buf, all[i].cut);
    }
}

static void writes_decimals(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
        char buf[64];
        size_t n = fmt_double(buf, sizeof(buf), doubles[i].value, doubles[i].decimals);
        assert_string_equal(buf, doubles[i].text);
        assert_int_equal(n, strlen(doubles[i].text));
        assert_int_equal(fmt_double(NULL, 0, doubles[i].value, doubles[i].decimals), n);
    }
}

static void strip_zeros(char *text)
{
    size_t n = strlen(text);
    while (strchr(text, '.') && (text[n - 1] == '0' || text[n - 1] == '.')) {
        bool point = text[--n] == '.';
        text[n] = '\0';
        if (point)
            break;
    }
}

/* Libc rounds halves of the last digit to even, we round them up: elsewhere both agree. */
static void agrees_with_printf_on_random_doubles(void **state)
{
    static const double scales[] = { 1, 10, 100, 1000, 10000 };
    struct rng rng;
    rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        double value = (rng_unit(&rng) - 0.5) * (double)(UINT64_C(1) << rng_below(&rng, 40));
        int decimals = (int)rng_below(&rng, ARRAY_LEN(scales));
        double halves = value * 2 * scales[decimals];
        char ours[64], theirs[64];
        if (halves == (double)(int64_t)halves)
            continue;
        fmt_double(ours, sizeof(ours), value, decimals);
        snprintf(theirs, sizeof(theirs), "%.*f", decimals, value);
        strip_zeros(theirs);
        assert_string_equal(ours, strcmp(theirs, "-0") == 0 ? "0" : theirs);
    }
}

static void formats_doubles_in_text(void **state)
{
    char buf[64];
    fmt(buf, sizeof(buf), "cpu %g above %.1g%% [%6g] [%-6g]", 0.12345, 80.06, 1.5, 2.5);
    assert_string_equal(buf, "cpu 0.123 above 80.1% [   1.5] [2.5   ]");
}

static void errors_carry_code_place_and_text(void **state)
{
    struct err err = { 0 };
    assert_int_equal(err_at(&err, -22, "a.yaml:3:4", "max %d is below min %d", 1, 2), -22);
    assert_int_equal(err.code, -22);
    assert_string_equal(err.place, "a.yaml:3:4");
    assert_string_equal(err.text, "max 1 is below min 2");
    assert_int_equal(err_set(&err, -2, "%s", "gone"), -2);
    assert_string_equal(err.place, "");
    assert_string_equal(err.text, "gone");
    assert_int_equal(err_set(NULL, -5, "%s", "unread"), -5);
    assert_int_equal(err_at(NULL, -5, "x", "%s", "unread"), -5);
}

static void errors_cut_long_texts(void **state)
{
    struct err err;
    char text[1024];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_at(&err, -22, text, "%s", text);
    assert_int_equal(strlen(err.place), sizeof(err.place) - 1);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_as_printf_does),
        cmocka_unit_test(never_reads_beyond_a_precision),
        cmocka_unit_test(cuts_and_tells_the_whole_length),
        cmocka_unit_test(cuts_behind_whole_characters),
        cmocka_unit_test(writes_decimals),
        cmocka_unit_test(agrees_with_printf_on_random_doubles),
        cmocka_unit_test(formats_doubles_in_text),
        cmocka_unit_test(errors_carry_code_place_and_text),
        cmocka_unit_test(errors_cut_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
