/* What a test expects of a moment: how it is written, and whether it is so. */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "sim/policytest/policytest_int.h"

struct expect_written {
    struct policytest_expect e;
    const struct schema_node *rules;
};

#define COUNT_KEY(name_, member_)                                                                \
    {                                                                                            \
        .name = name_, .type = SCHEMA_INT, .offset = offsetof(struct expect_written, e.member_), \
        .min = 0, .max = MODEL_COUNT_MAX                                                         \
    }

static const struct schema_key expect_keys[] = {
    COUNT_KEY("desired", desired),
    COUNT_KEY("at-least", at_least),
    COUNT_KEY("at-most", at_most),
    COUNT_KEY("ready", ready),
    COUNT_KEY("starting", starting),
    COUNT_KEY("draining", draining),
    { .name = "reason", .type = SCHEMA_LIST, .offset = offsetof(struct expect_written, e.reason) },
    { .name = "rules",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct expect_written, rules),
      .parse = schema_keep_node },
    { 0 },
};
static const struct schema_section expect_section = { .name = "expect", .keys = expect_keys };

/* [4, none, ~]: what each rule needs at least; none = it needs nothing, ~ = no matter. */
static int read_rules(struct schema_context *ctx, const struct service_conf *service,
                      const struct schema_node *node, struct policytest_expect *e)
{
    struct err err = { 0 };
    int rc = 0;
    size_t entered = schema_enter(ctx, "rules");
    if (node->kind != NODE_LIST || node->count > MODEL_RULES_MAX)
        rc = schema_fail(ctx, node, &err, "is a list of at most %d counts, one for each rule",
                         MODEL_RULES_MAX);
    else if (node->count != service->rule_count)
        rc = schema_fail(ctx, node, &err,
                         "the policy has %u rule%s, %u %s expected; write ~ for one that is no "
                         "matter",
                         service->rule_count, service->rule_count == 1 ? "" : "s", node->count,
                         node->count == 1 ? "is" : "are");
    for (uint32_t i = 0; rc == 0 && i < node->count; i++) {
        const struct schema_node *item = node->items[i];
        int64_t count = RULE_ABSTAIN;
        e->rule_given[i] = !node_is_null(item);
        if (e->rule_given[i] &&
            (item->kind != NODE_SCALAR ||
             (strcmp(item->text, "none") != 0 &&
              (num_parse_i64(slice_of(item->text), &count) < 0 || count < 0 || count > INT32_MAX))))
            rc = schema_fail(ctx, item, &err, "is a count, none, or ~ for any");
        e->rules[i] = (int32_t)count;
        e->rule_count = i + 1;
    }
    schema_leave(ctx, entered);
    return schema_note(ctx, rc, &err);
}

/* Each explanation has it. */
static int check_reason(struct schema_context *ctx, const struct schema_node *node,
                        const struct policytest_expect *e)
{
    struct err err = { 0 };
    int rc = 0;
    size_t entered = schema_enter(ctx, "reason");
    for (uint32_t i = 0; i < e->reason.count && rc == 0; i++) {
        const struct schema_node *reason = node_find(node, "reason")->value;
        bool list = reason->kind == NODE_LIST;
        if (e->reason.items[i][0] == '\0')
            rc = schema_fail(ctx, list ? reason->items[i] : reason, &err,
                             "an empty text is part of every reason; say more, or remove it");
    }
    schema_leave(ctx, entered);
    return schema_note(ctx, rc, &err);
}

static bool expects_something(const struct policytest_expect *e)
{
    bool some = e->reason.count > 0 || e->desired >= 0 || e->at_least >= 0 || e->at_most >= 0 ||
                e->ready >= 0 || e->starting >= 0 || e->draining >= 0;
    for (uint32_t i = 0; i < e->rule_count && !some; i++)
        some = e->rule_given[i];
    return some;
}

