/* React: two more than the load needs, back to that when there are more than two too many. Source:
 * Chieu et al., "Dynamic scaling of web applications in a virtualized cloud computing environment",
 * ICEBE 2009, after the code of a comparison by others; that releases two more than it should (two
 * below the need), which is mended here. */
#include "sim/peers/research.h"

static void *react_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct research), s);
}

static void react_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct research *r = self;
    double load;
    if (research_due(r, v, &load)) {
        double missing = load - r->p.desired;
        if (missing >= 0 || missing < -RESEARCH_HEADROOM)
            peer_want(&r->p, ceil(load) + RESEARCH_HEADROOM, "load of %d servers, and 2 more",
                      (int)ceil(load));
    }
    peer_order(&r->p, fleet);
}

const struct policy_ops policy_react = {
    .name = "react",
    .help = "Chieu et al. 2009: the need + 2, every minute",
    .open = react_open,
    .step = react_step,
    PEER_OPS,
};
