/* Checks over the whole configuration: what no single service can see. Services that share a
 * listener, two services for the same requests, the admin address. */
#include <errno.h>
#include <string.h>

#include "config/tables.h"

struct claim {
    const char *listener;
    const struct config_service *service;
    const struct schema_node *at; /* where it is written */
};

/* The item of `listen` that is the i-th listener. */
static const struct schema_node *listener_node(const struct config *config,
                                               const struct config_service *s, uint32_t i)
{
    const struct node_pair *service = node_find(config->services_node, s->name);
    const struct node_pair *listen = node_find(service->value, "listen");
    return listen->value->kind == NODE_LIST ? listen->value->items[i] : listen->value;
}

static bool same_path(const char *a, const char *b)
{
    size_t n[2] = { a ? strlen(a) : 0, b ? strlen(b) : 0 };
    while (n[0] > 0 && a[n[0] - 1] == '/')
        n[0]--;
    while (n[1] > 0 && b[n[1] - 1] == '/')
        n[1]--;
    return n[0] == n[1] && (n[0] == 0 || memcmp(a, b, n[0]) == 0);
}

/* Would a request exist that both are for, with nothing to tell which? ret_host names it. */
static bool same_route(const struct config_service *a, const struct config_service *b,
                       const char **ret_host)
{
    if (!same_path(a->path, b->path))
        return false;
    *ret_host = "any host";
    if (a->host.count == 0 || b->host.count == 0)
        return a->host.count == b->host.count;
    for (size_t i = 0; i < a->host.count; i++) {
        for (size_t j = 0; j < b->host.count; j++) {
            *ret_host = a->host.items[i];
            if (strcmp(a->host.items[i], b->host.items[j]) == 0)
                return true;
        }
    }
    return false;
}

static int check_shared(struct schema_context *ctx, const struct claim *first,
                        const struct claim *second, struct err *err)
{
    const struct config_service *a = first->service, *b = second->service;
    const char *host;
    if (a == b)
        return schema_fail(ctx, second->at, err, "%s is written twice", second->listener + 4);
    if (a->protocol == CONFIG_TCP || b->protocol == CONFIG_TCP)
        return schema_fail(ctx, second->at, err,
                           "service \"%s\" listens here too, and a tcp service cannot share a "
                           "listener; give one of them another port",
                           a->name);
    if (same_route(a, b, &host))
        return schema_fail(ctx, second->at, err,
                           "service \"%s\" has the same listener and the same route (%s, path "
                           "%s); give one of them another route",
                           a->name, host, a->path ? a->path : "/");
    return 0;
}

