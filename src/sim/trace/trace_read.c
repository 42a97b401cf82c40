/* Takes text in pieces, finds out its form, cuts it into lines, and mends what is missing in the
 * end. What a line means is the forms' business. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/util.h"
#include "sim/trace/trace_int.h"
#include "sim/utf8.h"

#define STRANGE_LINES_MAX 20
#define BLANKS " \t\r\n\xef\xbb\xbf" /* the last three: a byte order mark */

struct trace_reader *trace_reader_new(const char *name)
{
    struct trace_reader *r = calloc(1, sizeof(*r));
    char *whole = r ? strdup(name) : NULL;
    if (!whole) {
        free(r);
        return NULL;
    }
    str_clean(whole);
    r->name = whole;
    struct str s;
    str_init(&s, r->trace.name, sizeof(r->trace.name));
    utf8_put(&s, slice_of(name));
    return r;
}

void trace_reader_free(struct trace_reader *r)
{
    if (!r)
        return;
    free(r->text);
    free(r->name);
    trace_done(&r->trace);
    free(r);
}

const struct trace_losses *trace_reader_losses(const struct trace_reader *r)
{
    return &r->losses;
}

/* Rows are judged a little later than they come: those said before may be of later lines. */
static struct trace_said *say_at(struct trace_losses *l, uint64_t line)
{
    size_t at = (size_t)MIN(l->said, TRACE_SAID_MAX);
    l->said++;
    while (at > 0 && l->first[at - 1].line > line)
        at--;
    if (at == TRACE_SAID_MAX)
        return NULL;
    memmove(l->first + at + 1, l->first + at, (TRACE_SAID_MAX - 1 - at) * sizeof(l->first[0]));
    l->first[at].line = line;
    return &l->first[at];
}

void trace_reader_say_bad(struct trace_reader *r, uint64_t line, const char *format, ...)
{
    struct trace_said *said = say_at(&r->losses, line);
    r->losses.bad_rows++;
    if (!said)
        return;
    va_list args;
    va_start(args, format);
    fmt_v(said->text, sizeof(said->text), format, args);
    va_end(args);
}

void trace_reader_say_missing(struct trace_reader *r, uint64_t line, uint64_t steps,
                              const char *where)
{
    struct trace_said *said = say_at(&r->losses, line);
    struct str s;
    r->losses.missing_steps += steps;
    if (!said)
        return;
    str_init(&s, said->text, sizeof(said->text));
    str_putf(&s, "%llu step%s missing %s", (unsigned long long)steps, steps == 1 ? " is" : "s are",
             where);
}

int trace_reader_reserve(struct trace_reader *r, size_t count)
{
    if (count > TRACE_COUNT_MAX)
        return -E2BIG;
    if (count > r->cap) {
        size_t cap = MIN(MAX(MAX(2 * r->cap, count), 1024), TRACE_COUNT_MAX);
        double *more = realloc(r->trace.rates, cap * sizeof(*more));
        if (!more)
            return -ENOMEM;
        r->trace.rates = more;
        r->cap = cap;
    }
    for (size_t n = r->trace.count; n < count; n++)
        r->trace.rates[n] = NAN;
    r->trace.count = MAX(r->trace.count, count);
    return 0;
}

/* -- finding out the form -- */

/* "start=" in a note is when it began, up to the next word with a "=" or the end. */
static void take_start(struct trace *t, const char *text, size_t bytes)
{
    static const char key[] = "start=";
    const char *at = memmem(text, bytes, key, sizeof(key) - 1);
    if (!at)
        return;
    at += sizeof(key) - 1;
    size_t left = bytes - (size_t)(at - text);
    double start_s;
    for (size_t n = MIN(left, 32); n >= 10; n--) {
        struct slice s = { at, n };
        bool whole = n == left || at[n] == ' ';
        if (whole && trace_parse_time(s, &start_s) == 0) {
            t->start_wall_us = (int64_t)floor(start_s * 1e6 + 0.5);
            return;
        }
    }
}

static void take_note(struct trace *t, struct slice note)
{
    size_t used = strlen(t->note);
    struct str s;
    str_init(&s, t->note + used, sizeof(t->note) - used);
    if (used > 0)
        str_put(&s, "\n");
    utf8_put(&s, note);
    take_start(t, note.p, note.n);
}

static int refuse(struct trace_reader *r, struct err *err)
{
    if (r->lack.line > 0)
        return err_set(err, -EINVAL,
                       "%s:%llu: no column is a rate (rps, rate, value, load) or a count "
                       "(requests, count, hits, invocations); there are: %s",
                       r->name, (unsigned long long)r->lack.line, r->lack.names);
    return err_set(err, -EINVAL,
                   "%s: no header with a time (t_seconds, time, timestamp, ...) and a rate (rps, "
                   "rate, value, load) or count (requests, count, hits); nor is it a Prometheus "
                   "answer or an access log",
                   r->name);
}

/* Compressed files begin so; no text does. */
static int refuse_compressed(struct trace_reader *r, struct slice line, struct err *err)
{
    static const struct {
        const char *begin, *how, *unpack;
    } kinds[] = {
        { "\x1f\x8b", "gzip", "zcat" },
        { "\x28\xb5\x2f\xfd", "zstd", "zstdcat" },
        { "\xfd\x37zXZ", "xz", "xzcat" },
    };
    for (size_t n = 0; n < ARRAY_LEN(kinds); n++) {
        size_t length = strlen(kinds[n].begin);
        if (line.n >= length && memcmp(line.p, kinds[n].begin, length) == 0)
            return err_set(err, -EINVAL,
                           "%s: compressed (%s); unpack it on the way: %s FILE | plimsoll simulate "
                           "--trace -",
                           r->name, kinds[n].how, kinds[n].unpack);
    }
    return 0;
}

