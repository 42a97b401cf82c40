/* Cron expressions: parsing into bit sets and finding the matches of one before and after an
 * instant, in a local time that is given as data. It owns the rules for clock changes; it must
 * never read a zone file or a clock. Calendar arithmetic after Howard Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms" (days_from_civil, civil_from_days). */
#include "core/cron.h"

#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

#define DAY_S 86400
#define SEARCH_DAYS (5 * 366)

/* -- the calendar ------------------------------------------------------------------------------ */

struct civil {
    int64_t year;
    uint32_t month, day; /* 1.. */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static struct civil civil_of_day(int64_t day)
{
    day += 719468;
    int64_t era = floor_div(day, 146097);
    uint32_t of_era = (uint32_t)(day - era * 146097);
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * of_year + 2) / 153;
    struct civil c = { .year = (int64_t)year + era * 400 };
    c.day = of_year - (153 * month + 2) / 5 + 1;
    c.month = month < 10 ? month + 3 : month - 9;
    c.year += c.month <= 2;
    return c;
}

static uint32_t weekday_of_day(int64_t day)
{
    return (uint32_t)(day + 4 - floor_div(day + 4, 7) * 7); /* 1970-01-01 was a Thursday */
}

static bool day_matches(const struct cron *c, int64_t day)
{
    struct civil civil = civil_of_day(day);
    if (!(c->month & BIT(civil.month)))
        return false;
    bool by_day = c->day & BIT(civil.day);
    bool by_weekday = c->weekday & BIT(weekday_of_day(day));
    if (c->day_any || c->weekday_any)
        return by_day && by_weekday;
    return by_day || by_weekday;
}

/* -- local time ---------------------------------------------------------------------------------
 */

/* Stretches of constant offset are numbered: stretch i lasts from transition i - 1 to
 * transition i. */
static int64_t stretch_begin(const struct zone_conf *z, uint32_t i)
{
    return i == 0 ? INT64_MIN : z->transition[i - 1].at_s;
}

static int64_t stretch_end(const struct zone_conf *z, uint32_t i)
{
    return i >= z->transition_count ? INT64_MAX : z->transition[i].at_s;
}

static int64_t stretch_offset(const struct zone_conf *z, uint32_t i)
{
    return i == 0 ? z->offset_s : z->transition[i - 1].offset_s;
}

/* When the wall clock of that place first shows `local_s`, or the instant it jumped over it. */
static int64_t instant_of_local(const struct zone_conf *z, int64_t local_s)
{
    for (uint32_t i = 0; i <= z->transition_count; i++) {
        int64_t at_s = local_s - stretch_offset(z, i);
        if (at_s < stretch_end(z, i))
            return MAX(at_s, stretch_begin(z, i));
    }
    return local_s - stretch_offset(z, z->transition_count);
}

static int64_t local_of_instant(const struct zone_conf *z, int64_t at_s)
{
    uint32_t i = 0;
    while (i < z->transition_count && z->transition[i].at_s <= at_s)
        i++;
    return at_s + stretch_offset(z, i);
}

/* -- the search ---------------------------------------------------------------------------------
 */

/* instant_of_local() never decreases: a skipped time is put at the change, of a repeated one the
 * first is taken. So matches come in the order of their local times and the first that fits is the
 * answer. Hours that lie wholly on the wrong side are passed over unread. */

static int64_t match_instant(const struct zone_conf *z, int64_t day, uint32_t hour, uint32_t minute)
{
    return instant_of_local(z, day * DAY_S + hour * 3600 + minute * 60);
}

/* The first match of that local day after `after_s`, INT64_MAX when there is none. */
static int64_t day_first_after(const struct cron *c, const struct zone_conf *z, int64_t day,
                               int64_t after_s)
{
    for (uint32_t hour = 0; hour < 24; hour++) {
        if (!(c->hour & BIT(hour)) || match_instant(z, day, hour, 59) <= after_s)
            continue;
        for (uint32_t minute = 0; minute < 60; minute++) {
            int64_t at_s = match_instant(z, day, hour, minute);
            if ((c->minute >> minute & 1) && at_s > after_s)
                return at_s;
        }
    }
    return INT64_MAX;
}

