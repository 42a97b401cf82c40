/* Labels become a service of the configuration: dotted names are paths into it, and the usual ones
 * have short names. Text in, text out; knows no engine and checks no value.
 *
 * Each label ends up on lines of its own, so that what is wrong can be told by its name and left
 * out. */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "config/node.h"
#include "config/read.h"
#include "drivers/swarm/swarm.h"
#include "sys/mem.h"

#define PREFIX "plimsoll."
#define LABELS_MAX 256
#define VALUE_BYTES_MAX 8192
#define TEXT_BYTES_MAX ((size_t)256 * 1024)
#define LINES_MAX 4096
#define DEPTH_MAX 12

struct branch {
    const char *key;                 /* "-" = an item of a list */
    int64_t order;                   /* of items; -1 = as they come */
    const char *value;               /* NULL = only what is below it */
    const struct swarm_label *label; /* that brought it; NULL = none */
    struct branch *first, *last, *next;
};

struct writing {
    struct arena *arena;
    const char *service;
    struct branch root;
    bool no_memory;
    struct str text;
    const char **places;
    size_t line_count;
    bool too_long;
};

/* --- where a label's first word stands --- */

enum where { SERVICE, SCALE, SWARM, NOWHERE, TARGET };

/* The words of one place, NULL-terminated. Those that are not here go to where the nearest one is.
 */
static const char *const words[][24] = {
    [SERVICE] = { "listen", "route", "protocol", "balance", "weight", "max-concurrency", "queue",
                  "retry", "timeouts", "limits", "health", "eject", "slow-start", "drain",
                  "sources", "scale", "swarm" },
    [SCALE] = { "mode", "min", "max", "initial", "surge", "window", "headroom", "change-cost",
                "cost", "watts", "budget", "after", "rules", "behavior" },
    [SWARM] = { "port", "reach", "network", "within" },
    [NOWHERE] = { "enable", "name", "owner", "token" },
    [TARGET] = { "target" },
};

static enum where where_is(const char *word)
{
    const char *near[ARRAY_LEN(words) + 1] = { NULL };
    size_t n = 0;
    for (size_t w = 0; w < ARRAY_LEN(words); w++) {
        const char *found = schema_nearest(words[w], word);
        if (found && strcmp(found, word) == 0)
            return (enum where)w;
        if (found)
            near[n++] = found;
    }
    const char *nearest = schema_nearest(near, word);
    for (size_t w = 0; nearest && w < ARRAY_LEN(words); w++)
        for (size_t i = 0; w != NOWHERE && words[w][i]; i++)
            if (words[w][i] == nearest)
                return (enum where)w;
    return SERVICE;
}

/* --- the tree --- */

static struct branch *grow(struct writing *w, struct branch *parent, const char *key, size_t n,
                           bool always)
{
    struct slice wanted = { key, n };
    for (struct branch *b = parent->first; b && !always; b = b->next)
        if (slice_eq(slice_of(b->key), wanted) && !b->value)
            return b;
    struct branch *b = ARENA_NEW(w->arena, struct branch);
    char *copy = b ? arena_strndup(w->arena, key, n) : NULL;
    if (!copy) {
        w->no_memory = true;
        return parent;
    }
    *b = (struct branch){ .key = copy, .order = -1 };
    if (num_parse_i64(wanted, &b->order) < 0 || b->order < 0)
        b->order = -1;
    *(parent->last ? &parent->last->next : &parent->first) = b;
    parent->last = b;
    return b;
}

static void set(struct writing *w, struct branch *parent, const char *key,
                const struct swarm_label *label, const char *value)
{
    struct branch *b = grow(w, parent, key, strlen(key), true);
    b->label = label;
    b->value = value;
}

/* Down a dotted path to the branch that gets its last word. */
static void set_path(struct writing *w, struct branch *at, const char *path,
                     const struct swarm_label *label)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        size_t n = strcspn(path, ".");
        if (path[n] == '\0')
            break;
        at = grow(w, at, path, n, false);
        at->label = at->label ? at->label : label;
        path += n + 1;
    }
    set(w, at, path, label, label->value);
}

