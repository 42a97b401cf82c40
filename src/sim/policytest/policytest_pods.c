/* `calculate`: the arithmetic of core/hpa.h on its own, with instances as data, for states in which
 * plimsoll's own instances cannot be: unequal requests, phases, counts of 2^63. */
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "sim/policytest/policytest_int.h"

#define LONG_AGO_US (INT64_C(1000000) * US_PER_S)

static const char *const measures[] = {
    [POLICYTEST_UTILISATION] = "utilisation",
    [POLICYTEST_PLAIN] = "plain",
    [POLICYTEST_WHOLE] = "whole",
    [POLICYTEST_TOTAL] = "total",
    [POLICYTEST_CLASSES] = "classes",
    NULL,
};
static const char *const phases[] = { "pending", "running", "succeeded", "failed", NULL };
static const char *const class_names[] = {
    [HPA_READY] = "ready",
    [HPA_UNREADY] = "unready",
    [HPA_MISSING] = "missing",
    [HPA_IGNORED] = "ignored",
};

/* ---- how it is written ---- */

struct pod_written {
    const char *name;
    int phase;
    bool deleting, ready;
    int64_t started_us, changed_us, value, value_age_us, window_us, request;
};

#define AT(member) offsetof(struct pod_written, member)
#define AGE_KEY(name_, member_)                                                             \
    {                                                                                       \
        .name = name_, .type = SCHEMA_DURATION, .offset = AT(member_), .min = 0, .max = 1e9 \
    }
static const struct schema_key pod_keys[] = {
    { .name = "name", .type = SCHEMA_TEXT, .offset = AT(name) },
    { .name = "phase",
      .type = SCHEMA_ENUM,
      .offset = AT(phase),
      .fallback = "running",
      .names = phases },
    { .name = "deleting", .type = SCHEMA_BOOL, .offset = AT(deleting) },
    { .name = "ready", .type = SCHEMA_BOOL, .offset = AT(ready) },
    AGE_KEY("started", started_us),
    AGE_KEY("changed", changed_us),
    { .name = "value", .type = SCHEMA_INT, .offset = AT(value) },
    AGE_KEY("value-age", value_age_us),
    AGE_KEY("window", window_us),
    { .name = "request", .type = SCHEMA_INT, .offset = AT(request) },
    { 0 },
};

struct pod_read {
    struct pod_written w;
    struct hpa_pod *pod;
};

/* What was not written is not known; times that are not were long ago. */
static int check_pod(struct schema_context *ctx, void *section, struct err *err)
{
    const struct pod_read *r = section;
    const struct pod_written *w = &r->w;
    *r->pod = (struct hpa_pod){
        .phase = (enum hpa_phase)w->phase,
        .deleting = w->deleting,
        .started = schema_given(ctx, "started"),
        .has_condition = schema_given(ctx, "ready"),
        .ready = w->ready,
        .has_value = schema_given(ctx, "value"),
        .has_request = schema_given(ctx, "request"),
        .start_age_us = schema_given(ctx, "started") ? w->started_us : LONG_AGO_US,
        .transition_age_us = schema_given(ctx, "changed") ? w->changed_us : LONG_AGO_US,
        .value = w->value,
        .value_age_us = w->value_age_us,
        .window_us = w->window_us,
        .request = w->request,
    };
    return 0;
}
static const struct schema_section pod_section = { .name = "pods",
                                                   .keys = pod_keys,
                                                   .check = check_pod };

struct calculation_written {
    int measure;
    double tolerance_up, tolerance_down;
    bool cpu;
    int64_t init_us, readiness_us, current, ready, target, value;
    const struct schema_node *pods, *expect;
};

#undef AT
#define AT(member) offsetof(struct calculation_written, member)
#define WHOLE_KEY(name_, member_)                                \
    {                                                            \
        .name = name_, .type = SCHEMA_INT, .offset = AT(member_) \
    }
#define RATIO_KEY(name_, member_)                                                                \
    {                                                                                            \
        .name = name_, .type = SCHEMA_RATIO, .offset = AT(member_), .fallback = "10%", .min = 0, \
        .max = 10                                                                                \
    }
#define SPAN_KEY(name_, member_, fallback_)                                                   \
    {                                                                                         \
        .name = name_, .type = SCHEMA_DURATION, .offset = AT(member_), .fallback = fallback_, \
        .min = 0, .max = 86400                                                                \
    }
