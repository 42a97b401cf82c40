/* The `step` rule: changes that grow with the distance from a threshold. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/sort.h"
#include "config/rules_int.h"

static const char *const step_type_names[] = { "change", "percent", "exact", NULL };

struct step_written {
    struct metric_written m;
    const char *threshold;
    int type;
    int64_t for_us, warmup_us, min_magnitude, points;
    const struct schema_node *steps;
};

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

static int read_bound(enum metric metric, const char *text, double *ret, struct err *err)
{
    const struct metric_info *info = metric_info(metric);
    int rc = text ? config_parse_metric_value(metric, text, ret, err) : 0;
    if (rc < 0 || !text || !info || !info->ratio || strchr(text, '%') || fabs(*ret) <= 1)
        return rc;
    /* It says "10" and means 10 %, for nothing is 1000 % above its threshold. */
    return schema_forgotten_percent(text, *ret, err);
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
    if (read_bound(s->metric.metric, w.from, &step.lower, &why) < 0 ||
        read_bound(s->metric.metric, w.to, &step.upper, &why) < 0)
        return schema_fail(ctx, node, err, "%s", why.text);
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
    struct rule_step_conf *s = &w->m.r.rule->step;
    int rc = rules_read_metric(ctx, &w->m, &s->metric, err);
    if (rc == 0)
        rc = rules_read_value(ctx, "threshold", s->metric.metric, w->threshold, &s->threshold, err);
    if (rc < 0)
        return rc;
    s->type = (enum rule_step_type)w->type;
    s->for_us = w->for_us;
    s->warmup_us = w->warmup_us;
    s->min_magnitude = (int32_t)w->min_magnitude;
    s->points = w->points;
    if (s->points > 0 && s->metric.window_us == 0)
        return schema_error(ctx, "points", err, "counts the values of a window; give one too");
    if (s->min_magnitude > 0 && s->type != RULE_STEP_PERCENT)
        return schema_error(ctx, "min-magnitude", err, "goes with type: percent only");
    size_t entered = schema_enter(ctx, "steps");
    rc = read_steps(ctx, w->steps, s, err);
    schema_leave(ctx, entered);
    return rc;
}

static const struct schema_key step_keys[] = {
    RULES_METRIC_KEYS(struct step_written),
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
    { .name = "points",
      .type = SCHEMA_INT,
      .offset = offsetof(struct step_written, points),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "at least so many of the window's values lie in the step's bounds; 0 = the window's "
              "`stat` does" },
    { .name = "steps",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct step_written, steps),
      .parse = schema_keep_node,
      .required = true,
      .help = "a list of {from, to, add | remove | set}" },
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_step_conf *s = &r->step;
    rules_put_metric(&s->metric, names, out);
    rules_put_value(out, " from ", s->metric.metric, s->threshold);
    if (s->for_us > 0)
        rules_put_duration(out, " for ", s->for_us);
}

const struct rules_kind rules_step = {
    .section = {
        .name = "step",
        .help = "Changes that grow with the distance from a threshold (AWS step scaling).",
        .size_bytes = sizeof(struct step_written),
        .keys = step_keys,
        .check = check_step,
    },
    .put_name = put_name,
};
