/* The fleet: the engine's and the proxy's side of each instance (address, pid, slot in the gauges),
 * keyed by service and number. It knows no states; those are the core's. A linear table: lookups
 * happen per event and per snapshot, not per request. */
#include <string.h>

#include "controller/controller_int.h"

struct fleet_instance *fleet_find(struct fleet *f, uint32_t service, uint32_t number)
{
    for (size_t i = 0; i < f->cap; i++)
        if (f->items[i].number == number && number != 0 && f->items[i].service == service)
            return &f->items[i];
    return NULL;
}

static bool gauge_is_used(const struct fleet *f, uint32_t slot)
{
    return f->gauge_used[slot / 64] >> (slot % 64) & 1;
}

static void gauge_set(struct fleet *f, uint32_t slot, bool used)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);
    f->gauge_used[slot / 64] =
        used ? f->gauge_used[slot / 64] | bit : f->gauge_used[slot / 64] & ~bit;
}

static uint32_t gauge_take(struct fleet *f)
{
    for (uint32_t tried = 0; tried < GAUGES_INSTANCES_MAX; tried++) {
        uint32_t slot = f->gauge_next;
        f->gauge_next = (f->gauge_next + 1) % GAUGES_INSTANCES_MAX;
        if (!gauge_is_used(f, slot)) {
            gauge_set(f, slot, true);
            return slot;
        }
    }
    return UINT32_MAX;
}

struct fleet_instance *fleet_add(struct fleet *f, uint32_t service, uint32_t number)
{
    struct fleet_instance *i = fleet_find(f, service, number);
    for (size_t k = 0; !i && k < f->cap; k++) {
        if (f->items[k].number != 0)
            continue;
        i = &f->items[k];
        *i = (struct fleet_instance){ .service = service,
                                      .number = number,
                                      .gauge = gauge_take(f),
                                      .cpu = -1,
                                      .memory_bytes = -1 };
    }
    return i;
}

void fleet_remove(struct fleet *f, struct fleet_instance *i, uint64_t generation)
{
    if (i->gauge != UINT32_MAX && f->retired_count < GAUGES_INSTANCES_MAX)
        f->retired[f->retired_count++] =
            (struct fleet_retired){ .generation = generation, .gauge = i->gauge };
    *i = (struct fleet_instance){ 0 };
}

void fleet_applied(struct fleet *f, uint64_t generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->retired_count; i++) {
        if (f->retired[i].generation > generation)
            f->retired[kept++] = f->retired[i];
        else
            gauge_set(f, f->retired[i].gauge, false);
    }
    f->retired_count = kept;
}

static void move_gauge(struct fleet *f, struct fleet_instance *i, uint32_t slot)
{
    for (size_t k = 0; k < f->cap; k++)
        if (f->items[k].number != 0 && f->items[k].gauge == slot && &f->items[k] != i)
            f->items[k].gauge = i->gauge;
    if (!gauge_is_used(f, slot)) {
        gauge_set(f, i->gauge, false);
        gauge_set(f, slot, true);
    }
    i->gauge = slot;
}

void fleet_take_gauges(struct fleet *f, const struct gauges *g)
{
    for (uint32_t slot = 0; slot < GAUGES_INSTANCES_MAX; slot++) {
        const struct gauges_instance *gi = &g->instance[slot];
        uint32_t number = atomic_load_explicit(&gi->number, memory_order_relaxed);
        uint32_t service = atomic_load_explicit(&gi->service, memory_order_relaxed);
        if (number == 0)
            continue;
        struct fleet_instance *i = fleet_find(f, service, number);
        if (i && i->gauge != slot && i->gauge != UINT32_MAX)
            move_gauge(f, i, slot);
    }
}
