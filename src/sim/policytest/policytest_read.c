/* Test files: the policies and the list of tests. What a policy may say is config's; what a test
 * says along its timeline is policytest_timeline.c's. */
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "sim/policytest/policytest_int.h"

#define DEFAULT_SERVICE "service"
#define START_WITHIN_US US_PER_DAY /* it is the driver's to say, and there is none */

/* Where policies come from: a configuration's own keys, one service in short, or a file. The file's
 * hold for every test that brings none of its own. */
struct policy_written {
    const char *config, *service;
    bool worker;
    const struct schema_node *scale, *sources, *services, *budgets, *energy;
};

struct world_written {
    int64_t boot_us, drain_us, every_us;
};

struct file_written {
    struct policy_written policy;
    struct world_written world;
    const struct schema_node *tests;
};

struct test_written {
    struct policy_written policy;
    struct world_written world;
    const char *name, *refused;
    const struct schema_node *start, *timeline, *calculate;
};

static const char *const never[] = { "never", NULL };

#define KEEP(name_, where)                                                               \
    {                                                                                    \
        .name = name_, .type = SCHEMA_CUSTOM, .offset = where, .parse = schema_keep_node \
    }
#define POLICY_KEYS(written)                                                                     \
    { .name = "config", .type = SCHEMA_TEXT, .offset = offsetof(written, policy.config) },       \
        { .name = "service", .type = SCHEMA_TEXT, .offset = offsetof(written, policy.service) }, \
        { .name = "worker", .type = SCHEMA_BOOL, .offset = offsetof(written, policy.worker) },   \
        KEEP("scale", offsetof(written, policy.scale)),                                          \
        KEEP("sources", offsetof(written, policy.sources)),                                      \
        KEEP("services", offsetof(written, policy.services)),                                    \
        KEEP("budgets", offsetof(written, policy.budgets)),                                      \
        KEEP("energy", offsetof(written, policy.energy))
#define SPAN(name_, where, min_, words)                                                     \
    {                                                                                       \
        .name = name_, .type = SCHEMA_DURATION, .offset = where, .min = min_, .max = 86400, \
        .names = words                                                                      \
    }
#define WORLD_KEYS(written)                                        \
    SPAN("boot", offsetof(written, world.boot_us), 0, never),      \
        SPAN("drain", offsetof(written, world.drain_us), 0, NULL), \
        SPAN("every", offsetof(written, world.every_us), 0.1, NULL)

static const struct schema_key file_keys[] = {
    POLICY_KEYS(struct file_written),
    WORLD_KEYS(struct file_written),
    { .name = "tests",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct file_written, tests),
      .parse = schema_keep_node,
      .required = true,
      .help = "give a list of tests" },
    { 0 },
};
static const struct schema_section file_section = { .name = "", .keys = file_keys };

static const struct schema_key test_keys[] = {
    { .name = "name",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct test_written, name),
      .required = true,
      .help = "say what is to happen" },
    POLICY_KEYS(struct test_written),
    WORLD_KEYS(struct test_written),
    KEEP("start", offsetof(struct test_written, start)),
    KEEP("timeline", offsetof(struct test_written, timeline)),
    { .name = "refused", .type = SCHEMA_TEXT, .offset = offsetof(struct test_written, refused) },
    KEEP("calculate", offsetof(struct test_written, calculate)),
    { 0 },
};
static const struct schema_section test_section = { .name = "", .keys = test_keys };

struct reader {
    struct policytest_file *file;
    policytest_loader load;
    void *load_ctx;
    const struct config *config;  /* the file's own; NULL = it has none */
    struct policy_written shared; /* what holds for tests that bring a `scale` of their own */
    const char *service;
};

/* ---- policies ---- */

static bool is_policy(const struct policy_written *w)
{
    return w->config || w->scale || w->services;
}

static struct schema_node *new_map(struct arena *arena, const struct schema_node *at)
{
    struct schema_node *map = ARENA_NEW(arena, struct schema_node);
    struct node_pair *pairs = ARENA_ARRAY(arena, struct node_pair, 8);
    if (!map || !pairs)
        return NULL;
    *map = (struct schema_node){
        .kind = NODE_MAP, .line = at->line, .column = at->column, .pairs = pairs
    };
    return map;
}

