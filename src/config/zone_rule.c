/* Parsing and expanding a zone's rule. Pure arithmetic on the Gregorian calendar. */
#include "config/zone_rule.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define DAY_S 86400
#define HOURS_MAX 167 /* RFC 8536: a week less an hour */

struct scan {
    const char *p, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool take(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool scan_number(struct scan *s, int max, int *ret)
{
    int value = 0;
    if (s->p == s->end || !is_digit(*s->p))
        return false;
    while (s->p < s->end && is_digit(*s->p)) {
        value = value * 10 + (*s->p++ - '0');
        if (value > max)
            return false;
    }
    *ret = value;
    return true;
}

/* "CET" or "<+0330>". */
static bool scan_name(struct scan *s)
{
    const char *start = s->p;
    if (take(s, '<')) {
        while (s->p < s->end && *s->p != '>')
            s->p++;
        return take(s, '>');
    }
    while (s->p < s->end && (*s->p | 0x20) >= 'a' && (*s->p | 0x20) <= 'z')
        s->p++;
    return s->p - start >= 3;
}

/* "[+-]hh[:mm[:ss]]" */
static bool scan_time(struct scan *s, int32_t *ret_s)
{
    int part[3] = { 0 };
    bool negative = take(s, '-');
    if (!negative)
        take(s, '+');
    if (!scan_number(s, HOURS_MAX, &part[0]))
        return false;
    for (int i = 1; i < 3 && take(s, ':'); i++)
        if (!scan_number(s, 59, &part[i]))
            return false;
    int32_t value = part[0] * 3600 + part[1] * 60 + part[2];
    *ret_s = negative ? -value : value;
    return true;
}

static bool scan_day(struct scan *s, struct zone_day *ret)
{
    struct zone_day d = { .form = 'N', .time_s = 2 * 3600 };
    if (take(s, 'M')) {
        d.form = 'M';
        if (!scan_number(s, 12, &d.month) || !take(s, '.') || !scan_number(s, 5, &d.week) ||
            !take(s, '.') || !scan_number(s, 6, &d.day) || d.month < 1 || d.week < 1)
            return false;
    } else {
        if (take(s, 'J'))
            d.form = 'J';
        if (!scan_number(s, 365, &d.day) || (d.form == 'J' && d.day < 1))
            return false;
    }
    if (take(s, '/') && !scan_time(s, &d.time_s))
        return false;
    *ret = d;
    return true;
}

static bool scan_rule(struct scan *s, struct zone_rule *r)
{
    int32_t west;
    if (!scan_name(s) || !scan_time(s, &west))
        return false;
    r->standard_s = -west;
    if (s->p == s->end)
        return true;
    r->has_summer = true;
    r->summer_s = r->standard_s + 3600;
    if (!scan_name(s))
        return false;
    if (s->p < s->end && *s->p != ',') {
        if (!scan_time(s, &west))
            return false;
        r->summer_s = -west;
    }
    return take(s, ',') && scan_day(s, &r->start) && take(s, ',') && scan_day(s, &r->end) &&
           s->p == s->end;
}

int zone_rule_parse(struct slice text, struct zone_rule *ret)
{
    struct scan s = { text.p, text.p + text.n };
    struct zone_rule r = { 0 };
    if (!scan_rule(&s, &r))
        return -EINVAL;
    *ret = r;
    return 0;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days before a month's first, in a year without leap day. */
static const int before_month[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };

static int month_start(int year, int month)
{
    return before_month[month - 1] + (month > 2 && is_leap(year));
}

/* Days from 1970-01-01 to a year's first day; the leap days are those of the years before it. */
static int64_t year_start(int year)
{
    int64_t y = year - 1;
    return (year - 1970) * INT64_C(365) + (y / 4 - y / 100 + y / 400) -
           (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t day_number(const struct zone_day *d, int year)
{
    int64_t first = year_start(year);
    if (d->form == 'N')
        return first + d->day;
    if (d->form == 'J')
        return first + d->day - 1 + (d->day > 59 && is_leap(year));
    int64_t month = first + month_start(year, d->month);
    int length =
        d->month == 12 ? 31 : month_start(year, d->month + 1) - month_start(year, d->month);
    int weekday = (int)((month + 4) % 7); /* 1970-01-01 was a Thursday */
    int day = (d->day - weekday + 7) % 7 + (d->week - 1) * 7;
    return month + (day >= length ? day - 7 : day);
}

void zone_rule_year(const struct zone_rule *r, int year, int64_t *ret_start_s, int64_t *ret_end_s)
{
    assert(r->has_summer);
    *ret_start_s = day_number(&r->start, year) * DAY_S + r->start.time_s - r->standard_s;
    *ret_end_s = day_number(&r->end, year) * DAY_S + r->end.time_s - r->summer_s;
}

int zone_year_of(int64_t unix_s)
{
    int64_t days = unix_s / DAY_S;
    int year = (int)(1970 + days / 366);
    while (year_start(year + 1) <= days)
        year++;
    return year;
}
