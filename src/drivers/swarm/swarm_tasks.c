/* Tasks and instances. Each task that Swarm wants to run is an instance: of the start that waits
 * for one, or else found. What happens to a task is told as it happens to the instance.
 *
 *     start, a number waits --- a task appears --> is its --- it runs ------> STARTED
 *     a task that nobody waits for --------------> FOUND ---- it runs ------> STARTED
 *     Swarm does not want it any more: LEAVING; it has ended: EXITED, or START_FAILED before it ran
 */
#include <string.h>

#include "base/fmt.h"
#include "base/table.h"
#include "base/us.h"
#include "drivers/swarm/swarm_int.h"
#include "sys/clock.h"

/* It runs and is not ready: before that it is nothing to speak of. */
#define UNREADY_US (5 * US_PER_S)
/* No node takes a task: that can be over in a moment, when another one has ended. */
#define STUCK_US (5 * US_PER_S)
/* Replicas say that there should be one more, and none comes. */
#define NO_TASK_US (20 * US_PER_S)

/* --- what the core is told --- */

static bool is_asked(const struct swarm_instance *i)
{
    return i->asked && !i->leaving;
}

static bool is_waiting(const struct swarm_instance *i)
{
    return !i->ref[0];
}

/* The one with the lowest number, as the core has it; not the list's first. */
static struct swarm_instance *first_of(const struct swarm_service *s,
                                       bool (*is)(const struct swarm_instance *))
{
    struct swarm_instance *first = NULL;
    LIST_FOR_EACH (it, &s->driver->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot == s->service.slot && is(i) && (!first || i->number < first->number))
            first = i;
    }
    return first;
}

static struct swarm_instance *asked_one(const struct swarm_service *s)
{
    return first_of(s, is_asked);
}

static struct swarm_instance *waiting_one(const struct swarm_service *s)
{
    return first_of(s, is_waiting);
}

/* That this one leaves is what was asked for, in whomever's name it was. */
static void tell_leaving(struct swarm_service *s, struct swarm_instance *i)
{
    struct event e = { .type = EVENT_LEAVING };
    struct swarm_instance *asked = i->asked ? i : asked_one(s);
    if (i->leaving)
        return;
    if (asked)
        asked->asked = asked->sent = false;
    i->leaving = true;
    s->stirred = true;
    swarm_probe_end(i);
    swarm_emit(i, &e);
}

static void tell_end(struct swarm_service *s, struct swarm_instance *i, enum event_type type,
                     int64_t exit_code, const char *why)
{
    struct event e = { .type = type, .status = (int32_t)(exit_code & 0xff) << 8 };
    fmt(e.text, sizeof(e.text), "%.150s", why);
    e.flag = type == EVENT_EXITED && exit_code < 0;
    s->stirred = true;
    swarm_emit(i, &e);
    swarm_drop(i);
}

static void tell_running(struct swarm_instance *i, enum event_type type)
{
    struct swarm_service *s = &i->driver->services[i->slot];
    struct event e = { .type = type,
                       .template = s->service.template,
                       .flag = type == EVENT_FOUND && i->running };
    i->told = true;
    swarm_emit(i, &e);
}

/* --- one task --- */

static void note_placeless(struct swarm_service *s, const char *why)
{
    const struct swarm_conf *conf = swarm_conf_of(s);
    int64_t published = swarm_published(s->spec);
    bool other = conf->port > 0 && !conf->network && published > 0 && published != conf->port;
    if (other)
        swarm_trouble(s,
                      "no address of a task of %s: it publishes port %lld in mode host, not %lld",
                      s->name, (long long)published, (long long)conf->port);
    else
        swarm_trouble(s, "no address of a task of %s: %s", s->name, why);
}

static bool take_address(struct swarm_service *s, struct swarm_instance *i,
                         const struct swarm_task *task)
{
    const struct swarm_conf *conf = swarm_conf_of(s);
    const char *why = "";
    char address[DRIVER_ADDRESS_MAX];
    if (!conf)
        return true; /* it is left as it was */
    if (!swarm_read_address(task, conf, swarm_reach_of(s), s->driver->node_list, address,
                            sizeof(address), &why)) {
        note_placeless(s, why);
        return false;
    }
    bool moved = i->running && strcmp(address, i->address) != 0;
    str_copy(i->address, sizeof(i->address), address);
    if (moved)
        tell_running(i, EVENT_FOUND);
    return true;
}

/* An address in a network that plimsoll is not in may as well lead to a stranger, who answers. */
static void note_unready(struct swarm_service *s, const struct swarm_instance *i)
{
    if (!i->running || i->ready_once || !i->failure[0] ||
        clock_now_us() - i->probing_us < UNREADY_US)
        return;
    swarm_trouble(s, "%s-%u is not ready: %s%s", s->service.name, i->number, i->failure,
                  swarm_reach_of(s) == SWARM_REACH_TASKS
                      ? " (is plimsoll attached to the task's network? else publish the port with "
                        "`mode: host`)"
                      : "");
}

static void note_running(struct swarm_service *s, struct swarm_instance *i,
                         const struct swarm_task *task)
{
    str_copy(i->node, sizeof(i->node), task->node);
    str_copy(i->container, sizeof(i->container), task->container);
    i->placeless = !take_address(s, i, task);
    note_unready(s, i);
    if (i->placeless || i->running)
        return;
    i->running = true;
    if (s->list_wanted)
        return; /* the list tells it */
    tell_running(i, EVENT_STARTED);
    swarm_probe_begin(i);
}