/* The last match of that local day at or before `until_s`, INT64_MIN when there is none. */
static int64_t day_last_until(const struct cron *c, const struct zone_conf *z, int64_t day,
                              int64_t until_s)
{
    for (uint32_t hour = 24; hour-- > 0;) {
        if (!(c->hour & BIT(hour)) || match_instant(z, day, hour, 0) > until_s)
            continue;
        for (uint32_t minute = 60; minute-- > 0;) {
            int64_t at_s = match_instant(z, day, hour, minute);
            if ((c->minute >> minute & 1) && at_s <= until_s)
                return at_s;
        }
    }
    return INT64_MIN;
}

/* One day to either side of today, because a change of more than an hour can move a match over
 * midnight. */
int64_t cron_next(const struct cron *c, const struct zone_conf *z, int64_t wall_us)
{
    int64_t after_s = floor_div(wall_us, US_PER_S);
    int64_t today = floor_div(local_of_instant(z, after_s), DAY_S);
    for (int64_t day = today - 1; day <= today + SEARCH_DAYS; day++) {
        int64_t at_s = day_matches(c, day) ? day_first_after(c, z, day, after_s) : INT64_MAX;
        if (at_s != INT64_MAX)
            return us_mul(at_s, US_PER_S);
    }
    return US_NEVER;
}

int64_t cron_last(const struct cron *c, const struct zone_conf *z, int64_t wall_us)
{
    int64_t until_s = floor_div(wall_us, US_PER_S);
    int64_t today = floor_div(local_of_instant(z, until_s), DAY_S);
    for (int64_t day = today + 1; day >= today - SEARCH_DAYS; day--) {
        int64_t at_s = day_matches(c, day) ? day_last_until(c, z, day, until_s) : INT64_MIN;
        if (at_s != INT64_MIN)
            return us_mul(at_s, US_PER_S);
    }
    return INT64_MIN;
}

/* -- parsing ------------------------------------------------------------------------------------
 */

static const char *const month_names[] = { "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
                                           "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
static const char *const weekday_names[] = {
    "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL
};

enum { FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY, FIELD_MAX };

static const struct field {
    const char *name;
    uint32_t low, high;
    const char *const *names; /* of low, low + 1, ... */
    uint32_t round;           /* a range may go round: the first value again is this one; 0 = no */
} fields[FIELD_MAX] = {
    [FIELD_MINUTE] = { "minute", 0, 59, NULL },
    [FIELD_HOUR] = { "hour", 0, 23, NULL },
    [FIELD_DAY] = { "day of month", 1, 31, NULL },
    [FIELD_MONTH] = { "month", 1, 12, month_names },
    [FIELD_WEEKDAY] = { "day of week", 0, 7, weekday_names, 7 }, /* 7 is Sunday too */
};

#define MACROS "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"

static const struct macro {
    const char *name, *text;
} macros[] = {
    { "@hourly", "0 * * * *" },   { "@daily", "0 0 * * *" },   { "@midnight", "0 0 * * *" },
    { "@weekly", "0 0 * * 0" },   { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
    { "@annually", "0 0 1 1 *" },
};

/* Cuts the text before the first `separator` off `rest`; all of it when there is none. */
static struct slice cut(struct slice *rest, char separator, bool *ret_found)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != separator)
        n++;
    struct slice head = { rest->p, n };
    *ret_found = n < rest->n;
    *rest = *ret_found ? (struct slice){ rest->p + n + 1, rest->n - n - 1 }
                       : (struct slice){ rest->p + n, 0 };
    return head;
}

static bool parse_number(struct slice text, uint32_t *ret)
{
    uint32_t value = 0;
    if (text.n == 0 || text.n > 4)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.p[i] - '0');
    }
    *ret = value;
    return true;
}

static bool parse_value(const struct field *f, struct slice text, uint32_t *ret)
{
    for (uint32_t i = 0; f->names && f->names[i]; i++)
        if (slice_eq_nocase(text, slice_of(f->names[i]))) {
            *ret = f->low + i;
            return true;
        }
    return parse_number(text, ret) && *ret >= f->low && *ret <= f->high;
}

