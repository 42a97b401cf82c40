/* CSV: a header, a time and a rate (or count) in each row, at equal steps. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace_int.h"

#define COLUMNS_MAX 64
#define EPOCH_S_LEAST 1e8   /* times from here on count from 1970, in seconds */
#define EPOCH_MS_LEAST 1e11 /* and from here on in milliseconds */
#define GAP_MAX 100000      /* steps that may be missing in a row */

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

static size_t split(struct slice line, struct slice *ret)
{
    size_t count = 0;
    while (count < COLUMNS_MAX) {
        const char *comma = memchr(line.p, ',', line.n);
        size_t n = comma ? (size_t)(comma - line.p) : line.n;
        struct slice word = slice_trim((struct slice){ line.p, n });
        if (word.n >= 2 && word.p[0] == '"' && word.p[word.n - 1] == '"')
            word = (struct slice){ word.p + 1, word.n - 2 };
        ret[count++] = word;
        if (!comma)
            break;
        line = (struct slice){ comma + 1, line.n - n - 1 };
    }
    return count;
}

static int read_header(struct trace_reader *r, const struct slice *words, size_t count,
                       struct err *err)
{
    r->csv.time_column = r->csv.rate_column = -1;
    for (size_t n = 0; n < count; n++) {
        bool rate = is_one_of(words[n], rate_names, ARRAY_LEN(rate_names));
        bool counts = is_one_of(words[n], count_names, ARRAY_LEN(count_names));
        if (r->csv.time_column < 0 && is_one_of(words[n], time_names, ARRAY_LEN(time_names))) {
            r->csv.time_column = (int32_t)n;
        } else if (r->csv.rate_column < 0 && (rate || counts)) {
            r->csv.rate_column = (int32_t)n;
            r->csv.counts = counts;
        }
    }
    if (r->csv.time_column >= 0 && r->csv.rate_column >= 0)
        return 0;
    return err_set(err, -EINVAL,
                   "%s:%llu: no header with a time (t_seconds, time, timestamp, ...) and a rate "
                   "(rps, rate, value, load) or count (requests, count, hits); nor is it a "
                   "Prometheus answer or an access log",
                   r->trace.name, (unsigned long long)r->line_number);
}

static int read_time(struct slice word, double *ret_s)
{
    if (trace_parse_time(word, ret_s) == 0)
        return 0;
    if (num_parse_double(word, ret_s) < 0)
        return -EINVAL;
    if (*ret_s >= EPOCH_MS_LEAST)
        *ret_s /= 1000;
    return 0;
}

/* The step between the first two rows is everyone's; bad rows between them were steps too. Returns
 * the row's place, or -1 and has said why. */
static int64_t place(struct trace_reader *r, double at_s)
{
    struct trace *t = &r->trace;
    if (t->count == 0) {
        r->csv.first_s = at_s;
        r->csv.first_bad = r->bad_count;
        if (at_s >= EPOCH_S_LEAST)
            t->start_wall_us = (int64_t)floor(at_s * 1e6 + 0.5);
        return 0;
    }
    double since_us = floor((at_s - r->csv.first_s) * 1e6 + 0.5);
    if (t->step_us == 0) {
        if (since_us < 1 || since_us > (double)(366 * US_PER_DAY)) {
            trace_reader_say_bad(r, "not later than the row before");
            return -1;
        }
        t->step_us = (int64_t)since_us / (int64_t)(r->bad_count - r->csv.first_bad + 1);
        t->step_us = MAX(t->step_us, 1);
    }
    double steps = since_us / (double)t->step_us, whole = floor(steps + 0.5);
    if (fabs(steps - whole) > 0.01)
        trace_reader_say_bad(r, "not a whole number of steps after the first row");
    else if (whole < (double)t->count)
        trace_reader_say_bad(r, "not later than the row before");
    else if (whole - (double)t->count > GAP_MAX)
        trace_reader_say_bad(r, "more than %d steps after the row before", GAP_MAX);
    else
        return (int64_t)whole;
    return -1;
}

static int read_row(struct trace_reader *r, const struct slice *words, size_t count)
{
    double at_s, value;
    if ((size_t)MAX(r->csv.time_column, r->csv.rate_column) >= count) {
        trace_reader_say_bad(r, "too few columns");
        return 0;
    }
    struct slice time = words[r->csv.time_column], rate = words[r->csv.rate_column];
    if (read_time(time, &at_s) < 0 || !isfinite(at_s)) {
        trace_reader_say_bad(r, "\"%.*s\" is no time", (int)MIN(time.n, 40), time.p);
        return 0;
    }
    if (num_parse_double(rate, &value) < 0 || value < 0 || value > 1e12) {
        trace_reader_say_bad(r, "\"%.*s\" is no rate", (int)MIN(rate.n, 40), rate.p);
        return 0;
    }
    int64_t at = place(r, at_s);
    if (at < 0)
        return 0;
    if (at > (int64_t)r->trace.count)
        trace_reader_say_bad(r, "%lld steps are missing before this row",
                             (long long)(at - (int64_t)r->trace.count));
    int rc = trace_reader_reserve(r, (size_t)at + 1);
    if (rc == 0)
        r->trace.rates[at] = value;
    return rc;
}

static int csv_line(struct trace_reader *r, const char *text, size_t bytes, struct err *err)
{
    struct slice words[COLUMNS_MAX];
    size_t count = split((struct slice){ text, bytes }, words);
    if (r->csv.time_column == r->csv.rate_column) /* both 0: no header yet */
        return read_header(r, words, count, err);
    int rc = read_row(r, words, count);
    if (rc == -E2BIG)
        return err_set(err, rc, "%s:%llu: more than %zu steps", r->trace.name,
                       (unsigned long long)r->line_number, TRACE_COUNT_MAX);
    return rc;
}

static int csv_end(struct trace_reader *r, struct err *err)
{
    struct trace *t = &r->trace;
    if (t->count == 1)
        return err_set(err, -EINVAL, "%s: one row is too few to know the step", t->name);
    for (size_t n = 0; r->csv.counts && n < t->count; n++)
        t->rates[n] /= (double)t->step_us / (double)US_PER_S;
    return 0;
}

const struct trace_form trace_form_csv = { .line = csv_line, .end = csv_end };
