/* Options of `plimsoll capacity`: one table says what each is and where it goes. It must never
 * compute, and never take a value that means nothing. */
#include "cli/capacity_read.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/util.h"

#define POINTS_BYTES_MAX ((size_t)1024 * 1024)

const struct option_spec capacity_options[] = {
    { "rate", 0, "R", "requests: 1200/s, 90k/min, 5M/day, 100B/month (B = 1e9); repeatable" },
    { "class", 0, "NAME:R:TIME[:CV2]", "a kind of request: its rate and service time; repeatable" },
    { "users", 0, "N", "people who use it at a time ..." },
    { "think", 0, "TIME", "... and wait this long between an answer and the next request" },
    { "response", 0, "TIME", "... and for an answer this long (default: the service time)" },
    { "daily-users", 0, "N", "people who come in a day ..." },
    { "requests-a-day", 0, "N", "... and what each of them asks" },
    { "peak-to-mean", 0, "F", "the peak is so many times the mean (default 1)" },
    { "service", 0, "TIME", "what an instance works on a request, on average (not with --usl)" },
    { "service-cv2", 0, "X", "variance / mean^2 of that (default 1; 0 = always the same)" },
    { "arrival-cv2", 0, "X", "the same of the times between requests (default 1, Poisson)" },
    { "concurrency", 0, "N", "requests that an instance works on at a time (default 1)" },
    { "usl", 0, "FILE", "measured rows \"instances, requests a second\": fits the USL" },
    { "slo", 0, "TARGET", "'p99<250ms', 'latency<100ms' (mean), 'wait-p99<50ms', 'wait<10ms'" },
    { "fan-out", 0, "N", "an answer needs so many calls, and the slowest decides" },
    { "headroom", 0, "SHARE", "of the capacity that is kept free: 20% or 0.2" },
    { "spare", 0, "K", "so many may be broken (N+K)" },
    { "zones", 0, "Z", "spread over Z zones, any one of which may be lost" },
    { "connections", 0, "N", "persistent connections at a time, on average" },
    { "connections-each", 0, "N", "what one instance holds" },
    { "refused", 0, "SHARE", "of connections that may find no place (default 0.1%)" },
    { "max-instances", 0, "N", "no more than so many: says what fits" },
    { "cost", 0, "X", "of an instance for an hour" },
    { "watts", 0, "X", "of an instance" },
    { "carbon", 0, "G", "grams of CO2 per kWh" },
    { 0 },
};

enum kind { COUNT, WHOLE, RATE, TIME, SHARE };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    double least, most;
} fields[] = {
#define AT(member) offsetof(struct capacity_conf, member)
    { "rate", RATE, AT(rate_per_s), 0, 1e15 },
    { "users", COUNT, AT(users), 0, 1e15 },
    { "think", TIME, AT(think_s), 0, 1e9 },
    { "response", TIME, AT(response_s), 0, 1e9 },
    { "daily-users", COUNT, AT(daily_users), 0, 1e15 },
    { "requests-a-day", COUNT, AT(requests_a_day), 0, 1e9 },
    { "peak-to-mean", COUNT, AT(peak_to_mean), 1, 1e6 },
    { "service", TIME, AT(service_s), 1e-6, 1e6 },
    { "service-cv2", COUNT, AT(service_cv2), 0, 1e6 },
    { "arrival-cv2", COUNT, AT(arrival_cv2), 0, 1e6 },
    { "concurrency", WHOLE, AT(concurrency), 1, 1e6 },
    { "fan-out", COUNT, AT(fan_out), 1, 1e6 },
    { "headroom", SHARE, AT(headroom), 0, 0.95 },
    { "spare", WHOLE, AT(spare), 0, 1e6 },
    { "zones", WHOLE, AT(zones), 1, 1000 },
    { "connections", COUNT, AT(connections), 0, 1e8 },
    { "connections-each", COUNT, AT(connections_each), 1, 1e7 },
    { "refused", SHARE, AT(refused_ratio), 1e-9, 0.5 },
    { "max-instances", WHOLE, AT(instances_max), 1, 1e6 },
    { "cost", COUNT, AT(cost), 0, 1e9 },
    { "watts", COUNT, AT(watts), 0, 1e9 },
    { "carbon", COUNT, AT(grams_per_kwh), 0, 1e6 },
#undef AT
};

