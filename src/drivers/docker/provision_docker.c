/* Instances as containers of a Docker Engine. Owns what is known of each from the moment it is
 * asked for until the engine has removed it; decides nothing. What runs is what the engine says
 * runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "drivers/process/process.h"
#include "sys/log.h"

#define ENGINE_AGAIN_US (5 * US_PER_S)

/* --- the list --- */

static const struct driver_service *service_by_slot(const struct docker *d, uint32_t slot)
{
    for (size_t i = 0; i < d->service_count; i++)
        if (d->services[i].slot == slot)
            return &d->services[i];
    return NULL;
}

const struct driver_service *docker_service_by_name(const struct docker *d, const char *name)
{
    for (size_t i = 0; i < d->service_count; i++)
        if (strcmp(d->services[i].name, name) == 0)
            return &d->services[i];
    return NULL;
}

const struct driver_service *docker_service(const struct container *c)
{
    const struct driver_service *s = service_by_slot(c->docker, c->slot);
    return !c->nameless && s && s->conf && strcmp(s->name, c->service) == 0 ? s : NULL;
}

struct container *docker_find_name(const struct docker *d, const char *name)
{
    return table_get(&d->names, slice_of(name));
}

struct container *docker_find(const struct docker *d, uint32_t slot, uint32_t number)
{
    char name[DOCKER_NAME_MAX];
    const struct driver_service *s = service_by_slot(d, slot);
    if (!s)
        return NULL;
    docker_name(name, sizeof(name), d->env.owner, s->name, number);
    struct container *c = docker_find_name(d, name);
    return c && !c->nameless ? c : NULL;
}

struct container *docker_add(struct docker *d, const char *service, uint32_t number)
{
    const struct driver_service *s = docker_service_by_name(d, service);
    struct container *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->docker = d;
    c->slot = s ? s->slot : UINT32_MAX;
    c->nameless = !s;
    c->number = number;
    c->exit_code = -1;
    c->usage.cpu = c->usage.memory_bytes = c->usage.cpu_ns = -1;
    str_copy(c->service, sizeof(c->service), service);
    docker_name(c->name, sizeof(c->name), d->env.owner, service, number);
    if (table_put(&d->names, slice_of(c->name), c) < 0) {
        free(c);
        return NULL;
    }
    uv_timer_init(d->env.loop, &c->again);
    uv_timer_init(d->env.loop, &c->look);
    list_push_back(&d->containers, &c->link);
    return c;
}

static void on_look_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct container, look));
}

static void on_again_closed(uv_handle_t *handle)
{
    struct container *c = CONTAINER_OF((uv_timer_t *)handle, struct container, again);
    uv_close((uv_handle_t *)&c->look, on_look_closed);
}

/* Numbers are never used again, so logs would pile up: only those of the last few are kept. */
static void forget_old_log(const struct container *c)
{
    char path[PATH_MAX];
    if (c->number <= PROCESS_LOGS_KEPT ||
        docker_find(c->docker, c->slot, c->number - PROCESS_LOGS_KEPT))
        return;
    process_log_path(c->docker->env.state_dir, c->service, c->number - PROCESS_LOGS_KEPT, path,
                     sizeof(path));
    process_log_remove(path);
}

void docker_drop(struct container *c)
{
    docker_probe_end(c);
    docker_usage_end(c);
    docker_log_end(c);
    engine_cancel(c->call);
    uv_timer_stop(&c->again);
    table_take(&c->docker->names, slice_of(c->name));
    list_remove(&c->link);
    if (!c->docker->closing) {
        docker_trouble_over(c);
        forget_old_log(c);
    }
    uv_close((uv_handle_t *)&c->again, on_again_closed);
}

/* --- saying --- */

void docker_emit(struct container *c, const struct event *e)
{
    struct event copy = *e;
    bool with_address = e->type == EVENT_STARTED || e->type == EVENT_FOUND;
    if (c->nameless)
        return;
    copy.service = (int32_t)c->slot;
    copy.number = c->number;
    copy.address = with_address ? c->address : NULL;
    copy.ref = with_address && c->id[0] ? c->id : NULL;
    c->docker->env.emit(c->docker->env.ctx, &copy);
}

