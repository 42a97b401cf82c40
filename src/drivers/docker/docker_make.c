/* Making a container: the image is pulled if need be, the container created, started, and looked at
 * for where it is reached. What fails in between is removed again. */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_step.h"
#include "drivers/process/process.h"

#define HOST_PORT_MIN 21000 /* as run.ports */
#define HOST_PORT_MAX 28999

/* --- failure --- */

/* The engine's runtime tells a long story; its end is what matters. */
static struct slice heart_of(const char *error)
{
    static const struct slice begin = SLICE("container process: "), end = SLICE(": unknown");
    const char *found = strstr(error, begin.p);
    struct slice s = slice_of(found ? found + begin.n : error);
    if (s.n > end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0)
        s.n -= end.n;
    return s;
}

void make_fail(struct container *c, const char *prefix, const char *error)
{
    struct event e = { .type = EVENT_START_FAILED };
    struct slice heart = heart_of(error);
    fmt(e.text, sizeof(e.text), "%s%.*s", prefix, (int)heart.n, heart.p);
    if (!c->end_told)
        docker_emit(c, &e);
    c->end_told = true;
    if (c->id[0])
        step_go(c, STEP_REMOVE);
    else
        docker_drop(c);
}

/* --- create --- */

static bool port_taken(void *ctx, uint16_t port)
{
    const struct docker *d = ctx;
    LIST_FOR_EACH (it, &d->containers)
        if (LIST_ENTRY(it, struct container, link)->port == port)
            return true;
    return false;
}

/* In the host's network two containers cannot have the same port. */
static uint16_t choose_port(struct docker *d, const struct docker_conf *conf, bool serves)
{
    uint16_t port = docker_port(conf, serves);
    if (port == 0 || !docker_is_on_host(conf))
        return port;
    return process_choose_port(HOST_PORT_MIN, HOST_PORT_MAX, &d->next_port, port_taken, d);
}

static json_t *make_body(struct container *c, const struct driver_service *s, struct err *err)
{
    struct docker *d = c->docker;
    if (c->port == 0)
        c->port = choose_port(d, s->conf, s->serves);
    c->shape = docker_shape(s->conf);
    c->drain_us = s->drain_us;
    const struct docker_identity who = {
        .owner = d->env.owner,
        .service = c->service,
        .number = c->number,
        .template = c->template,
        .shape = c->shape,
        .token = d->env.token ? d->env.token(d->env.ctx) : 0,
        .drain_us = c->drain_us,
        .port = c->port,
        .publish_at = docker_publish_at(d->host),
    };
    return docker_create_body(s->conf, &who, err);
}

void make_ask_create(struct container *c)
{
    const struct driver_service *s = docker_service(c);
    char path[DOCKER_PATH_MAX];
    struct err err = { 0 };
    if (!s || s->template != c->template) {
        make_fail(c, "", "the configuration changed before it could be started");
        return;
    }
    json_t *body = make_body(c, s, &err);
    if (!body) {
        make_fail(c, "", err.text);
        return;
    }
    fmt(path, sizeof(path), "/containers/create?name=%s", c->name);
    step_ask(c, &(struct engine_request){
                    .method = ENGINE_POST, .path = path, .body = body, .acts = true });
    json_decref(body);
}

static void on_no_image(struct container *c, const char *error)
{
    const struct docker_conf *conf = step_conf(c);
    if (conf && conf->pull == DOCKER_PULL_MISSING)
        step_go(c, STEP_PULL);
    else
        make_fail(c, "", error);
}

void make_on_created(struct container *c, int status, json_t *json, const char *error)
{
    const char *id = json_string_value(json_object_get(json, "Id"));
    if (status == 409) /* by an earlier life, or by a request whose answer was lost */
        step_go(c, STEP_LOOK);
    else if (status == 404 && strstr(error, "o such image"))
        on_no_image(c, error);
    else if (status >= 300)
        make_fail(c, "", error);
    else if (!id || !str_copy(c->id, sizeof(c->id), id))
        make_fail(c, "", "the engine does not say what it has created");
    else
        step_go(c, STEP_START);
}

/* --- start, look --- */

void make_ask_start(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    step_path(c, "/start", path);
    step_ask(c, &(struct engine_request){
                    .method = ENGINE_POST, .path = path, .acts = true, .lane = ENGINE_STARTS });
}

void make_on_started(struct container *c, int status, json_t *json, const char *error)
{
    if (status >= 400)
        make_fail(c, "", error);
    else
        step_go(c, STEP_LOOK);
}

void make_ask_look(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    step_path(c, "/json", path);
    step_ask(c, &(struct engine_request){ .path = path });
}

static void tell_started(struct container *c)
{
    struct event e = {
        .type = EVENT_STARTED, .pid = c->pid, .template = c->template, .shape = c->shape
    };
    docker_emit(c, &e);
    c->started_told = true;
}

/* Of another machine's process the number says nothing here. */
static int64_t pid_here(const struct docker *d, int64_t pid)
{
    return strcmp(d->host, "127.0.0.1") == 0 ? pid : 0;
}

static void take_seen(struct container *c, const struct docker_seen *seen)
{
    str_copy(c->id, sizeof(c->id), seen->id);
    str_copy(c->address, sizeof(c->address), seen->address);
    str_copy(c->health, sizeof(c->health), seen->health);
    c->pid = pid_here(c->docker, seen->pid);
    c->shape = seen->shape;
}

static void on_runs(struct container *c)
{
    if (c->port && !c->address[0]) {
        make_fail(c, "", "it has no address in its network that could be reached");
        return;
    }
    c->list_seq = c->docker->list_seq;
    tell_started(c);
    step_go(c, STEP_RUN);
    docker_probe_begin(c, 0);
    docker_usage_wake(c->docker);
    if (c->resize_wanted)
        step_resize(c);
}

/* The name is taken and nothing has it: a request whose answer was lost is still being carried out,
 * or has failed by now. */
static void create_again(struct container *c)
{
    c->step = STEP_CREATE;
    step_ask_later(c);
}

void make_on_looked(struct container *c, int status, json_t *json, const char *error)
{
    struct docker_seen seen;
    char prefix[160];
    if (status >= 500) {
        step_ask_later(c);
        return;
    }
    if (status == 404 && !c->id[0]) {
        create_again(c);
        return;
    }
    if (status >= 400) {
        make_fail(c, "", error);
        return;
    }
    if (!docker_see_inspected(json, c->docker->env.owner, c->docker->host, &seen) ||
        seen.number != c->number || strcmp(seen.service, c->service) != 0 ||
        seen.template != c->template) {
        c->id[0] = '\0'; /* it is not ours to remove */
        fmt(prefix, sizeof(prefix), "the name %.100s is taken ", c->name);
        make_fail(c, prefix, "by another container");
        return;
    }
    take_seen(c, &seen);
    if (seen.status == DOCKER_CREATED) {
        step_go(c, STEP_START);
    } else if (seen.status == DOCKER_EXITED) {
        tell_started(c);
        step_died(c, seen.exit_code);
    } else {
        on_runs(c);
    }
}
