/* The answers to changing: a body checked against what the command takes, the service or instance
 * looked up, and the command passed on. Nothing is changed here. */
#include <stdlib.h>
#include <string.h>

#include "admin/admin_int.h"
#include "admin/names.h"

static struct admin_backend *backend_of(struct admin_request *q)
{
    return &q->side->admin->backend;
}

/* The body as an object whose keys are all among `keys` (NULL = any); NULL, and the answer says
 * why. */
static json_t *body_of(struct admin_request *q, struct admin_answer *a, const char *const *keys)
{
    json_error_t error;
    if (!q->body_bytes)
        return json_object();
    json_t *json = json_loadb(q->body, q->body_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        admin_answer_error(a, 400, "the body is no JSON object%s%s", json ? "" : ": ",
                           json ? "" : error.text);
        json_decref(json);
        return NULL;
    }
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        const char *const *known = keys;
        while (known && *known && strcmp(*known, key) != 0)
            known++;
        if (known && !*known) {
            admin_answer_error(a, 400, "\"%s\" is not known here", key);
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

/* An optional truth value; false in the result only with an answer. */
static bool get_flag(const json_t *body, const char *key, bool *ret, struct admin_answer *a)
{
    const json_t *value = json_object_get(body, key);
    *ret = json_is_true(value);
    if (!value || json_is_boolean(value))
        return true;
    admin_answer_error(a, 400, "\"%s\" is true or false", key);
    return false;
}

static bool get_count(const json_t *body, struct admin_command *c, struct admin_answer *a)
{
    const json_t *count = json_object_get(body, "count");
    if (json_is_string(count) && strcmp(json_string_value(count), "auto") == 0) {
        c->type = ADMIN_AUTO;
        return true;
    }
    json_int_t n = json_integer_value(count);
    if (!json_is_integer(count) || n < 0 || n > MODEL_COUNT_MAX) {
        admin_answer_error(a, 400, "\"count\" is a whole number from 0 to %d, or \"auto\"",
                           MODEL_COUNT_MAX);
        return false;
    }
    c->count = (int32_t)n;
    return true;
}

static bool get_service(struct admin_request *q, struct admin_command *c, const char *name,
                        struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    int32_t slot = control_find(b->control(b->ctx), name);
    if (slot < 0) {
        admin_answer_no_service(q, a, name);
        return false;
    }
    c->slot = (uint32_t)slot;
    c->service = name;
    return true;
}

/* Carries it out. The backend's answer goes back as it is; an empty one to a scaling says what is
 * desired now. */
static void pass_on(struct admin_request *q, const struct admin_command *c, struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    struct admin_reply reply = { 0 };
    struct service_view v;
    b->command(b->ctx, c, &reply);
    if (!reply.body) {
        reply.body = json_object();
        if ((c->type == ADMIN_SCALE || c->type == ADMIN_AUTO) &&
            control_view(b->control(b->ctx), c->slot, &v))
            json_object_set_new(reply.body, "desired", json_integer(v.desired));
    }
    admin_answer_json(a, reply.status ? reply.status : 200, reply.body);
}

void admin_post_scale(struct admin_request *q, struct admin_answer *a)
{
    static const char *const keys[] = { "count", "force", NULL };
    struct admin_command c = { .type = q->route->command };
    json_t *body = body_of(q, a, keys);
    if (body && get_count(body, &c, a) && get_flag(body, "force", &c.flag, a) &&
        get_service(q, &c, q->name, a))
        pass_on(q, &c, a);
    json_decref(body);
}

void admin_post_metrics(struct admin_request *q, struct admin_answer *a)
{
    struct admin_command c = { .type = q->route->command };
    json_t *body = body_of(q, a, NULL);
    c.metrics = body;
    if (body && json_object_size(body) == 0)
        admin_answer_error(a, 400, "the body names no metric, as in {\"jobs\": 12}");
    else if (body && get_service(q, &c, q->name, a))
        pass_on(q, &c, a);
    json_decref(body);
}

static bool get_demand(const json_t *body, const char *key, uint32_t *ret, struct admin_answer *a)
{
    const json_t *value = json_object_get(body, key);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < 0 || n > UINT32_MAX) {
        admin_answer_error(a, 400, "\"%s\" is a number of requests", key);
        return false;
    }
    *ret = (uint32_t)n;
    return true;
}

void admin_post_bell(struct admin_request *q, struct admin_answer *a)
{
    static const char *const keys[] = { "service", "in_flight", "queued", NULL };
    struct admin_command c = { .type = q->route->command, .member = q->name };
    json_t *body = body_of(q, a, keys);
    const char *service = json_string_value(json_object_get(body, "service"));
    if (body && get_demand(body, "in_flight", &c.in_flight, a) &&
        get_demand(body, "queued", &c.queued, a) && get_service(q, &c, service ? service : "", a))
        pass_on(q, &c, a);
    json_decref(body);
}

void admin_post_service(struct admin_request *q, struct admin_answer *a)
{
    static const char *const keys[] = { NULL };
    struct admin_command c = { .type = q->route->command };
    json_t *body = body_of(q, a, keys);
    if (body && get_service(q, &c, q->name, a))
        pass_on(q, &c, a);
    json_decref(body);
}

static bool get_instance(struct admin_request *q, struct admin_command *c, char *service,
                         size_t cap, struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    const struct control *control = b->control(b->ctx);
    int32_t slot = -1;
    if (admin_split_instance(q->name, service, cap, &c->number))
        slot = control_find(control, service);
    const struct instance *i =
        slot < 0 ? NULL : control_instance(control, (uint32_t)slot, c->number);
    if (!i || i->state == INSTANCE_GONE) {
        admin_answer_no_instance(q, a);
        return false;
    }
    c->slot = (uint32_t)slot;
    c->service = service;
    return true;
}

void admin_post_instance(struct admin_request *q, struct admin_answer *a)
{
    static const char *const protect_keys[] = { "on", NULL };
    static const char *const no_keys[] = { NULL };
    struct admin_command c = { .type = q->route->command };
    bool protect = c.type == ADMIN_PROTECT;
    char service[MODEL_NAME_MAX];
    json_t *body = body_of(q, a, protect ? protect_keys : no_keys);
    if (!body)
        return;
    if (protect && !json_object_get(body, "on"))
        admin_answer_error(a, 400, "\"on\" is missing: true or false");
    else if (get_flag(body, "on", &c.flag, a) && get_instance(q, &c, service, sizeof(service), a))
        pass_on(q, &c, a);
    json_decref(body);
}

void admin_post_program(struct admin_request *q, struct admin_answer *a)
{
    static const char *const stop_keys[] = { "detach", NULL };
    static const char *const no_keys[] = { NULL };
    struct admin_command c = { .type = q->route->command };
    json_t *body = body_of(q, a, c.type == ADMIN_STOP ? stop_keys : no_keys);
    if (body && get_flag(body, "detach", &c.flag, a))
        pass_on(q, &c, a);
    json_decref(body);
}
