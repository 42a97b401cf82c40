/* What holds a count back between the rules and the bounds: headroom (which raises it), the cost of
 * a change, and the order of services. Each says why, and none acts. */
#include <math.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

/* -- headroom -----------------------------------------------------------------------------------
 */

/* 20 % of 10 is 2, however 0.2 * 10 comes out. */
static int32_t headroom_of(const struct service_conf *conf, int32_t need)
{
    double extra = conf->headroom_ratio ? ceil(conf->headroom * need - 1e-9) : ceil(conf->headroom);
    return need > 0 && extra > 0 ? (int32_t)MIN(extra, MODEL_COUNT_MAX) : 0;
}

static int32_t with_headroom(const struct service_conf *conf, int32_t need)
{
    return need > MODEL_COUNT_MAX ? need : need + headroom_of(conf, need);
}

/* The most that leaves what is to be free of it free; at least one, for rules to have a count. */
int32_t control_without_headroom(const struct service_conf *conf, int32_t current)
{
    if (!(conf->headroom > 0) || current <= 1)
        return current;
    double share = conf->headroom_ratio ? current / (1 + conf->headroom) : current - conf->headroom;
    int32_t need = share > 1 ? (int32_t)share : 1;
    while (need < current && with_headroom(conf, need + 1) <= current)
        need++;
    while (need > 1 && with_headroom(conf, need) > current)
        need--;
    return need;
}

void control_add_headroom(const struct service_conf *conf, struct opinion *opinions)
{
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        if (!rule_ops(conf->rules[n].kind)->measures)
            continue;
        if (opinions[n].out > 0)
            opinions[n].out = with_headroom(conf, opinions[n].out);
        if (opinions[n].in > 0)
            opinions[n].in = with_headroom(conf, opinions[n].in);
    }
}

/* -- the cost of a change -----------------------------------------------------------------------
 *
 * An instance that is not needed may be needed again soon. To keep it costs its time, to let it go
 * costs the change; who keeps it until the time it has wasted has reached the price of the change
 * pays at most twice of what one who knew the future would (Karlin, Manasse, Rudolph, Sleator,
 * "Competitive Snoopy Caching", 1988). Several that are not needed waste time together. */

static void run_waste(struct waste *w, int64_t now_us, int32_t surplus)
{
    if (surplus <= 0) {
        *w = (struct waste){ .at_us = now_us };
        return;
    }
    w->sum_us = us_add(w->sum_us, us_mul(MAX(now_us - w->at_us, 0), w->surplus));
    w->at_us = now_us;
    w->surplus = surplus;
}

void control_limit_change(struct control_service *s, const struct rule_context *ctx,
                          struct decision *d)
{
    int64_t cost_us = s->conf->change_cost_us;
    int32_t surplus = ctx->current - explain_count(d);
    run_waste(&s->waste, ctx->now_us, surplus);
    int64_t paid = s->waste.sum_us / cost_us;
    if (paid >= surplus)
        return;
    int64_t missing_us = cost_us - s->waste.sum_us % cost_us;
    s->decide_next_us = MIN(s->decide_next_us,
                            us_add(ctx->now_us, missing_us / surplus + (missing_us % surplus > 0)));
    char saved[40] = "", cost[40] = "";
    if (!d->silent) {
        num_format_duration_short(saved, sizeof(saved), s->waste.sum_us / US_PER_S * US_PER_S);
        num_format_duration(cost, sizeof(cost), cost_us);
    }
    explain_step(d, LIMIT_CHANGE, ctx->current - (int32_t)paid,
                 "%s of instance time wasted so far, %s are to be for each that goes", saved, cost);
}

/* -- order --------------------------------------------------------------------------------------
 */

static bool has_all(const struct control_service *s)
{
    return s->decided && (int32_t)s->in_state[INSTANCE_READY] >= s->count;
}

/* The first of those it comes after that has not got all it wants; NULL = none. */
static const struct control_service *behind(const struct control *c,
                                            const struct control_service *s)
{
    for (uint32_t n = 0; n < MODEL_AFTER_MAX; n++) {
        const struct control_service *first = control_service(c, s->after[n]);
        if (first && !control_is_leaving(c, first) && !has_all(first))
            return first;
    }
    return NULL;
}

static bool comes_after(const struct control_service *s, uint32_t slot)
{
    for (uint32_t n = 0; n < MODEL_AFTER_MAX; n++) {
        if (s->after[n] == (int32_t)slot)
            return true;
    }
    return false;
}

/* One that comes after it and is still on its way in; NULL = none. */
static const struct control_service *ahead(const struct control *c, const struct control_service *s)
{
    if (!s->followed)
        return NULL;
    FOR_EACH_SERVICE (t, c) {
        if (comes_after(t, s->slot) && !control_is_leaving(c, t) &&
            (t->wants_in_us != 0 || control_draining(t) > 0))
            return t;
    }
    return NULL;
}

/* Runs the clock of a wait; true while it may go on. */
static bool may_wait(struct control_service *s, const struct control *c, int64_t *since_us)
{
    if (*since_us == 0)
        *since_us = c->now_us;
    int64_t until_us = us_add(*since_us, CONTROL_ORDER_US);
    if (until_us <= c->now_us)
        return false;
    s->decide_next_us = MIN(s->decide_next_us, until_us);
    return true;
}

void control_limit_order(const struct control *c, struct control_service *s, int32_t max,
                         struct decision *d)
{
    /* Who has none yet begins with none, whatever it is to begin with. */
    int32_t held = s->decided || control_alive(s) > 0 ? MIN(s->count, max) : 0;
    const struct control_service *first = behind(c, s);
    s->held_us = first ? s->held_us : 0;
    if (first && explain_count(d) > held && may_wait(s, c, &s->held_us))
        explain_step(d, LIMIT_ORDER, held, "waits for %s: %u of %d are ready", first->conf->name,
                     first->in_state[INSTANCE_READY], first->count);
    /* Whom it goes after decides later in the same step: it is asked first. */
    bool new_wish = s->wants_in_us == 0 || s->wants_in_us == c->now_us;
    if (s->followed && new_wish && explain_count(d) < held)
        explain_step(d, LIMIT_ORDER, held, "those that come after it are asked first");
    const struct control_service *last = ahead(c, s);
    s->held_in_us = last ? s->held_in_us : 0;
    if (last && explain_count(d) < held && may_wait(s, c, &s->held_in_us))
        explain_step(d, LIMIT_ORDER, held, "%s scales in first", last->conf->name);
}

/* -- a decision was made ------------------------------------------------------------------------
 */

void control_limits_settle(struct control *c, struct control_service *s, int32_t before)
{
    int32_t gone = before - s->count;
    if (gone > 0) {
        int64_t paid_us = us_mul(gone, MAX(s->conf->change_cost_us, 0));
        s->waste.sum_us = MAX(0, us_sub(s->waste.sum_us, paid_us));
        s->waste.surplus = MAX(0, s->waste.surplus - gone);
    }
    const struct control_service *first = s->held_us != 0 ? behind(c, s) : NULL;
    if (!first || c->now_us - s->held_us < CONTROL_ORDER_US)
        control_trouble_over(s, TROUBLE_ORDER);
    else if (!s->troubles[TROUBLE_ORDER].on)
        control_trouble(s, TROUBLE_ORDER, "does not wait for %s any longer", first->conf->name);
    if (s->conf->budget >= 0)
        control_budget_settle(c, s);
}
