/* Synthetic loads. Knows nothing of services or instances. */
#include "sim/load.h"

#include "base/us.h"

void load_init(struct load *l, struct rng *r, double most)
{
    /* One draw a statement: within an initialiser their order is the compiler's. */
    *l = (struct load){ .kind = (enum load_kind)rng_below(r, LOAD_KIND_MAX) };
    l->high = most * rng_unit(r);
    l->period_us = (int64_t)(20 + rng_below(r, 280)) * US_PER_S;
    l->low = rng_below(r, 3) == 0 ? 0 : l->high * rng_unit(r);
    l->width_us = US_PER_S + (int64_t)rng_below(r, (uint64_t)l->period_us / 2);
}

/* A parabola that passes for a sine: 0 at 0 and 1, 1 in the middle; the same on every machine. */
static double hump(double x)
{
    return 4 * x * (1 - x);
}

double load_at(const struct load *l, int64_t t_us)
{
    int64_t into_us = t_us % l->period_us;
    switch (l->kind) {
    case LOAD_STEP:
        return t_us < l->period_us ? l->low : l->high;
    case LOAD_SINE:
        return l->low + (l->high - l->low) * hump((double)into_us / (double)l->period_us);
    case LOAD_SPIKES:
        return into_us < l->width_us ? l->high : l->low;
    default:
        return l->high;
    }
}
