/* Engines that choose, as Swarm does: they are told how many, and which of their tasks there are is
 * theirs to say. What ends by itself is replaced, updates are rolled, machines are cleared. The
 * driver between them and the core gives tasks their numbers: one that the core has just asked for
 * is bound to a task that the engine has made already, if there is one. */
#include "base/us.h"
#include "base/util.h"
#include "sim/world_int.h"

#define LOOK_US (20 * US_PER_S) /* the driver looks at all tasks so often */
#define ROLL_US (4 * US_PER_S)  /* between two tasks of an update */

#define FOR_EACH_TASK(i, w, of)                                                                    \
    for (struct world_instance *i = (w)->instances; i < (w)->instances + WORLD_INSTANCES_MAX; i++) \
        if (i->known && i->service == (of))

static bool stays(const struct world_instance *i)
{
    return i->alive && !i->stopping;
}

void tasks_name(struct world *w, struct world_instance *i)
{
    if (i->number == 0)
        i->number = ++w->services[i->service].number;
}

bool tasks_bind(struct world *w, uint32_t service, uint32_t number)
{
    FOR_EACH_TASK(i, w, service)
    {
        if (i->number != 0 || !stays(i))
            continue;
        i->number = number;
        world_push(w, WORLD_STARTED, i, 0, 0);
        return true;
    }
    return false;
}

void tasks_replace(struct world *w, const struct world_instance *i, int64_t delay_us)
{
    struct world_event *e = world_push(w, WORLD_REPLACE, NULL, delay_us, 0);
    e->service = i->service;
}

/* -- one fewer ----------------------------------------------------------------------------------
 */

/* The request that the end of this one answers: its own, or the one with the lowest number. */
static struct world_instance *request_of(struct world *w, struct world_instance *leaving)
{
    struct world_instance *first = NULL;
    if (leaving->asked)
        return leaving;
    FOR_EACH_TASK(i, w, leaving->service)
    {
        if (i->asked && (!first || i->number < first->number))
            first = i;
    }
    return first;
}

/* One fewer there is, whether anybody could be told or not. */
static void answer(struct world *w, struct world_instance *i)
{
    struct world_instance *request = request_of(w, i);
    i->untold = false;
    if (request)
        request->asked = false;
}

void tasks_lose(struct world *w, struct world_instance *i)
{
    if (i->untold)
        answer(w, i);
    world_forget(i);
}

bool tasks_told(struct world *w, struct world_instance *i)
{
    if (!i->untold)
        return true;
    if (!w->driver_up || world_loses(w))
        return false;
    bool is_new = i->number == 0;
    tasks_name(w, i);
    if (is_new)
        world_tell(w, EVENT_FOUND, i, false);
    answer(w, i);
    world_tell(w, EVENT_LEAVING, i, false);
    return true;
}

static void end(struct world *w, struct world_instance *i)
{
    i->stopping = i->untold = true;
    tasks_told(w, i);
    int64_t us = world_between(&w->engines, 0, w->services[i->service].stop_us);
    world_push(w, WORLD_EXITED, i, us, 0);
}

/* Who goes has nothing to do with who was named. */
static void choose(struct world *w, uint32_t service)
{
    uint32_t count = 0;
    FOR_EACH_TASK(i, w, service)
    count += stays(i);
    if (count == 0)
        return;
    uint32_t nth = (uint32_t)rng_below(&w->engines, count);
    FOR_EACH_TASK(i, w, service)
    {
        if (stays(i) && nth-- == 0) {
            end(w, i);
            return;
        }
    }
}

/* Said again, it is the same request: what was lost of the answer is told. */
void tasks_fewer(struct world *w, struct world_instance *i)
{
    if (i->asked || i->stopping) {
        FOR_EACH_TASK(t, w, i->service)
        {
            if (t->untold && tasks_told(w, t))
                return;
        }
        return;
    }
    i->asked = true;
    int64_t us = world_between(&w->engines, 0, US_PER_S / 2);
    struct world_event *e = world_push(w, WORLD_CHOOSE, NULL, us, 0);
    e->service = i->service;
}

/* -- what it does by itself ---------------------------------------------------------------------
 */

void tasks_move(struct world *w, struct world_instance *i)
{
    uint32_t service = i->service;
    end(w, i);
    world_make(w, service, 0, w->services[service].template, true);
}

static void roll(struct world *w, uint32_t service)
{
    struct world_service *s = &w->services[service];
    FOR_EACH_TASK(i, w, service)
    {
        if (stays(i) && i->template != s->template && s->slot >= 0) {
            tasks_move(w, i);
            world_push(w, WORLD_ROLL, NULL, ROLL_US, 0)->service = service;
            return;
        }
    }
    s->rolling = false;
}

/* What the driver has not yet told of, because its word was lost or nobody has asked for the task.
 */
static void look(struct world *w, uint32_t service)
{
    FOR_EACH_TASK(i, w, service)
    {
        if (!w->driver_up || w->services[service].slot < 0 || !tasks_told(w, i))
            continue;
        if (!i->alive) {
            world_push(w, WORLD_EXITED, i, 0, 0);
        } else if (!i->said) {
            tasks_name(w, i);
            i->said = true;
            world_tell(w, EVENT_FOUND, i, i->serving);
        }
    }
}

void tasks_happen(struct world *w, const struct world_event *e)
{
    switch (e->kind) {
    case WORLD_REPLACE:
        world_make(w, e->service, 0, w->services[e->service].template, true);
        break;
    case WORLD_CHOOSE:
        choose(w, e->service);
        break;
    case WORLD_ROLL:
        roll(w, e->service);
        break;
    case WORLD_LOOK:
        for (uint32_t n = 0; n < w->service_count; n++)
            look(w, n);
        world_push(w, WORLD_LOOK, NULL, LOOK_US, 0);
        break;
    default:
        break;
    }
}
