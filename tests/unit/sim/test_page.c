/* The page: whatever the texts are, the data comes out as it went in, and nothing in it can end the
 * element it stands in. What a browser makes of it is tests/system's. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/page/page.h"
#include "sim/run.h"

static double rates[] = { 10, 20 };
static const struct trace trace = {
    .name = "shop </script>",
    .start_wall_us = INT64_C(1700000460) * US_PER_S,
    .step_us = 60 * US_PER_S,
    .count = 2,
    .rates = rates,
};
static const struct policy_ops policy = { .name = "plain", .help = "as \"it\" is" };
static const struct run_options options = {
    .trace = &trace, .policy = &policy, .capacity = 10, .slots = 2, .slo_wait_s = 0.5, .cost = 0.25
};

/* The page of one run with these decisions; the caller frees it. */
static char *write_page(const char *title, const char *name, struct run_decision *decisions,
                        uint32_t count)
{
    struct run_point points[] = {
        { .at_us = 60 * US_PER_S, .load = 10, .ready = 1, .latency_p99_s = 0.25 },
        { .at_us = 120 * US_PER_S, .load = (double)INFINITY, .ready = 2, .paid_s = 7200 },
    };
    struct run_result result = {
        .score = { .violations = 0.125, .instance_hours = 2, .moves = count },
        .points = points,
        .point_count = ARRAY_LEN(points),
        .decisions = decisions,
        .decision_count = count,
    };
    struct page_run run = { .name = name, .options = &options, .result = &result };
    struct page_dot dot = { 0.5, 3, true, "<a & \"b\">" };
    struct page page = {
        .title = title, .run_count = 1, .runs = &run, .dot_count = 1, .dots = &dot
    };
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_int_equal(page_write(&page, out), 0);
    fclose(out);
    return text;
}

static json_t *data_of(const char *page)
{
    static const char begin[] = "<script type=\"application/json\" id=\"data\">";
    const char *from = strstr(page, begin);
    assert_non_null(from);
    from += strlen(begin);
    const char *to = strstr(from, "</script>"); /* where a browser ends it */
    assert_non_null(to);
    json_error_t error;
    json_t *data = json_loadb(from, (size_t)(to - from), 0, &error);
    if (!data)
        fail_msg("line %d: %s", error.line, error.text);
    return data;
}

static const char *text_at(json_t *data, const char *list, size_t n)
{
    json_t *decisions =
        json_object_get(json_array_get(json_object_get(data, "runs"), 0), "decisions");
    return json_string_value(json_array_get(json_object_get(decisions, list), n));
}

static void test_texts_survive(void **state)
{
    static const struct {
        const char *why, *wanted;
    } cases[] = {
        { "plain", "plain" },
        { "</script><script>alert(1)</script>", "</script><script>alert(1)</script>" },
        { "<!-- <script>", "<!-- <script>" },
        { "quotes \" ' ` and \\ and {{data}}", "quotes \" ' ` and \\ and {{data}}" },
        { "tab\tline\nbell\a", "tab\tline\nbell\a" },
        { "Gr\xc3\xbc\xc3\x9f Gott \xe2\x82\xac \xf0\x9f\x9a\xa2",
          "Gr\xc3\xbc\xc3\x9f Gott \xe2\x82\xac \xf0\x9f\x9a\xa2" },
        { "broken \xff\xc3 \xe2\x82 end\xed\xa0\x80",
          "broken \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd end"
          "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "", "" },
    };
    struct run_decision decisions[ARRAY_LEN(cases)] = { 0 };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        decisions[n].at_us = (int64_t)n * US_PER_S;
        snprintf(decisions[n].why, sizeof(decisions[n].why), "%s", cases[n].why);
    }
    char *page = write_page("t", "n", decisions, ARRAY_LEN(cases));
    json_t *data = data_of(page);
    for (size_t n = 0; n < ARRAY_LEN(cases); n++)
        assert_string_equal(text_at(data, "why", n), cases[n].wanted);
    json_decref(data);
    free(page);
}

static void test_title_is_escaped(void **state)
{
    char *page = write_page("<b>&\"'</title>", "n", NULL, 0);
    assert_null(strstr(page, "<b>"));
    assert_non_null(strstr(page, "<title>&#60;b&#62;&#38;&#34;&#39;&#60;/title&#62;</title>"));
    assert_null(strstr(page, "{{"));
    free(page);
}

static void test_data_is_whole(void **state)
{
    char *page = write_page("t", NULL, NULL, 0);
    json_t *data = data_of(page), *run, *points;
    double violations, cost, seconds, hours, start;
    const char *name, *help;
    int rc = json_unpack(data, "{s:F, s:F, s:F, s:[{s:s, s:s, s:{s:F}, s:o}], s:[{s:F}]}", "cost",
                         &cost, "start_wall_s", &start, "seconds", &seconds, "runs", "name", &name,
                         "help", &help, "score", "violations", &violations, "points", &points,
                         "dots", "hours", &hours);
    assert_int_equal(rc, 0);
    assert_true(cost == 0.25 && seconds == 120 && start == 1700000460 && violations == 0.125 &&
                hours == 3);
    assert_string_equal(name, "plain");
    assert_string_equal(help, "as \"it\" is");
    assert_true(json_is_null(json_array_get(json_object_get(points, "load"), 1)));
    const char *key;
    json_object_foreach(points, key, run) assert_int_equal(json_array_size(run), 2);
    json_decref(data);
    free(page);
}

/* Nothing is fetched: no address stands in the page but SVG's name. */
static void test_needs_nothing_else(void **state)
{
    char *page = write_page("t", "n", NULL, 0);
    for (const char *p = page; (p = strstr(p, "://")); p++)
        assert_memory_equal(p - 4, "http://www.w3.org/2000/svg", 26);
    assert_null(strstr(page, " src="));
    assert_null(strstr(page, "@import"));
    free(page);
}

static void test_full_disk(void **state)
{
    struct run_result result = { 0 };
    struct page_run run = { .options = &options, .result = &result };
    struct page page = { .title = "t", .run_count = 1, .runs = &run };
    FILE *out = fopen("/dev/full", "w");
    assert_non_null(out);
    assert_int_equal(page_write(&page, out), -EIO);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_survive), cmocka_unit_test(test_title_is_escaped),
        cmocka_unit_test(test_data_is_whole), cmocka_unit_test(test_needs_nothing_else),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
