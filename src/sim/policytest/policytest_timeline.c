/* The entries of a test's timeline. How it begins is policytest_start.c's, what is expected
 * policytest_expect.c's. */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/us.h"
#include "sim/policytest/policytest_int.h"

#define HAPPENINGS_MAX 64

/* ---- values ---- */

int policytest_read_value(struct schema_context *ctx, const struct schema_node *node,
                          struct policytest_value *v)
{
    struct err err = { 0 }, why = { 0 };
    int rc = 0;
    v->known = !node_is_null(node);
    if (v->known && node->kind != NODE_SCALAR)
        rc = schema_fail(ctx, node, &err, "is %s here; write a value, or ~ for unknown",
                         node_kind_name(node));
    else if (v->known && config_parse_metric_value(v->metric, node->text, &v->value, &why) < 0)
        rc = schema_fail(ctx, node, &err, "%s", why.text);
    else if (v->known && v->value < 0)
        rc = schema_fail(ctx, node, &err,
                         "%.60s is below 0, which the core takes for unknown; write ~", node->text);
    return schema_note(ctx, rc, &err);
}

static int read_values(struct schema_context *ctx, const struct service_conf *service,
                       const struct schema_node *node, struct policytest_named instance,
                       struct policytest_entry *e)
{
    struct err err = { 0 };
    int rc = 0;
    if (node->kind != NODE_MAP)
        return schema_note(
            ctx,
            schema_fail(ctx, node, &err, "is %s here; write {metric: value}", node_kind_name(node)),
            &err);
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        const struct node_pair *pair = &node->pairs[i];
        struct policytest_value *v = &e->values[e->value_count];
        *v = (struct policytest_value){ .instance = instance };
        size_t entered = schema_enter(ctx, pair->key->text);
        int read = config_find_metric(ctx, service, pair->key, pair->key->text, &v->metric, &err);
        read = schema_note(ctx, read, &err) < 0 ? read : policytest_read_value(ctx, pair->value, v);
        schema_leave(ctx, entered);
        e->value_count += read == 0;
        rc = read < 0 ? read : rc;
    }
    return rc;
}

static struct policytest_named named_at(const struct schema_node *node, int64_t number)
{
    return (struct policytest_named){ (uint32_t)number, node->line, node->column };
}

static int read_named(struct schema_context *ctx, const struct schema_node *node,
                      struct policytest_named *ret)
{
    struct err err = { 0 };
    int64_t number;
    if (node->kind == NODE_SCALAR && num_parse_i64(slice_of(node->text), &number) == 0 &&
        number >= 1 && number <= UINT32_MAX) {
        *ret = named_at(node, number);
        return 0;
    }
    return schema_note(ctx,
                       schema_fail(ctx, node, &err,
                                   "is no instance; instances are numbered from 1 "
                                   "in the order they were started"),
                       &err);
}

static uint32_t count_values(const struct schema_node *metrics, const struct schema_node *instances)
{
    uint32_t n = metrics && metrics->kind == NODE_MAP ? metrics->count : 0;
    for (uint32_t i = 0; instances && instances->kind == NODE_MAP && i < instances->count; i++)
        if (instances->pairs[i].value->kind == NODE_MAP)
            n += instances->pairs[i].value->count;
    return n;
}

/* `metrics` of the service and `instances` of single ones. */
static int read_all_values(struct schema_context *ctx, const struct service_conf *service,
                           const struct schema_node *metrics, const struct schema_node *instances,
                           struct policytest_entry *e)
{
    struct err err = { 0 };
    int rc = 0;
    e->values = ARENA_ARRAY(ctx->arena, struct policytest_value, count_values(metrics, instances));
    if (!e->values)
        return schema_note(ctx, -ENOMEM, NULL);
    if (metrics && !node_is_null(metrics)) {
        size_t entered = schema_enter(ctx, "metrics");
        rc = read_values(ctx, service, metrics, (struct policytest_named){ 0 }, e);
        schema_leave(ctx, entered);
    }
    if (!instances || node_is_null(instances))
        return rc;
    size_t entered = schema_enter(ctx, "instances");
    if (instances->kind != NODE_MAP)
        rc = schema_note(ctx,
                         schema_fail(ctx, instances, &err,
                                     "is %s here; write {1: {cpu: 40%%}, 2: {cpu: 60%%}}",
                                     node_kind_name(instances)),
                         &err);
    for (uint32_t i = 0; rc == 0 && i < instances->count; i++) {
        const struct node_pair *pair = &instances->pairs[i];
        struct policytest_named instance;
        rc = read_named(ctx, pair->key, &instance);
        if (rc == 0)
            rc = read_values(ctx, service, pair->value, instance, e);
    }
    schema_leave(ctx, entered);
    return rc;
}

