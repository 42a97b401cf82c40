/* What a reload would change: two configurations compared key by key, with the tables that read
 * them. Effective values are compared, not text, so a default written out is no change; only what
 * others parse themselves at the top of the file is compared as it is written. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "config/tables.h"

#define VALUE_BYTES 160

enum effect { AT_ONCE, REPLACES, RESIZES, MOVES, OPENS, NEEDS_RESTART };

struct diff {
    struct str *out;
    size_t lines;
    const char *path;                     /* of the section */
    const struct schema_node *written[2]; /* the section as text; NULL = without */
    enum effect effect;                   /* of its keys, unless the key says otherwise */
};

static const char *effect_text(enum effect e)
{
    static const char *const texts[] = {
        [AT_ONCE] = "takes effect at once",
        [REPLACES] = "replaces instances one by one",
        [RESIZES] = "resizes instances while they run",
        [MOVES] = "another engine: what runs on the old one is left alone",
        [OPENS] = "opens and closes listeners",
        [NEEDS_RESTART] = "takes effect at the next start",
    };
    return texts[e];
}

static void put_line(struct diff *d, const char *key, const char *before, const char *after,
                     enum effect effect)
{
    str_putf(d->out, "%s%s%s: %s -> %s (%s)\n", d->path, d->path[0] ? "." : "", key, before, after,
             effect_text(effect));
    d->lines++;
}

/* A number that is 0 was not written: a limit that was not there. */
static bool is_set(const struct schema_key *key, const void *value)
{
    switch (key->type) {
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return *(const int64_t *)value != 0;
    case SCHEMA_RATIO:
    case SCHEMA_NUMBER:
        return *(const double *)value != 0;
    default:
        return true;
    }
}

/* Keys that the processes read once, when they start, are `once`. */
static enum effect effect_of(const struct diff *d, const struct schema_key *key, const void *before,
                             const void *after)
{
    static const char *const once[] = { "state", "loops", "user" };
    if (d->effect == REPLACES)
        return key->resizes && is_set(key, before) && is_set(key, after) ? RESIZES : REPLACES;
    if (d->effect != AT_ONCE)
        return d->effect;
    if (key->moves)
        return MOVES;
    if (strcmp(key->name, "listen") == 0)
        return OPENS;
    bool top = strncmp(d->path, "services", 8) != 0;
    for (size_t i = 0; top && i < ARRAY_LEN(once); i++)
        if (strcmp(key->name, once[i]) == 0)
            return NEEDS_RESTART;
    return AT_ONCE;
}

static bool same_texts(size_t count, const char *const *a, const char *const *b)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const struct schema_list *a, const struct schema_list *b)
{
    return a->count == b->count && same_texts(a->count, a->items, b->items);
}

static bool same_map(const struct schema_map *a, const struct schema_map *b)
{
    return a->count == b->count && same_texts(a->count, a->names, b->names) &&
           same_texts(a->count, a->values, b->values);
}

static bool same_value(const struct schema_key *key, const void *a, const void *b)
{
    switch (key->type) {
    case SCHEMA_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return *(const int64_t *)a == *(const int64_t *)b;
    case SCHEMA_RATIO:
    case SCHEMA_NUMBER:
        return *(const double *)a == *(const double *)b;
    case SCHEMA_ENUM:
        return *(const int *)a == *(const int *)b;
    case SCHEMA_TEXT:
        return same_text(*(const char *const *)a, *(const char *const *)b);
    case SCHEMA_LIST:
        return same_list(a, b);
    case SCHEMA_MAP:
        return same_map(a, b);
    default: /* compared by what they became, or as they are written */
        return true;
    }
}

/* The value of a key as it is written; NULL = it is not. */
static const struct schema_node *value_of(const struct schema_node *map, const char *name)
{
    const struct node_pair *pair = map && map->kind == NODE_MAP ? node_find(map, name) : NULL;
    return pair && !node_is_null(pair->value) ? pair->value : NULL;
}

static bool same_node(const struct schema_node *a, const struct schema_node *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind || a->count != b->count)
        return false;
    if (a->kind == NODE_SCALAR)
        return strcmp(a->text, b->text) == 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->kind == NODE_LIST
                ? !same_node(a->items[i], b->items[i])
                : !same_node(a->pairs[i].value, value_of(b, a->pairs[i].key->text)))
            return false;
    return true;
}

static void diff_section(struct diff *d, const char *name, const struct schema_section *section,
                         const void *before, const void *after);

