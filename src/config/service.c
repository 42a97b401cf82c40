/* Services: each entry of the map, from YAML to the core's model. Owns the names of services,
 * listeners, routes and the choice of the driver's section. */
#include <errno.h>
#include <string.h>

#include "config/tables.h"

struct reader {
    struct schema_context *ctx;
    const struct schema_section *const *drivers, *const *sources;
    struct schema_section with_drivers; /* config_section_service's keys and the drivers' */
};

static size_t count_keys(const struct schema_section *section)
{
    size_t n = 0;
    while (section->keys[n].name)
        n++;
    return n;
}

/* The driver's own struct is not inside the one that the rest of the map fills: its section is read
 * afterwards. */
static int leave_driver(struct schema_context *ctx, const struct schema_node *node, void *field,
                        struct err *err)
{
    if (node->kind != NODE_MAP && !node_is_null(node))
        return schema_fail(ctx, node, err, "is %s here; write a map", node_kind_name(node));
    return 0;
}

/* "run.command", "docker.command" or "exec.command" */
static void put_homes(const struct schema_section *const *drivers, const char *name,
                      struct str *out)
{
    size_t left = 0, count = 0;
    for (size_t i = 0; drivers[i]; i++)
        left += schema_find_key(drivers[i], name) != NULL;
    for (size_t i = 0; drivers[i]; i++)
        if (schema_find_key(drivers[i], name))
            str_putf(out, "%s\"%s.%s\"",
                     count++ == 0  ? ""
                     : --left == 1 ? " or "
                                   : ", ",
                     drivers[i]->name, name);
}

static bool has_hint(const struct schema_hint *hints, const char *name)
{
    while (hints->name && strcmp(hints->name, name) != 0)
        hints++;
    return hints->name != NULL;
}

/* Of a key that stands beside the driver's section, and belongs into it. */
static int add_hint(struct schema_context *ctx, const struct schema_section *own,
                    const struct schema_section *const *drivers, const char *name,
                    struct schema_hint *hints, size_t *count)
{
    char text[200];
    struct str s;
    const char *near = schema_nearest_key(own, name);
    if (has_hint(hints, name) || (near && str_distance(near, name) <= 1))
        return 0;
    str_init(&s, text, sizeof(text));
    str_put(&s, "here it is ");
    put_homes(drivers, name, &s);
    const char *copy = arena_strdup(ctx->arena, text);
    if (copy)
        hints[(*count)++] = (struct schema_hint){ .name = name, .text = copy };
    return copy ? 0 : -ENOMEM;
}

static int add_hints(struct schema_context *ctx, const struct schema_section *own,
                     const struct schema_section *const *drivers, struct schema_section *ret)
{
    size_t room = 1, count = 0;
    for (size_t i = 0; drivers && drivers[i]; i++)
        room += count_keys(drivers[i]);
    struct schema_hint *hints = ARENA_ARRAY(ctx->arena, struct schema_hint, room);
    int rc = hints ? 0 : -ENOMEM;
    for (size_t i = 0; drivers && drivers[i]; i++)
        for (const struct schema_key *k = drivers[i]->keys; k->name && rc == 0; k++)
            rc = add_hint(ctx, own, drivers, k->name, hints, &count);
    ret->hints = hints;
    return rc;
}

int config_join_drivers(struct schema_context *ctx, const struct schema_section *own,
                        const struct schema_section *const *drivers, struct schema_section *ret)
{
    size_t own_count = count_keys(own), count = 0;
    while (drivers && drivers[count])
        count++;
    struct schema_key *keys = ARENA_ARRAY(ctx->arena, struct schema_key, own_count + count + 1);
    if (!keys)
        return -ENOMEM;
    memcpy(keys, own->keys, own_count * sizeof(*keys));
    for (size_t i = 0; i < count; i++)
        keys[own_count + i] = (struct schema_key){ .name = drivers[i]->name,
                                                   .type = SCHEMA_CUSTOM,
                                                   .parse = leave_driver,
                                                   .section = drivers[i] };
    *ret = *own;
    ret->keys = keys;
    return add_hints(ctx, own, drivers, ret);
}

static bool name_char_ok(const char *name, size_t i)
{
    char c = name[i];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return c == '-' && i > 0 && name[i + 1] != '\0';
}

int config_check_name(struct schema_context *ctx, const struct schema_node *key, const char *what,
                      size_t bytes_max, struct err *err)
{
    size_t n = strlen(key->text);
    if (n > bytes_max)
        return schema_fail(ctx, key, err,
                           "\"%.60s\" is too long for a %s's name; at most %zu characters",
                           key->text, what, bytes_max);
    for (size_t i = 0; i < n; i++)
        if (!name_char_ok(key->text, i))
            n = 0;
    if (n == 0)
        return schema_fail(ctx, key, err,
                           "\"%.60s\" cannot be a %s's name; use a-z, 0-9 and, between them, "
                           "\"-\"",
                           key->text, what);
    return 0;
}

