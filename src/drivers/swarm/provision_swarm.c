/* Instances as tasks of a Docker Swarm's services. The services are there already; this sets their
 * replicas, and says what becomes of the tasks. Which task goes when there are to be fewer is
 * Swarm's choice. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fmt.h"
#include "base/table.h"
#include "base/us.h"
#include "drivers/swarm/swarm_int.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define LABELS_MAX 256
#define DISCOVERY_BYTES_MAX ((size_t)128 * 1024 * 1024)

/* --- instances --- */

struct swarm_instance *swarm_add(struct swarm_driver *d, uint32_t slot, uint32_t number)
{
    struct swarm_instance *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    i->driver = d;
    i->slot = slot;
    i->number = number;
    i->since_us = clock_now_us();
    i->cpu = i->memory_bytes = -1;
    uv_timer_init(d->env.loop, &i->timer);
    list_push_back(&d->instances, &i->link);
    return i;
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct swarm_instance, timer));
}

void swarm_drop(struct swarm_instance *i)
{
    swarm_probe_end(i);
    engine_cancel(i->usage_call);
    list_remove(&i->link);
    uv_close((uv_handle_t *)&i->timer, on_closed);
}

static struct swarm_instance *find(const struct swarm_driver *d, uint32_t slot, uint32_t number)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot == slot && i->number == number)
            return i;
    }
    return NULL;
}

void swarm_set_ref(struct swarm_instance *i, const char *ref)
{
    str_copy(i->ref, sizeof(i->ref), ref);
    i->ref_hash = table_hash(slice_of(ref));
}

/* Each look asks this once for every task: so numbers are compared, not texts. */
struct swarm_instance *swarm_find_ref(const struct swarm_driver *d, const char *ref)
{
    uint64_t hash = table_hash(slice_of(ref));
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->ref_hash == hash && strcmp(i->ref, ref) == 0)
            return i;
    }
    return NULL;
}

void swarm_emit(struct swarm_instance *i, const struct event *e)
{
    struct event copy = *e;
    bool with_place = e->type == EVENT_STARTED || e->type == EVENT_FOUND;
    copy.service = (int32_t)i->slot;
    copy.number = i->number;
    copy.address = with_place ? i->address : NULL;
    copy.ref = with_place ? i->ref : NULL;
    i->driver->env.emit(i->driver->env.ctx, &copy);
}

void swarm_trouble(struct swarm_service *s, const char *format, ...)
{
    struct str text;
    va_list args;
    if (s->trouble_next[0])
        return;
    str_init(&text, s->trouble_next, sizeof(s->trouble_next));
    va_start(args, format);
    str_putv(&text, format, args);
    va_end(args);
}

/* --- the engine --- */

static void on_info(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_driver *d = ctx;
    const char *node = "";
    json_unpack(json, "{s:{s:s}}", "Swarm", "NodeID", &node);
    str_copy(d->node, sizeof(d->node), node);
}

static void listen_events(struct swarm_driver *d);

static void on_event(void *ctx, json_t *json, const char *error)
{
    struct swarm_driver *d = ctx;
    if (!json) {
        d->events = NULL;
        if (d->up)
            listen_events(d);
    }
    swarm_look_soon(d);
}

static void listen_events(struct swarm_driver *d)
{
    d->events = engine_listen(
        d->engine,
        "/events?filters=%7b%22type%22%3a%5b%22service%22%2c%22node%22%2c%22container%22%5d%2c"
        "%22event%22%3a%5b%22create%22%2c%22update%22%2c%22remove%22%2c%22start%22%2c%22die%22%2c"
        "%22health_status%22%5d%7d",
        on_event, d);
}

static void tell_state(struct swarm_driver *d)
{
    for (uint32_t slot = 0; slot < ARRAY_LEN(d->services); slot++) {
        struct event e = { .type = EVENT_DRIVER, .service = (int32_t)slot, .flag = d->up };
        if (!d->services[slot].used)
            continue;
        str_copy(e.text, sizeof(e.text), d->down);
        d->env.emit(d->env.ctx, &e);
    }
}

static bool has_services(const struct swarm_driver *d)
{
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        if (d->services[n].used)
            return true;
    return false;
}

/* Services say themselves that their engine is away; this is for when there are none to say it. */
static void put_trouble(const struct swarm_driver *d, char *buf, size_t cap)
{
    bool nobody = !has_services(d) || !d->engine;
    if (d->conf && d->conf->discover && nobody && !d->up && d->down[0])
        fmt(buf, cap, "swarm: no services can be found: %s", d->down);
    else if (d->refused[0])
        fmt(buf, cap, "swarm: %s", d->refused);
    else if (!d->engine && d->down[0])
        fmt(buf, cap, "%s", d->down);
    else
        fmt(buf, cap, "%s", d->mistakes);
}

