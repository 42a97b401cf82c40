/* Builds the tree from libfyaml's events. Owns the limits on size and depth and the rules about
 * duplicate keys, aliases and merges; knows nothing of what the keys mean. Must never let the
 * library print: its messages are collected and become errors with a place. */
#include "config/node.h"

#include <errno.h>
#include <libfyaml.h>
#include <string.h>

#include "base/table.h"

struct builder {
    struct arena *arena;
    const char *text;
    size_t bytes;
    struct fy_parser *parser;
    struct node_place *place; /* of the error, when there is one */
    struct err *err;
    uint32_t node_count;
    uint32_t depth;
    uint32_t document_count, documents_max;
    uint32_t anchor_count;
    const struct schema_node **roots; /* one for each document; NULL = empty */
    struct open_node {
        struct schema_node *node;
        const struct schema_node *key; /* map: waits for its value */
        struct link *first, *last;
        uint32_t count;
        const char *anchor; /* known under this name once it is complete */
    } open[NODE_DEPTH_MAX];
    struct anchor *anchors; /* newest first: a name may be given again */
};

/* What an open container holds so far; becomes an array when it is closed. */
struct link {
    struct link *next;
    struct node_pair pair;
};

struct anchor {
    struct anchor *next;
    const char *name;
    const struct schema_node *node;
};

static int fail_at(struct builder *b, struct node_place at, const char *format, ...) _printf_(3, 4);

static int fail_at(struct builder *b, struct node_place at, const char *format, ...)
{
    struct str text;
    va_list args;
    *b->place = at;
    b->err->code = -EINVAL;
    b->err->place[0] = '\0';
    str_init(&text, b->err->text, sizeof(b->err->text));
    va_start(args, format);
    str_putv(&text, format, args);
    va_end(args);
    return -EINVAL;
}

static struct node_place place_of(const struct schema_node *n)
{
    return (struct node_place){ n->line, n->column };
}

