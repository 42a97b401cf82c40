/* The `slo` rule: a latency to keep, and nothing else. "p99 below 250ms", or a map with a ceiling
 * on cost beside it. */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "config/config.h"
#include "config/rules_int.h"

struct slo_written {
    struct rule_written r;
    const char *latency;
    double cost_max;
};

static const struct {
    const char *name;
    enum metric metric;
} percentiles[] = {
    { "p50", METRIC_LATENCY_P50 },
    { "p95", METRIC_LATENCY_P95 },
    { "p99", METRIC_LATENCY_P99 },
};

/* "p99 below 250ms" or "p99 < 250ms" into its two ends. */
static bool split(const char *text, struct slice *ret_percentile, struct slice *ret_latency)
{
    static const char *const words[] = { " below ", "<" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const char *at = strstr(text, words[i]);
        if (!at)
            continue;
        *ret_percentile = slice_trim((struct slice){ text, (size_t)(at - text) });
        *ret_latency = slice_trim(slice_of(at + strlen(words[i])));
        return true;
    }
    return false;
}

int config_parse_slo(const char *text, struct rule_slo_conf *ret, struct err *err)
{
    struct slice percentile, latency;
    int64_t below_us;
    if (!split(text, &percentile, &latency))
        return err_set(err, -EINVAL,
                       "\"%.60s\" is not an objective; write \"p99 below 250ms\", with p50, p95 "
                       "or p99",
                       text);
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++) {
        if (!slice_eq(percentile, slice_of(percentiles[i].name)))
            continue;
        if (num_parse_duration(latency, &below_us) < 0 || below_us < US_PER_MS ||
            below_us > US_PER_HOUR)
            return err_set(err, -EINVAL,
                           "\"%.*s\" is not a latency to keep; write 1ms to 1h, as in 250ms",
                           (int)MIN(latency.n, 60), latency.p);
        ret->metric = percentiles[i].metric;
        ret->below_s = (double)below_us / (double)US_PER_S;
        ret->cost_max = 0;
        return 0;
    }
    return err_set(err, -EINVAL, "\"%.*s\" is not measured; there are p50, p95 and p99",
                   (int)MIN(percentile.n, 60), percentile.p);
}

static int read_text(struct schema_context *ctx, const struct schema_node *node,
                     struct rule_conf *rule, struct err *err)
{
    struct err why = { 0 };
    const struct schema_node *outer = ctx->node;
    ctx->node = node;
    int rc = rules_need_proxy(ctx, NULL, "latency", err);
    ctx->node = outer;
    if (rc == 0 && config_parse_slo(node->text, &rule->slo, &why) < 0)
        rc = schema_fail(ctx, node, err, "%s", why.text);
    return rc;
}

static int check_slo(struct schema_context *ctx, void *section, struct err *err)
{
    const struct slo_written *w = section;
    struct rule_slo_conf *slo = &w->r.rule->slo;
    struct err why = { 0 };
    int rc = rules_need_proxy(ctx, NULL, "latency", err);
    if (rc < 0)
        return rc;
    if (config_parse_slo(w->latency, slo, &why) < 0)
        return schema_fail_value(ctx, "latency", err, "%s", why.text);
    rules_read_fallback(&w->r);
    slo->cost_max = w->cost_max;
    return 0;
}

static const struct schema_key slo_keys[] = {
    { .name = "latency",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct slo_written, latency),
      .required = true,
      .help = "what to keep, \"p99 below 250ms\"; p50 or p95 as well" },
    { .name = "cost-max",
      .type = SCHEMA_NUMBER,
      .offset = offsetof(struct slo_written, cost_max),
      .fallback = "0",
      .min = 0,
      .max = 1e12,
      .help = "of all instances for an hour, by scale.cost; 0 = no ceiling" },
    RULES_FALLBACK_KEY(struct slo_written, r.fallback),
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
        if (percentiles[i].metric == r->slo.metric)
            str_putf(out, " %s", percentiles[i].name);
    rules_put_duration(out, " below ", (int64_t)(r->slo.below_s * (double)US_PER_S + 0.5));
}

const struct rules_kind rules_slo = {
    .section = {
        .name = "slo",
        .help = "A latency to keep: `- slo: p99 below 250ms`, or a map. How many requests an "
                "instance can carry is learnt.",
        .size_bytes = sizeof(struct slo_written),
        .keys = slo_keys,
        .check = check_slo,
    },
    .read_text = read_text,
    .put_name = put_name,
};
