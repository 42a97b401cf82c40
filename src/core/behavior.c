/* How fast the count may move. It owns HPA v2's stabilization windows and rate policies
 * (Kubernetes, pkg/controller/podautoscaler/horizontal.go: stabilizeRecommendationWithBehaviors,
 * calculateScaleUpLimitWithScalingRules and its kin) in bounded memory, and must not know why a
 * count was wanted.
 *   stabilized = clamp(current, min of up's window, max of down's window), both with `want`
 *   start of a policy's period = current - added + removed within it
 *   out: start + value, or ceil(start * (1 + value / 100)); in: start - value, or
 *   trunc(start * (1 - value / 100)); select takes the policy that allows most, or least, change.
 * A window is kept as 60 slices of which each remembers its extreme, so a recommendation may count
 * for up to a 60th of the window longer than it should, never shorter. Of more than
 * BEHAVIOR_EVENTS_MAX moves in one period the two oldest are taken as one at the later time. */
#include "core/behavior.h"

#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"

#define SLICES 60

/* -- stabilization ------------------------------------------------------------------------------
 */

static int32_t better(int32_t a, int64_t b, bool largest)
{
    return largest ? (int32_t)MAX(a, b) : (int32_t)MIN(a, b);
}

/* A slice counts until its last instant has left the window. */
static int64_t slice_leaves_us(int64_t slice, int64_t slice_us, int64_t window_us)
{
    return us_add(us_mul(slice + 1, slice_us), window_us);
}

/* Adds `want` and returns the extreme of the window; `seed` stands for the time before anything was
 * known. `ret_next_us` becomes the time at which the first slice leaves, if that is sooner. */
static int32_t history_put(struct behavior_history *h, int64_t window_us, bool largest,
                           int64_t now_us, int32_t seed, int32_t want, int64_t *ret_next_us)
{
    if (window_us <= 0) {
        memset(h, 0, sizeof(*h));
        return want;
    }
    int64_t slice_us = MAX(window_us / SLICES, 1), slice = now_us / slice_us + 1;
    int32_t newest = want, best = want;
    if (h->slice_us != slice_us) { /* the first time, or another window than before */
        memset(h, 0, sizeof(*h));
        h->slice_us = slice_us;
        newest = best = better(want, seed, largest);
    }
    for (uint32_t i = 0; i < BEHAVIOR_BUCKETS; i++) {
        int64_t leaves_us = slice_leaves_us(h->bucket[i].slice - 1, slice_us, window_us);
        if (h->bucket[i].slice == 0 || leaves_us <= now_us || h->bucket[i].slice > slice)
            continue;
        best = better(best, h->bucket[i].count, largest);
        if (h->bucket[i].slice == slice)
            newest = better(newest, h->bucket[i].count, largest);
        else
            *ret_next_us = MIN(*ret_next_us, leaves_us);
    }
    h->bucket[slice % BEHAVIOR_BUCKETS].slice = slice;
    h->bucket[slice % BEHAVIOR_BUCKETS].count = newest;
    if (newest != want)
        *ret_next_us = MIN(*ret_next_us, slice_leaves_us(slice - 1, slice_us, window_us));
    return best;
}

static int32_t stabilize(const struct behavior_conf *conf, struct behavior_state *state,
                         int64_t now_us, int32_t current, int32_t want, int64_t *ret_next_us)
{
    int64_t up_us = US_NEVER, down_us = US_NEVER;
    int32_t low =
        history_put(&state->lowest, conf->up.stabilize_us, false, now_us, current, want, &up_us);
    int32_t high = history_put(&state->highest, conf->down.stabilize_us, true, now_us, current,
                               want, &down_us);
    int32_t stable = current < low ? low : current > high ? high : current;
    if (stable != want)
        *ret_next_us = want > stable ? up_us : down_us;
    return stable;
}

/* -- rate policies ------------------------------------------------------------------------------
 */

static int64_t moved_within(const struct behavior_moves *m, int64_t period_us, int64_t now_us)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < m->count; i++)
        if (us_add(m->move[i].at_us, period_us) > now_us)
            sum += m->move[i].change;
    return sum;
}

static int64_t first_leaves_us(const struct behavior_moves *m, int64_t period_us, int64_t now_us)
{
    for (int64_t i = 0; i < m->count; i++)
        if (us_add(m->move[i].at_us, period_us) > now_us)
            return us_add(m->move[i].at_us, period_us);
    return US_NEVER;
}

