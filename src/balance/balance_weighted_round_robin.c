/* Smooth weighted round-robin, as nginx does it: everyone earns its weight, the richest is chosen
 * and pays the sum of what was earned. Turns come in proportion to weight and well mixed, not in
 * runs. */
#include "balance/balance_int.h"

static int pick(struct balance *b, const struct balance_request *r)
{
    int best = BALANCE_NONE;
    int64_t total = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (!balance_may(b, i, r))
            continue;
        uint32_t weight = balance_weight(b, i, r->now_us);
        b->candidates[i].current += weight;
        total += weight;
        if (best == BALANCE_NONE || b->candidates[i].current > b->candidates[best].current)
            best = (int)i;
    }
    if (best != BALANCE_NONE)
        b->candidates[best].current -= total;
    return best;
}

const struct balance_ops balance_weighted_round_robin = {
    .name = "weighted-round-robin",
    .help = "in turn, in proportion to weight",
    .pick = pick,
};
