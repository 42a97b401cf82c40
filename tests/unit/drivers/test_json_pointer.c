/* JSON pointers: the examples of RFC 6901, section 5, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "drivers/source/json_pointer.h"

static const char document[] =
    "{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, \"g|h\": 4,"
    " \"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8, \"deep\": [{\"n\": [10, 11]}]}";

static void test_values(void **state)
{
    static const struct {
        const char *pointer;
        json_int_t value; /* -1 = nothing there */
    } rows[] = {
        { "/", 0 },
        { "/a~1b", 1 },
        { "/c%d", 2 },
        { "/e^f", 3 },
        { "/g|h", 4 },
        { "/i\\j", 5 },
        { "/k\"l", 6 },
        { "/ ", 7 },
        { "/m~0n", 8 },
        { "/deep/0/n/1", 11 },
        { "/deep/00/n", -1 },
        { "/deep/-", -1 },
        { "/deep/1", -1 },
        { "/absent", -1 },
        { "/foo/x", -1 },
        { "/deep/0/n/1/2", -1 },
        { "/foo/99999999999999999999", -1 },
    };
    json_t *json = json_loads(document, 0, NULL);
    assert_non_null(json);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *value = json_pointer_get(json, rows[i].pointer);
        assert_true(json_pointer_valid(rows[i].pointer));
        if (rows[i].value < 0)
            assert_null(value);
        else
            assert_int_equal(json_integer_value(value), rows[i].value);
    }
    assert_ptr_equal(json_pointer_get(json, ""), json);
    assert_string_equal(json_string_value(json_pointer_get(json, "/foo/0")), "bar");
    json_decref(json);
}

static void test_invalid(void **state)
{
    static const char *const rows[] = { "foo", "foo/bar", "/a~", "/a~2b", "~0" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(json_pointer_valid(rows[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_values),
                                        cmocka_unit_test(test_invalid) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