static const char *const kind_help[] = {
    [COUNT] = "a number such as 1500, 2.5, 90k, 10M or 1B",
    [WHOLE] = "a whole number",
    [RATE] = "a rate such as 1200/s, 90k/min, 4M/h, 5M/day or 100B/month",
    [TIME] = "a time such as 250us, 20ms or 1.5s",
    [SHARE] = "a share such as 20% or 0.2",
};

/* -- single values -----------------------------------------------------------------------------
 */

static int read_count(struct slice text, double *ret)
{
    static const struct {
        char letter;
        double factor;
    } suffixes[] = { { 'k', 1e3 }, { 'K', 1e3 }, { 'M', 1e6 },
                     { 'G', 1e9 }, { 'B', 1e9 }, { 'T', 1e12 } };
    double factor = 1;
    for (size_t i = 0; i < ARRAY_LEN(suffixes) && text.n > 1; i++)
        if (text.p[text.n - 1] == suffixes[i].letter)
            factor = suffixes[i].factor;
    text.n -= factor > 1;
    double value;
    int rc = num_parse_double(text, &value);
    if (rc == 0)
        *ret = value * factor;
    return rc;
}

static int read_rate(struct slice text, double *ret)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {
        { "s", 1 },
        { "min", 60 },
        { "m", 60 },
        { "h", 3600 },
        { "day", 86400 },
        { "d", 86400 },
        { "month", 730.0 * 3600 },
        { "year", 8760.0 * 3600 },
    };
    const char *slash = memchr(text.p, '/', text.n);
    double count = 0, seconds = slash ? 0 : 1;
    struct slice number = { text.p, slash ? (size_t)(slash - text.p) : text.n };
    struct slice unit = { slash ? slash + 1 : NULL, slash ? text.n - number.n - 1 : 0 };
    for (size_t i = 0; i < ARRAY_LEN(units) && slash; i++)
        if (slice_eq(unit, slice_of(units[i].unit)))
            seconds = units[i].seconds;
    if (seconds == 0 || read_count(number, &count) < 0)
        return -EINVAL;
    *ret = count / seconds;
    return 0;
}

static int read_time(struct slice text, double *ret)
{
    int64_t us;
    int rc = num_parse_duration(text, &us);
    if (rc == 0)
        *ret = (double)us / 1e6;
    return rc;
}

static int read_whole(struct slice text, double *ret)
{
    int64_t value;
    int rc = num_parse_i64(text, &value);
    if (rc == 0)
        *ret = (double)value;
    return rc;
}

static int read_share(struct slice text, double *ret)
{
    int rc = num_parse_percent(text, ret);
    return rc == 0 ? 0 : num_parse_double(text, ret);
}

static int read_kind(enum kind kind, struct slice text, double *ret)
{
    switch (kind) {
    case COUNT:
        return read_count(text, ret);
    case WHOLE:
        return read_whole(text, ret);
    case RATE:
        return read_rate(text, ret);
    case TIME:
        return read_time(text, ret);
    case SHARE:
        return read_share(text, ret);
    }
    return -EINVAL;
}

static void format_bound(char *buf, size_t cap, enum kind kind, double bound)
{
    static const char *const units[] = {
        [COUNT] = "", [WHOLE] = "", [RATE] = "/s", [TIME] = "s", [SHARE] = "%",
    };
    fmt(buf, cap, "%.9g%s", kind == SHARE ? bound * 100 : bound, units[kind]);
}

