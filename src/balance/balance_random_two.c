/* The power of two choices: of two drawn at random, the less loaded one (Mitzenmacher, "The power
 * of two choices in randomized load balancing", 2001). Many loops that choose without talking to
 * each other do not all run to the same instance. */
#include "balance/balance_int.h"

/* After so many draws of candidates that may not be chosen, search in order instead. */
#define DRAWS_MAX 16

/* A candidate other than `but`, or BALANCE_NONE. In slow start a draw counts as often as the share
 * of weight is large. */
static int draw(const struct balance *b, const struct balance_request *r, struct rng *rng, int but)
{
    size_t i = 0;
    for (int n = 0; n < DRAWS_MAX; n++) {
        i = rng_below(rng, b->count);
        if ((int)i != but && balance_may(b, i, r) &&
            rng_below(rng, BALANCE_SHARE_FULL) < balance_share(b, i, r->now_us))
            return (int)i;
    }
    for (size_t step = 0; step < b->count; step++, i = i + 1 < b->count ? i + 1 : 0)
        if ((int)i != but && balance_may(b, i, r))
            return (int)i;
    return BALANCE_NONE;
}

static int pick(struct balance *b, const struct balance_request *r)
{
    struct rng rng;
    rng_init(&rng, r->random);
    int first = draw(b, r, &rng, BALANCE_NONE);
    if (first == BALANCE_NONE || b->count == 1)
        return first;
    int second = draw(b, r, &rng, first);
    if (second == BALANCE_NONE)
        return first;
    return balance_less_loaded(b, (size_t)second, (size_t)first, r->now_us) ? second : first;
}

const struct balance_ops balance_random_two = {
    .name = "random-two",
    .help = "the less loaded of two drawn at random",
    .pick = pick,
};
