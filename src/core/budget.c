/* Budgets: three purses, one bound on the rate, one division. It owns no service and must not know
 * why a count is wanted. */
#include "core/budget.h"

#include <math.h>

#include "base/us.h"
#include "base/util.h"

/* Sums of prices such as 0.1 come out a hair above what they stand for. */
#define HAIR 1e-9

static const char *const crons[BUDGET_PERIOD_MAX] = {
    [BUDGET_HOUR] = "0 * * * *",
    [BUDGET_DAY] = "0 0 * * *",
    [BUDGET_MONTH] = "0 0 1 * *",
};

const char *budget_period_name(enum budget_period p)
{
    static const char *const names[BUDGET_PERIOD_MAX] = { "hour", "day", "month" };
    return names[p];
}

double budget_ceiling(const struct budget_conf *conf, enum budget_period p)
{
    const double ceilings[BUDGET_PERIOD_MAX] = { conf->per_hour, conf->per_day, conf->per_month };
    return ceilings[p];
}

/* -- purses -------------------------------------------------------------------------------------
 */

static double money(double rate, int64_t us)
{
    return rate * (double)us / (double)US_PER_HOUR;
}

/* Where no calendar reaches, a period is an hour from now. */
static void begin_period(struct budget_purse *p, enum budget_period period,
                         const struct zone_conf *zone, int64_t wall_us)
{
    struct cron cron;
    *p = (struct budget_purse){ .begin_us = wall_us, .end_us = us_add(wall_us, US_PER_HOUR) };
    if (cron_parse(slice_of(crons[period]), &cron, NULL) < 0)
        return;
    int64_t begin_us = cron_last(&cron, zone, wall_us), end_us = cron_next(&cron, zone, wall_us);
    if (begin_us == INT64_MIN || end_us == US_NEVER)
        return;
    p->begin_us = begin_us;
    p->end_us = end_us;
}

void budget_spend(struct budget_state *b, const struct zone_conf *zone, int64_t wall_us,
                  int64_t dt_us, double rate)
{
    for (int n = 0; n < BUDGET_PERIOD_MAX; n++) {
        struct budget_purse *p = &b->purse[n];
        bool begins = wall_us < p->begin_us || wall_us >= p->end_us;
        if (begins)
            begin_period(p, (enum budget_period)n, zone, wall_us);
        p->spent += money(rate, begins ? MIN(dt_us, wall_us - p->begin_us) : dt_us);
    }
}

/* What this purse lets pass, for the rest of its period. */
static double purse_rate(struct budget_purse *p, double ceiling, int64_t wall_us, double rate_min)
{
    int64_t left_us = MAX(p->end_us - wall_us, US_PER_S);
    p->tight = p->tight || p->spent + money(rate_min, left_us) >= ceiling;
    if (!p->tight)
        return INFINITY;
    return MAX(0, ceiling - p->spent) / ((double)left_us / (double)US_PER_HOUR);
}

double budget_rate_max(const struct budget_conf *conf, struct budget_state *b, int64_t wall_us,
                       double rate_min, enum budget_period *ret_period)
{
    double most = conf->per_hour > 0 ? conf->per_hour : INFINITY;
    *ret_period = BUDGET_HOUR;
    for (int n = BUDGET_DAY; n < BUDGET_PERIOD_MAX; n++) {
        double ceiling = budget_ceiling(conf, (enum budget_period)n);
        double rate = ceiling > 0 ? purse_rate(&b->purse[n], ceiling, wall_us, rate_min) : INFINITY;
        if (rate >= most)
            continue;
        most = rate;
        *ret_period = (enum budget_period)n;
    }
    return most;
}

/* -- who yields ---------------------------------------------------------------------------------
 */

static double total(const struct budget_claim *claims, uint32_t count)
{
    double sum = 0;
    for (uint32_t n = 0; n < count; n++)
        sum += claims[n].count * claims[n].cost;
    return sum;
}

static double price(const struct budget_claim *c)
{
    return c->fixed ? 0 : c->cost / (c->weight > 0 ? c->weight : 1);
}

static int32_t base_of(const struct budget_claim *c, bool above_min)
{
    return above_min ? MIN(c->min, c->count) : 0;
}

/* With no claim higher than `level`. */
static double total_at(const struct budget_claim *claims, uint32_t count, bool above_min,
                       double level)
{
    double sum = 0;
    for (uint32_t n = 0; n < count; n++) {
        const struct budget_claim *c = &claims[n];
        double base = base_of(c, above_min);
        double most = price(c) > 0 ? base + floor(level / price(c)) : c->count;
        sum += MIN(most, c->count) * c->cost;
    }
    return sum;
}

/* The same as many single cuts, down to a level from which few are left to be made. */
static void cut_to_level(struct budget_claim *claims, uint32_t count, bool above_min,
                         double rate_max)
{
    double low = 0, high = 0;
    for (uint32_t n = 0; n < count; n++) {
        double claim = (claims[n].count - base_of(&claims[n], above_min)) * price(&claims[n]);
        high = MAX(high, claim);
    }
    for (int n = 0; n < 50; n++) {
        double middle = low + (high - low) / 2;
        if (total_at(claims, count, above_min, middle) > rate_max)
            high = middle;
        else
            low = middle;
    }
    for (uint32_t n = 0; n < count; n++) {
        struct budget_claim *c = &claims[n];
        double most = price(c) > 0 ? floor(high / price(c)) : INFINITY;
        if (most < c->count - base_of(c, above_min))
            c->count = base_of(c, above_min) + (int32_t)most;
    }
}

/* False = nobody has any to give. */
static bool cut_one(struct budget_claim *claims, uint32_t count, bool above_min)
{
    double largest = 0;
    struct budget_claim *who = NULL;
    for (uint32_t n = 0; n < count; n++) {
        double claim = (claims[n].count - base_of(&claims[n], above_min)) * price(&claims[n]);
        if (claim > 0 && claim >= largest) {
            largest = claim;
            who = &claims[n];
        }
    }
    if (who)
        who->count--;
    return who != NULL;
}

/* False = there is room for nobody's next one. */
static bool give_back_one(struct budget_claim *claims, uint32_t count, double most)
{
    double room = most - total(claims, count), smallest = INFINITY;
    struct budget_claim *who = NULL;
    for (uint32_t n = 0; n < count; n++) {
        struct budget_claim *c = &claims[n];
        double claim = (c->count + 1 - MIN(c->min, c->count)) * price(c);
        if (!c->fixed && c->count < c->wanted && c->cost <= room && claim < smallest) {
            smallest = claim;
            who = c;
        }
    }
    if (who)
        who->count++;
    return who != NULL;
}

void budget_divide(struct budget_claim *claims, uint32_t count, double rate_max)
{
    double most = rate_max * (1 + HAIR);
    for (uint32_t n = 0; n < count; n++)
        claims[n].wanted = claims[n].count;
    for (int above_min = 1; above_min >= 0 && total(claims, count) > most; above_min--) {
        cut_to_level(claims, count, above_min, most);
        while (total(claims, count) > most && cut_one(claims, count, above_min))
            ;
    }
    while (give_back_one(claims, count, most))
        ;
}
