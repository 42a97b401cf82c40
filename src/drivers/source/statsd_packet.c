/* Reading packets: a line a metric, NAME:VALUE|TYPE[|@RATE][|#TAGS]; and what counts make a second.
 * Knows no socket and no clock. */
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "drivers/source/statsd.h"

/* What stands before `at`; `rest` becomes what stands behind. False = it is not there. */
static bool cut(struct slice *rest, char at, struct slice *ret)
{
    const char *p = rest->n > 0 ? memchr(rest->p, at, rest->n) : NULL;
    if (!p)
        return false;
    *ret = (struct slice){ rest->p, (size_t)(p - rest->p) };
    *rest = (struct slice){ p + 1, rest->n - ret->n - 1 };
    return true;
}

static struct slice cut_or_all(struct slice *rest, char at)
{
    struct slice part;
    if (!cut(rest, at, &part)) {
        part = *rest;
        *rest = (struct slice){ rest->p + rest->n, 0 };
    }
    return part;
}

/* "@0.1" among the fields behind the type. False = one that makes no sense. */
static bool take_rate(struct slice fields, double *ret)
{
    *ret = 1;
    while (fields.n > 0) {
        struct slice field = cut_or_all(&fields, '|');
        if (field.n == 0 || field.p[0] != '@')
            continue;
        if (num_parse_double((struct slice){ field.p + 1, field.n - 1 }, ret) < 0 || *ret <= 0 ||
            *ret > 1)
            return false;
    }
    return true;
}

static bool parse_line(struct slice line, struct statsd_metric *ret)
{
    struct statsd_metric m = { 0 };
    double rate;
    if (!cut(&line, ':', &m.name) || m.name.n == 0 || !cut(&line, '|', &m.text))
        return false;
    struct slice type = cut_or_all(&line, '|');
    bool gauge = slice_eq(type, SLICE("g"));
    if (!gauge && !slice_eq(type, SLICE("c")))
        return false;
    bool is_signed = m.text.n > 0 && (m.text.p[0] == '+' || m.text.p[0] == '-');
    m.type = !gauge ? STATSD_COUNT : is_signed ? STATSD_CHANGE : STATSD_GAUGE;
    if (num_parse_double(m.text, &m.value) < 0 || !take_rate(line, &rate))
        m.type = STATSD_BAD;
    else if (m.type == STATSD_COUNT)
        m.value /= rate;
    if (!isfinite(m.value))
        m.type = STATSD_BAD;
    *ret = m;
    return true;
}

bool statsd_next(struct slice *packet, struct statsd_metric *ret)
{
    while (packet->n > 0) {
        struct slice line = cut_or_all(packet, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (parse_line(line, ret))
            return true;
    }
    return false;
}

void statsd_rate_count(struct statsd_rate *r, double n)
{
    r->sum += n;
    r->counts = true;
}

static void rate_begin(struct statsd_rate *r, int64_t at_us)
{
    *r = (struct statsd_rate){ .since_us = at_us, .last_us = at_us };
}

bool statsd_rate_end(struct statsd_rate *r, int64_t at_us, int64_t every_us, int64_t held_us,
                     double *ret)
{
    int64_t took_us = us_sub(at_us, r->since_us), gap_us = us_sub(at_us, r->last_us);
    if (!r->counts)
        return false;
    r->counts = false;
    r->last_us = at_us;
    if (r->since_us == 0 || gap_us > held_us) {
        rate_begin(r, at_us);
        return false;
    }
    if (took_us < every_us && took_us + gap_us <= held_us)
        return false;
    *ret = r->sum / ((double)took_us / (double)US_PER_S);
    rate_begin(r, at_us);
    return true;
}
