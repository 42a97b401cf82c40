/* CSV: a header, a time and a rate (or count) in each row, at equal steps. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace/trace_int.h"
#include "sim/utf8.h"

#define EPOCH_S_LEAST 1e8    /* times from here on count from 1970 */
#define GAP_STEPS_MAX 100000 /* that may be missing in a row */
#define GAP_US_MAX (31 * US_PER_DAY)
#define STEP_US_MAX (366 * US_PER_DAY)

static const char *const time_names[] = { "t_seconds", "t",  "seconds",  "time",
                                          "timestamp", "ts", "datetime", "date" };
static const char *const rate_names[] = { "rps", "rate", "value", "load" };
static const char *const count_names[] = { "requests", "count", "hits", "invocations" };

static bool is_one_of(struct slice word, const char *const *names, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        if (slice_eq_nocase(word, slice_of(names[n])))
            return true;
    }
    return false;
}

/* -- columns -- */

/* What stands between quotes; *line goes on behind them. Doubled quotes are part of the field, and
 * stay doubled: no time and no number has any. */
static bool take_quoted(struct slice *line, struct slice *ret)
{
    size_t n = 1;
    while (n < line->n && (line->p[n] != '"' || (n + 1 < line->n && line->p[n + 1] == '"')))
        n += line->p[n] == '"' ? 2 : 1;
    if (n >= line->n)
        return false;
    *ret = (struct slice){ line->p + 1, n - 1 };
    *line = (struct slice){ line->p + n + 1, line->n - n - 1 };
    return true;
}

/* How many there are, those beyond TRACE_COLUMNS_MAX among them; 0 = the quotes are not right. */
static size_t split(struct slice line, char separator, struct slice *ret)
{
    for (size_t count = 0;; count++) {
        struct slice word = { 0 };
        while (line.n > 0 && *line.p == ' ')
            line = (struct slice){ line.p + 1, line.n - 1 };
        bool quoted = line.n > 0 && *line.p == '"';
        if (quoted && !take_quoted(&line, &word))
            return 0;
        const char *end = memchr(line.p, separator, line.n);
        size_t n = end ? (size_t)(end - line.p) : line.n;
        struct slice bare = slice_trim((struct slice){ line.p, n });
        if (quoted && bare.n > 0)
            return 0;
        if (count < TRACE_COLUMNS_MAX)
            ret[count] = quoted ? slice_trim(word) : bare;
        if (!end)
            return count + 1;
        line = (struct slice){ end + 1, line.n - n - 1 };
    }
}

static char find_separator(struct slice header)
{
    for (size_t n = 0; n < header.n; n++) {
        if (memchr(",;\t", header.p[n], 3))
            return header.p[n];
    }
    return ',';
}

static bool csv_begins(struct trace_reader *r, struct slice line)
{
    struct slice words[TRACE_COLUMNS_MAX];
    bool time_found = false, rate_found = false;
    r->csv.separator = find_separator(line);
    r->csv.columns = split(line, r->csv.separator, words);
    for (size_t n = 0; n < MIN(r->csv.columns, TRACE_COLUMNS_MAX); n++) {
        bool rate = is_one_of(words[n], rate_names, ARRAY_LEN(rate_names));
        bool counts = is_one_of(words[n], count_names, ARRAY_LEN(count_names));
        if (!time_found && is_one_of(words[n], time_names, ARRAY_LEN(time_names))) {
            r->csv.time_column = n;
            time_found = true;
        } else if (!rate_found && (rate || counts)) {
            r->csv.rate_column = n;
            r->csv.counts = counts;
            rate_found = true;
        }
    }
    return time_found && rate_found;
}

/* -- rows -- */

