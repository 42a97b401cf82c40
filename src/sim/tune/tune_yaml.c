/* YAML nodes: finding, replacing without touching the original, writing. It must never know what a
 * key means. */
#include "sim/tune/tune_yaml.h"

#include <string.h>

#include "base/num.h"
#include "base/util.h"

/* The first name of a path; *rest is what follows its dot. */
static struct slice first_name(const char *path, const char **rest)
{
    size_t n = strcspn(path, ".");
    *rest = path + n + (path[n] == '.');
    return (struct slice){ path, n };
}

/* -- finding ------------------------------------------------------------------------------------
 */

static int64_t find_pair(const struct schema_node *map, struct slice name)
{
    for (uint32_t n = 0; n < map->count; n++) {
        if (slice_eq(slice_of(map->pairs[n].key->text), name))
            return n;
    }
    return -1;
}

static int64_t find_item(const struct schema_node *list, struct slice name)
{
    int64_t n;
    return num_parse_i64(name, &n) == 0 && n >= 0 && n < list->count ? n : -1;
}

static const struct schema_node *child(const struct schema_node *node, struct slice name)
{
    int64_t n = node->kind == NODE_MAP    ? find_pair(node, name)
                : node->kind == NODE_LIST ? find_item(node, name)
                                          : -1;
    if (n < 0)
        return NULL;
    return node->kind == NODE_MAP ? node->pairs[n].value : node->items[n];
}

const struct schema_node *tune_yaml_find(const struct schema_node *root, const char *path)
{
    const struct schema_node *node = root;
    while (node && *path) {
        struct slice name = first_name(path, &path);
        node = child(node, name);
    }
    return node;
}

/* -- replacing ----------------------------------------------------------------------------------
 */

static struct schema_node *new_scalar(struct arena *arena, struct slice text)
{
    struct schema_node *node = ARENA_NEW(arena, struct schema_node);
    char *copy = arena_strndup(arena, text.p, text.n);
    if (!node || !copy)
        return NULL;
    node->kind = NODE_SCALAR;
    node->text = copy;
    return node;
}

static const struct schema_node *replace(struct arena *arena, const struct schema_node *node,
                                         const char *path, const char *text);

static const struct schema_node *replace_item(struct arena *arena, const struct schema_node *list,
                                              struct slice name, const char *rest, const char *text)
{
    int64_t at = find_item(list, name);
    struct schema_node *copy = ARENA_NEW(arena, struct schema_node);
    const struct schema_node **items =
        ARENA_ARRAY(arena, const struct schema_node *, MAX(list->count, 1u));
    if (at < 0 || !copy || !items)
        return NULL;
    memcpy(items, list->items, list->count * sizeof(*items));
    items[at] = replace(arena, list->items[at], rest, text);
    *copy = *list;
    copy->items = items;
    return items[at] ? copy : NULL;
}

static const struct schema_node *replace_pair(struct arena *arena, const struct schema_node *map,
                                              struct slice name, const char *rest, const char *text)
{
    uint32_t count = map && map->kind == NODE_MAP ? map->count : 0;
    int64_t at = count > 0 ? find_pair(map, name) : -1;
    struct schema_node *copy = ARENA_NEW(arena, struct schema_node);
    struct node_pair *pairs = ARENA_ARRAY(arena, struct node_pair, count + 1);
    if (!copy || !pairs)
        return NULL;
    if (count > 0)
        memcpy(pairs, map->pairs, count * sizeof(*pairs));
    if (at < 0) {
        at = count++;
        pairs[at].key = new_scalar(arena, name);
    }
    pairs[at].value = replace(arena, pairs[at].value, rest, text);
    *copy = (struct schema_node){ .kind = NODE_MAP, .count = count, .pairs = pairs };
    return pairs[at].key && pairs[at].value ? copy : NULL;
}

