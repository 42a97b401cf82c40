/* What ties services to one another: `after` and the ratio rule. Both name other services, and
 * neither may go in a circle. */
#include <errno.h>
#include <string.h>

#include "config/tables.h"

static int32_t find_service(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->service_count; i++)
        if (config->services[i].name && strcmp(config->services[i].name, name) == 0)
            return (int32_t)i;
    return -1;
}

static int no_such_service(struct schema_context *ctx, const struct config *config,
                           const struct schema_node *at, const char *name, struct err *err)
{
    const char **names = ARENA_ARRAY(ctx->arena, const char *, config->service_count + 1);
    uint32_t n = 0;
    if (!names)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->service_count; i++)
        if (config->services[i].name)
            names[n++] = config->services[i].name;
    const char *near = schema_nearest(names, name);
    return schema_fail(ctx, at, err, "there is no service \"%.60s\"%s%s%s", name,
                       near ? "; did you mean \"" : "; give the name of one of `services`",
                       near ? near : "", near ? "\"?" : "");
}

static const struct schema_node *child(const struct schema_node *node, const char *key)
{
    const struct node_pair *pair = node_find(node, key);
    return pair ? pair->value : NULL;
}

/* One service that another one names: where it is written, for errors. */
struct reference {
    const char *name;
    const struct schema_node *at;
};

#define REFERENCES_MAX (MODEL_AFTER_MAX + MODEL_RULES_MAX)

static uint32_t list_references(const struct config *config, uint32_t i, struct reference *ret)
{
    const struct config_service *s = &config->services[i];
    const struct schema_node *node = child(config->services_node, s->name);
    const struct schema_node *after = child(child(node, "scale"), "after");
    const struct schema_node *rules = child(child(node, "scale"), "rules");
    uint32_t n = 0;
    for (uint32_t a = 0; a < s->scale->after_count; a++)
        ret[n++] = (struct reference){ s->scale->after[a],
                                       after->kind == NODE_LIST ? after->items[a] : after };
    for (uint32_t r = 0; r < s->scale->rule_count && rules; r++)
        if (s->scale->rules[r].kind == RULE_RATIO)
            ret[n++] = (struct reference){ s->scale->rules[r].ratio.service,
                                           child(child(rules->items[r], "ratio"), "service") };
    return n;
}

/* Depth first along what a service names; `first` again = a circle. A path is no longer than there
 * are services, and each is walked once. */
static bool reaches(const struct config *config, uint32_t from, uint32_t first, bool *seen)
{
    struct reference refs[REFERENCES_MAX];
    uint32_t n = list_references(config, from, refs);
    for (uint32_t i = 0; i < n; i++) {
        int32_t next = find_service(config, refs[i].name);
        if (next == (int32_t)first)
            return true;
        if (next < 0 || seen[next])
            continue;
        seen[next] = true;
        if (reaches(config, (uint32_t)next, first, seen))
            return true;
    }
    return false;
}

static int check_reference(struct schema_context *ctx, const struct config *config, uint32_t i,
                           const struct reference *ref, struct err *err)
{
    const char *own = config->services[i].name;
    int32_t other = find_service(config, ref->name);
    if (other < 0)
        return no_such_service(ctx, config, ref->at, ref->name, err);
    if (other == (int32_t)i)
        return schema_fail(ctx, ref->at, err, "\"%s\" is this service itself; name another one",
                           own);
    bool *seen = ARENA_ARRAY(ctx->arena, bool, config->service_count);
    if (!seen)
        return -ENOMEM;
    if (reaches(config, (uint32_t)other, i, seen))
        return schema_fail(ctx, ref->at, err,
                           "\"%s\" follows \"%s\" in turn, so neither could go first; remove one "
                           "of the two",
                           ref->name, own);
    return 0;
}

int config_check_groups(struct schema_context *ctx, const struct config *config, struct err *err)
{
    struct reference refs[REFERENCES_MAX];
    int rc = 0;
    for (uint32_t i = 0; i < config->service_count && rc == 0; i++) {
        if (!config->services[i].name)
            continue;
        size_t entered = schema_enter(ctx, "services");
        schema_enter(ctx, config->services[i].name);
        schema_enter(ctx, "scale");
        uint32_t n = list_references(config, i, refs);
        for (uint32_t r = 0; r < n && rc == 0; r++)
            rc = check_reference(ctx, config, i, &refs[r], err);
        schema_leave(ctx, entered);
    }
    return rc;
}

int config_read_after(struct schema_context *ctx, const struct schema_list *after,
                      struct service_conf *conf, struct err *err)
{
    if (after->count > MODEL_AFTER_MAX)
        return schema_error(ctx, "after", err, "%zu services; at most %d", after->count,
                            MODEL_AFTER_MAX);
    for (size_t i = 0; i < after->count; i++) {
        if (strlen(after->items[i]) > CONFIG_NAME_MAX)
            return schema_fail_item(ctx, "after", i, err, "there is no service \"%.60s\"",
                                    after->items[i]);
        str_copy(conf->after[conf->after_count++], MODEL_NAME_MAX, after->items[i]);
    }
    return 0;
}
