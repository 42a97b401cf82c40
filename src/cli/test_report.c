/* Results of policies' tests for people and as TAP (version 13: testanything.org). */
#include "cli/test_report.h"

#include <stdio.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"

static void put_count(char *buf, size_t cap, int32_t count)
{
    if (count == RULE_ABSTAIN)
        fmt(buf, cap, "-");
    else
        fmt(buf, cap, "%d", count);
}

static void put_decision(FILE *out, const char *indent, const struct decision *d)
{
    char counts[2][16];
    fprintf(out, "%swhy: %s\n", indent, d->summary);
    for (uint32_t i = 0; i < d->opinion_count; i++) {
        const struct opinion *o = &d->opinions[i].opinion;
        put_count(counts[0], sizeof(counts[0]), o->out);
        put_count(counts[1], sizeof(counts[1]), o->in);
        fprintf(out, "%s  %s: out %s, in %s  %s%s\n", indent, d->opinions[i].rule, counts[0],
                counts[1], o->text, o->block_in ? " (blocks scale-in)" : "");
    }
    for (uint32_t i = 0; i < d->step_count; i++)
        fprintf(out, "%s  %-10s %d -> %d  %s\n", indent, limit_kind_name(d->steps[i].kind),
                d->steps[i].from, d->steps[i].to, d->steps[i].text);
}

/* Of several services each says whose move it was. */
static void put_trail(FILE *out, const char *indent, const struct policytest *t,
                      const struct policytest_result *r)
{
    char at[48];
    bool several = t->kind == POLICYTEST_DECIDE && t->config->service_count > 1;
    for (uint32_t i = 0; i < r->trail_count; i++) {
        num_format_duration(at, sizeof(at), r->trail[i].at_us);
        fprintf(out, "%s%s %s%s%s: %s\n", indent, i == 0 ? "moves:" : "      ", at,
                several ? " " : "", several ? r->trail[i].service : "", r->trail[i].summary);
    }
}

/* What a test says may be of several lines, and hold what would command a terminal. */
static void put_line(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text, out);
    fputc('\n', out);
}

static void put_place(FILE *out, const char *path, const struct policytest *t,
                      const struct policytest_result *r)
{
    char at[48];
    num_format_duration(at, sizeof(at), r->at_us);
    if (t->kind == POLICYTEST_DECIDE)
        fprintf(out, "at %s, ", at);
    fprintf(out, "%s:%u:%u\n", path, r->line, r->column);
}

static void put_difference(FILE *out, const char *indent, const struct policytest_result *r)
{
    fprintf(out, "%s- expected ", indent);
    put_line(out, r->expected);
    fprintf(out, "%s+ got      ", indent);
    put_line(out, r->got);
}

void test_report_failure(FILE *out, const char *indent, const char *path,
                         const struct policytest *t, const struct policytest_result *r)
{
    fputs(indent, out);
    put_place(out, path, t, r);
    if (r->mistake[0] != '\0')
        fprintf(out, "%s%s\n", indent, r->mistake);
    else
        put_difference(out, indent, r);
    if (r->decided)
        put_decision(out, indent, &r->decision);
    put_trail(out, indent, t, r);
}

/* ---- for people ---- */

static void begin_nothing(FILE *out)
{
}

static void print_body(FILE *out, bool first, const char *path, const struct test_totals *of_file,
                       const char *body)
{
    fprintf(out, "%s%s\n%s", first ? "" : "\n", path, body);
}

static void people_test(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                        const struct policytest_result *r)
{
    fprintf(out, "  %s  ", r->passed ? "ok  " : "FAIL");
    put_line(out, t->name);
    if (!r->passed)
        test_report_failure(out, "        ", path, t, r);
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* What is wrong with files stands on standard error already. */
static void people_end(FILE *out, const struct test_totals *all, const struct test_broken *broken,
                       size_t broken_count)
{
    fprintf(out, "\n%u test%s, %u failed", all->tests, plural(all->tests), all->failed);
    if (broken_count > 0)
        fprintf(out, ", %zu file%s could not be tested", broken_count, plural(broken_count));
    fputc('\n', out);
}

const struct test_report test_report_people = {
    .name = "",
    .begin = begin_nothing,
    .test = people_test,
    .file = print_body,
    .end = people_end,
};

/* ---- TAP ---- */

static void tap_begin(FILE *out)
{
    fprintf(out, "TAP version 13\n");
}

/* "#" would begin a directive. */
static void put_tap_name(FILE *out, const char *name)
{
    for (; *name; name++) {
        if (*name == '#' || *name == '\\')
            fputc('\\', out);
        fputc((unsigned char)*name < ' ' ? ' ' : *name, out);
    }
}

static void tap_test(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                     const struct policytest_result *r)
{
    fprintf(out, "%sok %u - ", r->passed ? "" : "not ", number);
    put_tap_name(out, t->name);
    fputc('\n', out);
    if (!r->passed)
        test_report_failure(out, "# ", path, t, r);
}

static void tap_file(FILE *out, bool first, const char *path, const struct test_totals *of_file,
                     const char *body)
{
    fprintf(out, "# %s\n%s", path, body);
}

static void tap_end(FILE *out, const struct test_totals *all, const struct test_broken *broken,
                    size_t broken_count)
{
    for (size_t i = 0; i < broken_count; i++) {
        fprintf(out, "not ok %zu - ", all->tests + i + 1);
        put_tap_name(out, broken[i].path);
        fprintf(out, " cannot be tested\n");
        for (uint32_t n = 0; n < broken[i].error_count; n++)
            fprintf(out, "# %s: %s\n", broken[i].errors[n].place, broken[i].errors[n].text);
    }
    fprintf(out, "1..%zu\n", all->tests + broken_count);
}

const struct test_report test_report_tap = {
    .name = "tap",
    .begin = tap_begin,
    .test = tap_test,
    .file = tap_file,
    .end = tap_end,
};