static const struct schema_key calculation_keys[] = {
    { .name = "measure",
      .type = SCHEMA_ENUM,
      .offset = AT(measure),
      .names = measures,
      .required = true,
      .help = "give utilisation, plain, whole, total or classes" },
    RATIO_KEY("tolerance-up", tolerance_up),
    RATIO_KEY("tolerance-down", tolerance_down),
    { .name = "cpu", .type = SCHEMA_BOOL, .offset = AT(cpu) },
    SPAN_KEY("initialization", init_us, "5m"),
    SPAN_KEY("readiness-delay", readiness_us, "30s"),
    WHOLE_KEY("current", current),
    WHOLE_KEY("ready", ready),
    WHOLE_KEY("target", target),
    WHOLE_KEY("value", value),
    { .name = "pods", .type = SCHEMA_CUSTOM, .offset = AT(pods), .parse = schema_keep_node },
    { .name = "expect",
      .type = SCHEMA_CUSTOM,
      .offset = AT(expect),
      .parse = schema_keep_node,
      .required = true,
      .help = "say what is to come out" },
    { 0 },
};
static const struct schema_section calculation_section = { .name = "calculate",
                                                           .keys = calculation_keys };

#undef AT
#define AT(member) offsetof(struct policytest_calculation, member)
static const char *const errors[] = { "no-data", "no-request", NULL };
static const struct schema_key expect_keys[] = {
    WHOLE_KEY("replicas", replicas),
    WHOLE_KEY("utilisation", utilisation),
    WHOLE_KEY("average", average),
    WHOLE_KEY("ready", ready_count),
    { .name = "error", .type = SCHEMA_TEXT, .offset = AT(error), .names = errors },
    { .name = "unready", .type = SCHEMA_LIST, .offset = AT(classes[HPA_UNREADY]) },
    { .name = "missing", .type = SCHEMA_LIST, .offset = AT(classes[HPA_MISSING]) },
    { .name = "ignored", .type = SCHEMA_LIST, .offset = AT(classes[HPA_IGNORED]) },
    { 0 },
};
static const struct schema_section expect_section = { .name = "expect", .keys = expect_keys };

static int read_pods(struct schema_context *ctx, const struct schema_node *node,
                     struct policytest_calculation *c)
{
    struct err err = { 0 };
    int rc = 0;
    if (!node)
        return 0;
    if (node->kind != NODE_LIST || node->count > POLICYTEST_PODS_MAX)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "is a list of at most %d pods", POLICYTEST_PODS_MAX),
            &err);
    c->pods = ARENA_ARRAY(ctx->arena, struct policytest_pod, node->count);
    if (!c->pods)
        return schema_note(ctx, -ENOMEM, NULL);
    for (uint32_t i = 0; i < node->count && rc == 0; i++) {
        struct pod_read r = { .pod = &c->pods[i].pod };
        if (node->items[i]->kind != NODE_MAP)
            rc = schema_note(ctx, schema_fail(ctx, node->items[i], &err, "a pod is a map"), &err);
        else
            rc = schema_read(ctx, &pod_section, node->items[i], &r);
        c->pods[i].name = r.w.name ? r.w.name : "";
        c->pod_count = i + 1;
    }
    return rc;
}

static int check_target(struct schema_context *ctx, const struct schema_node *node,
                        const struct calculation_written *w)
{
    struct err err = { 0 };
    const struct node_pair *pair = node_find(node, "target");
    if (w->measure == POLICYTEST_CLASSES || w->target > 0)
        return 0;
    return schema_note(
        ctx,
        schema_fail(ctx, pair ? pair->value : node, &err,
                    pair ? "target: is no target; give one above 0" : "needs a target above 0"),
        &err);
}

static int read_calculation_expect(struct schema_context *ctx, const struct schema_node *node,
                                   struct policytest_calculation *c)
{
    struct err err = { 0 };
    int rc = 0;
    if (node->kind != NODE_MAP)
        rc = schema_fail(ctx, node, &err, "expect: is %s here; write a map", node_kind_name(node));
    else if (node->count == 0)
        rc = schema_fail(ctx, node, &err, "expect: expects nothing; say what is to come out");
    if (rc < 0)
        return schema_note(ctx, rc, &err);
    return schema_read_named(ctx, "expect", &expect_section, node, c);
}

