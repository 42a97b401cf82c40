/* One look at the Swarm: services, their tasks, the nodes when addresses need them; then, one by
 * one, the tasks that were known and are not among those that Swarm wants to run. After that it is
 * known what there is, and instances and replicas follow. Looks follow each other: at once after an
 * event, each second while something is on its way, else rarely. */
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/swarm/swarm_int.h"
#include "sys/log.h"

#define SOON_MS 10   /* several things that happen at once are one look */
#define HURRY_MS 200 /* it runs, and its address is all that is missing */
#define MOVING_MS 1000
#define QUIET_MS 10000
#define PATH_BYTES 65536

static void look(struct swarm_driver *d);

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

static bool is_looking(const struct swarm_driver *d)
{
    return d->call || d->looking > 0;
}

void swarm_look_soon(struct swarm_driver *d)
{
    if (is_looking(d))
        d->again = true;
    else if (d->engine && d->up)
        uv_timer_start(d->timer, on_timer, SOON_MS, 0);
}

static void forget(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

void swarm_look_end(struct swarm_driver *d)
{
    uv_timer_stop(d->timer);
    engine_cancel(d->call);
    d->call = NULL;
    for (size_t i = 0; i < ARRAY_LEN(d->looks); i++) {
        engine_cancel(d->looks[i].call);
        d->looks[i].call = NULL;
    }
    d->looking = 0;
    d->again = false;
    forget(&d->service_list);
    forget(&d->task_list);
    forget(&d->node_list);
}

/* --- the end of a look --- */

/* How long nothing need be looked at, when no event comes before. */
static uint64_t pause_ms(const struct swarm_driver *d)
{
    uint64_t ms = QUIET_MS;
    LIST_FOR_EACH (it, &d->instances) {
        const struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->placeless)
            return HURRY_MS;
        if (!i->ready_once || i->leaving || i->asked)
            ms = MOVING_MS;
    }
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        if (d->services[n].updating || d->services[n].failed || d->services[n].list_wanted)
            ms = MOVING_MS;
    return ms;
}

static void plan_next(struct swarm_driver *d)
{
    bool stirred = d->again;
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++) {
        stirred |= d->services[n].stirred;
        d->services[n].stirred = false;
    }
    d->again = false;
    if (d->engine && d->up)
        uv_timer_start(d->timer, on_timer, stirred ? SOON_MS : pause_ms(d), 0);
}

static void keep_trouble(struct swarm_service *s)
{
    struct swarm_driver *d = s->driver;
    if (strcmp(s->trouble, s->trouble_next) != 0) {
        bool over = !s->trouble_next[0];
        d->env.note(d->env.ctx, s->service.slot, !over, over ? s->trouble : s->trouble_next);
        str_copy(s->trouble, sizeof(s->trouble), s->trouble_next);
    }
    s->trouble_next[0] = '\0';
}

/* Those with `plimsoll.*` labels only: a deployment that changes nothing of them is no news. */
static uint64_t hash_of_labels(const json_t *services)
{
    struct swarm_label labels[64];
    uint64_t hash = 0;
    size_t n;
    const json_t *service;
    json_array_foreach(services, n, service)
    {
        struct swarm_facts facts;
        size_t count = swarm_read_labels(service, labels, ARRAY_LEN(labels));
        swarm_read_service(service, &facts);
        if (count > 0) /* one that is made anew may be of another kind */
            hash ^= XXH3_64bits(facts.id, strlen(facts.id));
        for (size_t i = 0; i < count; i++) {
            if (strcmp(labels[i].name, "plimsoll.token") == 0)
                continue;
            uint64_t of = XXH3_64bits(facts.name, strlen(facts.name));
            of = XXH3_64bits_withSeed(labels[i].name, strlen(labels[i].name), of);
            hash ^= XXH3_64bits_withSeed(labels[i].value, strlen(labels[i].value), of);
        }
    }
    return hash + 1; /* nothing at all is news too, the first time */
}

static void tell_discovered(struct swarm_driver *d)
{
    uint64_t hash = hash_of_labels(d->service_list);
    if (!d->conf || !d->conf->discover || hash == d->discovered)
        return;
    d->discovered = hash;
    d->env.discovered(d->env.ctx);
}

/* Which task is which instance is for the one who leads to say. */
static void follow_tasks(struct swarm_driver *d, struct swarm_service *s)
{
    swarm_match(d, s);
    swarm_tell_list(d, s);
    if (swarm_conf_of(s))
        swarm_scale(d, s);
}

