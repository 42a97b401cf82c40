/* Three points and the lines through them. It must never remember what a newer measurement has
 * shown to be wrong, and knows nothing of counts but how far away a measurement is. */
#include "core/carry.h"

#include <math.h>
#include <stdbool.h>

#include "base/util.h"

/* Loads that differ by less are the same; by less than the second, they are near. */
#define SAME_LOAD 0.05
#define NEAR_LOAD 0.15
/* A latency that falls to this at the same load is another program. */
#define QUICKER 0.7
#define QUICKER_TIMES 3 /* in a row: once may be chance */
#define SETTLING 3
#define RISING 1.15 /* latency that grows by less may be noise */
/* What is known of four instances says little of forty, since a larger pool waits less. The load
 * tells which it takes: at one that stays the same nothing may be forgotten. */
#define OTHER_LOAD 2
#define REACH_MAX 2
#define REACH_BAD 0.9 /* of what was too much */
#define FAR_TOO_MUCH 2
#define STEP_LEAST 0.5
#define STEP_MOST 0.95

static bool known(const struct carry_point *p)
{
    return p->rate_per_s > 0;
}

static bool near_load(double a, double b)
{
    return fabs(a - b) <= NEAR_LOAD * b;
}

static void forget_bad(struct carry *c)
{
    c->bad = c->after_bad = (struct carry_point){ 0 };
    c->bad_ready = c->after_count = c->quicker = 0;
}

/* Has the same load become so much quicker since `bad` that it says nothing any more? The first
 * measurements after it may still show its backlog. */
static bool is_another_program(struct carry *c, const struct carry_point *p)
{
    if (c->after_count < SETTLING) {
        c->after_count++;
        c->after_bad = *p;
        return false;
    }
    bool quicker = near_load(p->rate_per_s, c->after_bad.rate_per_s) &&
                   p->latency_s < c->after_bad.latency_s * QUICKER;
    c->quicker = quicker ? c->quicker + 1 : 0;
    return c->quicker == QUICKER_TIMES;
}

/* Where the same load is now fine and now not there is the edge, and good is just below it. */
static void stay_below_bad(struct carry *c)
{
    if (known(&c->bad))
        c->good.rate_per_s = MIN(c->good.rate_per_s, c->bad.rate_per_s * (1 - SAME_LOAD));
}

static void learn_good(struct carry *c, const struct carry_point *p)
{
    if (p->rate_per_s >= c->good.rate_per_s * (1 - SAME_LOAD) || p->latency_s >= c->good.latency_s)
        c->good = *p;
    if (!known(&c->quiet) || p->rate_per_s <= c->quiet.rate_per_s * (1 + SAME_LOAD))
        c->quiet = *p;
    if (!known(&c->bad))
        return;
    if (c->good.rate_per_s > c->bad.rate_per_s * (1 + NEAR_LOAD) || is_another_program(c, p))
        forget_bad(c);
    stay_below_bad(c);
}

/* A good load that is now too much was no chance when it is clearly less, or far too much. */
static void learn_bad(struct carry *c, const struct carry_point *p, double target_s, int32_t ready)
{
    if (!known(&c->bad) || p->rate_per_s <= c->bad.rate_per_s) {
        forget_bad(c);
        c->bad = *p;
        c->bad_ready = ready;
    }
    double over = c->good.rate_per_s / p->rate_per_s;
    if (over > 1 + SAME_LOAD || (over > 1 && p->latency_s > target_s * FAR_TOO_MUCH))
        c->good = (struct carry_point){ 0 };
    stay_below_bad(c);
}

void carry_learn(struct carry *c, const struct carry_point *p, double target_s, int32_t ready)
{
    if (!(p->rate_per_s > 0 && p->latency_s > 0))
        return;
    double load = p->rate_per_s * ready, bad_load = c->bad.rate_per_s * (double)c->bad_ready;
    if (load > bad_load * OTHER_LOAD || load * OTHER_LOAD < bad_load)
        forget_bad(c);
    if (p->latency_s <= target_s)
        learn_good(c, p);
    else
        learn_bad(c, p, target_s, ready);
}

/* Where the line from a to b, of the inverse of latency, meets that of `goal_s`. */
static double line_meets(const struct carry_point *a, const struct carry_point *b, double goal_s)
{
    double share = (1 / a->latency_s - 1 / goal_s) / (1 / a->latency_s - 1 / b->latency_s);
    return a->rate_per_s + (b->rate_per_s - a->rate_per_s) * share;
}

/* As far as the line from the lightest load through the highest good one keeps within `goal_s`, not
 * beyond twice that, and not near what was too much. */
static double ahead(const struct carry *c, double goal_s)
{
    const struct carry_point *quiet = &c->quiet, *good = &c->good;
    bool apart = known(quiet) && quiet->rate_per_s < good->rate_per_s * (1 - 2 * SAME_LOAD);
    bool rising = apart && quiet->latency_s * RISING < good->latency_s;
    double most = good->rate_per_s * REACH_MAX;
    if (known(&c->bad))
        most = MIN(most, c->bad.rate_per_s * REACH_BAD);
    return rising ? CLAMP(line_meets(quiet, good, goal_s), 0, most) : most;
}

double carry_limit(const struct carry *c, double goal_s)
{
    const struct carry_point *good = &c->good, *bad = &c->bad;
    if (!known(bad))
        return INFINITY;
    if (!known(good))
        return bad->rate_per_s * CLAMP(goal_s / bad->latency_s, STEP_LEAST, STEP_MOST);
    double between = bad->latency_s > good->latency_s ? line_meets(good, bad, goal_s) : 0;
    return MAX(good->rate_per_s, MAX(MIN(between, bad->rate_per_s * STEP_MOST), ahead(c, goal_s)));
}

double carry_reach(const struct carry *c, double goal_s, double try_below_s)
{
    if (!known(&c->good))
        return known(&c->bad) ? carry_limit(c, goal_s) : 0;
    return c->good.latency_s > try_below_s ? 0 : ahead(c, goal_s);
}

static void check(struct carry_point *p)
{
    if (!(p->rate_per_s > 0 && isfinite(p->rate_per_s) && p->latency_s > 0 &&
          isfinite(p->latency_s)))
        *p = (struct carry_point){ 0 };
}

void carry_check(struct carry *c)
{
    check(&c->quiet);
    check(&c->good);
    check(&c->bad);
    check(&c->after_bad);
    if (known(&c->good) && known(&c->bad) && c->good.rate_per_s >= c->bad.rate_per_s)
        forget_bad(c);
    if (c->bad_ready < 0 || c->bad_ready > INT32_MAX || c->quicker < 0 ||
        c->quicker > QUICKER_TIMES || c->after_count < 0 || c->after_count > SETTLING)
        forget_bad(c);
}
