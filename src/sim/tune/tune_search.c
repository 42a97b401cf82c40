/* Points. One random draw a statement. */
#include "sim/tune/tune_search.h"

#include "base/util.h"

#define MOVED_MAX 3 /* coordinates at a time */
#define BEYOND 0.25 /* how far a line goes on behind its ends */

void tune_search_spread(struct rng *r, uint32_t axes, struct tune_point *points, uint32_t count)
{
    for (uint32_t axis = 0; axis < axes; axis++) {
        for (uint32_t n = 0; n < count; n++) { /* slice n goes to a place drawn so far */
            uint64_t place = rng_below(r, n + 1);
            double within = rng_unit(r);
            points[n].at[axis] = points[place].at[axis];
            points[place].at[axis] = (n + within) / count;
        }
    }
}

static void move_some(struct rng *r, uint32_t axes, double reach, struct tune_point *p)
{
    uint64_t moved = 1 + rng_below(r, MOVED_MAX);
    for (uint64_t n = 0; n < moved; n++) {
        uint64_t axis = rng_below(r, axes);
        double step = reach * (2 * rng_unit(r) - 1);
        p->at[axis] = CLAMP(p->at[axis] + step, 0, 1);
    }
}

static void move_along(struct rng *r, uint32_t axes, const struct tune_point *other,
                       struct tune_point *p)
{
    double t = (1 + 2 * BEYOND) * rng_unit(r) - BEYOND;
    for (uint32_t axis = 0; axis < axes; axis++) {
        double x = p->at[axis] + t * (other->at[axis] - p->at[axis]);
        p->at[axis] = CLAMP(x, 0, 1);
    }
}

void tune_search_near(struct rng *r, uint32_t axes, const struct tune_point *from,
                      const struct tune_point *other, double reach, struct tune_point *ret)
{
    *ret = *from;
    if (other)
        move_along(r, axes, other, ret);
    else
        move_some(r, axes, reach, ret);
}