static const struct schema_node *replace(struct arena *arena, const struct schema_node *node,
                                         const char *path, const char *text)
{
    if (*path == '\0')
        return new_scalar(arena, slice_of(text));
    const char *rest;
    struct slice name = first_name(path, &rest);
    if (node && node->kind == NODE_LIST)
        return replace_item(arena, node, name, rest, text);
    return replace_pair(arena, node, name, rest, text);
}

const struct schema_node *tune_yaml_set(struct arena *arena, const struct schema_node *root,
                                        const char *path, const char *text)
{
    return replace(arena, root, path, text);
}

/* -- writing ------------------------------------------------------------------------------------
 */

static void put_indent(struct str *out, uint32_t indent)
{
    for (uint32_t n = 0; n < indent; n++)
        str_put_char(out, ' ');
}

/* May it stand without quotes, in a flow map too? Rather quoted once too often. */
static bool is_plain(const struct schema_node *n)
{
    const char *t = n->text;
    if (n->quoted || *t == '\0' || strchr("-?%@`|>&*! ", *t))
        return false;
    return !strpbrk(t, ":#,[]{}\"'\\\t\r\n") && t[strlen(t) - 1] != ' ';
}

static void put_scalar(const struct schema_node *n, struct str *out)
{
    if (is_plain(n) || node_is_null(n)) {
        str_put(out, n->text);
        return;
    }
    str_put_char(out, '"');
    for (const char *p = n->text; *p; p++) {
        if (*p == '"' || *p == '\\')
            str_putf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            str_putf(out, "\\x%02x", (unsigned char)*p);
        else
            str_put_char(out, *p);
    }
    str_put_char(out, '"');
}

static bool is_flat(const struct schema_node *n)
{
    for (uint32_t k = 0; n->kind != NODE_SCALAR && k < n->count; k++) {
        const struct schema_node *c = n->kind == NODE_MAP ? n->pairs[k].value : n->items[k];
        if (c->kind != NODE_SCALAR)
            return false;
    }
    return true;
}

static void put_flow(const struct schema_node *n, struct str *out)
{
    if (n->kind == NODE_SCALAR) {
        put_scalar(n, out);
        return;
    }
    str_put_char(out, n->kind == NODE_MAP ? '{' : '[');
    for (uint32_t k = 0; k < n->count; k++) {
        str_put(out, k > 0 ? ", " : "");
        if (n->kind == NODE_MAP) {
            put_scalar(n->pairs[k].key, out);
            str_put(out, ": ");
        }
        put_scalar(n->kind == NODE_MAP ? n->pairs[k].value : n->items[k], out);
    }
    str_put_char(out, n->kind == NODE_MAP ? '}' : ']');
}

static void put_block(const struct schema_node *n, uint32_t indent, struct str *out);

/* Behind "key:" or "-". */
static void put_value(const struct schema_node *n, uint32_t indent, bool item, struct str *out)
{
    bool map_item = item && n->kind == NODE_MAP && n->count > 0; /* reads best as "- key: value" */
    if (is_flat(n) && !map_item) {
        str_put_char(out, ' ');
        put_flow(n, out);
        str_put_char(out, '\n');
        return;
    }
    str_put_char(out, item ? ' ' : '\n');
    if (!item)
        put_indent(out, indent);
    put_block(n, indent, out);
}

/* The first line stands where the caller has put it. */
static void put_block(const struct schema_node *n, uint32_t indent, struct str *out)
{
    for (uint32_t k = 0; k < n->count; k++) {
        if (k > 0)
            put_indent(out, indent);
        if (n->kind == NODE_MAP) {
            put_scalar(n->pairs[k].key, out);
            str_put_char(out, ':');
            put_value(n->pairs[k].value, indent + 2, false, out);
        } else {
            str_put_char(out, '-');
            put_value(n->items[k], indent + 2, true, out);
        }
    }
}

void tune_yaml_write(const struct schema_node *node, uint32_t indent, struct str *out)
{
    put_indent(out, indent);
    if (is_flat(node) && node->kind == NODE_SCALAR) {
        put_flow(node, out);
        str_put_char(out, '\n');
        return;
    }
    put_block(node, indent, out);
}
