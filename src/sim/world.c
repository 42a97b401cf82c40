/* Engines, instances and time. Every delay is drawn from the world's own generator. */
#include "sim/world.h"

#include <assert.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

static int64_t between(struct world *w, int64_t least_us, int64_t most_us)
{
    return least_us + (int64_t)rng_below(&w->rng, (uint64_t)MAX(most_us - least_us, 0) + 1);
}

static struct world_event *push(struct world *w, enum world_event_kind kind,
                                const struct world_instance *i, int64_t delay_us, int64_t arg)
{
    struct world_event *e = w->free_events;
    assert(e);
    w->free_events = e->next_free;
    *e = (struct world_event){ .kind = kind, .arg = arg };
    if (i) {
        e->instance = (uint32_t)(i - w->instances);
        e->generation = i->generation;
        e->service = i->service;
    }
    int rc = heap_push(&w->heap, &e->item, w->now_us + delay_us);
    assert(rc == 0);
    (void)rc;
    return e;
}

void world_schedule(struct world *w, int64_t delay_us, int64_t arg)
{
    push(w, WORLD_OWN, NULL, delay_us, arg);
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    rng_init(&w->rng, seed);
    rng_init(&w->later, seed ^ UINT64_C(0x1a7e));
    faults_init(&w->faults, &w->rng);
    heap_init(&w->heap, w->heap_items, WORLD_EVENTS_MAX);
    for (uint32_t n = WORLD_EVENTS_MAX; n-- > 0;) {
        w->events[n].next_free = w->free_events;
        w->free_events = &w->events[n];
    }
    w->now_us = w->counted_us = US_PER_S;
    w->wall_offset_us = INT64_C(1700000000) * US_PER_S;
    w->wall_us = w->now_us + w->wall_offset_us;
    w->driver_up = true;
    w->tick_us = US_PER_S;
    w->probe_us = 2 * US_PER_S;
    push(w, WORLD_TICK, NULL, w->tick_us, 0);
    push(w, WORLD_LOAD, NULL, 250 * US_PER_MS, 0);
}

struct event world_event(const struct world *w, enum event_type type, int32_t slot)
{
    return (struct event){
        .type = type,
        .now_us = w->now_us,
        .wall_us = w->wall_us,
        .service = slot,
    };
}

static void deliver(struct world *w, struct event *e)
{
    w->deliver(w->ctx, e);
    if (e->type >= EVENT_STARTED && e->type <= EVENT_DRAINED &&
        fault_hits(&w->faults, &w->rng, FAULT_TWICE, 5))
        w->deliver(w->ctx, e);
}

static void deliver_about(struct world *w, enum event_type type, const struct world_instance *i,
                          bool flag)
{
    struct event e = world_event(w, type, w->services[i->service].slot);
    e.number = i->number;
    e.template = i->template;
    e.flag = flag;
    e.pid = 1000 + i->number;
    if (type == EVENT_EXITED)
        e.status = i->stopping ? 0 : 1;
    if (type == EVENT_PROBE && !flag)
        str_copy(e.text, sizeof(e.text), "connection refused");
    deliver(w, &e);
}

/* A completion that may be lost on its way. */
static bool is_lost(struct world *w)
{
    return fault_hits(&w->faults, &w->rng, FAULT_LOST, 6);
}

struct world_instance *world_find(const struct world *w, uint32_t service, uint32_t number)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        const struct world_instance *i = &w->instances[n];
        if (i->known && i->service == service && i->number == number)
            return (struct world_instance *)i;
    }
    return NULL;
}

int32_t world_service_of(const struct world *w, uint32_t slot)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        if (w->services[n].slot == (int32_t)slot)
            return (int32_t)n;
    }
    return -1;
}

static void forget(struct world_instance *i)
{
    i->known = i->alive = i->serving = false;
    i->generation++;
}

static struct world_instance *new_entry(struct world *w)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        if (!w->instances[n].known)
            return &w->instances[n];
    }
    assert(!"more instances than any law allows");
    return NULL;
}

/* -- what the core asks for ---------------------------------------------------------------------
 */

