/* A second of the fluid model: what is served, what waits, what is refused, and how much of what
 * came violates. Shared by the world that plays it and the oracle that plans with it. */
#pragma once

#include <math.h>

#include "base/util.h"

struct fluid {
    double limit_s; /* a request violates that waits longer */
    double queue_s; /* the queue holds so much work of the capacity there is, */
    double least;   /* or of this capacity, when there is less */
};

struct fluid_second {
    double served, refused, queue; /* queue at its end */
    double wait_before_s, wait_after_s;
    double late; /* of the arrivals: they wait too long, or are refused */
};

/* The least count that serves the rate: without the one more that a quotient a hair above a whole
 * number would ask for. */
static inline double fluid_count(double rate, double each)
{
    return ceil(rate / each * (1 - 1e-12));
}

/* Share of a second in which a wait that goes evenly from w0 to w1 is above the limit. */
static inline double fluid_share_above(double w0, double w1, double limit)
{
    if (w0 > limit && w1 > limit)
        return 1;
    if (w0 <= limit && w1 <= limit)
        return 0;
    return w1 > w0 ? (w1 - limit) / (w1 - w0) : (w0 - limit) / (w0 - w1);
}

/* `queue` waits already, `arrivals` come, `capacity` can be served. The same arithmetic whether the
 * queue is empty or not; the short way is for speed. */
static inline void fluid_step(const struct fluid *f, double queue, double arrivals, double capacity,
                              struct fluid_second *ret)
{
    double work = queue + arrivals;
    *ret = (struct fluid_second){ .served = work };
    if (queue <= 0 && work <= capacity)
        return;
    ret->served = MIN(work, capacity);
    ret->queue = work - ret->served;
    double room = f->queue_s * MAX(capacity, f->least);
    if (ret->queue > room) {
        ret->refused = ret->queue - room;
        ret->queue = room;
    }
    double drain = MAX(capacity, 1e-9);
    ret->wait_before_s = queue / drain;
    ret->wait_after_s = ret->queue / drain;
    ret->late = arrivals * fluid_share_above(ret->wait_before_s, ret->wait_after_s, f->limit_s);
    ret->refused = MIN(ret->refused, ret->late);
}
