/* Round-robin: each in turn, whatever its weight. A candidate in slow start earns a share of a turn
 * each time the walk passes it, and takes the turn once it has earned a whole one. */
#include "balance/balance_int.h"

/* The smallest share is a tenth: after ten times round, the first candidate has earned its turn. */
#define ROUNDS_MAX 10

static int pick(struct balance *b, const struct balance_request *r)
{
    bool any = false;
    for (size_t step = 0; step < b->count * ROUNDS_MAX; step++) {
        if (step == b->count && !any)
            break;
        size_t i = b->next;
        b->next = i + 1 < b->count ? i + 1 : 0;
        if (!balance_may(b, i, r))
            continue;
        any = true;
        struct balance_candidate *c = &b->candidates[i];
        c->current += balance_share(b, i, r->now_us);
        if (c->current >= BALANCE_SHARE_FULL) {
            c->current -= BALANCE_SHARE_FULL;
            return (int)i;
        }
    }
    return BALANCE_NONE;
}

const struct balance_ops balance_round_robin = {
    .name = "round-robin",
    .help = "each instance in turn",
    .pick = pick,
};
