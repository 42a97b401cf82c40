/* Results of policies' tests for other programs: JUnit's XML, and JSON (docs/testing-policies.md).
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "cli/remote.h"
#include "cli/test_report.h"
#include "sys/mem.h"

/* ---- texts: a path may be no UTF-8, and what an error quotes may be cut within a character ----
 */

static bool is_utf8(const char *text)
{
    _cleanup_json_ json_t *json = json_string(text);
    return json != NULL;
}

static char as_ascii(char c)
{
    return (unsigned char)c < 0x80 ? c : '?';
}

static json_t *text_of(const char *text)
{
    char ascii[4096];
    size_t n = 0;
    if (is_utf8(text))
        return json_string(text);
    for (; text[n] && n < sizeof(ascii) - 1; n++)
        ascii[n] = as_ascii(text[n]);
    return json_stringn(ascii, n);
}

/* ---- JUnit ---- */

/* U+FFFE and U+FFFF: UTF-8 has them, XML has not. */
static bool is_no_character(const char *text)
{
    return strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0;
}

static void put_xml(FILE *out, const char *text)
{
    bool utf8 = is_utf8(text);
    static const struct {
        char c;
        const char *entity;
    } entities[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\n', "&#10;" },
    };
    for (; *text; text++) {
        const char *entity = NULL;
        for (size_t i = 0; i < ARRAY_LEN(entities); i++)
            if (*text == entities[i].c)
                entity = entities[i].entity;
        if (utf8 && is_no_character(text)) {
            fputc('?', out);
            text += 2;
        } else if (entity)
            fputs(entity, out);
        else if ((unsigned char)*text >= ' ') /* XML 1.0 has no other control characters */
            fputc(utf8 ? *text : as_ascii(*text), out);
    }
}

static void junit_begin(FILE *out)
{
    fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
}

/* The failure as people read it, as one text. */
static char *failure_text(const char *path, const struct policytest *t,
                          const struct policytest_result *r)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return NULL;
    test_report_failure(f, "", path, t, r);
    fclose(f);
    return text;
}

static void junit_test(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                       const struct policytest_result *r)
{
    fprintf(out, "    <testcase name=\"");
    put_xml(out, t->name);
    fprintf(out, "\" classname=\"");
    put_xml(out, path);
    if (r->passed) {
        fprintf(out, "\"/>\n");
        return;
    }
    fprintf(out, "\">\n      <failure message=\"");
    put_xml(out, r->mistake);
    if (r->mistake[0] == '\0') {
        fprintf(out, "expected ");
        put_xml(out, r->expected);
        fprintf(out, ", got ");
        put_xml(out, r->got);
    }
    fprintf(out, "\">");
    _cleanup_free_ char *text = failure_text(path, t, r);
    put_xml(out, text ? text : "");
    fprintf(out, "</failure>\n    </testcase>\n");
}

static void junit_file(FILE *out, bool first, const char *path, const struct test_totals *of_file,
                       const char *body)
{
    fprintf(out, "  <testsuite name=\"");
    put_xml(out, path);
    fprintf(out, "\" tests=\"%u\" failures=\"%u\" errors=\"0\">\n%s  </testsuite>\n",
            of_file->tests, of_file->failed, body);
}

/* A suite of its own with one test, which is in error. */
static void put_broken(FILE *out, const struct test_broken *b)
{
    fprintf(out, "  <testsuite name=\"");
    put_xml(out, b->path);
    fprintf(out, "\" tests=\"1\" failures=\"0\" errors=\"1\">\n    <testcase name=\"");
    put_xml(out, b->path);
    fprintf(out, "\" classname=\"");
    put_xml(out, b->path);
    fprintf(out, "\">\n      <error message=\"");
    put_xml(out, b->errors[0].text);
    fprintf(out, "\">");
    for (uint32_t i = 0; i < b->error_count; i++) {
        put_xml(out, b->errors[i].place);
        fprintf(out, ": ");
        put_xml(out, b->errors[i].text);
        fputc('\n', out);
    }
    fprintf(out, "</error>\n    </testcase>\n  </testsuite>\n");
}

