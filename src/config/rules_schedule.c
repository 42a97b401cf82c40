/* The `schedule` rule: other limits, or a fixed count, at certain times. */
#include <errno.h>

#include "base/us.h"
#include "config/rules_int.h"

#define MONTH_S (31 * 86400.0)

struct schedule_written {
    struct rule_written r;
    const char *cron, *zone;
    int64_t for_us, min, max, count;
};

static int check_schedule_counts(struct schema_context *ctx, const struct schedule_written *w,
                                 struct err *err)
{
    bool min = schema_given(ctx, "min"), max = schema_given(ctx, "max");
    bool count = schema_given(ctx, "count");
    if (!min && !max && !count)
        return schema_error(ctx, NULL, err, "changes nothing; give min, max or count");
    if (count && (min || max))
        return schema_error(ctx, "count", err, "sets the count; min and max do not go with it");
    if (min && max && w->min > w->max)
        return schema_error(ctx, "min", err, "%lld is above max: %lld", (long long)w->min,
                            (long long)w->max);
    return 0;
}

static int check_schedule(struct schema_context *ctx, void *section, struct err *err)
{
    struct schedule_written *w = section;
    struct rule_schedule_conf *s = &w->r.rule->schedule;
    int rc = check_schedule_counts(ctx, w, err);
    if (rc == 0)
        rc = config_read_times(ctx, w->cron, w->zone, &s->cron, &s->zone, err);
    if (rc < 0)
        return rc;
    s->for_us = w->for_us;
    s->min = schema_given(ctx, "min") ? (int32_t)w->min : -1;
    s->max = schema_given(ctx, "max") ? (int32_t)w->max : -1;
    s->count = schema_given(ctx, "count") ? (int32_t)w->count : -1;
    return 0;
}

#define COUNT_KEY(name_, help_)                                                                 \
    {                                                                                           \
        .name = #name_, .type = SCHEMA_INT, .offset = offsetof(struct schedule_written, name_), \
        .min = 0, .max = MODEL_COUNT_MAX, .help = help_                                         \
    }

static const struct schema_key schedule_keys[] = {
    { .name = "cron",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct schedule_written, cron),
      .required = true,
      .help = "when it begins: \"0 9 * * MON-FRI\", @daily, ..." },
    { .name = "for",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct schedule_written, for_us),
      .required = true,
      .min = 1,
      .max = MONTH_S,
      .help = "how long it lasts: 9h" },
    { .name = "timezone",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct schedule_written, zone),
      .fallback = "UTC",
      .help = "of the cron expression: Europe/Berlin, ..." },
    COUNT_KEY(min, "scale.min meanwhile"),
    COUNT_KEY(max, "scale.max meanwhile"),
    COUNT_KEY(count, "the count meanwhile, whatever other rules say"),
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_schedule_conf *s = &r->schedule;
    str_putf(out, " %s", s->cron.text);
    rules_put_duration(out, " for ", s->for_us);
    str_putf(out, " %s", names->model->zones[s->zone].name);
}

const struct rules_kind rules_schedule = {
    .section = {
        .name = "schedule",
        .help = "Other limits, or a fixed count, at certain times.",
        .size_bytes = sizeof(struct schedule_written),
        .keys = schedule_keys,
        .check = check_schedule,
    },
    .put_name = put_name,
};
