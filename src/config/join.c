/* Several documents in one text are one configuration: the first says everything, later ones bring
 * more services. So what engines describe stands behind the file's text, and is read, compared and
 * remembered as the file is. */
#include <errno.h>
#include <string.h>

#include "config/tables.h"

static int check_document(struct schema_context *ctx, const struct schema_node *root)
{
    int rc = 0;
    struct err err = { 0 };
    if (root->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, root, &err, "a document is a map of keys, not %s",
                                       node_kind_name(root)),
                           &err);
    for (uint32_t i = 0; i < root->count; i++) {
        const struct schema_node *key = root->pairs[i].key;
        err = (struct err){ 0 };
        if (strcmp(key->text, "services") != 0)
            rc = schema_note(ctx,
                             schema_fail(ctx, key, &err,
                                         "a second document brings \"services\" only; \"%.60s\" "
                                         "belongs into the first",
                                         key->text),
                             &err);
    }
    return rc;
}

static const struct schema_node *services_of(const struct schema_node *root)
{
    const struct node_pair *pair = node_find(root, "services");
    return pair && pair->value->kind == NODE_MAP ? pair->value : NULL;
}

static int add_service(struct schema_context *ctx, struct schema_node *services,
                       const struct node_pair *pair)
{
    struct err err = { 0 };
    const struct node_pair *first = node_find(services, pair->key->text);
    if (first)
        return schema_note(
            ctx,
            schema_fail(ctx, pair->key, &err,
                        "service \"%.60s\" is written twice; the first is on line %u",
                        pair->key->text, first->key->line),
            &err);
    services->pairs[services->count++] = *pair;
    return 0;
}

/* The services of all documents, as one map. What is no map stays where it is, to be refused. */
static int join_services(struct schema_context *ctx, const struct schema_node *const *roots,
                         size_t count, struct schema_node *services)
{
    uint32_t room = 0;
    int rc = 0;
    for (size_t i = 0; i < count; i++)
        room += services_of(roots[i]) ? services_of(roots[i])->count : 0;
    services->pairs = ARENA_ARRAY(ctx->arena, struct node_pair, room);
    if (!services->pairs)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct schema_node *own = services_of(roots[i]);
        for (uint32_t k = 0; own && k < own->count; k++) {
            int added = add_service(ctx, services, &own->pairs[k]);
            rc = added < 0 ? added : rc;
        }
    }
    return rc;
}

static bool can_join(const struct schema_node *first)
{
    const struct node_pair *own = node_find(first, "services");
    return first->kind == NODE_MAP && (!own || own->value->kind == NODE_MAP);
}

/* The first document with the services of all. */
static struct schema_node *with_services(struct schema_context *ctx,
                                         const struct schema_node *first,
                                         const struct schema_node *services)
{
    struct schema_node *root = ARENA_NEW(ctx->arena, struct schema_node);
    struct schema_node *key = ARENA_NEW(ctx->arena, struct schema_node);
    struct node_pair *pairs = ARENA_ARRAY(ctx->arena, struct node_pair, first->count + 1);
    if (!root || !key || !pairs)
        return NULL;
    *root = *first;
    root->pairs = pairs;
    if (first->count > 0)
        memcpy(pairs, first->pairs, first->count * sizeof(*pairs));
    struct node_pair *own = (struct node_pair *)node_find(root, "services");
    if (!own) {
        *key =
            (struct schema_node){ .kind = NODE_SCALAR, .line = 1, .column = 1, .text = "services" };
        own = &pairs[root->count++];
        own->key = key;
    }
    own->value = services;
    return root;
}

int config_join_documents(struct schema_context *ctx, const struct schema_node *const *roots,
                          size_t count, const struct schema_node **ret)
{
    int rc = 0;
    *ret = roots[0];
    for (size_t i = 1; i < count; i++) {
        int checked = check_document(ctx, roots[i]);
        rc = checked < 0 ? checked : rc;
    }
    if (count == 1 || !can_join(roots[0]) || rc == -ENOMEM)
        return rc;
    struct schema_node *services = ARENA_NEW(ctx->arena, struct schema_node);
    if (!services)
        return -ENOMEM;
    const struct schema_node *own = services_of(roots[0]);
    *services = own ? *own : (struct schema_node){ .kind = NODE_MAP, .line = 1, .column = 1 };
    services->count = 0;
    int joined = join_services(ctx, roots, count, services);
    *ret = joined == -ENOMEM ? NULL : with_services(ctx, roots[0], services);
    return !*ret ? -ENOMEM : rc < 0 ? rc : joined;
}
