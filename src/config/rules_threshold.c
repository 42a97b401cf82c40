/* The `threshold` rule: a change while a metric is beyond a limit. */
#include <errno.h>

#include "base/num.h"
#include "config/rules_int.h"

struct threshold_written {
    struct metric_written m;
    const char *above, *below, *add, *remove;
    int64_t for_us;
};

/* "1" or "50%", more than nothing. */
static int read_change(struct schema_context *ctx, const char *key, const char *text, double *ret,
                       bool *ret_ratio, struct err *err)
{
    int64_t count;
    double ratio;
    if (num_parse_percent(slice_of(text), &ratio) == 0) {
        if (ratio <= 0 || ratio > 100)
            return schema_fail_value(ctx, key, err, "%.60s is out of range; give 1%% to 10000%%",
                                     text);
        *ret = ratio;
        *ret_ratio = true;
        return 0;
    }
    if (num_parse_i64(slice_of(text), &count) < 0)
        return schema_fail_value(ctx, key, err,
                                 "\"%.60s\" is not a change; write a number of instances or a "
                                 "percentage: 1, 50%%",
                                 text);
    if (count < 1 || count > MODEL_COUNT_MAX)
        return schema_fail_value(ctx, key, err, "%.60s is out of range; give 1 to %d", text,
                                 MODEL_COUNT_MAX);
    *ret = (double)count;
    *ret_ratio = false;
    return 0;
}

/* A condition needs its change, and a change its condition. */
static int check_side(struct schema_context *ctx, const char *condition, const char *change,
                      struct err *err)
{
    if (schema_given(ctx, condition) && !schema_given(ctx, change))
        return schema_error(ctx, condition, err, "says when, not what; give \"%s\" too", change);
    if (schema_given(ctx, change) && !schema_given(ctx, condition))
        return schema_error(ctx, change, err, "says what, not when; give \"%s\" too", condition);
    return 0;
}

static int check_threshold_sides(struct schema_context *ctx, struct err *err)
{
    if (!schema_given(ctx, "above") && !schema_given(ctx, "below"))
        return schema_error(ctx, NULL, err, "needs a condition; give \"above\", \"below\" or both");
    int rc = check_side(ctx, "above", "add", err);
    return rc < 0 ? rc : check_side(ctx, "below", "remove", err);
}

static int check_threshold(struct schema_context *ctx, void *section, struct err *err)
{
    struct threshold_written *w = section;
    struct rule_threshold_conf *t = &w->m.r.rule->threshold;
    int rc = rules_read_metric(ctx, &w->m, &t->metric, err);
    if (rc == 0)
        rc = check_threshold_sides(ctx, err);
    enum metric m = t->metric.metric;
    if (rc == 0 && w->above)
        rc = rules_read_value(ctx, "above", m, w->above, &t->above, err);
    if (rc == 0 && w->below)
        rc = rules_read_value(ctx, "below", m, w->below, &t->below, err);
    if (rc == 0 && w->add)
        rc = read_change(ctx, "add", w->add, &t->add, &t->add_ratio, err);
    if (rc == 0 && w->remove)
        rc = read_change(ctx, "remove", w->remove, &t->remove, &t->remove_ratio, err);
    if (rc < 0)
        return rc;
    t->has_above = w->above != NULL;
    t->has_below = w->below != NULL;
    t->for_us = w->for_us;
    if (t->has_above && t->has_below && t->above <= t->below)
        return schema_error(ctx, "above", err,
                            "%.60s is not over below: %.60s, so both could hold at once; leave "
                            "room between them",
                            w->above, w->below);
    return 0;
}

static const struct schema_key threshold_keys[] = {
    RULES_METRIC_KEYS(struct threshold_written),
    { .name = "above",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct threshold_written, above),
      .help = "over this, add" },
    { .name = "below",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct threshold_written, below),
      .help = "under this, remove" },
    { .name = "for",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct threshold_written, for_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "the condition must hold this long, without a gap in the data" },
    { .name = "add",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct threshold_written, add),
      .help = "so many instances, or percent of the current count" },
    { .name = "remove",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct threshold_written, remove),
      .help = "so many instances, or percent of the current count" },
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_threshold_conf *t = &r->threshold;
    rules_put_metric(&t->metric, names, out);
    if (t->has_above)
        rules_put_value(out, " above ", t->metric.metric, t->above);
    if (t->has_below)
        rules_put_value(out, t->has_above ? " or below " : " below ", t->metric.metric, t->below);
    if (t->for_us > 0)
        rules_put_duration(out, " for ", t->for_us);
}

const struct rules_kind rules_threshold = {
    .section = {
        .name = "threshold",
        .help = "Instances are added or removed while the metric is beyond a limit.",
        .size_bytes = sizeof(struct threshold_written),
        .keys = threshold_keys,
        .check = check_threshold,
    },
    .put_name = put_name,
};
