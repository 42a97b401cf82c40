/* How well a run went: what users felt, what it cost, and the SPEC research group's elasticity
 * metrics (Herbst et al., "Quantifying Cloud Performance and Dependability", ACM TOMPECS 3(4),
 * 2018). Demand d is the least count that serves the load, supply s the ready count. */
#pragma once

#include <stdint.h>

struct score {
    double seconds;
    double requests, waited, refused; /* waited = longer than the SLO allows, but answered */
    double violations;                /* (waited + refused) / requests */
    double instance_hours;
    double cost, energy_kwh, co2_g;
    uint64_t moves;          /* changes of the desired count */
    double mean_utilisation; /* work done / work that the ready ones could have done */
    double latency_p50_s, latency_p95_s, latency_p99_s; /* RUN_REQUEST */
    /* Elasticity, see score_help(): shares in percent. */
    double theta_u, theta_o; /* accuracy: missing, superfluous instances in relation to demand */
    double tau_u, tau_o;     /* time share: of missing, of superfluous instances */
    double upsilon; /* instability: share of steps, from the second on, in which s and d change
                       differently */
    double bungee_u, bungee_o,
        jitter; /* accuracy in instances; changes a minute more than demand */
};

/* Fed a step at a time, all of `dt_s`. */
struct score_meter {
    struct score score;
    double under, over, under_time, over_time, apart, area_under, area_over, busy_s, ready_s;
    double demand_before, supply_before, demand_changes, supply_changes;
    uint64_t steps;
};

void score_begin(struct score_meter *m);
void score_step(struct score_meter *m, double dt_s, double demand, double supply);
void score_end(struct score_meter *m, struct score *ret);
/* How many times better than a fleet that never changes: the geometric mean of four ratios, each of
 * the fixed fleet's metric to this one's, no metric counting as less than 0.1 %. In *ret_ratios
 * they are of theta_U, theta_O, tau_U, tau_O. */
double score_speedup(const struct score *fixed, const struct score *s, double ret_ratios[4]);
/* The definitions, for people: at length, and as formulas alone. */
const char *score_help(void);
const char *score_help_short(void);
