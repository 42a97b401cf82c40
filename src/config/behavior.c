/* `behavior`: how fast the count may move. Two vocabularies mean the same: plimsoll's own
 * ("at-most: 10% per 1m") and that of Kubernetes' autoscaling/v2 ("policies"). */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "config/tables.h"

#define PERIOD_US_MIN US_PER_S
#define PERIOD_US_MAX (30 * US_PER_MIN)

static const char *const select_names[] = { "max", "min", "disabled", NULL };
static const char *const select_policy_names[] = { "Max", "Min", "Disabled", NULL };
static const char *const policy_types[] = { "Pods", "Percent", NULL };

struct policy_written {
    int type;
    int64_t value, period_s;
};

static const struct schema_key policy_keys[] = {
    { .name = "type",
      .type = SCHEMA_ENUM,
      .offset = offsetof(struct policy_written, type),
      .names = policy_types,
      .required = true,
      .help = "Pods (instances) or Percent" },
    { .name = "value",
      .type = SCHEMA_INT,
      .offset = offsetof(struct policy_written, value),
      .required = true,
      .min = 1,
      .max = 1000000,
      .help = "how many, or how many percent" },
    { .name = "periodSeconds",
      .type = SCHEMA_INT,
      .offset = offsetof(struct policy_written, period_s),
      .required = true,
      .min = 1,
      .max = 1800,
      .help = "within this many seconds" },
    { 0 },
};

static const struct schema_section policy_section = {
    .name = "policies",
    .size_bytes = sizeof(struct policy_written),
    .keys = policy_keys,
};

static_assert(sizeof(enum behavior_select) == sizeof(int), "tables read it as an int");

/* The two directions differ in one default. */
#define DIRECTION_KEYS(stabilize_default)                                                         \
    {                                                                                             \
        { .name = "stabilize",                                                                    \
          .type = SCHEMA_DURATION,                                                                \
          .offset = offsetof(struct config_direction, rates.stabilize_us),                        \
          .fallback = stabilize_default,                                                          \
          .min = 0,                                                                               \
          .max = 3600,                                                                            \
          .help = "the count moves only as far as every recommendation within this time allows; " \
                  "down, "                                                                        \
                  "a target with headroom: auto, and concurrency rules alone, hold by "           \
                  "themselves, and make the default 0s" },                                        \
            { .name = "at-most",                                                                  \
              .type = SCHEMA_CUSTOM,                                                              \
              .offset = offsetof(struct config_direction, at_most),                               \
              .parse = schema_keep_node,                                                          \
              .help =                                                                             \
                  "\"10% per 1m\" or \"4 per 15s\", or a list of these; without it, no limit" },  \
            { .name = "cooldown",                                                                 \
              .type = SCHEMA_DURATION,                                                            \
              .offset = offsetof(struct config_direction, rates.cooldown_us),                     \
              .fallback = "0",                                                                    \
              .min = 0,                                                                           \
              .max = 3600,                                                                        \
              .help = "after a move in this direction no other in it for so long" },              \
            { .name = "select",                                                                   \
              .type = SCHEMA_ENUM,                                                                \
              .offset = offsetof(struct config_direction, rates.select),                          \
              .fallback = "max",                                                                  \
              .names = select_names,                                                              \
              .help =                                                                             \
                  "of several limits, the one that allows the largest or the smallest change; "   \
                  "disabled: no change in this direction" },                                      \
            { .name = "stabilizationWindowSeconds",                                               \
              .type = SCHEMA_INT,                                                                 \
              .offset = offsetof(struct config_direction, stabilization_window_s),                \
              .min = 0,                                                                           \
              .max = 3600,                                                                        \
              .help = "Kubernetes' word for stabilize" },                                         \
            { .name = "policies",                                                                 \
              .type = SCHEMA_CUSTOM,                                                              \
              .offset = offsetof(struct config_direction, policies),                              \
              .parse = schema_keep_node,                                                          \
              .help = "Kubernetes' word for at-most: a list of {type: Pods|Percent, value, "      \
                      "periodSeconds}" },                                                         \
            { .name = "selectPolicy",                                                             \
              .type = SCHEMA_ENUM,                                                                \
              .offset = offsetof(struct config_direction, select_policy),                         \
              .names = select_policy_names,                                                       \
              .help = "Kubernetes' word for select" },                                            \
            { 0 },                                                                                \
    }

static const struct schema_key up_keys[] = DIRECTION_KEYS("0");
static const struct schema_key down_keys[] = DIRECTION_KEYS("60s");

const struct schema_section config_section_direction_up = {
    .name = "up",
    .help = "How fast the count may grow.",
    .size_bytes = sizeof(struct config_direction),
    .keys = up_keys,
    .check = config_check_direction,
};

const struct schema_section config_section_direction_down = {
    .name = "down",
    .help = "How fast the count may shrink.",
    .size_bytes = sizeof(struct config_direction),
    .keys = down_keys,
    .check = config_check_direction,
};

static int split_rate(struct slice text, struct slice *ret_amount, struct slice *ret_period)
{
    static const char word[] = " per ";
    for (size_t i = 0; i + sizeof(word) - 1 < text.n; i++) {
        if (memcmp(text.p + i, word, sizeof(word) - 1) != 0)
            continue;
        *ret_amount = slice_trim((struct slice){ text.p, i });
        *ret_period = slice_trim(
            (struct slice){ text.p + i + sizeof(word) - 1, text.n - i - (sizeof(word) - 1) });
        return 0;
    }
    return -EINVAL;
}