static int64_t policy_limit(const struct behavior_policy *p, int64_t start, bool up)
{
    if (!p->percent)
        return up ? start + p->value : start - p->value;
    double share = (double)start * p->value / 100;
    return up ? (int64_t)ceil((double)start + share) : (int64_t)((double)start - share);
}

/* The furthest count that one direction allows; `ret_next_us` becomes when it may allow more. */
static int32_t rate_limit(const struct behavior_direction *d, const struct behavior_state *state,
                          bool up, int64_t now_us, int32_t current, int64_t *ret_next_us)
{
    if (d->select == BEHAVIOR_DISABLED)
        return current;
    if (d->policy_count == 0)
        return up ? INT32_MAX : 0;
    bool furthest = (d->select == BEHAVIOR_MAX_CHANGE) == up; /* the larger count is chosen */
    int64_t limit = furthest ? INT64_MIN : INT64_MAX;
    for (uint32_t i = 0; i < d->policy_count; i++) {
        const struct behavior_policy *p = &d->policy[i];
        int64_t start = current - moved_within(&state->up, p->period_us, now_us) +
                        moved_within(&state->down, p->period_us, now_us);
        int64_t one = policy_limit(p, MAX(start, 0), up);
        limit = furthest ? MAX(limit, one) : MIN(limit, one);
        int64_t leaves_us = first_leaves_us(up ? &state->up : &state->down, p->period_us, now_us);
        *ret_next_us = MIN(*ret_next_us, leaves_us);
    }
    /* What has already gone beyond the limit is not taken back. */
    return (int32_t)(up ? CLAMP(limit, current, INT32_MAX) : CLAMP(limit, 0, current));
}

void behavior_moved(struct behavior_state *state, int64_t now_us, int32_t from, int32_t to)
{
    if (from == to)
        return;
    struct behavior_moves *m = to > from ? &state->up : &state->down;
    int64_t change = to > from ? (int64_t)to - from : (int64_t)from - to;
    if (m->count == BEHAVIOR_EVENTS_MAX) {
        m->move[1].change += m->move[0].change;
        memmove(&m->move[0], &m->move[1], sizeof(m->move[0]) * (BEHAVIOR_EVENTS_MAX - 1));
        m->count--;
    }
    m->move[m->count].at_us = now_us;
    m->move[m->count].change = change;
    m->count++;
}

/* -- both ---------------------------------------------------------------------------------------
 */

static void explain(const struct behavior_conf *conf, int32_t current, int32_t want,
                    struct behavior_result *ret)
{
    char window[40];
    if (ret->stabilized != want) {
        bool up = want > ret->stabilized;
        num_format_duration(window, sizeof(window),
                            up ? conf->up.stabilize_us : conf->down.stabilize_us);
        fmt(ret->stabilize_text, sizeof(ret->stabilize_text), "%s wanted within the last %s",
            up ? "fewer were" : "more were", window);
    }
    if (ret->limited == ret->stabilized)
        return;
    bool up = ret->stabilized > current;
    const struct behavior_direction *d = up ? &conf->up : &conf->down;
    if (d->select == BEHAVIOR_DISABLED)
        fmt(ret->limit_text, sizeof(ret->limit_text), "scaling %s is switched off",
            up ? "out" : "in");
    else
        fmt(ret->limit_text, sizeof(ret->limit_text), "behavior allows at %s %d for now",
            up ? "most" : "least", ret->limited);
}

void behavior_apply(const struct behavior_conf *conf, struct behavior_state *state, int64_t now_us,
                    int32_t current, int32_t want, struct behavior_result *ret)
{
    *ret = (struct behavior_result){ .next_us = US_NEVER };
    int64_t stable_us = US_NEVER, rate_us = US_NEVER;
    ret->stabilized = stabilize(conf, state, now_us, current, want, &stable_us);
    ret->limited = ret->stabilized;
    if (ret->stabilized > current)
        ret->limited =
            MIN(ret->stabilized, rate_limit(&conf->up, state, true, now_us, current, &rate_us));
    else if (ret->stabilized < current)
        ret->limited =
            MAX(ret->stabilized, rate_limit(&conf->down, state, false, now_us, current, &rate_us));
    ret->next_us = stable_us;
    if (ret->limited != ret->stabilized)
        ret->next_us = MIN(ret->next_us, rate_us);
    explain(conf, current, want, ret);
}