/* Where people look: at the opening quote or the alias' star, which the library's marks skip. */
static struct node_place event_place(const struct builder *b, struct fy_event *e)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    if (!mark)
        return (struct node_place){ 1, 1 };
    struct node_place at = { (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
    bool inside = e->type == FYET_ALIAS || e->type == FYET_SCALAR;
    if (inside && mark->column > 0 && mark->input_pos > 0 && mark->input_pos <= b->bytes &&
        strchr("\"'*", b->text[mark->input_pos - 1]))
        at.column--;
    return at;
}

/* A value that is not there has no mark: it is where its key is, or the list that it is in. */
static struct node_place empty_place(const struct builder *b)
{
    const struct open_node *o = b->depth > 0 ? &b->open[b->depth - 1] : NULL;
    return o ? place_of(o->key ? o->key : o->node) : (struct node_place){ 1, 1 };
}

static int copy_token(struct builder *b, struct fy_token *token, struct node_place at,
                      const char **ret)
{
    size_t n = 0;
    const char *text = token ? fy_token_get_text(token, &n) : "";
    if (!text)
        return -ENOMEM;
    if (memchr(text, '\0', n))
        return fail_at(b, at, "a NUL character cannot be part of a value");
    const char *copy = arena_strndup(b->arena, text, n);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

/* The first key written twice, or NULL. -ENOMEM. */
static int find_duplicate(struct builder *b, const struct schema_node *map,
                          const struct schema_node **ret)
{
    struct table t;
    size_t cap = 4;
    while (cap * 3 / 4 < map->count + 1)
        cap *= 2;
    struct table_slot *slots = ARENA_ARRAY(b->arena, struct table_slot, cap);
    if (!slots)
        return -ENOMEM;
    table_init(&t, slots, cap);
    *ret = NULL;
    for (uint32_t i = 0; i < map->count && !*ret; i++)
        if (table_put(&t, slice_of(map->pairs[i].key->text), &map->pairs[i]) == -EEXIST)
            *ret = map->pairs[i].key;
    return 0;
}

static int check_duplicates(struct builder *b, const struct schema_node *map)
{
    const struct schema_node *twice;
    int rc = find_duplicate(b, map, &twice);
    if (rc < 0 || !twice)
        return rc;
    const struct schema_node *first = node_find(map, twice->text)->key;
    return fail_at(b, place_of(twice), "key \"%s\" is written twice; the first is on line %u",
                   twice->text, first->line);
}

/* Pairs of `from` that `map` does not have yet; `map` has room. */
static void merge_pairs(struct schema_node *map, const struct schema_node *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        if (node_find(map, from->pairs[i].key->text))
            continue;
        map->pairs[map->count++] = from->pairs[i];
    }
}

/* "<<": a map, or a list of maps of which the earlier wins; what is written here wins over all. */
static int resolve_merge(struct builder *b, struct schema_node *map)
{
    const struct node_pair *merge = node_find(map, "<<");
    if (!merge || merge->key->quoted)
        return 0;
    const struct schema_node *value = merge->value, *single[1] = { value };
    const struct schema_node **sources = value->kind == NODE_LIST ? value->items : single;
    uint32_t source_count = value->kind == NODE_LIST ? value->count : 1;
    size_t room = map->count;
    for (uint32_t i = 0; i < source_count; i++) {
        if (sources[i]->kind != NODE_MAP)
            return fail_at(b, place_of(sources[i]), "\"<<\" merges maps; this is %s",
                           node_kind_name(sources[i]));
        room += sources[i]->count;
    }
    if (room > NODE_MERGED_MAX)
        return fail_at(b, place_of(merge->key), "merged maps have %zu keys; at most %d", room,
                       NODE_MERGED_MAX);
    struct node_pair *pairs = ARENA_ARRAY(b->arena, struct node_pair, room);
    if (!pairs)
        return -ENOMEM;
    size_t at = (size_t)(merge - map->pairs);
    memcpy(pairs, map->pairs, at * sizeof(*pairs));
    memcpy(pairs + at, merge + 1, (map->count - at - 1) * sizeof(*pairs));
    map->pairs = pairs;
    map->count--;
    for (uint32_t i = 0; i < source_count; i++)
        merge_pairs(map, sources[i]);
    return 0;
}

static int close_container(struct builder *b, struct open_node *o)
{
    struct schema_node *n = o->node;
    size_t i = 0;
    n->count = o->count;
    if (n->kind == NODE_LIST) {
        n->items = ARENA_ARRAY(b->arena, const struct schema_node *, o->count);
        if (!n->items)
            return -ENOMEM;
        for (struct link *l = o->first; l; l = l->next)
            n->items[i++] = l->pair.value;
        return 0;
    }
    n->pairs = ARENA_ARRAY(b->arena, struct node_pair, o->count);
    if (!n->pairs)
        return -ENOMEM;
    for (struct link *l = o->first; l; l = l->next)
        n->pairs[i++] = l->pair;
    int rc = check_duplicates(b, n);
    return rc < 0 ? rc : resolve_merge(b, n);
}

static int remember_anchor(struct builder *b, const char *name, const struct schema_node *node)
{
    if (!name)
        return 0;
    if (++b->anchor_count > NODE_ANCHORS_MAX)
        return fail_at(b, place_of(node), "more than %d anchors", NODE_ANCHORS_MAX);
    struct anchor *a = ARENA_NEW(b->arena, struct anchor);
    if (!a)
        return -ENOMEM;
    *a = (struct anchor){ .next = b->anchors, .name = name, .node = node };
    b->anchors = a;
    return 0;
}

/* A complete value goes into the container that is open, as a key, a value or an item. */
static int attach(struct builder *b, const struct schema_node *n)
{
    if (b->depth == 0) {
        b->roots[b->document_count - 1] = n;
        return 0;
    }
    struct open_node *o = &b->open[b->depth - 1];
    if (o->node->kind == NODE_MAP && !o->key) {
        if (n->kind != NODE_SCALAR)
            return fail_at(b, place_of(n), "a key is a word, not %s", node_kind_name(n));
        o->key = n;
        return 0;
    }
    struct link *l = ARENA_NEW(b->arena, struct link);
    if (!l)
        return -ENOMEM;
    l->pair = (struct node_pair){ .key = o->key, .value = n };
    o->key = NULL;
    *(o->last ? &o->last->next : &o->first) = l;
    o->last = l;
    o->count++;
    return 0;
}

static int new_node(struct builder *b, struct fy_event *e, enum node_kind kind,
                    struct schema_node **ret)
{
    bool empty = e->type == FYET_SCALAR &&
                 (!e->scalar.value || fy_token_get_text_length(e->scalar.value) == 0);
    bool plain =
        empty && (!e->scalar.value || fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN);
    struct node_place at = plain ? empty_place(b) : event_place(b, e);
    if (++b->node_count > NODE_COUNT_MAX)
        return fail_at(b, at, "more than %d values; a configuration is smaller", NODE_COUNT_MAX);
    struct schema_node *n = ARENA_NEW(b->arena, struct schema_node);
    if (!n)
        return -ENOMEM;
    *n = (struct schema_node){ .kind = kind, .line = at.line, .column = at.column };
    *ret = n;
    return 0;
}

static int anchor_of(struct builder *b, struct fy_event *e, const char **ret)
{
    struct fy_token *token = fy_event_get_anchor_token(e);
    *ret = NULL;
    return token ? copy_token(b, token, event_place(b, e), ret) : 0;
}

static int on_open(struct builder *b, struct fy_event *e, enum node_kind kind)
{
    struct schema_node *n = NULL;
    const char *anchor;
    if (b->depth == NODE_DEPTH_MAX)
        return fail_at(b, event_place(b, e), "nested deeper than %d levels", NODE_DEPTH_MAX);
    int rc = new_node(b, e, kind, &n);
    if (rc == 0)
        rc = anchor_of(b, e, &anchor);
    if (rc < 0)
        return rc;
    b->open[b->depth++] = (struct open_node){ .node = n, .anchor = anchor };
    return 0;
}

static int on_close(struct builder *b)
{
    struct open_node *o = &b->open[b->depth - 1];
    int rc = close_container(b, o);
    if (rc == 0)
        rc = remember_anchor(b, o->anchor, o->node);
    b->depth--;
    return rc < 0 ? rc : attach(b, o->node);
}

static int on_scalar(struct builder *b, struct fy_event *e)
{
    struct schema_node *n = NULL;
    const char *anchor;
    int rc = new_node(b, e, NODE_SCALAR, &n);
    if (rc == 0)
        rc = copy_token(b, e->scalar.value, place_of(n), &n->text);
    if (rc == 0)
        rc = anchor_of(b, e, &anchor);
    if (rc == 0)
        rc = remember_anchor(b, anchor, n);
    if (rc < 0)
        return rc;
    n->quoted = e->scalar.value && fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN;
    return attach(b, n);
}

static int on_alias(struct builder *b, struct fy_event *e)
{
    const char *name = NULL;
    struct node_place at = event_place(b, e);
    int rc = copy_token(b, e->alias.anchor, at, &name);
    if (rc < 0)
        return rc;
    if (++b->node_count > NODE_COUNT_MAX)
        return fail_at(b, at, "more than %d values; a configuration is smaller", NODE_COUNT_MAX);
    for (const struct anchor *a = b->anchors; a; a = a->next)
        if (strcmp(a->name, name) == 0)
            return attach(b, a->node);
    return fail_at(b, at, "there is no anchor \"&%s\" above this alias", name);
}

/* Anchors end with their document. */
static int on_document(struct builder *b, struct fy_event *e)
{
    if (b->document_count == b->documents_max && b->documents_max == 1)
        return fail_at(b, event_place(b, e), "a second document; one file is one configuration");
    if (b->document_count == b->documents_max)
        return fail_at(b, event_place(b, e), "more than %d documents", NODE_DOCUMENTS_MAX);
    b->document_count++;
    b->anchors = NULL;
    return 0;
}

static int on_event(struct builder *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        return on_document(b, e);
    case FYET_MAPPING_START:
        return on_open(b, e, NODE_MAP);
    case FYET_SEQUENCE_START:
        return on_open(b, e, NODE_LIST);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return on_close(b);
    case FYET_SCALAR:
        return on_scalar(b, e);
    case FYET_ALIAS:
        return on_alias(b, e);
    default:
        return 0;
    }
}

