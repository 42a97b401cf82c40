/* Access logs in Common or Combined Log Format: `host ident user [10/Oct/2000:13:55:36 -0700] ...`.
 * Requests are counted for each second. */
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/trace/trace_int.h"

#define DISORDER_S 3600 /* a server writes a line when the answer is out, not in order */
#define JUMP_S 86400    /* so far ahead, other lines must agree */
#define GAP_S (31 * INT64_C(86400)) /* a longer silence is a wrong date */

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static int64_t month_of(const char *text)
{
    for (int64_t n = 0; n < 12; n++) {
        if (memcmp(text, months[n], 3) == 0)
            return n + 1;
    }
    return 0;
}

static bool digits(const char *text, size_t count, int64_t *ret)
{
    *ret = 0;
    for (size_t n = 0; n < count; n++) {
        if (text[n] < '0' || text[n] > '9')
            return false;
        *ret = *ret * 10 + (text[n] - '0');
    }
    return true;
}

/* "10/Oct/2000:13:55:36 -0700", 26 bytes. */
static bool read_stamp(const char *p, size_t bytes, int64_t *ret_s)
{
    int64_t day, days, year, hour, minute, second, east_hours, east_minutes;
    if (bytes < 26 || p[2] != '/' || p[6] != '/' || p[11] != ':' || p[14] != ':' || p[17] != ':' ||
        p[20] != ' ' || (p[21] != '+' && p[21] != '-'))
        return false;
    int64_t month = month_of(p + 3);
    if (!digits(p, 2, &day) || !digits(p + 7, 4, &year) || !digits(p + 12, 2, &hour) ||
        !digits(p + 15, 2, &minute) || !digits(p + 18, 2, &second) ||
        !digits(p + 22, 2, &east_hours) || !digits(p + 24, 2, &east_minutes))
        return false;
    if (!trace_find_days(year, month, day, &days) || hour > 23 || minute > 59 || second > 60)
        return false;
    int64_t east_s = (p[21] == '-' ? -1 : 1) * (east_hours * 3600 + east_minutes * 60);
    *ret_s = days * 86400 + hour * 3600 + minute * 60 + second - east_s;
    return trace_time_fits((double)*ret_s);
}

/* The first of them: hosts ("[::1]") and users may have brackets too. */
static bool find_stamp(struct slice line, int64_t *ret_s)
{
    const char *end = line.p + line.n, *at = line.p;
    while (at < end && (at = memchr(at, '[', (size_t)(end - at))) != NULL) {
        at++;
        if (read_stamp(at, (size_t)(end - at), ret_s))
            return true;
    }
    return false;
}

/* The first line was not the first second: what is there moves back. */
static int begin_earlier(struct trace_reader *r, int64_t seconds)
{
    size_t count = r->trace.count;
    int rc = trace_reader_reserve(r, count + (size_t)seconds);
    if (rc < 0)
        return rc;
    double *rates = r->trace.rates;
    memmove(rates + seconds, rates, count * sizeof(*rates));
    memset(rates, 0, (size_t)seconds * sizeof(*rates));
    r->log.first_s -= seconds;
    return 0;
}

static int count_at(struct trace_reader *r, int64_t at_s)
{
    size_t before = r->trace.count;
    int rc = 0;
    if (at_s < r->log.first_s)
        rc = begin_earlier(r, r->log.first_s - at_s);
    size_t at = (size_t)(at_s - r->log.first_s);
    if (rc == 0 && at >= r->trace.count) {
        rc = trace_reader_reserve(r, at + 1);
        for (size_t n = before; rc == 0 && n <= at; n++)
            r->trace.rates[n] = 0;
    }
    if (rc == 0)
        r->trace.rates[at]++;
    return rc;
}

/* -- lines that jump ahead -- */

static void drop_ahead(struct trace_reader *r)
{
    for (size_t n = 0; n < r->log.ahead_count; n++)
        trace_reader_say_bad(r, r->log.ahead[n].line, "a day later than the lines around it");
    r->log.ahead_count = 0;
}

static int count_ahead(struct trace_reader *r)
{
    int rc = 0;
    for (size_t n = 0; rc == 0 && n < r->log.ahead_count; n++)
        rc = count_at(r, r->log.ahead[n].at_s);
    r->log.ahead_count = 0;
    return rc;
}

/* One wrong date would make all that follows too early: such lines wait until so many follow one
 * another. */
static int hold_ahead(struct trace_reader *r, int64_t at_s)
{
    size_t held = r->log.ahead_count;
    if (held > 0 && at_s < r->log.ahead[held - 1].at_s - DISORDER_S)
        drop_ahead(r);
    r->log.ahead[r->log.ahead_count].line = r->line_number;
    r->log.ahead[r->log.ahead_count++].at_s = at_s;
    return r->log.ahead_count == TRACE_AHEAD_LINES ? count_ahead(r) : 0;
}

/* -- lines -- */

static bool log_begins(struct trace_reader *r, struct slice line)
{
    return find_stamp(line, &r->log.first_s);
}

static int log_line(struct trace_reader *r, struct slice line, struct err *err)
{
    int64_t at_s;
    if (!find_stamp(line, &at_s)) {
        trace_reader_say_bad(r, r->line_number, "no [day/month/year:hour:minute:second zone]");
        return 0;
    }
    int64_t newest_s = r->log.first_s + (int64_t)r->trace.count - 1;
    bool any = r->trace.count > 0;
    if (at_s < newest_s - DISORDER_S) {
        trace_reader_say_bad(r, r->line_number, "more than an hour earlier than lines before it");
        return 0;
    }
    if (any && at_s > newest_s + GAP_S) {
        trace_reader_say_bad(r, r->line_number, "more than 31 days later than lines before it");
        return 0;
    }
    bool jumps = any && at_s > newest_s + JUMP_S;
    if (!jumps)
        drop_ahead(r);
    int rc = jumps ? hold_ahead(r, at_s) : count_at(r, at_s);
    if (rc == -E2BIG)
        return err_set(err, rc, "%s:%llu: more than %zu seconds", r->name,
                       (unsigned long long)r->line_number, TRACE_COUNT_MAX);
    return rc;
}

static int log_end(struct trace_reader *r, struct err *err)
{
    int rc = 0;
    if (r->log.ahead_count > 1)
        rc = count_ahead(r);
    drop_ahead(r);
    r->trace.step_us = US_PER_S;
    r->trace.start_wall_us = r->log.first_s * US_PER_S;
    return rc == -E2BIG ? err_set(err, rc, "%s: more than %zu seconds", r->name, TRACE_COUNT_MAX)
                        : rc;
}

const struct trace_form trace_form_log = {
    .takes_cut_lines = true,
    .begins = log_begins,
    .line = log_line,
    .end = log_end,
};
