/* The list of rules: each a map of one key, the rule's kind, read with that kind's table and turned
 * into the core's form. Owns what a rule may say; how rules decide is the core's. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/sort.h"
#include "base/us.h"
#include "config/tables.h"

#define MONTH_S (31 * 86400.0)

static const char *const stat_names[] = {
    [SERIES_AVG] = "avg",   [SERIES_MAX] = "max",     [SERIES_MIN] = "min", [SERIES_RATE] = "rate",
    [SERIES_LAST] = "last", [SERIES_P50] = "p50",     [SERIES_P90] = "p90", [SERIES_P95] = "p95",
    [SERIES_P99] = "p99",   [SERIES_STAT_MAX] = NULL,
};
static const char *const step_type_names[] = { "change", "percent", "exact", NULL };

struct fallback_written {
    int64_t after_us, count;
};

/* What every rule with a metric begins with. */
struct metric_written {
    const char *metric;
    int stat;
    int64_t window_us;
    struct fallback_written fallback; /* after_us 0 = none */
    struct rule_conf *rule;           /* filled by the check */
};

struct target_written {
    struct metric_written m;
    const char *value;
    const struct schema_node *tolerance;
    int64_t window_down_us;
};

struct threshold_written {
    struct metric_written m;
    const char *above, *below, *add, *remove;
    int64_t for_us;
};

struct step_written {
    struct metric_written m;
    const char *threshold;
    int type;
    int64_t for_us, warmup_us, min_magnitude;
    const struct schema_node *steps;
};

struct schedule_written {
    struct rule_conf *rule;
    const char *cron, *zone;
    int64_t for_us, min, max, count;
};

/* How busy something was in one second says little; what is counted needs no smoothing. */
#define CALM_WINDOW_US (15 * US_PER_S)

int64_t config_default_window_us(enum metric m)
{
    bool share =
        metric_nature(m) == METRIC_UTILISATION || m == METRIC_HOST_CPU || m == METRIC_HOST_MEMORY;
    return share ? CALM_WINDOW_US : 0;
}

/* What rules with a metric have in common, into the rule; its metric into `ret`. */
static int read_metric(struct schema_context *ctx, const struct metric_written *w,
                       struct rule_metric *ret, struct err *err)
{
    enum metric m = metric_find(slice_of(w->metric));
    if (m == METRIC_BUILTIN_MAX) {
        const char *names[METRIC_BUILTIN_MAX + 1] = { 0 };
        char all[300];
        struct str s;
        str_init(&s, all, sizeof(all));
        for (int i = 0; i < METRIC_BUILTIN_MAX; i++) {
            names[i] = metric_info((enum metric)i)->name;
            str_putf(&s, "%s%s", i > 0 ? ", " : "", names[i]);
        }
        const char *near = schema_nearest(names, w->metric);
        if (near)
            return schema_fail_value(ctx, "metric", err,
                                     "unknown metric \"%.60s\"; did you mean \"%s\"?", w->metric,
                                     near);
        return schema_fail_value(ctx, "metric", err, "unknown metric \"%.60s\"; there are %s",
                                 w->metric, all);
    }
    *ret = (struct rule_metric){ .metric = m,
                                 .stat = (enum series_stat)w->stat,
                                 .window_us = schema_given(ctx, "window")
                                                  ? w->window_us
                                                  : config_default_window_us(m) };
    w->rule->fallback_after_us = w->fallback.after_us;
    w->rule->fallback = (int32_t)w->fallback.count;
    return 0;
}

/* "60%", "250ms", "64MiB", "12": in the metric's own unit, with a sign where one makes sense. */
static int parse_metric_value(enum metric metric, const char *text, double *ret, struct err *err)
{
    const struct metric_info *info = metric_info(metric);
    enum schema_type type = SCHEMA_NUMBER;
    int64_t whole;
    bool negative = text[0] == '-';
    if (info->ratio)
        type = SCHEMA_RATIO;
    else if (strcmp(info->unit, "s") == 0)
        type = SCHEMA_DURATION;
    else if (info->unit[0] == 'B')
        type = SCHEMA_SIZE;
    const struct schema_key key = { .type = type };
    if (type == SCHEMA_RATIO || type == SCHEMA_NUMBER)
        return schema_read_value(NULL, &key, text, ret, err);
    int rc = schema_read_value(NULL, &key, text + negative, &whole, err);
    if (rc == 0)
        *ret = (double)(negative ? -whole : whole) / (type == SCHEMA_DURATION ? 1e6 : 1.0);
    return rc;
}

