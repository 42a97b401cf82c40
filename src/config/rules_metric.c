/* What rules with a metric have in common: which metrics there are, values in a metric's unit, the
 * window, the fallback. Knows no kind of rule. */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "config/rules_int.h"

const char *const rules_stat_names[] = {
    [SERIES_AVG] = "avg",   [SERIES_MAX] = "max",     [SERIES_MIN] = "min", [SERIES_RATE] = "rate",
    [SERIES_LAST] = "last", [SERIES_P50] = "p50",     [SERIES_P90] = "p90", [SERIES_P95] = "p95",
    [SERIES_P99] = "p99",   [SERIES_STAT_MAX] = NULL,
};

/* How busy something was in one second says little; what is counted needs no smoothing. */
#define CALM_WINDOW_US (15 * US_PER_S)

int64_t config_default_window_us(enum metric m)
{
    bool share =
        metric_nature(m) == METRIC_UTILISATION || m == METRIC_HOST_CPU || m == METRIC_HOST_MEMORY;
    return share ? CALM_WINDOW_US : 0;
}

/* cpu and memory of processes and of the machine come from /proc; all before them from the proxy's
 * gauges. */
static bool from_proxy(enum metric m)
{
    return m < METRIC_CPU;
}

int rules_need_proxy(struct schema_context *ctx, const char *key, const char *what, struct err *err)
{
    if (ctx->proxied)
        return 0;
    return schema_error(ctx, key, err,
                        "%s is measured by the proxy, and this service has no listener; give it "
                        "one, or a metric of its own \"sources\", cpu, memory, host-cpu or "
                        "host-memory",
                        what);
}

static enum metric find_metric(const struct service_conf *service, const char *name)
{
    for (uint32_t i = 0; i < service->metric_count; i++)
        if (strcmp(service->metrics[i].name, name) == 0)
            return METRIC_CUSTOM + i;
    enum metric m = metric_find(slice_of(name));
    return m == METRIC_BUILTIN_MAX ? METRIC_MAX : m;
}

int config_find_metric(struct schema_context *ctx, const struct service_conf *service,
                       const struct schema_node *node, const char *name, enum metric *ret,
                       struct err *err)
{
    const char *names[METRIC_MAX + 1] = { 0 };
    char all[400];
    struct str s;
    uint32_t n = 0;
    enum metric m = find_metric(service, name);
    if (m != METRIC_MAX) {
        *ret = m;
        return 0;
    }
    str_init(&s, all, sizeof(all));
    for (uint32_t i = 0; i < service->metric_count; i++)
        names[n++] = service->metrics[i].name;
    for (unsigned i = 0; i < METRIC_BUILTIN_MAX; i++)
        names[n++] = metric_info((enum metric)i)->name;
    for (uint32_t i = 0; i < n; i++)
        str_putf(&s, "%s%s", i > 0 ? ", " : "", names[i]);
    const char *near = schema_nearest(names, name);
    if (near)
        return schema_fail(ctx, node, err, "unknown metric \"%.60s\"; did you mean \"%s\"?", name,
                           near);
    return schema_fail(ctx, node, err, "unknown metric \"%.60s\"; there are %s", name, all);
}

int rules_find_metric(struct schema_context *ctx, const char *key, const char *name,
                      enum metric *ret, struct err *err)
{
    const struct node_pair *pair = node_find(ctx->node, key);
    enum metric m;
    size_t entered = schema_enter(ctx, key);
    int rc = config_find_metric(ctx, ctx->service, pair ? pair->value : ctx->node, name, &m, err);
    schema_leave(ctx, entered);
    if (rc == 0 && from_proxy(m))
        rc = rules_need_proxy(ctx, key, name, err);
    if (rc == 0)
        *ret = m;
    return rc;
}

enum metric_nature rules_metric_nature(const struct schema_context *ctx, enum metric m)
{
    if (m < METRIC_CUSTOM)
        return metric_nature(m);
    return ctx->service->metrics[m - METRIC_CUSTOM].global ? METRIC_GLOBAL : METRIC_TOTAL;
}

void rules_read_fallback(const struct rule_written *w)
{
    w->rule->fallback_after_us = w->fallback.after_us;
    w->rule->fallback = (int32_t)w->fallback.count;
    w->rule->fallback_as = (enum rule_fallback)w->fallback.as;
}

int rules_read_metric(struct schema_context *ctx, const struct metric_written *w,
                      struct rule_metric *ret, struct err *err)
{
    enum metric m;
    int rc = rules_find_metric(ctx, "metric", w->metric, &m, err);
    if (rc < 0)
        return rc;
    *ret = (struct rule_metric){ .metric = m,
                                 .stat = (enum series_stat)w->stat,
                                 .window_us = schema_given(ctx, "window")
                                                  ? w->window_us
                                                  : config_default_window_us(m) };
    rules_read_fallback(&w->r);
    return 0;
}