static void diff_value(struct diff *d, const struct schema_key *key, const void *before,
                       const void *after)
{
    char text[2][VALUE_BYTES];
    struct str s[2];
    for (int i = 0; i < 2; i++) {
        str_init(&s[i], text[i], VALUE_BYTES);
        schema_print_value(key, i == 0 ? before : after, &s[i]);
    }
    put_line(d, key->name, text[0], text[1], effect_of(d, key, before, after));
}

static void diff_key(struct diff *d, const struct schema_key *key, const void *before,
                     const void *after)
{
    const void *a = (const char *)before + key->offset, *b = (const char *)after + key->offset;
    const struct schema_node *outer[] = { d->written[0], d->written[1] };
    const struct schema_node *own[] = { value_of(outer[0], key->name),
                                        value_of(outer[1], key->name) };
    if (key->type == SCHEMA_SECTION) {
        memcpy(d->written, own, sizeof(own));
        diff_section(d, key->name, key->section, a, b);
        memcpy(d->written, outer, sizeof(outer));
    } else if (!same_value(key, a, b)) {
        diff_value(d, key, a, b);
    } else if (key->type == SCHEMA_CUSTOM && !same_node(own[0], own[1])) {
        /* Whatever it is, secrets may be in it. */
        put_line(d, key->name, own[0] ? "as it was" : "not set",
                 own[1] ? "as it is written now" : "not set", effect_of(d, key, a, b));
    }
}

static void diff_rates(struct diff *d, const char *name, const struct behavior_direction *before,
                       const struct behavior_direction *after)
{
    char text[2][VALUE_BYTES];
    struct str s[2];
    str_init(&s[0], text[0], VALUE_BYTES);
    str_init(&s[1], text[1], VALUE_BYTES);
    config_print_direction(before, &s[0]);
    config_print_direction(after, &s[1]);
    if (strcmp(text[0], text[1]) != 0)
        put_line(d, name, text[0], text[1], AT_ONCE);
}

static void diff_section(struct diff *d, const char *name, const struct schema_section *section,
                         const void *before, const void *after)
{
    char path[256];
    struct str s;
    const char *outer = d->path;
    if (section == &config_section_direction_up || section == &config_section_direction_down) {
        diff_rates(d, name, &((const struct config_direction *)before)->rates,
                   &((const struct config_direction *)after)->rates);
        return;
    }
    str_init(&s, path, sizeof(path));
    str_putf(&s, "%s%s%s", outer, outer[0] && name[0] ? "." : "", name);
    d->path = path;
    for (const struct schema_key *k = section->keys; k->name; k++)
        diff_key(d, k, before, after);
    d->path = outer;
}

static bool same_schedule(const struct rule_schedule_conf *a, const struct model_conf *a_model,
                          const struct rule_schedule_conf *b, const struct model_conf *b_model)
{
    return strcmp(a->cron.text, b->cron.text) == 0 && a->for_us == b->for_us && a->min == b->min &&
           a->max == b->max && a->count == b->count &&
           strcmp(a_model->zones[a->zone].name, b_model->zones[b->zone].name) == 0;
}

/* Does a service have this rule of the other configuration? A zone's index is each configuration's
 * own; the other kinds are plain numbers, set one by one in zeroed memory. */
static bool has_rule(const struct service_conf *in, const struct model_conf *in_model,
                     const struct rule_conf *rule, const struct model_conf *model)
{
    for (uint32_t i = 0; i < in->rule_count; i++) {
        const struct rule_conf *r = &in->rules[i];
        if (r->kind != rule->kind)
            continue;
        if (r->kind == RULE_SCHEDULE ? same_schedule(&r->schedule, in_model, &rule->schedule, model)
                                     : memcmp(r, rule, sizeof(*r)) == 0)
            return true;
    }
    return false;
}

static void diff_rules(struct diff *d, const struct service_conf *before,
                       const struct model_conf *before_model, const struct service_conf *after,
                       const struct model_conf *after_model)
{
    for (uint32_t i = 0; i < before->rule_count; i++)
        if (!has_rule(after, after_model, &before->rules[i], before_model))
            put_line(d, "scale.rules", before->rules[i].name, "removed", AT_ONCE);
    for (uint32_t i = 0; i < after->rule_count; i++)
        if (!has_rule(before, before_model, &after->rules[i], after_model))
            put_line(d, "scale.rules", "added", after->rules[i].name, AT_ONCE);
}

