/* How fast the count may move. It owns HPA v2's stabilization windows and rate policies
 * (Kubernetes, pkg/controller/podautoscaler/horizontal.go: stabilizeRecommendationWithBehaviors,
 * calculateScaleUpLimitWithScalingRules and its kin) in bounded memory, and must not know why a
 * count was wanted.
 *   stabilized = clamp(current, min of up's window, max of down's window), both with `want`
 *   start of a policy's period = current - added + removed within it
 *   out: start + value, or ceil(start * (1 + value / 100)); in: start - value, or
 *   trunc(start * (1 - value / 100)); select takes the policy that allows most, or least, change.
 * A window is kept as 60 slices of which each remembers its extreme, so a recommendation may count
 * for up to a 60th of the window longer than it should, never shorter; and of the slices only those
 * are kept that no later one outdoes, so that the first of them is the window's extreme (a
 * monotonic queue: Lemire, "Streaming maximum-minimum filter", 2006). Of more than
 * BEHAVIOR_MOVES_MAX moves in one period the two oldest are taken as one at the later time. */
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

static int64_t *item(struct behavior_history *h, int64_t n)
{
    return &h->item[(h->head + n) % BEHAVIOR_SLICES];
}

/* Every slice that is kept lies less than BEHAVIOR_SLICES before the newest. */
static int64_t slice_kept(const struct behavior_history *h, int64_t word)
{
    return h->newest - ((h->newest - word) & (BEHAVIOR_SLICES - 1));
}

static void drop_first(struct behavior_history *h)
{
    h->head = (h->head + 1) % BEHAVIOR_SLICES;
    h->count--;
}

/* What has left the window goes, and what the ring has no room for in the slice that begins. */
static void expire(struct behavior_history *h, int64_t window_us, int64_t now_us, int64_t slice)
{
    if (slice < h->newest) /* a state of another clock */
        h->count = 0;
    while (h->count > 0) {
        int64_t first = slice_kept(h, *item(h, 0));
        if (slice - first < BEHAVIOR_SLICES - 1 &&
            slice_leaves_us(first, h->slice_us, window_us) > now_us)
            break;
        drop_first(h);
    }
    h->newest = slice;
}

/* Of a direction without a window. */
static void history_clear(struct behavior_history *h)
{
    h->slice_us = h->count = 0;
}

/* Adds `want` and returns the extreme of the window; `seed` stands for the time before anything was
 * known. `ret_next_us` becomes the time at which that extreme leaves. */
static int32_t history_put(struct behavior_history *h, int64_t window_us, bool largest,
                           int64_t now_us, int32_t seed, int32_t want, int64_t *ret_next_us)
{
    int64_t slice_us = MAX(window_us / SLICES, 1), slice = now_us / slice_us;
    int32_t extreme = want;
    if (h->slice_us != slice_us) { /* the first time, or another window than before */
        *h = (struct behavior_history){ .slice_us = slice_us };
        extreme = better(want, seed, largest);
    }
    expire(h, window_us, now_us, slice);
    if (h->count > 0 && slice_kept(h, *item(h, h->count - 1)) == slice)
        extreme = better(extreme, *item(h, h->count - 1) / BEHAVIOR_SLICES, largest);
    while (h->count > 0 &&
           better(extreme, *item(h, h->count - 1) / BEHAVIOR_SLICES, largest) == extreme)
        h->count--;
    *item(h, h->count++) = (int64_t)extreme * BEHAVIOR_SLICES + (slice & (BEHAVIOR_SLICES - 1));
    int64_t first = *item(h, 0);
    *ret_next_us = slice_leaves_us(slice_kept(h, first), slice_us, window_us);
    return (int32_t)(first / BEHAVIOR_SLICES);
}