static void note_stuck(struct swarm_service *s, struct swarm_instance *i,
                       const struct swarm_task *task)
{
    swarm_trouble(s, "a task of %s waits: %s", s->name, task->why);
    if (!i->told && clock_now_us() - i->since_us >= STUCK_US)
        tell_end(s, i, EVENT_START_FAILED, 0, task->why);
}

/* Of what scaling in ends nothing is left soon; it may have been too quick to be seen leaving. */
void swarm_note_gone(struct swarm_service *s, struct swarm_instance *i, const char *why)
{
    if (asked_one(s))
        tell_leaving(s, i);
    tell_end(s, i, i->told || i->leaving ? EVENT_EXITED : EVENT_START_FAILED, -1, why);
}

static void note_over(struct swarm_service *s, struct swarm_instance *i,
                      const struct swarm_task *task)
{
    char text[200];
    bool started = i->told && i->running;
    if (task->shut_down && asked_one(s))
        tell_leaving(s, i);
    if (started && task->exit_code != 0)
        fmt(text, sizeof(text), "exited with status %lld", (long long)task->exit_code);
    else
        fmt(text, sizeof(text), "%.190s", i->leaving ? "ended by Swarm" : task->why);
    bool exited = started || i->leaving;
    tell_end(s, i, exited ? EVENT_EXITED : EVENT_START_FAILED, task->exit_code, text);
}

void swarm_note_task(struct swarm_service *s, struct swarm_instance *i,
                     const struct swarm_task *task)
{
    if (task->stage == SWARM_OVER)
        note_over(s, i, task);
    else if (!task->wanted && (i->told || asked_one(s)))
        tell_leaving(s, i);
    else if (!task->wanted) /* replaced before it ran: another one comes */
        swarm_set_ref(i, "");
    else if (task->stage == SWARM_RUNNING)
        note_running(s, i, task);
    else if (task->stuck)
        note_stuck(s, i, task);
}

/* --- whose is it? --- */

/* The core's answer to an end that it has just been told may be a start, which this task is for. */
static struct swarm_instance *find_task(struct swarm_service *s, const struct swarm_task *task)
{
    struct swarm_driver *d = s->driver;
    struct swarm_instance *i = waiting_one(s);
    if (!i && s->stirred && !s->list_wanted)
        return NULL;
    bool found = !i;
    if (found)
        i = swarm_add(d, s->service.slot, d->env.number_of(d->env.ctx, s->service.slot, task->id));
    if (!i)
        return NULL;
    swarm_set_ref(i, task->id);
    if (found && task->stage == SWARM_COMING && !s->list_wanted)
        tell_running(i, EVENT_FOUND);
    return i;
}

/* Why the start that waits will never find a task; NULL = it may. */
static const char *hopeless(const struct swarm_service *s, const struct swarm_instance *i)
{
    if (!s->id[0])
        return "there is no such service in the Swarm";
    if (s->replicas < 0)
        return "it is no replicated service, and has no replicas that could be set";
    if (s->updating || s->setting || clock_now_us() - i->since_us < NO_TASK_US)
        return NULL;
    if (s->failed)
        return s->failure;
    return "Swarm makes no task for it, though the replicas ask for one: see its restart policy";
}

static void note_waiting(struct swarm_service *s)
{
    struct swarm_instance *i;
    const char *why;
    while ((i = waiting_one(s)) != NULL && (why = hopeless(s, i)) != NULL)
        tell_end(s, i, EVENT_START_FAILED, 0, why);
}

/* It has ended before it was seen to begin. Each explains one start. */
static bool is_news(struct swarm_service *s, const struct swarm_task *task)
{
    uint64_t id = table_hash(slice_of(task->id));
    for (size_t n = 0; n < ARRAY_LEN(s->blamed); n++)
        if (s->blamed[n] == id)
            return false;
    s->blamed[s->blamed_next++ % ARRAY_LEN(s->blamed)] = id;
    return true;
}

static void note_stillborn(struct swarm_service *s, const struct swarm_task *task)
{
    struct swarm_instance *i = waiting_one(s);
    if (i && !s->list_wanted && is_news(s, task))
        tell_end(s, i, EVENT_START_FAILED, task->exit_code, task->why);
}

void swarm_match(struct swarm_driver *d, struct swarm_service *s)
{
    size_t n;
    const json_t *json;
    json_array_foreach(d->task_list, n, json)
    {
        struct swarm_task task;
        swarm_read_task(json, &task);
        struct swarm_instance *i = swarm_find_ref(d, task.id);
        if (strcmp(task.service, s->id) != 0 || !s->id[0] || !task.wanted)
            continue;
        if (!i && task.stage == SWARM_OVER)
            note_stillborn(s, &task);
        else if (!i)
            i = find_task(s, &task);
        if (i)
            swarm_note_task(s, i, &task);
    }
    note_waiting(s);
}

/* --- the list --- */

void swarm_tell_list(struct swarm_driver *d, struct swarm_service *s)
{
    struct event all = { .type = EVENT_FOUND_ALL, .service = (int32_t)s->service.slot };
    struct event leaving = { .type = EVENT_LEAVING };
    if (!s->list_wanted)
        return;
    s->list_wanted = false;
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot != s->service.slot || !i->ref[0])
            continue;
        bool known = i->told;
        tell_running(i, EVENT_FOUND);
        if (i->leaving)
            swarm_emit(i, &leaving);
        else if (!known && i->running)
            swarm_probe_begin(i);
    }
    d->env.emit(d->env.ctx, &all);
}
