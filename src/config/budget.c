/* `budgets` that services share, and which service belongs to which. How a budget bounds the count
 * is the core's. */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "config/tables.h"

#define MONEY_MAX 1e12
#define HOURS_DAY 24
#define HOURS_MONTH (31 * HOURS_DAY) /* of the longest */

struct budget_written {
    double per_hour, per_day, per_month;
    const char *currency, *zone;
};

static int check_budget(struct schema_context *ctx, void *section, struct err *err)
{
    const struct budget_written *w = section;
    if (w->per_hour <= 0 && w->per_day <= 0 && w->per_month <= 0)
        return schema_error(ctx, NULL, err, "has no ceiling; give per-hour, per-day or per-month");
    if (w->currency && strlen(w->currency) >= sizeof(((struct budget_conf *)NULL)->currency))
        return schema_fail_value(ctx, "currency", err, "\"%.60s\" is too long; write EUR, USD, ...",
                                 w->currency);
    return 0;
}

#define CEILING_KEY(name_, member_, help_)                                                        \
    {                                                                                             \
        .name = name_, .type = SCHEMA_NUMBER, .offset = offsetof(struct budget_written, member_), \
        .min = 1e-6, .max = MONEY_MAX, .help = help_                                              \
    }

static const struct schema_key budget_keys[] = {
    CEILING_KEY("per-hour", per_hour, "at most so much for each hour"),
    CEILING_KEY("per-day", per_day, "for each day, from midnight"),
    CEILING_KEY("per-month", per_month, "for each month, from its first day"),
    { .name = "currency",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct budget_written, currency),
      .help = "for people: EUR, USD" },
    { .name = "timezone",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct budget_written, zone),
      .fallback = "UTC",
      .help = "in which days and months begin" },
    { 0 },
};

const struct schema_section config_section_budget = {
    .name = "budgets",
    .named = true,
    .help = "Ceilings on what the services cost that name this budget in scale.budget, each "
            "instance at its service's scale.cost.",
    .size_bytes = sizeof(struct budget_written),
    .keys = budget_keys,
    .check = check_budget,
};

static int read_budget(struct schema_context *ctx, const struct node_pair *pair,
                       struct budget_conf *ret)
{
    struct budget_written w = { 0 };
    struct err err = { 0 }, why = { 0 };
    const struct schema_node *node = pair->value;
    int rc = config_check_name(ctx, pair->key, "budget", CONFIG_NAME_MAX, &err);
    if (rc == 0 && node->kind != NODE_MAP)
        rc = schema_fail(ctx, node, &err, "is %s here; write a map", node_kind_name(node));
    if (schema_note(ctx, rc, &err) < 0)
        return rc;
    str_copy(ret->name, sizeof(ret->name), pair->key->text);
    size_t entered = schema_enter(ctx, ret->name);
    rc = schema_read(ctx, &config_section_budget, node, &w);
    if (rc == 0) {
        const struct schema_node *outer = ctx->node;
        ctx->node = node;
        rc = config_find_zone(ctx, w.zone, &ret->zone, &why);
        if (rc == -EINVAL)
            schema_fail_value(ctx, "timezone", &err, "%s", why.text);
        ctx->node = outer;
        schema_note(ctx, rc, &err);
    }
    schema_leave(ctx, entered);
    ret->per_hour = w.per_hour;
    ret->per_day = w.per_day;
    ret->per_month = w.per_month;
    str_copy(ret->currency, sizeof(ret->currency), w.currency ? w.currency : "");
    return rc;
}

int config_read_budgets(struct schema_context *ctx, const struct schema_node *node,
                        struct model_conf *model)
{
    struct err err = { 0 };
    int rc = 0;
    if (!node || node_is_null(node))
        return 0;
    size_t entered = schema_enter(ctx, "budgets");
    if (node->kind != NODE_MAP)
        rc = schema_fail(ctx, node, &err, "is %s here; write a map from names to budgets",
                         node_kind_name(node));
    else if (node->count > MODEL_BUDGETS_MAX)
        rc = schema_fail(ctx, node, &err, "%u budgets; at most %d", node->count, MODEL_BUDGETS_MAX);
    schema_note(ctx, rc, &err);
    for (uint32_t i = 0; rc == 0 && i < node->count; i++) {
        rc = read_budget(ctx, &node->pairs[i], &model->budgets[i]);
        model->budget_count = i + 1;
    }
    schema_leave(ctx, entered);
    return rc;
}

