/* What can be done with a trace: looking at it, and making another of it. It reads no text. */
#include "sim/trace/trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

void trace_done(struct trace *t)
{
    free(t->rates);
    *t = (struct trace){ 0 };
}

/* The same in all but its rates, of which there is room for `count`. */
static int copy_empty(const struct trace *from, size_t count, struct trace *ret)
{
    double *rates = calloc(MAX(count, 1), sizeof(*rates));
    if (!rates)
        return -ENOMEM;
    *ret = *from;
    ret->count = count;
    ret->rates = rates;
    return 0;
}

size_t trace_fill_gaps(struct trace *t)
{
    size_t filled = 0;
    for (size_t n = 0; n < t->count; n++) {
        if (!isnan(t->rates[n]))
            continue;
        size_t next = n;
        while (next < t->count && isnan(t->rates[next]))
            next++;
        double after = next < t->count ? t->rates[next] : n > 0 ? t->rates[n - 1] : 0;
        double before = n > 0 ? t->rates[n - 1] : after;
        size_t length = next - n;
        for (size_t k = 0; k < length; k++)
            t->rates[n + k] = before + (after - before) * (double)(k + 1) / (double)(length + 1);
        filled += length;
        n = next;
    }
    return filled;
}

double trace_mean(const struct trace *t)
{
    double sum = 0;
    for (size_t n = 0; n < t->count; n++)
        sum += t->rates[n];
    return t->count > 0 ? sum / (double)t->count : 0;
}

double trace_peak(const struct trace *t)
{
    double peak = 0;
    for (size_t n = 0; n < t->count; n++)
        peak = MAX(peak, t->rates[n]);
    return peak;
}

int64_t trace_length_us(const struct trace *t)
{
    return us_mul(t->step_us, (int64_t)t->count);
}

/* -- the rate at an instant -- */

static int64_t centre_us(const struct trace *t, size_t n)
{
    return (int64_t)n * t->step_us + t->step_us / 2;
}

void trace_cursor_init(struct trace_cursor *c, const struct trace *t)
{
    *c = (struct trace_cursor){ .trace = t, .until_us = INT64_MIN };
}

void trace_cursor_move(struct trace_cursor *c, int64_t at_us)
{
    const struct trace *t = c->trace;
    int64_t ahead = at_us < t->step_us / 2 ? 0 : (at_us - t->step_us / 2) / t->step_us + 1;
    c->next = MIN((size_t)ahead, t->count);
    c->until_us = c->next < t->count ? centre_us(t, c->next) : US_NEVER;
    size_t last = c->next > 0 ? c->next - 1 : 0;
    c->from_us = centre_us(t, last);
    c->rate = t->count > 0 ? t->rates[last] : 0;
    bool between = c->next > 0 && c->next < t->count;
    c->slope = between ? (t->rates[c->next] - c->rate) / (double)t->step_us : 0;
}

double trace_at(const struct trace *t, int64_t at_us)
{
    struct trace_cursor c;
    trace_cursor_init(&c, t);
    return trace_cursor_at(&c, at_us);
}

/* -- other traces from it -- */

int trace_slice(const struct trace *t, int64_t from_us, int64_t to_us, struct trace *ret)
{
    int64_t begin = CLAMP(from_us / t->step_us, 0, (int64_t)t->count);
    int64_t end = CLAMP(to_us / t->step_us, begin, (int64_t)t->count);
    int rc = copy_empty(t, (size_t)(end - begin), ret);
    if (rc < 0)
        return rc;
    memcpy(ret->rates, t->rates + begin, ret->count * sizeof(*t->rates));
    if (t->start_wall_us != 0)
        ret->start_wall_us = us_add(t->start_wall_us, us_mul(begin, t->step_us));
    return 0;
}

/* Requests in [from, to) with the rate constant within each step. */
static double requests_us(const struct trace *t, int64_t from_us, int64_t to_us)
{
    double sum = 0;
    int64_t end_us = MIN(to_us, trace_length_us(t));
    while (from_us < end_us) {
        int64_t n = from_us / t->step_us;
        int64_t until_us = MIN((n + 1) * t->step_us, end_us);
        sum += t->rates[n] * (double)(until_us - from_us);
        from_us = until_us;
    }
    return sum;
}

int trace_resample(const struct trace *t, int64_t step_us, struct trace *ret)
{
    if (step_us <= 0)
        return -EINVAL;
    int64_t length_us = trace_length_us(t);
    int64_t count = length_us / step_us;
    if (count <= 0)
        return -ERANGE;
    if (count > (int64_t)TRACE_COUNT_MAX)
        return -E2BIG;
    int rc = copy_empty(t, (size_t)count, ret);
    if (rc < 0)
        return rc;
    for (int64_t n = 0; n < count; n++) {
        double requests = requests_us(t, n * step_us, (n + 1) * step_us);
        ret->rates[n] = requests / (double)step_us;
    }
    ret->step_us = step_us;
    return 0;
}

void trace_scale(struct trace *t, double factor)
{
    for (size_t n = 0; n < t->count; n++)
        t->rates[n] *= factor;
}

void trace_scale_time(struct trace *t, double factor)
{
    double step_us = floor((double)t->step_us / factor + 0.5);
    t->step_us = (int64_t)CLAMP(step_us, 1, (double)TRACE_LENGTH_US_MAX + 1);
}
