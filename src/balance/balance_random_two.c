/* The power of two choices: of two drawn at random, the less loaded one (Mitzenmacher, "The power
 * of two choices in randomized load balancing", 2001). Many loops that choose without talking to
 * each other do not all run to the same instance. */
#include "balance/balance_int.h"
#include "base/util.h"

/* After so many draws of candidates that are not to be had, look at all of them. */
#define DRAWS_MAX 16

/* Each by its weight in one walk: exact, but over all candidates. */
static int draw_from_all(const struct balance *b, const struct balance_request *r, struct rng *rng,
                         int but)
{
    uint64_t sum = 0;
    int drawn = BALANCE_NONE;
    for (size_t i = 0; i < b->count; i++) {
        if ((int)i == but || !balance_may(b, i, r))
            continue;
        uint32_t weight = balance_weight(b, i, r->now_us);
        sum += weight;
        if (rng_below(rng, sum) < weight)
            drawn = (int)i;
    }
    return drawn;
}

/* A candidate other than `but`, or BALANCE_NONE. A draw counts as often as the candidate's weight,
 * slow start included, is of the largest one's. */
static int draw(const struct balance *b, const struct balance_request *r, struct rng *rng, int but)
{
    uint64_t full = (uint64_t)MAX(b->weight_max, 1u) * BALANCE_SHARE_FULL;
    for (int n = 0; n < DRAWS_MAX; n++) {
        size_t i = rng_below(rng, b->count);
        if ((int)i != but && balance_may(b, i, r) &&
            rng_below(rng, full) < balance_weight(b, i, r->now_us))
            return (int)i;
    }
    return draw_from_all(b, r, rng, but);
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