static void finish(struct swarm_driver *d)
{
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++) {
        if (!d->services[n].used)
            continue;
        if (swarm_may_act(d))
            follow_tasks(d, &d->services[n]);
        keep_trouble(&d->services[n]);
    }
    d->refused[0] = '\0';
    swarm_tell_trouble(d);
    plan_next(d);
    tell_discovered(d); /* last: new services may come of it at once */
}

/* One that does not answer at all (status 0) is down, and that is told elsewhere. */
static void break_off(struct swarm_driver *d, const char *what, int status, const char *error)
{
    if (status > 0)
        fmt(d->refused, sizeof(d->refused), "the engine does not tell the Swarm's %s: %.200s", what,
            error[0] ? error : "it answers what it should not");
    else if (error[0])
        log_info("swarm: cannot ask for %s: %s", what, error);
    swarm_tell_trouble(d);
    plan_next(d);
}

/* --- tasks that are not wanted any more --- */

/* Percent-encoded, as a query wants it. */
static void put_encoded(struct str *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (strchr("{}[]\":,", c))
            str_putf(out, "%%%02x", (unsigned)c);
        else
            str_put_char(out, (char)c);
    }
}

static void look_at_missing(struct swarm_driver *d);

static void end_look(struct swarm_look *l)
{
    l->call = NULL;
    l->driver->looking--;
    look_at_missing(l->driver);
}

/* Nothing is left of the task; what Swarm last had to say of another one is the best guess. */
static void on_history(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_look *l = ctx;
    struct swarm_instance *i = swarm_find_ref(l->driver, l->ref);
    const char *guess = status == 200 ? swarm_read_last_failure(json) : "";
    char why[200] = "Swarm has removed it";
    if (guess[0])
        fmt(why, sizeof(why), "Swarm has removed it; of another task it says: %.140s", guess);
    if (i)
        swarm_note_gone(&l->driver->services[i->slot], i, why);
    end_look(l);
}

static bool ask_history(struct swarm_look *l, const struct swarm_service *s)
{
    char path[256];
    struct str out;
    struct engine_request r = { .method = ENGINE_GET, .path = path };
    str_init(&out, path, sizeof(path));
    str_put(&out, "/tasks?filters=");
    put_encoded(&out, "{\"desired-state\":[\"shutdown\"],\"service\":[\"");
    put_encoded(&out, s->id);
    put_encoded(&out, "\"]}");
    l->call = engine_ask(l->driver->engine, &r, on_history, l);
    return l->call != NULL;
}

static void on_task(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_look *l = ctx;
    struct swarm_driver *d = l->driver;
    struct swarm_instance *i = swarm_find_ref(d, l->ref);
    struct swarm_service *s = i ? &d->services[i->slot] : NULL;
    struct swarm_task task;
    if (i && status == 404 && !i->running && ask_history(l, s))
        return;
    if (i && status == 404)
        swarm_note_gone(s, i, "Swarm has removed it");
    else if (i && status == 200) {
        swarm_read_task(json, &task);
        swarm_note_task(s, i, &task);
    }
    end_look(l);
}

static bool begin_task(struct swarm_driver *d, struct swarm_instance *i)
{
    char path[128];
    struct swarm_look *l = d->looks;
    while (l < d->looks + ARRAY_LEN(d->looks) && l->call)
        l++;
    if (l == d->looks + ARRAY_LEN(d->looks))
        return false;
    l->driver = d;
    str_copy(l->ref, sizeof(l->ref), i->ref);
    fmt(path, sizeof(path), "/tasks/%s", i->ref);
    struct engine_request r = { .method = ENGINE_GET, .path = path };
    l->call = engine_ask(d->engine, &r, on_task, l);
    d->looking += l->call != NULL;
    return l->call != NULL;
}

static void look_at_missing(struct swarm_driver *d)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->seen || !i->ref[0])
            continue;
        if (!begin_task(d, i))
            break; /* when one of those under way has answered */
        i->seen = true;
    }
    if (d->looking == 0)
        finish(d);
}

static void mark_seen(struct swarm_driver *d)
{
    size_t n;
    const json_t *json;
    LIST_FOR_EACH (it, &d->instances)
        LIST_ENTRY(it, struct swarm_instance, link)->seen = false;
    json_array_foreach(d->task_list, n, json)
    {
        struct swarm_task task;
        swarm_read_task(json, &task);
        struct swarm_instance *i = swarm_find_ref(d, task.id);
        if (i)
            i->seen = task.wanted && task.stage != SWARM_OVER;
    }
}

