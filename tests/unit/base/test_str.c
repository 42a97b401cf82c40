/* Text in fixed memory, slices, edit distance; and the generator against published numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"

static void builds_text(void **state)
{
    char buf[16];
    struct str s;
    str_init(&s, buf, sizeof(buf));
    assert_string_equal(buf, "");
    str_put(&s, "ab");
    str_put_n(&s, "cdef", 2);
    str_put_n(&s, NULL, 0);
    str_put_char(&s, '-');
    str_putf(&s, "%03d", 7);
    assert_string_equal(s.p, "abcd-007");
    assert_int_equal(s.len, 8);
    assert_false(s.cut);
    str_clear(&s);
    assert_string_equal(buf, "");
    assert_int_equal(s.len, 0);
}

static void cuts_what_does_not_fit(void **state)
{
    for (int how = 0; how < 3; how++) {
        char buf[] = "........!";
        struct str s;
        str_init(&s, buf, 8);
        str_put(&s, "12345");
        if (how == 0)
            str_put(&s, "6789");
        else if (how == 1)
            str_putf(&s, "%d", 6789);
        else
            for (const char *p = "6789"; *p; p++)
                str_put_char(&s, *p);
        assert_string_equal(buf, "1234567");
        assert_int_equal(s.len, 7);
        assert_true(s.cut);
        str_putf(&s, "%s", "x");
        str_put(&s, "");
        assert_string_equal(buf, "1234567");
        assert_int_equal(buf[8], '!');
        str_clear(&s);
        assert_false(s.cut);
    }
}

static void fits_to_the_last_byte(void **state)
{
    char buf[4];
    struct str s;
    str_init(&s, buf, sizeof(buf));
    str_putf(&s, "%d", 123);
    assert_false(s.cut);
    assert_string_equal(buf, "123");
    str_init(&s, buf, 1);
    str_put(&s, "");
    assert_false(s.cut);
    str_put(&s, "x");
    assert_true(s.cut);
}

static void compares_slices(void **state)
{
    assert_true(slice_eq(SLICE("ab"), SLICE("ab")));
    assert_false(slice_eq(SLICE("ab"), SLICE("aB")));
    assert_false(slice_eq(SLICE("ab"), SLICE("abc")));
    assert_true(slice_eq((struct slice){ NULL, 0 }, SLICE("")));
    assert_true(slice_eq_nocase(SLICE("aB-1Z"), SLICE("Ab-1z")));
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`"))); /* differ in the same bit as a and A */
    assert_false(slice_eq_nocase(SLICE("["), SLICE("{")));
    assert_false(slice_eq_nocase(SLICE("a"), SLICE("ab")));
    assert_true(slice_eq_nocase(SLICE("\xc3\xa9"), SLICE("\xc3\xa9")));
    assert_false(slice_eq_nocase(SLICE("\xc3\xa9"), SLICE("\xc3\x89")));
}

static void trims_slices(void **state)
{
    assert_true(slice_eq(slice_trim(SLICE(" \ta b\t ")), SLICE("a b")));
    assert_true(slice_eq(slice_trim(SLICE(" \t ")), SLICE("")));
    assert_true(slice_eq(slice_trim(SLICE("")), SLICE("")));
    assert_true(slice_eq(slice_trim(SLICE("\na\n")), SLICE("\na\n")));
}

static void copies_or_leaves_empty(void **state)
{
    char buf[4] = "zzz";
    assert_true(str_copy(buf, sizeof(buf), "abc"));
    assert_string_equal(buf, "abc");
    assert_false(str_copy(buf, sizeof(buf), "abcd"));
    assert_string_equal(buf, "");
}

static void cleans(void **state)
{
    char text[] = "a\033[31mb\r\n\x7f \xc2\x9b\xc2\xa0\xc3\xa4\xc2";
    str_clean(text);
    assert_string_equal(text, "a [31mb      \xc2\xa0\xc3\xa4\xc2");
}

static void measures_distance(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        { "", "", 0 },         { "a", "", 1 },
        { "", "abc", 3 },      { "kitten", "sitting", 3 },
        { "flaw", "lawn", 2 }, { "intention", "execution", 5 },
        { "min", "max", 2 },   { "listen", "listne", 1 },
        { "mxa", "max", 1 },   { "mxa", "min", 2 },
        { "ca", "abc", 3 },    { "abab", "baba", 2 },
    };
    char long_text[80];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(str_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(str_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
    memset(long_text, 'x', sizeof(long_text));
    long_text[64] = '\0';
    assert_int_equal(str_distance(long_text, "x"), 64);
    long_text[63] = '\0';
    assert_int_equal(str_distance(long_text, "x"), 62);
    assert_int_equal(str_distance("y", long_text), 63);
}

/* The first outputs for the state 1, 2, 3, 4, as the reference implementation prints them. */
static void generates_the_published_numbers(void **state)
{
    static const uint64_t expected[] = { 11520, 0, 1509978240, UINT64_C(1215971899390074240) };
    struct rng rng = { { 1, 2, 3, 4 } };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_true(rng_u64(&rng) == expected[i]);
}

static void seeds_with_splitmix64(void **state)
{
    struct rng rng;
    rng_init(&rng, 0);
    assert_true(rng.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(rng.s[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(rng.s[2] == UINT64_C(0x06c45d188009454f));
    assert_true(rng.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void draws_within_bounds_and_evenly(void **state)
{
    struct rng rng;
    unsigned count[7] = { 0 };
    double sum = 0;
    rng_init(&rng, 5);
    for (int i = 0; i < 70000; i++) {
        uint64_t x = rng_below(&rng, 7);
        assert_true(x < 7);
        count[x]++;
        double u = rng_unit(&rng);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    for (size_t i = 0; i < 7; i++)
        assert_in_range(count[i], 9600, 10400);
    assert_true(sum > 34700 && sum < 35300);
    assert_true(rng_below(&rng, 1) == 0);
    for (int i = 0; i < 1000; i++)
        assert_true(rng_below(&rng, UINT64_C(3) << 62) < UINT64_C(3) << 62);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_text),
        cmocka_unit_test(cuts_what_does_not_fit),
        cmocka_unit_test(fits_to_the_last_byte),
        cmocka_unit_test(compares_slices),
        cmocka_unit_test(trims_slices),
        cmocka_unit_test(copies_or_leaves_empty),
        cmocka_unit_test(cleans),
        cmocka_unit_test(measures_distance),
        cmocka_unit_test(generates_the_published_numbers),
        cmocka_unit_test(seeds_with_splitmix64),
        cmocka_unit_test(draws_within_bounds_and_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