/* The library's first error; it may have found several, but the later ones follow from it. */
static int syntax_error(struct builder *b, struct fy_diag *diag)
{
    void *walk = NULL;
    struct fy_diag_error *e;
    while ((e = fy_diag_errors_iterate(diag, &walk)) != NULL) {
        struct node_place at = { (uint32_t)MAX(e->line, 1), (uint32_t)MAX(e->column, 1) };
        return fail_at(b, at, "not valid YAML: %s", e->msg ? e->msg : "syntax error");
    }
    return fail_at(b, (struct node_place){ 1, 1 }, "not valid YAML");
}

static int build(struct builder *b, struct fy_diag *diag)
{
    for (;;) {
        struct fy_event *e = fy_parser_parse(b->parser);
        if (!e)
            return fy_diag_got_error(diag) ? syntax_error(b, diag) : 0;
        bool end = e->type == FYET_STREAM_END;
        int rc = on_event(b, e);
        fy_parser_event_free(b->parser, e);
        if (rc < 0 || end)
            return rc;
    }
}

static void finish(struct builder *b)
{
    static const struct schema_node nothing = { .kind = NODE_MAP, .line = 1, .column = 1 };
    b->document_count = MAX(b->document_count, 1u);
    for (uint32_t i = 0; i < b->document_count; i++)
        if (!b->roots[i] || node_is_null(b->roots[i]))
            b->roots[i] = &nothing;
}

