/* One instance's life: the table of allowed moves, and the one function that makes them. Says
 * nothing on when to move: that is control's. */
#include "base/util.h"
#include "core/model.h"

#include <assert.h>

static const uint16_t move_ok[INSTANCE_STATE_MAX] = {
    [INSTANCE_PENDING] = BIT(INSTANCE_STARTING) | BIT(INSTANCE_GONE),
    [INSTANCE_STARTING] = BIT(INSTANCE_WARMING) | BIT(INSTANCE_READY) | BIT(INSTANCE_STOPPING) |
                          BIT(INSTANCE_STANDBY) | BIT(INSTANCE_DRAINING) | BIT(INSTANCE_GONE),
    [INSTANCE_WARMING] =
        BIT(INSTANCE_READY) | BIT(INSTANCE_STOPPING) | BIT(INSTANCE_DRAINING) | BIT(INSTANCE_GONE),
    [INSTANCE_READY] = BIT(INSTANCE_FAILING) | BIT(INSTANCE_DRAINING) | BIT(INSTANCE_GONE),
    [INSTANCE_FAILING] = BIT(INSTANCE_READY) | BIT(INSTANCE_DRAINING) | BIT(INSTANCE_GONE),
    [INSTANCE_STANDBY] =
        BIT(INSTANCE_READY) | BIT(INSTANCE_STOPPING) | BIT(INSTANCE_DRAINING) | BIT(INSTANCE_GONE),
    [INSTANCE_DRAINING] = BIT(INSTANCE_STOPPING) | BIT(INSTANCE_GONE),
    [INSTANCE_STOPPING] = BIT(INSTANCE_GONE),
    [INSTANCE_GONE] = BIT(INSTANCE_PENDING),
};

void instance_move(struct instance *i, enum instance_state to, int64_t now_us)
{
    assert(i->state < INSTANCE_STATE_MAX && to < INSTANCE_STATE_MAX);
    assert(move_ok[i->state] & BIT(to));
    i->state = to;
    i->state_us = now_us;
    if (to == INSTANCE_READY && i->ready_us == 0)
        i->ready_us = now_us;
}

bool instance_counts(const struct instance *i)
{
    return i->state <= INSTANCE_STANDBY && !i->asked;
}

bool instance_awaits(const struct instance *i)
{
    return i->state == INSTANCE_STOPPING ||
           (i->state <= INSTANCE_STANDBY && (i->asked || i->resizing != 0));
}

bool instance_outdated(const struct instance *i, uint64_t template)
{
    if (!instance_counts(i) || i->state == INSTANCE_PENDING || i->protected_)
        return false;
    return i->replace || i->template != template;
}
