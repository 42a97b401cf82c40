/* The `concurrency` rule: Knative's pod autoscaler, by its own words and with its defaults. */
#include <errno.h>

#include "base/us.h"
#include "config/rules_int.h"

#define VALUE_CONCURRENCY 100.0 /* container-concurrency-target-default */
#define VALUE_RPS 200.0         /* requests-per-second-target-default */
#define PANIC_SHARE 10          /* panic-window-percentage-default: a tenth of the stable window */

static const char *const modes[] = { "knative", NULL };

struct concurrency_written {
    struct rule_written r;
    const char *metric;
    int mode;
    double value, utilization, panic_threshold, up_rate, down_rate, burst_capacity;
    int64_t stable_us, panic_us, grace_us, delay_us, activation;
};

static int check_concurrency(struct schema_context *ctx, void *section, struct err *err)
{
    const struct concurrency_written *w = section;
    enum metric m;
    int rc = rules_find_metric(ctx, "metric", w->metric, &m, err);
    if (rc < 0)
        return rc;
    if (m != METRIC_CONCURRENCY && m != METRIC_RPS)
        return schema_fail_value(ctx, "metric", err,
                                 "\"%.60s\" does not go with this rule; give concurrency or rps, "
                                 "or write a target rule",
                                 w->metric);
    int64_t panic_us = schema_given(ctx, "panic") ? w->panic_us : w->stable_us / PANIC_SHARE;
    if (panic_us > w->stable_us)
        return schema_error(ctx, "panic", err, "is longer than the stable window; make it shorter");
    rules_read_fallback(&w->r);
    struct rule_concurrency_conf *c = &w->r.rule->concurrency;
    c->metric = m;
    c->value = schema_given(ctx, "value") ? w->value
               : m == METRIC_RPS          ? VALUE_RPS
                                          : VALUE_CONCURRENCY;
    c->utilization = w->utilization;
    c->stable_us = w->stable_us;
    c->panic_us = panic_us;
    c->panic_threshold = w->panic_threshold;
    c->up_rate = w->up_rate;
    c->down_rate = w->down_rate;
    c->burst_capacity = w->burst_capacity;
    c->grace_us = w->grace_us;
    c->delay_us = w->delay_us;
    c->activation = (int32_t)w->activation;
    return 0;
}

#define AT(member) offsetof(struct concurrency_written, member)

static const struct schema_key concurrency_keys[] = {
    { .name = "mode",
      .type = SCHEMA_ENUM,
      .offset = AT(mode),
      .fallback = "knative",
      .names = modes,
      .help = "whose defaults these are" },
    { .name = "metric",
      .type = SCHEMA_TEXT,
      .offset = AT(metric),
      .fallback = "concurrency",
      .help = "concurrency or rps" },
    { .name = "value",
      .type = SCHEMA_NUMBER,
      .offset = AT(value),
      .min = 0.01,
      .max = 1e9,
      .help = "what one instance can carry. Default 100, of rps 200" },
    { .name = "utilization",
      .type = SCHEMA_RATIO,
      .offset = AT(utilization),
      .fallback = "70%",
      .min = 0.01,
      .max = 1,
      .help = "aim at this share of it" },
    { .name = "stable",
      .type = SCHEMA_DURATION,
      .offset = AT(stable_us),
      .fallback = "60s",
      .min = 6,
      .max = 3600,
      .help = "the window that is looked at" },
    { .name = "panic",
      .type = SCHEMA_DURATION,
      .offset = AT(panic_us),
      .min = 1,
      .max = 3600,
      .help = "the short window that notices a step in the load. Default a tenth of `stable`" },
    { .name = "panic-threshold",
      .type = SCHEMA_RATIO,
      .offset = AT(panic_threshold),
      .fallback = "200%",
      .min = 1.1,
      .max = 10,
      .help = "panic, when the short window needs this many times the ready instances: then the "
              "count only grows for a stable window" },
    { .name = "up-rate",
      .type = SCHEMA_NUMBER,
      .offset = AT(up_rate),
      .fallback = "1000",
      .min = 1.01,
      .max = 1e6,
      .help = "at most so many times the ready instances at once" },
    { .name = "down-rate",
      .type = SCHEMA_NUMBER,
      .offset = AT(down_rate),
      .fallback = "2",
      .min = 1.01,
      .max = 1e6,
      .help = "at least the ready instances divided by this" },
    { .name = "burst-capacity",
      .type = SCHEMA_NUMBER,
      .offset = AT(burst_capacity),
      .fallback = "211",
      .min = -1,
      .max = 1e6,
      .help = "the burst that is to fit beyond the load; 0 = none, -1 = any" },
    { .name = "grace",
      .type = SCHEMA_DURATION,
      .offset = AT(grace_us),
      .fallback = "30s",
      .min = 0,
      .max = 86400,
      .help = "the last instance goes so long after the load has" },
    { .name = "delay",
      .type = SCHEMA_DURATION,
      .offset = AT(delay_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "scale-in: the most that was wanted within this time" },
    { .name = "activation",
      .type = SCHEMA_INT,
      .offset = AT(activation),
      .fallback = "1",
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "from zero to at least so many" },
    RULES_FALLBACK_KEY(struct concurrency_written, r.fallback),
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_concurrency_conf *c = &r->concurrency;
    if (c->metric != METRIC_CONCURRENCY)
        str_putf(out, " %s", metric_name(c->metric));
    rules_put_value(out, " ", c->metric, c->value);
    rules_put_value(out, " at ", METRIC_CPU, c->utilization);
}

const struct rules_kind rules_concurrency = {
    .section = {
        .name = "concurrency",
        .help = "A stable and a panic window over requests in flight, as Knative decides.",
        .size_bytes = sizeof(struct concurrency_written),
        .keys = concurrency_keys,
        .check = check_concurrency,
    },
    .put_name = put_name,
};
