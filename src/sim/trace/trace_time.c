/* Times as people and programs write them. Knows no zone but UTC and those written as a number. */
#include <errno.h>
#include <string.h>

#include "sim/trace/trace_int.h"

#define YEAR_10000_S 253402300800.0

/* Howard Hinnant's days_from_civil: years begin in March, so that leap days come last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool trace_find_days(int64_t year, int64_t month, int64_t day, int64_t *ret)
{
    if (month < 1 || month > 12 || day < 1)
        return false;
    int64_t first = days_of(year, month, 1);
    int64_t next = month < 12 ? days_of(year, month + 1, 1) : days_of(year + 1, 1, 1);
    *ret = first + day - 1;
    return *ret < next;
}

bool trace_time_fits(double at_s)
{
    return at_s >= 0 && at_s < YEAR_10000_S;
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
    int64_t year, month, day, days, east_s = 0;
    double clock_s = 0;
    size_t at = 0;
    text = slice_trim(text);
    if (!take_number(text, &at, 4, &year) || !take_char(text, &at, "-/") ||
        !take_number(text, &at, 2, &month) || !take_char(text, &at, "-/") ||
        !take_number(text, &at, 2, &day))
        return -EINVAL;
    if (!trace_find_days(year, month, day, &days))
        return -EINVAL;
    if (at < text.n && (!take_char(text, &at, "Tt ") || !take_clock(text, &at, &clock_s) ||
                        !take_zone(text, &at, &east_s)))
        return -EINVAL;
    double at_s = (double)(days * 86400 - east_s) + clock_s;
    if (!trace_time_fits(at_s))
        return -EINVAL;
    *ret_s = at_s;
    return 0;
}