static struct schema_node *new_text(struct arena *arena, const struct schema_node *at,
                                    const char *text)
{
    struct schema_node *n = ARENA_NEW(arena, struct schema_node);
    if (n)
        *n = (struct schema_node){ .kind = NODE_SCALAR,
                                   .line = at->line,
                                   .column = at->column,
                                   .quoted = true,
                                   .text = text };
    return n;
}

static int add(struct arena *arena, struct schema_node *map, const char *key,
               const struct schema_node *value)
{
    if (!value)
        return 0;
    const struct schema_node *name = new_text(arena, value, key);
    if (!name)
        return -ENOMEM;
    map->pairs[map->count++] = (struct node_pair){ .key = name, .value = value };
    return 0;
}

/* `scale` and `sources` in short are a configuration of one service. */
static int wrap(struct arena *arena, const struct policy_written *w, const char *name,
                const struct schema_node **ret)
{
    const struct schema_node *at = w->scale;
    struct schema_node *services = new_map(arena, at), *service = new_map(arena, at);
    const struct schema_node *listen = w->worker ? NULL : new_text(arena, at, ":80");
    if (!services || !service || (!w->worker && !listen) ||
        add(arena, service, "listen", listen) < 0 ||
        add(arena, service, "sources", w->sources) < 0 ||
        add(arena, service, "scale", w->scale) < 0 || add(arena, services, name, service) < 0)
        return -ENOMEM;
    *ret = services;
    return 0;
}

static int read_own(struct schema_context *ctx, const struct schema_node *at,
                    const struct policy_written *w, const struct config **ret)
{
    struct config *config = ARENA_NEW(ctx->arena, struct config);
    struct schema_node *root = new_map(ctx->arena, at);
    const struct schema_node *services = w->services;
    int rc = !config || !root ? -ENOMEM : 0;
    if (rc == 0 && w->scale)
        rc = wrap(ctx->arena, w, w->service ? w->service : DEFAULT_SERVICE, &services);
    if (rc < 0 || add(ctx->arena, root, "services", services) < 0 ||
        add(ctx->arena, root, "budgets", w->budgets) < 0 ||
        add(ctx->arena, root, "energy", w->energy) < 0)
        return schema_note(ctx, -ENOMEM, NULL);
    config->arena = ctx->arena;
    config->path = ctx->path;
    config->now_wall_us = ctx->now_wall_us;
    rc = config_read_policies(ctx, root, config);
    for (uint32_t i = 0; rc == 0 && i < config->service_count; i++)
        config->model.services[i].start_within_us = START_WITHIN_US;
    if (rc == 0)
        *ret = config;
    return rc;
}

/* Nothing is wrong in that file, it is not there: the place is where it is named. Returns `rc`. */
static int cannot_load(struct schema_context *ctx, const struct schema_node *node, int rc,
                       const struct err *why)
{
    struct err err = { 0 };
    size_t entered = schema_enter(ctx, "config");
    schema_fail(ctx, node, &err, "%s: %s", why->place, why->text);
    schema_leave(ctx, entered);
    return schema_note(ctx, rc, &err);
}

static int load_other(struct reader *r, struct schema_context *ctx, const struct schema_node *at,
                      const char *path, const struct config **ret)
{
    struct err err = { 0 };
    struct config *config;
    const struct node_pair *pair = node_find(at, "config");
    size_t room = ctx->errors_cap - ctx->error_count, count = 0;
    if (!r->load)
        return schema_note(ctx,
                           schema_fail(ctx, pair ? pair->value : at, &err,
                                       "config: no other file can be read here"),
                           &err);
    if (room == 0)
        return -EINVAL; /* there is enough to be said already */
    struct err *errors = ctx->errors + ctx->error_count;
    int rc = r->load(r->load_ctx, ctx->arena, ctx->path, path, &config, errors, room, &count);
    if (rc == -ENOMEM)
        return schema_note(ctx, rc, NULL);
    if (rc < 0 && rc != -EINVAL && count > 0)
        return cannot_load(ctx, pair ? pair->value : at, rc, &errors[0]);
    ctx->error_count += MIN(count, room);
    if (rc == 0)
        *ret = config;
    return rc;
}

