/* Least connections: the fewest requests in flight per weight; those that tie take turns. */
#include "balance/balance_int.h"

static int pick(struct balance *b, const struct balance_request *r)
{
    int best = BALANCE_NONE;
    uint64_t best_load = 0, best_weight = 0;
    size_t i = b->next < b->count ? b->next : 0;
    for (size_t step = 0; step < b->count; step++, i = i + 1 < b->count ? i + 1 : 0) {
        if (!balance_may(b, i, r))
            continue;
        uint64_t load = balance_load(b, i), weight = balance_weight(b, i, r->now_us);
        if (best != BALANCE_NONE && load * best_weight >= best_load * weight)
            continue;
        best = (int)i;
        best_load = load;
        best_weight = weight;
        if (load == 0)
            break; /* nobody has fewer */
    }
    if (best != BALANCE_NONE)
        b->next = (size_t)best + 1 < b->count ? (size_t)best + 1 : 0;
    return best;
}

const struct balance_ops balance_least_conn = {
    .name = "least-conn",
    .help = "the fewest requests in flight and open tunnels for its weight",
    .pick = pick,
};
