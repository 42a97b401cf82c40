/* A fleet that never changes, of a person who knows the mean of the load. */
#include "sim/fluid.h"
#include "sim/peers/peer.h"

static void *mean_open(const struct policy_setup *s)
{
    struct peer *p = peer_open(sizeof(*p), s);
    if (p)
        peer_want(p, fluid_count(trace_mean(s->future), s->capacity), "for the mean load");
    return p;
}

static void mean_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    peer_order(self, fleet);
}

const struct policy_ops policy_static_mean = {
    .name = "static_mean",
    .help = "a fixed number: the mean load / capacity",
    .open = mean_open,
    .step = mean_step,
    PEER_OPS,
};
