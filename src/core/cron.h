/* Five-field cron expressions and time zones as data: a zone is its coming transitions, computed
 * outside. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define ZONE_TRANSITIONS_MAX 64

struct zone_conf {
    char name[48];    /* "Europe/Berlin", "UTC" */
    int32_t offset_s; /* east of UTC before the first transition */
    uint32_t transition_count;
    struct {
        int64_t at_s;     /* Unix time */
        int32_t offset_s; /* from then on */
    } transition[ZONE_TRANSITIONS_MAX];
};

/* Bit sets; *_any remembers "*" (with a step too), because the two day fields are or-ed unless one
 * of them is that (as in Vixie cron, crontab(5)). */
struct cron {
    uint64_t minute;                    /* bits 0..59 */
    uint32_t hour, day, month, weekday; /* 0..23, 1..31, 1..12, 0..6 with 0 = Sunday */
    bool day_any, weekday_any;
    char text[64];
};

/* "0 9 * * MON-FRI": lists, ranges, steps, names; ranges of weekdays go round ("SAT-SUN"); also
 * @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. -EINVAL with a text that names
 * the field and the value. */
int cron_parse(struct slice text, struct cron *ret, struct err *err);

/* The last instant at or before `wall_us`, and the first one after it, at which the expression
 * matches in that zone's local time. A local time that a clock change skips matches at the change;
 * one that comes twice matches the first time only. INT64_MIN / US_NEVER when there is none within
 * five years. */
int64_t cron_last(const struct cron *c, const struct zone_conf *z, int64_t wall_us);
int64_t cron_next(const struct cron *c, const struct zone_conf *z, int64_t wall_us);
