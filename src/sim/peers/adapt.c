/* Adapt: follows the load's changes, scaled by how well the capacity was used so far; quick to add,
 * 15 times slower to release. Source: Ali-Eldin, Tordsson, Elmroth, "An adaptive hybrid elasticity
 * controller for cloud infrastructures", NOMS 2012, and its authors' code. What of that is
 * ambiguous is read as: the result is added to the count, and never leaves less than the need + 2
 * when it releases; with nothing to do in advance and no need above the count it holds. */
#include "sim/peers/research.h"

#define SLOWER_IN 15
#define SHARE_CHANGED 0.01 /* of the servers: when the next estimate is due */

struct adapt {
    struct research r;
    double sum_servers, sum_load, ticks;
    double rate;   /* servers a tick */
    double repair; /* what is still to be done of it */
    double wait;   /* ticks until the next estimate */
};

static void *adapt_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct adapt), s);
}

static void estimate(struct adapt *a, double need, double servers)
{
    double mean_servers = a->sum_servers / a->ticks, used = a->sum_load / a->ticks;
    double gain = used / mean_servers;
    a->rate = gain * (need - servers);
    a->rate /= a->rate < 0 ? SLOWER_IN : RESEARCH_TICK_S;
    double wait = used > 0 ? ceil(SHARE_CHANGED * servers / used) : 1;
    a->wait = MAX(wait, 1);
}

static void control(struct adapt *a, double load)
{
    double servers = a->r.p.desired, need = ceil(load);
    a->sum_servers += servers;
    a->sum_load += MIN(load, servers);
    a->ticks++;
    if (--a->wait <= 0)
        estimate(a, need, servers);
    a->repair += a->rate;
    double whole = trunc(a->repair);
    a->repair -= whole;
    double want = servers + whole;
    if (need > servers) /* reactive */
        want = MAX(want, need + RESEARCH_HEADROOM);
    else if (whole < 0)
        want = MIN(servers, MAX(want, need + RESEARCH_HEADROOM));
    peer_want(&a->r.p, want, "load of %d servers, %d in advance", (int)need, (int)whole);
}

static void adapt_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct adapt *a = self;
    double load;
    if (research_due(&a->r, v, &load))
        control(a, load);
    peer_order(&a->r.p, fleet);
}

const struct policy_ops policy_adapt = {
    .name = "adapt",
    .help = "Ali-Eldin et al. 2012: proactive on the load's change, reactive + 2, every minute",
    .open = adapt_open,
    .step = adapt_step,
    PEER_OPS,
};