static int read_time(struct slice word, double *ret_s)
{
    static const struct {
        double least, per_s;
    } units[] = { { 1e17, 1e9 }, { 1e14, 1e6 }, { 1e11, 1e3 }, { 0, 1 } };
    if (trace_parse_time(word, ret_s) == 0)
        return 0;
    if (num_parse_double(word, ret_s) < 0)
        return -EINVAL;
    size_t n = 0;
    while (n < ARRAY_LEN(units) - 1 && *ret_s < units[n].least)
        n++;
    *ret_s /= units[n].per_s;
    return trace_time_fits(*ret_s) ? 0 : -EINVAL;
}

/* A header with a time, and nothing that is known for a load: which of its columns is one would be
 * a guess, and each of its rows would be as strange as it. */
static bool csv_lacks(struct trace_reader *r, struct slice line)
{
    struct slice words[TRACE_COLUMNS_MAX];
    struct trace_lack lack = { .form = &trace_form_csv, .separator = find_separator(line) };
    struct str s;
    lack.columns = split(line, lack.separator, words);
    lack.time_column = lack.columns;
    str_init(&s, lack.names, sizeof(lack.names));
    for (size_t n = 0; n < MIN(lack.columns, TRACE_COLUMNS_MAX); n++) {
        if (lack.time_column == lack.columns &&
            is_one_of(words[n], time_names, ARRAY_LEN(time_names)))
            lack.time_column = n;
        str_put(&s, n > 0 ? ", " : "");
        utf8_put(&s, words[n]);
    }
    str_clean(lack.names);
    lack.line = r->line_number;
    if (lack.time_column < lack.columns && lack.columns > 1)
        r->lack = lack;
    return r->lack.line > 0;
}

static bool csv_follows(const struct trace_reader *r, struct slice line)
{
    struct slice words[TRACE_COLUMNS_MAX];
    double at_s;
    return split(line, r->lack.separator, words) == r->lack.columns &&
           r->lack.time_column < TRACE_COLUMNS_MAX &&
           read_time(words[r->lack.time_column], &at_s) == 0;
}

static int64_t to_us(double s)
{
    return (int64_t)floor(s * 1e6 + 0.5);
}

/* How far most of the first rows are from the one before; the shortest, of those that are equally
 * many. 0 = none comes after another. */
static int64_t find_step_us(const struct trace_row *rows, size_t count)
{
    int64_t apart[TRACE_FIRST_ROWS], step_us = 0;
    size_t votes = 0;
    for (size_t n = 1; n < count; n++)
        apart[n] = to_us(rows[n].at_s - rows[n - 1].at_s);
    for (size_t n = 1; n < count; n++) {
        size_t same = 0;
        for (size_t k = 1; k < count; k++)
            same += apart[k] == apart[n];
        bool more = same > votes || (same == votes && apart[n] < step_us);
        if (apart[n] > 0 && apart[n] <= STEP_US_MAX && more) {
            step_us = apart[n];
            votes = same;
        }
    }
    return step_us;
}

/* The row's step, or -1 and has said why it has none. */
static int64_t find_place(struct trace_reader *r, const struct trace_row *row)
{
    int64_t step_us = r->trace.step_us;
    double steps = (double)to_us(row->at_s - r->csv.first[0].at_s) / (double)step_us;
    double whole = floor(steps + 0.5), missing = whole - (double)r->csv.next;
    if (fabs(steps - whole) > 0.01)
        trace_reader_say_bad(r, row->line, "not a whole number of steps after the first row");
    else if (missing < 0)
        trace_reader_say_bad(r, row->line, "not later than the row before");
    else if (missing > GAP_STEPS_MAX)
        trace_reader_say_bad(r, row->line, "more than %d steps after the row before",
                             GAP_STEPS_MAX);
    else if (missing * (double)step_us > GAP_US_MAX)
        trace_reader_say_bad(r, row->line, "more than 31 days after the row before");
    else
        return (int64_t)whole;
    return -1;
}

