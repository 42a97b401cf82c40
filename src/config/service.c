/* Services: each entry of the map, from YAML to the core's model. Owns the names of services, the
 * choice of the driver's section and the defaults that depend on other keys. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "config/tables.h"

#define START_WITHIN_US_DEFAULT (60 * US_PER_S) /* until the driver's section says otherwise */
#define DEFAULT_CONCURRENCY 70.0
#define DEFAULT_CPU 0.7

/* A service's map is read with a table that has the drivers' sections too; their structs are not
 * inside config_service, so they are kept as nodes first. */
struct reader {
    struct schema_context *ctx;
    const struct schema_section *const *drivers;
    struct schema_section with_drivers; /* config_section_service's keys and the drivers' */
    struct config *config;
};

static size_t count_keys(const struct schema_section *section)
{
    size_t n = 0;
    while (section->keys[n].name)
        n++;
    return n;
}

static int ignore_driver(struct schema_context *ctx, const struct schema_node *node, void *field,
                         struct err *err)
{
    if (node->kind != NODE_MAP && !node_is_null(node))
        return schema_fail(ctx, node, err, "is %s here; write a map", node_kind_name(node));
    return 0;
}

static int add_drivers(struct reader *r)
{
    size_t own = count_keys(&config_section_service), drivers = 0;
    while (r->drivers && r->drivers[drivers])
        drivers++;
    struct schema_key *keys = ARENA_ARRAY(r->ctx->arena, struct schema_key, own + drivers + 1);
    if (!keys)
        return -ENOMEM;
    memcpy(keys, config_section_service.keys, own * sizeof(*keys));
    for (size_t i = 0; i < drivers; i++)
        keys[own + i] = (struct schema_key){ .name = r->drivers[i]->name,
                                             .type = SCHEMA_CUSTOM,
                                             .parse = ignore_driver,
                                             .section = r->drivers[i] };
    r->with_drivers = config_section_service;
    r->with_drivers.keys = keys;
    return 0;
}

static bool name_char_ok(const char *name, size_t i)
{
    char c = name[i];
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return true;
    return c == '-' && i > 0 && name[i + 1] != '\0';
}

