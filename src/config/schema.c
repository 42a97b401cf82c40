/* The table-driven reader: walks a YAML map beside a table of keys, fills the struct that the table
 * describes, and collects what is wrong. Knows nothing of any particular key. */
#include "config/schema.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "config/read.h"

#define NESTED_DEPTH 2
#define NESTED_MAX 3 /* places that are named for one key */

/* Names further apart than a third of their length are no typing mistakes. */
static bool is_near(const char *name, unsigned distance)
{
    return distance <= 1 + strnlen(name, 63) / 3;
}

const struct schema_key *schema_find_key(const struct schema_section *section, const char *name)
{
    for (const struct schema_key *k = section->keys; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

const char *schema_nearest_key(const struct schema_section *section, const char *name)
{
    const char *best = NULL;
    unsigned least = 64;
    for (const struct schema_key *k = section->keys; k->name; k++) {
        unsigned distance = str_distance(k->name, name);
        if (distance < least && is_near(name, distance)) {
            least = distance;
            best = k->name;
        }
    }
    return best;
}

const char *schema_nearest(const char *const *names, const char *name)
{
    const char *best = NULL;
    unsigned least = 64;
    for (; *names; names++) {
        unsigned distance = str_distance(*names, name);
        if (distance < least && is_near(name, distance)) {
            least = distance;
            best = *names;
        }
    }
    return best;
}

size_t schema_enter(struct schema_context *ctx, const char *name)
{
    size_t before = ctx->name.len;
    if (before > 0 && name[0] != '[')
        str_put_char(&ctx->name, '.');
    str_put(&ctx->name, name);
    return before;
}

void schema_leave(struct schema_context *ctx, size_t entered)
{
    ctx->name.len = entered;
    ctx->name.p[entered] = '\0';
    ctx->name.cut = false;
}

/* A path too long for the field keeps its end, where the file's name is. */
void schema_place(struct schema_context *ctx, uint32_t line, uint32_t column, struct err *err)
{
    struct str s;
    size_t n = strlen(ctx->path), room = sizeof(err->place) - 32;
    str_init(&s, err->place, sizeof(err->place));
    if (n > room)
        str_putf(&s, "...%s", ctx->path + (n - room));
    else
        str_put(&s, ctx->path);
    str_putf(&s, ":%u:%u", line, column);
}

static void put_text(struct schema_context *ctx, struct err *err, const char *format, va_list args)
{
    struct str s;
    err->code = -EINVAL;
    str_init(&s, err->text, sizeof(err->text));
    if (ctx->name.len > 0)
        str_putf(&s, "%s: ", ctx->name.p);
    str_putv(&s, format, args);
}

int schema_fail(struct schema_context *ctx, const struct schema_node *node, struct err *err,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_text(ctx, err, format, args);
    va_end(args);
    schema_place(ctx, node ? node->line : 1, node ? node->column : 1, err);
    return -EINVAL;
}

/* The text with the key's name, at a node of the section being checked. */
static int fail_key(struct schema_context *ctx, const char *key, const struct schema_node *at,
                    struct err *err, const char *format, va_list args)
{
    size_t entered = key ? schema_enter(ctx, key) : ctx->name.len;
    put_text(ctx, err, format, args);
    schema_leave(ctx, entered);
    schema_place(ctx, at ? at->line : 1, at ? at->column : 1, err);
    return -EINVAL;
}

int schema_error(struct schema_context *ctx, const char *key, struct err *err, const char *format,
                 ...)
{
    va_list args;
    const struct node_pair *pair = key ? node_find(ctx->node, key) : NULL;
    va_start(args, format);
    fail_key(ctx, key, pair ? pair->key : ctx->node, err, format, args);
    va_end(args);
    return -EINVAL;
}

int schema_fail_value(struct schema_context *ctx, const char *key, struct err *err,
                      const char *format, ...)
{
    va_list args;
    const struct node_pair *pair = node_find(ctx->node, key);
    va_start(args, format);
    fail_key(ctx, key, pair ? pair->value : ctx->node, err, format, args);
    va_end(args);
    return -EINVAL;
}

int schema_fail_item(struct schema_context *ctx, const char *key, size_t item, struct err *err,
                     const char *format, ...)
{
    va_list args;
    const struct node_pair *pair = node_find(ctx->node, key);
    const struct schema_node *at = pair ? pair->value : ctx->node;
    if (pair && at->kind == NODE_LIST && item < at->count)
        at = at->items[item];
    va_start(args, format);
    fail_key(ctx, key, at, err, format, args);
    va_end(args);
    return -EINVAL;
}

bool schema_given(struct schema_context *ctx, const char *key)
{
    return node_find(ctx->node, key) != NULL;
}

bool schema_beside(struct schema_context *ctx, const char *key)
{
    return node_find(ctx->beside, key) != NULL;
}

bool schema_recorded(const struct schema_context *ctx)
{
    return ctx->recorded;
}

void schema_report(struct schema_context *ctx, const struct err *err)
{
    if (err->text[0] != '\0' && ctx->error_count < ctx->errors_cap)
        ctx->errors[ctx->error_count++] = *err;
}

int schema_note(struct schema_context *ctx, int rc, const struct err *err)
{
    if (rc == -ENOMEM)
        ctx->out_of_memory = true;
    else if (rc < 0)
        schema_report(ctx, err);
    return rc;
}

/* Where a key of that name stands further down: "\"etcd.ttl\"". Returns how many there are. */
static unsigned put_nested(const struct schema_section *section, const char *name, const char *path,
                           int depth, struct str *out)
{
    unsigned count = 0;
    for (const struct schema_key *k = section->keys; k->name && depth > 0; k++) {
        char inner[128];
        if (k->type != SCHEMA_SECTION)
            continue;
        fmt(inner, sizeof(inner), "%s%s.", path, k->name);
        if (schema_find_key(k->section, name)) {
            str_putf(out, "%s\"%s%s\"", out->len > 0 ? " or " : "", inner, name);
            count++;
        }
        count += put_nested(k->section, name, inner, depth - 1, out);
    }
    return count;
}

/* A key that is right in another place is a better guess than one that merely looks like it, unless
 * that is one slip away. */
static bool say_nested(const struct schema_section *section, const char *name, const char *near,
                       struct str *out)
{
    if (near && str_distance(near, name) <= 1)
        return false;
    unsigned count = put_nested(section, name, "", NESTED_DEPTH, out);
    return count > 0 && count <= NESTED_MAX && !out->cut;
}

int schema_unknown_key(struct schema_context *ctx, const struct schema_section *section,
                       const struct schema_node *key, struct err *err)
{
    const char *near = schema_nearest_key(section, key->text);
    char names[300];
    struct str s;
    str_init(&s, names, sizeof(names));
    for (const struct schema_hint *h = section->hints; h && h->name; h++)
        if (strcmp(h->name, key->text) == 0)
            return schema_fail(ctx, key, err, "unknown key \"%s\": %s", h->name, h->text);
    if (say_nested(section, key->text, near, &s))
        return schema_fail(ctx, key, err, "unknown key \"%.60s\"; did you mean %s?", key->text,
                           names);
    if (near)
        return schema_fail(ctx, key, err, "unknown key \"%.60s\"; did you mean \"%s\"?", key->text,
                           near);
    str_clear(&s);
    for (const struct schema_key *k = section->keys; k->name; k++)
        str_putf(&s, "%s%s", k > section->keys ? ", " : "", k->name);
    return schema_fail(ctx, key, err, "unknown key \"%.60s\"; possible here: %s", key->text, names);
}

static int read_list(struct schema_context *ctx, const struct schema_node *node,
                     struct schema_list *field, struct err *err)
{
    const char **items = ARENA_ARRAY(ctx->arena, const char *, node->count);
    if (!items)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct schema_node *item = node->items[i];
        if (item->kind != NODE_SCALAR || node_is_null(item))
            return schema_fail(ctx, item, err, "an item is a single value, not %s",
                               node_kind_name(item));
        items[i] = item->text;
    }
    *field = (struct schema_list){ .count = node->count, .items = items };
    return 0;
}

static int read_map(struct schema_context *ctx, const struct schema_node *node,
                    struct schema_map *field, struct err *err)
{
    const char **names = ARENA_ARRAY(ctx->arena, const char *, node->count);
    const char **values = ARENA_ARRAY(ctx->arena, const char *, node->count);
    if (!names || !values)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->count; i++) {
        const struct node_pair *pair = &node->pairs[i];
        if (pair->value->kind != NODE_SCALAR)
            return schema_fail(ctx, pair->value, err, "the value of \"%.60s\" is %s; write text",
                               pair->key->text, node_kind_name(pair->value));
        names[i] = pair->key->text;
        values[i] = node_is_null(pair->value) ? "" : pair->value->text;
    }
    *field = (struct schema_map){ .count = node->count, .names = names, .values = values };
    return 0;
}

