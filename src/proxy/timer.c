/* The wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987, scheme 6, with lazy
 * re-insertion). Owns no memory of its own; a timer lies in the thing that it times. */
#include "proxy/timer.h"

#include <stddef.h>

#include "base/util.h"

static int64_t tick_of(int64_t us)
{
    return us >> TIMER_TICK_SHIFT;
}

void timer_wheel_init(struct timer_wheel *w, int64_t now_us)
{
    *w = (struct timer_wheel){ .tick = tick_of(now_us) };
    for (size_t i = 0; i < TIMER_SLOTS; i++)
        list_init(&w->slots[i]);
}

void timer_init(struct timer *t, uint8_t kind)
{
    list_init(&t->link);
    t->deadline_us = US_NEVER;
    t->tick = 0;
    t->kind = kind;
}

static void insert(struct timer_wheel *w, struct timer *t)
{
    /* The tick in which the deadline lies is looked at when it is over: late, never early. */
    int64_t tick = tick_of(t->deadline_us) + 1;
    t->tick = CLAMP(tick, w->tick + 1, w->tick + TIMER_SLOTS - 1);
    size_t slot = (size_t)t->tick % TIMER_SLOTS;
    list_push_back(&w->slots[slot], &t->link);
    w->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

void timer_set(struct timer_wheel *w, struct timer *t, int64_t deadline_us)
{
    t->deadline_us = deadline_us;
    if (deadline_us == US_NEVER)
        return;
    if (!list_empty(&t->link)) {
        if (t->tick <= tick_of(deadline_us) + 1)
            return;
        list_remove(&t->link);
    }
    insert(w, t);
}

void timer_done(struct timer *t)
{
    list_remove(&t->link);
}

struct timer *timer_expired(struct timer_wheel *w, int64_t now_us)
{
    for (int64_t now = tick_of(now_us); w->tick <= now; w->tick++) {
        size_t slot = (size_t)w->tick % TIMER_SLOTS;
        if (!(w->used[slot / 64] & UINT64_C(1) << (slot % 64)))
            continue;
        while (!list_empty(&w->slots[slot])) {
            struct timer *t = LIST_ENTRY(w->slots[slot].next, struct timer, link);
            list_remove(&t->link);
            if (t->deadline_us <= now_us)
                return t;
            if (t->deadline_us != US_NEVER)
                insert(w, t); /* never into this slot: see the clamp */
        }
        w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
    return NULL;
}

int timer_wait_ms(const struct timer_wheel *w, int64_t now_us)
{
    for (int64_t ahead = 0; ahead < TIMER_SLOTS;) {
        size_t slot = (size_t)(w->tick + ahead) % TIMER_SLOTS;
        uint64_t bits = w->used[slot / 64] >> (slot % 64);
        if (!bits) {
            ahead += 64 - (int64_t)(slot % 64);
            continue;
        }
        ahead += __builtin_ctzll(bits);
        int64_t wait_us = ((w->tick + ahead) << TIMER_TICK_SHIFT) - now_us;
        return wait_us <= 0 ? 0 : (int)((wait_us + US_PER_MS - 1) / US_PER_MS);
    }
    return -1;
}
