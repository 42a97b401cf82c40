/* What the kinds of rules share when they are read: private to rules*.c. A kind is a table of keys
 * whose check turns what was written into the core's form, and a name for explanations. */
#pragma once

#include "config/tables.h"

/* What every section of a rule begins with. */
struct rule_written {
    struct rule_conf *rule; /* filled by the check */
    struct fallback_written {
        int64_t after_us, count; /* 0 = none */
        int as;
    } fallback;
};

/* And of a rule whose metric can be chosen freely. */
struct metric_written {
    struct rule_written r;
    const char *metric;
    int stat;
    int64_t window_us;
};

/* Whose names the rule's numbers stand for. */
struct rules_names {
    const struct model_conf *model;     /* zones */
    const struct service_conf *service; /* metrics of its own */
};

struct rules_kind {
    struct schema_section section;
    /* A single value in place of the map. NULL = only maps. */
    int (*read_text)(struct schema_context *ctx, const struct schema_node *node,
                     struct rule_conf *rule, struct err *err);
    /* What follows the kind in its name: " concurrency 20". */
    void (*put_name)(const struct rule_conf *r, const struct rules_names *names, struct str *out);
};

extern const struct rules_kind rules_target, rules_threshold, rules_step, rules_schedule,
    rules_concurrency, rules_queue, rules_busyness, rules_predictive, rules_slo, rules_ratio;

/* A metric by the name in `key`: a built-in one or the service's own. -EINVAL, placed. */
int rules_find_metric(struct schema_context *ctx, const char *key, const char *name,
                      enum metric *ret, struct err *err);
/* That the proxy measures this service at all; `what` begins the message. -EINVAL, placed. */
int rules_need_proxy(struct schema_context *ctx, const char *key, const char *what,
                     struct err *err);
enum metric_nature rules_metric_nature(const struct schema_context *ctx, enum metric m);
/* Metric, statistic, window and fallback, as far as they were written. */
int rules_read_metric(struct schema_context *ctx, const struct metric_written *w,
                      struct rule_metric *ret, struct err *err);
void rules_read_fallback(const struct rule_written *w);
/* A value in the metric's own unit. -EINVAL, placed. */
int rules_read_value(struct schema_context *ctx, const char *key, enum metric metric,
                     const char *text, double *ret, struct err *err);
/* As rules_read_value(), and more than 0. */
int rules_read_positive(struct schema_context *ctx, const char *key, enum metric metric,
                        const char *text, double *ret, struct err *err);

void rules_put_metric(const struct rule_metric *m, const struct rules_names *names,
                      struct str *out);
void rules_put_value(struct str *out, const char *before, enum metric metric, double value);
void rules_put_duration(struct str *out, const char *before, int64_t us);

extern const struct schema_section rules_fallback_section;
extern const char *const rules_stat_names[];

#define RULES_FALLBACK_KEY(type_, member_)                                              \
    {                                                                                   \
        .name = "fallback", .type = SCHEMA_SECTION, .offset = offsetof(type_, member_), \
        .section = &rules_fallback_section, .help = "when the metric stays unknown"     \
    }

#define RULES_METRIC_KEYS(type_)                                                                 \
    { .name = "metric",                                                                          \
      .type = SCHEMA_TEXT,                                                                       \
      .offset = offsetof(type_, m.metric),                                                       \
      .required = true,                                                                          \
      .help = "what is measured: concurrency, rps, cpu, latency-p99, ... or one of `sources`" }, \
        RULES_WINDOW_KEYS(type_)

#define RULES_WINDOW_KEYS(type_)                                                                   \
    { .name = "stat",                                                                              \
      .type = SCHEMA_ENUM,                                                                         \
      .offset = offsetof(type_, m.stat),                                                           \
      .fallback = "avg",                                                                           \
      .names = rules_stat_names,                                                                   \
      .help = "what of the values in the window counts" },                                         \
        { .name = "window",                                                                        \
          .type = SCHEMA_DURATION,                                                                 \
          .offset = offsetof(type_, m.window_us),                                                  \
          .min = 0,                                                                                \
          .max = 3600,                                                                             \
          .help = "over this time; 0 = the newest value. Default 15s for cpu, memory and host-*, " \
                  "else 0" },                                                                      \
        RULES_FALLBACK_KEY(type_, m.r.fallback)