/* What goes with a `scale` and has none. A whole file may say it for the `scale` of its tests. */
static const struct node_pair *find_stray(const struct schema_node *at,
                                          const struct policy_written *w, bool whole_file)
{
    if (w->scale || (whole_file && !is_policy(w)))
        return NULL;
    const struct node_pair *sources = node_find(at, "sources");
    return sources ? sources : node_find(at, "worker");
}

/* What goes with a configuration's own sections; nothing would come of it elsewhere. */
static const struct node_pair *find_stray_section(const struct schema_node *at,
                                                  const struct policy_written *w)
{
    if (w->scale || w->services)
        return NULL;
    const struct node_pair *budgets = node_find(at, "budgets");
    return budgets ? budgets : node_find(at, "energy");
}

static int check_one(struct schema_context *ctx, const struct schema_node *at,
                     const struct policy_written *w, bool whole_file)
{
    struct err err = { 0 };
    int given = (w->config != NULL) + (w->scale != NULL) + (w->services != NULL);
    const struct node_pair *stray = find_stray(at, w, whole_file);
    const struct node_pair *section = find_stray_section(at, w);
    if (given > 1)
        return schema_note(
            ctx,
            schema_fail(ctx, at, &err,
                        "\"config\", \"scale\" and \"services\" each bring a policy; "
                        "give one of them"),
            &err);
    if (stray)
        return schema_note(ctx,
                           schema_fail(ctx, stray->key, &err,
                                       "\"sources\" and \"worker\" go with \"scale\"; give it too"),
                           &err);
    if (section)
        return schema_note(
            ctx,
            schema_fail(ctx, section->key, &err,
                        "\"budgets\" and \"energy\" go with \"services\" or \"scale\"; "
                        "give one of them too"),
            &err);
    return 0;
}

/* The policies that stand at `at`, or NULL when none do. */
static int read_policy(struct reader *r, struct schema_context *ctx, const struct schema_node *at,
                       const struct policy_written *w, bool whole_file, const struct config **ret)
{
    *ret = NULL;
    int rc = check_one(ctx, at, w, whole_file);
    if (rc < 0 || !is_policy(w))
        return rc;
    return w->config ? load_other(r, ctx, at, w->config, ret) : read_own(ctx, at, w, ret);
}

int policytest_find_service(struct schema_context *ctx, const struct config *config,
                            const struct schema_node *node, uint32_t *ret, struct err *err)
{
    const char *names[MODEL_SERVICES_MAX + 1] = { 0 };
    const char *name = node->kind == NODE_SCALAR ? node->text : "";
    for (uint32_t i = 0; i < config->service_count; i++) {
        names[i] = config->services[i].name;
        if (strcmp(names[i], name) == 0) {
            *ret = i;
            return 0;
        }
    }
    const char *near = schema_nearest(names, name);
    return schema_fail(ctx, node, err, "there is no service \"%.60s\"%s%s%s", name,
                       near ? "; did you mean \"" : " in this configuration", near ? near : "",
                       near ? "\"?" : "");
}

/* ---- tests ---- */

static const struct world_written world_default = { .boot_us = 0,
                                                    .drain_us = 0,
                                                    .every_us = US_PER_S };

