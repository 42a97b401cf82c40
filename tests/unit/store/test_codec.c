/* The exact forms of values: hex words, times, texts that are no text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "store/codec.h"

static void test_words_come_back(void **state)
{
    static const struct {
        uint64_t words[6];
        size_t count;
        const char *text;
    } cases[] = {
        { { 0 }, 0, "" },
        { { 0 }, 1, "0" },
        { { 0, 0, 0, 0 }, 4, "0*4" },
        { { 1, 0, 0, UINT64_MAX }, 4, "1 0*2 ffffffffffffffff" },
        { { UINT64_MAX, UINT64_MAX, 16, 17, 17, 18 }, 6, "ffffffffffffffff*2 10 11*2 12" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t *words;
        size_t count;
        char *text = codec_words(cases[i].words, cases[i].count);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(codec_words_decode(text, &words, &count), 0);
        assert_int_equal(count, cases[i].count);
        assert_memory_equal(words, cases[i].words, count * sizeof(*words));
        free(words);
        free(text);
    }
}

static void test_words_refuse_nonsense(void **state)
{
    static const char *const cases[] = {
        " ",
        "1 ",
        "1  2",
        "g",
        "1*",
        "1*0",
        "1*-1",
        "-1",
        "0x10*2",
        "1,2",
        "1*2*3",
        "10000000000000000",
        "1*99999999999999999999",
        "0*999999999999",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t *words = NULL;
        size_t count;
        if (codec_words_decode(cases[i], &words, &count) == 0)
            fail_msg("'%s' was taken for words", cases[i]);
    }
}

static void test_time_is_iso(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00.000000Z" },
        { INT64_C(1795151703123456), "2026-11-20T05:15:03.123456Z" },
        { -1, "1969-12-31T23:59:59.999999Z" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[CODEC_TIME_BYTES];
        codec_time_format(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_any_bytes_are_text(void **state)
{
    static const struct {
        const char *text;
        size_t bytes;
        bool plain;
    } cases[] = {
        { "", 0, true },          { "h\303\244lf", 5, true }, { "a\0b", 3, true },
        { "cut \303", 5, false }, { "\377\376", 2, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n;
        json_t *json = codec_text(cases[i].text, cases[i].bytes);
        assert_int_equal(json_is_string(json), cases[i].plain);
        char *text = codec_text_decode(json, &n);
        assert_int_equal(n, cases[i].bytes);
        assert_memory_equal(text, cases[i].text, n);
        free(text);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_come_back),
        cmocka_unit_test(test_words_refuse_nonsense),
        cmocka_unit_test(test_time_is_iso),
        cmocka_unit_test(test_any_bytes_are_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