static void tell_engine_state(struct docker *d, bool up, const char *error)
{
    for (size_t i = 0; i < d->service_count; i++) {
        struct event e = { .type = EVENT_DRIVER,
                           .service = (int32_t)d->services[i].slot,
                           .flag = up };
        fmt(e.text, sizeof(e.text), "%.150s", up ? "" : error);
        d->env.emit(d->env.ctx, &e);
    }
}

/* --- the engine --- */

static void open_engine(struct docker *d);

static void on_state(void *ctx, bool up, const char *error)
{
    struct docker *d = ctx;
    tell_engine_state(d, up, error);
    if (!up) {
        log_warn("%s", error);
        return;
    }
    log_info("the Docker Engine answers, API %s", engine_version(d->engine));
    step_retry_all(d);
    docker_events_begin(d);
    docker_usage_wake(d);
}

static bool on_may_act(void *ctx)
{
    return docker_may_act(ctx);
}

/* Ports of the engine's machine are reached where the engine is. */
static void note_host(struct docker *d)
{
    const char *host = d->conf.host ? d->conf.host : getenv("DOCKER_HOST");
    str_copy(d->host, sizeof(d->host), "127.0.0.1");
    if (!host || strncmp(host, "tcp://", 6) != 0)
        return;
    host += 6;
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    fmt(d->host, sizeof(d->host), "%.*s", (int)n, host);
}

static void on_engine_timer(uv_timer_t *timer)
{
    open_engine(timer->data);
}

/* Not before somebody needs it: who runs no containers is asked for no engine. */
static void open_engine(struct docker *d)
{
    struct err err = { 0 };
    const struct engine_options options = {
        .loop = d->env.loop, .conf = &d->conf, .may_act = on_may_act, .state = on_state, .ctx = d
    };
    if (d->engine || d->service_count == 0)
        return;
    note_host(d);
    if (engine_new(&options, &d->engine, &err) == 0) {
        d->open_error[0] = '\0';
        return;
    }
    tell_engine_state(d, false, err.text);
    if (strncmp(d->open_error, err.text, sizeof(d->open_error) - 1) != 0)
        log_error("the Docker Engine cannot be reached: %s", err.text);
    fmt(d->open_error, sizeof(d->open_error), "%s", err.text);
    uv_timer_start(&d->engine_timer, on_engine_timer, ENGINE_AGAIN_US / US_PER_MS, 0);
}

static void close_engine(struct docker *d)
{
    step_forget_calls(d);
    docker_login_end(d);
    engine_cancel(d->list);
    engine_cancel(d->events);
    d->list = d->events = NULL;
    engine_free(d->engine);
    d->engine = NULL;
}

static void docker_set_engine(void *self, const void *conf)
{
    struct docker *d = self;
    d->conf = *(const struct engine_conf *)conf;
    if (d->engine && !engine_is_at(d->engine, &d->conf))
        close_engine(d);
    open_engine(d);
}

/* --- the table's functions --- */

/* Whoever leads meanwhile knows better what runs; to lead again begins with a list. */
static void forget_all(struct docker *d)
{
    d->active = d->list_wanted = false;
    LIST_FOR_EACH (it, &d->containers)
        docker_drop(LIST_ENTRY(it, struct container, link));
}

/* A container is its service's by name: slots are given anew. */
static void find_slots(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        const struct driver_service *s = docker_service_by_name(d, c->service);
        c->nameless |= !s;
        c->slot = s ? s->slot : UINT32_MAX;
    }
}

static void docker_set_services(void *self, const struct driver_service *services, size_t count)
{
    struct docker *d = self;
    if (!docker_may_act(d))
        forget_all(d);
    d->service_count = MIN(count, ARRAY_LEN(d->services));
    if (d->service_count > 0)
        memcpy(d->services, services, d->service_count * sizeof(services[0]));
    find_slots(d);
    open_engine(d);
    if (d->engine && engine_is_down(d->engine))
        tell_engine_state(d, false, engine_error(d->engine));
}

/* An action may speak of a service as it is now, or of a new one, before the whole list is told. */
static void take_service(struct docker *d, const struct driver_service *service)
{
    size_t i = 0;
    while (i < d->service_count && d->services[i].slot != service->slot)
        i++;
    if (i == ARRAY_LEN(d->services))
        return;
    d->services[i] = *service;
    d->service_count = MAX(d->service_count, i + 1);
}