int policytest_read_calculation(struct schema_context *ctx, const struct schema_node *node,
                                struct policytest_calculation *ret)
{
    struct calculation_written w = { 0 };
    struct err err = { 0 };
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err, "is %s here; write {measure: plain, ...}",
                                       node_kind_name(node)),
                           &err);
    int rc = schema_read(ctx, &calculation_section, node, &w);
    if (rc == 0)
        rc = check_target(ctx, node, &w);
    if (rc < 0)
        return rc;
    *ret = (struct policytest_calculation){
        .measure = (enum policytest_measure)w.measure,
        .conf = { .tolerance_up = w.tolerance_up,
                  .tolerance_down = w.tolerance_down,
                  .cpu = w.cpu,
                  .init_us = w.init_us,
                  .readiness_delay_us = w.readiness_us },
        .current = (int32_t)CLAMP(w.current, 0, INT32_MAX),
        .ready = (int32_t)CLAMP(w.ready, 0, INT32_MAX),
        .target = w.target,
        .value = w.value,
        .replicas = -1,
        .utilisation = -1,
        .average = -1,
        .ready_count = -1,
    };
    rc = read_calculation_expect(ctx, w.expect, ret);
    return rc < 0 ? rc : read_pods(ctx, w.pods, ret);
}

/* ---- what comes out ---- */

static int calculate(const struct policytest_calculation *c, const struct hpa_sum *sum,
                     struct hpa_result *ret)
{
    switch (c->measure) {
    case POLICYTEST_UTILISATION:
        return hpa_utilisation(sum, c->current, (double)c->target, &c->conf, ret);
    case POLICYTEST_PLAIN:
        return hpa_plain(sum, c->current, c->target, &c->conf, ret);
    case POLICYTEST_WHOLE:
        hpa_value((double)c->value, (double)c->target, c->current, c->ready, &c->conf, ret);
        return 0;
    case POLICYTEST_TOTAL:
        hpa_total((double)c->value, (double)c->target, c->current, &c->conf, ret);
        return 0;
    default:
        return 0;
    }
}

static bool differs(struct policytest_result *ret, const char *what, const char *expected,
                    const char *got)
{
    struct str s;
    str_init(&s, ret->expected, sizeof(ret->expected));
    str_putf(&s, "%s %s", what, expected);
    str_init(&s, ret->got, sizeof(ret->got));
    str_putf(&s, "%s %s", what, got);
    return true;
}

static bool number_differs(struct policytest_result *ret, const char *what, int64_t expected,
                           int64_t got)
{
    char text[2][32];
    if (expected < 0 || expected == got)
        return false;
    for (int i = 0; i < 2; i++) {
        struct str s;
        str_init(&s, text[i], sizeof(text[i]));
        str_putf(&s, "%lld", (long long)(i == 0 ? expected : got));
    }
    return differs(ret, what, text[0], text[1]);
}

static bool is_listed(const struct schema_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static bool classes_differ(const struct policytest_calculation *c, struct policytest_result *ret)
{
    int64_t ready = 0;
    for (uint32_t i = 0; i < c->pod_count; i++) {
        enum hpa_class class = hpa_classify(&c->pods[i].pod, &c->conf), expected = HPA_READY;
        for (int k = HPA_UNREADY; k <= HPA_IGNORED; k++)
            if (is_listed(&c->classes[k], c->pods[i].name))
                expected = (enum hpa_class)k;
        ready += class == HPA_READY;
        if (class != expected)
            return differs(ret, c->pods[i].name, class_names[expected], class_names[class]);
    }
    return number_differs(ret, "ready", c->ready_count, ready);
}

static bool result_differs(const struct policytest_calculation *c, struct policytest_result *ret)
{
    struct hpa_sum sum = { 0 };
    struct hpa_result got = { 0 };
    for (uint32_t i = 0; i < c->pod_count; i++)
        hpa_sum_pod(&sum, &c->pods[i].pod, &c->conf);
    int rc = calculate(c, &sum, &got);
    const char *error = rc == -EINVAL ? "no-request" : rc < 0 ? "no-data" : "none";
    const char *expected = c->error ? c->error : "none";
    if (strcmp(error, expected) != 0)
        return differs(ret, "error", expected, error);
    if (rc < 0)
        return false;
    return number_differs(ret, "replicas", c->replicas, got.replicas) ||
           number_differs(ret, "utilisation", c->utilisation, got.utilisation) ||
           number_differs(ret, "average", c->average, got.average);
}

void policytest_calculate(const struct policytest_calculation *c, struct policytest_result *ret)
{
    ret->passed =
        c->measure == POLICYTEST_CLASSES ? !classes_differ(c, ret) : !result_differs(c, ret);
    ret->expectations = ret->passed;
}
