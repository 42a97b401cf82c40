/* plimsoll score: the default policy beside its peers on recorded loads, as Markdown. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/score_cells.h"
#include "cli/score_json.h"
#include "cli/trace_file.h"
#include "sys/mem.h"

#define TRACES_MAX (SCORE_CELLS_MAX / 3)
#define RESULTS_BYTES_MAX ((size_t)1024 * 1024)
#define RESULTS_BEGIN "<!-- results: made by plimsoll score -->\n"
#define RESULTS_END "<!-- end of results -->\n"

static const int64_t boots_us[] = { 5 * US_PER_S, 60 * US_PER_S, 300 * US_PER_S };

struct board {
    struct trace traces[TRACES_MAX];
    size_t trace_count;
    struct score_cell cells[SCORE_CELLS_MAX];
    size_t cell_count;
};

static int64_t boot_s(const struct score_cell *c)
{
    return c->boot_us / US_PER_S;
}

/* -- the loads -- */

/* "traces/wc98_19980608_19980621_60s.csv" -> "wc98": up to the first '_'. */
static void shorten(struct trace *t, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    struct str s;
    str_init(&s, t->name, sizeof(t->name));
    str_put_n(&s, base, strcspn(base, "_."));
}

static int read_traces(const struct options *o, struct board *b, struct err *err)
{
    for (size_t n = 0; n < o->word_count; n++) {
        struct trace *t = &b->traces[n];
        int rc = trace_file_read(o->words[n], t, NULL, err);
        if (rc < 0)
            return rc;
        b->trace_count++;
        if (trace_mean(t) <= 0)
            return err_set(err, -EINVAL, "%s: no load in it", o->words[n]);
        if (score_prepare(t) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        shorten(t, o->words[n]);
        for (size_t k = 0; k < ARRAY_LEN(boots_us); k++)
            b->cells[b->cell_count++] = (struct score_cell){ .trace = t, .boot_us = boots_us[k] };
    }
    return 0;
}

/* -- as Markdown -- */

static void put_number(struct str *s, double value, int decimals)
{
    char buf[64];
    fmt_double(buf, sizeof(buf), value, decimals);
    str_putf(s, " %s |", buf);
}

static void put_share(struct str *s, double share, int decimals)
{
    char buf[64];
    fmt_double(buf, sizeof(buf), 100 * share, decimals);
    str_putf(s, " %s %% |", buf);
}

static const char *fault(const struct score_cell *c)
{
    if (c->good)
        return "yes";
    if (c->scores[0].violations > c->scores[c->peer].violations)
        return "**no**: violations";
    return "**no**: hours";
}

static void put_summary(struct str *s, const struct board *b)
{
    size_t good = 0, oracle = score_place(policy_find("oracle"));
    str_put(s, "| load | boot | better peer | its violations | its hours | oracle's hours | "
               "plimsoll's violations | hours | gap closed | goal |\n"
               "|---|--:|---|--:|--:|--:|--:|--:|--:|---|\n");
    for (size_t n = 0; n < b->cell_count; n++) {
        const struct score_cell *c = &b->cells[n];
        const struct score *peer = &c->scores[c->peer];
        str_putf(s, "| %s | %llds | %s |", c->trace->name, (long long)boot_s(c),
                 policy_all[c->peer]->name);
        put_share(s, peer->violations, 4);
        put_number(s, peer->instance_hours, 1);
        put_number(s, c->scores[oracle].instance_hours, 1);
        put_share(s, c->scores[0].violations, 4);
        put_number(s, c->scores[0].instance_hours, 1);
        if (c->closes)
            put_share(s, c->gap, 1);
        else
            str_put(s, " - |");
        str_putf(s, " %s |\n", fault(c));
        good += c->good;
    }
    str_putf(s, "\n%zu of %zu cells reach the goal.\n", good, b->cell_count);
}

static void put_cell(struct str *s, const struct score_cell *c)
{
    str_putf(s, "\n### %s, boot %lld s\n\n", c->trace->name, (long long)boot_s(c));
    str_put(s, "| policy | violations | hours | moves | utilisation | theta_U | theta_O | tau_U | "
               "tau_O | upsilon | jitter |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (size_t n = 0; policy_all[n]; n++) {
        const struct score *x = &c->scores[n];
        str_putf(s, "| %s |", policy_all[n]->name);
        put_share(s, x->violations, 4);
        put_number(s, x->instance_hours, 1);
        str_putf(s, " %llu |", (unsigned long long)x->moves);
        put_share(s, x->mean_utilisation, 1);
        put_number(s, x->theta_u, 2);
        put_number(s, x->theta_o, 2);
        put_number(s, x->tau_u, 2);
        put_number(s, x->tau_o, 2);
        put_number(s, x->upsilon, 2);
        put_number(s, x->jitter, 3);
        str_put(s, "\n");
    }
}

static void put_all(struct str *s, const struct board *b)
{
    put_summary(s, b);
    str_put(s, "\n## All policies\n");
    for (size_t n = 0; n < b->cell_count; n++)
        put_cell(s, &b->cells[n]);
}

/* -- as JSON -- */

static int print_json(const struct board *b)
{
    json_t *cells = json_array();
    for (size_t n = 0; n < b->cell_count; n++) {
        const struct score_cell *c = &b->cells[n];
        json_t *scores = json_object();
        for (size_t k = 0; policy_all[k]; k++)
            json_object_set_new(scores, policy_all[k]->name, score_json(&c->scores[k]));
        json_array_append_new(cells, json_pack("{s:s,s:I,s:s,s:o,s:b,s:o}", "load", c->trace->name,
                                               "boot_s", (json_int_t)boot_s(c), "peer",
                                               policy_all[c->peer]->name, "gap_closed",
                                               c->closes ? json_real(c->gap) : json_null(), "good",
                                               (int)c->good, "scores", scores));
    }
    _cleanup_json_ json_t *root = json_pack("{s:o}", "cells", cells);
    if (!root || json_array_size(cells) < b->cell_count)
        return command_fail(COMMAND_FAILED, "the result cannot be written as JSON");
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    putchar('\n');
    return COMMAND_OK;
}

/* -- against what was recorded -- */

/* Whole numbers, so that a file can be compared with exactly. */
struct record {
    char load[64];
    int64_t boot_s, violations_ppb, instance_s;
};

static struct record make_record(const struct score_cell *c)
{
    struct record r = {
        .boot_s = boot_s(c),
        .violations_ppb = (int64_t)(c->scores[0].violations * 1e9 + 0.5),
        .instance_s = (int64_t)(c->scores[0].instance_hours * 3600 + 0.5),
    };
    (void)str_copy(r.load, sizeof(r.load), c->trace->name);
    return r;
}

static int write_records(const char *path, const struct board *b)
{
    _cleanup_fclose_ FILE *f = fopen(path, "we");
    if (!f)
        return command_fail(COMMAND_FAILED, "%s: %s", path, strerror(errno));
    fputs("# load, boot in s, violations in parts per billion, instance-seconds: plimsoll's\n", f);
    for (size_t n = 0; n < b->cell_count; n++) {
        struct record r = make_record(&b->cells[n]);
        fprintf(f, "%s %" PRId64 " %" PRId64 " %" PRId64 "\n", r.load, r.boot_s, r.violations_ppb,
                r.instance_s);
    }
    return fflush(f) == 0 ? COMMAND_OK : command_fail(COMMAND_FAILED, "%s: not written", path);
}

static const struct score_cell *find_cell(const struct board *b, const struct record *r)
{
    for (size_t n = 0; n < b->cell_count; n++) {
        if (strcmp(b->cells[n].trace->name, r->load) == 0 && boot_s(&b->cells[n]) == r->boot_s)
            return &b->cells[n];
    }
    return NULL;
}

static bool is_worse(const char *path, const struct record *then, const struct board *b)
{
    const struct score_cell *c = find_cell(b, then);
    if (!c) {
        fprintf(stderr, "%s: nobody measured %s, boot %" PRId64 " s\n", path, then->load,
                then->boot_s);
        return true;
    }
    struct record now = make_record(c);
    if (now.violations_ppb <= then->violations_ppb && now.instance_s <= then->instance_s)
        return false;
    fprintf(stderr,
            "%s, boot %" PRId64 " s, got worse: violations %" PRId64 " -> %" PRId64
            " ppb, instance-seconds %" PRId64 " -> %" PRId64 "\n",
            then->load, then->boot_s, then->violations_ppb, now.violations_ppb, then->instance_s,
            now.instance_s);
    return true;
}

static int compare(const char *path, const struct board *b)
{
    char line[256];
    size_t worse = 0, lines = 0;
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        return command_fail(COMMAND_FAILED, "%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), f)) {
        struct record r = { 0 };
        if (line[0] == '#')
            continue;
        if (sscanf(line, "%63s %" SCNd64 " %" SCNd64 " %" SCNd64, r.load, &r.boot_s,
                   &r.violations_ppb, &r.instance_s) != 4)
            return command_fail(COMMAND_FAILED, "%s: not a record: %s", path, line);
        lines++;
        worse += is_worse(path, &r, b);
    }
    if (worse > 0)
        return command_fail(COMMAND_FAILED, "%zu of %zu cells got worse", worse, lines);
    return COMMAND_OK;
}

/* -- into the page that tells of it -- */

static int replace_results(const char *path, const struct str *results)
{
    _cleanup_free_ char *text = calloc(1, RESULTS_BYTES_MAX + 1);
    _cleanup_fclose_ FILE *f = fopen(path, "r+e");
    if (!text || !f)
        return command_fail(COMMAND_FAILED, "%s: %s", path, strerror(errno));
    size_t bytes = fread(text, 1, RESULTS_BYTES_MAX, f);
    char *begin = strstr(text, RESULTS_BEGIN), *end = strstr(text, RESULTS_END);
    if (!begin || !end || end < begin)
        return command_fail(COMMAND_FAILED, "%s: no place for results in it", path);
    begin += strlen(RESULTS_BEGIN);
    rewind(f);
    fwrite(text, 1, (size_t)(begin - text), f);
    fprintf(f, "\n%s\n", results->p);
    fwrite(end, 1, bytes - (size_t)(end - text), f);
    if (fflush(f) != 0 || ftruncate(fileno(f), ftell(f)) < 0)
        return command_fail(COMMAND_FAILED, "%s: %s", path, strerror(errno));
    return COMMAND_OK;
}

static int report(const struct options *o, const struct board *b)
{
    const char *record = options_text(o, "record"), *expected = options_text(o, "compare");
    const char *update = options_text(o, "update");
    _cleanup_free_ char *text = malloc(RESULTS_BYTES_MAX);
    if (!text)
        return command_fail(COMMAND_FAILED, "out of memory");
    struct str s;
    str_init(&s, text, RESULTS_BYTES_MAX);
    put_all(&s, b);
    int rc = COMMAND_OK;
    if (options_flag(o, "json"))
        rc = print_json(b);
    else if (!update)
        fputs(text, stdout);
    if (rc == COMMAND_OK && update)
        rc = replace_results(update, &s);
    if (rc == COMMAND_OK && record)
        rc = write_records(record, b);
    if (rc == COMMAND_OK && expected)
        rc = compare(expected, b);
    return rc;
}

static int run(const struct options *o)
{
    struct err err = { 0 };
    struct board *b = calloc(1, sizeof(*b));
    if (!b)
        return command_fail(COMMAND_FAILED, "out of memory");
    int rc = read_traces(o, b, &err) < 0 ? command_fail_err(COMMAND_USAGE, &err) : 0;
    if (rc == 0 && score_fill(b->cells, b->cell_count, &err) < 0)
        rc = command_fail_err(COMMAND_FAILED, &err);
    if (rc == 0)
        rc = report(o, b);
    for (size_t n = 0; n < b->trace_count; n++)
        trace_done(&b->traces[n]);
    free(b);
    return rc;
}

static const struct option_spec own_options[] = {
    { "compare", 0, "FILE", "exit with 1 when a cell is worse than recorded there" },
    { "record", 0, "FILE", "record plimsoll's cells there" },
    { "update", 0, "FILE", "put the tables into this page instead of printing them" },
    { 0 },
};

const struct command command_score = {
    .name = "score",
    .summary = "the default policy beside other autoscalers on recorded loads",
    .arguments = "TRACE...",
    .details = "Every load is scaled to 15 instances' worth; starts take 5, 60 and 300 s. The goal "
               "of a cell:\nno more violations than the better of HPA and Knative, and half of the "
               "gap between its\ninstance-hours and the oracle's closed.\n",
    .examples = "  plimsoll score traces/*.csv\n"
                "  plimsoll score --compare tests/score.expected traces/*.csv\n",
    .options = own_options,
    .words_min = 1,
    .words_max = TRACES_MAX,
    .run = run,
};