/* A rate is added to what was given before it. */
static int read_value(const struct field *f, const char *text, struct capacity_conf *ret,
                      struct err *err)
{
    double value;
    if (read_kind(f->kind, slice_of(text), &value) < 0)
        return err_set(err, -EINVAL, "--%s is \"%s\", and must be %s", f->name, text,
                       kind_help[f->kind]);
    if (value < f->least || value > f->most) {
        char least[40], most[40];
        format_bound(least, sizeof(least), f->kind, f->least);
        format_bound(most, sizeof(most), f->kind, f->most);
        return err_set(err, -EINVAL, "--%s is \"%s\", and must be from %s to %s", f->name, text,
                       least, most);
    }
    char *at = (char *)ret + f->offset;
    if (f->kind == WHOLE) {
        *(int64_t *)(void *)at = (int64_t)value;
        return 0;
    }
    double *sum = (double *)(void *)at;
    *sum = f->kind == RATE ? *sum + value : value;
    return *sum <= f->most ? 0 : err_set(err, -EINVAL, "--%s: all together are too many", f->name);
}

static int read_field(const struct options *o, const struct field *f, struct capacity_conf *ret,
                      struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < o->given_count && rc == 0; i++)
        if (strcmp(o->given[i].spec->name, f->name) == 0)
            rc = read_value(f, o->given[i].value, ret, err);
    return rc;
}

/* -- the target --------------------------------------------------------------------------------
 */

static bool take_prefix(struct slice *text, const char *prefix)
{
    size_t n = strlen(prefix);
    if (text->n < n || memcmp(text->p, prefix, n) != 0)
        return false;
    *text = (struct slice){ text->p + n, text->n - n };
    return true;
}

/* "p99<250ms", "p99 <= 250ms", and as a rule has it, "p99 below 250ms". */
static bool split_at_limit(struct slice text, struct slice *ret_what, struct slice *ret_limit)
{
    static const char *const signs[] = { "<=", "<", "below " };
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        size_t n = strlen(signs[i]);
        const char *at = memmem(text.p, text.n, signs[i], n);
        if (!at)
            continue;
        *ret_what = slice_trim((struct slice){ text.p, (size_t)(at - text.p) });
        *ret_limit = slice_trim((struct slice){ at + n, text.n - (size_t)(at - text.p) - n });
        return true;
    }
    return false;
}

/* "wait-p99", "wait p99" and "p99" are percentiles; "wait" and "latency" alone are means. */
static int parse_slo(struct slice text, struct queueing_slo *ret)
{
    struct slice what, limit;
    double percent = 100, limit_s = 0;
    if (!split_at_limit(text, &what, &limit) || read_time(limit, &limit_s) < 0 || limit_s < 0)
        return -EINVAL;
    bool wait = take_prefix(&what, "wait");
    bool named = wait || take_prefix(&what, "latency");
    bool mean = named && what.n == 0;
    what = slice_trim(what);
    if (named && take_prefix(&what, "-"))
        what = slice_trim(what);
    if (!mean && (!take_prefix(&what, "p") || num_parse_double(slice_trim(what), &percent) < 0))
        return -EINVAL;
    if (percent <= 0 || (percent >= 100 && !mean))
        return -EINVAL;
    static const enum queueing_goal goals[2][2] = {
        { QUEUEING_SOJOURN_QUANTILE, QUEUEING_SOJOURN_MEAN },
        { QUEUEING_WAIT_QUANTILE, QUEUEING_WAIT_MEAN },
    };
    *ret = (struct queueing_slo){ goals[wait][mean], limit_s, percent / 100 };
    return 0;
}

static int read_slo(const char *written, struct capacity_conf *ret, struct err *err)
{
    if (parse_slo(slice_trim(slice_of(written)), &ret->slo) < 0 ||
        !str_copy(ret->slo_text, sizeof(ret->slo_text), written))
        return err_set(err, -EINVAL,
                       "--slo is \"%.64s\", and must be as p99<250ms or latency<100ms (wait and "
                       "service) or wait-p99<50ms or wait<10ms",
                       written);
    return 0;
}