/* The share in a budget, as written. */
static void put_share(const struct model_conf *model, const struct service_conf *conf,
                      struct str *out)
{
    char weight[32];
    if (conf->budget < 0) {
        str_put(out, "not set");
        return;
    }
    fmt_double(weight, sizeof(weight), conf->budget_weight, 3);
    str_putf(out, "%s, weight %s", model->budgets[conf->budget].name, weight);
}

static void diff_texts(struct diff *d, const char *key, const struct str *before,
                       const struct str *after)
{
    if (strcmp(before->p, after->p) != 0)
        put_line(d, key, before->p, after->p, AT_ONCE);
}

static void diff_share(struct diff *d, const struct config *before, const struct config *after,
                       const struct config_service *a, const struct config_service *b)
{
    char text[2][VALUE_BYTES];
    struct str s[2];
    str_init(&s[0], text[0], VALUE_BYTES);
    str_init(&s[1], text[1], VALUE_BYTES);
    put_share(&before->model, a->scale, &s[0]);
    put_share(&after->model, b->scale, &s[1]);
    diff_texts(d, "scale.budget", &s[0], &s[1]);
}

static void diff_source(struct diff *d, const struct config_source *before,
                        const struct config_source *after)
{
    char path[160];
    struct str s;
    const char *outer = d->path;
    str_init(&s, path, sizeof(path));
    str_putf(&s, "%s.sources.%s", outer, before->name);
    d->path = path;
    diff_section(d, "", &config_section_source, before, after);
    if (before->driver != after->driver)
        put_line(d, "driver", before->driver ? before->driver->name : "none",
                 after->driver ? after->driver->name : "none", AT_ONCE);
    else if (before->driver)
        diff_section(d, before->driver->name, before->driver, before->driver_conf,
                     after->driver_conf);
    d->path = outer;
}

static const struct config_source *find_source(const struct config_service *s, const char *name)
{
    for (uint32_t i = 0; i < s->source_count; i++)
        if (strcmp(s->sources[i].name, name) == 0)
            return &s->sources[i];
    return NULL;
}

static void diff_sources(struct diff *d, const struct config_service *before,
                         const struct config_service *after)
{
    for (uint32_t i = 0; i < before->source_count; i++) {
        const struct config_source *a = &before->sources[i], *b = find_source(after, a->name);
        if (b)
            diff_source(d, a, b);
        else
            put_line(d, "sources", a->name, "removed", AT_ONCE);
    }
    for (uint32_t i = 0; i < after->source_count; i++)
        if (!find_source(before, after->sources[i].name))
            put_line(d, "sources", "added", after->sources[i].name, AT_ONCE);
}

static void diff_driver(struct diff *d, const struct config_service *before,
                        const struct config_service *after)
{
    if (before->driver != after->driver) {
        put_line(d, "driver", before->driver ? before->driver->name : "none",
                 after->driver ? after->driver->name : "none", REPLACES);
        return;
    }
    if (!before->driver)
        return;
    d->effect = REPLACES;
    diff_section(d, before->driver->name, before->driver, before->driver_conf, after->driver_conf);
    d->effect = AT_ONCE;
}

static const struct config_service *find_service(const struct config *c, const char *name)
{
    for (uint32_t i = 0; i < c->service_count; i++)
        if (strcmp(c->services[i].name, name) == 0)
            return &c->services[i];
    return NULL;
}

static void diff_service(struct diff *d, const struct config *before, const struct config *after,
                         const struct config_service *a, const struct config_service *b)
{
    char path[96];
    struct str s;
    str_init(&s, path, sizeof(path));
    str_putf(&s, "services.%s", a->name);
    d->path = path;
    diff_section(d, "", &config_section_service, a, b);
    diff_share(d, before, after, a, b);
    diff_rules(d, a->scale, &before->model, b->scale, &after->model);
    diff_sources(d, a, b);
    diff_driver(d, a, b);
    d->path = "";
}

/* A ceiling of every kind, in words. */
static void put_budget(const struct model_conf *model, const struct budget_conf *b, struct str *out)
{
    const struct {
        const char *word;
        double ceiling;
    } ceilings[] = {
        { "hour", b->per_hour },
        { "day", b->per_day },
        { "month", b->per_month },
    };
    char number[32];
    for (size_t i = 0; i < ARRAY_LEN(ceilings); i++) {
        if (ceilings[i].ceiling <= 0)
            continue;
        fmt_double(number, sizeof(number), ceilings[i].ceiling, 2);
        str_putf(out, "%s%s per %s", out->len > 0 ? ", " : "", number, ceilings[i].word);
    }
    str_putf(out, "%s%s, %s", b->currency[0] ? " " : "", b->currency, model->zones[b->zone].name);
}

