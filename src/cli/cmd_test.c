/* plimsoll test: unit tests of policies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/test_report.h"
#include "config/config.h"
#include "controller/controller.h"
#include "sim/policytest/policytest.h"
#include "sys/mem.h"

#define ARENA_BYTES ((size_t)512 << 20)
#define SINKS_MAX 2

/* Where results go, and in which words. */
struct sink {
    const struct test_report *report;
    FILE *out;
    char *body;
    size_t body_bytes;
    FILE *file; /* writes the body of the file being tested */
};

struct session {
    struct sink sinks[SINKS_MAX];
    size_t sink_count;
    struct test_totals all, of_file;
    struct arena arena; /* of what is wrong with files */
    size_t broken_count;
    struct test_broken broken[OPTIONS_GIVEN_MAX];
};

/* `config: shop.yaml` lies beside the test file. */
static int load_beside(void *ctx, struct arena *arena, const char *of, const char *path,
                       struct config **ret, struct err *errors, size_t errors_cap,
                       size_t *ret_error_count)
{
    char full[4096];
    const char *slash = path[0] == '/' ? NULL : strrchr(of, '/');
    fmt(full, sizeof(full), "%.*s%s", slash ? (int)(slash + 1 - of) : 0, of, path);
    const char *name = arena_strdup(arena, full);
    if (!name)
        return -ENOMEM;
    return controller_load_config(arena, name, ret, errors, errors_cap, ret_error_count);
}

static int read_all(FILE *f, char **ret, size_t *ret_bytes)
{
    _cleanup_free_ char *text = malloc(CONFIG_TEXT_MAX + 2);
    if (!text)
        return -ENOMEM;
    size_t n = fread(text, 1, CONFIG_TEXT_MAX + 1, f);
    if (ferror(f))
        return errno > 0 ? -errno : -EIO;
    text[n] = '\0';
    *ret = TAKE_PTR(text);
    *ret_bytes = n;
    return 0;
}

static int read_text(const char *path, char **ret, size_t *ret_bytes)
{
    if (strcmp(path, "-") == 0)
        return read_all(stdin, ret, ret_bytes);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    return f ? read_all(f, ret, ret_bytes) : -errno;
}

static void show_errors(const char *path, const char *text, const struct err *errors, size_t count)
{
    char buf[2048];
    size_t n = strlen(path);
    for (size_t i = 0; i < count; i++) {
        struct str out;
        bool own = strncmp(errors[i].place, path, n) == 0 && errors[i].place[n] == ':';
        str_init(&out, buf, sizeof(buf));
        config_show_error(own ? text : NULL, &errors[i], &out);
        fputs(buf, stderr);
    }
}

static int run_test(struct session *s, const char *path, const struct policytest *t)
{
    struct policytest_result *r = malloc(sizeof(*r));
    int rc = r ? policytest_run(t, r) : -ENOMEM;
    if (rc == 0) {
        s->all.tests++;
        s->of_file.tests++;
        s->all.failed += !r->passed;
        s->of_file.failed += !r->passed;
        for (size_t i = 0; i < s->sink_count; i++)
            s->sinks[i].report->test(s->sinks[i].file, s->all.tests, path, t, r);
    }
    free(r);
    return rc;
}

static int open_bodies(struct session *s)
{
    for (size_t i = 0; i < s->sink_count; i++) {
        struct sink *sink = &s->sinks[i];
        sink->file = open_memstream(&sink->body, &sink->body_bytes);
        if (!sink->file)
            return -ENOMEM;
    }
    return 0;
}

static void close_bodies(struct session *s, const char *path, bool first)
{
    for (size_t i = 0; i < s->sink_count; i++) {
        struct sink *sink = &s->sinks[i];
        if (!sink->file)
            continue;
        fclose(sink->file);
        sink->report->file(sink->out, first, path, &s->of_file, sink->body);
        free(sink->body);
        sink->file = NULL;
    }
}

static int run_tests(struct session *s, const struct policytest_file *file)
{
    bool first = s->all.tests == 0;
    s->of_file = (struct test_totals){ 0 };
    int rc = open_bodies(s);
    for (uint32_t i = 0; rc == 0 && i < file->test_count; i++)
        rc = run_test(s, file->path, &file->tests[i]);
    close_bodies(s, file->path, first);
    return rc;
}

static void note_broken(struct session *s, const char *path, const struct err *errors, size_t count)
{
    static const struct err no_memory = { .code = -ENOMEM, .text = "out of memory" };
    struct err *copy = ARENA_ARRAY(&s->arena, struct err, count);
    if (copy)
        memcpy(copy, errors, count * sizeof(*copy));
    s->broken[s->broken_count++] = (struct test_broken){
        .path = path,
        .error_count = copy ? (uint32_t)count : 1,
        .errors = copy ? copy : &no_memory,
    };
}