void swarm_tell_trouble(struct swarm_driver *d)
{
    char text[sizeof(d->trouble)];
    put_trouble(d, text, sizeof(text));
    if (strcmp(text, d->trouble) == 0)
        return;
    if (d->trouble[0])
        d->env.note(d->env.ctx, UINT32_MAX, false, d->trouble);
    if (text[0])
        d->env.note(d->env.ctx, UINT32_MAX, true, text);
    str_copy(d->trouble, sizeof(d->trouble), text);
}

static void on_state(void *ctx, bool up, const char *error)
{
    struct swarm_driver *d = ctx;
    struct engine_request info = { .method = ENGINE_GET, .path = "/info" };
    d->up = up;
    fmt(d->down, sizeof(d->down), "%.150s", up ? "" : error);
    d->refused[0] = '\0';
    tell_state(d);
    swarm_tell_trouble(d);
    if (!up)
        return;
    if (!d->events)
        listen_events(d);
    engine_ask(d->engine, &info, on_info, d);
    swarm_look_soon(d);
}

static void close_engine(struct swarm_driver *d)
{
    swarm_look_end(d);
    engine_cancel(d->events);
    d->events = NULL;
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        engine_cancel(i->usage_call);
        i->usage_call = NULL;
    }
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        d->services[n].setting = false;
    engine_free(d->engine);
    d->engine = NULL;
    d->up = false;
}

static bool is_needed(const struct swarm_driver *d)
{
    return (d->conf && d->conf->discover) || has_services(d);
}

bool swarm_may_act(const struct swarm_driver *d)
{
    return d->env.may_act(d->env.ctx);
}

static bool may_act(void *ctx)
{
    return swarm_may_act(ctx);
}

/* Only when somebody needs it: most have no Swarm. */
static void open_engine(struct swarm_driver *d)
{
    struct err err = { 0 };
    struct engine_options options = { .loop = d->env.loop,
                                      .conf = &d->conf->engine,
                                      .may_act = may_act,
                                      .state = on_state,
                                      .ctx = d };
    if (d->engine || !d->conf || !is_needed(d))
        return;
    if (engine_new(&options, &d->engine, &err) == 0)
        return;
    fmt(d->down, sizeof(d->down), "%.150s", err.text);
    tell_state(d);
    swarm_tell_trouble(d);
}

static uint64_t hash_of(const struct swarm_engine_conf *conf)
{
    const struct engine_conf *e = &conf->engine;
    const char *texts[] = { e->host, e->ca, e->cert, e->key };
    uint64_t hash = (uint64_t)e->timeout_us * 2 + conf->discover;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i])
            hash = XXH3_64bits_withSeed(texts[i], strlen(texts[i]), hash + i + 1);
    return hash;
}

static void swarm_set_engine(void *self, const void *conf)
{
    struct swarm_driver *d = self;
    uint64_t hash = hash_of(conf);
    d->conf = conf;
    if (d->engine && hash == d->conf_hash)
        return;
    close_engine(d);
    d->conf_hash = hash;
    d->discovered = 0;
    d->down[0] = d->refused[0] = d->mistakes[0] = '\0';
    open_engine(d);
    swarm_tell_trouble(d);
}

/* --- services --- */

const struct swarm_conf *swarm_conf_of(const struct swarm_service *s)
{
    return s->service.conf;
}

enum swarm_reach swarm_reach_of(const struct swarm_service *s)
{
    const struct swarm_conf *conf = swarm_conf_of(s);
    if (!conf)
        return SWARM_REACH_MESH;
    if (conf->reach != SWARM_REACH_AUTO)
        return (enum swarm_reach)conf->reach;
    if (!s->service.serves)
        return SWARM_REACH_MESH;
    return !conf->network && swarm_publishes(s->spec, conf->port) ? SWARM_REACH_HOST
                                                                  : SWARM_REACH_TASKS;
}

/* The tasks are Swarm's, and stay, when plimsoll has nothing to do with their service any more. */
static void let_go(struct swarm_driver *d, uint32_t slot, bool asked_only)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        struct event e = { .type = EVENT_EXITED, .flag = true, .text = "let go; Swarm keeps it" };
        if (i->slot != slot || (asked_only && !i->asked))
            continue;
        swarm_emit(i, &e);
        swarm_drop(i);
    }
}

static void set_service(struct swarm_driver *d, const struct driver_service *service)
{
    struct swarm_service *s = &d->services[service->slot];
    const struct swarm_conf *conf = service->conf;
    const char *name = conf && conf->service ? conf->service : service->name;
    if (s->used && conf && strcmp(s->name, name) != 0) {
        let_go(d, service->slot, false);
        s->id[0] = '\0';
    }
    if (!conf) /* the core may have asked a moment ago, when it still had one */
        let_go(d, service->slot, true);
    if (!s->used || conf)
        str_copy(s->name, sizeof(s->name), name);
    s->used = true;
    s->driver = d;
    s->service = *service;
}