static int read_metric_value(struct schema_context *ctx, const char *key, enum metric metric,
                             const char *text, double *ret, struct err *err)
{
    struct err why = { 0 };
    if (parse_metric_value(metric, text, ret, &why) < 0)
        return schema_fail_value(ctx, key, err, "%s", why.text);
    return 0;
}

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

/* ---- target ---- */

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
    struct rule_target_conf *t = &w->m.rule->target;
    int rc = read_metric(ctx, &w->m, &t->metric, err);
    if (rc == 0)
        rc = read_metric_value(ctx, "value", t->metric.metric, w->value, &t->value, err);
    if (rc == 0)
        rc = read_tolerance(ctx, w->tolerance, t, err);
    if (rc < 0)
        return rc;
    if (!(t->value > 0))
        return schema_fail_value(ctx, "value", err, "%.60s cannot be a target; give more than 0",
                                 w->value);
    t->window_down_us = w->window_down_us;
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
      .required = true,
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "from then on at least so many, never fewer than there are; within scale.max" },
    { 0 },
};

static const struct schema_section fallback_section = {
    .name = "fallback",
    .help = "What applies when the metric stays unknown: {after: 5m, count: 4}. Without it the "
            "count stays as it is. Scale-in waits until the metric is known again either way.",
    .size_bytes = sizeof(struct fallback_written),
    .keys = fallback_keys,
};

#define METRIC_KEYS(type_)                                                                         \
    { .name = "metric",                                                                            \
      .type = SCHEMA_TEXT,                                                                         \
      .offset = offsetof(struct type_, m.metric),                                                  \
      .required = true,                                                                            \
      .help = "what is measured: concurrency, rps, cpu, latency-p99, ..." },                       \
        { .name = "stat",                                                                          \
          .type = SCHEMA_ENUM,                                                                     \
          .offset = offsetof(struct type_, m.stat),                                                \
          .fallback = "avg",                                                                       \
          .names = stat_names,                                                                     \
          .help = "what of the values in the window counts" },                                     \
        { .name = "window",                                                                        \
          .type = SCHEMA_DURATION,                                                                 \
          .offset = offsetof(struct type_, m.window_us),                                           \
          .min = 0,                                                                                \
          .max = 3600,                                                                             \
          .help = "over this time; 0 = the newest value. Default 15s for cpu, memory and host-*, " \
                  "else 0" },                                                                      \
    {                                                                                              \
        .name = "fallback", .type = SCHEMA_SECTION, .offset = offsetof(struct type_, m.fallback),  \
        .section = &fallback_section, .help = "when the metric stays unknown"                      \
    }

static const struct schema_key target_keys[] = {
    METRIC_KEYS(target_written),
    { .name = "value",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct target_written, value),
      .required = true,
      .help = "what the metric is to be, per instance: 20, 60%, 250ms, 64MiB" },
    { .name = "tolerance",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct target_written, tolerance),
      .parse = config_keep_node,
      .help = "dead band around the target, 10% or {up: 5%, down: 20%}; default 10%" },
    { .name = "window-down",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct target_written, window_down_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "scale-in looks at this window; 0 = the service's window" },
    { 0 },
};

static const struct schema_section target_section = {
    .name = "target",
    .help = "As many instances as keep the metric at a value.",
    .size_bytes = sizeof(struct target_written),
    .keys = target_keys,
    .check = check_target,
};

/* ---- threshold ---- */

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
    struct rule_threshold_conf *t = &w->m.rule->threshold;
    int rc = read_metric(ctx, &w->m, &t->metric, err);
    if (rc == 0)
        rc = check_threshold_sides(ctx, err);
    enum metric m = t->metric.metric;
    if (rc == 0 && w->above)
        rc = read_metric_value(ctx, "above", m, w->above, &t->above, err);
    if (rc == 0 && w->below)
        rc = read_metric_value(ctx, "below", m, w->below, &t->below, err);
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
    METRIC_KEYS(threshold_written),
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