static enum schema_type value_type(enum metric metric)
{
    const struct metric_info *info = metric_info(metric);
    if (!info)
        return SCHEMA_NUMBER;
    if (info->ratio)
        return SCHEMA_RATIO;
    if (strcmp(info->unit, "s") == 0)
        return SCHEMA_DURATION;
    return info->unit[0] == 'B' ? SCHEMA_SIZE : SCHEMA_NUMBER;
}

int config_parse_metric_value(enum metric metric, const char *text, double *ret, struct err *err)
{
    const struct schema_key key = { .type = value_type(metric) };
    bool negative = text[0] == '-';
    int64_t whole;
    if (key.type == SCHEMA_RATIO || key.type == SCHEMA_NUMBER)
        return schema_read_value(NULL, &key, text, ret, err);
    int rc = schema_read_value(NULL, &key, text + negative, &whole, err);
    if (rc == 0)
        *ret = (double)(negative ? -whole : whole) / (key.type == SCHEMA_DURATION ? 1e6 : 1.0);
    return rc;
}

int rules_read_value(struct schema_context *ctx, const char *key, enum metric metric,
                     const char *text, double *ret, struct err *err)
{
    struct err why = { 0 };
    if (config_parse_metric_value(metric, text, ret, &why) < 0)
        return schema_fail_value(ctx, key, err, "%s", why.text);
    return 0;
}

int rules_read_positive(struct schema_context *ctx, const char *key, enum metric metric,
                        const char *text, double *ret, struct err *err)
{
    int rc = rules_read_value(ctx, key, metric, text, ret, err);
    if (rc == 0 && !(*ret > 0))
        return schema_fail_value(ctx, key, err, "%.60s cannot be a target; give more than 0", text);
    return rc;
}

/* ---- the fallback ---- */

static const char *const fallback_as[] = {
    [RULE_FALLBACK_STATIC] = "static",
    [RULE_FALLBACK_CURRENT] = "current",
    [RULE_FALLBACK_IF_HIGHER] = "if-higher",
    [RULE_FALLBACK_IF_LOWER] = "if-lower",
    NULL,
};

static int check_fallback(struct schema_context *ctx, void *section, struct err *err)
{
    const struct fallback_written *w = section;
    bool needs_count = w->as != RULE_FALLBACK_CURRENT;
    if (needs_count && !schema_given(ctx, "count"))
        return schema_error(ctx, NULL, err,
                            "says when, not what; give \"count\" too, or as: "
                            "current");
    if (!needs_count && schema_given(ctx, "count"))
        return schema_error(ctx, "count", err,
                            "does not go with as: current, which keeps what "
                            "there is; remove one of them");
    return 0;
}

static const struct schema_key fallback_keys[] = {
    { .name = "after",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct fallback_written, after_us),
      .required = true,
      .min = 1,
      .max = 86400,
      .help = "the metric has been unknown for this long" },
    { .name = "count",
      .type = SCHEMA_INT,
      .offset = offsetof(struct fallback_written, count),
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "from then on at least so many, within scale.max" },
    { .name = "as",
      .type = SCHEMA_ENUM,
      .offset = offsetof(struct fallback_written, as),
      .fallback = "static",
      .names = fallback_as,
      .help = "static: `count`; current: what there is; if-higher, if-lower: the larger or the "
              "smaller of the two" },
    { 0 },
};

const struct schema_section rules_fallback_section = {
    .name = "fallback",
    .help = "What applies when the metric stays unknown: {after: 5m, count: 4}. Without it the "
            "count stays as it is. Scale-in waits until the metric is known again either way.",
    .size_bytes = sizeof(struct fallback_written),
    .keys = fallback_keys,
    .check = check_fallback,
};

/* ---- names ---- */

void rules_put_duration(struct str *out, const char *before, int64_t us)
{
    char text[48];
    num_format_duration(text, sizeof(text), us);
    str_putf(out, "%s%s", before, text);
}

void rules_put_value(struct str *out, const char *before, enum metric metric, double value)
{
    char text[48];
    metric_format(text, sizeof(text), metric, value);
    str_putf(out, "%s%s", before, text);
}

void rules_put_metric(const struct rule_metric *m, const struct rules_names *names, struct str *out)
{
    const struct metric_info *info = metric_info(m->metric);
    str_putf(out, " %s",
             info ? info->name : names->service->metrics[m->metric - METRIC_CUSTOM].name);
    if (m->stat != SERIES_AVG)
        str_putf(out, " %s", rules_stat_names[m->stat]);
    if (m->window_us == config_default_window_us(m->metric))
        return;
    if (m->window_us > 0)
        rules_put_duration(out, " over ", m->window_us);
    else
        str_put(out, " now");
}
