/* The elasticity metrics of the SPEC research group, a step at a time. It knows steps, not how they
 * came about. */
#include "sim/score.h"

#include <math.h>

#include "base/util.h"

static int sign(double x)
{
    return (x > 0) - (x < 0);
}

void score_begin(struct score_meter *m)
{
    *m = (struct score_meter){ 0 };
}

/* Demand and supply seldom change, and what did not change is not apart. */
static void compare_moves(struct score_meter *m, double dt_s, double demand, double supply)
{
    if (demand == m->demand_before && supply == m->supply_before)
        return;
    if (m->steps > 0) {
        if (sign(supply - m->supply_before) != sign(demand - m->demand_before))
            m->apart += dt_s;
        m->demand_changes += fabs(demand - m->demand_before);
        m->supply_changes += fabs(supply - m->supply_before);
    }
    m->demand_before = demand;
    m->supply_before = supply;
}

void score_step(struct score_meter *m, double dt_s, double demand, double supply)
{
    double missing = demand - supply;
    if (missing > 0) {
        m->area_under += missing * dt_s;
        m->under_time += dt_s;
        m->under += demand > 0 ? missing / demand * dt_s : 0;
    } else if (missing < 0) {
        m->area_over -= missing * dt_s;
        m->over_time += dt_s;
        m->over -= demand > 0 ? missing / demand * dt_s : 0;
    }
    compare_moves(m, dt_s, demand, supply);
    m->score.seconds += dt_s;
    m->steps++;
}

void score_end(struct score_meter *m, struct score *ret)
{
    struct score *s = &m->score;
    double t = s->seconds;
    if (s->requests > 0)
        s->violations = (s->waited + s->refused) / s->requests;
    if (m->ready_s > 0)
        s->mean_utilisation = m->busy_s / m->ready_s;
    if (m->steps > 0) {
        s->theta_u = 100 * m->under / t;
        s->theta_o = 100 * m->over / t;
        s->tau_u = 100 * m->under_time / t;
        s->tau_o = 100 * m->over_time / t;
        s->bungee_u = m->area_under / t;
        s->bungee_o = m->area_over / t;
        s->jitter = 60 * (m->supply_changes - m->demand_changes) / t;
    }
    if (m->steps > 1)
        s->upsilon = 100 * m->apart / (t - t / (double)m->steps);
    *ret = *s;
}

#define FLOOR_PERCENT 0.1

double score_speedup(const struct score *fixed, const struct score *s, double ret_ratios[4])
{
    const double without[] = { fixed->theta_u, fixed->theta_o, fixed->tau_u, fixed->tau_o };
    const double with[] = { s->theta_u, s->theta_o, s->tau_u, s->tau_o };
    double product = 1;
    for (int n = 0; n < 4; n++) {
        ret_ratios[n] = MAX(without[n], FLOOR_PERCENT) / MAX(with[n], FLOOR_PERCENT);
        product *= ret_ratios[n];
    }
    return sqrt(sqrt(product));
}

const char *score_help_short(void)
{
    return "d = the least count that serves the load, s = the ready count, over a time of T:\n"
           "theta_U, theta_O = 100/T * sum of max(d - s, 0) / d * dt, of max(s - d, 0) / d * dt; "
           "tau_U, tau_O =\n"
           "100/T * time with d > s, with s > d; upsilon = 100/(T - dt) * time, from the second "
           "step on, in\n"
           "which s and d change differently; acc_U, acc_O = 1/T * sum of max(d - s, 0) * dt, of\n"
           "max(s - d, 0) * dt; jitter = (changes of s - of d) / T; UTIL = work done / work that "
           "the "
           "ready\n"
           "instances could have done.\n"
           "Herbst et al., ACM TOMPECS 3(4), 2018; --legend says it at length.\n";
}

const char *score_help(void)
{
    return "violations  requests that waited longer than the SLO allows, or were refused, of all\n"
           "hours       instance-hours: every second of an instance from its start order to its\n"
           "            stop, the boot included\n"
           "moves       changes of the desired count\n"
           "UTIL        work that was done, of what the ready instances could have done, over the\n"
           "            whole run\n"
           "d, s        demand (the least count that serves the load of a step of dt s) and "
           "supply\n"
           "            (the ready count), over T s in n steps\n"
           "theta_U     100/T * sum of max(d - s, 0) / d * dt: instances missing, % of demand\n"
           "theta_O     100/T * sum of max(s - d, 0) / d * dt: instances too many, % of demand\n"
           "tau_U       100/T * sum of dt where d > s: time with too few, %\n"
           "tau_O       100/T * sum of dt where s > d: time with too many, %; near 100 for all "
           "that\n"
           "            keep headroom\n"
           "upsilon     100/(T - dt) * sum of dt from the second step on where sgn(s change) and\n"
           "            sgn(d change) differ: instability, %\n"
           "acc_U/O     1/T * sum of max(d - s, 0) * dt, max(s - d, 0) * dt: in instances "
           "(BUNGEE)\n"
           "jitter      (changes of s - changes of d) / T, a change by 3 counting 3: a minute\n"
           "            (BUNGEE)\n"
           "speedup     (theta_U'/theta_U * theta_O'/theta_O * tau_U'/tau_U * tau_O'/tau_O)^(1/4), "
           "'\n"
           "            of a fixed fleet (static_mean, else static_peak, when it takes part), "
           "each\n"
           "            at least 0.1 %: says nothing without hours and violations beside it\n"
           "theta, tau, upsilon: Herbst et al., ACM TOMPECS 3(4), 2018. Others divide theta_O by "
           "s,\n"
           "or do not divide: compare only what was computed alike.\n";
}
