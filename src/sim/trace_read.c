/* Takes text in pieces, finds out its form, cuts it into lines, and mends what is missing in the
 * end. What a line means is the forms' business. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace_int.h"

struct trace_reader *trace_reader_new(const char *name)
{
    struct trace_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    struct str s;
    str_init(&s, r->trace.name, sizeof(r->trace.name));
    str_put(&s, name);
    return r;
}

void trace_reader_free(struct trace_reader *r)
{
    if (!r)
        return;
    free(r->text);
    trace_done(&r->trace);
    free(r);
}

uint64_t trace_reader_bad(const struct trace_reader *r, const struct trace_bad **ret, size_t *count)
{
    *ret = r->bad;
    *count = (size_t)MIN(r->bad_count, TRACE_BAD_MAX);
    return r->bad_count;
}

void trace_reader_say_bad(struct trace_reader *r, const char *format, ...)
{
    if (r->bad_count++ >= TRACE_BAD_MAX)
        return;
    struct trace_bad *bad = &r->bad[r->bad_count - 1];
    bad->line = r->line_number;
    va_list args;
    va_start(args, format);
    fmt_v(bad->reason, sizeof(bad->reason), format, args);
    va_end(args);
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

/* -- times -- */

/* Howard Hinnant's days_from_civil: years begin in March, so that leap days come last. */
int64_t trace_days(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* So many digits at *at. */
static bool take_number(struct slice text, size_t *at, size_t digits, int64_t *ret)
{
    int64_t value = 0;
    for (size_t n = 0; n < digits; n++, ++*at) {
        if (*at >= text.n || text.p[*at] < '0' || text.p[*at] > '9')
            return false;
        value = value * 10 + (text.p[*at] - '0');
    }
    *ret = value;
    return true;
}

static bool take_char(struct slice text, size_t *at, const char *any)
{
    if (*at >= text.n || !strchr(any, text.p[*at]))
        return false;
    ++*at;
    return true;
}

static bool take_zone(struct slice text, size_t *at, int64_t *ret_east_s)
{
    int64_t hours, minutes;
    *ret_east_s = 0;
    if (*at == text.n || (take_char(text, at, "Zz") && *at == text.n))
        return true;
    bool west = *at < text.n && text.p[*at] == '-';
    if (!take_char(text, at, "+-") || !take_number(text, at, 2, &hours))
        return false;
    take_char(text, at, ":");
    if (!take_number(text, at, 2, &minutes) || *at != text.n)
        return false;
    *ret_east_s = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

static bool take_clock(struct slice text, size_t *at, double *ret_s)
{
    int64_t hour, minute, second;
    if (!take_number(text, at, 2, &hour) || !take_char(text, at, ":") ||
        !take_number(text, at, 2, &minute))
        return false;
    double fraction = 0, unit = 1;
    second = 0;
    if (take_char(text, at, ":") && !take_number(text, at, 2, &second))
        return false;
    if (take_char(text, at, ".,")) {
        int64_t digit;
        while (take_number(text, at, 1, &digit))
            fraction += (double)digit * (unit /= 10);
    }
    *ret_s = (double)(hour * 3600 + minute * 60 + second) + fraction;
    return hour < 24 && minute < 60 && second <= 60;
}

int trace_parse_time(struct slice text, double *ret_s)
{
    int64_t year, month, day, east_s = 0;
    double clock_s = 0;
    size_t at = 0;
    text = slice_trim(text);
    if (!take_number(text, &at, 4, &year) || !take_char(text, &at, "-/") ||
        !take_number(text, &at, 2, &month) || !take_char(text, &at, "-/") ||
        !take_number(text, &at, 2, &day))
        return -EINVAL;
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return -EINVAL;
    if (at < text.n && (!take_char(text, &at, "Tt ") || !take_clock(text, &at, &clock_s) ||
                        !take_zone(text, &at, &east_s)))
        return -EINVAL;
    *ret_s = (double)(trace_days(year, month, day) * 86400 - east_s) + clock_s;
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

static void take_note(struct trace_reader *r, const char *text, size_t bytes)
{
    struct trace *t = &r->trace;
    struct slice note = slice_trim((struct slice){ text, bytes });
    size_t used = strlen(t->note);
    struct str s;
    str_init(&s, t->note + used, sizeof(t->note) - used);
    str_putf(&s, "%s%.*s", used > 0 ? "\n" : "", (int)MIN(note.n, sizeof(t->note)), note.p);
    take_start(t, note.p, note.n);
}

static bool looks_like_log(const char *line, size_t bytes)
{
    const char *bracket = memchr(line, '[', bytes);
    return bracket && memchr(bracket, ']', bytes - (size_t)(bracket - line)) &&
           memchr(bracket, '/', bytes - (size_t)(bracket - line));
}

static int end_line(struct trace_reader *r, struct err *err)
{
    size_t bytes = r->line_bytes;
    r->line_bytes = 0;
    r->line_cut = false;
    r->line_number++;
    if (bytes > 0 && r->line[bytes - 1] == '\r')
        bytes--;
    r->line[bytes] = '\0';
    struct slice text = slice_trim((struct slice){ r->line, bytes });
    if (text.n == 0)
        return 0;
    if (text.p[0] == '#' && r->form != &trace_form_log) {
        take_note(r, text.p + 1, text.n - 1);
        return 0;
    }
    if (!r->form)
        r->form = looks_like_log(text.p, text.n) ? &trace_form_log : &trace_form_csv;
    return r->form->line(r, text.p, text.n, err);
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
        return err_set(err, -E2BIG, "%s: more than %zu MiB of JSON", r->trace.name,
                       TRACE_TEXT_MAX >> 20);
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
    if (!r->form && r->line_bytes == 0 && r->line_number == 0) {
        while (count > 0 && strchr(" \t\r\n", bytes[0]) && bytes[0]) {
            r->line_number += bytes[0] == '\n';
            bytes++;
            count--;
        }
        if (count > 0 && bytes[0] == '{')
            r->form = &trace_form_prometheus;
    }
    if (r->form == &trace_form_prometheus)
        return feed_text(r, bytes, count, err);
    return feed_lines(r, bytes, count, err);
}

/* -- the end -- */

/* What is unknown lies on the line between its neighbours. */
static size_t fill_gaps(struct trace *t)
{
    size_t filled = 0;
    for (size_t n = 0; n < t->count; n++) {
        if (!isnan(t->rates[n]))
            continue;
        size_t next = n;
        while (next < t->count && isnan(t->rates[next]))
            next++;
        double before = n > 0 ? t->rates[n - 1] : 0;
        double after = next < t->count ? t->rates[next] : before;
        size_t length = next - n;
        for (size_t k = 0; k < length; k++)
            t->rates[n + k] = before + (after - before) * (double)(k + 1) / (double)(length + 1);
        filled += length;
        n = next;
    }
    return filled;
}

int trace_reader_end(struct trace_reader *r, struct trace *ret, struct err *err)
{
    int rc = r->line_bytes > 0 ? end_line(r, err) : 0;
    if (rc == 0 && !r->form)
        rc = err_set(err, -EINVAL, "%s: nothing in it", r->trace.name);
    if (rc == 0)
        rc = r->form->end(r, err);
    if (rc == 0 && r->trace.count == 0)
        rc = err_set(err, -EINVAL, "%s: no row in it that can be used", r->trace.name);
    if (rc < 0)
        return rc;
    fill_gaps(&r->trace);
    *ret = r->trace;
    r->trace.rates = NULL;
    r->trace.count = 0;
    return 0;
}
