/* The list of rules: each a map of one key, the rule's kind, read with that kind's table (one file
 * rules_<kind>.c) and turned into the core's form. How rules decide is the core's. */
#include <errno.h>

#include "config/rules_int.h"

static const struct rules_kind *const kinds[RULE_KIND_MAX] = {
    [RULE_TARGET] = &rules_target,
    [RULE_THRESHOLD] = &rules_threshold,
    [RULE_STEP] = &rules_step,
    [RULE_SCHEDULE] = &rules_schedule,
    [RULE_CONCURRENCY] = &rules_concurrency,
    [RULE_QUEUE] = &rules_queue,
    [RULE_BUSYNESS] = &rules_busyness,
    [RULE_PREDICTIVE] = &rules_predictive,
    [RULE_SLO] = &rules_slo,
    [RULE_RATIO] = &rules_ratio,
};

#define KIND_KEY(kind, name_) \
    [kind] = { .name = #name_, .type = SCHEMA_SECTION, .section = &rules_##name_.section }

static const struct schema_key kind_keys[] = {
    KIND_KEY(RULE_TARGET, target),
    KIND_KEY(RULE_THRESHOLD, threshold),
    KIND_KEY(RULE_STEP, step),
    KIND_KEY(RULE_SCHEDULE, schedule),
    KIND_KEY(RULE_CONCURRENCY, concurrency),
    KIND_KEY(RULE_QUEUE, queue),
    KIND_KEY(RULE_BUSYNESS, busyness),
    KIND_KEY(RULE_PREDICTIVE, predictive),
    KIND_KEY(RULE_SLO, slo),
    KIND_KEY(RULE_RATIO, ratio),
    [RULE_KIND_MAX] = { 0 },
};

const struct schema_section config_section_rules = {
    .name = "rules",
    .help = "A list; each item is a map of one key, the kind of the rule. The largest count that "
            "any rule asks for wins.",
    .keys = kind_keys,
};

void config_name_rule(struct rule_conf *rule, const struct model_conf *model,
                      const struct service_conf *service)
{
    const struct rules_names names = { .model = model, .service = service };
    struct str out;
    str_init(&out, rule->name, sizeof(rule->name));
    str_put(&out, kind_keys[rule->kind].name);
    kinds[rule->kind]->put_name(rule, &names, &out);
}

static int read_kind(struct schema_context *ctx, const struct rules_kind *kind,
                     const struct schema_node *value, struct rule_conf *rule, struct err *err)
{
    const struct schema_section *section = &kind->section;
    if (kind->read_text && value->kind == NODE_SCALAR && !node_is_null(value)) {
        size_t entered = schema_enter(ctx, section->name);
        int rc = kind->read_text(ctx, value, rule, err);
        schema_leave(ctx, entered);
        return rc;
    }
    if (value->kind != NODE_MAP)
        return schema_fail(ctx, value, err, "%s is %s here; write a map", section->name,
                           node_kind_name(value));
    struct rule_written *w = arena_alloc(ctx->arena, section->size_bytes);
    if (!w)
        return -ENOMEM;
    w->rule = rule;
    return schema_read_named(ctx, section->name, section, value, w);
}

static int read_rule(struct schema_context *ctx, const struct schema_node *node,
                     struct rule_conf *rule, struct err *err)
{
    if (node->kind != NODE_MAP || node->count == 0)
        return schema_fail(ctx, node, err,
                           "a rule is a map of one key (target, threshold, queue, slo, ...), not "
                           "%s",
                           node->kind == NODE_MAP ? "an empty map" : node_kind_name(node));
    const struct schema_key *key = schema_find_key(&config_section_rules, node->pairs[0].key->text);
    if (!key)
        return schema_unknown_key(ctx, &config_section_rules, node->pairs[0].key, err);
    if (node->count > 1)
        return schema_fail(ctx, node->pairs[1].key, err,
                           "a second key in one rule; begin it with \"- \", and indent what "
                           "belongs to \"%s\"",
                           key->name);
    rule->kind = (enum rule_kind)(key - kind_keys);
    return read_kind(ctx, kinds[rule->kind], node->pairs[0].value, rule, err);
}

static int read_list(struct schema_context *ctx, const struct schema_node *node,
                     struct service_conf *conf)
{
    int rc = 0;
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        char index[16];
        struct str s;
        struct err err = { 0 };
        str_init(&s, index, sizeof(index));
        str_putf(&s, "[%u]", i);
        size_t entered = schema_enter(ctx, index);
        int read = schema_note(ctx, read_rule(ctx, node->items[i], &conf->rules[i], &err), &err);
        schema_leave(ctx, entered);
        if (read == 0)
            config_name_rule(&conf->rules[i], ctx->model, conf);
        rc = read < 0 ? read : rc;
    }
    conf->rule_count = node->count;
    return rc;
}

int config_read_rules(struct schema_context *ctx, const struct schema_node *node,
                      struct service_conf *conf)
{
    struct err err = { 0 };
    if (!node || node_is_null(node))
        return 0;
    if (node->kind != NODE_LIST)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "is %s here; write a list", node_kind_name(node)),
            &err);
    if (node->count > MODEL_RULES_MAX)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "%u rules; at most %d", node->count, MODEL_RULES_MAX),
            &err);
    return read_list(ctx, node, conf);
}