/* -- classes -----------------------------------------------------------------------------------
 */

/* Cuts up to the next colon off `rest`. */
static struct slice next_part(struct slice *rest)
{
    const char *colon = rest->n > 0 ? memchr(rest->p, ':', rest->n) : NULL;
    struct slice part = { rest->p, colon ? (size_t)(colon - rest->p) : rest->n };
    size_t used = part.n + (colon != NULL);
    *rest = (struct slice){ rest->p + used, rest->n - used };
    return part;
}

static int read_class(const char *written, struct capacity_conf *ret, struct err *err)
{
    if (ret->class_count == CAPACITY_CLASSES_MAX)
        return err_set(err, -EINVAL, "--class: more than %d of them", CAPACITY_CLASSES_MAX);
    struct capacity_class *k = &ret->classes[ret->class_count];
    struct slice rest = slice_of(written);
    struct slice name = next_part(&rest), rate = next_part(&rest), service = next_part(&rest);
    *k = (struct capacity_class){ .service_cv2 = 1 };
    bool named = name.n > 0 && name.n < sizeof(k->name);
    if (!named || read_rate(rate, &k->rate_per_s) < 0 || read_time(service, &k->service_s) < 0 ||
        (rest.n > 0 && num_parse_double(rest, &k->service_cv2) < 0) || k->rate_per_s < 0 ||
        k->service_s < 1e-6 || k->service_cv2 < 0)
        return err_set(err, -EINVAL,
                       "--class is \"%s\", and must be NAME:RATE:TIME or NAME:RATE:TIME:CV2, as "
                       "read:100B/month:2ms",
                       written);
    memcpy(k->name, name.p, name.n);
    ret->class_count++;
    return 0;
}

