/* Least connections: the fewest requests in flight per weight; those that tie take turns. */
#include "balance/balance_int.h"

static int pick(struct balance *b, const struct balance_request *r)
{
    int best = BALANCE_NONE;
    size_t i = b->next < b->count ? b->next : 0;
    for (size_t step = 0; step < b->count; step++, i = i + 1 < b->count ? i + 1 : 0) {
        if (!balance_may(b, i, r))
            continue;
        if (best == BALANCE_NONE || balance_less_loaded(b, i, (size_t)best, r->now_us))
            best = (int)i;
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