static const char *expected(enum schema_type type)
{
    if (type == SCHEMA_MAP || type == SCHEMA_SECTION)
        return "a map";
    return type == SCHEMA_LIST ? "a list or a single value" : "a single value";
}

static bool has_kind(enum schema_type type, const struct schema_node *node)
{
    if (type == SCHEMA_MAP || type == SCHEMA_SECTION)
        return node->kind == NODE_MAP;
    if (type == SCHEMA_LIST)
        return node->kind != NODE_MAP;
    return node->kind == NODE_SCALAR;
}

static int read_written(struct schema_context *ctx, const struct schema_key *key,
                        const struct schema_node *node, void *field, struct err *err)
{
    if (key->type == SCHEMA_CUSTOM)
        return key->parse(ctx, node, field, err);
    if (node_is_null(node)) {
        if (key->type == SCHEMA_SECTION)
            return schema_read(ctx, key->section, NULL, field);
        return schema_fail(ctx, node, err, "has no value; give one, or remove the key");
    }
    if (!has_kind(key->type, node))
        return schema_fail(ctx, node, err, "is %s here; write %s", node_kind_name(node),
                           expected(key->type));
    if (key->type == SCHEMA_SECTION)
        return schema_read(ctx, key->section, node, field);
    if (key->type == SCHEMA_MAP)
        return read_map(ctx, node, field, err);
    if (node->kind == NODE_LIST)
        return read_list(ctx, node, field, err);
    struct err why = { 0 };
    int rc = schema_read_value(ctx->arena, key, node->text, field, &why);
    return rc == -EINVAL ? schema_fail(ctx, node, err, "%s", why.text) : rc;
}