static int read_classes(const struct options *o, struct capacity_conf *ret, struct err *err)
{
    for (size_t i = 0; i < o->given_count; i++) {
        const struct option_given *g = &o->given[i];
        int rc = strcmp(g->spec->name, "class") == 0 ? read_class(g->value, ret, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* -- measurements ------------------------------------------------------------------------------
 */

static int read_usl(const char *path, struct capacity_conf *ret, struct points *ret_points,
                    struct err *err)
{
    char *text = malloc(POINTS_BYTES_MAX);
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    int rc = 0;
    if (!text || !f) {
        rc = err_set(err, -EINVAL, "--usl %s: %s", path, strerror(errno));
    } else {
        size_t n = fread(text, 1, POINTS_BYTES_MAX, f);
        if (ferror(f) || n == POINTS_BYTES_MAX)
            rc = err_set(err, -EINVAL, "--usl %s: %s", path,
                         ferror(f) ? strerror(errno) : "more than 1 MiB, no table of points");
        points_read(text, n, ret_points);
    }
    if (f && f != stdin)
        fclose(f);
    free(text);
    if (rc < 0)
        return rc;
    rc = usl_fit(ret_points->point, ret_points->count, &ret->usl, &ret->usl_r2);
    if (rc < 0 && rc != -ENODATA)
        return err_set(err, -EINVAL,
                       "--usl %s: no law of this kind goes through these %u rows; are they "
                       "instances and requests a second?",
                       path, ret_points->count);
    if (rc < 0)
        return err_set(err, -EINVAL,
                       "--usl %s: %u usable rows (%u bad); a fit needs three different numbers of "
                       "instances",
                       path, ret_points->count, ret_points->bad_count);
    ret->has_usl = true;
    ret->usl_worst = capacity_worst_row(&ret->usl, ret_points->point, ret_points->count);
    return 0;
}

/* -- all of it ---------------------------------------------------------------------------------
 */

/* Options that say nothing without another. */
static int check_pairs(const struct options *o, struct err *err)
{
    static const char *const pairs[][2] = {
        { "users", "think" },
        { "think", "users" },
        { "response", "users" },
        { "daily-users", "requests-a-day" },
        { "connections", "connections-each" },
        { "connections-each", "connections" },
        { "requests-a-day", "daily-users" },
        { "refused", "connections" },
        { "fan-out", "slo" },
        { "carbon", "watts" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (options_text(o, pairs[i][0]) && !options_text(o, pairs[i][1]))
            return err_set(err, -EINVAL, "--%s needs --%s as well", pairs[i][0], pairs[i][1]);
    return 0;
}

/* A load that was given, and is none. */
static int check_load(const struct options *o, const struct capacity_conf *c, struct err *err)
{
    const struct {
        const char *name;
        double value;
    } loads[] = {
        { "rate", c->rate_per_s },
        { "users", c->users },
        { "daily-users", c->daily_users },
        { "requests-a-day", c->requests_a_day },
        { "class", 0 },
    };
    double sum = c->rate_per_s + c->users + c->daily_users * c->requests_a_day;
    for (uint32_t i = 0; i < c->class_count; i++)
        sum += c->classes[i].rate_per_s;
    for (size_t i = 0; i < ARRAY_LEN(loads) && !(sum > 0); i++) {
        const char *text = options_text(o, loads[i].name);
        if (text && !(loads[i].value > 0))
            return err_set(err, -EINVAL, "no load: --%s is \"%s\", and must be more than 0",
                           loads[i].name, text);
    }
    return 0;
}

/* What describes the requests of no class, when there are none. */
static int check_service(const struct options *o, bool plain, uint32_t class_count, struct err *err)
{
    static const char *const names[] = { "service", "service-cv2" };
    for (size_t i = 0; i < ARRAY_LEN(names) && class_count > 0 && !plain; i++)
        if (options_text(o, names[i]))
            return err_set(err, -EINVAL,
                           "--%s is for requests that are in no --class, and there are none: "
                           "leave it out, a class says its own, NAME:RATE:TIME:CV2",
                           names[i]);
    return 0;
}

static int check_whole(const struct options *o, const struct capacity_conf *c, struct err *err)
{
    bool percentile =
        c->slo.goal == QUEUEING_SOJOURN_QUANTILE || c->slo.goal == QUEUEING_WAIT_QUANTILE;
    bool plain = options_text(o, "rate") || c->users > 0 || c->daily_users > 0;
    if (c->zones == 1)
        return err_set(err, -EINVAL, "--zones 1: the loss of it leaves nothing; give 2 or more");
    if (c->fan_out > 1 && !percentile)
        return err_set(err, -EINVAL, "--fan-out needs an --slo on a percentile, as p99<250ms");
    if (c->users > 0 && !(c->think_s + (c->response_s >= 0 ? c->response_s : c->service_s) > 0))
        return err_set(err, -EINVAL,
                       "--users: --think and the response time are both 0, so the "
                       "rate has no bound");
    if (plain && c->class_count > 0 && c->service_s == 0)
        return err_set(err, -EINVAL, "--service: needed for the requests that are in no --class");
    int rc = check_load(o, c, err);
    return rc == 0 ? check_service(o, plain, c->class_count, err) : rc;
}

int capacity_read(const struct options *o, struct capacity_conf *ret, struct points *ret_points,
                  struct err *err)
{
    *ret = (struct capacity_conf){
        .peak_to_mean = 1,
        .service_cv2 = 1,
        .arrival_cv2 = 1,
        .response_s = -1,
        .concurrency = 1,
        .fan_out = 1,
        .refused_ratio = 0.001,
    };
    int rc = check_pairs(o, err);
    for (size_t i = 0; i < ARRAY_LEN(fields) && rc == 0; i++)
        rc = read_field(o, &fields[i], ret, err);
    if (rc == 0)
        rc = read_classes(o, ret, err);
    if (rc == 0 && options_text(o, "slo"))
        rc = read_slo(options_text(o, "slo"), ret, err);
    if (rc == 0 && options_text(o, "usl"))
        rc = read_usl(options_text(o, "usl"), ret, ret_points, err);
    return rc == 0 ? check_whole(o, ret, err) : rc;
}
