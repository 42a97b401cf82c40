/* Budgets over services: what runs is paid for as time passes, and what is left is divided when one
 * of those who share it wants something. The arithmetic is budget.c's. */
#include <math.h>

#include "base/fmt.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

static struct control_service *sibling(const struct control *c, int32_t slot)
{
    return slot < 0 ? NULL : &c->services[slot];
}

/* Beyond this it is no price, and sums of it would end nowhere. */
#define COST_MAX 1e12

static double cost_of(const struct control_service *s)
{
    return s->conf->cost > 0 ? MIN(s->conf->cost, COST_MAX) : 0;
}

/* From START to gone. */
static uint32_t paid_for(const struct control_service *s)
{
    return control_alive(s) - s->in_state[INSTANCE_PENDING];
}

/* Those who leave are paid for too, as long as they run. */
static void find_rates(struct control *c)
{
    for (uint32_t n = 0; n < c->budget_count; n++)
        c->budgets[n].rate = 0;
    FOR_EACH_SERVICE (s, c) {
        if (s->conf->budget >= 0 && (uint32_t)s->conf->budget < c->budget_count)
            c->budgets[s->conf->budget].rate += paid_for(s) * cost_of(s);
    }
    c->rates_changed = false;
}

static const struct zone_conf *zone_of(const struct control *c, const struct control_budget *b)
{
    static const struct zone_conf utc = { .name = "UTC" };
    return b->conf.zone < c->zone_count ? &c->zones[b->conf.zone] : &utc;
}

void control_spend(struct control *c, int64_t dt_us)
{
    if (c->budget_count == 0)
        return;
    if (c->rates_changed)
        find_rates(c);
    for (uint32_t n = 0; n < c->budget_count; n++) {
        struct control_budget *b = &c->budgets[n];
        budget_spend(&b->state, zone_of(c, b), c->wall_us, dt_us, b->rate);
    }
}

/* -- dividing -----------------------------------------------------------------------------------
 */

/* What the operator or the mode has settled is not the budget's to change. */
static bool is_fixed(const struct control_service *s)
{
    return s->operator_count >= 0 || s->paused || s->conf->mode != SERVICE_AUTO;
}

/* Who is new and comes after another one has to wait anyway, and asks for nothing yet. */
static struct budget_claim claim_of(const struct control_service *s)
{
    bool fixed = is_fixed(s), asks = s->decided || s->conf->after_count == 0;
    return (struct budget_claim){
        .count = fixed  ? s->count
                 : asks ? s->asked
                        : 0,
        .min = s->min_now,
        .cost = cost_of(s),
        .weight = s->conf->budget_weight,
        .fixed = fixed,
    };
}

struct share {
    int32_t granted;                     /* when all have yielded what they are to */
    int32_t free;                        /* what can be had of it before they do */
    uint32_t count;                      /* of c->claims, in the order of siblings */
    enum budget_period period;           /* whose ceiling it is */
    const struct control_service *rival; /* who gets most of the rest; NULL = nobody */
};

/* What `s`, or an understudy of it, gets if it asks for s->asked; or what follows for the others
 * from what it has got. */
static void divide(const struct control *c, const struct control_service *s, bool asks,
                   struct budget_state *state, struct share *ret)
{
    const struct control_budget *b = &c->budgets[s->conf->budget];
    struct share x = { 0 };
    uint32_t own = 0;
    double rate_min = 0, others = 0, largest = 0;
    for (struct control_service *t = sibling(c, b->first); t; t = sibling(c, t->sibling)) {
        struct budget_claim *claim = &c->claims[x.count];
        *claim = claim_of(t);
        if (t->slot == s->slot) {
            own = x.count;
            if (asks) {
                claim->count = s->asked;
                claim->min = s->min_now;
                claim->fixed = false;
            }
        } else {
            others += t->count * claim->cost;
            if (t->count * claim->cost > largest)
                x.rival = t;
            largest = MAX(largest, t->count * claim->cost);
        }
        rate_min += (claim->fixed ? claim->count : claim->min) * claim->cost;
        x.count++;
    }
    double most = budget_rate_max(&b->conf, state, c->wall_us, rate_min, &x.period);
    budget_divide(c->claims, x.count, most);
    double left = floor((most - others) / cost_of(s) * (1 + 1e-9));
    x.granted = c->claims[own].count;
    x.free = left < x.granted ? (int32_t)MAX(left, 0) : x.granted;
    *ret = x;
}

static bool has_budget(const struct control *c, const struct control_service *s)
{
    return s->conf->budget >= 0 && (uint32_t)s->conf->budget < c->budget_count && cost_of(s) > 0;
}

/* "5.00", as prices are written. */
static void format_money(char *buf, size_t cap, double amount)
{
    if (amount >= 1e15) {
        fmt_double(buf, cap, amount, 0);
        return;
    }
    int64_t cents = (int64_t)floor(amount * 100 + 0.5);
    fmt(buf, cap, "%lld.%02lld", (long long)(cents / 100), (long long)(cents % 100));
}

static void say(const struct control *c, const struct control_service *s, const struct share *x,
                int32_t to, struct decision *d)
{
    const struct budget_conf *b = &c->budgets[s->conf->budget].conf;
    char money[40], who[MODEL_NAME_MAX + 24] = "";
    if (d->silent) {
        explain_step(d, LIMIT_BUDGET, to, "%s", "");
        return;
    }
    format_money(money, sizeof(money), budget_ceiling(b, x->period));
    if (x->rival)
        fmt(who, sizeof(who), "; most of it is %s's", x->rival->conf->name);
    explain_step(d, LIMIT_BUDGET, to, "budget %s: %s%s%s %s is promised; yields %d%s", b->name,
                 money, b->currency[0] ? " " : "", b->currency,
                 x->period == BUDGET_HOUR  ? "an hour"
                 : x->period == BUDGET_DAY ? "a day"
                                           : "a month",
                 explain_count(d) - to, who);
}

void control_limit_budget(const struct control *c, struct control_service *s,
                          struct budget_state *state, struct decision *d)
{
    if (!has_budget(c, s))
        return;
    struct share x;
    divide(c, s, true, state, &x);
    /* What it has already need not be free: it goes when it is not granted. */
    int32_t to = MIN(x.granted, MAX(x.free, s->decided ? MIN(s->count, x.granted) : 0));
    if (x.period != BUDGET_HOUR && to < s->asked)
        s->spent = (int8_t)x.period;
    if (to < explain_count(d))
        say(c, s, &x, to, d);
}

/* Those who share the budget with it get or give, in the same step. */
void control_budget_settle(struct control *c, struct control_service *s)
{
    if (!has_budget(c, s))
        return;
    struct control_budget *b = &c->budgets[s->conf->budget];
    struct share x;
    divide(c, s, false, &b->state, &x);
    uint32_t n = 0;
    for (struct control_service *t = sibling(c, b->first); t; t = sibling(c, t->sibling)) {
        int32_t granted = c->claims[n++].count;
        bool gives = t->count > granted, gets = t->count < MIN(t->asked, granted);
        if (t == s || is_fixed(t) || !t->decided || t->due || !(gives || gets))
            continue;
        control_mark_due(t, EVENT_TICK);
        c->again = true;
    }
    if (s->spent < 0)
        control_trouble_over(s, TROUBLE_BUDGET);
    else if (!s->troubles[TROUBLE_BUDGET].on)
        control_trouble(s, TROUBLE_BUDGET, "budget %s: what may be spent in this %s is spent",
                        b->conf.name, budget_period_name((enum budget_period)s->spent));
}