static int check_name(struct schema_context *ctx, const struct schema_node *key, struct err *err)
{
    size_t n = strlen(key->text);
    if (n > CONFIG_NAME_MAX)
        return schema_fail(ctx, key, err,
                           "\"%.60s\" is too long for a service's name; at most %d "
                           "characters",
                           key->text, CONFIG_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        if (!name_char_ok(key->text, i))
            n = 0;
    if (n == 0)
        return schema_fail(ctx, key, err,
                           "\"%.60s\" cannot be a service's name; use a-z, 0-9 and, between "
                           "them, \"-\"",
                           key->text);
    return 0;
}

static int read_driver(struct reader *r, const struct schema_node *node, struct config_service *s,
                       struct err *err)
{
    const struct schema_section *chosen = NULL;
    const struct node_pair *pair = NULL;
    if (!r->drivers || !r->drivers[0])
        return 0;
    for (size_t i = 0; r->drivers[i]; i++) {
        const struct node_pair *found = node_find(node, r->drivers[i]->name);
        if (found && chosen)
            return schema_fail(r->ctx, found->key, err,
                               "both \"%s\" and \"%s\"; a service has one driver", chosen->name,
                               r->drivers[i]->name);
        if (found) {
            chosen = r->drivers[i];
            pair = found;
        }
    }
    if (!chosen)
        return schema_fail(r->ctx, node, err, "nothing says what to run; give a section \"%s\"",
                           r->drivers[0]->name);
    s->driver = chosen;
    s->driver_conf = arena_alloc(r->ctx->arena, chosen->size_bytes);
    if (!s->driver_conf)
        return -ENOMEM;
    static const struct schema_node empty = { .kind = NODE_MAP };
    struct schema_node at = empty;
    at.line = pair->value->line;
    at.column = pair->value->column;
    return schema_read_named(r->ctx, chosen->name, chosen,
                             node_is_null(pair->value) ? &at : pair->value, s->driver_conf);
}

static int canonical_listeners(struct schema_context *ctx, const struct schema_node *node,
                               struct config_service *s, struct err *err)
{
    const struct node_pair *pair = node_find(node, "listen");
    size_t entered = schema_enter(ctx, "listen");
    int rc = 0;
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

static int64_t core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return CLAMP(n, 1, MODEL_COUNT_MAX);
}

/* In ctx->node = `scale`, which may not be written. `whole` = all of the service could be read:
 * what is left at 0 for an error's sake must not cause a second one. */
static int check_counts(struct schema_context *ctx, struct config_scale *scale, bool whole,
                        struct err *err)
{
    if (!schema_given(ctx, "max"))
        scale->max = MAX(core_count(), scale->min);
    if (!schema_given(ctx, "min"))
        scale->min = MIN(scale->min, scale->max);
    if (!whole)
        return 0;
    if (scale->min > scale->max)
        return schema_error(ctx, "min", err, "%lld is above max: %lld", (long long)scale->min,
                            (long long)scale->max);
    if (!schema_given(ctx, "initial"))
        scale->initial = -1;
    if (scale->initial > scale->max || (scale->initial >= 0 && scale->initial < scale->min))
        return schema_error(ctx, "initial", err, "%lld is not between min: %lld and max: %lld",
                            (long long)scale->initial, (long long)scale->min,
                            (long long)scale->max);
    return 0;
}

/* A schedule that moves one limit has to leave it on the right side of the other. */
static int check_schedules(struct schema_context *ctx, const struct service_conf *conf,
                           struct err *err)
{
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        const struct rule_schedule_conf *s = &conf->rules[i].schedule;
        if (conf->rules[i].kind != RULE_SCHEDULE)
            continue;
        int32_t max = s->max >= 0 ? s->max : conf->max;
        if (s->count > max || s->min > max)
            return schema_error(ctx, "rules", err,
                                "\"%s\" wants %d, which is above max: %d; raise max, or give the "
                                "schedule a max of its own",
                                conf->rules[i].name, MAX(s->count, s->min), max);
        if (s->max >= 0 && s->min < 0 && s->max < conf->min)
            return schema_error(ctx, "rules", err,
                                "\"%s\" sets max to %d, which is under min: %d; give the schedule "
                                "a min too",
                                conf->rules[i].name, s->max, conf->min);
    }
    return 0;
}

static void fill_model(const struct config_service *s, struct service_conf *conf)
{
    const struct config_scale *w = &s->scale_written;
    str_copy(conf->name, sizeof(conf->name), s->name);
    conf->mode = (enum service_mode)w->mode;
    conf->min = (int32_t)w->min;
    conf->max = (int32_t)w->max;
    conf->initial = (int32_t)w->initial;
    conf->surge = (int32_t)w->surge;
    conf->can_choose_victim = true;
    conf->start_within_us = START_WITHIN_US_DEFAULT;
    conf->drain_us = s->drain_us;
    conf->window_in_us = w->window_us;
    conf->health = (struct health_conf){ .fail_after = (uint32_t)s->health.fail_after,
                                         .pass_after = (uint32_t)s->health.pass_after,
                                         .replace_after_us = s->health.replace_after_us };
    conf->behavior = (struct behavior_conf){ .up = w->up.rates, .down = w->down.rates };
}

