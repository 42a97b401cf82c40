/* The `predictive` rule: capacity for the load that is expected when an instance started now would
 * be ready. */
#include <errno.h>

#include "config/rules_int.h"

enum { MODE_AUTO, MODE_FORECAST_ONLY };
static const char *const modes[] = { "auto", "forecast-only", NULL };

struct predictive_written {
    struct metric_written m;
    const char *value;
    int64_t margin_us;
    int mode;
};

static int check_predictive(struct schema_context *ctx, void *section, struct err *err)
{
    const struct predictive_written *w = section;
    struct rule_predictive_conf *p = &w->m.r.rule->predictive;
    int rc = rules_read_metric(ctx, &w->m, &p->metric, err);
    if (rc == 0 && rules_metric_nature(ctx, p->metric.metric) != METRIC_TOTAL)
        return schema_fail_value(ctx, "metric", err,
                                 "%s changes with the number of instances, so its future says "
                                 "nothing about the load's; give concurrency, rps, arrivals or a "
                                 "total of your own",
                                 w->m.metric);
    if (rc == 0)
        rc = rules_read_positive(ctx, "value", p->metric.metric, w->value, &p->value, err);
    p->margin_us = w->margin_us;
    p->forecast_only = w->mode == MODE_FORECAST_ONLY;
    return rc;
}

#define AT(member) offsetof(struct predictive_written, member)

static const struct schema_key predictive_keys[] = {
    { .name = "metric",
      .type = SCHEMA_TEXT,
      .offset = AT(m.metric),
      .fallback = "concurrency",
      .help = "the load: concurrency, rps, arrivals, or a total from `sources`" },
    { .name = "value",
      .type = SCHEMA_TEXT,
      .offset = AT(value),
      .required = true,
      .help = "how much of it one instance is to carry" },
    { .name = "margin",
      .type = SCHEMA_DURATION,
      .offset = AT(margin_us),
      .fallback = "60s",
      .min = 0,
      .max = 3600,
      .help = "ready so long before it is needed, beyond the time that a start takes" },
    { .name = "mode",
      .type = SCHEMA_ENUM,
      .offset = AT(mode),
      .fallback = "auto",
      .names = modes,
      .help = "forecast-only: say what it would want, and want nothing" },
    RULES_WINDOW_KEYS(struct predictive_written),
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_predictive_conf *p = &r->predictive;
    rules_put_metric(&p->metric, names, out);
    rules_put_value(out, " ", p->metric.metric, p->value);
    if (p->forecast_only)
        str_put(out, ", forecast only");
}

const struct rules_kind rules_predictive = {
    .section = {
        .name = "predictive",
        .help = "Instances for the load to come, learnt from the daily and weekly pattern. Adds "
                "only; says nothing before it has seen two seasons.",
        .size_bytes = sizeof(struct predictive_written),
        .keys = predictive_keys,
        .check = check_predictive,
    },
    .put_name = put_name,
};
