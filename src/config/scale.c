/* `scale` of a service: limits, rules, and what they cost, from what was written to the core's
 * service_conf. Owns the defaults that depend on other keys. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "config/tables.h"

#define START_WITHIN_US_DEFAULT (60 * US_PER_S) /* until the driver's section says otherwise */
#define DEFAULT_CONCURRENCY 70.0
#define DEFAULT_CPU 0.7
#define HEADROOM_RATIO_MAX 10.0

static int64_t core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return CLAMP(n, 1, MODEL_COUNT_MAX);
}

/* In ctx->node = `scale`, which may not be written. `whole` = all of the service could be read:
 * what is left at 0 for an error's sake must not cause a second one. */
static int check_counts(struct schema_context *ctx, struct config_scale *scale, bool whole,
                        struct err *err)
{
    if (!schema_given(ctx, "max"))
        scale->max = MAX(core_count(), scale->min);
    if (!schema_given(ctx, "min"))
        scale->min = MIN(scale->min, scale->max);
    if (!whole)
        return 0;
    if (scale->min > scale->max)
        return schema_error(ctx, "min", err, "%lld is above max: %lld", (long long)scale->min,
                            (long long)scale->max);
    if (!schema_given(ctx, "initial"))
        scale->initial = -1;
    if (scale->initial > scale->max || (scale->initial >= 0 && scale->initial < scale->min))
        return schema_error(ctx, "initial", err, "%lld is not between min: %lld and max: %lld",
                            (long long)scale->initial, (long long)scale->min,
                            (long long)scale->max);
    return 0;
}

/* A schedule that moves one limit has to leave it on the right side of the other. */
static int check_schedules(struct schema_context *ctx, const struct service_conf *conf,
                           struct err *err)
{
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        const struct rule_schedule_conf *s = &conf->rules[i].schedule;
        if (conf->rules[i].kind != RULE_SCHEDULE)
            continue;
        int32_t max = s->max >= 0 ? s->max : conf->max;
        if (s->count > max || s->min > max)
            return schema_error(ctx, "rules", err,
                                "\"%s\" wants %d, which is above max: %d; raise max, or give the "
                                "schedule a max of its own",
                                conf->rules[i].name, MAX(s->count, s->min), max);
        if (s->max >= 0 && s->min < 0 && s->max < conf->min)
            return schema_error(ctx, "rules", err,
                                "\"%s\" sets max to %d, which is under min: %d; give the schedule "
                                "a min too",
                                conf->rules[i].name, s->max, conf->min);
    }
    return 0;
}

static void fill_model(const struct config_service *s, struct service_conf *conf)
{
    const struct config_scale *w = &s->scale_written;
    str_copy(conf->name, sizeof(conf->name), s->name);
    conf->mode = (enum service_mode)w->mode;
    conf->min = (int32_t)w->min;
    conf->max = (int32_t)w->max;
    conf->initial = (int32_t)w->initial;
    conf->surge = (int32_t)w->surge;
    conf->can_choose_victim = true;
    conf->start_within_us = START_WITHIN_US_DEFAULT;
    conf->drain_us = s->drain_us;
    conf->window_in_us = w->window_us;
    conf->health = (struct health_conf){ .fail_after = (uint32_t)s->health.fail_after,
                                         .pass_after = (uint32_t)s->health.pass_after,
                                         .replace_after_us = s->health.replace_after_us };
    conf->behavior = (struct behavior_conf){ .up = w->up.rates, .down = w->down.rates };
    conf->change_cost_us = w->change_cost_us;
    conf->cost = w->cost;
    conf->watts = w->watts;
    conf->budget = -1;
    conf->budget_weight = 1;
}

/* "2" or "20%". */
static int read_headroom(struct schema_context *ctx, const char *text, struct service_conf *conf,
                         struct err *err)
{
    int64_t count;
    if (!text)
        return 0;
    conf->headroom_ratio = num_parse_percent(slice_of(text), &conf->headroom) == 0;
    if (conf->headroom_ratio && conf->headroom >= 0 && conf->headroom <= HEADROOM_RATIO_MAX)
        return 0;
    if (conf->headroom_ratio || num_parse_i64(slice_of(text), &count) < 0 || count < 0 ||
        count > MODEL_COUNT_MAX)
        return schema_fail_value(ctx, "headroom", err,
                                 "\"%.60s\" is not a headroom; write a number of instances or a "
                                 "percentage: 2, 20%%",
                                 text);
    conf->headroom = (double)count;
    return 0;
}

/* A ceiling needs a price, and must leave room for what runs at the least. */
static int check_cost_ceilings(struct schema_context *ctx, const struct service_conf *conf,
                               struct err *err)
{
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        const struct rule_conf *r = &conf->rules[i];
        char max[32], least[32];
        if (r->kind != RULE_SLO || r->slo.cost_max <= 0)
            continue;
        if (conf->cost <= 0)
            return schema_error(ctx, "rules", err,
                                "\"%s\" has a cost-max, and nothing says what an instance costs; "
                                "give scale.cost",
                                r->name);
        if (conf->cost * conf->min <= r->slo.cost_max)
            continue;
        fmt_double(max, sizeof(max), r->slo.cost_max, 2);
        fmt_double(least, sizeof(least), conf->cost * conf->min, 2);
        return schema_error(ctx, "rules", err,
                            "\"%s\" may cost %s an hour, and min: %d instances cost %s; raise "
                            "cost-max or lower min",
                            r->name, max, conf->min, least);
    }
    return 0;
}