/* ---- which service belongs to which ---- */

struct share_written {
    const char *name;
    double weight;
};

static const struct schema_key share_keys[] = {
    { .name = "name",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct share_written, name),
      .required = true,
      .help = "one of `budgets`" },
    { .name = "weight",
      .type = SCHEMA_NUMBER,
      .offset = offsetof(struct share_written, weight),
      .fallback = "1",
      .min = 0.001,
      .max = 1000,
      .help = "the smaller, the sooner the service yields" },
    { 0 },
};

const struct schema_section config_section_share = {
    .name = "budget",
    .help = "The name of one of `budgets`, or {name, weight}.",
    .size_bytes = sizeof(struct share_written),
    .keys = share_keys,
};

static int find_budget(struct schema_context *ctx, const char *name, struct service_conf *conf,
                       struct err *err)
{
    const struct model_conf *model = ctx->model;
    const char *names[MODEL_BUDGETS_MAX + 1] = { 0 };
    for (uint32_t i = 0; i < model->budget_count; i++) {
        names[i] = model->budgets[i].name;
        if (strcmp(names[i], name) == 0)
            conf->budget = (int32_t)i;
    }
    if (conf->budget >= 0)
        return 0;
    const char *near = schema_nearest(names, name);
    if (near)
        return schema_fail_value(ctx, "budget", err,
                                 "there is no budget \"%.60s\"; did you mean \"%s\"?", name, near);
    return schema_fail_value(ctx, "budget", err,
                             "there is no budget \"%.60s\"; define it under \"budgets\" at the top "
                             "of the file",
                             name);
}

int config_read_budget_of(struct schema_context *ctx, const struct schema_node *node,
                          struct service_conf *conf, struct err *err)
{
    struct share_written w = { .weight = 1 };
    int rc = 0;
    if (!node || node_is_null(node))
        return 0;
    if (node->kind == NODE_LIST)
        return schema_fail_value(ctx, "budget", err, "is a list; write a name or {name, weight}");
    if (node->kind == NODE_MAP)
        rc = schema_read_named(ctx, "budget", &config_section_share, node, &w);
    else
        w.name = node->text;
    if (rc == 0)
        rc = find_budget(ctx, w.name, conf, err);
    if (rc == 0 && conf->cost <= 0)
        return schema_fail_value(ctx, "budget", err,
                                 "nothing says what an instance costs; give scale.cost too");
    conf->budget_weight = w.weight;
    return rc;
}

static int check_ceiling(struct schema_context *ctx, const struct schema_node *at, const char *key,
                         double ceiling, double least, struct err *err)
{
    char text[2][32];
    if (ceiling <= 0 || least <= ceiling)
        return 0;
    fmt_double(text[0], sizeof(text[0]), ceiling, 2);
    fmt_double(text[1], sizeof(text[1]), least, 2);
    size_t entered = schema_enter(ctx, key);
    const struct node_pair *pair = node_find(at, key);
    int rc = schema_fail(ctx, pair ? pair->value : at, err,
                         "%s is less than the least that its services cost, %s with each at "
                         "scale.min; raise it, or lower a min",
                         text[0], text[1]);
    schema_leave(ctx, entered);
    return rc;
}

int config_check_budgets(struct schema_context *ctx, const struct config *config, struct err *err)
{
    const struct model_conf *model = &config->model;
    int rc = 0;
    for (uint32_t b = 0; b < model->budget_count && rc == 0; b++) {
        const struct budget_conf *budget = &model->budgets[b];
        const struct schema_node *at = config->budgets_node->pairs[b].value;
        double least = 0;
        for (uint32_t i = 0; i < model->service_count; i++)
            if (model->services[i].budget == (int32_t)b)
                least += model->services[i].cost * model->services[i].min;
        size_t entered = schema_enter(ctx, "budgets");
        schema_enter(ctx, budget->name);
        rc = check_ceiling(ctx, at, "per-hour", budget->per_hour, least, err);
        if (rc == 0)
            rc = check_ceiling(ctx, at, "per-day", budget->per_day, least * HOURS_DAY, err);
        if (rc == 0)
            rc = check_ceiling(ctx, at, "per-month", budget->per_month, least * HOURS_MONTH, err);
        schema_leave(ctx, entered);
    }
    return rc;
}