/* ---- happenings ---- */

static int add_happening(struct schema_context *ctx, const struct schema_node *node,
                         enum policytest_what what, struct policytest_entry *e)
{
    struct policytest_named instance = { 0 };
    int rc = 0;
    if (node->kind != NODE_SCALAR || strcmp(node->text, "all") != 0)
        rc = read_named(ctx, node, &instance);
    if (rc == 0)
        e->happenings[e->happening_count++] =
            (struct policytest_happening){ .what = what, .instance = instance };
    return rc;
}

/* "2", "all" or a list. */
static int read_list(struct schema_context *ctx, const struct schema_node *node,
                     enum policytest_what what, struct policytest_entry *e)
{
    int rc = 0;
    if (node->kind != NODE_LIST)
        return add_happening(ctx, node, what, e);
    for (uint32_t i = 0; i < node->count && rc == 0; i++)
        rc = add_happening(ctx, node->items[i], what, e);
    return rc;
}

static int read_happenings(struct schema_context *ctx, const struct schema_node *node,
                           enum policytest_what what, struct policytest_entry *e)
{
    static const char *const keys[] = {
        [POLICYTEST_READY] = "ready", [POLICYTEST_START_FAILS] = "start-fails",
        [POLICYTEST_FAILS] = "fails", [POLICYTEST_RECOVERS] = "recovers",
        [POLICYTEST_EXITS] = "exits",
    };
    struct err err = { 0 };
    int rc;
    if (!node)
        return 0;
    uint32_t count = node->kind == NODE_LIST ? node->count : 1;
    size_t entered = schema_enter(ctx, keys[what]);
    if (e->happening_count + count > HAPPENINGS_MAX)
        rc = schema_note(
            ctx, schema_fail(ctx, node, &err, "more than %d instances; write all", HAPPENINGS_MAX),
            &err);
    else
        rc = read_list(ctx, node, what, e);
    schema_leave(ctx, entered);
    return rc;
}

/* ---- the operator ---- */

struct operator_written {
    int64_t scale, drain, protect, unprotect;
    bool force;
};

static const struct schema_key operator_keys[] = {
    { .name = "scale",
      .type = SCHEMA_INT,
      .offset = offsetof(struct operator_written, scale),
      .min = 0,
      .max = MODEL_COUNT_MAX },
    { .name = "force", .type = SCHEMA_BOOL, .offset = offsetof(struct operator_written, force) },
    { .name = "drain",
      .type = SCHEMA_INT,
      .offset = offsetof(struct operator_written, drain),
      .min = 1,
      .max = 1e9 },
    { .name = "protect",
      .type = SCHEMA_INT,
      .offset = offsetof(struct operator_written, protect),
      .min = 1,
      .max = 1e9 },
    { .name = "unprotect",
      .type = SCHEMA_INT,
      .offset = offsetof(struct operator_written, unprotect),
      .min = 1,
      .max = 1e9 },
    { 0 },
};
static const struct schema_section operator_section = { .name = "operator", .keys = operator_keys };

static int read_operator_map(struct schema_context *ctx, const struct schema_node *node,
                             struct policytest_operator *o)
{
    struct operator_written w = { .scale = -1 };
    struct err err = { 0 };
    int rc = schema_read(ctx, &operator_section, node, &w);
    if (rc < 0)
        return rc;
    if ((w.scale >= 0) + (w.drain > 0) + (w.protect > 0) + (w.unprotect > 0) != 1)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "give one of scale, drain, protect and unprotect"),
            &err);
    if (w.scale < 0 && node_find(node, "force"))
        return schema_note(
            ctx,
            schema_fail(ctx, node_find(node, "force")->key, &err, "\"force\" goes with \"scale\""),
            &err);
    *o = (struct policytest_operator){ .given = true, .op = OPERATOR_SCALE };
    if (w.scale >= 0) {
        o->count = (int32_t)w.scale;
        o->flag = w.force;
        return 0;
    }
    o->op = w.drain > 0 ? OPERATOR_DRAIN : OPERATOR_PROTECT;
    o->instance = named_at(node->pairs[0].value, w.drain + w.protect + w.unprotect);
    o->flag = w.protect > 0;
    return 0;
}

