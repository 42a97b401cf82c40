/* The section `alerts`: what is worth telling, and whom. */
#include "controller/alerts.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "base/util.h"
#include "config/read.h"
#include "drivers/fetch.h"

/* -- rules ------------------------------------------------------------------------------------- */

#define AT(member) .offset = offsetof(struct alert_rule, member)

static const struct schema_key rule_keys[] = {
    { .name = "for",
      .type = SCHEMA_DURATION,
      AT(for_us),
      .max = 7 * 86400,
      .help = "so without a break for this long, and it fires" },
    { .name = "keep-firing-for",
      .type = SCHEMA_DURATION,
      AT(keep_us),
      .max = 7 * 86400,
      .help = "when it is not so any more it fires on for this long, and then is resolved" },
    { 0 },
};

static int rule_check(struct schema_context *ctx, void *section, struct err *err)
{
    struct alert_rule *r = section;
    r->has_for = schema_given(ctx, "for");
    r->has_keep = schema_given(ctx, "keep-firing-for");
    return 0;
}

static const struct schema_section rule_section = {
    .name = "rule",
    .help = "When one fires.",
    .size_bytes = sizeof(struct alert_rule),
    .keys = rule_keys,
    .check = rule_check,
};

/* `off`, `on`, or a map. */
static int parse_rule(struct schema_context *ctx, const struct schema_node *node, void *field,
                      struct err *err)
{
    struct alert_rule *r = field;
    if (node->kind == NODE_SCALAR) {
        r->off = strcmp(node->text, "off") == 0 || strcmp(node->text, "false") == 0;
        if (r->off || strcmp(node->text, "on") == 0 || strcmp(node->text, "true") == 0)
            return 0;
    }
    if (node->kind != NODE_MAP)
        return schema_fail(ctx, node, err, "write off, on, or a map: {for: 5m}");
    *err = (struct err){ 0 }; /* what is wrong inside is reported there */
    return schema_read(ctx, &rule_section, node, r);
}

#undef AT
#define KEY(kind, name_, help_)                                                              \
    {                                                                                        \
        .name = name_, .type = SCHEMA_CUSTOM, .parse = parse_rule, .section = &rule_section, \
        .offset = offsetof(struct alert_rules, rule[kind]), .help = help_                    \
    }

const struct alert_kind_info alert_kinds[ALERT_KIND_MAX] = {
    [ALERT_POOL_AT_MAX] = { "pool-at-max", .for_us = 5 * US_PER_MIN },
    [ALERT_CRASH_LOOP] = { "crash-loop", true, .keep_us = 1 * US_PER_MIN },
    [ALERT_START_FAILURES] = { "start-failures", true, .for_us = 30 * US_PER_S,
                               .keep_us = 1 * US_PER_MIN },
    [ALERT_SOURCE_SILENT] = { "source-silent", .for_us = 1 * US_PER_MIN },
    [ALERT_SLO_BROKEN] = { "slo-broken", true, .for_us = 2 * US_PER_MIN,
                           .keep_us = 1 * US_PER_MIN },
    [ALERT_BUDGET_SPENT] = { "budget-spent" },
    [ALERT_ENGINE_DOWN] = { "engine-down", true, .for_us = 15 * US_PER_S },
    [ALERT_LEASE_LOST] = { "lease-lost", .keep_us = 1 * US_PER_MIN },
    [ALERT_MEMBER_SILENT] = { "member-silent", .for_us = 30 * US_PER_S },
    [ALERT_CLOCK_JUMP] = { "clock-jump", .keep_us = 5 * US_PER_MIN },
    [ALERT_DISK_FULL] = { "disk-full", true, .for_us = 10 * US_PER_S },
    [ALERT_CONFIG_REFUSED] = { "config-refused" },
};

