/* What the baselines of the research share: once a minute they see the mean load of that minute,
 * as a number of servers. */
#pragma once

#include <math.h>

#include "sim/peers/peer.h"

#define RESEARCH_TICK_US (60 * INT64_C(1000000))
#define RESEARCH_TICK_S 60.0
#define RESEARCH_HEADROOM 2

struct research {
    struct peer p;
    struct peer_mean arrivals;
};

/* True once a minute, with that minute's load in servers. */
static inline bool research_due(struct research *r, const struct policy_view *v, double *ret_load)
{
    peer_mean_add(&r->arrivals, v, v->arrivals);
    if (!peer_due(v, RESEARCH_TICK_US))
        return false;
    *ret_load = peer_mean_take(&r->arrivals) / r->p.setup.capacity;
    return true;
}
