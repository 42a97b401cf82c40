/* The peers' common ground. Holds no algorithm. */
#include "sim/peers/peer.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/fmt.h"

void *peer_open(size_t bytes, const struct policy_setup *s)
{
    struct peer *p = calloc(1, bytes);
    if (!p)
        return NULL;
    p->setup = *s;
    p->desired = s->initial;
    return p;
}

void peer_close(void *self)
{
    free(self);
}

int32_t peer_desired(const void *self)
{
    const struct peer *p = self;
    return p->desired;
}

const char *peer_why(const void *self)
{
    const struct peer *p = self;
    return p->why;
}

void peer_want(struct peer *p, double count, const char *format, ...)
{
    int32_t desired = p->setup.min; /* also of what is no number */
    if (count >= p->setup.min)
        desired = count < p->setup.max ? (int32_t)count : p->setup.max;
    if (desired == p->desired)
        return;
    p->desired = desired;
    va_list args;
    va_start(args, format);
    fmt_v(p->why, sizeof(p->why), format, args);
    va_end(args);
}

void peer_order(const struct peer *p, struct fleet *fleet)
{
    fleet_set_count(fleet, p->desired);
}

/* The sum is made anew each time round, so that rounding cannot add up. */
void peer_window_put(struct peer_window *w, double value)
{
    if (w->count == w->size)
        w->sum -= w->values[w->next];
    else
        w->count++;
    w->sum += value;
    w->values[w->next] = value;
    w->next = (w->next + 1) % w->size;
    if (w->next != 0)
        return;
    w->sum = 0;
    for (uint32_t n = 0; n < w->count; n++)
        w->sum += w->values[n];
}

double peer_window_mean(const struct peer_window *w)
{
    return w->count > 0 ? w->sum / w->count : 0;
}

double peer_window_get(const struct peer_window *w, uint32_t n)
{
    return w->values[(w->next + 2 * w->size - 1 - n) % w->size];
}