static const struct schema_key kind_keys[] = {
    KEY(ALERT_POOL_AT_MAX, "pool-at-max",
        "as many instances as there may be, and the rules want more; default for: 5m"),
    KEY(ALERT_CRASH_LOOP, "crash-loop",
        "instances end by themselves, again and again; default keep-firing-for: 1m"),
    KEY(ALERT_START_FAILURES, "start-failures",
        "instances cannot be started or do not get ready; default for: 30s, keep-firing-for: 1m"),
    KEY(ALERT_SOURCE_SILENT, "source-silent",
        "a source does not answer, and its metric is unknown; default for: 1m"),
    KEY(ALERT_SLO_BROKEN, "slo-broken",
        "the latency that an slo rule promises is missed, taken over a minute; default for: 2m, "
        "keep-firing-for: 1m"),
    KEY(ALERT_BUDGET_SPENT, "budget-spent",
        "what is left of a budget pays for the minimum and no more; default for: 0s"),
    KEY(ALERT_ENGINE_DOWN, "engine-down",
        "an engine (Docker, Swarm, a plugin) does not answer; default for: 15s"),
    KEY(ALERT_LEASE_LOST, "lease-lost",
        "this controller led and does not any more; default keep-firing-for: 1m"),
    KEY(ALERT_MEMBER_SILENT, "member-silent",
        "another member's load is not known; default for: 30s"),
    KEY(ALERT_CLOCK_JUMP, "clock-jump",
        "the wall clock was set by more than 2 s; default keep-firing-for: 5m"),
    KEY(ALERT_DISK_FULL, "disk-full",
        "the journal or the database cannot be written; default for: 10s"),
    KEY(ALERT_CONFIG_REFUSED, "config-refused",
        "a reload was refused, and the old configuration goes on; default for: 0s"),
    { 0 },
};

static const struct schema_section rules_section = {
    .name = "rules",
    .help = "What is worth an alert: each kind is on as it stands here, off (`crash-loop: off`), "
            "or has times of its own (`pool-at-max: {for: 10m}`).",
    .size_bytes = sizeof(struct alert_rules),
    .keys = kind_keys,
};

/* -- targets ----------------------------------------------------------------------------------- */

#define AT(member) .offset = offsetof(struct alert_webhook, member)

static const char *const format_names[] = { "json", "slack", "alertmanager", NULL };

static const struct schema_key webhook_keys[] = {
    { .name = "url",
      .type = SCHEMA_TEXT,
      AT(url),
      .required = true,
      .help = "http or https; of an Alertmanager without a path: `http://127.0.0.1:9093`" },
    { .name = "format",
      .type = SCHEMA_ENUM,
      AT(format),
      .names = format_names,
      .fallback = "json",
      .help = "json: all that is known; slack: an incoming webhook's message (Mattermost and "
              "Rocket.Chat take it too); alertmanager: POST /api/v2/alerts, again every minute, "
              "and the rest is its own" },
    { .name = "headers",
      .type = SCHEMA_MAP,
      AT(headers),
      .help = "sent along: `Authorization: Bearer ...`" },
    { 0 },
};

static int webhook_check(struct schema_context *ctx, void *section, struct err *err)
{
    struct alert_webhook *w = section;
    struct err why = { 0 };
    if (fetch_check_url(w->url, &why) < 0)
        return schema_error(ctx, "url", err, "%s", why.text);
    return 0;
}

static const struct schema_section webhook_section = {
    .name = "webhook",
    .help = "A POST.",
    .size_bytes = sizeof(struct alert_webhook),
    .keys = webhook_keys,
    .check = webhook_check,
};

#undef AT
#define AT(member) .offset = offsetof(struct alert_to, member)

static const struct schema_key to_keys[] = {
    { .name = "webhook",
      .type = SCHEMA_SECTION,
      AT(webhook),
      .section = &webhook_section,
      .help = "a POST to a URL" },
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .help = "a program that gets the json on its standard input and ends with status 0 within "
              "30 s; a single text is run by a shell" },
    { 0 },
};

