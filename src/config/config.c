/* The way in: text to struct config. */
#include "config/config.h"

#include <errno.h>

#include "base/table.h"
#include "config/tables.h"

const void *config_top(const struct config *config, const struct schema_section *section)
{
    for (uint32_t i = 0; i < config->top_count; i++)
        if (config->tops[i] == section)
            return config->top_confs[i];
    return NULL;
}

bool config_discovers(const struct config *config)
{
    for (uint32_t i = 0; i < config->top_count; i++) {
        const struct schema_key *key = schema_find_key(config->tops[i], "discover");
        if (key && key->type == SCHEMA_BOOL &&
            *(const bool *)((const char *)config->top_confs[i] + key->offset))
            return true;
    }
    return false;
}

/* The sections that others bring, each into a struct of its own. Report. */
static int read_tops(struct schema_context *ctx, const struct schema_node *root,
                     const struct schema_section *const *tops, struct config *config)
{
    int rc = 0;
    config->tops = tops;
    while (tops && tops[config->top_count])
        config->top_count++;
    config->top_confs = ARENA_ARRAY(ctx->arena, void *, config->top_count);
    config->top_nodes = ARENA_ARRAY(ctx->arena, const struct schema_node *, config->top_count);
    if (!config->top_confs || !config->top_nodes)
        return -ENOMEM;
    for (uint32_t i = 0; i < config->top_count && rc != -ENOMEM; i++) {
        const struct node_pair *pair = node_find(root, tops[i]->name);
        void *conf = config->top_confs[i] = arena_alloc(ctx->arena, tops[i]->size_bytes);
        if (!conf)
            return -ENOMEM;
        if (pair && !node_is_null(pair->value))
            config->top_nodes[i] = pair->value;
        int read = schema_read_named(ctx, tops[i]->name, tops[i], config->top_nodes[i], conf);
        rc = read < 0 ? read : rc;
    }
    return rc;
}

static int read_top(struct schema_context *ctx, const struct schema_node *root,
                    const struct schema_section *const *tops, struct config *config)
{
    struct schema_section joined;
    int rc = config_join_drivers(ctx, &config_section_top, tops, &joined);
    if (rc == 0)
        rc = schema_read(ctx, &joined, root, config);
    if (rc == -ENOMEM)
        return rc;
    int more = read_tops(ctx, root, tops, config);
    return more < 0 ? more : rc;
}

/* None at all is fine when they are discovered. */
static int check_services(struct schema_context *ctx, const struct schema_node *root,
                          struct config *config)
{
    struct err err = { 0 };
    const struct schema_node *node = config->services_node;
    bool none = !node || node_is_null(node) || (node->kind == NODE_MAP && node->count == 0);
    if (none && config_discovers(config))
        config->services_node = NULL;
    else if (!node)
        return schema_note(ctx,
                           schema_fail(ctx, root, &err,
                                       "services: is missing; a map of at "
                                       "least one service"),
                           &err);
    return 0;
}

int config_read_root(struct schema_context *ctx, const struct schema_node *root,
                     const struct config_sections *sections, struct config *config)
{
    struct err err = { 0 };
    ctx->model = &config->model;
    if (root->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, root, &err, "a configuration is a map of keys, not %s",
                                       node_kind_name(root)),
                           &err);
    int rc = read_top(ctx, root, sections->tops, config);
    if (rc == -ENOMEM)
        return rc;
    int shared = config_read_budgets(ctx, config->budgets_node, &config->model);
    if (shared == 0)
        shared = config_read_carbon(ctx, config, &config->model.carbon);
    if (shared == -ENOMEM)
        return shared;
    int missing = check_services(ctx, root, config);
    int services = config_read_services(ctx, config->services_node, sections, config);
    if (services == -ENOMEM)
        return services;
    rc = rc < 0 ? rc : shared < 0 ? shared : missing < 0 ? missing : services;
    int whole = config_check_whole(ctx, root, config, rc == 0);
    return rc < 0 ? rc : whole;
}

int config_read_policies(struct schema_context *ctx, const struct schema_node *root,
                         struct config *config)
{
    static const struct config_sections none = { 0 };
    return config_read_root(ctx, root, &none, config);
}

struct reading {
    const struct config_sections *sections;
    struct config *config;
};

static int read_document(struct schema_context *ctx, const struct schema_node *root, void *to)
{
    struct reading *r = to;
    return config_read_root(ctx, root, r->sections, r->config);
}

static int new_config(struct arena *arena, const char *path, const char *text, size_t bytes,
                      int64_t now_wall_us, struct config **ret)
{
    struct config *config = ARENA_NEW(arena, struct config);
    char *path_copy = arena_strdup(arena, path);
    char *copy = arena_strndup(arena, text, bytes);
    if (!config || !path_copy || !copy)
        return -ENOMEM;
    config->arena = arena;
    config->path = path_copy;
    config->text = copy;
    config->hash = table_hash((struct slice){ text, bytes });
    config->now_wall_us = now_wall_us;
    *ret = config;
    return 0;
}

int config_parse(struct arena *arena, const char *path, const char *text, size_t bytes,
                 const struct config_sections *sections, int64_t now_wall_us, struct config **ret,
                 struct err *errors, size_t errors_cap, size_t *ret_error_count)
{
    struct reading r = { .sections = sections };
    struct schema_context ctx;
    schema_init(&ctx, arena, path, now_wall_us, errors, errors_cap);
    ctx.join = config_join_documents;
    ctx.recorded = sections->recorded;
    int rc =
        new_config(arena, path, text, bytes > CONFIG_TEXT_MAX ? 0 : bytes, now_wall_us, &r.config);
    if (rc < 0)
        ctx.out_of_memory = true;
    rc = schema_read_text(&ctx, text, bytes, read_document, &r, ret_error_count);
    if (rc == 0)
        *ret = r.config;
    return rc;
}