/* "*", "5", "MON-FRI", each with "/step"; "5/10" is "5-last/10"; "SAT-SUN" goes round, and its bits
 * on beyond the last. NULL, or what is wrong. */
static const char *parse_item(const struct field *f, struct slice item, uint64_t *bits)
{
    bool stepped, ranged;
    uint32_t low = f->low, high = f->round ? f->round - 1 : f->high, step = 1;
    struct slice step_text = item;
    struct slice range = cut(&step_text, '/', &stepped);
    if (stepped && (!parse_number(step_text, &step) || step == 0))
        return "the step after / is not a number above 0";
    if (!slice_eq(range, SLICE("*"))) {
        struct slice high_text = range;
        struct slice low_text = cut(&high_text, '-', &ranged);
        if (!parse_value(f, low_text, &low))
            return "not a value of this field";
        if (ranged && !parse_value(f, high_text, &high))
            return "the end of the range is not a value of this field";
        if (!ranged && !stepped)
            high = low;
        if (low > high)
            high += f->round;
        if (low > high)
            return "the range ends before it begins";
    }
    for (uint32_t value = low; value <= high; value += step)
        *bits |= UINT64_C(1) << value;
    return NULL;
}

static int parse_field(const struct field *f, struct slice text, uint64_t *ret, struct err *err)
{
    struct slice rest = text;
    uint64_t bits = 0;
    bool more = true;
    while (more) {
        struct slice item = cut(&rest, ',', &more);
        const char *wrong = parse_item(f, item, &bits);
        if (wrong)
            return err_set(err, -EINVAL, "cron %s \"%.*s\": %s (%u to %u)", f->name,
                           (int)MIN(item.n, 64), item.p, wrong, f->low, f->high);
    }
    *ret = bits;
    return 0;
}

static struct slice next_word(struct slice *rest)
{
    size_t n = 0;
    *rest = slice_trim(*rest);
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
        n++;
    struct slice word = { rest->p, n };
    *rest = (struct slice){ rest->p + n, rest->n - n };
    return word;
}

static struct slice expand_macro(struct slice text)
{
    for (size_t i = 0; i < ARRAY_LEN(macros); i++)
        if (slice_eq_nocase(text, slice_of(macros[i].name)))
            return slice_of(macros[i].text);
    return text;
}

static void copy_text(struct cron *c, struct slice text)
{
    memcpy(c->text, text.p, text.n);
    c->text[text.n] = '\0';
}

int cron_parse(struct slice text, struct cron *ret, struct err *err)
{
    struct cron c = { 0 };
    uint64_t bits[FIELD_MAX] = { 0 };
    text = slice_trim(text);
    if (text.n == 0 || text.n >= sizeof(c.text))
        return err_set(err, -EINVAL, "a cron expression has 1 to %zu characters, this has %zu",
                       sizeof(c.text) - 1, text.n);
    struct slice rest = expand_macro(text);
    if (rest.p[0] == '@')
        return err_set(err, -EINVAL, "cron \"%.*s\": know " MACROS, (int)text.n, text.p);
    for (unsigned i = 0; i < FIELD_MAX; i++) {
        struct slice word = next_word(&rest);
        if (word.n == 0)
            return err_set(err, -EINVAL, "cron \"%.*s\" has %u of 5 fields: the %s is missing",
                           (int)text.n, text.p, i, fields[i].name);
        int rc = parse_field(&fields[i], word, &bits[i], err);
        if (rc < 0)
            return rc;
        c.day_any |= i == FIELD_DAY && word.p[0] == '*';
        c.weekday_any |= i == FIELD_WEEKDAY && word.p[0] == '*';
    }
    if (slice_trim(rest).n > 0)
        return err_set(err, -EINVAL, "cron \"%.*s\" has more than 5 fields", (int)text.n, text.p);
    c.minute = bits[FIELD_MINUTE];
    c.hour = (uint32_t)bits[FIELD_HOUR];
    c.day = (uint32_t)bits[FIELD_DAY];
    c.month = (uint32_t)bits[FIELD_MONTH];
    c.weekday = (uint32_t)((bits[FIELD_WEEKDAY] | bits[FIELD_WEEKDAY] >> 7) & 0x7f);
    copy_text(&c, text);
    *ret = c;
    return 0;
}
