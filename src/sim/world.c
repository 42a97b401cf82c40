/* Engines, instances and time. Every delay is drawn from the world's own generator. */
#include "sim/world_int.h"

#include <assert.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

#define UNHEALTHY_US (40 * US_PER_S) /* an engine of its own will waits so long for ready */
#define REPLACE_US (5 * US_PER_S)    /* and so long before it tries again */

int64_t world_between(struct rng *r, int64_t least_us, int64_t most_us)
{
    return least_us + (int64_t)rng_below(r, (uint64_t)MAX(most_us - least_us, 0) + 1);
}

static int64_t between(struct world *w, int64_t least_us, int64_t most_us)
{
    return world_between(&w->rng, least_us, most_us);
}

struct world_event *world_push(struct world *w, enum world_event_kind kind,
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
    world_push(w, WORLD_OWN, NULL, delay_us, arg);
}

void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    rng_init(&w->rng, seed);
    rng_init(&w->later, seed ^ UINT64_C(0x1a7e));
    rng_init(&w->engines, seed ^ UINT64_C(0xe2617e));
    w->engine = &engine_process;
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
    world_push(w, WORLD_TICK, NULL, w->tick_us, 0);
    world_push(w, WORLD_LOAD, NULL, 250 * US_PER_MS, 0);
}

void world_use_engine(struct world *w, const struct world_engine *engine)
{
    w->engine = engine;
    faults_init_engine(&w->faults, &w->engines);
    if (engine->chooses)
        world_push(w, WORLD_LOOK, NULL, US_PER_S, 0);
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
    bool completes = (e->type >= EVENT_STARTED && e->type <= EVENT_DRAINED) ||
                     e->type == EVENT_LEAVING || e->type == EVENT_RESIZED;
    w->deliver(w->ctx, e);
    if (completes && fault_hits(&w->faults, &w->rng, FAULT_TWICE, 5))
        w->deliver(w->ctx, e);
}

void world_tell(struct world *w, enum event_type type, const struct world_instance *i, bool flag)
{
    struct event e = world_event(w, type, w->services[i->service].slot);
    e.number = i->number;
    e.template = i->template;
    e.flag = flag;
    e.pid = 1000 + i->number;
    if (type != EVENT_RESIZED || flag)
        e.shape = i->shape;
    if (type == EVENT_EXITED)
        e.status = i->stopping ? 0 : 1;
    if (type == EVENT_PROBE && !flag)
        str_copy(e.text, sizeof(e.text), "connection refused");
    deliver(w, &e);
}

/* A completion that may be lost on its way. */
bool world_loses(struct world *w)
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

void world_forget(struct world_instance *i)
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

struct world_instance *world_make(struct world *w, uint32_t service, uint32_t number,
                                  uint64_t template, bool reached)
{
    const struct world_service *s = &w->services[service];
    struct world_instance *i = new_entry(w);
    uint32_t generation = i->generation;
    *i = (struct world_instance){
        .known = true,
        .service = service,
        .number = number,
        .generation = generation,
        .template = template,
        .shape = s->shape,
        .reached = reached,
        .drained_us = US_NEVER,
    };
    if (!reached || fault_hits(&w->faults, &w->rng, FAULT_START_FAILS, 4)) {
        world_push(w, WORLD_START_FAILED, i, between(w, 0, US_PER_S), 0);
        return i;
    }
    i->alive = true;
    world_push(w, WORLD_STARTED, i, between(w, 0, 200 * US_PER_MS), 0);
    world_push(w, WORLD_PROBE, i, 500 * US_PER_MS, 0);
    if (!fault_hits(&w->faults, &w->rng, FAULT_START_HANGS, 5))
        world_push(w, WORLD_APP_READY, i, s->start_us + between(w, 0, s->start_spread_us), 0);
    else if (w->engine->chooses)
        world_push(w, WORLD_UNHEALTHY, i, UNHEALTHY_US, 0);
    if (fault_hits(&w->faults, &w->rng, FAULT_CRASH, 4))
        world_push(w, WORLD_CRASH, i, between(w, 0, 120 * US_PER_S), 0);
    return i;
}

/* What an engine that hangs was asked for is done all the same, or never. */
static bool done_unseen(struct world *w)
{
    return w->hangs && rng_below(&w->engines, 2) == 0;
}

static void start(struct world *w, uint32_t service, const struct action *a)
{
    struct world_service *s = &w->services[service];
    s->number = MAX(s->number, a->number);
    if (w->engine->chooses && w->driver_up && tasks_bind(w, service, a->number))
        return;
    bool reached = w->driver_up || done_unseen(w);
    if (w->hangs && !reached)
        return;
    struct world_instance *i = world_make(w, service, a->number, a->template, reached);
    if (w->engine->repeats && fault_hits(&w->faults, &w->engines, FAULT_AGAIN, 3))
        world_push(w, WORLD_AGAIN, i, world_between(&w->engines, 0, 3 * US_PER_S), 0);
}