/* target.cpu=60%, target.cpu.window=5m: an item of the rules for each metric. */
static void set_target(struct writing *w, struct branch *rules, const char *word,
                       const struct swarm_label *label)
{
    const char *path = label->name + strlen(PREFIX) + strlen(word);
    path += *path == '.';
    size_t n = strcspn(path, ".");
    struct branch *target = NULL;
    for (struct branch *b = rules->first; b; b = b->next) {
        struct branch *kind = b->first, *metric = kind ? kind->first : NULL;
        if (metric && strcmp(b->key, "-") == 0 && strcmp(kind->key, word) == 0 &&
            slice_eq(slice_of(metric->value), (struct slice){ path, n }))
            target = kind;
    }
    if (!target) {
        struct branch *item = grow(w, rules, "-", 1, true);
        target = grow(w, item, word, strlen(word), false);
        item->label = target->label = label;
        char *metric = arena_strndup(w->arena, path, n);
        w->no_memory |= !metric;
        set(w, target, "metric", label, metric ? metric : "");
    }
    if (path[n])
        set_path(w, target, path + n + 1, label);
    else
        set(w, target, "value", label, label->value);
}

static void set_label(struct writing *w, const struct swarm_label *label)
{
    const char *path = label->name + strlen(PREFIX);
    char word[64];
    fmt(word, sizeof(word), "%.*s", (int)strcspn(path, "."), path);
    enum where where = where_is(word);
    struct branch *scale;
    switch (where) {
    case NOWHERE:
        return;
    case TARGET:
        scale = grow(w, &w->root, "scale", 5, false);
        set_target(w, grow(w, scale, "rules", 5, false), word, label);
        return;
    case SCALE:
        set_path(w, grow(w, &w->root, "scale", 5, false), path, label);
        return;
    case SWARM:
        set_path(w, grow(w, &w->root, "swarm", 5, false), path, label);
        return;
    default:
        set_path(w, &w->root, path, label);
    }
}

/* --- writing it down --- */

static void put_quoted(struct str *out, const char *text)
{
    str_put_char(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            str_putf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            str_putf(out, "\\u%04x", c);
        else
            str_put_char(out, (char)c);
    }
    str_put_char(out, '"');
}

/* On one line: a list or a map that YAML can read as it is. */
static bool is_flow(const char *text)
{
    const struct schema_node *node;
    struct node_place at;
    struct err err = { 0 };
    if ((text[0] != '[' && text[0] != '{') || strchr(text, '&') || strchr(text, '*'))
        return false;
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, (size_t)4 * 1024 * 1024);
    return node_parse(&arena, text, strlen(text), &node, &at, &err) == 0 &&
           node->kind != NODE_SCALAR;
}

static void put_value(struct writing *w, const char *value)
{
    char *line = arena_strdup(w->arena, value);
    if (!line) {
        w->no_memory = true;
        return;
    }
    for (char *p = line; *p; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t')
            *p = ' ';
    while (*line == ' ')
        line++;
    if (is_flow(line))
        str_put(&w->text, line);
    else
        put_quoted(&w->text, value);
}

static void end_line(struct writing *w, const struct swarm_label *label)
{
    char place[256];
    str_put_char(&w->text, '\n');
    if (w->line_count == LINES_MAX) {
        w->too_long = true;
        return;
    }
    if (label)
        fmt(place, sizeof(place), "label %.120s of service %.100s", label->name, w->service);
    else
        fmt(place, sizeof(place), "service %.100s", w->service);
    char *copy = arena_strdup(w->arena, place);
    w->no_memory |= !copy;
    w->places[w->line_count++] = copy;
}

static bool is_list(const struct branch *b)
{
    const struct branch *first = b->first;
    return first && (first->order >= 0 || strcmp(first->key, "-") == 0);
}

/* Items by their numbers: labels come in the order of their names, where 10 is before 2. Those
 * without one are last, so that `rules.0` is the list's first. */
static void sort_items(struct branch *parent)
{
    struct branch *sorted = NULL;
    while (parent->first) {
        struct branch *b = parent->first, **at = &sorted;
        parent->first = b->next;
        while (*at && (uint64_t)(*at)->order <= (uint64_t)b->order) /* -1 is none */
            at = &(*at)->next;
        b->next = *at;
        *at = b;
    }
    parent->first = sorted;
}

static void put_branches(struct writing *w, struct branch *parent, size_t indent)
{
    bool list = is_list(parent);
    if (list)
        sort_items(parent);
    for (struct branch *b = parent->first; b; b = b->next) {
        str_putf(&w->text, "%*s", (int)indent, "");
        if (list)
            str_put(&w->text, "-");
        else
            put_quoted(&w->text, b->key);
        str_put(&w->text, list ? "" : ":");
        if (b->value) {
            str_put_char(&w->text, ' ');
            put_value(w, b->value);
        }
        end_line(w, b->label);
        put_branches(w, b, indent + 2);
    }
}

/* Names of stacks' services have an underscore, which ours have not. */
static const char *name_of(struct writing *w, const struct swarm_label *labels, size_t count)
{
    const char *name = w->service;
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].name, PREFIX "name") == 0)
            name = labels[i].value;
    char *copy = arena_strdup(w->arena, name);
    for (char *p = copy; p && *p; p++)
        *p = *p == '_' || *p == '.' ? '-' : *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    return copy;
}

