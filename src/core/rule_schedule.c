/* Schedules: from each time a cron expression matches, for a while, min, max or the count are
 * others. It owns when a window is open and must not have an opinion on load. It follows the wall
 * clock, and a clock that steps is simply believed: what it remembers is where it looked last, for
 * reading a calendar every second is dear. */
#include <string.h>

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

/* -- the two matches around now, as found last: right from LAST on and before UNTIL ---------------
 */

enum {
    LAST,  /* wall; 0 = none */
    NEXT,  /* wall; US_NEVER = none */
    UNTIL, /* wall; 0 = nothing is remembered */
    ZONE,  /* fingerprint of the zone it was found in */
};

#define REMEMBER_US US_PER_HOUR

/* A reload may put another zone, or more of its transitions, in the same place. */
static int64_t fingerprint(const struct zone_conf *z)
{
    uint64_t hash = (uint64_t)(uint32_t)z->offset_s * 31 + z->transition_count;
    for (uint32_t i = 0; i < z->transition_count; i += MAX(1, z->transition_count - 1))
        hash = (hash * 31 + (uint64_t)z->transition[i].at_s) * 31 +
               (uint64_t)(uint32_t)z->transition[i].offset_s;
    return (int64_t)(hash & INT64_MAX);
}

static bool is_remembered(const int64_t *word, int64_t wall_us, int64_t mark)
{
    return 0 <= word[LAST] && word[LAST] <= wall_us && wall_us < word[UNTIL] &&
           word[UNTIL] <= word[NEXT] && us_sub(word[UNTIL], wall_us) <= REMEMBER_US &&
           word[ZONE] == mark;
}

static void look(const struct rule_schedule_conf *s, int64_t *word, const struct rule_context *ctx)
{
    const struct zone_conf *zone = zone_of(s, ctx);
    int64_t wall_us = ctx->wall_us, mark = fingerprint(zone);
    if (is_remembered(word, wall_us, mark))
        return;
    word[LAST] = MAX(0, cron_last(&s->cron, zone, wall_us));
    word[NEXT] = cron_next(&s->cron, zone, wall_us);
    word[UNTIL] = MIN(word[NEXT], us_add(wall_us, REMEMBER_US));
    word[ZONE] = mark;
}

/* When the window that is open now opened; 0 when none is. */
static int64_t opened_us(const struct rule_schedule_conf *s, const int64_t *word,
                         const struct rule_context *ctx)
{
    return us_add(word[LAST], s->for_us) > ctx->wall_us ? word[LAST] : 0;
}

static int32_t bound(int32_t conf)
{
    return conf >= 0 ? conf : RULE_ABSTAIN;
}

static void explain(const struct rule_schedule_conf *s, const struct rule_context *ctx,
                    struct opinion *ret)
{
    if (!ctx->words)
        return;
    struct str text;
    str_init(&text, ret->text, sizeof(ret->text));
    str_put(&text, "its window is open:");
    if (s->min >= 0)
        str_putf(&text, " min %d", s->min);
    if (s->max >= 0)
        str_putf(&text, " max %d", s->max);
    if (s->count >= 0)
        str_putf(&text, " count %d", s->count);
}

static void schedule_eval(const struct rule_conf *r, struct rule_state *state,
                          const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_schedule_conf *s = &r->schedule;
    look(s, state->word, ctx);
    ret->set_since_us = opened_us(s, state->word, ctx);
    ret->known = true;
    if (ret->set_since_us == 0) {
        rule_say(ctx, ret, "its window is closed");
        return;
    }
    ret->set_min = bound(s->min);
    ret->set_max = bound(s->max);
    ret->set_count = bound(s->count);
    explain(s, ctx, ret);
}

static int64_t schedule_next_us(const struct rule_conf *r, const struct rule_state *state,
                                const struct rule_context *ctx)
{
    const struct rule_schedule_conf *s = &r->schedule;
    int64_t word[RULE_STATE_WORDS];
    memcpy(word, state->word, sizeof(word));
    look(s, word, ctx);
    int64_t next_us = word[NEXT];
    int64_t since_us = opened_us(s, word, ctx);
    if (since_us != 0)
        next_us = MIN(next_us, us_add(since_us, s->for_us));
    return next_us == US_NEVER ? US_NEVER : us_add(ctx->now_us, us_sub(next_us, ctx->wall_us));
}

const struct rule_ops rule_schedule = {
    .name = "schedule",
    .eval = schedule_eval,
    .next_us = schedule_next_us,
};