static void start(struct world *w, uint32_t service, const struct action *a)
{
    const struct world_service *s = &w->services[service];
    struct world_instance *i = new_entry(w);
    uint32_t generation = i->generation;
    *i = (struct world_instance){
        .known = true,
        .service = service,
        .number = a->number,
        .generation = generation,
        .template = a->template,
        .drained_us = US_NEVER,
    };
    if (!w->driver_up || fault_hits(&w->faults, &w->rng, FAULT_START_FAILS, 4)) {
        push(w, WORLD_START_FAILED, i, between(w, 0, US_PER_S), 0);
        return;
    }
    i->alive = true;
    push(w, WORLD_STARTED, i, between(w, 0, 200 * US_PER_MS), 0);
    push(w, WORLD_PROBE, i, 500 * US_PER_MS, 0);
    if (!fault_hits(&w->faults, &w->rng, FAULT_START_HANGS, 5))
        push(w, WORLD_APP_READY, i, s->start_us + between(w, 0, s->start_spread_us), 0);
    if (fault_hits(&w->faults, &w->rng, FAULT_CRASH, 4))
        push(w, WORLD_CRASH, i, between(w, 0, 120 * US_PER_S), 0);
}

static void stop(struct world *w, uint32_t service, const struct action *a)
{
    if (!w->driver_up)
        return;
    struct world_instance *i = world_find(w, service, a->number);
    if (!i) { /* long gone, and said so then: says it again */
        struct world_event *e = push(w, WORLD_NOT_THERE, NULL, 0, a->number);
        e->service = service;
        return;
    }
    i->stopping = true;
    push(w, WORLD_EXITED, i, between(w, 0, w->services[service].stop_us), 0);
}

static void drain(struct world *w, uint32_t service, const struct action *a)
{
    struct world_instance *i = world_find(w, service, a->number);
    if (!i)
        return;
    int64_t us = between(w, 0, w->services[service].drain_us);
    if (fault_hits(&w->faults, &w->rng, FAULT_DRAIN_SLOW, 2))
        us += US_PER_HOUR;
    i->drained_us = MIN(i->drained_us, w->now_us + us);
    push(w, WORLD_DRAINED, i, us, 0);
}

void world_act(struct world *w, const struct action *a)
{
    int32_t service = world_service_of(w, a->service);
    if (service < 0)
        return;
    if (a->type == ACTION_START)
        start(w, (uint32_t)service, a);
    else if (a->type == ACTION_STOP)
        stop(w, (uint32_t)service, a);
    else if (a->type == ACTION_DRAIN)
        drain(w, (uint32_t)service, a);
}

void world_publish(struct world *w, uint32_t service, const uint32_t *ready, uint32_t count)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        if (!i->known || i->service != service)
            continue;
        i->serving = false;
        for (uint32_t k = 0; k < count; k++)
            i->serving |= ready[k] == i->number;
    }
}

/* -- what happens by itself ---------------------------------------------------------------------
 */

static void crash(struct world *w, struct world_instance *i)
{
    if (!i->alive || !fault_on(&w->faults, FAULT_CRASH))
        return;
    i->alive = false;
    if (!w->driver_up || is_lost(w)) /* its probes fail from now on, and nobody knows why */
        return;
    deliver_about(w, EVENT_EXITED, i, false);
    forget(i);
}

static void exited(struct world *w, struct world_instance *i)
{
    i->alive = false;
    if (!w->driver_up || is_lost(w))
        return;
    deliver_about(w, EVENT_EXITED, i, false);
    forget(i);
}

static void probe(struct world *w, struct world_instance *i)
{
    if (fault_hits(&w->faults, &w->rng, FAULT_PROBE_HANGS, 40))
        i->ill_until_us = w->now_us + between(w, US_PER_S, 40 * US_PER_S);
    bool well = i->alive && i->app_ready && i->ill_until_us <= w->now_us;
    push(w, WORLD_PROBE, i, i->app_ready ? w->probe_us : 500 * US_PER_MS, 0);
    if (w->driver_up && !i->stopping)
        deliver_about(w, EVENT_PROBE, i, well);
}