/* A file that cannot be tested does not keep the others from it. */
static void run_file(struct session *s, const char *path)
{
    _cleanup_arena_ struct arena arena;
    _cleanup_free_ char *text = NULL;
    struct policytest_file file;
    struct err errors[LOAD_ERRORS_MAX] = { 0 };
    size_t bytes = 0, count = 0;
    mem_arena_init(&arena, ARENA_BYTES);
    int rc = read_text(path, &text, &bytes);
    if (rc == 0)
        rc = policytest_read(&arena, path, text, bytes, load_beside, NULL, &file, errors,
                             ARRAY_LEN(errors), &count);
    if (rc == 0)
        rc = run_tests(s, &file);
    if (rc == 0)
        return;
    if (count == 0)
        err_at(&errors[count++], rc, path, "%s", strerror(-rc));
    show_errors(path, text, errors, count);
    note_broken(s, path, errors, count);
}

static int add_sink(struct session *s, const struct test_report *report, FILE *out)
{
    s->sinks[s->sink_count++] = (struct sink){ .report = report, .out = out };
    return 0;
}

/* What goes to standard output, and, with --junit FILE, to that file as well. */
static int open_sinks(struct session *s, const struct options *o)
{
    const char *junit = options_text(o, "junit");
    bool tap = options_flag(o, "tap"), json = options_flag(o, "json");
    bool xml = junit && strcmp(junit, "-") == 0;
    if (tap + json + xml > 1)
        return command_fail(COMMAND_USAGE, "--tap, --json and --junit - all want standard output");
    add_sink(s,
             tap    ? &test_report_tap
             : json ? &test_report_json
             : xml  ? &test_report_junit
                    : &test_report_people,
             stdout);
    if (!junit || xml)
        return 0;
    FILE *f = fopen(junit, "we");
    if (!f)
        return command_fail(COMMAND_USAGE, "%s: %s", junit, strerror(errno));
    return add_sink(s, &test_report_junit, f);
}

static int close_sinks(struct session *s)
{
    int rc = 0;
    for (size_t i = 0; i < s->sink_count; i++) {
        s->sinks[i].report->end(s->sinks[i].out, &s->all, s->broken, s->broken_count);
        bool bad = ferror(s->sinks[i].out) || fflush(s->sinks[i].out) != 0;
        if (s->sinks[i].out != stdout)
            bad |= fclose(s->sinks[i].out) != 0;
        if (bad)
            rc = command_fail(COMMAND_FAILED, "the results could not be written: %s",
                              strerror(errno));
    }
    return rc;
}

/* The second would be empty. */
static int check_words(const struct options *o)
{
    size_t inputs = 0;
    for (size_t i = 0; i < o->word_count; i++)
        inputs += strcmp(o->words[i], "-") == 0;
    return inputs <= 1 ? 0 : command_fail(COMMAND_USAGE, "standard input can be read only once");
}

static int run(const struct options *o)
{
    struct session s = { 0 };
    int rc = check_words(o);
    if (rc == 0)
        rc = open_sinks(&s, o);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < s.sink_count; i++)
        s.sinks[i].report->begin(s.sinks[i].out);
    mem_arena_init(&s.arena, LOAD_ARENA_BYTES);
    for (size_t i = 0; i < o->word_count; i++)
        run_file(&s, o->words[i]);
    rc = close_sinks(&s);
    arena_done(&s.arena);
    if (s.broken_count > 0)
        return COMMAND_USAGE;
    return rc != 0 ? rc : s.all.failed > 0 ? COMMAND_FAILED : COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "tap", 0, NULL, "results as TAP" },
    { "junit", 0, "FILE", "results as JUnit XML into a file; - is standard output" },
    { 0 },
};

const struct command command_test = {
    .name = "test",
    .summary = "run unit tests of policies",
    .arguments = "FILE...",
    .details = "A test gives a policy samples and instances over time, and says which count is to\n"
               "be desired and why; the core decides in virtual time. docs/testing-policies.md\n"
               "describes the files. Exit status 1 when a test failed, 2 when a file could not be "
               "tested.\n",
    .examples = "  plimsoll test examples/policies/web.test.yaml\n"
                "  plimsoll test --tap policies/*.test.yaml\n"
                "  plimsoll test --junit results.xml policies/*.test.yaml\n",
    .options = own_options,
    .words_min = 1,
    .words_max = OPTIONS_GIVEN_MAX,
    .run = run,
};