/* Is the policy refused, and how? Its errors are what was asked for, and none of the file's. */
static int read_refusal(struct reader *r, struct schema_context *ctx,
                        const struct schema_node *node, const struct test_written *w,
                        struct policytest *t)
{
    struct err errors[1], err = { 0 };
    struct schema_context own;
    const struct config *config;
    schema_init(&own, ctx->arena, ctx->path, ctx->now_wall_us, errors, ARRAY_LEN(errors));
    int rc = read_policy(r, &own, node, &w->policy, false, &config);
    if (rc == -ENOMEM || own.out_of_memory)
        return -ENOMEM;
    if (rc < 0 && rc != -EINVAL) /* there is no such policy, so nobody has refused it */
        return schema_note(ctx, -EINVAL, &errors[0]);
    if (rc == 0 && !config)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "brings no policy that could be refused; give \"scale\", "
                                       "\"services\" or \"config\" here"),
                           &err);
    t->kind = POLICYTEST_REFUSED;
    t->refused = w->refused;
    if (rc == 0 || own.error_count == 0)
        return 0;
    t->refusal = arena_strdup(ctx->arena, errors[0].text);
    return t->refusal ? 0 : -ENOMEM;
}

static int find_default(struct schema_context *ctx, const struct schema_node *node,
                        const char *name, const struct config *config, uint32_t *ret)
{
    struct err err = { 0 };
    const struct node_pair *pair = node_find(node, "service");
    *ret = 0;
    if (!name)
        return 0;
    const struct schema_node at = { .kind = NODE_SCALAR,
                                    .text = name,
                                    .line = pair ? pair->value->line : node->line,
                                    .column = pair ? pair->value->column : node->column };
    return schema_note(ctx, policytest_find_service(ctx, config, &at, ret, &err), &err);
}

static int read_decisions(struct reader *r, struct schema_context *ctx,
                          const struct schema_node *node, const struct test_written *w,
                          struct policytest *t)
{
    struct err err = { 0 };
    uint32_t service = 0;
    int rc = read_policy(r, ctx, node, &w->policy, false, &t->config);
    if (rc < 0)
        return rc;
    const char *name = w->policy.service ? w->policy.service : t->config ? NULL : r->service;
    if (!t->config)
        t->config = r->config;
    if (!t->config)
        return schema_note(
            ctx,
            schema_fail(ctx, node, &err,
                        "there is no policy to test; give \"scale\", \"services\" or "
                        "\"config\", here or for the whole file"),
            &err);
    if (!w->timeline)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err,
                                       "tests nothing; give a \"timeline\", \"refused\" or "
                                       "\"calculate\""),
                           &err);
    rc = find_default(ctx, node, name, t->config, &service);
    if (rc == 0)
        rc = policytest_read_start(ctx, w->start, service, t);
    if (rc == 0)
        rc = policytest_read_timeline(ctx, w->timeline, service, t);
    return rc;
}

/* Names tell tests apart in every report, and an empty text is part of every reason. */
static int check_texts(struct schema_context *ctx, const struct schema_node *node,
                       const struct policytest_file *file, const struct policytest *t)
{
    struct err err = { 0 };
    int rc = 0;
    const struct node_pair *refused = node_find(node, "refused");
    const struct schema_node *name = node_find(node, "name")->value;
    if (t->name[0] == '\0')
        rc = schema_fail(ctx, name, &err, "the name is empty; say what is to happen");
    for (const struct policytest *before = file->tests; before < t && rc == 0; before++)
        if (before->name && strcmp(before->name, t->name) == 0)
            rc = schema_fail(ctx, name, &err, "another test has this name, on line %u",
                             before->line);
    if (rc == 0 && refused && refused->value->text[0] == '\0')
        rc = schema_fail(ctx, refused->value, &err,
                         "an empty text is part of every reason; say more");
    return schema_note(ctx, rc, &err);
}

static int check_kind(struct schema_context *ctx, const struct schema_node *node,
                      const struct test_written *w)
{
    struct err err = { 0 };
    int rc = 0;
    if ((w->refused != NULL) + (w->calculate != NULL) + (w->timeline != NULL) > 1)
        rc = schema_fail(
            ctx, node, &err,
            "\"timeline\", \"refused\" and \"calculate\" are three kinds of tests; give "
            "one of them");
    else if (w->start && (w->refused || w->calculate))
        rc = schema_fail(ctx, node_find(node, "start")->key, &err,
                         "\"start\" goes with \"timeline\"; remove it");
    return schema_note(ctx, rc, &err);
}

