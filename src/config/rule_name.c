/* The names of rules, as `why`, `diff` and the events show them. A name says what was written, in
 * the order in which people say it. */
#include "base/num.h"
#include "config/tables.h"

static void put_duration(struct str *out, const char *before, int64_t us)
{
    char text[48];
    num_format_duration(text, sizeof(text), us);
    str_putf(out, "%s%s", before, text);
}

static void put_value(struct str *out, const char *before, enum metric metric, double value)
{
    char text[48];
    metric_format(text, sizeof(text), metric, value);
    str_putf(out, "%s%s", before, text);
}

static void put_metric(struct str *out, const struct rule_metric *m)
{
    static const char *const stats[SERIES_STAT_MAX] = {
        [SERIES_AVG] = "",       [SERIES_MAX] = " max",   [SERIES_MIN] = " min",
        [SERIES_RATE] = " rate", [SERIES_LAST] = " last", [SERIES_P50] = " p50",
        [SERIES_P90] = " p90",   [SERIES_P95] = " p95",   [SERIES_P99] = " p99",
    };
    str_putf(out, " %s%s", metric_info(m->metric)->name, stats[m->stat]);
    if (m->window_us == config_default_window_us(m->metric))
        return;
    if (m->window_us > 0)
        put_duration(out, " over ", m->window_us);
    else
        str_put(out, " now");
}

static void name_target(const struct rule_target_conf *t, struct str *out)
{
    put_metric(out, &t->metric);
    put_value(out, " ", t->metric.metric, t->value);
}

static void name_threshold(const struct rule_threshold_conf *t, struct str *out)
{
    put_metric(out, &t->metric);
    if (t->has_above)
        put_value(out, " above ", t->metric.metric, t->above);
    if (t->has_below)
        put_value(out, t->has_above ? " or below " : " below ", t->metric.metric, t->below);
    if (t->for_us > 0)
        put_duration(out, " for ", t->for_us);
}

static void name_step(const struct rule_step_conf *s, struct str *out)
{
    put_metric(out, &s->metric);
    put_value(out, " from ", s->metric.metric, s->threshold);
    if (s->for_us > 0)
        put_duration(out, " for ", s->for_us);
}

static void name_schedule(const struct rule_schedule_conf *s, const struct model_conf *model,
                          struct str *out)
{
    str_putf(out, " %s", s->cron.text);
    put_duration(out, " for ", s->for_us);
    str_putf(out, " %s", model->zones[s->zone].name);
}

void config_name_rule(struct rule_conf *rule, const struct model_conf *model)
{
    static const char *const kinds[RULE_KIND_MAX] = {
        [RULE_TARGET] = "target",
        [RULE_THRESHOLD] = "threshold",
        [RULE_STEP] = "step",
        [RULE_SCHEDULE] = "schedule",
    };
    struct str out;
    str_init(&out, rule->name, sizeof(rule->name));
    str_put(&out, kinds[rule->kind]);
    switch (rule->kind) {
    case RULE_TARGET:
        name_target(&rule->target, &out);
        return;
    case RULE_THRESHOLD:
        name_threshold(&rule->threshold, &out);
        return;
    case RULE_STEP:
        name_step(&rule->step, &out);
        return;
    default:
        name_schedule(&rule->schedule, model, &out);
        return;
    }
}
