/* How the services of a test begin: the time, the instances that are there, and what was measured
 * before. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "base/sort.h"
#include "base/us.h"
#include "sim/policytest/policytest_int.h"

#define AGE_US_DEFAULT US_PER_HOUR
#define AGE_US_MAX (30 * US_PER_DAY)
#define PAST_MAX 3600 /* values that are written */

/* ---- times ---- */

/* Days since 1970 of a date; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Of 1 to 12. */
static int64_t days_in(int64_t year, int64_t month)
{
    return days_of(year + month / 12, month % 12 + 1, 1) - days_of(year, month, 1);
}

/* So many digits at *p. */
static bool digits(const char **p, int count, int64_t min, int64_t max, int64_t *ret)
{
    int64_t value = 0;
    for (; count > 0; count--, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        value = value * 10 + (**p - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static bool separator(const char **p, const char *one_of)
{
    if (**p == '\0' || !strchr(one_of, **p))
        return false;
    (*p)++;
    return true;
}

static bool parse_time(const char *p, int64_t *ret_us)
{
    int64_t year, month, day, hour, minute, second = 0;
    if (!digits(&p, 4, 2025, 2035, &year) || !separator(&p, "-") || !digits(&p, 2, 1, 12, &month) ||
        !separator(&p, "-") || !digits(&p, 2, 1, 31, &day) || !separator(&p, " T") ||
        !digits(&p, 2, 0, 23, &hour) || !separator(&p, ":") || !digits(&p, 2, 0, 59, &minute))
        return false;
    if (day > days_in(year, month))
        return false;
    if (separator(&p, ":") && !digits(&p, 2, 0, 59, &second))
        return false;
    separator(&p, "Z");
    *ret_us = (days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * US_PER_S;
    return *p == '\0';
}

int policytest_read_time(struct schema_context *ctx, const struct schema_node *node, int64_t *ret,
                         struct err *err)
{
    if (node->kind == NODE_SCALAR && parse_time(node->text, ret))
        return 0;
    return schema_fail(ctx, node, err,
                       "is not a time; write it in UTC, from 2025 to 2035: \"2026-11-20 09:00\"");
}

struct start_written {
    const struct schema_node *time, *instances, *before, *history, *services;
};

#define KEEP_START(name_, member_)                                                               \
    {                                                                                            \
        .name = name_, .type = SCHEMA_CUSTOM, .offset = offsetof(struct start_written, member_), \
        .parse = schema_keep_node                                                                \
    }
static const struct schema_key start_keys[] = {
    KEEP_START("time", time),         KEEP_START("instances", instances),
    KEEP_START("before", before),     KEEP_START("history", history),
    KEEP_START("services", services), { 0 },
};
static const struct schema_section start_section = { .name = "start", .keys = start_keys };
/* One of `services` in it. */
static const struct schema_key service_keys[] = {
    KEEP_START("instances", instances),
    KEEP_START("before", before),
    KEEP_START("history", history),
    { 0 },
};
static const struct schema_section service_section = { .name = "services", .keys = service_keys };

/* ---- instances ---- */

static const char *const states[] = { "ready", "starting", NULL };

struct instance_written {
    int64_t age_us;
    int state;
};

static const struct schema_key instance_keys[] = {
    { .name = "age",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct instance_written, age_us),
      .fallback = "1h",
      .min = 0,
      .max = (double)AGE_US_MAX / US_PER_S },
    { .name = "state",
      .type = SCHEMA_ENUM,
      .offset = offsetof(struct instance_written, state),
      .fallback = "ready",
      .names = states },
    { 0 },
};
static const struct schema_section instance_section = { .name = "instances",
                                                        .keys = instance_keys };

static int older(const void *a, const void *b, void *ctx)
{
    return ((const struct policytest_begun *)a)->age_us >
           ((const struct policytest_begun *)b)->age_us;
}

/* {age: 5m, state: starting}, or the age alone. */
static int read_instance(struct schema_context *ctx, const struct schema_node *node,
                         struct policytest_begun *ret)
{
    struct instance_written w = { .age_us = AGE_US_DEFAULT };
    struct err err = { 0 }, why = { 0 };
    int rc = 0;
    if (node->kind == NODE_MAP)
        rc = schema_read(ctx, &instance_section, node, &w);
    else if (node->kind == NODE_LIST)
        rc = schema_note(ctx, schema_fail(ctx, node, &err, "is a list; write an age or a map"),
                         &err);
    else if (schema_read_value(ctx->arena, &instance_keys[0], node->text, &w.age_us, &why) < 0)
        rc = schema_note(ctx, schema_fail(ctx, node, &err, "%s", why.text), &err);
    *ret = (struct policytest_begun){ .age_us = w.age_us, .starting = w.state == 1 };
    return rc;
}

/* A number of them, or a list. */
static int read_instances(struct schema_context *ctx, const struct schema_node *node,
                          struct policytest_start *s)
{
    struct err err = { 0 };
    int64_t count = 0;
    int rc = 0;
    if (!node)
        return 0;
    if (node->kind == NODE_LIST)
        count = node->count;
    else if (node->kind != NODE_SCALAR || num_parse_i64(slice_of(node->text), &count) < 0)
        count = -1;
    if (count < 0 || count > POLICYTEST_INSTANCES_MAX)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "is a number of instances, 0 to %d, or a list {age, state}",
                                       POLICYTEST_INSTANCES_MAX),
                           &err);
    s->instances = ARENA_ARRAY(ctx->arena, struct policytest_begun, (size_t)count);
    if (!s->instances)
        return schema_note(ctx, -ENOMEM, NULL);
    for (int64_t i = 0; i < count && rc == 0; i++) {
        if (node->kind == NODE_LIST)
            rc = read_instance(ctx, node->items[i], &s->instances[i]);
        else
            s->instances[i].age_us = AGE_US_DEFAULT;
    }
    s->instance_count = (uint32_t)count;
    sort_stable(s->instances, s->instance_count, sizeof(*s->instances), older, NULL);
    return rc;
}

/* ---- the past ---- */

static int read_list(struct schema_context *ctx, const struct schema_node *node,
                     struct policytest_past *past)
{
    struct err err = { 0 };
    int rc = 0;
    if (!node || node->kind != NODE_LIST || node->count == 0 || node->count > PAST_MAX)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "is a list of 1 to %d values", PAST_MAX), &err);
    past->values = ARENA_ARRAY(ctx->arena, double, node->count);
    if (!past->values)
        return schema_note(ctx, -ENOMEM, NULL);
    for (uint32_t i = 0; i < node->count && rc == 0; i++) {
        struct policytest_value v = { .metric = past->metric };
        rc = policytest_read_value(ctx, node->items[i], &v);
        past->values[i] = v.known ? v.value : NAN;
    }
    past->count = node->count;
    return rc;
}