static int read_test(struct reader *r, struct schema_context *ctx, const struct schema_node *node,
                     const struct world_written *world, struct policytest *t)
{
    struct err err = { 0 };
    struct test_written w = { .policy = r->shared, .world = *world };
    if (node->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, node, &err, "a test is a map {name, timeline}, not %s",
                                       node_kind_name(node)),
                           &err);
    int rc = schema_read(ctx, &test_section, node, &w);
    if (rc == 0)
        rc = check_kind(ctx, node, &w);
    if (rc < 0)
        return rc;
    t->name = w.name;
    t->line = node->line;
    t->column = node->column;
    rc = check_texts(ctx, node, r->file, t);
    if (rc < 0)
        return rc;
    t->boot_us = w.world.boot_us;
    t->drain_us = w.world.drain_us;
    t->every_us = w.world.every_us;
    t->wall_us = POLICYTEST_WALL_US;
    if (w.refused)
        return read_refusal(r, ctx, node, &w, t);
    if (!w.calculate)
        return read_decisions(r, ctx, node, &w, t);
    t->kind = POLICYTEST_CALCULATE;
    size_t entered = schema_enter(ctx, "calculate");
    rc = policytest_read_calculation(ctx, w.calculate, &t->calculation);
    schema_leave(ctx, entered);
    return rc;
}

static int read_tests(struct reader *r, struct schema_context *ctx, const struct schema_node *node,
                      const struct world_written *world)
{
    struct err err = { 0 };
    int rc = 0;
    if (node->kind != NODE_LIST || node->count == 0 || node->count > POLICYTEST_TESTS_MAX)
        return schema_note(
            ctx, schema_fail(ctx, node, &err, "is a list of 1 to %d tests", POLICYTEST_TESTS_MAX),
            &err);
    r->file->tests = ARENA_ARRAY(ctx->arena, struct policytest, node->count);
    if (!r->file->tests)
        return schema_note(ctx, -ENOMEM, NULL);
    for (uint32_t i = 0; i < node->count && rc != -ENOMEM; i++) {
        char index[16];
        struct str s;
        str_init(&s, index, sizeof(index));
        str_putf(&s, "[%u]", i);
        size_t entered = schema_enter(ctx, index);
        int read = read_test(r, ctx, node->items[i], world, &r->file->tests[i]);
        schema_leave(ctx, entered);
        rc = read < 0 ? read : rc;
    }
    r->file->test_count = node->count;
    return rc;
}

static int read_file(struct schema_context *ctx, const struct schema_node *root, void *to)
{
    struct reader *r = to;
    struct file_written w = { .world = world_default };
    struct err err = { 0 };
    uint32_t service;
    if (root->kind != NODE_MAP)
        return schema_note(ctx,
                           schema_fail(ctx, root, &err, "a test file is a map of keys, not %s",
                                       node_kind_name(root)),
                           &err);
    int rc = schema_read(ctx, &file_section, root, &w);
    if (rc == 0)
        rc = read_policy(r, ctx, root, &w.policy, true, &r->config);
    if (rc == 0 && r->config)
        rc = find_default(ctx, root, w.policy.service, r->config, &service);
    r->service = w.policy.service;
    r->shared = (struct policy_written){ .worker = w.policy.worker, .sources = w.policy.sources };
    if (rc < 0)
        return rc;
    size_t entered = schema_enter(ctx, "tests");
    rc = read_tests(r, ctx, w.tests, &w.world);
    schema_leave(ctx, entered);
    return rc;
}

int policytest_read(struct arena *arena, const char *path, const char *text, size_t bytes,
                    policytest_loader load, void *load_ctx, struct policytest_file *ret,
                    struct err *errors, size_t errors_cap, size_t *ret_error_count)
{
    struct policytest_file file = { .path = path };
    struct reader r = { .file = &file, .load = load, .load_ctx = load_ctx };
    struct schema_context ctx;
    schema_init(&ctx, arena, path, POLICYTEST_WALL_US, errors, errors_cap);
    int rc = schema_read_text(&ctx, text, bytes, read_file, &r, ret_error_count);
    if (rc == 0)
        *ret = file;
    return rc;
}