static int read_amount(struct slice text, struct behavior_policy *p)
{
    int64_t count;
    p->percent = text.n > 1 && text.p[text.n - 1] == '%';
    if (p->percent)
        text = slice_trim((struct slice){ text.p, text.n - 1 });
    if (num_parse_i64(text, &count) < 0 || count < 0 || count > 1000000)
        return -EINVAL;
    p->value = (int32_t)count;
    return 0;
}

static int read_rate(struct schema_context *ctx, const struct schema_node *node,
                     struct behavior_policy *ret, struct err *err)
{
    struct behavior_policy p = { 0 };
    struct slice amount, period;
    if (node->kind != NODE_SCALAR || split_rate(slice_of(node->text), &amount, &period) < 0 ||
        read_amount(amount, &p) < 0)
        return schema_fail(ctx, node, err,
                           "\"%.60s\" is not a rate; write \"10%% per 1m\" or \"4 per 15s\"",
                           node->kind == NODE_SCALAR ? node->text : node_kind_name(node));
    if (p.value == 0)
        return schema_fail(ctx, node, err,
                           "a rate of 0 never moves; to forbid it write \"select: disabled\"");
    if (num_parse_duration(period, &p.period_us) < 0)
        return schema_fail(ctx, node, err, "\"%.*s\" is not a duration; write \"15s\" or \"1m\"",
                           (int)MIN(period.n, 60), period.p);
    if (p.period_us < PERIOD_US_MIN || p.period_us > PERIOD_US_MAX)
        return schema_fail(ctx, node, err, "the period %.*s is out of range; give 1s to 30m",
                           (int)MIN(period.n, 60), period.p);
    *ret = p;
    return 0;
}

static int read_policy(struct schema_context *ctx, const struct schema_node *node,
                       struct behavior_policy *ret, struct err *err)
{
    struct policy_written w = { 0 };
    if (node->kind != NODE_MAP)
        return schema_fail(ctx, node, err, "a policy is a map {type, value, periodSeconds}");
    int rc = schema_read(ctx, &policy_section, node, &w);
    if (rc < 0)
        return rc;
    *ret = (struct behavior_policy){ .percent = w.type == 1,
                                     .value = (int32_t)w.value,
                                     .period_us = w.period_s * US_PER_S };
    return 0;
}

static int read_policies(struct schema_context *ctx, const struct schema_node *node,
                         int (*read)(struct schema_context *ctx, const struct schema_node *node,
                                     struct behavior_policy *ret, struct err *err),
                         struct behavior_direction *d, struct err *err)
{
    const struct schema_node *single[1] = { node };
    const struct schema_node **items = node->kind == NODE_LIST ? node->items : single;
    uint32_t count = node->kind == NODE_LIST ? node->count : 1;
    if (count > BEHAVIOR_POLICIES_MAX)
        return schema_fail(ctx, node, err, "%u limits; at most %d", count, BEHAVIOR_POLICIES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        int rc = read(ctx, items[i], &d->policy[i], err);
        if (rc < 0)
            return rc;
    }
    d->policy_count = count;
    return 0;
}

static int refuse_both(struct schema_context *ctx, struct err *err)
{
    static const char *const pairs[][2] = {
        { "stabilize", "stabilizationWindowSeconds" },
        { "at-most", "policies" },
        { "select", "selectPolicy" },
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (schema_given(ctx, pairs[i][0]) && schema_given(ctx, pairs[i][1]))
            return schema_error(ctx, pairs[i][1], err, "says the same as %s; give one of them",
                                pairs[i][0]);
    return 0;
}

int config_check_direction(struct schema_context *ctx, void *section, struct err *err)
{
    struct config_direction *d = section;
    int rc = refuse_both(ctx, err);
    if (rc < 0)
        return rc;
    d->stabilize_given =
        schema_given(ctx, "stabilize") || schema_given(ctx, "stabilizationWindowSeconds");
    if (schema_given(ctx, "stabilizationWindowSeconds"))
        d->rates.stabilize_us = d->stabilization_window_s * US_PER_S;
    if (schema_given(ctx, "selectPolicy"))
        d->rates.select = (enum behavior_select)d->select_policy;
    const char *key = d->at_most ? "at-most" : "policies";
    size_t entered = schema_enter(ctx, key);
    if (d->at_most)
        rc = read_policies(ctx, d->at_most, read_rate, &d->rates, err);
    else if (d->policies)
        rc = read_policies(ctx, d->policies, read_policy, &d->rates, err);
    schema_leave(ctx, entered);
    return rc;
}

void config_print_direction(const struct behavior_direction *d, struct str *out)
{
    char text[64];
    num_format_duration(text, sizeof(text), d->stabilize_us);
    str_putf(out, "stabilize %s", text);
    for (uint32_t i = 0; i < d->policy_count; i++) {
        num_format_duration(text, sizeof(text), d->policy[i].period_us);
        str_putf(out, "%s %d%s per %s", i == 0 ? ", at most" : ",", d->policy[i].value,
                 d->policy[i].percent ? "%" : "", text);
    }
    if (d->cooldown_us > 0) {
        num_format_duration(text, sizeof(text), d->cooldown_us);
        str_putf(out, ", cooldown %s", text);
    }
    if (d->select != BEHAVIOR_MAX_CHANGE)
        str_putf(out, ", select %s", select_names[d->select]);
}
