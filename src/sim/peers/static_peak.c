/* A fleet that never changes, of a person who knows the peak of the load. */
#include "sim/fluid.h"
#include "sim/peers/peer.h"

static void *peak_open(const struct policy_setup *s)
{
    struct peer *p = peer_open(sizeof(*p), s);
    if (p)
        peer_want(p, fluid_count(trace_peak(s->future), s->capacity), "for the highest load");
    return p;
}

static void peak_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    peer_order(self, fleet);
}

const struct policy_ops policy_static_peak = {
    .name = "static_peak",
    .help = "a fixed number: the highest load / capacity",
    .open = peak_open,
    .step = peak_step,
    PEER_OPS,
};
