/* The answer of a Prometheus range query: {"status": "success", "data": {"resultType": "matrix",
 * "result": [{"metric": {}, "values": [[1435781430.781, "1"], ...]}, ...]}}. Each series has its
 * gaps filled, and then they are added up. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace/trace_int.h"

#define BAD_VALUE                                                                   \
    (-1.0) /* stands where a value was that has been told; NaN where there was none \
            */

struct span {
    int64_t first_ms, last_ms, step_ms; /* step_ms: the smallest there is; 0 = none yet */
};

struct series {
    size_t number; /* from 1 */
    int64_t first_ms;
    struct trace own; /* rates from first_ms on */
};

static bool read_time_ms(const json_t *pair, int64_t *ret)
{
    const json_t *time = json_array_get(pair, 0);
    double at_s = json_number_value(time);
    if (!json_is_number(time) || !(at_s >= 0 && at_s < 1e11))
        return false;
    *ret = (int64_t)floor(at_s * 1000 + 0.5);
    return true;
}

static void measure(const json_t *values, struct span *s)
{
    int64_t before_ms = -1, at_ms;
    for (size_t n = 0; n < json_array_size(values); n++) {
        if (!read_time_ms(json_array_get(values, n), &at_ms))
            continue;
        s->first_ms = MIN(s->first_ms, at_ms);
        s->last_ms = MAX(s->last_ms, at_ms);
        int64_t step_ms = at_ms - before_ms;
        if (before_ms >= 0 && step_ms > 0 && (s->step_ms == 0 || step_ms < s->step_ms))
            s->step_ms = step_ms;
        before_ms = at_ms;
    }
}

static void say_bad(struct trace_reader *r, const struct series *s, size_t value, const char *why)
{
    trace_reader_say_bad(r, 0, "series %zu, value %zu: %s", s->number, value + 1, why);
}

static void take_value(struct trace_reader *r, struct series *s, int64_t step_ms, size_t n,
                       const json_t *pair)
{
    const char *text = json_string_value(json_array_get(pair, 1));
    int64_t at_ms;
    double value;
    if (!text || !read_time_ms(pair, &at_ms) || at_ms < s->first_ms) {
        say_bad(r, s, n, "no pair of a time and a text, in order");
        return;
    }
    int64_t since_ms = at_ms - s->first_ms, at = (since_ms + step_ms / 2) / step_ms;
    int64_t off_ms = since_ms - at * step_ms;
    double *rate = &s->own.rates[at];
    if (off_ms * 100 > step_ms || off_ms * 100 < -step_ms) {
        say_bad(r, s, n, "not a whole number of steps after the first");
    } else if (!isnan(*rate)) {
        say_bad(r, s, n, "a second one of the same time");
    } else if (num_parse_double(slice_of(text), &value) < 0 || value < 0 ||
               value > TRACE_RATE_MAX) {
        say_bad(r, s, n, "no rate");
        *rate = BAD_VALUE;
    } else {
        *rate = value;
    }
}

/* What was told as bad is filled like what never came, but not told again. What is unknown at the
 * end stays out. */
static void mend(struct trace_reader *r, struct series *s)
{
    char where[40];
    uint64_t missing = 0;
    struct str text;
    double *rates = s->own.rates;
    while (s->own.count > 0 && !(rates[s->own.count - 1] >= 0))
        s->own.count--;
    for (size_t n = 0; n < s->own.count; n++) {
        missing += isnan(rates[n]);
        rates[n] = rates[n] < 0 ? NAN : rates[n];
    }
    str_init(&text, where, sizeof(where));
    str_putf(&text, "in series %zu", s->number);
    if (missing > 0)
        trace_reader_say_missing(r, 0, missing, where);
    trace_fill_gaps(&s->own);
}

static int add_series(struct trace_reader *r, const struct span *all, size_t number,
                      const json_t *values)
{
    struct span span = { .first_ms = INT64_MAX };
    measure(values, &span);
    if (span.first_ms == INT64_MAX)
        return 0;
    /* Scrapes of several servers are a little apart, and are of the same step nevertheless. */
    size_t from = (size_t)((span.first_ms - all->first_ms + all->step_ms / 2) / all->step_ms);
    size_t count = (size_t)((span.last_ms - span.first_ms + all->step_ms / 2) / all->step_ms) + 1;
    struct series s = { .number = number, .first_ms = span.first_ms };
    s.own = (struct trace){ .count = count, .rates = malloc(count * sizeof(double)) };
    if (!s.own.rates)
        return -ENOMEM;
    for (size_t n = 0; n < count; n++)
        s.own.rates[n] = NAN;
    for (size_t n = 0; n < json_array_size(values); n++)
        take_value(r, &s, all->step_ms, n, json_array_get(values, n));
    mend(r, &s);
    int rc = trace_reader_reserve(r, from + s.own.count);
    for (size_t n = 0; rc == 0 && n < s.own.count; n++) {
        double *sum = &r->trace.rates[from + n];
        *sum = isnan(*sum) ? s.own.rates[n] : *sum + s.own.rates[n];
    }
    trace_done(&s.own);
    return rc;
}

static int read_matrix(struct trace_reader *r, const json_t *result, struct err *err)
{
    struct span all = { .first_ms = INT64_MAX };
    for (size_t n = 0; n < json_array_size(result); n++)
        measure(json_object_get(json_array_get(result, n), "values"), &all);
    if (all.step_ms == 0)
        return err_set(err, -EINVAL, "%s: no series with two values", r->name);
    if ((all.last_ms - all.first_ms) / all.step_ms + 2 > (int64_t)TRACE_COUNT_MAX)
        return err_set(err, -E2BIG, "%s: more than %zu steps", r->name, TRACE_COUNT_MAX);
    int rc = 0;
    for (size_t n = 0; rc == 0 && n < json_array_size(result); n++)
        rc = add_series(r, &all, n + 1, json_object_get(json_array_get(result, n), "values"));
    uint64_t nowhere = 0;
    for (size_t n = 0; n < r->trace.count; n++)
        nowhere += isnan(r->trace.rates[n]);
    if (nowhere > 0)
        trace_reader_say_missing(r, 0, nowhere, "in all series");
    r->trace.step_us = all.step_ms * US_PER_MS;
    r->trace.start_wall_us = all.first_ms * US_PER_MS;
    return rc;
}

static int read_answer(struct trace_reader *r, const json_t *root, struct err *err)
{
    const char *error = json_string_value(json_object_get(root, "error"));
    const json_t *data = json_object_get(root, "data");
    const json_t *result = json_object_get(data ? data : root, "result");
    const char *type = json_string_value(json_object_get(data ? data : root, "resultType"));
    if (error)
        return err_set(err, -EINVAL, "%s: Prometheus answered: %s", r->name, error);
    if (type && strcmp(type, "matrix") != 0)
        return err_set(err, -EINVAL,
                       "%s: a %s, as an instant query has: ask for a range (/api/v1/query_range)",
                       r->name, type);
    if (!json_is_array(result))
        return err_set(err, -EINVAL, "%s: no data.result in it, as a Prometheus range query has",
                       r->name);
    return read_matrix(r, result, err);
}

static int prometheus_end(struct trace_reader *r, struct err *err)
{
    json_error_t error;
    json_t *root = json_loadb(r->text, r->text_bytes, 0, &error);
    if (!root)
        return err_set(err, -EINVAL, "%s:%d:%d: %s", r->name, error.line, error.column, error.text);
    int rc = read_answer(r, root, err);
    json_decref(root);
    return rc;
}

const struct trace_form trace_form_prometheus = { .end = prometheus_end };
