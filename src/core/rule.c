/* The list of rule kinds and what all of them share. It must not know any kind from inside. */
#include "core/rule.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"

const struct rule_ops *const rule_kinds[RULE_KIND_MAX] = {
    [RULE_TARGET] = &rule_target,
    [RULE_THRESHOLD] = &rule_threshold,
    [RULE_STEP] = &rule_step,
    [RULE_SCHEDULE] = &rule_schedule,
    [RULE_CONCURRENCY] = &rule_concurrency,
    [RULE_QUEUE] = &rule_queue,
    [RULE_BUSYNESS] = &rule_busyness,
    [RULE_PREDICTIVE] = &rule_predictive,
    [RULE_SLO] = &rule_slo,
    [RULE_RATIO] = &rule_ratio,
};

const char *rule_kind_name(enum rule_kind k)
{
    return (unsigned)k < RULE_KIND_MAX ? rule_kinds[k]->name : "?";
}

/* Field by field: nobody reads the text behind its end, and most opinions have none. */
void rule_opinion_init(struct opinion *ret)
{
    ret->out = ret->in = RULE_ABSTAIN;
    ret->set_min = ret->set_max = ret->set_count = RULE_ABSTAIN;
    ret->block_in = ret->known = false;
    ret->value = 0;
    ret->set_since_us = 0;
    ret->text[0] = '\0';
}

void rule_say(const struct rule_context *ctx, struct opinion *ret, const char *format, ...)
{
    if (!ctx->words)
        return;
    va_list args;
    va_start(args, format);
    fmt_v(ret->text, sizeof(ret->text), format, args);
    va_end(args);
}

const char *rule_metric_name(const struct rule_context *ctx, enum metric m)
{
    return m >= METRIC_CUSTOM && m < METRIC_MAX && ctx->metrics
               ? ctx->metrics[m - METRIC_CUSTOM].name
               : metric_name(m);
}

/* KEDA's pkg/fallback, as a count instead of a metric made up from one. */
static int32_t fallback_count(const struct rule_conf *r, int32_t current)
{
    switch (r->fallback_as) {
    case RULE_FALLBACK_CURRENT:
        return current;
    case RULE_FALLBACK_IF_HIGHER:
        return MAX(current, r->fallback);
    case RULE_FALLBACK_IF_LOWER:
        return MIN(current, r->fallback);
    default:
        return r->fallback;
    }
}

/* Law 1's last sentence. A service of none has nothing to fall back for. */
static void fall_back(const struct rule_conf *r, struct rule_state *state,
                      const struct rule_context *ctx, struct opinion *ret)
{
    int64_t *since_us = &state->word[RULE_STATE_UNKNOWN];
    if (ret->known || r->fallback_after_us <= 0 || ctx->current == 0) {
        *since_us = 0;
        return;
    }
    if (*since_us == 0)
        *since_us = ctx->now_us;
    if (us_sub(ctx->now_us, *since_us) < r->fallback_after_us)
        return;
    ret->out = MAX(ret->out, fallback_count(r, ctx->current));
    if (!ctx->words)
        return;
    char unknown[40];
    const struct rule_ops *ops = rule_ops(r->kind);
    enum metric m = ops->metric ? ops->metric(r, 0) : METRIC_MAX;
    num_format_duration_short(unknown, sizeof(unknown),
                              us_sub(ctx->now_us, *since_us) / US_PER_S * US_PER_S);
    rule_say(ctx, ret, "%s has been unknown for %s: falls back to at least %d%s",
             m < METRIC_MAX ? rule_metric_name(ctx, m) : "its metric", unknown, ret->out,
             ret->block_in ? ", no scale-in" : "");
}

void rule_eval(const struct rule_conf *r, struct rule_state *state, const struct rule_context *ctx,
               struct opinion *ret)
{
    rule_opinion_init(ret);
    rule_ops(r->kind)->eval(r, state, ctx, ret);
    fall_back(r, state, ctx, ret);
}

bool rule_asks_out(const struct rule_conf *r, const struct opinion *o,
                   const struct rule_context *ctx, int32_t count, double *ret_value)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    return o->known && ops->asks_out && ops->asks_out(r, o, ctx, count, ret_value);
}

int64_t rule_next_us(const struct rule_conf *r, const struct rule_state *state,
                     const struct rule_context *ctx)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    int64_t next_us = ops->next_us ? ops->next_us(r, state, ctx) : US_NEVER;
    int64_t unknown_us = state->word[RULE_STATE_UNKNOWN];
    int64_t fallback_us = unknown_us > 0 ? us_add(unknown_us, r->fallback_after_us) : 0;
    return fallback_us > ctx->now_us ? MIN(next_us, fallback_us) : next_us;
}

uint32_t rule_mark(const struct rule_conf *r, int32_t count)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    double most = ops->most ? ops->most(r, count) : INFINITY;
    if (most < 0)
        return 0;
    return most < UINT32_MAX - 1 ? (uint32_t)most + 1 : UINT32_MAX;
}

int rule_metric_value(const struct rule_metric *m, const struct rule_context *ctx, double *ret)
{
    assert((unsigned)m->metric < METRIC_MAX);
    return series_stat(&ctx->series[m->metric], m->stat, m->window_us, ctx->now_us, ctx->scratch,
                       ret);
}

double rule_project(const struct rule_metric *m, double value, const struct rule_context *ctx,
                    int32_t count)
{
    if (rule_metric_nature(ctx, m->metric) == METRIC_TOTAL || count <= 0)
        return value;
    double newest; /* a window looks back on a time with more instances */
    if (m->window_us > 0 && m->stat != SERIES_RATE &&
        series_last(&ctx->series[m->metric], ctx->now_us, &newest))
        value = MAX(value, newest);
    return value * (ctx->ready > 0 ? ctx->ready : ctx->current) / count;
}

int64_t rule_hold_in_us(int64_t for_us, const struct rule_context *ctx)
{
    return for_us > 0 ? for_us : ctx->window_in_us;
}