static int read_default(struct schema_context *ctx, const struct schema_key *key, void *field,
                        struct err *err)
{
    if (key->type == SCHEMA_SECTION)
        return schema_read(ctx, key->section, NULL, field);
    if (key->fallback && key->type != SCHEMA_CUSTOM)
        return schema_read_value(ctx->arena, key, key->fallback, field, err);
    return 0;
}

static int read_key(struct schema_context *ctx, const struct schema_key *key,
                    const struct schema_node *parent, void *out)
{
    struct err err = { 0 };
    void *field = (char *)out + key->offset;
    const struct node_pair *pair = node_find(parent, key->name);
    size_t entered = schema_enter(ctx, key->name);
    int rc;
    if (pair) {
        rc = read_written(ctx, key, pair->value, field, &err);
        if (rc == -EINVAL && key->type != SCHEMA_SECTION)
            read_default(ctx, key, field, &(struct err){ 0 });
    } else if (key->required && parent) {
        rc = schema_fail(ctx, parent, &err, "is missing; %s", key->help);
    } else {
        rc = read_default(ctx, key, field, &err);
    }
    schema_leave(ctx, entered);
    return schema_note(ctx, rc, &err);
}

static int refuse_unknown(struct schema_context *ctx, const struct schema_section *section,
                          const struct schema_node *node)
{
    int rc = 0;
    for (uint32_t i = 0; node && node->kind == NODE_MAP && i < node->count; i++) {
        struct err err = { 0 };
        if (schema_find_key(section, node->pairs[i].key->text))
            continue;
        rc = schema_note(ctx, schema_unknown_key(ctx, section, node->pairs[i].key, &err), &err);
    }
    return rc;
}

int schema_read(struct schema_context *ctx, const struct schema_section *section,
                const struct schema_node *node, void *out)
{
    const struct schema_node *outer = ctx->node;
    int rc = refuse_unknown(ctx, section, node);
    for (const struct schema_key *key = section->keys; key->name; key++) {
        int read = read_key(ctx, key, node, out);
        rc = read < 0 ? read : rc;
        if (read == -ENOMEM)
            return -ENOMEM;
    }
    if (rc == 0 && node && section->check) {
        struct err err = { 0 };
        ctx->node = node;
        rc = schema_note(ctx, section->check(ctx, out, &err), &err);
        ctx->node = outer;
    }
    return rc;
}

int schema_read_named(struct schema_context *ctx, const char *name,
                      const struct schema_section *section, const struct schema_node *node,
                      void *out)
{
    size_t entered = schema_enter(ctx, name);
    int rc = schema_read(ctx, section, node, out);
    schema_leave(ctx, entered);
    return rc;
}