static int check_claim(struct schema_context *ctx, const struct claim *claims, size_t count,
                       const struct claim *claim, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = 0;
        if (config_listeners_overlap(claims[i].listener, claim->listener))
            rc = schema_fail(ctx, claim->at, err,
                             "overlaps with %s of service \"%s\" (line %u): one of them has all "
                             "addresses of that port",
                             claims[i].listener + 4, claims[i].service->name, claims[i].at->line);
        else if (strcmp(claims[i].listener, claim->listener) == 0 &&
                 strcmp(claim->listener + strlen(claim->listener) - 2, ":0") != 0)
            rc = check_shared(ctx, &claims[i], claim, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static size_t count_different(const struct claim *claims, size_t count)
{
    size_t different = 0;
    for (size_t i = 0; i < count; i++) {
        size_t j = 0;
        while (j < i && strcmp(claims[i].listener, claims[j].listener) != 0)
            j++;
        different += j == i;
    }
    return different;
}

static int check_claims(struct schema_context *ctx, const struct config *config,
                        struct claim *claims, size_t *ret_count)
{
    size_t count = 0;
    int rc = 0;
    for (uint32_t i = 0; i < config->service_count; i++) {
        const struct config_service *s = &config->services[i];
        size_t outer = schema_enter(ctx, "services"), entered;
        schema_enter(ctx, s->name ? s->name : "");
        entered = schema_enter(ctx, "listen");
        for (uint32_t l = 0; l < s->listener_count; l++) {
            struct err err = { 0 };
            claims[count] = (struct claim){ .listener = s->listeners[l],
                                            .service = s,
                                            .at = listener_node(config, s, l) };
            int checked = check_claim(ctx, claims, count, &claims[count], &err);
            rc = schema_note(ctx, checked, &err) < 0 ? checked : rc;
            count++;
        }
        schema_leave(ctx, entered);
        schema_leave(ctx, outer);
    }
    *ret_count = count;
    return rc;
}

static int check_listeners(struct schema_context *ctx, const struct config *config, struct err *err,
                           struct claim **ret, size_t *ret_count)
{
    size_t room = 0;
    for (uint32_t i = 0; i < config->service_count; i++)
        room += config->services[i].listener_count;
    struct claim *claims = ARENA_ARRAY(ctx->arena, struct claim, room);
    if (!claims)
        return -ENOMEM;
    int rc = check_claims(ctx, config, claims, ret_count);
    *ret = claims;
    if (rc == 0 && count_different(claims, *ret_count) > CONFIG_LISTENERS_MAX)
        return schema_fail(ctx, config->services_node, err, "more than %d different listeners",
                           CONFIG_LISTENERS_MAX);
    return rc;
}

static int check_admin(struct schema_context *ctx, struct config *config,
                       const struct claim *claims, size_t count, struct err *err)
{
    char canonical[128];
    struct err why = { 0 };
    if (strcmp(config->admin, "off") == 0 || strcmp(config->admin, "false") == 0) {
        config->admin = "off";
        return 0;
    }
    if (config_canonical_listener(config->admin, canonical, sizeof(canonical), &why) < 0)
        return schema_fail_value(ctx, "admin", err, "%s, or off", why.text);
    if (strncmp(canonical, "unix:", 5) == 0)
        return schema_fail_value(ctx, "admin", err,
                                 "the Unix socket in the state directory is always there; give a "
                                 "TCP address or off");
    if (!config_listener_is_loopback(canonical) && !config->admin_token_file)
        return schema_fail_value(ctx, "admin", err,
                                 "%s is reachable from other machines; give admin-token-file too, "
                                 "or an address on 127.0.0.1",
                                 config->admin);
    for (size_t i = 0; i < count; i++)
        if (strcmp(claims[i].listener, canonical) == 0 ||
            config_listeners_overlap(claims[i].listener, canonical))
            return schema_fail_value(ctx, "admin", err,
                                     "%s is a listener of service \"%s\"; give another port, or "
                                     "off",
                                     config->admin, claims[i].service->name);
    return 0;
}

static int check_trust(struct schema_context *ctx, const struct config *config, struct err *err)
{
    if (config->trust.count > CONFIG_TRUST_MAX)
        return schema_error(ctx, "trust", err, "%zu networks; at most %d", config->trust.count,
                            CONFIG_TRUST_MAX);
    for (size_t i = 0; i < config->trust.count; i++) {
        struct err why = { 0 };
        if (config_check_network(config->trust.items[i], &why) < 0)
            return schema_fail_item(ctx, "trust", i, err, "%s", why.text);
    }
    return 0;
}

static int check_paths(struct schema_context *ctx, const struct config *config, struct err *err)
{
    const char *log = config->access_log;
    const struct node_pair *proxy = node_find(ctx->node, "proxy");
    if (!log || log[0] == '/' || strcmp(log, "off") == 0 || !proxy)
        return 0;
    const struct node_pair *pair = node_find(proxy->value, "access-log");
    size_t entered = schema_enter(ctx, "proxy.access-log");
    int rc = schema_fail(ctx, pair ? pair->value : proxy->key, err,
                         "\"%.60s\" is not an absolute path; begin it with /, or write off", log);
    schema_leave(ctx, entered);
    return rc;
}

int config_check_whole(struct schema_context *ctx, const struct schema_node *root,
                       struct config *config, bool whole)
{
    struct claim *claims = NULL;
    size_t count = 0;
    struct err err[6] = { 0 };
    ctx->node = root;
    int listeners = check_listeners(ctx, config, &err[0], &claims, &count);
    if (listeners == -ENOMEM)
        return listeners;
    int rc[6] = {
        listeners,
        config->admin ? check_admin(ctx, config, claims, count, &err[1]) : 0,
        check_trust(ctx, config, &err[2]),
        check_paths(ctx, config, &err[3]),
        whole ? config_check_groups(ctx, config, &err[4]) : 0,
        whole ? config_check_budgets(ctx, config, &err[5]) : 0,
    };
    int worst = 0;
    for (size_t i = 0; i < ARRAY_LEN(rc); i++)
        worst = schema_note(ctx, rc[i], &err[i]) < 0 ? rc[i] : worst;
    ctx->node = NULL;
    return worst;
}
