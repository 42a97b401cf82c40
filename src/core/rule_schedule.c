/* Schedules: from each time a cron expression matches, for a while, min, max or the count are
 * others. It owns when a window is open and must not have an opinion on load. It follows the wall
 * clock and remembers nothing, so a clock that steps is simply believed. */
#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/rule.h"

static const struct zone_conf utc = { .name = "UTC" };

static const struct zone_conf *zone_of(const struct rule_schedule_conf *s,
                                       const struct rule_context *ctx)
{
    return s->zone < ctx->zone_count ? &ctx->zones[s->zone] : &utc;
}

/* When the window that is open now opened; 0 when none is. */
static int64_t opened_us(const struct rule_schedule_conf *s, const struct rule_context *ctx)
{
    int64_t last_us = cron_last(&s->cron, zone_of(s, ctx), ctx->wall_us);
    return last_us != INT64_MIN && us_add(last_us, s->for_us) > ctx->wall_us ? last_us : 0;
}

static int32_t bound(int32_t conf)
{
    return conf >= 0 ? conf : RULE_ABSTAIN;
}

static void schedule_eval(const struct rule_conf *r, struct rule_state *state,
                          const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_schedule_conf *s = &r->schedule;
    struct str text;
    str_init(&text, ret->text, sizeof(ret->text));
    ret->set_since_us = opened_us(s, ctx);
    ret->known = true;
    if (ret->set_since_us == 0) {
        str_put(&text, "its window is closed");
        return;
    }
    ret->set_min = bound(s->min);
    ret->set_max = bound(s->max);
    ret->set_count = bound(s->count);
    str_put(&text, "its window is open:");
    if (s->min >= 0)
        str_putf(&text, " min %d", s->min);
    if (s->max >= 0)
        str_putf(&text, " max %d", s->max);
    if (s->count >= 0)
        str_putf(&text, " count %d", s->count);
}

static int64_t schedule_next_us(const struct rule_conf *r, const struct rule_state *state,
                                const struct rule_context *ctx)
{
    const struct rule_schedule_conf *s = &r->schedule;
    int64_t next_us = cron_next(&s->cron, zone_of(s, ctx), ctx->wall_us);
    int64_t since_us = opened_us(s, ctx);
    if (since_us != 0)
        next_us = MIN(next_us, us_add(since_us, s->for_us));
    return next_us == US_NEVER ? US_NEVER : us_add(ctx->now_us, us_sub(next_us, ctx->wall_us));
}

const struct rule_ops rule_schedule = {
    .name = "schedule",
    .eval = schedule_eval,
    .next_us = schedule_next_us,
};