int config_read_driver(struct schema_context *ctx, const struct schema_section *const *sections,
                       const struct schema_node *node, const char *nothing,
                       const struct schema_section **ret, void **ret_conf, struct err *err)
{
    const struct schema_section *chosen = NULL;
    const struct node_pair *pair = NULL;
    for (size_t i = 0; sections && sections[i]; i++) {
        const struct node_pair *found = node_find(node, sections[i]->name);
        if (found && chosen)
            return schema_fail(ctx, found->key, err, "both \"%s\" and \"%s\"; give one of them",
                               chosen->name, sections[i]->name);
        if (found) {
            chosen = sections[i];
            pair = found;
        }
    }
    if (!chosen)
        return schema_fail(ctx, node, err, "%s", nothing);
    if (pair->value->kind != NODE_MAP && !node_is_null(pair->value))
        return -EINVAL; /* leave_driver() has said so */
    void *conf = arena_alloc(ctx->arena, chosen->size_bytes);
    if (!conf)
        return -ENOMEM;
    const struct schema_node empty = { .kind = NODE_MAP,
                                       .line = pair->value->line,
                                       .column = pair->value->column };
    *ret = chosen;
    *ret_conf = conf;
    return schema_read_named(ctx, chosen->name, chosen,
                             node_is_null(pair->value) ? &empty : pair->value, conf);
}

static int read_driver(struct reader *r, const struct schema_node *node, struct config_service *s,
                       struct err *err)
{
    char nothing[160];
    struct str out;
    if (!r->drivers || !r->drivers[0])
        return 0;
    str_init(&out, nothing, sizeof(nothing));
    str_put(&out, "nothing says what to run; give a section ");
    for (size_t i = 0; r->drivers[i]; i++)
        str_putf(&out, "%s\"%s\"",
                 i == 0              ? ""
                 : r->drivers[i + 1] ? ", "
                                     : " or ",
                 r->drivers[i]->name);
    r->ctx->beside = node;
    int rc =
        config_read_driver(r->ctx, r->drivers, node, nothing, &s->driver, &s->driver_conf, err);
    r->ctx->beside = NULL;
    return rc;
}

static int canonical_listeners(struct schema_context *ctx, const struct schema_node *node,
                               struct config_service *s, struct err *err)
{
    const struct node_pair *pair = node_find(node, "listen");
    int rc = 0;
    if (!s->listen.items) /* a worker */
        return 0;
    size_t entered = schema_enter(ctx, "listen");
    if (s->listen.count == 0 || s->listen.count > ARRAY_LEN(s->listeners))
        rc = schema_fail(ctx, pair->value, err, "%zu addresses; give 1 to %zu", s->listen.count,
                         ARRAY_LEN(s->listeners));
    for (size_t i = 0; rc == 0 && i < s->listen.count; i++) {
        char canonical[128];
        struct err why = { 0 };
        const struct schema_node *at =
            pair->value->kind == NODE_LIST ? pair->value->items[i] : pair->value;
        if (config_canonical_listener(s->listen.items[i], canonical, sizeof(canonical), &why) < 0) {
            rc = schema_fail(ctx, at, err, "%s", why.text);
            break;
        }
        s->listeners[s->listener_count] = arena_strdup(ctx->arena, canonical);
        if (!s->listeners[s->listener_count++])
            rc = -ENOMEM;
    }
    schema_leave(ctx, entered);
    return rc;
}

