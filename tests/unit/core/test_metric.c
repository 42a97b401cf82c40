/* Metrics: names find themselves, and values are shown as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "core/metric.h"

static void test_names(void **state)
{
    for (unsigned m = 0; m < METRIC_BUILTIN_MAX; m++) {
        const struct metric_info *info = metric_info((enum metric)m);
        assert_non_null(info);
        assert_non_null(info->help);
        assert_int_equal(metric_find(slice_of(info->name)), m);
        assert_string_equal(metric_name((enum metric)m), info->name);
        assert_int_equal(metric_nature((enum metric)m), info->nature);
    }
    assert_int_equal(metric_find(SLICE("cpus")), METRIC_BUILTIN_MAX);
    assert_int_equal(metric_find(SLICE("")), METRIC_BUILTIN_MAX);
    assert_null(metric_info(METRIC_BUILTIN_MAX));
}

static void test_format(void **state)
{
    static const struct {
        enum metric metric;
        double value;
        const char *text;
    } cases[] = {
        { METRIC_CPU, 0.8, "80%" },
        { METRIC_CPU, 0.1234, "12.3%" },
        { METRIC_CONCURRENCY, 20, "20" },
        { METRIC_RPS, 12.5, "12.5/s" },
        { METRIC_LATENCY_P99, 0.25, "0.25s" },
        { METRIC_MEMORY, 67108864, "64MiB" },
        { METRIC_MEMORY, 512, "512B" },
        { METRIC_BYTES_IN, 2048, "2KiB/s" },
        { METRIC_HOST_CPU, 1, "100%" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[64];
        size_t n = metric_format(text, sizeof(text), cases[i].metric, cases[i].value);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(n, strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
