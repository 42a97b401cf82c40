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

void test_report_failure(FILE *out, const char *indent, const char *path,
                         const struct policytest_result *r)
{
    char at[48];
    num_format_duration(at, sizeof(at), r->at_us);
    fprintf(out, "%sat %s, %s:%u:%u\n", indent, at, path, r->line, r->column);
    fprintf(out, "%s- expected %s\n%s+ got      %s\n", indent, r->expected, indent, r->got);
    if (r->decided)
        put_decision(out, indent, &r->decision);
    for (uint32_t i = 0; i < r->trail_count; i++) {
        num_format_duration(at, sizeof(at), r->trail[i].at_us);
        fprintf(out, "%s%s %s: %d -> %d  %s\n", indent, i == 0 ? "moves:" : "      ", at,
                r->trail[i].before, r->trail[i].desired, r->trail[i].summary);
    }
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
    fprintf(out, "  %s  %s\n", r->passed ? "ok  " : "FAIL", t->name);
    if (!r->passed)
        test_report_failure(out, "        ", path, r);
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
        fputc(*name == '\n' ? ' ' : *name, out);
    }
}

static void tap_test(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                     const struct policytest_result *r)
{
    fprintf(out, "%sok %u - ", r->passed ? "" : "not ", number);
    put_tap_name(out, t->name);
    fputc('\n', out);
    if (!r->passed)
        test_report_failure(out, "# ", path, r);
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
