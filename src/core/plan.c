/* Desired against observed. Knows counts, the order of victims, and how old instances give way to
 * new ones; never when to act, which is the caller's: it asks until nothing is left to do.
 *
 * Replacing works without a phase of its own. Fresh instances are those that may stay. There are to
 * be `wanted` of them; while old ones remain, `surge` more than wanted may exist in all; and of the
 * old ones as many may stay as fresh ones are not ready yet. So each old one leaves when a fresh
 * one is ready in its place, and ready ones never fall below what is wanted. */
#include "core/plan.h"

#include "base/util.h"
#include "core/model.h"

struct tally {
    int32_t counted, fresh, fresh_ready, outdated;
    bool has_pending, has_free;
    uint32_t pending, free; /* the lowest number, the first slot */
};

static bool is_outdated(const struct plan_input *in, const struct instance *i)
{
    return !in->engine_chooses && instance_outdated(i, in->template);
}

static void tally_up(const struct plan_input *in, struct tally *ret)
{
    struct tally t = { 0 };
    for (uint32_t n = 0; n < in->instance_count; n++) {
        const struct instance *i = &in->instances[n];
        if (i->state == INSTANCE_GONE && !t.has_free) {
            t.has_free = true;
            t.free = n;
        }
        if (!instance_counts(i))
            continue;
        t.counted++;
        if (is_outdated(in, i)) {
            t.outdated++;
            continue;
        }
        t.fresh++;
        t.fresh_ready += i->state == INSTANCE_READY;
        if (i->state != INSTANCE_PENDING)
            continue;
        if (!t.has_pending || i->number < in->instances[t.pending].number)
            t.pending = n;
        t.has_pending = true;
    }
    if (!t.has_free && in->instance_count < in->slot_count) {
        t.has_free = true;
        t.free = in->instance_count;
    }
    *ret = t;
}

/* Which state goes first: the less it serves, the sooner. */
static unsigned rank_of(const struct instance *i)
{
    static const uint8_t rank[INSTANCE_STATE_MAX] = {
        [INSTANCE_PENDING] = 0, [INSTANCE_STARTING] = 1, [INSTANCE_WARMING] = 2,
        [INSTANCE_STANDBY] = 3, [INSTANCE_FAILING] = 4,  [INSTANCE_READY] = 5,
    };
    return rank[i->state];
}

static double in_flight_of(const struct instance *i)
{
    return i->sample_us[METRIC_CONCURRENCY] > 0 ? i->sample[METRIC_CONCURRENCY] : 0;
}

static bool goes_before(const struct instance *a, const struct instance *b)
{
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b);
    if (in_flight_of(a) != in_flight_of(b))
        return in_flight_of(a) < in_flight_of(b);
    return a->number > b->number;
}

static bool may_go(const struct plan_input *in, const struct instance *i, bool outdated)
{
    if (!instance_counts(i))
        return false;
    if (in->leaving)
        return true;
    return !i->protected_ && is_outdated(in, i) == outdated;
}

static bool pick_victim(const struct plan_input *in, bool outdated, struct plan_move *ret)
{
    const struct instance *victim = NULL;
    for (uint32_t n = 0; n < in->instance_count; n++) {
        const struct instance *i = &in->instances[n];
        if (may_go(in, i, outdated) && (!victim || goes_before(i, victim)))
            victim = i;
    }
    if (!victim)
        return false;
    ret->index = (uint32_t)(victim - in->instances);
    if (victim->state == INSTANCE_PENDING)
        ret->type = PLAN_DROP;
    else if (!in->engine_chooses &&
             (victim->state == INSTANCE_READY || victim->state == INSTANCE_FAILING))
        ret->type = PLAN_DRAIN;
    else
        ret->type = PLAN_STOP;
    return true;
}

void plan_next(const struct plan_input *in, struct plan_move *ret)
{
    struct tally t;
    tally_up(in, &t);
    *ret = (struct plan_move){ PLAN_NOTHING, 0 };
    if (in->leaving) {
        pick_victim(in, false, ret);
        return;
    }
    if (t.fresh > in->wanted && pick_victim(in, false, ret))
        return;
    if (t.outdated > MAX(0, in->wanted - t.fresh_ready) && pick_victim(in, true, ret))
        return;
    if (t.fresh < in->wanted && t.counted < in->wanted + MAX(in->surge, 1) && t.has_free)
        *ret = (struct plan_move){ PLAN_CREATE, t.free };
    else if (t.has_pending && in->may_start)
        *ret = (struct plan_move){ PLAN_LAUNCH, t.pending };
}