/* A target that max-concurrency keeps out of reach would never be noticed: 70 % of it, then. */
void config_default_rules(const struct config_service *s, struct service_conf *conf)
{
    double concurrency = DEFAULT_CONCURRENCY;
    if (s->max_concurrency > 0 && s->max_concurrency < (int64_t)DEFAULT_CONCURRENCY)
        concurrency = MAX((double)s->max_concurrency * 7 / 10, 1);
    const struct rule_target_conf target = { .tolerance_up = 0.1, .tolerance_down = 0.1 };
    conf->rule_count = 2;
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        struct rule_conf *rule = &conf->rules[i];
        rule->kind = RULE_TARGET;
        rule->target = target;
        rule->target.metric.metric = i == 0 ? METRIC_CONCURRENCY : METRIC_CPU;
        rule->target.metric.window_us = config_default_window_us(rule->target.metric.metric);
        rule->target.value = i == 0 ? concurrency : DEFAULT_CPU;
        config_name_rule(rule, NULL);
    }
}

static int read_scale(struct schema_context *ctx, const struct schema_node *node,
                      struct config_service *s, bool whole)
{
    static const struct schema_node nothing = { .kind = NODE_MAP };
    const struct node_pair *pair = node_find(node, "scale");
    const struct schema_node *outer = ctx->node;
    struct err err = { 0 };
    struct service_conf *conf = s->scale;
    size_t entered = schema_enter(ctx, "scale"), inner;
    ctx->node = pair && pair->value->kind == NODE_MAP ? pair->value : &nothing;
    int rc = schema_note(ctx, check_counts(ctx, &s->scale_written, whole, &err), &err);
    fill_model(s, conf);
    inner = schema_enter(ctx, "rules");
    int rules = rc == -ENOMEM ? rc : config_read_rules(ctx, s->scale_written.rules, conf);
    schema_leave(ctx, inner);
    if (rc == 0 && rules == 0)
        rc = schema_note(ctx, check_schedules(ctx, conf, &err), &err);
    if (rules == 0 && conf->rule_count == 0) {
        config_default_rules(s, conf);
        s->scale_defaulted = true;
    }
    schema_leave(ctx, entered);
    ctx->node = outer;
    return rules < 0 ? rules : rc;
}

static int read_service(struct reader *r, const struct node_pair *pair, struct config_service *s)
{
    struct schema_context *ctx = r->ctx;
    struct err err = { 0 };
    int rc = schema_note(ctx, check_name(ctx, pair->key, &err), &err);
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
    bool whole = rc == 0;
    int (*const more[])(struct schema_context * ctx, const struct schema_node *node,
                        struct config_service *s,
                        struct err *err) = { canonical_listeners, check_route };
    for (size_t i = 0; i < ARRAY_LEN(more) && (i > 0 || s->listen.items); i++) {
        err = (struct err){ 0 };
        int checked = schema_note(ctx, more[i](ctx, node, s, &err), &err);
        rc = checked < 0 ? checked : rc;
    }
    err = (struct err){ 0 };
    int driver = schema_note(ctx, read_driver(r, node, s, &err), &err);
    int scale = read_scale(ctx, node, s, whole);
    schema_leave(ctx, entered);
    return driver < 0 ? driver : scale < 0 ? scale : rc;
}

static int check_services_node(struct schema_context *ctx, const struct schema_node *node,
                               struct err *err)
{
    if (!node) /* reported as missing */
        return -EINVAL;
    if (node->kind != NODE_MAP || node->count == 0)
        return schema_fail(ctx, node, err, "is %s; write a map of at least one service",
                           node->kind == NODE_MAP ? "empty" : node_kind_name(node));
    if (node->count > MODEL_SERVICES_MAX)
        return schema_fail(ctx, node, err, "%u services; at most %d", node->count,
                           MODEL_SERVICES_MAX);
    return 0;
}

int config_read_services(struct schema_context *ctx, const struct schema_node *node,
                         const struct schema_section *const *sections, struct config *config)
{
    struct reader r = { .ctx = ctx, .drivers = sections, .config = config };
    struct err err = { 0 };
    size_t entered = schema_enter(ctx, "services");
    int rc = schema_note(ctx, check_services_node(ctx, node, &err), &err);
    if (rc == 0)
        rc = add_drivers(&r);
    uint32_t count = rc == 0 ? node->count : 0;
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