static int run_parser(struct builder *b, struct fy_diag *diag)
{
    const struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag };
    b->parser = fy_parser_create(&cfg);
    if (!b->parser)
        return -ENOMEM;
    int rc = fy_parser_set_string(b->parser, b->text, b->bytes) == 0 ? build(b, diag) : -ENOMEM;
    fy_parser_destroy(b->parser);
    if (rc == 0)
        finish(b);
    return rc;
}

/* Length of the character at p in UTF-8, 0 when it is none. */
static size_t character_bytes(const char *p, size_t left)
{
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0x80             ? 1
               : (c & 0xe0) == 0xc0 ? 2
               : (c & 0xf0) == 0xe0 ? 3
               : (c & 0xf8) == 0xf0 ? 4
                                    : 0;
    if (n > left || c == 0xc0 || c == 0xc1 || c > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Any of the characters that YAML 1.1 or 1.2 may take for the end of a line. */
static bool ends_line(const char *p, size_t n)
{
    return *p == '\n' || *p == '\r' || (n == 2 && memcmp(p, "\xc2\x85", 2) == 0) ||
           (n == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0));
}

/* What must not reach the library: bytes that are no text, and directives ("%YAML"), which no
 * configuration needs and over which libfyaml 0.7.12 can loop for ever. */
static int check_text(struct builder *b)
{
    static const char mark[] = "\xef\xbb\xbf"; /* byte order mark */
    struct node_place at = { 1, 1 };
    bool line_begins = true;
    for (size_t i = 0, n; i < b->bytes; i += n) {
        const char *p = b->text + i;
        n = character_bytes(p, b->bytes - i);
        if (n == 0)
            return fail_at(b, at, "a byte that is not UTF-8 text: 0x%02x", (unsigned char)*p);
        if (*p == '\0')
            return fail_at(b, at, "a NUL byte; this is not text");
        if (line_begins && *p == '%')
            return fail_at(b, at, "a YAML directive (%%...) at the start of a line; remove it");
        if (i == 0 && n == 3 && memcmp(p, mark, 3) == 0)
            continue;
        line_begins = ends_line(p, n);
        if (*p == '\n')
            at = (struct node_place){ at.line + 1, 1 };
        else
            at.column++;
    }
    return 0;
}

static int parse(struct builder *b, uint32_t documents_max)
{
    struct fy_diag_cfg cfg;
    *b->place = (struct node_place){ 1, 1 };
    b->documents_max = documents_max;
    b->roots = ARENA_ARRAY(b->arena, const struct schema_node *, documents_max);
    if (!b->roots)
        return -ENOMEM;
    int rc = check_text(b);
    if (rc < 0)
        return rc;
    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&cfg);
    if (!diag)
        return -ENOMEM;
    fy_diag_set_collect_errors(diag, true);
    rc = run_parser(b, diag);
    fy_diag_destroy(diag);
    return rc;
}

int node_parse(struct arena *arena, const char *text, size_t bytes, const struct schema_node **ret,
               struct node_place *ret_place, struct err *err)
{
    struct builder b = {
        .arena = arena, .text = text, .bytes = bytes, .place = ret_place, .err = err
    };
    int rc = parse(&b, 1);
    if (rc == 0)
        *ret = b.roots[0];
    return rc;
}

int node_parse_all(struct arena *arena, const char *text, size_t bytes,
                   const struct schema_node *const **ret, size_t *ret_count,
                   struct node_place *ret_place, struct err *err)
{
    struct builder b = {
        .arena = arena, .text = text, .bytes = bytes, .place = ret_place, .err = err
    };
    int rc = parse(&b, NODE_DOCUMENTS_MAX);
    if (rc < 0)
        return rc;
    *ret = b.roots;
    *ret_count = b.document_count;
    return 0;
}

const struct node_pair *node_find(const struct schema_node *map, const char *key)
{
    for (uint32_t i = 0; map && map->kind == NODE_MAP && i < map->count; i++)
        if (strcmp(map->pairs[i].key->text, key) == 0)
            return &map->pairs[i];
    return NULL;
}

bool node_is_null(const struct schema_node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted &&
           (n->text[0] == '\0' || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0);
}

const char *node_kind_name(const struct schema_node *n)
{
    if (n->kind == NODE_MAP)
        return "a map";
    if (n->kind == NODE_LIST)
        return "a list";
    return node_is_null(n) ? "nothing" : "a single value";
}
