/* The answer of a Prometheus range query: {"status": "success", "data": {"resultType": "matrix",
 * "result": [{"metric": {}, "values": [[1435781430.781, "1"], ...]}, ...]}}. Several series are
 * added up. The line of a bad value is its place in its series. */
#include <errno.h>
#include <jansson.h>
#include <math.h>

#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace_int.h"

struct span {
    int64_t first_ms, last_ms, step_ms; /* step_ms: the smallest there is; 0 = none yet */
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

static void add_value(struct trace_reader *r, const json_t *pair, const struct span *s)
{
    const char *text = json_string_value(json_array_get(pair, 1));
    int64_t at_ms;
    double value;
    if (!text || !read_time_ms(pair, &at_ms)) {
        trace_reader_say_bad(r, "no pair of a time and a text");
        return;
    }
    if (num_parse_double(slice_of(text), &value) < 0 || value < 0 || value > 1e12) {
        trace_reader_say_bad(r, "\"%.40s\" is no rate", text);
        return;
    }
    int64_t since_ms = at_ms - s->first_ms, at = (since_ms + s->step_ms / 2) / s->step_ms;
    int64_t off_ms = since_ms - at * s->step_ms;
    if (off_ms * 100 > s->step_ms || off_ms * 100 < -s->step_ms) {
        trace_reader_say_bad(r, "not a whole number of steps after the first value");
        return;
    }
    double *rate = &r->trace.rates[at];
    *rate = isnan(*rate) ? value : *rate + value;
}

static int read_series(struct trace_reader *r, const json_t *result, struct err *err)
{
    struct span s = { .first_ms = INT64_MAX };
    for (size_t n = 0; n < json_array_size(result); n++)
        measure(json_object_get(json_array_get(result, n), "values"), &s);
    if (s.step_ms == 0)
        return err_set(err, -EINVAL, "%s: no series with two values", r->trace.name);
    int64_t count = (s.last_ms - s.first_ms) / s.step_ms + 1;
    if (count > (int64_t)TRACE_COUNT_MAX)
        return err_set(err, -E2BIG, "%s: more than %zu steps", r->trace.name, TRACE_COUNT_MAX);
    int rc = trace_reader_reserve(r, (size_t)count);
    if (rc < 0)
        return rc;
    for (size_t n = 0; n < json_array_size(result); n++) {
        const json_t *values = json_object_get(json_array_get(result, n), "values");
        for (size_t k = 0; k < json_array_size(values); k++) {
            r->line_number = k + 1;
            add_value(r, json_array_get(values, k), &s);
        }
    }
    r->trace.step_us = s.step_ms * US_PER_MS;
    r->trace.start_wall_us = s.first_ms * US_PER_MS;
    return 0;
}

static int prometheus_end(struct trace_reader *r, struct err *err)
{
    json_error_t error;
    json_t *root = json_loadb(r->text, r->text_bytes, 0, &error);
    if (!root)
        return err_set(err, -EINVAL, "%s:%d:%d: %s", r->trace.name, error.line, error.column,
                       error.text);
    const json_t *data = json_object_get(root, "data");
    const json_t *result = json_object_get(data ? data : root, "result");
    int rc;
    if (!json_is_array(result))
        rc = err_set(err, -EINVAL, "%s: no data.result in it, as a Prometheus range query has",
                     r->trace.name);
    else
        rc = read_series(r, result, err);
    json_decref(root);
    return rc;
}

static int prometheus_line(struct trace_reader *r, const char *text, size_t bytes, struct err *err)
{
    return -EINVAL; /* it is not read by lines */
}

const struct trace_form trace_form_prometheus = { .line = prometheus_line, .end = prometheus_end };