static bool host_ok(char *host)
{
    size_t n = strlen(host), start = strncmp(host, "*.", 2) == 0 ? 2 : 0;
    if (n <= start || n > CONFIG_HOST_BYTES_MAX)
        return false;
    for (size_t i = start; i < n; i++) {
        char c = host[i];
        if (c >= 'A' && c <= 'Z')
            host[i] = c = (char)(c | 0x20);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

static int check_hosts(struct schema_context *ctx, struct config_service *s, struct err *err)
{
    if (s->host.count > CONFIG_HOSTS_MAX)
        return schema_error(ctx, "host", err, "%zu names; at most %d", s->host.count,
                            CONFIG_HOSTS_MAX);
    for (size_t i = 0; i < s->host.count; i++) {
        char *host = arena_strdup(ctx->arena, s->host.items[i]);
        if (!host)
            return -ENOMEM;
        if (!host_ok(host))
            return schema_fail_item(ctx, "host", i, err,
                                    "\"%.60s\" is not a host name; write \"shop.example\" or "
                                    "\"*.example\", without port",
                                    s->host.items[i]);
        s->host.items[i] = host;
    }
    return 0;
}

static int check_route(struct schema_context *ctx, const struct schema_node *node,
                       struct config_service *s, struct err *err)
{
    const struct node_pair *route = node_find(node, "route");
    if (!route)
        return 0;
    if (s->listen.count == 0)
        return schema_fail(ctx, route->key, err,
                           "leads nowhere: the service has no listener; give \"listen\" too");
    if (s->protocol == CONFIG_TCP)
        return schema_fail(ctx, route->key, err,
                           "a route needs protocol http; tcp connections name no host or path");
    const struct schema_node *outer = ctx->node;
    size_t entered = schema_enter(ctx, "route");
    ctx->node = route->value;
    int rc = check_hosts(ctx, s, err);
    if (rc == 0 && s->path && (s->path[0] != '/' || strlen(s->path) > CONFIG_PATH_BYTES_MAX))
        rc = schema_fail_value(ctx, "path", err,
                               "\"%.60s\" is not a path; begin it with / and use at most %d bytes",
                               s->path, CONFIG_PATH_BYTES_MAX);
    schema_leave(ctx, entered);
    ctx->node = outer;
    return rc;
}

static int read_service(struct reader *r, const struct node_pair *pair, struct config_service *s)
{
    struct schema_context *ctx = r->ctx;
    struct err err = { 0 };
    int rc =
        schema_note(ctx, config_check_name(ctx, pair->key, "service", CONFIG_NAME_MAX, &err), &err);
    if (rc < 0)
        return rc;
    s->name = pair->key->text;
    s->line = pair->key->line;
    s->column = pair->key->column;
    size_t entered = schema_enter(ctx, s->name);
    const struct schema_node *node = pair->value;
    if (node->kind != NODE_MAP) {
        rc = schema_fail(ctx, node, &err, "is %s here; write a map", node_kind_name(node));
        schema_leave(ctx, entered);
        return schema_note(ctx, rc, &err);
    }
    rc = schema_read(ctx, &r->with_drivers, node, s);
    int (*const more[])(struct schema_context * ctx, const struct schema_node *node,
                        struct config_service *s,
                        struct err *err) = { canonical_listeners, check_route };
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        err = (struct err){ 0 };
        int checked = schema_note(ctx, more[i](ctx, node, s, &err), &err);
        rc = checked < 0 ? checked : rc;
    }
    bool whole = rc == 0;
    err = (struct err){ 0 };
    int driver = schema_note(ctx, read_driver(r, node, s, &err), &err);
    int sources = config_read_sources(ctx, r->sources, s);
    int scale = config_read_scale(ctx, node, s, whole);
    schema_leave(ctx, entered);
    return driver < 0 ? driver : sources < 0 ? sources : scale < 0 ? scale : rc;
}

static int check_services_node(struct schema_context *ctx, const struct schema_node *node,
                               struct err *err)
{
    if (!node)
        return 0;
    if (node->kind != NODE_MAP || node->count == 0)
        return schema_fail(ctx, node, err, "is %s; write a map of at least one service",
                           node->kind == NODE_MAP ? "empty" : node_kind_name(node));
    if (node->count > MODEL_SERVICES_MAX)
        return schema_fail(ctx, node, err, "%u services; at most %d", node->count,
                           MODEL_SERVICES_MAX);
    return 0;
}

int config_read_services(struct schema_context *ctx, const struct schema_node *node,
                         const struct config_sections *sections, struct config *config)
{
    struct reader r = { .ctx = ctx,
                        .drivers = sections->provisioners,
                        .sources = sections->sources };
    struct err err = { 0 };
    size_t entered = schema_enter(ctx, "services");
    int rc = schema_note(ctx, check_services_node(ctx, node, &err), &err);
    if (rc == 0)
        rc = config_join_drivers(ctx, &config_section_service, r.drivers, &r.with_drivers);
    uint32_t count = rc == 0 && node ? node->count : 0;
    config->services = ARENA_ARRAY(ctx->arena, struct config_service, count);
    config->model.services = ARENA_ARRAY(ctx->arena, struct service_conf, count);
    if (!config->services || !config->model.services)
        rc = -ENOMEM;
    for (uint32_t i = 0; i < count && rc != -ENOMEM; i++) {
        config->services[i].scale = &config->model.services[i];
        int read = read_service(&r, &node->pairs[i], &config->services[i]);
        rc = read < 0 ? read : rc;
    }
    config->service_count = config->model.service_count = count;
    schema_leave(ctx, entered);
    return rc;
}
