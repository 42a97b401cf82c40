/* The `target` rule: as many instances as keep a metric at a value. */
#include <errno.h>

#include "config/rules_int.h"

enum { HEADROOM_NONE, HEADROOM_AUTO };
static const char *const headrooms[] = { "none", "auto", NULL };

struct target_written {
    struct metric_written m;
    const char *value;
    const struct schema_node *tolerance;
    int64_t window_down_us;
    int headroom;
};

struct tolerance_written {
    double up, down;
};

static const struct schema_key tolerance_keys[] = {
    { .name = "up",
      .type = SCHEMA_RATIO,
      .offset = offsetof(struct tolerance_written, up),
      .fallback = "10%",
      .min = 0,
      .max = 1,
      .help = "dead band above the target" },
    { .name = "down",
      .type = SCHEMA_RATIO,
      .offset = offsetof(struct tolerance_written, down),
      .fallback = "10%",
      .min = 0,
      .max = 1,
      .help = "dead band below the target" },
    { 0 },
};

static const struct schema_section tolerance_section = {
    .name = "tolerance",
    .size_bytes = sizeof(struct tolerance_written),
    .keys = tolerance_keys,
};

static int read_tolerance(struct schema_context *ctx, const struct schema_node *node,
                          struct rule_target_conf *t, struct err *err)
{
    struct tolerance_written w = { .up = 0.1, .down = 0.1 };
    struct err why = { 0 };
    size_t entered = schema_enter(ctx, "tolerance");
    int rc = 0;
    if (node && node->kind == NODE_MAP) {
        rc = schema_read(ctx, &tolerance_section, node, &w);
    } else if (node && node->kind == NODE_SCALAR) {
        rc = schema_read_value(ctx->arena, &tolerance_keys[0], node->text, &w.up, &why);
        w.down = w.up;
        if (rc < 0)
            schema_fail(ctx, node, err, "%s", why.text);
    } else if (node) {
        rc = schema_fail(ctx, node, err, "is a list; write 10%% or {up: 10%%, down: 20%%}");
    }
    schema_leave(ctx, entered);
    t->tolerance_up = w.up;
    t->tolerance_down = w.down;
    return rc;
}

static int check_target(struct schema_context *ctx, void *section, struct err *err)
{
    struct target_written *w = section;
    struct rule_target_conf *t = &w->m.r.rule->target;
    int rc = rules_read_metric(ctx, &w->m, &t->metric, err);
    if (rc == 0)
        rc = rules_read_positive(ctx, "value", t->metric.metric, w->value, &t->value, err);
    if (rc == 0)
        rc = read_tolerance(ctx, w->tolerance, t, err);
    if (rc < 0)
        return rc;
    t->window_down_us = w->window_down_us;
    t->headroom_auto = w->headroom == HEADROOM_AUTO;
    if (t->headroom_auto && rules_metric_nature(ctx, t->metric.metric) == METRIC_GLOBAL)
        return schema_error(ctx, "headroom", err,
                            "needs a metric of which an instance carries its share; %s is none",
                            w->m.metric);
    return 0;
}

static const struct schema_key target_keys[] = {
    RULES_METRIC_KEYS(struct target_written),
    { .name = "value",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct target_written, value),
      .required = true,
      .help = "what the metric is to be, per instance: 20, 60%, 250ms, 64MiB" },
    { .name = "tolerance",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct target_written, tolerance),
      .parse = schema_keep_node,
      .help = "dead band around the target, 10% or {up: 5%, down: 20%}; default 10%" },
    { .name = "window-down",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct target_written, window_down_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "scale-in looks at this window; 0 = the service's window" },
    { .name = "headroom",
      .type = SCHEMA_ENUM,
      .offset = offsetof(struct target_written, headroom),
      .fallback = "none",
      .names = headrooms,
      .help = "auto: `value` is what an instance can carry, and how much is kept free is learnt "
              "from how far the load rises while one starts" },
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_target_conf *t = &r->target;
    rules_put_metric(&t->metric, names, out);
    rules_put_value(out, " ", t->metric.metric, t->value);
    if (t->headroom_auto)
        str_put(out, ", headroom auto");
}

const struct rules_kind rules_target = {
    .section = {
        .name = "target",
        .help = "As many instances as keep the metric at a value.",
        .size_bytes = sizeof(struct target_written),
        .keys = target_keys,
        .check = check_target,
    },
    .put_name = put_name,
};