int policytest_read_expect(struct schema_context *ctx, const struct service_conf *service,
                           const struct schema_node *node, struct policytest_expect *ret)
{
    struct expect_written w = {
        .e = { .desired = -1,
               .at_least = -1,
               .at_most = -1,
               .ready = -1,
               .starting = -1,
               .draining = -1 },
    };
    struct err err = { 0 }, why = { 0 };
    int rc = 0;
    w.e.given = true;
    w.e.line = node->line;
    w.e.column = node->column;
    if (node->kind == NODE_MAP)
        rc = schema_read(ctx, &expect_section, node, &w);
    else if (node->kind == NODE_LIST)
        rc = schema_note(ctx, schema_fail(ctx, node, &err, "is a list; write a count or a map"),
                         &err);
    else if (schema_read_value(ctx->arena, &expect_keys[0], node->text, &w.e.desired, &why) < 0)
        rc = schema_note(ctx, schema_fail(ctx, node, &err, "%s", why.text), &err);
    if (rc == 0 && w.rules)
        rc = read_rules(ctx, service, w.rules, &w.e);
    if (rc == 0)
        rc = check_reason(ctx, node, &w.e);
    if (rc == 0 && !expects_something(&w.e))
        rc = schema_note(
            ctx, schema_fail(ctx, node, &err, "expects nothing; give it a count or a reason"),
            &err);
    *ret = w.e;
    return rc;
}

/* ---- is it so? ---- */

static bool explains(const struct decision *d, const char *text)
{
    if (!d)
        return false;
    bool found = strstr(d->summary, text) != NULL;
    for (uint32_t i = 0; i < d->step_count && !found; i++)
        found = strstr(d->steps[i].text, text) || strstr(limit_kind_name(d->steps[i].kind), text);
    for (uint32_t i = 0; i < d->opinion_count && !found; i++)
        found = strstr(d->opinions[i].opinion.text, text) || strstr(d->opinions[i].rule, text);
    return found;
}

static void put(char *buf, size_t cap, const char *what, int64_t count)
{
    struct str s;
    str_init(&s, buf, cap);
    str_putf(&s, "%s", what);
    if (count == RULE_ABSTAIN)
        str_put(&s, " none");
    else
        str_putf(&s, " %lld", (long long)count);
}

/* The first count that is not as it should be goes into the result. */
static bool counts_meet(const struct policytest_expect *e, const struct service_view *v,
                        struct policytest_result *ret)
{
    const struct {
        const char *what;
        int64_t expected, got;
        int sign; /* of got - expected that is all right too */
    } counts[] = {
        { "desired", e->desired, v->desired, 0 },
        { "desired at least", e->at_least, v->desired, 1 },
        { "desired at most", e->at_most, v->desired, -1 },
        { "ready", e->ready, v->ready, 0 },
        { "starting", e->starting, v->starting, 0 },
        { "draining", e->draining, v->draining, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        int64_t off = counts[i].got - counts[i].expected;
        if (counts[i].expected < 0 || off == 0 || off * counts[i].sign > 0)
            continue;
        put(ret->expected, sizeof(ret->expected), counts[i].what, counts[i].expected);
        put(ret->got, sizeof(ret->got), counts[i].sign ? "desired" : counts[i].what, counts[i].got);
        return false;
    }
    return true;
}

static bool rules_meet(const struct policytest_expect *e, const struct decision *d,
                       struct policytest_result *ret)
{
    for (uint32_t i = 0; i < e->rule_count; i++) {
        char what[100];
        struct str s;
        bool there = d && i < d->opinion_count;
        int32_t got = there ? d->opinions[i].opinion.out : RULE_ABSTAIN;
        if (!e->rule_given[i] || (there && got == e->rules[i]))
            continue;
        str_init(&s, what, sizeof(what));
        str_putf(&s, "rule \"%s\" needs", there ? d->opinions[i].rule : "?");
        put(ret->expected, sizeof(ret->expected), what, e->rules[i]);
        put(ret->got, sizeof(ret->got), what, got);
        return false;
    }
    return true;
}

bool policytest_meets(const struct policytest_expect *e, const struct service_view *view,
                      const struct decision *decision, struct policytest_result *ret)
{
    struct str s;
    if (!counts_meet(e, view, ret) || !rules_meet(e, decision, ret))
        return false;
    for (size_t i = 0; i < e->reason.count; i++) {
        if (explains(decision, e->reason.items[i]))
            continue;
        str_init(&s, ret->expected, sizeof(ret->expected));
        str_putf(&s, "reason \"%s\"", e->reason.items[i]);
        str_init(&s, ret->got, sizeof(ret->got));
        str_putf(&s, "reason \"%s\"", decision ? decision->summary : "");
        return false;
    }
    return true;
}
