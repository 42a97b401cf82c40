/* `energy`: how much CO2 a kWh stands for, by the time of day if it has to be. Only reported; no
 * count depends on it. */
#include <errno.h>

#include "base/us.h"
#include "config/tables.h"

#define GRAMS_MAX 5000
#define MONTH_S (31 * 86400.0)

struct window_written {
    const char *cron, *zone;
    int64_t for_us;
    double carbon;
};

static const struct schema_key window_keys[] = {
    { .name = "cron",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct window_written, cron),
      .required = true,
      .help = "when it begins" },
    { .name = "for",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct window_written, for_us),
      .required = true,
      .min = 1,
      .max = MONTH_S,
      .help = "how long it lasts" },
    { .name = "timezone",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct window_written, zone),
      .fallback = "UTC",
      .help = "of the cron expression" },
    { .name = "carbon",
      .type = SCHEMA_NUMBER,
      .offset = offsetof(struct window_written, carbon),
      .required = true,
      .min = 0,
      .max = GRAMS_MAX,
      .help = "grams of CO2 per kWh meanwhile" },
    { 0 },
};

const struct schema_section config_section_carbon_window = {
    .name = "windows",
    .help =
        "A list of {cron, for, carbon}. Of overlapping windows the one that opened last counts.",
    .size_bytes = sizeof(struct window_written),
    .keys = window_keys,
};

static int read_window(struct schema_context *ctx, const struct schema_node *node,
                       struct carbon_conf *carbon)
{
    struct window_written w = { 0 };
    struct err err = { 0 };
    uint32_t i = carbon->window_count;
    const struct schema_node *outer = ctx->node;
    int rc;
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "a window is a map {cron, for, carbon}, "
                                       "not %s",
                                       node_kind_name(node)),
                           &err);
    rc = schema_read(ctx, &config_section_carbon_window, node, &w);
    if (rc < 0)
        return rc;
    ctx->node = node;
    rc = config_read_times(ctx, w.cron, w.zone, &carbon->windows[i].cron, &carbon->windows[i].zone,
                           &err);
    ctx->node = outer;
    carbon->windows[i].for_us = w.for_us;
    carbon->windows[i].grams = w.carbon;
    carbon->window_count++;
    return schema_note(ctx, rc, &err);
}

int config_read_carbon(struct schema_context *ctx, const struct config *config,
                       struct carbon_conf *carbon)
{
    const struct schema_node *node = config->carbon_windows;
    struct err err = { 0 };
    int rc = 0;
    carbon->grams = config->carbon;
    if (!node || node_is_null(node))
        return 0;
    size_t entered = schema_enter(ctx, "energy.windows");
    if (node->kind != NODE_LIST)
        rc = schema_fail(ctx, node, &err, "is %s here; write a list", node_kind_name(node));
    else if (node->count > MODEL_CARBON_MAX)
        rc = schema_fail(ctx, node, &err, "%u windows; at most %d", node->count, MODEL_CARBON_MAX);
    schema_note(ctx, rc, &err);
    for (uint32_t i = 0; rc == 0 && i < node->count; i++)
        rc = read_window(ctx, node->items[i], carbon);
    schema_leave(ctx, entered);
    return rc;
}