static void note_strange(struct trace_reader *r, uint64_t line)
{
    trace_reader_say_bad(
        r, line, "no header, and no [day/month/year:hour:minute:second zone] of 1970 to 9999");
    r->strange_lines++;
}

/* What looked like a header was one of the strange lines. */
static void forget_lack(struct trace_reader *r)
{
    if (r->lack.line > 0)
        note_strange(r, r->lack.line);
    r->lack.line = 0;
}

/* The first lines may be damaged: logs are cut anywhere, and tables have titles. */
static int find_form(struct trace_reader *r, struct slice line, struct err *err)
{
    static const struct trace_form *const forms[] = { &trace_form_log, &trace_form_csv };
    for (size_t n = 0; n < ARRAY_LEN(forms) && !r->form; n++) {
        if ((!r->line_cut || forms[n]->takes_cut_lines) && forms[n]->begins(r, line))
            r->form = forms[n];
    }
    if (!r->form && r->lack.line > 0 && !r->line_cut && r->lack.form->follows(r, line))
        return refuse(r, err);
    forget_lack(r);
    if (r->form)
        return 0;
    int rc = r->strange_lines == 0 ? refuse_compressed(r, line, err) : 0;
    if (rc < 0)
        return rc;
    for (size_t n = 0; n < ARRAY_LEN(forms); n++)
        if (forms[n]->lacks && !r->line_cut && forms[n]->lacks(r, line))
            return 0;
    note_strange(r, r->line_number);
    return r->strange_lines < STRANGE_LINES_MAX ? 0 : refuse(r, err);
}

static int take_line(struct trace_reader *r, struct slice line, struct err *err)
{
    struct slice text = slice_trim(line);
    if (text.n == 0)
        return 0;
    if (text.p[0] == '#') {
        take_note(&r->trace, slice_trim((struct slice){ text.p + 1, text.n - 1 }));
        return 0;
    }
    if (!r->form) {
        int rc = find_form(r, line, err);
        if (rc < 0 || r->form != &trace_form_log)
            return rc;
    }
    if (!r->line_cut || r->form->takes_cut_lines)
        return r->form->line(r, line, err);
    trace_reader_say_bad(r, r->line_number, "longer than %d bytes", TRACE_LINE_MAX);
    return 0;
}

static int end_line(struct trace_reader *r, struct err *err)
{
    size_t bytes = r->line_bytes;
    r->line_number++;
    if (bytes > 0 && r->line[bytes - 1] == '\r')
        bytes--;
    int rc = take_line(r, (struct slice){ r->line, bytes }, err);
    r->line_bytes = 0;
    r->line_cut = false;
    return rc;
}

static int feed_lines(struct trace_reader *r, const char *bytes, size_t count, struct err *err)
{
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t n = end ? (size_t)(end - bytes) : count;
        size_t fits = MIN(n, TRACE_LINE_MAX - r->line_bytes);
        memcpy(r->line + r->line_bytes, bytes, fits);
        r->line_bytes += fits;
        r->line_cut |= fits < n;
        bytes += n + (end != NULL);
        count -= n + (end != NULL);
        int rc = end ? end_line(r, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int feed_text(struct trace_reader *r, const char *bytes, size_t count, struct err *err)
{
    if (count > TRACE_TEXT_MAX - r->text_bytes)
        return err_set(err, -E2BIG, "%s: more than %zu MiB of JSON", r->name, TRACE_TEXT_MAX >> 20);
    if (r->text_bytes + count > r->text_cap) {
        size_t cap = MAX(2 * r->text_cap, r->text_bytes + count);
        char *more = realloc(r->text, cap);
        if (!more)
            return -ENOMEM;
        r->text = more;
        r->text_cap = cap;
    }
    memcpy(r->text + r->text_bytes, bytes, count);
    r->text_bytes += count;
    return 0;
}

int trace_reader_feed(struct trace_reader *r, const char *bytes, size_t count, struct err *err)
{
    for (; !r->begun && count > 0 && memchr(BLANKS, bytes[0], sizeof(BLANKS) - 1); bytes++, count--)
        r->line_number += bytes[0] == '\n';
    if (!r->begun && count > 0) {
        r->begun = true;
        r->form = bytes[0] == '{' ? &trace_form_prometheus : NULL;
    }
    if (r->form == &trace_form_prometheus)
        return feed_text(r, bytes, count, err);
    return feed_lines(r, bytes, count, err);
}

/* -- the end -- */

int trace_reader_end(struct trace_reader *r, struct trace *ret, struct err *err)
{
    struct trace *t = &r->trace;
    int rc = r->line_bytes > 0 ? end_line(r, err) : 0;
    if (rc == 0 && !r->form)
        rc = r->strange_lines > 0 || r->lack.line > 0
                 ? refuse(r, err)
                 : err_set(err, -EINVAL, "%s: nothing in it", r->name);
    if (rc == 0)
        rc = r->form->end(r, err);
    if (rc == 0 && t->count == 0)
        rc = err_set(err, -EINVAL, "%s: no row in it that can be used", r->name);
    if (rc == 0 && trace_length_us(t) > TRACE_LENGTH_US_MAX)
        rc = err_set(err, -E2BIG, "%s: longer than %d years", r->name, TRACE_YEARS_MAX);
    if (rc < 0)
        return rc;
    trace_fill_gaps(t);
    *ret = *t;
    t->rates = NULL;
    t->count = 0;
    return 0;
}