static void stop(struct world *w, uint32_t service, const struct action *a)
{
    struct world_instance *i = world_find(w, service, a->number);
    if (!w->driver_up && !(i && !w->engine->chooses && done_unseen(w)))
        return;
    if (!i) { /* long gone, and said so then: says it again */
        struct world_event *e = world_push(w, WORLD_NOT_THERE, NULL, 0, a->number);
        e->service = service;
        return;
    }
    if (w->engine->chooses) {
        tasks_fewer(w, i);
        return;
    }
    i->stopping = true;
    world_push(w, WORLD_EXITED, i, between(w, 0, w->services[service].stop_us), 0);
}

static void resize(struct world *w, uint32_t service, const struct action *a)
{
    struct world_instance *i = world_find(w, service, a->number);
    if (!i || !w->driver_up)
        return;
    bool works = !fault_hits(&w->faults, &w->engines, FAULT_START_FAILS, 4);
    int64_t us = world_between(&w->engines, 0, 2 * US_PER_S);
    world_push(w, WORLD_RESIZED, i, us, works);
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
    world_push(w, WORLD_DRAINED, i, us, 0);
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
    else if (a->type == ACTION_RESIZE)
        resize(w, (uint32_t)service, a);
}

void world_configure(struct world *w, const struct model_conf *conf)
{
    for (uint32_t n = 0; n < w->service_count && n < conf->service_count; n++) {
        struct world_service *s = &w->services[n];
        bool is_new = s->template != 0 && s->template != conf->services[n].template;
        s->template = conf->services[n].template;
        s->shape = conf->services[n].shape;
        if (!w->engine->chooses || !is_new || s->rolling)
            continue;
        s->rolling = true;
        world_push(w, WORLD_ROLL, NULL, US_PER_S, 0)->service = n;
    }
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

/* It is gone, and that is told: now, later, or never. */
static void exited(struct world *w, struct world_instance *i)
{
    i->alive = false;
    if (w->engine->late && !i->late && fault_hits(&w->faults, &w->engines, FAULT_LATE, 3)) {
        i->late = true;
        world_push(w, WORLD_EXITED, i, world_between(&w->engines, 0, 10 * US_PER_S), 0);
        return;
    }
    if (!w->driver_up || !tasks_told(w, i) || world_loses(w))
        return;
    if (i->number != 0)
        world_tell(w, EVENT_EXITED, i, false);
    world_forget(i);
}

/* When its word is lost, its probes fail from now on, and nobody knows why. */
static void crash(struct world *w, struct world_instance *i)
{
    if (!i->alive)
        return;
    if (w->engine->chooses && !i->stopping)
        tasks_replace(w, i, 0);
    exited(w, i);
}

static void start_failed(struct world *w, struct world_instance *i)
{
    if (w->engine->chooses && i->reached)
        tasks_replace(w, i, REPLACE_US);
    if (i->number != 0)
        world_tell(w, EVENT_START_FAILED, i, false);
    world_forget(i);
}

static void resized(struct world *w, struct world_instance *i, bool works)
{
    if (!i->alive)
        return;
    if (works)
        i->shape = w->services[i->service].shape;
    if (w->driver_up && !world_loses(w))
        world_tell(w, EVENT_RESIZED, i, works);
}

/* It runs, which is told to those who asked for it. */
static void started(struct world *w, struct world_instance *i)
{
    if (i->number == 0 || !w->driver_up || world_loses(w))
        return;
    i->said = true;
    world_tell(w, EVENT_STARTED, i, false);
}

static void probe(struct world *w, struct world_instance *i)
{
    if (fault_hits(&w->faults, &w->rng, FAULT_PROBE_HANGS, 40))
        i->ill_until_us = w->now_us + between(w, US_PER_S, 40 * US_PER_S);
    bool well = i->alive && i->app_ready && i->ill_until_us <= w->now_us;
    world_push(w, WORLD_PROBE, i, i->app_ready ? w->probe_us : 500 * US_PER_MS, 0);
    if (w->driver_up && !i->stopping && i->number != 0)
        world_tell(w, EVENT_PROBE, i, well);
}

static void instance_event(struct world *w, const struct world_event *e)
{
    struct world_instance *i = &w->instances[e->instance];
    if (!i->known || i->generation != e->generation)
        return;
    switch (e->kind) {
    case WORLD_STARTED:
        started(w, i);
        break;
    case WORLD_START_FAILED:
        start_failed(w, i);
        break;
    case WORLD_AGAIN: /* refused: it is there already, which is as good */
        if (i->alive)
            started(w, i);
        break;
    case WORLD_RESIZED:
        resized(w, i, e->arg);
        break;
    case WORLD_UNHEALTHY:
        if (!i->app_ready)
            crash(w, i);
        break;
    case WORLD_APP_READY:
        i->app_ready = true;
        break;
    case WORLD_PROBE:
        probe(w, i);
        break;
    case WORLD_CRASH:
        if (fault_on(&w->faults, FAULT_CRASH))
            crash(w, i);
        break;
    case WORLD_EXITED:
        exited(w, i);
        break;
    case WORLD_DRAINED:
        if (!world_loses(w))
            world_tell(w, EVENT_DRAINED, i, false);
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

static void say_away(struct world *w)
{
    struct event e = world_event(w, EVENT_DRIVER, -1);
    str_copy(e.text, sizeof(e.text), "connection refused");
    w->deliver(w->ctx, &e);
}

static void notice(struct world *w)
{
    if (!w->hangs)
        return;
    w->hangs = false;
    say_away(w);
}

static void tick(struct world *w)
{
    world_sample(w);
    struct event e = world_event(w, EVENT_TICK, -1);
    w->deliver(w->ctx, &e);
    world_push(w, WORLD_TICK, NULL, w->tick_us, 0);
}

static void happen(struct world *w, const struct world_event *e)
{
    switch (e->kind) {
    case WORLD_TICK:
        tick(w);
        break;
    case WORLD_LOAD:
        world_ring(w);
        world_push(w, WORLD_LOAD, NULL, 250 * US_PER_MS, 0);
        break;
    case WORLD_DRIVER:
        world_driver_back(w);
        break;
    case WORLD_NOT_THERE:
        not_there(w, e);
        break;
    case WORLD_SILENT:
        notice(w);
        break;
    case WORLD_REPLACE:
    case WORLD_CHOOSE:
    case WORLD_ROLL:
    case WORLD_LOOK:
        tasks_happen(w, e);
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
    say_away(w);
    world_push(w, WORLD_DRIVER, NULL, us, 0);
}

static void hang(struct world *w)
{
    w->driver_up = false;
    w->hangs = true;
    world_push(w, WORLD_SILENT, NULL, world_between(&w->engines, 5, 15) * US_PER_S, 0);
    world_push(w, WORLD_DRIVER, NULL, world_between(&w->engines, 2, 50) * US_PER_S, 0);
}

static void clear_a_machine(struct world *w)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        bool here = i->known && i->alive && !i->stopping && w->services[i->service].slot >= 0;
        if (here && rng_below(&w->engines, 3) == 0)
            tasks_move(w, i);
    }
}

void world_strike(struct world *w)
{
    const struct world_engine *engine = w->engine;
    if (engine->hangs && w->driver_up && fault_hits(&w->faults, &w->engines, FAULT_HANG, 12))
        hang(w);
    if (engine->forgets && fault_hits(&w->faults, &w->engines, FAULT_RELIST, 10))
        world_driver_away(w, world_between(&w->engines, US_PER_S / 5, 5 * US_PER_S));
    if (engine->chooses && fault_hits(&w->faults, &w->engines, FAULT_MOVE, 15))
        clear_a_machine(w);
}

/* It says which of those it knew have ended meanwhile. */
void world_driver_back(struct world *w)
{
    if (w->driver_up)
        return;
    w->driver_up = true;
    w->hangs = false;
    struct event e = world_event(w, EVENT_DRIVER, -1);
    e.flag = true;
    w->deliver(w->ctx, &e);
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        if (!i->known || i->alive || w->engine->forgets)
            continue;
        if (!tasks_told(w, i))
            continue;
        if (i->number != 0)
            world_tell(w, EVENT_EXITED, i, true);
        world_forget(i);
    }
    world_list(w);
}

static void find_one(struct world *w, struct world_instance *i)
{
    tasks_name(w, i);
    i->said = true;
    world_tell(w, EVENT_FOUND, i, i->serving);
    if (!w->engine->chooses || !i->stopping)
        return;
    i->untold = true; /* to whoever asks now */
    tasks_told(w, i);
}

void world_list(struct world *w)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        if (i->known && !i->alive)
            tasks_lose(w, i);
        if (i->known && w->services[i->service].slot >= 0) {
            find_one(w, i);
        } else if (i->known) { /* nobody's: the controller ends it without asking the core */
            i->stopping = true;
            world_push(w, WORLD_EXITED, i, between(w, 0, w->services[i->service].stop_us), 0);
        }
    }
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct event e = world_event(w, EVENT_FOUND_ALL, w->services[n].slot);
        w->deliver(w->ctx, &e);
    }
}
