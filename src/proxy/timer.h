/* Deadlines of one loop: a wheel whose entries are moved lazily. A deadline that only grows (every
 * request on a kept-alive connection moves it) costs one store; the wheel looks again when the old
 * place comes round. Precision: one tick, late, never early. */
#pragma once

#include <stdint.h>

#include "base/list.h"
#include "base/us.h"

#define TIMER_TICK_SHIFT 13 /* 8.2 ms */
#define TIMER_SLOTS 1024

struct timer {
    struct list link;
    int64_t deadline_us;
    int64_t tick; /* where it lies, when it lies in the wheel */
    uint8_t kind; /* the owner's: what it lies in */
};

struct timer_wheel {
    int64_t tick; /* the next one to look at */
    uint64_t used[TIMER_SLOTS / 64];
    struct list slots[TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *w, int64_t now_us);
void timer_init(struct timer *t, uint8_t kind);
void timer_set(struct timer_wheel *w, struct timer *t, int64_t deadline_us);
void timer_done(struct timer *t); /* out of the wheel, before its memory goes */
/* One timer that is due (taken out of the wheel), or NULL when none is left. */
struct timer *timer_expired(struct timer_wheel *w, int64_t now_us);
/* Milliseconds until timer_expired() may have something; -1 = nothing is set. */
int timer_wait_ms(const struct timer_wheel *w, int64_t now_us);

static inline void timer_clear(struct timer *t)
{
    t->deadline_us = US_NEVER;
}