static const struct schema_section threshold_section = {
    .name = "threshold",
    .help = "Instances are added or removed while the metric is beyond a limit.",
    .size_bytes = sizeof(struct threshold_written),
    .keys = threshold_keys,
    .check = check_threshold,
};

/* ---- step ---- */

struct one_step_written {
    const char *from, *to;
    const char *add, *remove, *set;
};

static const struct schema_key one_step_keys[] = {
    { .name = "from",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct one_step_written, from),
      .help = "relative to the threshold; absent = no lower end" },
    { .name = "to",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct one_step_written, to),
      .help = "relative to the threshold; absent = no upper end" },
    { .name = "add",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct one_step_written, add),
      .help = "so many instances (percent with type percent)" },
    { .name = "remove",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct one_step_written, remove),
      .help = "so many instances (percent with type percent)" },
    { .name = "set",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct one_step_written, set),
      .help = "the count becomes this (type exact)" },
    { 0 },
};

static const struct schema_section one_step_section = {
    .name = "steps",
    .size_bytes = sizeof(struct one_step_written),
    .keys = one_step_keys,
};

static int read_adjustment(struct schema_context *ctx, const struct schema_node *node,
                           const struct one_step_written *w, enum rule_step_type type, double *ret,
                           struct err *err)
{
    const char *text = type == RULE_STEP_EXACT ? w->set : w->add ? w->add : w->remove;
    const char *wanted = type == RULE_STEP_EXACT ? "set" : "add or remove";
    if (!text || (w->add != NULL) + (w->remove != NULL) + (w->set != NULL) != 1)
        return schema_fail(ctx, node, err, "a step of type %s needs %s, and only that",
                           step_type_names[type], wanted);
    struct slice digits = slice_of(text);
    if (type == RULE_STEP_PERCENT && digits.n > 1 && digits.p[digits.n - 1] == '%')
        digits.n--;
    int64_t value;
    if (num_parse_i64(digits, &value) < 0 || value < 0 || value > 10000)
        return schema_fail(ctx, node, err, "\"%.60s\" is not a %s; give 0 to 10000%s", text,
                           type == RULE_STEP_PERCENT ? "percentage" : "number of instances",
                           type == RULE_STEP_CHANGE ? " (for percent: type: percent)" : "");
    *ret = (double)(text == w->remove && type != RULE_STEP_EXACT ? -value : value);
    return 0;
}

/* A bound of a ratio that says "10" means 10 %, for nothing is 1000 % above its threshold. NULL =
 * it is well; else the text. */
static const char *not_a_percentage(enum metric metric, const char *text, double value)
{
    bool plain = text && !strchr(text, '%');
    return plain && metric_info(metric)->ratio && fabs(value) > 1 ? text : NULL;
}

static int read_one_step(struct schema_context *ctx, const struct schema_node *node,
                         const struct rule_step_conf *s, struct rule_step *ret, struct err *err)
{
    struct one_step_written w = { 0 };
    struct rule_step step = { .lower = -INFINITY, .upper = INFINITY };
    struct err why = { 0 };
    if (node->kind != NODE_MAP)
        return schema_fail(ctx, node, err, "a step is a map {from, to, add}, not %s",
                           node_kind_name(node));
    int rc = schema_read(ctx, &one_step_section, node, &w);
    if (rc < 0)
        return rc;
    if ((w.from && parse_metric_value(s->metric.metric, w.from, &step.lower, &why) < 0) ||
        (w.to && parse_metric_value(s->metric.metric, w.to, &step.upper, &why) < 0))
        return schema_fail(ctx, node, err, "%s", why.text);
    const char *huge = not_a_percentage(s->metric.metric, w.from, step.lower);
    if (!huge)
        huge = not_a_percentage(s->metric.metric, w.to, step.upper);
    if (huge)
        return schema_fail(ctx, node, err, "%.60s would be %.60s00%%; write %.60s%%", huge, huge,
                           huge);
    if (step.lower >= step.upper)
        return schema_fail(ctx, node, err, "from: %s is not below to: %s", w.from, w.to);
    rc = read_adjustment(ctx, node, &w, s->type, &step.adjustment, err);
    if (rc == 0)
        *ret = step;
    return rc;
}

