/* The list of algorithms, and what they share: who may be chosen, and at which weight. It keeps no
 * counts of its own: in-flight requests are read from the gauges. */
#include "balance/balance_int.h"

#include <assert.h>

#include "base/us.h"
#include "base/util.h"

const struct balance_ops *const balance_all[] = {
    &balance_round_robin, &balance_weighted_round_robin,
    &balance_least_conn,  &balance_random_two,
    &balance_ip_hash,     NULL,
};

const struct balance_ops *balance_find(struct slice name)
{
    for (size_t i = 0; balance_all[i]; i++)
        if (slice_eq(slice_of(balance_all[i]->name), name))
            return balance_all[i];
    return NULL;
}

/* Candidates come in the order of their numbers, so one walk along both arrays is enough. Where
 * they do not, turns are lost and nothing else. */
static void inherit_turns(struct balance *b, const struct balance *old)
{
    size_t j = 0;
    for (size_t i = 0; i < b->count; i++) {
        while (j < old->count && old->candidates[j].number < b->candidates[i].number)
            j++;
        if (j < old->count && old->candidates[j].number == b->candidates[i].number)
            b->candidates[i].current = old->candidates[j].current;
    }
}

/* The first candidate not before the one whose turn it was. */
static size_t inherit_position(const struct balance *b, const struct balance *old)
{
    if (old->next >= old->count)
        return 0;
    for (size_t i = 0; i < b->count; i++)
        if (b->candidates[i].number >= old->candidates[old->next].number)
            return i;
    return 0;
}

void balance_prepare(struct balance *b, const struct balance_ops *ops,
                     struct balance_candidate *candidates, size_t count, int64_t slow_start_us,
                     const struct balance *old)
{
    assert(count <= BALANCE_CANDIDATES_MAX);
    struct balance fresh = {
        .ops = ops,
        .candidates = candidates,
        .count = count,
        .slow_start_us = slow_start_us,
    };
    for (size_t i = 0; i < count; i++) {
        candidates[i].current = 0;
        fresh.weight_max = MAX(fresh.weight_max, candidates[i].weight);
    }
    if (old && old->ops == ops && old->candidates) {
        inherit_turns(&fresh, old);
        fresh.next = inherit_position(&fresh, old);
    }
    *b = fresh;
}

int balance_pick(struct balance *b, const struct balance_request *r)
{
    return b->count > 0 ? b->ops->pick(b, r) : BALANCE_NONE;
}

uint32_t balance_share(const struct balance *b, size_t i, int64_t now_us)
{
    if (b->slow_start_us <= 0)
        return BALANCE_SHARE_FULL;
    int64_t elapsed_us = us_sub(now_us, b->candidates[i].ready_us);
    if (elapsed_us >= b->slow_start_us)
        return BALANCE_SHARE_FULL;
    const uint32_t start = BALANCE_SHARE_FULL / 10;
    double grown = (double)MAX(elapsed_us, 0) / (double)b->slow_start_us;
    return start + (uint32_t)(grown * (BALANCE_SHARE_FULL - start));
}