static void forget_service(struct swarm_driver *d, uint32_t slot)
{
    struct swarm_service *s = &d->services[slot];
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot == slot)
            swarm_drop(i);
    }
    json_decref(s->spec);
    *s = (struct swarm_service){ .driver = d };
}

/* Whoever leads meanwhile says which task is whose; to lead again begins with a list. */
static void forget_all(struct swarm_driver *d)
{
    for (uint32_t slot = 0; slot < ARRAY_LEN(d->services); slot++) {
        if (d->services[slot].trouble[0])
            d->env.note(d->env.ctx, slot, false, d->services[slot].trouble);
        forget_service(d, slot);
    }
}

static void swarm_set_services(void *self, const struct driver_service *services, size_t count)
{
    struct swarm_driver *d = self;
    bool kept[MODEL_SERVICES_MAX] = { false };
    if (!swarm_may_act(d))
        forget_all(d);
    for (size_t i = 0; i < count; i++) {
        kept[services[i].slot] = true;
        set_service(d, &services[i]);
    }
    for (uint32_t slot = 0; slot < ARRAY_LEN(d->services); slot++)
        if (d->services[slot].used && !kept[slot])
            forget_service(d, slot);
    open_engine(d);
    if (!d->up && d->down[0])
        tell_state(d); /* to those who have just come */
    swarm_tell_trouble(d);
    swarm_look_soon(d);
}

/* --- what the core wants --- */

static void swarm_start(void *self, const struct driver_service *service, uint32_t number)
{
    struct swarm_driver *d = self;
    if (!service->conf || find(d, service->slot, number))
        return;              /* an action that is repeated takes effect once */
    set_service(d, service); /* it may be new, and not told yet */
    swarm_add(d, service->slot, number);
    swarm_look_soon(d);
}

static void say_exited(struct swarm_driver *d, uint32_t slot, uint32_t number, const char *text)
{
    struct event e = {
        .type = EVENT_EXITED, .service = (int32_t)slot, .number = number, .flag = true
    };
    str_copy(e.text, sizeof(e.text), text);
    d->env.emit(d->env.ctx, &e);
}

static void swarm_stop(void *self, uint32_t slot, uint32_t number)
{
    struct swarm_driver *d = self;
    struct swarm_service *s = &d->services[slot];
    struct swarm_instance *i = find(d, slot, number);
    if (i && (i->leaving || i->asked))
        return;
    if (i && i->ref[0] && swarm_conf_of(s)) {
        i->asked = true;
        swarm_look_soon(d);
        return;
    }
    say_exited(d, slot, number,
               !i           ? "was not running"
               : !i->ref[0] ? "was not started yet"
                            : "let go; Swarm keeps it");
    s->fewer |= i && !i->ref[0];
    if (i)
        swarm_drop(i);
    swarm_look_soon(d);
}

static void swarm_list(void *self)
{
    struct swarm_driver *d = self;
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++)
        d->services[n].list_wanted = d->services[n].used;
    swarm_look_soon(d);
}

static void swarm_probe(void *self, uint32_t slot, uint32_t number)
{
    struct swarm_instance *i = find(self, slot, number);
    if (i)
        swarm_probe_now(i);
}

static void swarm_sample(void *self, const struct source_service *service, int64_t now_us,
                         struct source_sink *sink)
{
    swarm_usage_sample(self, service, now_us, sink);
}

/* --- labels --- */

static _printf_(2, 3) void add_mistake(struct swarm_driver *d, const char *format, ...)
{
    char text[sizeof(d->mistakes)];
    size_t n = strlen(d->mistakes);
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    fmt(d->mistakes + n, sizeof(d->mistakes) - n, "%s%s", n > 0 ? "; " : "", text);
}

static bool runs_here(const struct swarm_driver *d, const char *swarms, const char *here)
{
    for (size_t n = 0; n < ARRAY_LEN(d->services); n++) {
        const struct swarm_service *s = &d->services[n];
        if (s->used && swarm_conf_of(s) && strcmp(s->name, swarms) == 0 &&
            strcmp(s->service.name, here) == 0)
            return true;
    }
    return false;
}

/* Labels that do not say whether they count: a slip must not end what they have begun. */
static bool is_in_doubt(const char *why_not)
{
    static const char enable[] = "label plimsoll.enable:";
    return strncmp(why_not, enable, strlen(enable)) == 0;
}