static int read_operator(struct schema_context *ctx, const struct schema_node *node,
                         struct policytest_operator *o)
{
    static const char *const words[] = { "auto", "pause", "resume", "restart", NULL };
    static const enum operator_op ops[] = { OPERATOR_AUTO, OPERATOR_PAUSE, OPERATOR_RESUME,
                                            OPERATOR_RESTART };
    const struct schema_key key = { .type = SCHEMA_ENUM, .names = words };
    struct err err = { 0 }, why = { 0 };
    int word;
    if (!node)
        return 0;
    if (node->kind == NODE_MAP)
        return read_operator_map(ctx, node, o);
    if (node->kind == NODE_LIST || schema_read_value(ctx->arena, &key, node->text, &word, &why) < 0)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err, "%s; or write {scale: 5}",
                                       node->kind == NODE_LIST ? "is a list" : why.text),
                           &err);
    *o = (struct policytest_operator){ .given = true, .op = ops[word] };
    return 0;
}

/* ---- entries ---- */

struct entry_written {
    int64_t at_us, hold_us;
    const struct schema_node *service, *metrics, *instances, *operator, * clock, *expect;
    const struct schema_node *happenings[POLICYTEST_EXITS + 1];
};

#define KEEP(name_, member_)                                                                     \
    {                                                                                            \
        .name = name_, .type = SCHEMA_CUSTOM, .offset = offsetof(struct entry_written, member_), \
        .parse = schema_keep_node                                                                \
    }

static const char *const forever[] = { "forever", NULL };

static const struct schema_key entry_keys[] = {
    { .name = "at",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct entry_written, at_us),
      .required = true,
      .min = 0,
      .max = (double)POLICYTEST_SPAN_US / US_PER_S,
      .help = "say when, from the begin of the test: 30s" },
    { .name = "hold",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct entry_written, hold_us),
      .names = forever,
      .fallback = "forever",
      .min = 0,
      .max = 86400 },
    KEEP("service", service),
    KEEP("metrics", metrics),
    KEEP("instances", instances),
    KEEP("operator", operator),
    KEEP("clock", clock),
    KEEP("expect", expect),
    KEEP("ready", happenings[POLICYTEST_READY]),
    KEEP("start-fails", happenings[POLICYTEST_START_FAILS]),
    KEEP("fails", happenings[POLICYTEST_FAILS]),
    KEEP("recovers", happenings[POLICYTEST_RECOVERS]),
    KEEP("exits", happenings[POLICYTEST_EXITS]),
    { 0 },
};
static const struct schema_section entry_section = { .name = "timeline", .keys = entry_keys };

static int read_entry_parts(struct schema_context *ctx, const struct entry_written *w,
                            const struct policytest *t, struct policytest_entry *e)
{
    struct err err = { 0 };
    const struct service_conf *service = &t->config->model.services[e->service];
    int rc = read_all_values(ctx, service, w->metrics, w->instances, e);
    for (int what = 0; rc == 0 && what <= POLICYTEST_EXITS; what++)
        rc = read_happenings(ctx, w->happenings[what], (enum policytest_what)what, e);
    if (rc == 0) {
        size_t entered = schema_enter(ctx, "operator");
        rc = read_operator(ctx, w->operator, & e->operator);
        schema_leave(ctx, entered);
    }
    if (rc == 0 && w->clock) {
        size_t entered = schema_enter(ctx, "clock");
        rc = schema_note(ctx, policytest_read_time(ctx, w->clock, &e->wall_us, &err), &err);
        schema_leave(ctx, entered);
    }
    if (rc == 0 && w->expect) {
        size_t entered = schema_enter(ctx, "expect");
        rc = policytest_read_expect(ctx, service, w->expect, &e->expect);
        schema_leave(ctx, entered);
    }
    return rc;
}

