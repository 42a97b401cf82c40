/* A manager of a Swarm, in place of drivers/docker/engine.c: one service and its tasks in arrays.
 * Answers come when the test says so, and Swarm does with replicas what the real one does: victims
 * of its own choice, and tasks that it replaces itself. */
#pragma once

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/docker/engine.h"

#define FAKE_TASKS 512

struct engine_call {
    enum engine_method method;
    char path[4096];
    json_t *body;
    bool held;
    engine_done *done;
    void *ctx;
    bool used;
};

struct fake_task {
    char id[16];
    const char *state, *desired, *err;
    int exit_code;
    bool removed;
};

static struct fake_swarm {
    struct engine_options options;
    bool open;
    struct engine_call calls[64];
    struct fake_task tasks[FAKE_TASKS];
    size_t task_count;
    bool exists, global;
    int replicas, version;
    const char *update;    /* state of a rolling update; NULL = none */
    const char *new_state; /* of tasks that are made */
    const char *new_err;
    json_t *labels;
    int posts;                   /* changes of replicas that were asked for */
    bool interfere;              /* a person is quicker, once */
    bool publishes;              /* port 80 in mode host */
    const char *network_address; /* of each task; NULL = it has no network of its own */
} fake;

/* --- engine.h --- */

int engine_new(const struct engine_options *options, struct engine **ret, struct err *err)
{
    fake.options = *options;
    fake.open = true;
    *ret = (struct engine *)&fake;
    return 0;
}

void engine_free(struct engine *e)
{
    if (e)
        fake.open = false;
}

struct engine_call *engine_ask(struct engine *e, const struct engine_request *r, engine_done *done,
                               void *ctx)
{
    for (size_t i = 0; i < sizeof(fake.calls) / sizeof(fake.calls[0]); i++) {
        struct engine_call *c = &fake.calls[i];
        if (c->used)
            continue;
        *c = (struct engine_call){ .method = r->method,
                                   .body = r->body ? json_deep_copy(r->body) : NULL,
                                   .held = r->acts && !fake.options.may_act(fake.options.ctx),
                                   .done = done,
                                   .ctx = ctx,
                                   .used = true };
        snprintf(c->path, sizeof(c->path), "%s", r->path);
        return c;
    }
    return NULL;
}

struct engine_call *engine_listen(struct engine *e, const char *path, engine_heard *heard,
                                  void *ctx)
{
    static struct engine_call events;
    return &events;
}

void engine_cancel(struct engine_call *call)
{
    if (!call)
        return;
    json_decref(call->body);
    call->body = NULL;
    call->used = false;
}

/* --- what Swarm does --- */

static struct fake_task *fake_make(const char *state)
{
    struct fake_task *t = &fake.tasks[fake.task_count];
    *t = (struct fake_task){ .state = state, .desired = "running", .err = fake.new_err };
    snprintf(t->id, sizeof(t->id), "task%zu", ++fake.task_count);
    return t;
}

static int fake_wanted_count(void)
{
    int n = 0;
    for (size_t i = 0; i < fake.task_count; i++)
        n += strcmp(fake.tasks[i].desired, "running") == 0;
    return n;
}

/* The newest go first. */
static void fake_follow(void)
{
    while (fake_wanted_count() < fake.replicas)
        fake_make(fake.new_state ? fake.new_state : "running");
    for (size_t i = fake.task_count; i > 0 && fake_wanted_count() > fake.replicas; i--)
        if (strcmp(fake.tasks[i - 1].desired, "running") == 0)
            fake.tasks[i - 1].desired = "shutdown";
}

/* A task ends by itself, and another one comes in its place. */
static void fake_crash(size_t index, int exit_code)
{
    struct fake_task *t = &fake.tasks[index];
    t->state = "failed";
    t->err = "task: non-zero exit";
    t->exit_code = exit_code;
    t->desired = "shutdown";
    fake_follow();
}

/* What was told to end has ended. */
static void fake_end_leaving(void)
{
    for (size_t i = 0; i < fake.task_count; i++)
        if (strcmp(fake.tasks[i].desired, "shutdown") == 0 &&
            strcmp(fake.tasks[i].state, "running") == 0)
            fake.tasks[i].removed = true;
}

/* --- what it says --- */