static bool discover_one(struct swarm_driver *d, const json_t *service,
                         struct driver_discovery *ret)
{
    struct swarm_label labels[LABELS_MAX];
    struct swarm_facts facts;
    char why_not[256];
    size_t count = swarm_read_labels(service, labels, ARRAY_LEN(labels));
    swarm_read_service(service, &facts);
    bool enabled = swarm_labels_enable(labels, count, why_not, sizeof(why_not));
    size_t name = strcspn(why_not, ":");
    if (!enabled && !why_not[0])
        return false;
    int rc = enabled && facts.replicas < 0
                 ? -EINVAL
                 : swarm_labels_read(facts.name, labels, count, &d->discovery, ret);
    bool stays = is_in_doubt(why_not) && rc == 0 && runs_here(d, facts.name, ret->name);
    if (!enabled)
        add_mistake(d, "%.*s of service %s%s%s", (int)name, why_not, facts.name, why_not + name,
                    stays ? "; it stays, for it runs here" : "");
    else if (facts.replicas < 0)
        add_mistake(d, "service %s is left out: it is global or a job, and has no replicas to set",
                    facts.name);
    else if (rc < 0)
        add_mistake(d, "labels of service %s: %s", facts.name, strerror(-rc));
    return rc == 0 && (enabled || stays);
}

/* Of two times with a fraction or without: "...:07Z" is before "...:07.5Z". */
static int compare_times(const char *a, const char *b)
{
    size_t n = strcspn(a, "Z"), m = strcspn(b, "Z");
    int order = strncmp(a, b, MIN(n, m));
    return order != 0 ? order : (n > m) - (n < m);
}

static int compare_ages(const void *x, const void *y)
{
    struct swarm_facts a, b;
    swarm_read_service(*(const json_t *const *)x, &a);
    swarm_read_service(*(const json_t *const *)y, &b);
    int order = compare_times(a.created, b.created);
    return order != 0 ? order : strcmp(a.id, b.id);
}

/* The oldest first, whatever order the engine has: of two that want the same the older one gets it.
 */
static size_t discover_all(struct swarm_driver *d, struct driver_discovery *items, size_t cap)
{
    size_t n, size = json_array_size(d->service_list), count = 0;
    const json_t *service, **sorted = calloc(size + 1, sizeof(*sorted));
    if (!sorted)
        return 0;
    json_array_foreach(d->service_list, n, service) sorted[n] = service;
    qsort(sorted, size, sizeof(*sorted), compare_ages);
    for (n = 0; n < size && count < cap; n++)
        count += discover_one(d, sorted[n], &items[count]);
    free(sorted);
    return count;
}

static size_t swarm_discover(void *self, struct driver_discovery *items, size_t cap)
{
    struct swarm_driver *d = self;
    d->mistakes[0] = '\0';
    arena_done(&d->discovery);
    mem_arena_init(&d->discovery, DISCOVERY_BYTES_MAX);
    size_t count = d->conf && d->conf->discover ? discover_all(d, items, cap) : 0;
    swarm_tell_trouble(d);
    return count;
}

/* --- the table --- */

/* Swarm makes tasks of its own description, and replaces them itself when that changes. */
static uint64_t swarm_template(const void *conf, bool serves)
{
    return 1;
}

static int64_t swarm_start_within_us(const void *conf)
{
    return ((const struct swarm_conf *)conf)->within_us;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

static void swarm_close(void *self)
{
    struct swarm_driver *d = self;
    close_engine(d);
    for (uint32_t slot = 0; slot < ARRAY_LEN(d->services); slot++)
        forget_service(d, slot);
    prober_free(d->prober);
    if (d->timer)
        uv_close((uv_handle_t *)d->timer, on_timer_closed);
    arena_done(&d->discovery);
    free(d);
}

static int swarm_open(const struct driver_env *env, void **ret, struct err *err)
{
    struct swarm_driver *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, -ENOMEM, "no memory for the swarm driver");
    d->env = *env;
    list_init(&d->instances);
    mem_arena_init(&d->discovery, DISCOVERY_BYTES_MAX);
    d->timer = calloc(1, sizeof(*d->timer));
    if (d->timer) {
        uv_timer_init(env->loop, d->timer);
        d->timer->data = d;
    }
    int rc = d->timer ? prober_new(env->loop, &d->prober, err)
                      : err_set(err, -ENOMEM, "no memory for the swarm driver");
    if (rc < 0) {
        swarm_close(d);
        return rc;
    }
    *ret = d;
    return 0;
}

const struct provision_ops provision_swarm = {
    .name = "swarm",
    .caps = 0,
    .section = &swarm_section,
    .engine = &swarm_engine_section,
    .set_engine = swarm_set_engine,
    .template = swarm_template,
    .start_within_us = swarm_start_within_us,
    .open = swarm_open,
    .set_services = swarm_set_services,
    .start = swarm_start,
    .stop = swarm_stop,
    .list = swarm_list,
    .probe = swarm_probe,
    .sample = swarm_sample,
    .discover = swarm_discover,
    .close = swarm_close,
};