struct history_written {
    int64_t step_us, repeat;
    const struct schema_node *values;
};

static const struct schema_key history_keys[] = {
    { .name = "step",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct history_written, step_us),
      .fallback = "1h",
      .min = 60,
      .max = 86400 },
    { .name = "repeat",
      .type = SCHEMA_INT,
      .offset = offsetof(struct history_written, repeat),
      .fallback = "1",
      .min = 1,
      .max = 10000 },
    { .name = "values",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct history_written, values),
      .parse = schema_keep_node,
      .required = true,
      .help = "give a list of values, oldest first" },
    { 0 },
};
static const struct schema_section history_section = { .name = "history", .keys = history_keys };

static int read_history(struct schema_context *ctx, const struct schema_node *node,
                        struct policytest_past *past)
{
    struct history_written w = { 0 };
    struct err err = { 0 };
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "is %s here; write {step: 1h, values: [...]}",
                                       node_kind_name(node)),
                           &err);
    int rc = schema_read(ctx, &history_section, node, &w);
    if (rc == 0)
        rc = read_list(ctx, w.values, past);
    past->step_us = w.step_us;
    past->times = (uint32_t)w.repeat;
    if (rc == 0 && us_mul(past->step_us, past->count * w.repeat) > POLICYTEST_PAST_US)
        return schema_note(ctx, schema_fail(ctx, node, &err, "reaches back further than 15 days"),
                           &err);
    return rc;
}

static int read_pasts(struct schema_context *ctx, const struct service_conf *service,
                      const struct schema_node *node, const char *key,
                      int (*read)(struct schema_context *ctx, const struct schema_node *node,
                                  struct policytest_past *past),
                      struct policytest_start *s)
{
    struct err err = { 0 };
    int rc = 0;
    if (!node)
        return 0;
    size_t entered = schema_enter(ctx, key);
    if (node->kind != NODE_MAP || node->count > METRIC_MAX)
        rc = schema_note(ctx, schema_fail(ctx, node, &err, "is a map from metrics to their values"),
                         &err);
    for (uint32_t i = 0; rc == 0 && i < node->count; i++) {
        const struct node_pair *pair = &node->pairs[i];
        struct policytest_past *past = &s->pasts[s->past_count];
        rc = config_find_metric(ctx, service, pair->key, pair->key->text, &past->metric, &err);
        size_t named = schema_enter(ctx, pair->key->text);
        rc = schema_note(ctx, rc, &err) < 0 ? rc : read(ctx, pair->value, past);
        schema_leave(ctx, named);
        s->past_count++;
    }
    schema_leave(ctx, entered);
    return rc;
}