static void docker_start(void *self, const struct driver_service *service, uint32_t number)
{
    struct docker *d = self;
    const struct docker_conf *conf = service->conf;
    take_service(d, service);
    if (!conf || docker_find(d, service->slot, number))
        return; /* an action that is repeated takes effect once */
    struct container *c = docker_add(d, service->name, number);
    if (!c) {
        struct event e = { .type = EVENT_START_FAILED,
                           .service = (int32_t)service->slot,
                           .number = number,
                           .text = "another container of its name still runs" };
        d->env.emit(d->env.ctx, &e);
        return;
    }
    c->template = service->template;
    step_go(c, conf->pull == DOCKER_PULL_ALWAYS ? STEP_PULL : STEP_CREATE);
}

static void docker_stop(void *self, uint32_t slot, uint32_t number)
{
    struct docker *d = self;
    struct container *c = docker_find(d, slot, number);
    if (c) {
        step_stop(c);
        return;
    }
    struct event e = { .type = EVENT_EXITED,
                       .service = (int32_t)slot,
                       .number = number,
                       .flag = true,
                       .text = "was not running" };
    d->env.emit(d->env.ctx, &e);
}

static void docker_resize(void *self, const struct driver_service *service, uint32_t number)
{
    struct container *c = docker_find(self, service->slot, number);
    take_service(self, service);
    if (c)
        step_resize(c);
}

static void docker_list(void *self)
{
    struct docker *d = self;
    d->active = d->list_wanted = true;
    open_engine(d);
    /* Whoever asks may have led only since, and have heard nothing before. */
    if (d->engine && (engine_is_up(d->engine) || engine_is_down(d->engine)))
        tell_engine_state(d, engine_is_up(d->engine), engine_error(d->engine));
    if (d->events)
        docker_list_begin(d);
    else
        docker_events_begin(d);
}

static void docker_probe(void *self, uint32_t slot, uint32_t number)
{
    struct container *c = docker_find(self, slot, number);
    if (c)
        docker_probe_now(c);
}

static int docker_follow_log(void *self, uint32_t slot, uint32_t number, struct err *err)
{
    struct container *c = docker_find(self, slot, number);
    return c ? docker_log_follow(c, err) : 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct docker *d = handle->data;
    if (--d->handles == 0)
        free(d);
}

static void docker_close(void *self)
{
    struct docker *d = self;
    d->closing = true;
    close_engine(d);
    LIST_FOR_EACH (it, &d->containers)
        docker_drop(LIST_ENTRY(it, struct container, link));
    prober_free(d->prober);
    uv_close((uv_handle_t *)&d->list_timer, on_timer_closed);
    uv_close((uv_handle_t *)&d->usage_timer, on_timer_closed);
    uv_close((uv_handle_t *)&d->engine_timer, on_timer_closed);
}

static int docker_open(const struct driver_env *env, void **ret, struct err *err)
{
    char path[PATH_MAX];
    struct docker *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, -ENOMEM, "no memory for the docker driver");
    d->env = *env;
    list_init(&d->containers);
    list_init(&d->usage_due);
    table_init(&d->names, d->slots, ARRAY_LEN(d->slots));
    int rc = prober_new(env->loop, &d->prober, err);
    if (rc < 0) {
        free(d);
        return rc;
    }
    uv_timer_t *const timers[] = { &d->list_timer, &d->usage_timer, &d->engine_timer };
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        uv_timer_init(env->loop, timers[i]);
        timers[i]->data = d;
    }
    d->handles = ARRAY_LEN(timers);
    fmt(path, sizeof(path), "%s/log", env->state_dir);
    mkdir(path, 0755); /* where it fails, so will what uses it */
    *ret = d;
    return 0;
}

const struct provision_ops provision_docker = {
    .name = "docker",
    .caps = PROVISION_CAN_DRAIN | PROVISION_CAN_RESIZE | PROVISION_CAN_CHOOSE_VICTIM,
    .section = &docker_section,
    .engine = &docker_engine_section,
    .set_engine = docker_set_engine,
    .template = docker_template,
    .shape = docker_shape,
    .start_within_us = docker_start_within_us,
    .launch_within_us = 10 * US_PER_MIN,
    .open = docker_open,
    .set_services = docker_set_services,
    .start = docker_start,
    .stop = docker_stop,
    .resize = docker_resize,
    .list = docker_list,
    .probe = docker_probe,
    .sample = docker_sample,
    .follow_log = docker_follow_log,
    .close = docker_close,
};