static int to_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct alert_to *to = section;
    bool runs = to->command.count > 0;
    if (runs == schema_given(ctx, "webhook"))
        return schema_error(ctx, runs ? "command" : NULL, err,
                            runs ? "and webhook are two targets; make an item of each"
                                 : "says nothing; give webhook or command");
    if (runs && !to->command.items[0][0])
        return schema_error(ctx, "command", err, "is empty; write a program");
    return 0;
}

static const struct schema_section to_section = {
    .name = "to",
    .help = "Who is told.",
    .size_bytes = sizeof(struct alert_to),
    .keys = to_keys,
    .check = to_check,
};

static int read_to(struct schema_context *ctx, const char *name, const struct schema_node *node,
                   struct alert_to *ret)
{
    struct err err = { 0 };
    size_t entered = schema_enter(ctx, name);
    int rc = node->kind == NODE_MAP ? schema_read(ctx, &to_section, node, ret)
                                    : schema_note(ctx,
                                                  schema_fail(ctx, node, &err,
                                                              "is %s; write {webhook: {url: ...}} "
                                                              "or {command: [...]}",
                                                              node_kind_name(node)),
                                                  &err);
    schema_leave(ctx, entered);
    return rc;
}

static int parse_to(struct schema_context *ctx, const struct schema_node *node, void *field,
                    struct err *err)
{
    struct alert_to_list *list = field;
    int rc = 0;
    if (node_is_null(node))
        return 0;
    if (node->kind != NODE_LIST)
        return schema_fail(ctx, node, err,
                           "is %s; write a list of targets, each "
                           "{webhook: {url: ...}} or {command: [...]}",
                           node_kind_name(node));
    if (node->count > ALERT_TARGETS_MAX)
        return schema_fail(ctx, node, err, "has %u targets; there can be %d", node->count,
                           ALERT_TARGETS_MAX);
    list->items = ARENA_ARRAY(ctx->arena, struct alert_to, MAX(node->count, 1u));
    if (!list->items)
        return -ENOMEM;
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        char name[32];
        fmt(name, sizeof(name), "[%u]", i);
        int read = read_to(ctx, name, node->items[i], &list->items[i]);
        rc = read < 0 ? read : rc;
    }
    list->count = node->count;
    return rc;
}

/* -- the section ------------------------------------------------------------------------------- */

#undef AT
#define AT(member) .offset = offsetof(struct alerts_conf, member)

static const char *const grouping_names[] = { "service", "kind", "nothing", NULL };

static const struct schema_key keys[] = {
    { .name = "group-by",
      .type = SCHEMA_ENUM,
      AT(group_by),
      .names = grouping_names,
      .fallback = "service",
      .help = "what alerts of one message have in common; nothing = all in one" },
    { .name = "group-wait",
      .type = SCHEMA_DURATION,
      AT(timing.group_wait_us),
      .fallback = "10s",
      .max = 3600,
      .help = "from the first alert of a group to its first message: others may join" },
    { .name = "group-interval",
      .type = SCHEMA_DURATION,
      AT(timing.group_interval_us),
      .fallback = "1m",
      .min = 1,
      .max = 86400,
      .help = "between two messages of a group, when something is new or resolved" },
    { .name = "repeat",
      .type = SCHEMA_DURATION,
      AT(timing.repeat_us),
      .fallback = "4h",
      .min = 1,
      .max = 30 * 86400,
      .help = "what fires on is told again after this" },
    { .name = "to",
      .type = SCHEMA_CUSTOM,
      AT(to),
      .parse = parse_to,
      .section = &to_section,
      .help = "a list of targets, each `{webhook: {url: ..., format: json|slack|alertmanager, "
              "headers: {...}}}` or `{command: [...]}`; without any, alerts are in `status`, the "
              "events and the API only" },
    { .name = "rules",
      .type = SCHEMA_SECTION,
      AT(rules),
      .section = &rules_section,
      .help = "which alerts there are" },
    { 0 },
};

const struct schema_section alerts_section = {
    .name = "alerts",
    .help = "What is wrong, told to people. Who leads tells; grouping and repeating are "
            "Alertmanager's.",
    .size_bytes = sizeof(struct alerts_conf),
    .keys = keys,
};