static int read_service(struct schema_context *ctx, const struct start_written *w,
                        const struct service_conf *service, struct policytest_start *s)
{
    s->pasts = ARENA_ARRAY(ctx->arena, struct policytest_past, 2 * METRIC_MAX);
    if (!s->pasts)
        return schema_note(ctx, -ENOMEM, NULL);
    size_t entered = schema_enter(ctx, "instances");
    int rc = read_instances(ctx, w->instances, s);
    schema_leave(ctx, entered);
    if (rc == 0)
        rc = read_pasts(ctx, service, w->before, "before", read_list, s);
    if (rc == 0)
        rc = read_pasts(ctx, service, w->history, "history", read_history, s);
    return rc;
}

/* The service that the test speaks of may stand among the others, but not in both places. */
static int find_other(struct schema_context *ctx, const struct schema_node *name,
                      const struct policytest *t, uint32_t *ret)
{
    struct err err = { 0 };
    int rc = policytest_find_service(ctx, t->config, name, ret, &err);
    if (rc == 0 && (t->starts[*ret].instances || t->starts[*ret].past_count > 0))
        rc = schema_fail(ctx, name, &err,
                         "how \"%s\" begins is said twice, beside \"services\" and in it",
                         name->text);
    return schema_note(ctx, rc, &err);
}

static int read_others(struct schema_context *ctx, const struct schema_node *node,
                       struct policytest *t)
{
    struct err err = { 0 };
    int rc = 0;
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err, "is %s here; write {db: {instances: 2}}",
                                       node_kind_name(node)),
                           &err);
    for (uint32_t i = 0; rc == 0 && i < node->count; i++) {
        const struct node_pair *pair = &node->pairs[i];
        struct start_written w = { 0 };
        uint32_t service;
        rc = find_other(ctx, pair->key, t, &service);
        if (rc == 0 && pair->value->kind == NODE_MAP)
            rc = schema_read(ctx, &service_section, pair->value, &w);
        else if (rc == 0)
            w.instances = pair->value;
        if (rc == 0)
            rc = read_service(ctx, &w, &t->config->model.services[service], &t->starts[service]);
    }
    return rc;
}

/* Nobody says: as many as its min, and none of those are new. */
static int begin_with_min(struct schema_context *ctx, const struct policytest *t)
{
    for (uint32_t i = 0; i < t->config->service_count; i++) {
        struct policytest_start *s = &t->starts[i];
        if (s->instances)
            continue;
        s->instance_count = (uint32_t)t->config->model.services[i].min;
        s->instances = ARENA_ARRAY(ctx->arena, struct policytest_begun, s->instance_count);
        if (!s->instances)
            return schema_note(ctx, -ENOMEM, NULL);
        for (uint32_t n = 0; n < s->instance_count; n++)
            s->instances[n].age_us = AGE_US_DEFAULT;
    }
    return 0;
}

int policytest_read_start(struct schema_context *ctx, const struct schema_node *node,
                          uint32_t service, struct policytest *t)
{
    struct start_written w = { 0 };
    struct err err = { 0 };
    int rc = 0;
    t->starts = ARENA_ARRAY(ctx->arena, struct policytest_start, t->config->service_count);
    if (!t->starts)
        return schema_note(ctx, -ENOMEM, NULL);
    size_t entered = schema_enter(ctx, "start");
    if (node && node->kind != NODE_MAP)
        rc = schema_note(
            ctx,
            schema_fail(ctx, node, &err, "is %s here; write {instances: 3}", node_kind_name(node)),
            &err);
    else if (node)
        rc = schema_read(ctx, &start_section, node, &w);
    if (rc == 0 && w.time) {
        size_t named = schema_enter(ctx, "time");
        rc = schema_note(ctx, policytest_read_time(ctx, w.time, &t->wall_us, &err), &err);
        schema_leave(ctx, named);
    }
    if (rc == 0)
        rc = read_service(ctx, &w, &t->config->model.services[service], &t->starts[service]);
    if (rc == 0 && w.services)
        rc = read_others(ctx, w.services, t);
    schema_leave(ctx, entered);
    return rc < 0 ? rc : begin_with_min(ctx, t);
}