static int32_t stabilize(const struct behavior_conf *conf, struct behavior_state *state,
                         int64_t now_us, int32_t current, int32_t want, int64_t *ret_next_us)
{
    int64_t up_us = US_NEVER, down_us = US_NEVER;
    int32_t low = want, high = want;
    if (conf->up.stabilize_us > 0)
        low = history_put(&state->lowest, conf->up.stabilize_us, false, now_us, current, want,
                          &up_us);
    else
        history_clear(&state->lowest);
    if (conf->down.stabilize_us > 0)
        high = history_put(&state->highest, conf->down.stabilize_us, true, now_us, current, want,
                           &down_us);
    else
        history_clear(&state->highest);
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

static int64_t newest_us(const struct behavior_moves *m)
{
    return m->count > 0 ? m->move[m->count - 1].at_us : -1;
}

/* When the direction has cooled down; 0 = it has. A move the other way ends it: what was done has
 * been taken back. */
static int64_t cool_us(const struct behavior_direction *d, const struct behavior_moves *own,
                       const struct behavior_moves *other, int64_t now_us)
{
    if (d->cooldown_us <= 0 || own->count == 0 || newest_us(other) >= newest_us(own))
        return 0;
    int64_t at_us = us_add(newest_us(own), d->cooldown_us);
    return at_us > now_us ? at_us : 0;
}

/* The furthest count that one direction allows; `ret_next_us` becomes when it may allow more. */
static int32_t rate_limit(const struct behavior_direction *d, const struct behavior_state *state,
                          bool up, int64_t now_us, int32_t current, int64_t *ret_next_us)
{
    if (d->select == BEHAVIOR_DISABLED)
        return current;
    int64_t cooled_us =
        cool_us(d, up ? &state->up : &state->down, up ? &state->down : &state->up, now_us);
    if (cooled_us != 0) {
        *ret_next_us = cooled_us;
        return current;
    }
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
    /* A share of none is none: the first one is not a matter of rates. */
    if (up && current == 0)
        limit = MAX(limit, 1);
    /* What has already gone beyond the limit is not taken back. */
    return (int32_t)(up ? CLAMP(limit, current, INT32_MAX) : CLAMP(limit, 0, current));
}

void behavior_moved(struct behavior_state *state, int64_t now_us, int32_t from, int32_t to)
{
    if (from == to)
        return;
    struct behavior_moves *m = to > from ? &state->up : &state->down;
    int64_t change = to > from ? (int64_t)to - from : (int64_t)from - to;
    if (m->count == BEHAVIOR_MOVES_MAX) {
        m->move[1].change += m->move[0].change;
        memmove(&m->move[0], &m->move[1], sizeof(m->move[0]) * (BEHAVIOR_MOVES_MAX - 1));
        m->count--;
    }
    m->move[m->count].at_us = now_us;
    m->move[m->count].change = change;
    m->count++;
}

/* -- both ---------------------------------------------------------------------------------------
 */

void behavior_say_stabilized(const struct behavior_conf *conf, int32_t want,
                             const struct behavior_result *r, char *buf, size_t cap)
{
    char window[40];
    buf[0] = '\0';
    if (r->stabilized == want)
        return;
    bool up = want > r->stabilized;
    num_format_duration(window, sizeof(window),
                        up ? conf->up.stabilize_us : conf->down.stabilize_us);
    fmt(buf, cap, "%s wanted within the last %s", up ? "fewer were" : "more were", window);
}

void behavior_say_limited(const struct behavior_conf *conf, int32_t current,
                          const struct behavior_result *r, char *buf, size_t cap)
{
    char cooldown[40];
    bool up = r->stabilized > current;
    const struct behavior_direction *d = up ? &conf->up : &conf->down;
    buf[0] = '\0';
    if (r->limited == r->stabilized)
        return;
    if (d->select == BEHAVIOR_DISABLED) {
        fmt(buf, cap, "scaling %s is switched off", up ? "out" : "in");
    } else if (r->cooling) {
        num_format_duration(cooldown, sizeof(cooldown), d->cooldown_us);
        fmt(buf, cap, "cools down for %s after the last scale-%s", cooldown, up ? "out" : "in");
    } else {
        fmt(buf, cap, "behavior allows at %s %d for now", up ? "most" : "least", r->limited);
    }
}

void behavior_apply(const struct behavior_conf *conf, struct behavior_state *state, int64_t now_us,
                    int32_t current, int32_t want, struct behavior_result *ret)
{
    int64_t stable_us = US_NEVER, rate_us = US_NEVER;
    int32_t stable = stabilize(conf, state, now_us, current, want, &stable_us);
    *ret = (struct behavior_result){ .stabilized = stable, .limited = stable };
    ret->next_us = stable_us;
    if (stable > current) {
        int32_t most = rate_limit(&conf->up, state, true, now_us, current, &rate_us);
        ret->limited = MIN(stable, most);
        ret->cooling = cool_us(&conf->up, &state->up, &state->down, now_us) != 0;
    } else if (stable < current) {
        int32_t least = rate_limit(&conf->down, state, false, now_us, current, &rate_us);
        ret->limited = MAX(stable, least);
        ret->cooling = cool_us(&conf->down, &state->down, &state->up, now_us) != 0;
    }
    if (ret->limited != stable)
        ret->next_us = MIN(stable_us, rate_us);
}

/* -- what comes from a file ---------------------------------------------------------------------
 */

static bool moves_are_sane(const struct behavior_moves *m)
{
    if (m->count < 0 || m->count > BEHAVIOR_MOVES_MAX)
        return false;
    for (int64_t n = 0; n < m->count; n++) {
        if (m->move[n].at_us < 0 || m->move[n].change < 0 || m->move[n].change > INT32_MAX)
            return false;
    }
    return true;
}

static bool history_is_sane(const struct behavior_history *h)
{
    if (h->slice_us < 0 || h->newest < 0 || h->head < 0 || h->head >= BEHAVIOR_SLICES ||
        h->count < 0 || h->count >= BEHAVIOR_SLICES)
        return false;
    for (int n = 0; n < BEHAVIOR_SLICES; n++) {
        if (h->item[n] < 0 || h->item[n] / BEHAVIOR_SLICES > INT32_MAX)
            return false;
    }
    return true;
}

bool behavior_state_is_sane(const struct behavior_state *state)
{
    return history_is_sane(&state->lowest) && history_is_sane(&state->highest) &&
           moves_are_sane(&state->up) && moves_are_sane(&state->down);
}