static int read_entry(struct schema_context *ctx, const struct schema_node *node, uint32_t service,
                      const struct policytest *t, struct policytest_entry *e)
{
    struct entry_written w = { 0 };
    struct err err = { 0 };
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "an entry is a map {at, metrics, expect}, "
                                       "not %s",
                                       node_kind_name(node)),
                           &err);
    int rc = schema_read(ctx, &entry_section, node, &w);
    *e = (struct policytest_entry){
        .at_us = w.at_us, .hold_us = w.hold_us, .service = service, .wall_us = -1
    };
    e->happenings = ARENA_ARRAY(ctx->arena, struct policytest_happening, HAPPENINGS_MAX);
    if (!e->happenings)
        return schema_note(ctx, -ENOMEM, NULL);
    if (rc == 0 && w.service)
        rc = schema_note(ctx, policytest_find_service(ctx, t->config, w.service, &e->service, &err),
                         &err);
    return rc < 0 ? rc : read_entry_parts(ctx, &w, t, e);
}

/* When it is: not before the one above it, and so soon that the core can be asked until then. */
static int check_time(struct schema_context *ctx, const struct schema_node *node,
                      const struct policytest *t, uint32_t i)
{
    struct err err = { 0 };
    char every[48];
    const struct schema_node *at = node_find(node, "at")->value;
    int64_t samples = t->entries[i].at_us / t->every_us;
    int rc = 0;
    size_t entered = schema_enter(ctx, "at");
    num_format_duration(every, sizeof(every), t->every_us);
    if (i > 0 && t->entries[i].at_us < t->entries[i - 1].at_us)
        rc = schema_fail(ctx, at, &err,
                         "is before the entry above it; write them in the order of time");
    else if (samples > POLICYTEST_SAMPLES_MAX)
        rc = schema_fail(ctx, at, &err,
                         "is %lld samples at one every %s; at most %d are taken, so let them come "
                         "less often with \"every\"",
                         (long long)samples, every, POLICYTEST_SAMPLES_MAX);
    schema_leave(ctx, entered);
    return schema_note(ctx, rc, &err);
}

/* A test that forgets to expect would pass whatever happens. */
static int check_expects(struct schema_context *ctx, const struct schema_node *node,
                         const struct policytest *t)
{
    struct err err = { 0 };
    for (uint32_t i = 0; i < t->entry_count; i++)
        if (t->entries[i].expect.given)
            return 0;
    return schema_note(ctx,
                       schema_fail(ctx, node, &err,
                                   "expects nothing; give at least one of its entries an "
                                   "\"expect\""),
                       &err);
}

static int read_entries(struct schema_context *ctx, const struct schema_node *node,
                        uint32_t service, struct policytest *t)
{
    int rc = 0;
    t->entries = ARENA_ARRAY(ctx->arena, struct policytest_entry, node->count);
    if (!t->entries)
        return schema_note(ctx, -ENOMEM, NULL);
    for (uint32_t i = 0; rc == 0 && i < node->count; i++) {
        char index[16];
        struct str s;
        str_init(&s, index, sizeof(index));
        str_putf(&s, "[%u]", i);
        size_t entered = schema_enter(ctx, index);
        rc = read_entry(ctx, node->items[i], service, t, &t->entries[i]);
        if (rc == 0)
            rc = check_time(ctx, node->items[i], t, i);
        schema_leave(ctx, entered);
        t->entry_count = i + 1;
    }
    return rc;
}

int policytest_read_timeline(struct schema_context *ctx, const struct schema_node *node,
                             uint32_t service, struct policytest *t)
{
    struct err err = { 0 };
    int rc;
    size_t entered = schema_enter(ctx, "timeline");
    if (node->kind != NODE_LIST || node->count == 0 || node->count > POLICYTEST_ENTRIES_MAX)
        rc = schema_note(
            ctx,
            schema_fail(ctx, node, &err, "is a list of 1 to %d entries", POLICYTEST_ENTRIES_MAX),
            &err);
    else
        rc = read_entries(ctx, node, service, t);
    if (rc == 0)
        rc = check_expects(ctx, node, t);
    schema_leave(ctx, entered);
    return rc;
}