/* --- services, tasks, nodes --- */

static void note_update(struct swarm_service *s, const struct swarm_facts *f)
{
    static const char *const busy[] = { "updating", "paused", "rollback_started",
                                        "rollback_paused" };
    s->updating = false;
    for (size_t i = 0; i < ARRAY_LEN(busy); i++)
        s->updating |= strcmp(f->update, busy[i]) == 0;
    if (s->updating)
        fmt(s->update, sizeof(s->update), "its update is %s (%.120s)",
            strcmp(f->update, "updating") == 0 ? "under way" : f->update, f->update_text);
}

static void note_service(struct swarm_driver *d, struct swarm_service *s)
{
    const json_t *json = swarm_find_service(d->service_list, s->name);
    struct swarm_facts f;
    json_decref(s->spec);
    s->spec = NULL;
    s->id[0] = '\0';
    if (!json) {
        if (swarm_conf_of(s))
            swarm_trouble(s, "there is no service %s in the Swarm", s->name);
        return;
    }
    swarm_read_service(json, &f);
    str_copy(s->id, sizeof(s->id), f.id);
    s->version = f.version;
    s->replicas = f.replicas;
    s->spec = json_incref((json_t *)f.spec);
    note_update(s, &f);
    if (f.replicas < 0)
        swarm_trouble(s, "%s is no replicated service: it has no replicas that could be set",
                      s->name);
    if (swarm_conf_of(s) && s->service.serves && swarm_reach_of(s) == SWARM_REACH_MESH)
        swarm_trouble(s, "with `reach: mesh` requests go past plimsoll: remove `listen`");
}

static void on_nodes(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_driver *d = ctx;
    d->call = NULL;
    if (status != 200) {
        break_off(d, "nodes", status, error);
        return;
    }
    forget(&d->node_list);
    d->node_list = json_incref(json);
    look_at_missing(d);
}

static bool ask(struct swarm_driver *d, const char *path, engine_done *done)
{
    struct engine_request r = { .method = ENGINE_GET, .path = path };
    d->call = engine_ask(d->engine, &r, done, d);
    return d->call != NULL;
}

static bool needs_nodes(const struct swarm_driver *d)
{
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        if (d->services[n].used && swarm_conf_of(&d->services[n]) &&
            swarm_reach_of(&d->services[n]) == SWARM_REACH_HOST)
            return true;
    return false;
}

static void on_tasks(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_driver *d = ctx;
    d->call = NULL;
    if (status != 200) {
        break_off(d, "tasks", status, error);
        return;
    }
    forget(&d->task_list);
    d->task_list = json_incref(json);
    mark_seen(d);
    if (!needs_nodes(d))
        look_at_missing(d);
    else if (!ask(d, "/nodes", on_nodes))
        break_off(d, "nodes", 0, "no memory");
}

/* What Swarm wants to run, of our services that have replicas. False = we have none. */
static bool ask_tasks(struct swarm_driver *d)
{
    static char path[PATH_BYTES];
    struct str s;
    bool any = false;
    str_init(&s, path, sizeof(path));
    str_put(&s, "/tasks?filters=");
    put_encoded(&s, "{\"desired-state\":[\"running\",\"ready\"],\"service\":[");
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++) {
        if (!d->services[n].used || !d->services[n].id[0] || d->services[n].replicas < 0)
            continue;
        put_encoded(&s, any ? ",\"" : "\"");
        put_encoded(&s, d->services[n].id);
        put_encoded(&s, "\"");
        any = true;
    }
    put_encoded(&s, "]}");
    return any && ask(d, path, on_tasks);
}

static void on_services(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_driver *d = ctx;
    d->call = NULL;
    if (status != 200) {
        break_off(d, "services", status, error);
        return;
    }
    forget(&d->service_list);
    forget(&d->task_list);
    d->service_list = json_incref(json);
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        if (d->services[n].used)
            note_service(d, &d->services[n]);
    if (ask_tasks(d))
        return;
    LIST_FOR_EACH (it, &d->instances)
        LIST_ENTRY(it, struct swarm_instance, link)->seen = false;
    look_at_missing(d);
}

static void look(struct swarm_driver *d)
{
    if (!d->engine || !d->up || is_looking(d))
        return;
    if (!ask(d, "/services", on_services))
        break_off(d, "services", 0, "no memory");
}