static void junit_end(FILE *out, const struct test_totals *all, const struct test_broken *broken,
                      size_t broken_count)
{
    for (size_t i = 0; i < broken_count; i++)
        put_broken(out, &broken[i]);
    fprintf(out, "</testsuites>\n");
}

const struct test_report test_report_junit = {
    .name = "junit",
    .begin = junit_begin,
    .test = junit_test,
    .file = junit_file,
    .end = junit_end,
};

/* ---- JSON: an object; a list of files would need their end, so it is one list of tests ---- */

static void json_begin(FILE *out)
{
    fprintf(out, "{\"tests\":[");
}

static json_t *count_of(int32_t count)
{
    return count == RULE_ABSTAIN ? json_null() : json_integer(count);
}

static json_t *decision_of(const struct decision *d)
{
    json_t *opinions = json_array(), *steps = json_array();
    for (uint32_t i = 0; i < d->opinion_count; i++) {
        const struct opinion *o = &d->opinions[i].opinion;
        json_array_append_new(opinions,
                              json_pack("{s:s, s:o, s:o, s:b, s:s}", "rule", d->opinions[i].rule,
                                        "out", count_of(o->out), "in", count_of(o->in), "block_in",
                                        (int)o->block_in, "text", o->text));
    }
    for (uint32_t i = 0; i < d->step_count; i++)
        json_array_append_new(steps,
                              json_pack("{s:s, s:i, s:i, s:s}", "limit",
                                        limit_kind_name(d->steps[i].kind), "from", d->steps[i].from,
                                        "to", d->steps[i].to, "text", d->steps[i].text));
    return json_pack("{s:s, s:i, s:i, s:o, s:o}", "summary", d->summary, "before", d->before,
                     "desired", d->desired, "opinions", opinions, "steps", steps);
}

static void set_failure(json_t *test, const struct policytest_result *r)
{
    if (r->mistake[0] != '\0') {
        json_object_set_new(test, "mistake", text_of(r->mistake));
        return;
    }
    json_object_set_new(test, "expected", text_of(r->expected));
    json_object_set_new(test, "got", text_of(r->got));
}

static void json_test(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                      const struct policytest_result *r)
{
    _cleanup_json_ json_t *test =
        json_pack("{s:o, s:i, s:s, s:b}", "file", text_of(path), "line", (int)t->line, "name",
                  t->name, "passed", (int)r->passed);
    if (!r->passed) {
        json_object_set_new(test, "at_s", json_real((double)r->at_us / (double)US_PER_S));
        json_object_set_new(test, "expect_line", json_integer(r->line));
        set_failure(test, r);
        if (r->decided)
            json_object_set_new(test, "decision", decision_of(&r->decision));
    }
    if (number > 1)
        fputc(',', out);
    json_dumpf(test, out, JSON_COMPACT);
}

static void json_file(FILE *out, bool first, const char *path, const struct test_totals *of_file,
                      const char *body)
{
    fputs(body, out);
}

static void json_end(FILE *out, const struct test_totals *all, const struct test_broken *broken,
                     size_t broken_count)
{
    _cleanup_json_ json_t *errors = json_array();
    for (size_t i = 0; i < broken_count; i++)
        for (uint32_t n = 0; n < broken[i].error_count; n++)
            json_array_append_new(errors,
                                  json_pack("{s:o, s:o, s:o}", "file", text_of(broken[i].path),
                                            "place", text_of(broken[i].errors[n].place), "text",
                                            text_of(broken[i].errors[n].text)));
    fprintf(out, "],\"errors\":");
    json_dumpf(errors, out, JSON_COMPACT);
    fprintf(out, ",\"count\":%u,\"failed\":%u}\n", all->tests, all->failed);
}

const struct test_report test_report_json = {
    .name = "json",
    .begin = json_begin,
    .test = json_test,
    .file = json_file,
    .end = json_end,
};