static int place(struct trace_reader *r, const struct trace_row *row)
{
    int64_t at = find_place(r, row);
    if (at < 0)
        return 0;
    size_t missing = (size_t)at - r->csv.next; /* for some of which bad rows were named */
    if (missing > row->untimed)
        trace_reader_say_missing(r, row->line, missing - row->untimed, "before this row");
    r->csv.next = (size_t)at + 1;
    if (isnan(row->value))
        return 0;
    int rc = trace_reader_reserve(r, r->csv.next);
    if (rc == 0)
        r->trace.rates[at] = row->value;
    return rc;
}

/* Places what was held back until the step was known. */
static int place_first(struct trace_reader *r)
{
    const struct trace_row *first = r->csv.first;
    int rc = 0;
    r->trace.step_us = find_step_us(first, r->csv.first_count);
    if (r->trace.step_us == 0)
        return -EDOM;
    if (first[0].at_s >= EPOCH_S_LEAST)
        r->trace.start_wall_us = to_us(first[0].at_s);
    for (size_t n = 0; rc == 0 && n < r->csv.first_count; n++)
        rc = place(r, &first[n]);
    return rc;
}

static bool read_row(struct trace_reader *r, struct slice line, struct trace_row *ret)
{
    struct slice words[TRACE_COLUMNS_MAX];
    size_t count = split(line, r->csv.separator, words);
    if (count != r->csv.columns) {
        trace_reader_say_bad(r, ret->line, "%s",
                             count == 0               ? "a quote that is not closed"
                             : count < r->csv.columns ? "fewer columns than the header"
                                                      : "more columns than the header");
        return false;
    }
    struct slice time = words[r->csv.time_column], rate = words[r->csv.rate_column];
    if (read_time(time, &ret->at_s) < 0) {
        trace_reader_say_bad(r, ret->line, "\"%.*s\" is no time of 1970 to 9999",
                             (int)MIN(time.n, 40), time.p);
        return false;
    }
    if (num_parse_double(rate, &ret->value) < 0 || ret->value < 0 || ret->value > TRACE_RATE_MAX) {
        trace_reader_say_bad(r, ret->line, "\"%.*s\" is no rate", (int)MIN(rate.n, 40), rate.p);
        ret->value = NAN;
    }
    return true;
}

static int csv_line(struct trace_reader *r, struct slice line, struct err *err)
{
    struct trace_row row = { .line = r->line_number,
                             .untimed = r->losses.bad_rows - r->csv.bad_seen };
    int rc = 0;
    bool known = r->csv.first_count == TRACE_FIRST_ROWS;
    if (!read_row(r, line, &row) || (r->csv.first_count == 0 && isnan(row.value)))
        return 0;
    if (known)
        rc = place(r, &row);
    else
        r->csv.first[r->csv.first_count++] = row;
    if (!known && r->csv.first_count == TRACE_FIRST_ROWS)
        rc = place_first(r);
    r->csv.bad_seen = r->losses.bad_rows;
    if (rc == -EDOM)
        return err_set(err, -EINVAL, "%s: none of the first rows is later than the one before",
                       r->name);
    if (rc == -E2BIG)
        return err_set(err, rc, "%s:%llu: more than %zu steps", r->name,
                       (unsigned long long)r->line_number, TRACE_COUNT_MAX);
    return rc;
}

static int csv_end(struct trace_reader *r, struct err *err)
{
    struct trace *t = &r->trace;
    int rc = 0;
    if (r->csv.first_count > 0 && t->step_us == 0)
        rc = place_first(r);
    if (rc == -EDOM)
        return err_set(err, -EINVAL, "%s: %s", r->name,
                       r->csv.first_count == 1 ? "one row is too few to know the step"
                                               : "no row is later than the one before");
    for (size_t n = 0; rc == 0 && r->csv.counts && n < t->count; n++)
        t->rates[n] /= (double)t->step_us / (double)US_PER_S;
    return rc;
}

const struct trace_form trace_form_csv = {
    .begins = csv_begins,
    .lacks = csv_lacks,
    .follows = csv_follows,
    .line = csv_line,
    .end = csv_end,
};
