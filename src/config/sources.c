/* `sources` of a service: metrics of its own, each a map with one driver's section, and their names
 * in the core's model. How a value is fetched is the driver's. */
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "config/tables.h"
#include "core/series.h"

#define TIMEOUT_US_DEFAULT (5 * US_PER_S)
#define METRIC_NAME_MAX (sizeof(((struct metric_conf *)NULL)->name) - 1)

static int check_source(struct schema_context *ctx, void *section, struct err *err)
{
    struct config_source *s = section;
    if (!schema_given(ctx, "timeout"))
        s->timeout_us = MIN(TIMEOUT_US_DEFAULT, s->every_us);
    if (s->timeout_us > s->every_us)
        return schema_error(ctx, "timeout", err,
                            "is longer than every, so that an answer could be late for the next "
                            "question; make it shorter");
    return 0;
}

static const struct schema_key source_keys[] = {
    { .name = "every",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct config_source, every_us),
      .fallback = "10s",
      .min = 0.1,
      .max = 3600,
      .help = "it is asked; of `push`, how often a value comes at least" },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct config_source, timeout_us),
      .min = 0.01,
      .max = 600,
      .help = "an answer is waited for; at most `every`. Default 5s. A value older than both "
              "together says nothing any more" },
    { .name = "global",
      .type = SCHEMA_BOOL,
      .offset = offsetof(struct config_source, global),
      .fallback = "false",
      .help = "the value is no sum over the instances (a latency, an age, a share): a target "
              "scales the count by it, instead of dividing it among instances" },
    { 0 },
};

const struct schema_section config_section_source = {
    .name = "sources",
    .named = true,
    .help = "Metrics of the service's own, by name. Beside these keys there is exactly one "
            "section that says where the value comes from.",
    .size_bytes = sizeof(struct config_source),
    .keys = source_keys,
    .check = check_source,
};

static int check_metric_name(struct schema_context *ctx, const struct schema_node *key,
                             struct err *err)
{
    int rc = config_check_name(ctx, key, "metric", METRIC_NAME_MAX, err);
    if (rc == 0 && metric_find(slice_of(key->text)) != METRIC_BUILTIN_MAX)
        return schema_fail(ctx, key, err, "\"%s\" is built in; give yours another name", key->text);
    return rc;
}

/* "one of redis, http, ...", as far as it fits. */
static void say_nothing(const struct schema_section *const *sections, struct str *out)
{
    str_put(out, "nothing says where it comes from; give one of");
    for (size_t i = 0; sections && sections[i]; i++)
        str_putf(out, "%s %s", i > 0 ? "," : "", sections[i]->name);
}

static int read_driver(struct schema_context *ctx, const struct schema_section *const *sections,
                       const struct schema_node *node, struct config_source *s, struct err *err)
{
    char nothing[160];
    struct str out;
    if (!sections)
        return 0;
    str_init(&out, nothing, sizeof(nothing));
    say_nothing(sections, &out);
    return config_read_driver(ctx, sections, node, nothing, &s->driver, &s->driver_conf, err);
}

static int read_source(struct schema_context *ctx, const struct schema_section *const *sections,
                       const struct schema_section *with_drivers, const struct node_pair *pair,
                       struct config_source *s)
{
    static const struct schema_node empty = { .kind = NODE_MAP };
    const struct schema_node *node = pair->value;
    struct err err = { 0 };
    s->name = pair->key->text;
    s->line = pair->key->line;
    s->column = pair->key->column;
    int rc = check_metric_name(ctx, pair->key, &err);
    if (rc == 0 && node->kind != NODE_MAP && (sections || !node_is_null(node)))
        rc = schema_fail(ctx, node, &err, "is %s here; write a map", node_kind_name(node));
    if (schema_note(ctx, rc, &err) < 0)
        return rc;
    size_t entered = schema_enter(ctx, s->name);
    rc = schema_read(ctx, with_drivers, node->kind == NODE_MAP ? node : &empty, s);
    int driver =
        rc == -ENOMEM ? rc : schema_note(ctx, read_driver(ctx, sections, node, s, &err), &err);
    schema_leave(ctx, entered);
    return driver < 0 ? driver : rc;
}

/* It is sampled every second, however often it is asked for. */
static void name_metric(const struct config_source *s, struct service_conf *conf)
{
    struct metric_conf *m = &conf->metrics[conf->metric_count++];
    str_copy(m->name, sizeof(m->name), s->name);
    m->global = s->global;
    m->stale_us = MAX(us_add(s->every_us, s->timeout_us), SERIES_STALE_US);
}

static int read_sources(struct schema_context *ctx, const struct schema_section *const *sections,
                        struct config_service *s)
{
    const struct schema_node *node = s->sources_node;
    struct schema_section with_drivers;
    int rc = config_join_drivers(ctx, &config_section_source, sections, &with_drivers);
    s->sources = ARENA_ARRAY(ctx->arena, struct config_source, node->count);
    if (rc < 0 || !s->sources)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        struct config_source *source = &s->sources[i];
        source->metric = METRIC_CUSTOM + i;
        int read = read_source(ctx, sections, &with_drivers, &node->pairs[i], source);
        name_metric(source, s->scale);
        rc = read < 0 ? read : rc;
    }
    s->source_count = node->count;
    return rc;
}

int config_read_sources(struct schema_context *ctx, const struct schema_section *const *sections,
                        struct config_service *s)
{
    const struct schema_node *node = s->sources_node;
    struct err err = { 0 };
    int rc = 0;
    if (!node || node_is_null(node))
        return 0;
    size_t entered = schema_enter(ctx, "sources");
    if (node->kind != NODE_MAP)
        rc = schema_fail(ctx, node, &err, "is %s here; write a map from names to sources",
                         node_kind_name(node));
    else if (node->count > METRIC_CUSTOM_MAX)
        rc = schema_fail(ctx, node, &err, "%u sources; at most %d", node->count, METRIC_CUSTOM_MAX);
    rc = schema_note(ctx, rc, &err) < 0 ? rc : read_sources(ctx, sections, s);
    schema_leave(ctx, entered);
    return rc;
}
