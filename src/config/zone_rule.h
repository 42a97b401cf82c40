/* The rule by which a time zone goes on for ever: the POSIX TZ string in a TZif file's footer, as
 * in "CET-1CEST,M3.5.0,M10.5.0/3" (POSIX.1-2017 section 8.3; RFC 8536 section 3.3 for the wider
 * range of hours). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct zone_day {
    char form; /* 'M' month.week.weekday, 'J' day 1..365 without 29 February, 'N' day 0..365 */
    int month, week, day;
    int32_t time_s; /* after local midnight; may be negative or beyond a day */
};

struct zone_rule {
    int32_t standard_s; /* east of UTC */
    bool has_summer;
    int32_t summer_s;
    struct zone_day start, end; /* of summer time */
};

/* -EINVAL when it is not such a rule. */
int zone_rule_parse(struct slice text, struct zone_rule *ret);
/* When summer time begins and ends in a year, Unix time. Only of a rule that has one. */
void zone_rule_year(const struct zone_rule *r, int year, int64_t *ret_start_s, int64_t *ret_end_s);

int zone_year_of(int64_t unix_s); /* Gregorian, UTC */