static json_t *fake_task_json(const struct fake_task *t)
{
    json_t *networks = json_array();
    if (fake.network_address)
        json_array_append_new(networks, json_pack("{s:{s:{s:s}}, s:[s]}", "Network", "Spec", "Name",
                                                  "apps", "Addresses", fake.network_address));
    return json_pack(
        "{s:o, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:{s:s, s:i}, s:{s:[{s:i, s:i, s:s}]}}}",
        "NetworksAttachments", networks, "ID", t->id, "ServiceID", "service1", "NodeID", "node1",
        "DesiredState", t->desired, "Status", "State", t->state, "Message", "started", "Err",
        t->err ? t->err : "", "ContainerStatus", "ContainerID", t->id, "ExitCode", t->exit_code,
        "PortStatus", "Ports", "TargetPort", 80, "PublishedPort", 32000, "PublishMode", "host");
}

static json_t *fake_services(void)
{
    if (!fake.exists)
        return json_array();
    json_t *mode = fake.global ? json_pack("{s:{}}", "Global")
                               : json_pack("{s:{s:i}}", "Replicated", "Replicas", fake.replicas);
    json_t *ports = json_pack("[{s:i, s:s}]", "TargetPort", 80, "PublishMode",
                              fake.publishes ? "host" : "ingress");
    return json_pack("[{s:s, s:{s:i}, s:{s:s, s:O, s:o, s:{s:o}}, s:{s:s, s:s}}]", "ID", "service1",
                     "Version", "Index", fake.version, "Spec", "Name", "shop", "Labels",
                     fake.labels, "Mode", mode, "EndpointSpec", "Ports", ports, "UpdateStatus",
                     "State", fake.update ? fake.update : "completed", "Message",
                     "update in progress");
}

static json_t *fake_tasks(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < fake.task_count; i++)
        if (strcmp(fake.tasks[i].desired, "running") == 0)
            json_array_append_new(list, fake_task_json(&fake.tasks[i]));
    return list;
}

static int fake_update(const char *path, json_t *spec, json_t **ret)
{
    int version = atoi(strstr(path, "version=") + 8), replicas = -1;
    fake.posts++;
    if (fake.interfere) {
        fake.interfere = false;
        fake.version++;
        json_object_set_new(fake.labels, "person", json_string("was here"));
    }
    if (version != fake.version)
        return 500;
    json_unpack(spec, "{s:{s:{s:i}}}", "Mode", "Replicated", "Replicas", &replicas);
    json_decref(fake.labels);
    fake.labels = json_deep_copy(json_object_get(spec, "Labels"));
    fake.replicas = replicas;
    fake.version++;
    fake_follow();
    *ret = json_object();
    return 200;
}

static int fake_reply(const struct engine_call *c, json_t **ret)
{
    if (c->method == ENGINE_POST)
        return fake_update(c->path, c->body, ret);
    if (strcmp(c->path, "/services") == 0)
        *ret = fake_services();
    else if (strncmp(c->path, "/tasks?", 7) == 0)
        *ret = fake_tasks();
    else if (strcmp(c->path, "/nodes") == 0)
        *ret = json_pack("[{s:s, s:{s:s}}]", "ID", "node1", "Status", "Addr", "10.0.0.7");
    else if (strcmp(c->path, "/info") == 0)
        *ret = json_pack("{s:{s:s}}", "Swarm", "NodeID", "node1");
    for (size_t i = 0; !*ret && i < fake.task_count; i++)
        if (!fake.tasks[i].removed && strcmp(c->path + strlen("/tasks/"), fake.tasks[i].id) == 0)
            *ret = fake_task_json(&fake.tasks[i]);
    return *ret ? 200 : 404;
}

/* Answers everything that has been asked so far. */
static void fake_answer_all(void)
{
    for (size_t i = 0; i < sizeof(fake.calls) / sizeof(fake.calls[0]); i++) {
        struct engine_call c = fake.calls[i];
        json_t *json = NULL;
        if (!c.used)
            continue;
        int status = c.held ? 0 : fake_reply(&c, &json);
        fake.calls[i].used = false;
        c.done(c.ctx, status, json,
               status == 500   ? "rpc error: update out of sequence"
               : status == 404 ? "no such"
                               : "");
        json_decref(c.body);
        json_decref(json);
    }
}