static const struct swarm_label *label_of_name(const struct swarm_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i].name, PREFIX "name") == 0)
            return &labels[i];
    return NULL;
}

static int check_size(const struct swarm_label *labels, size_t count)
{
    if (count > LABELS_MAX)
        return -E2BIG;
    for (size_t i = 0; i < count; i++)
        if (strlen(labels[i].value) > VALUE_BYTES_MAX || strlen(labels[i].name) > 250)
            return -E2BIG;
    return 0;
}

static int begin(struct writing *w)
{
    char *buf = arena_alloc(w->arena, TEXT_BYTES_MAX);
    w->places = ARENA_ARRAY(w->arena, const char *, LINES_MAX);
    if (!buf || !w->places)
        return -ENOMEM;
    str_init(&w->text, buf, TEXT_BYTES_MAX);
    return 0;
}

/* In the order of their names, whatever order the engine has. */
static const struct swarm_label **sorted(struct arena *arena, const struct swarm_label *labels,
                                         size_t count)
{
    const struct swarm_label **list = ARENA_ARRAY(arena, const struct swarm_label *, count + 1);
    for (size_t i = 0; list && i < count; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(labels[i].name, list[at - 1]->name) < 0; at--)
            list[at] = list[at - 1];
        list[at] = &labels[i];
    }
    return list;
}

int swarm_labels_read(const char *service, const struct swarm_label *labels, size_t count,
                      struct arena *arena, struct driver_discovery *ret)
{
    struct writing w = { .arena = arena, .service = service };
    const struct swarm_label **list = sorted(arena, labels, count);
    int rc = check_size(labels, count);
    if (rc == 0)
        rc = list ? begin(&w) : -ENOMEM;
    if (rc < 0)
        return rc;
    const char *name = name_of(&w, labels, count);
    set(&w, grow(&w, &w.root, "swarm", 5, false), "service", NULL, service);
    for (size_t i = 0; i < count; i++)
        if (strncmp(list[i]->name, PREFIX, strlen(PREFIX)) == 0)
            set_label(&w, list[i]);
    str_putf(&w.text, "  # service %.100s", service);
    end_line(&w, NULL); /* the first line's place says who it is */
    str_put(&w.text, "  ");
    put_quoted(&w.text, name ? name : "");
    str_put_char(&w.text, ':');
    end_line(&w, label_of_name(labels, count));
    put_branches(&w, &w.root, 4);
    if (w.no_memory || !name)
        return -ENOMEM;
    if (w.text.cut || w.too_long)
        return -E2BIG;
    *ret = (struct driver_discovery){
        .name = name, .text = w.text.p, .places = w.places, .line_count = w.line_count
    };
    return 0;
}

static bool is_true(const char *value, char *buf, size_t cap)
{
    bool yes = strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "false") != 0)
        fmt(buf, cap, "label plimsoll.enable: \"%.60s\" is neither true nor false", value);
    return yes;
}

bool swarm_labels_enable(const struct swarm_label *labels, size_t count, char *buf, size_t cap)
{
    static const char *const enable[] = { "enable", NULL };
    const char *other = NULL;
    buf[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (strncmp(labels[i].name, PREFIX, strlen(PREFIX)) != 0)
            continue;
        const char *word = labels[i].name + strlen(PREFIX);
        if (strcmp(word, "enable") == 0)
            return is_true(labels[i].value, buf, cap);
        if (strcmp(word, "token") != 0 && strcmp(word, "owner") != 0)
            other = !other || schema_nearest(enable, word) ? labels[i].name : other;
    }
    if (other)
        fmt(buf, cap, "label %s: means nothing without plimsoll.enable=true%s", other,
            schema_nearest(enable, other + strlen(PREFIX)) ? "; did you mean that?" : "");
    return false;
}