static int step_before(const void *a, const void *b, void *ctx)
{
    return ((const struct rule_step *)a)->lower < ((const struct rule_step *)b)->lower;
}

static int check_steps_meet(struct schema_context *ctx, const struct schema_node *node,
                            const struct rule_step_conf *s, struct err *err)
{
    char at[2][32];
    for (uint32_t i = 1; i < s->step_count; i++) {
        double end = s->steps[i - 1].upper, start = s->steps[i].lower;
        if (end == start)
            continue;
        metric_format(at[0], sizeof(at[0]), s->metric.metric, MIN(end, start));
        metric_format(at[1], sizeof(at[1]), s->metric.metric, MAX(end, start));
        if (end < start)
            return schema_fail(ctx, node, err,
                               "no step for values from %s to %s; let each step "
                               "begin where the one below it ends",
                               at[0], at[1]);
        return schema_fail(ctx, node, err,
                           "two steps for values from %s to %s; let each step "
                           "begin where the one below it ends",
                           at[0], at[1]);
    }
    return 0;
}

static int read_steps(struct schema_context *ctx, const struct schema_node *node,
                      struct rule_step_conf *s, struct err *err)
{
    if (node->kind != NODE_LIST || node->count == 0 || node->count > RULE_STEPS_MAX)
        return schema_fail(ctx, node, err, "is a list of 1 to %d steps {from, to, add}",
                           RULE_STEPS_MAX);
    for (uint32_t i = 0; i < node->count; i++) {
        int rc = read_one_step(ctx, node->items[i], s, &s->steps[i], err);
        if (rc < 0)
            return rc;
    }
    s->step_count = node->count;
    sort_stable(s->steps, s->step_count, sizeof(s->steps[0]), step_before, NULL);
    return check_steps_meet(ctx, node, s, err);
}

static int check_step(struct schema_context *ctx, void *section, struct err *err)
{
    struct step_written *w = section;
    struct rule_step_conf *s = &w->m.rule->step;
    int rc = read_metric(ctx, &w->m, &s->metric, err);
    if (rc == 0)
        rc =
            read_metric_value(ctx, "threshold", s->metric.metric, w->threshold, &s->threshold, err);
    if (rc < 0)
        return rc;
    s->type = (enum rule_step_type)w->type;
    s->for_us = w->for_us;
    s->warmup_us = w->warmup_us;
    s->min_magnitude = (int32_t)w->min_magnitude;
    if (s->min_magnitude > 0 && s->type != RULE_STEP_PERCENT)
        return schema_error(ctx, "min-magnitude", err, "goes with type: percent only");
    size_t entered = schema_enter(ctx, "steps");
    rc = read_steps(ctx, w->steps, s, err);
    schema_leave(ctx, entered);
    return rc;
}

static const struct schema_key step_keys[] = {
    METRIC_KEYS(step_written),
    { .name = "threshold",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct step_written, threshold),
      .required = true,
      .help = "the value the steps are relative to" },
    { .name = "type",
      .type = SCHEMA_ENUM,
      .offset = offsetof(struct step_written, type),
      .fallback = "change",
      .names = step_type_names,
      .help = "steps are instances, percent of the current count, or the count itself" },
    { .name = "for",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct step_written, for_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "the breach must hold this long" },
    { .name = "warm-up",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct step_written, warmup_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "instances started within this time count as added already" },
    { .name = "min-magnitude",
      .type = SCHEMA_INT,
      .offset = offsetof(struct step_written, min_magnitude),
      .fallback = "0",
      .min = 0,
      .max = MODEL_COUNT_MAX,
      .help = "type percent: the least change" },
    { .name = "steps",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct step_written, steps),
      .parse = config_keep_node,
      .required = true,
      .help = "a list of {from, to, add | remove | set}" },
    { 0 },
};

static const struct schema_section step_section = {
    .name = "step",
    .help = "Changes that grow with the distance from a threshold (AWS step scaling).",
    .size_bytes = sizeof(struct step_written),
    .keys = step_keys,
    .check = check_step,
};

