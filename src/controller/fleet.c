/* The fleet: the engine's and the proxy's side of each instance (address, pid, slot in the gauges),
 * keyed by service and number. It knows no states; those are the core's. A linear table with its
 * keys apart, which lie in the cache: lookups happen per event and per snapshot, not per request.
 */
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"

#define KEY(service, number) ((uint64_t)(service) << 32 | (number))

static struct fleet_instance *find(struct fleet *f, uint64_t key)
{
    for (size_t i = 0; i < f->cap; i++)
        if (f->keys[i] == key)
            return &f->items[i];
    return NULL;
}

struct fleet_instance *fleet_find(struct fleet *f, uint32_t service, uint32_t number)
{
    return number == 0 ? NULL : find(f, KEY(service, number));
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
    if (i)
        return i;
    i = number == 0 ? NULL : find(f, 0);
    if (!i)
        return NULL;
    f->keys[i - f->items] = KEY(service, number);
    *i = (struct fleet_instance){
        .service = service, .number = number, .gauge = gauge_take(f), .cpu = -1, .memory_bytes = -1
    };
    return i;
}

void fleet_remove(struct fleet *f, struct fleet_instance *i, uint64_t generation)
{
    if (i->gauge != UINT32_MAX && f->retired_count < GAUGES_INSTANCES_MAX)
        f->retired[f->retired_count++] =
            (struct fleet_retired){ .generation = generation, .gauge = i->gauge };
    f->keys[i - f->items] = 0;
    *i = (struct fleet_instance){ 0 };
}

static const struct provision_ops *driver_named(const char *name)
{
    for (size_t i = 0; provision_all[i]; i++)
        if (strcmp(provision_all[i]->name, name) == 0)
            return provision_all[i];
    return NULL;
}

struct fleet_instance *fleet_place(struct fleet *f, const struct journal_place *p)
{
    struct fleet_instance *i = fleet_add(f, p->service, p->number);
    if (!i)
        return NULL;
    bool same = p->ref && p->ref[0] && strcmp(p->ref, i->ref) == 0;
    if (p->pid > 0 || !same) /* who is found again may not be said with its pid */
        i->pid = p->pid;
    i->driver = p->driver ? driver_named(p->driver) : i->driver;
    str_copy(i->address, sizeof(i->address), p->address ? p->address : "");
    str_copy(i->ref, sizeof(i->ref), p->ref ? p->ref : "");
    return i;
}

bool fleet_take_event(struct fleet *f, const struct event *e)
{
    struct journal_place p = { .service = (uint32_t)e->service,
                               .number = e->number,
                               .pid = e->pid,
                               .address = e->address,
                               .ref = e->ref };
    bool is_there = e->service >= 0 && e->service < MODEL_SERVICES_MAX && e->number > 0 &&
                    (e->type == EVENT_STARTED || e->type == EVENT_FOUND);
    return is_there && fleet_place(f, &p);
}

static bool is_among(const struct journal_place *places, size_t count,
                     const struct fleet_instance *i)
{
    for (size_t k = 0; k < count; k++)
        if (places[k].service == i->service && places[k].number == i->number)
            return true;
    return false;
}

void fleet_take_places(struct fleet *f, const struct journal_place *places, size_t count,
                       uint64_t generation)
{
    for (size_t k = 0; k < f->cap; k++)
        if (f->items[k].number != 0 && !is_among(places, count, &f->items[k]))
            fleet_remove(f, &f->items[k], generation);
    for (size_t k = 0; k < count; k++)
        fleet_place(f, &places[k]);
}

struct journal_place *fleet_places(const struct fleet *f, size_t *ret_count)
{
    struct journal_place *places = calloc(f->cap ? f->cap : 1, sizeof(*places));
    size_t n = 0;
    for (size_t k = 0; places && k < f->cap; k++) {
        const struct fleet_instance *i = &f->items[k];
        if (i->number != 0)
            places[n++] = (struct journal_place){ .service = i->service,
                                                  .number = i->number,
                                                  .pid = i->pid,
                                                  .driver = i->driver ? i->driver->name : "",
                                                  .address = i->address,
                                                  .ref = i->ref };
    }
    *ret_count = n;
    return places;
}

void fleet_drop_gone(struct fleet *f, const struct control *control, uint32_t slot,
                     uint64_t generation)
{
    bool stays[GAUGES_INSTANCES_MAX] = { false };
    struct service_view v;
    bool known = control_view(control, slot, &v);
    for (uint32_t n = 0; known && n < v.instance_count; n++) {
        const struct instance *i = &v.instances[n];
        const struct fleet_instance *item = fleet_find(f, slot, i->number);
        if (item && i->state != INSTANCE_GONE)
            stays[item - f->items] = true;
    }
    for (size_t k = 0; k < f->cap; k++)
        if (f->keys[k] != 0 && f->keys[k] >> 32 == slot && !stays[k])
            fleet_remove(f, &f->items[k], generation);
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