static void instance_event(struct world *w, const struct world_event *e)
{
    struct world_instance *i = &w->instances[e->instance];
    if (!i->known || i->generation != e->generation)
        return;
    switch (e->kind) {
    case WORLD_STARTED:
        if (w->driver_up && !is_lost(w))
            deliver_about(w, EVENT_STARTED, i, false);
        break;
    case WORLD_START_FAILED:
        deliver_about(w, EVENT_START_FAILED, i, false);
        forget(i);
        break;
    case WORLD_APP_READY:
        i->app_ready = true;
        break;
    case WORLD_PROBE:
        probe(w, i);
        break;
    case WORLD_CRASH:
        crash(w, i);
        break;
    case WORLD_EXITED:
        exited(w, i);
        break;
    case WORLD_DRAINED:
        if (!is_lost(w))
            deliver_about(w, EVENT_DRAINED, i, false);
        break;
    default:
        break;
    }
}

static void not_there(struct world *w, const struct world_event *x)
{
    struct event e = world_event(w, EVENT_EXITED, w->services[x->service].slot);
    e.number = (uint32_t)x->arg;
    e.flag = true;
    deliver(w, &e);
}

static void tick(struct world *w)
{
    world_sample(w);
    struct event e = world_event(w, EVENT_TICK, -1);
    w->deliver(w->ctx, &e);
    push(w, WORLD_TICK, NULL, w->tick_us, 0);
}

static void happen(struct world *w, const struct world_event *e)
{
    switch (e->kind) {
    case WORLD_TICK:
        tick(w);
        break;
    case WORLD_LOAD:
        world_ring(w);
        push(w, WORLD_LOAD, NULL, 250 * US_PER_MS, 0);
        break;
    case WORLD_DRIVER:
        world_driver_back(w);
        break;
    case WORLD_NOT_THERE:
        not_there(w, e);
        break;
    case WORLD_OWN:
        w->own(w->ctx, e->arg);
        break;
    default:
        instance_event(w, e);
        break;
    }
}

static void pass_time(struct world *w, int64_t to_us)
{
    uint32_t alive = 0;
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++)
        alive += w->instances[n].alive;
    w->instance_seconds += (double)alive * (double)(to_us - w->counted_us) / 1e6;
    w->counted_us = to_us;
    w->now_us = to_us;
    w->wall_us = to_us + w->wall_offset_us;
}

void world_run(struct world *w, int64_t until_us)
{
    for (;;) {
        struct heap_item *top = heap_top(&w->heap);
        if (!top || top->key > until_us)
            break;
        pass_time(w, MAX(top->key, w->now_us));
        heap_remove(&w->heap, top);
        struct world_event *e = CONTAINER_OF(top, struct world_event, item);
        struct world_event copy = *e;
        e->next_free = w->free_events;
        w->free_events = e;
        happen(w, &copy);
    }
    pass_time(w, until_us);
}

/* -- the engine away and back -------------------------------------------------------------------
 */

void world_driver_away(struct world *w, int64_t us)
{
    if (!w->driver_up)
        return;
    w->driver_up = false;
    struct event e = world_event(w, EVENT_DRIVER, -1);
    str_copy(e.text, sizeof(e.text), "connection refused");
    w->deliver(w->ctx, &e);
    push(w, WORLD_DRIVER, NULL, us, 0);
}

/* It says which of those it knew have ended meanwhile. */
void world_driver_back(struct world *w)
{
    if (w->driver_up)
        return;
    w->driver_up = true;
    struct event e = world_event(w, EVENT_DRIVER, -1);
    e.flag = true;
    w->deliver(w->ctx, &e);
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        if (!i->known || i->alive)
            continue;
        deliver_about(w, EVENT_EXITED, i, true);
        forget(i);
    }
    world_list(w);
}

void world_list(struct world *w)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        if (i->known && !i->alive)
            forget(i);
        if (i->known && w->services[i->service].slot >= 0) {
            deliver_about(w, EVENT_FOUND, i, i->serving);
        } else if (i->known) { /* nobody's: the controller ends it without asking the core */
            i->stopping = true;
            push(w, WORLD_EXITED, i, between(w, 0, w->services[i->service].stop_us), 0);
        }
    }
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct event e = world_event(w, EVENT_FOUND_ALL, w->services[n].slot);
        w->deliver(w->ctx, &e);
    }
}