/* ---- schedule ---- */

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
    struct rule_schedule_conf *s = &w->rule->schedule;
    struct err why = { 0 };
    if (cron_parse(slice_of(w->cron), &s->cron, &why) < 0)
        return schema_fail_value(ctx, "cron", err, "%s", why.text);
    if (cron_next(&s->cron, &(struct zone_conf){ .name = "UTC" }, ctx->now_wall_us) == US_NEVER)
        return schema_fail_value(ctx, "cron", err, "%.60s never comes: there is no such day",
                                 w->cron);
    int rc = check_schedule_counts(ctx, w, err);
    if (rc < 0)
        return rc;
    rc = config_find_zone(ctx, w->zone, &s->zone, &why);
    if (rc < 0)
        return rc == -EINVAL ? schema_fail_value(ctx, "timezone", err, "%s", why.text) : rc;
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

static const struct schema_section schedule_section = {
    .name = "schedule",
    .help = "Other limits, or a fixed count, at certain times.",
    .size_bytes = sizeof(struct schedule_written),
    .keys = schedule_keys,
    .check = check_schedule,
};

/* ---- the list ---- */

static const struct schema_key kind_keys[] = {
    [RULE_TARGET] = { .name = "target", .type = SCHEMA_SECTION, .section = &target_section },
    [RULE_THRESHOLD] = { .name = "threshold",
                         .type = SCHEMA_SECTION,
                         .section = &threshold_section },
    [RULE_STEP] = { .name = "step", .type = SCHEMA_SECTION, .section = &step_section },
    [RULE_SCHEDULE] = { .name = "schedule", .type = SCHEMA_SECTION, .section = &schedule_section },
    [RULE_KIND_MAX] = { 0 },
};

const struct schema_section config_section_rules = {
    .name = "rules",
    .help = "A list; each item is a map of one key, the kind of the rule. The largest count that "
            "any rule asks for wins.",
    .keys = kind_keys,
};

union rule_written {
    struct metric_written with_metric; /* target, threshold and step begin with it */
    struct target_written target;
    struct threshold_written threshold;
    struct step_written step;
    struct schedule_written schedule;
};

static int read_rule(struct schema_context *ctx, const struct schema_node *node,
                     struct rule_conf *rule, struct err *err)
{
    union rule_written w = { 0 };
    if (node->kind != NODE_MAP || node->count == 0)
        return schema_fail(ctx, node, err,
                           "a rule is a map of one key (target, threshold, step "
                           "or schedule), not %s",
                           node->kind == NODE_MAP ? "an empty map" : node_kind_name(node));
    const struct schema_key *kind =
        schema_find_key(&config_section_rules, node->pairs[0].key->text);
    if (!kind)
        return schema_unknown_key(ctx, &config_section_rules, node->pairs[0].key, err);
    if (node->count > 1)
        return schema_fail(ctx, node->pairs[1].key, err,
                           "a second key in one rule; begin it with \"- \", and indent what "
                           "belongs to \"%s\"",
                           kind->name);
    const struct schema_node *value = node->pairs[0].value;
    if (value->kind != NODE_MAP)
        return schema_fail(ctx, value, err, "%s is %s here; write a map", kind->name,
                           node_kind_name(value));
    rule->kind = (enum rule_kind)(kind - kind_keys);
    if (rule->kind == RULE_SCHEDULE)
        w.schedule.rule = rule;
    else
        w.with_metric.rule = rule;
    return schema_read_named(ctx, kind->name, kind->section, value, &w);
}

int config_read_rules(struct schema_context *ctx, const struct schema_node *node,
                      struct service_conf *conf)
{
    struct err err = { 0 };
    int rc = 0;
    if (!node || node_is_null(node))
        return 0;
    if (node->kind != NODE_LIST)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "is %s here; write a list", node_kind_name(node)),
            &err);
    if (node->count > MODEL_RULES_MAX)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "%u rules; at most %d", node->count, MODEL_RULES_MAX),
            &err);
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        char index[16];
        struct str s;
        str_init(&s, index, sizeof(index));
        str_putf(&s, "[%u]", i);
        size_t entered = schema_enter(ctx, index);
        err = (struct err){ 0 };
        int read = schema_note(ctx, read_rule(ctx, node->items[i], &conf->rules[i], &err), &err);
        schema_leave(ctx, entered);
        if (read == 0)
            config_name_rule(&conf->rules[i], ctx->model);
        rc = read < 0 ? read : rc;
    }
    conf->rule_count = node->count;
    return rc;
}