static const struct budget_conf *find_budget(const struct model_conf *model, const char *name)
{
    for (uint32_t i = 0; i < model->budget_count; i++)
        if (strcmp(model->budgets[i].name, name) == 0)
            return &model->budgets[i];
    return NULL;
}

static void diff_budgets(struct diff *d, const struct model_conf *before,
                         const struct model_conf *after)
{
    char text[2][VALUE_BYTES];
    struct str s[2];
    d->path = "budgets";
    for (uint32_t i = 0; i < before->budget_count; i++) {
        const struct budget_conf *a = &before->budgets[i], *b = find_budget(after, a->name);
        if (!b) {
            put_line(d, a->name, "defined", "removed", AT_ONCE);
            continue;
        }
        str_init(&s[0], text[0], VALUE_BYTES);
        str_init(&s[1], text[1], VALUE_BYTES);
        put_budget(before, a, &s[0]);
        put_budget(after, b, &s[1]);
        diff_texts(d, a->name, &s[0], &s[1]);
    }
    for (uint32_t i = 0; i < after->budget_count; i++)
        if (!find_budget(before, after->budgets[i].name))
            put_line(d, after->budgets[i].name, "none", "added", AT_ONCE);
    d->path = "";
}

static void put_windows(const struct model_conf *model, struct str *out)
{
    const struct carbon_conf *c = &model->carbon;
    char number[32];
    for (uint32_t i = 0; i < c->window_count; i++) {
        num_format_duration(number, sizeof(number), c->windows[i].for_us);
        str_putf(out, "%s%s for %s %s: ", i > 0 ? "; " : "", c->windows[i].cron.text, number,
                 model->zones[c->windows[i].zone].name);
        fmt_double(number, sizeof(number), c->windows[i].grams, 1);
        str_put(out, number);
    }
    if (c->window_count == 0)
        str_put(out, "none");
}

static void diff_windows(struct diff *d, const struct model_conf *before,
                         const struct model_conf *after)
{
    char text[2][VALUE_BYTES * 4];
    struct str s[2];
    str_init(&s[0], text[0], sizeof(text[0]));
    str_init(&s[1], text[1], sizeof(text[1]));
    put_windows(before, &s[0]);
    put_windows(after, &s[1]);
    diff_texts(d, "energy.windows", &s[0], &s[1]);
}

/* What others bring to the top of the file. */
static void diff_tops(struct diff *d, const struct config *before, const struct config *after)
{
    for (uint32_t i = 0; i < before->top_count; i++) {
        const struct schema_section *section = before->tops[i];
        if (i >= after->top_count || after->tops[i] != section)
            continue;
        d->written[0] = before->top_nodes[i];
        d->written[1] = after->top_nodes[i];
        d->effect = section->fixed ? NEEDS_RESTART : AT_ONCE;
        diff_section(d, section->name, section, before->top_confs[i], after->top_confs[i]);
    }
    d->written[0] = d->written[1] = NULL;
    d->effect = AT_ONCE;
}

static bool lets_go(const struct config_service *s)
{
    return s->driver && s->driver->lets_go;
}

size_t config_diff(const struct config *before, const struct config *after, struct str *out)
{
    struct diff d = { .out = out, .path = "" };
    diff_section(&d, "", &config_section_top, before, after);
    diff_tops(&d, before, after);
    diff_budgets(&d, &before->model, &after->model);
    diff_windows(&d, &before->model, &after->model);
    for (uint32_t i = 0; i < before->service_count; i++) {
        const struct config_service *a = &before->services[i], *b = find_service(after, a->name);
        if (b) {
            diff_service(&d, before, after, a, b);
            continue;
        }
        str_putf(out, "services.%s: removed (%s)\n", a->name,
                 lets_go(a) ? "let go: its instances stay as they are"
                            : "its instances are drained and stopped");
        d.lines++;
    }
    for (uint32_t i = 0; i < after->service_count; i++) {
        const struct config_service *b = &after->services[i];
        if (find_service(before, b->name))
            continue;
        str_putf(out, "services.%s: added (%s)\n", b->name,
                 lets_go(b) ? "its instances are taken over as they are"
                            : "its instances are started");
        d.lines++;
    }
    return d.lines;
}