/* A service that the proxy does not measure has no load by default. */
static int need_rules(struct schema_context *ctx, const struct config_service *s,
                      const struct service_conf *conf, struct err *err)
{
    if (schema_given(ctx, "max") && conf->min == conf->max) /* a fixed number is a policy too */
        return 0;
    return schema_error(ctx, NULL, err,
                        "\"%s\" has no listener, so the proxy cannot say how much there is to do; "
                        "give scale.rules, for example \"- queue: {metric: jobs, length: 5}\" with "
                        "a source of that name, or a fixed number with min and max",
                        s->name);
}

/* A target that max-concurrency keeps out of reach would never be noticed: 70 % of it, then. */
void config_default_rules(const struct config_service *s, struct service_conf *conf)
{
    double concurrency = DEFAULT_CONCURRENCY;
    if (s->max_concurrency > 0 && s->max_concurrency < (int64_t)DEFAULT_CONCURRENCY)
        concurrency = MAX((double)s->max_concurrency * 7 / 10, 1);
    static const struct rule_target_conf target = { .tolerance_up = 0.1, .tolerance_down = 0.1 };
    conf->rule_count = 2;
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        struct rule_conf *rule = &conf->rules[i];
        rule->kind = RULE_TARGET;
        rule->target = target;
        rule->target.metric.metric = i == 0 ? METRIC_CONCURRENCY : METRIC_CPU;
        rule->target.metric.window_us = config_default_window_us(rule->target.metric.metric);
        rule->target.value = i == 0 ? concurrency : DEFAULT_CPU;
        config_name_rule(rule, NULL, conf);
    }
}

static int read_rules(struct schema_context *ctx, struct config_service *s)
{
    struct service_conf *conf = s->scale;
    size_t entered = schema_enter(ctx, "rules");
    ctx->service = conf;
    ctx->proxied = s->listen.count > 0;
    int rc = config_read_rules(ctx, s->scale_written.rules, conf);
    ctx->service = NULL;
    schema_leave(ctx, entered);
    return rc;
}

/* Some rules hold a count by themselves: `headroom: auto` by what it has learnt, `concurrency` as
 * Knative does, by its stable window and its delay. Held once more it would only be late. Beside
 * rules that do not, the latter's hold is not enough. */
static bool holds_by_itself(const struct service_conf *conf)
{
    uint32_t concurrency = 0, others = 0;
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        const struct rule_conf *r = &conf->rules[n];
        if (r->kind == RULE_TARGET && r->target.headroom_auto)
            return true;
        concurrency += r->kind == RULE_CONCURRENCY;
        others += r->kind != RULE_CONCURRENCY && r->kind != RULE_SCHEDULE;
    }
    return concurrency > 0 && others == 0;
}

static void let_go(const struct config_service *s, struct service_conf *conf)
{
    if (!s->scale_written.down.stabilize_given && holds_by_itself(conf))
        conf->behavior.down.stabilize_us = 0;
}

/* What can be said only when all keys have been read without an error. */
static int check_together(struct schema_context *ctx, struct config_service *s, struct err *err)
{
    struct service_conf *conf = s->scale;
    int rc = read_headroom(ctx, s->scale_written.headroom, conf, err);
    if (rc == 0)
        rc = config_read_budget_of(ctx, s->scale_written.budget, conf, err);
    if (rc == 0)
        rc = config_read_after(ctx, &s->scale_written.after, conf, err);
    if (rc == 0)
        rc = check_schedules(ctx, conf, err);
    if (rc == 0)
        rc = check_cost_ceilings(ctx, conf, err);
    let_go(s, conf);
    if (rc < 0 || conf->rule_count > 0)
        return rc;
    if (s->listen.count == 0)
        return need_rules(ctx, s, conf, err);
    config_default_rules(s, conf);
    s->scale_defaulted = true;
    return 0;
}

int config_read_scale(struct schema_context *ctx, const struct schema_node *node,
                      struct config_service *s, bool whole)
{
    const struct schema_node nothing = { .kind = NODE_MAP, .line = s->line, .column = s->column };
    const struct node_pair *pair = node_find(node, "scale");
    const struct schema_node *outer = ctx->node;
    struct err err = { 0 };
    size_t entered = schema_enter(ctx, "scale");
    ctx->node = pair && pair->value->kind == NODE_MAP ? pair->value : &nothing;
    int rc = schema_note(ctx, check_counts(ctx, &s->scale_written, whole, &err), &err);
    fill_model(s, s->scale);
    int rules = rc == -ENOMEM ? rc : read_rules(ctx, s);
    if (rc == 0 && rules == 0 && whole)
        rc = schema_note(ctx, check_together(ctx, s, &err), &err);
    schema_leave(ctx, entered);
    ctx->node = outer;
    return rules < 0 ? rules : rc;
}
