/* Tuning's parts: YAML that is changed and written back, the space of what can be tuned, points
 * spread over it, goals; and a search on a small load that is the same for any number of threads.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "config/config.h"
#include "sim/tune/tune.h"
#include "sim/tune/tune_chart.h"
#include "sim/tune/tune_search.h"
#include "sim/tune/tune_slo.h"
#include "sim/tune/tune_space.h"
#include "sim/tune/tune_yaml.h"
#include "sys/mem.h"

static const struct schema_node *parse(struct arena *arena, const char *text)
{
    const struct schema_node *root;
    struct node_place place;
    struct err err;
    assert_int_equal(node_parse(arena, text, strlen(text), &root, &place, &err), 0);
    return root;
}

static const char *write_yaml(const struct schema_node *node, char *buf, size_t cap)
{
    struct str out;
    str_init(&out, buf, cap);
    tune_yaml_write(node, 0, &out);
    assert_false(out.cut);
    return buf;
}

/* -- YAML ---------------------------------------------------------------------------------------
 */

static void test_yaml_comes_back(void **state)
{
    static const char *const texts[] = {
        "a: 1\n",
        "a: {b: 10%, c: 60s}\nd: [x, y]\n",
        "a:\n  - b: {c: 1}\n  - d:\n      e: {f: 1}\n      g: 2\n",
        "a:\n  - [1, 2]\n  -\n    - {b: 1}\n",
        "a: \":8080\"\nb: \"* * * * *\"\nc: \"no\"\nd: \"quote \\\" and \\\\\"\n",
        "a: ~\nb: []\nc: {}\n",
        "a: |\n  two\n  lines\n",
        "base: &x {a: 1, b: 2}\nother:\n  <<: *x\n  b: 3\n",
    };
    for (size_t n = 0; n < ARRAY_LEN(texts); n++) {
        _cleanup_arena_ struct arena arena;
        char once[1024], twice[1024];
        mem_arena_init(&arena, 1 << 20);
        write_yaml(parse(&arena, texts[n]), once, sizeof(once));
        write_yaml(parse(&arena, once), twice, sizeof(twice));
        assert_string_equal(once, twice);
    }
}

static void test_yaml_set(void **state)
{
    static const char text[] = "a:\n  - t: {v: 1, w: 10%}\n  - u: 2\nb: x\n";
    static const struct {
        const char *path, *wanted; /* NULL = it cannot be */
    } cases[] = {
        { "b", "a:\n  - t: {v: 1, w: 10%}\n  - u: 2\nb: NEW\n" },
        { "a.0.t.v", "a:\n  - t: {v: NEW, w: 10%}\n  - u: 2\nb: x\n" },
        { "a.1.u", "a:\n  - t: {v: 1, w: 10%}\n  - u: NEW\nb: x\n" },
        { "a.0.t.new", "a:\n  - t: {v: 1, w: 10%, new: NEW}\n  - u: 2\nb: x\n" },
        { "a.0.t.w.up", "a:\n  - t:\n      v: 1\n      w: {up: NEW}\n  - u: 2\nb: x\n" },
        { "c.d.e", "a:\n  - t: {v: 1, w: 10%}\n  - u: 2\nb: x\nc:\n  d: {e: NEW}\n" },
        { "a.2.u", NULL },
        { "a.x", NULL },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        _cleanup_arena_ struct arena arena;
        char before[512], after[512];
        mem_arena_init(&arena, 1 << 20);
        const struct schema_node *root = parse(&arena, text);
        const struct schema_node *changed = tune_yaml_set(&arena, root, cases[n].path, "NEW");
        assert_int_equal(changed != NULL, cases[n].wanted != NULL);
        assert_string_equal(write_yaml(root, before, sizeof(before)), text); /* is as it was */
        if (!changed)
            continue;
        assert_string_equal(write_yaml(changed, after, sizeof(after)), cases[n].wanted);
        assert_string_equal(tune_yaml_find(changed, cases[n].path)->text, "NEW");
    }
}

/* -- space and search ---------------------------------------------------------------------------
 */

static const char policy[] = "services:\n"
                             "  web:\n"
                             "    listen: [\":80\"]\n"
                             "    scale:\n"
                             "      min: 1\n"
                             "      max: 50\n"
                             "      rules:\n"
                             "        - target: {metric: concurrency, value: 10, tolerance: 20%}\n"
                             "        - schedule: {cron: \"0 9 * * *\", for: 1h, min: 2}\n";

static void test_space(void **state)
{
    _cleanup_arena_ struct arena arena;
    struct tune_space s;
    struct tune_point low = { 0 }, high = { 0 }, given = { 0 };
    char text[64], yaml[2048];
    mem_arena_init(&arena, 1 << 22);
    const struct schema_node *root = parse(&arena, policy);
    assert_int_equal(tune_space_init(&s, root, "shop"), -ENOENT);
    assert_int_equal(tune_space_init(&s, root, "web"), 0);
    assert_true(s.count >= 7);
    assert_string_equal(tune_space_name(&s, 0), "rules.0.target.value");
    for (uint32_t n = 0; n < s.count; n++) {
        struct str out;
        high.at[n] = 1;
        str_init(&out, text, sizeof(text));
        tune_space_format(&s.knobs[n], 0.5, &out);
        assert_true(out.len > 0);
    }
    tune_space_locate(&s, given.at);
    for (uint32_t n = 0; n < s.count; n++)
        assert_true(given.at[n] >= 0 && given.at[n] <= 1);
    write_yaml(tune_space_apply(&s, &arena, low.at), yaml, sizeof(yaml));
    assert_non_null(strstr(yaml, "value: 5"));
    write_yaml(tune_space_apply(&s, &arena, high.at), yaml, sizeof(yaml));
    assert_non_null(strstr(yaml, "value: 15"));
    assert_non_null(strstr(yaml, "schedule: {cron: \"0 9 * * *\", for: 1h, min: 2}"));
    assert_non_null(strstr(yaml, "stabilize: 900s"));
    /* As given: the value is 10 to three digits. */
    struct str out;
    str_init(&out, text, sizeof(text));
    tune_space_format(&s.knobs[0], given.at[0], &out);
    assert_string_equal(text, "10");
}

static void test_nothing_to_tune(void **state)
{
    _cleanup_arena_ struct arena arena;
    struct tune_space s;
    mem_arena_init(&arena, 1 << 20);
    const struct schema_node *root =
        parse(&arena, "services: {web: {scale: {min: 1, max: 3}}, api: {listen: [\":1\"]}}");
    assert_int_equal(tune_space_init(&s, root, "web"), -EINVAL);
    assert_int_equal(tune_space_init(&s, root, "api"), -ENOENT);
}

/* Along each axis one point in each slice. */
static void test_spread(void **state)
{
    struct tune_point points[40];
    struct rng r;
    rng_init(&r, 3);
    tune_search_spread(&r, TUNE_KNOBS_MAX, points, ARRAY_LEN(points));
    for (uint32_t axis = 0; axis < TUNE_KNOBS_MAX; axis++) {
        uint64_t seen = 0;
        for (size_t n = 0; n < ARRAY_LEN(points); n++) {
            double at = points[n].at[axis] * (double)ARRAY_LEN(points);
            assert_true(at >= 0 && at < (double)ARRAY_LEN(points));
            seen |= UINT64_C(1) << (uint32_t)at;
        }
        assert_true(seen == (UINT64_C(1) << ARRAY_LEN(points)) - 1);
    }
    struct tune_point near;
    for (int n = 0; n < 1000; n++) {
        tune_search_near(&r, 5, &points[0], n % 2 ? &points[1] : NULL, 0.5, &near);
        for (uint32_t axis = 0; axis < 5; axis++)
            assert_true(near.at[axis] >= 0 && near.at[axis] <= 1);
    }
}

static void test_goals(void **state)
{
    static const struct {
        const char *text;
        double share, limit_s; /* 0 = refused */
        bool wait;
    } cases[] = {
        { "p99<250ms", 0.01, 0.25, false },
        { "p99.9 < 1s", 0.001, 1, false },
        { " p50 below 2m ", 0.5, 120, false },
        { "wait p95<100ms", 0.05, 0.1, true },
        { "wait-p95<100ms", 0.05, 0.1, true },
        { "wait p95 < 100ms", 0.05, 0.1, true },
        { "latency-p99<250ms", 0.01, 0.25, false },
        { "latency p99<=250ms", 0.01, 0.25, false },
        { "-p99<250ms", 0, 0, false },
        { "p99", 0, 0, false },
        { "p100<1s", 0, 0, false },
        { "p0<1s", 0, 0, false },
        { "p99<250", 0, 0, false },
        { "p99<0s", 0, 0, false },
        { "p99>250ms", 0, 0, false },
        { "", 0, 0, false },
        { "p<1s", 0, 0, false },
        { "p99<1s and more", 0, 0, false },
        { "p1e1<1s", 0, 0, false },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct tune_slo slo;
        struct err err;
        int rc = tune_slo_parse(cases[n].text, &slo, &err);
        assert_int_equal(rc, cases[n].limit_s > 0 ? 0 : -EINVAL);
        if (rc < 0)
            continue;
        assert_true(fabs(slo.share - cases[n].share) < 1e-12 && slo.wait == cases[n].wait);
        assert_true(slo.limit_s == cases[n].limit_s);
    }
}

static void test_goal_of_a_run(void **state)
{
    struct run_options o = { .capacity = 100, .slots = 20 };
    struct tune_slo slo = { .share = 0.01, .limit_s = 0.25 };
    struct err err;
    assert_int_equal(tune_slo_set(&slo, &o, &err), 0);
    assert_true(fabs(o.slo_wait_s - 0.05) < 1e-12 && o.slo_latency_s == 0);
    o.fidelity = RUN_REQUEST;
    assert_int_equal(tune_slo_set(&slo, &o, &err), 0);
    assert_true(o.slo_latency_s == 0.25 && o.slo_wait_s > 1e6);
    slo.wait = true;
    assert_int_equal(tune_slo_set(&slo, &o, &err), 0);
    assert_true(o.slo_wait_s == 0.25 && o.slo_latency_s == 0);
    slo = (struct tune_slo){ .share = 0.01, .limit_s = 0.2 };
    assert_int_equal(tune_slo_set(&slo, &o, &err), -EINVAL);
}

/* -- the whole ----------------------------------------------------------------------------------
 */

/* Refuses what has a value above 14, as a check that knows better might. */
static int read_policy(void *context, struct arena *arena, const char *text, size_t bytes,
                       struct model_conf *ret)
{
    struct config *config;
    struct err errors[4];
    size_t count;
    int rc = config_parse(arena, "candidate", text, bytes, &(struct config_sections){ 0 }, 0,
                          &config, errors, ARRAY_LEN(errors), &count);
    if (rc < 0)
        fail_msg("%s: %s", errors[0].place, errors[0].text);
    *ret = config->model;
    ret->services->start_within_us = US_PER_HOUR;
    return ret->services->rules[0].target.value > 14 ? -EINVAL : 0;
}

#define STEPS 180 /* of 10 s */

static void load_init(struct trace *t, double *rates)
{
    for (int n = 0; n < STEPS; n++)
        rates[n] = 100 + n / 30 % 3 * 70 + n * 37 % 20;
    *t = (struct trace){ .name = "saw", .step_us = 10 * US_PER_S, .count = STEPS, .rates = rates };
}

static struct tune_options small_search(const struct trace *t, uint32_t threads, uint64_t seed)
{
    return (struct tune_options){
        .run = {
            .trace = t,
            .capacity = 15,
            .slots = 15,
            .slo_wait_s = 0.2,
            .seed = 1,
            .fleet = { .boot_us = 10 * US_PER_S },
        },
        .train_share = 0.6,
        .allowed = 0.01,
        .runs = 40,
        .threads = threads,
        .seed = seed,
        .family_count = 1,
        .families = { policy },
        .service = "web",
        .read = read_policy,
    };
}

static void check_front(const struct tune_result *r)
{
    assert_true(r->front_count > 0 && r->count > r->front_count && r->invalid > 0);
    assert_int_equal(r->count + r->invalid, 40);
    for (uint32_t n = 0; n < r->count; n++) {
        const struct tune_candidate *x = &r->candidates[n];
        assert_int_equal(x->front, n < r->front_count);
        assert_int_equal(x->tested, x->front || x->base);
        bool beaten = false;
        for (uint32_t k = 0; k < r->front_count; k++) {
            const struct tune_outcome *f = &r->candidates[k].train;
            beaten |= f->violations <= x->train.violations &&
                      f->instance_hours <= x->train.instance_hours && k != n;
        }
        assert_int_equal(beaten, !x->front);
    }
    for (uint32_t n = 0; r->best >= 0 && n < (uint32_t)r->best; n++)
        assert_true(r->candidates[n].train.violations > 0.01 * (1 - TUNE_RESERVE));
}

static void test_threads_change_nothing(void **state)
{
    double rates[STEPS];
    struct trace t;
    struct tune_result a, b, other;
    struct err err = { 0 };
    load_init(&t, rates);
    struct tune_options one = small_search(&t, 1, 5), four = small_search(&t, 4, 5);
    struct tune_options seeded = small_search(&t, 2, 6);
    assert_int_equal(tune_run(&one, &a, &err), 0);
    assert_int_equal(tune_run(&four, &b, &err), 0);
    assert_int_equal(tune_run(&seeded, &other, &err), 0);
    check_front(&a);
    check_front(&other);
    assert_int_equal(a.count, b.count);
    assert_int_equal(a.best, b.best);
    bool differs = other.count != a.count;
    for (uint32_t n = 0; n < a.count; n++) {
        const struct tune_candidate *x = &a.candidates[n], *y = &b.candidates[n];
        assert_string_equal(x->text, y->text);
        assert_memory_equal(&x->train, &y->train, sizeof(x->train));
        assert_memory_equal(&x->test, &y->test, sizeof(x->test));
        differs |= !differs && strcmp(x->text, other.candidates[n].text) != 0;
    }
    assert_true(differs);
    tune_result_done(&a);
    tune_result_done(&b);
    tune_result_done(&other);
}

/* Training and test are the whole, and training has not seen the test. */
static void test_parts_make_the_whole(void **state)
{
    double rates[STEPS];
    struct trace t;
    struct tune_result a, b;
    struct err err = { 0 };
    load_init(&t, rates);
    struct tune_options o = small_search(&t, 2, 5);
    assert_int_equal(tune_run(&o, &a, &err), 0);
    assert_true(fabs(a.train_s - 1080) < 1 && fabs(a.test_s - 720) < 1);
    const struct tune_outcome *x = &a.candidates[0].train, *y = &a.candidates[0].test;
    assert_true(fabs(x->requests + y->requests - trace_mean(&t) * 1800) < 1e-3 * y->requests);
    for (int n = STEPS * 7 / 10; n < STEPS; n++)
        rates[n] *= 3;
    assert_int_equal(tune_run(&o, &b, &err), 0);
    assert_int_equal(a.count, b.count);
    for (uint32_t n = 0; n < a.count; n++)
        assert_memory_equal(&a.candidates[n].train, &b.candidates[n].train, sizeof(*x));
    assert_true(b.candidates[0].test.instance_hours > 1.3 * y->instance_hours);
    tune_result_done(&a);
    tune_result_done(&b);
}

static void test_chart(void **state)
{
    struct tune_candidate candidates[] = {
        { .front = true, .train = { .violations = 0.5, .instance_hours = 10 } },
        { .front = true, .train = { .violations = 0.004, .instance_hours = 20 } },
        { .front = true, .train = { .violations = 0, .instance_hours = 30 } },
        { .base = true, .train = { .violations = 0.02, .instance_hours = 25 } },
        { .train = { .violations = 1, .instance_hours = 1e9 } },
    };
    struct tune_result r = {
        .count = ARRAY_LEN(candidates), .candidates = candidates, .front_count = 3, .best = 1
    };
    char text[4096];
    struct str out;
    str_init(&out, text, sizeof(text));
    tune_chart_write(&r, 0.01, &out);
    assert_false(out.cut);
    assert_non_null(strstr(text, "1% |------"));
    assert_non_null(strchr(text, '@'));
    assert_non_null(strchr(text, 'B'));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 90);
}

static void test_bad_searches(void **state)
{
    double rates[STEPS];
    struct trace t;
    struct tune_result r;
    struct err err = { 0 };
    load_init(&t, rates);
    struct tune_options o = small_search(&t, 1, 1);
    o.service = "nobody";
    assert_int_equal(tune_run(&o, &r, &err), -EINVAL);
    assert_non_null(strstr(err.text, "nobody"));
    o = small_search(&t, 1, 1);
    o.families[0] = "services: {web: {listen: [\":80\"], scale: {min: 1, max: 2}}}";
    assert_int_equal(tune_run(&o, &r, &err), -EINVAL);
    assert_non_null(strstr(err.text, "target"));
    o = small_search(&t, 1, 1);
    o.train_share = 0.001;
    assert_int_equal(tune_run(&o, &r, &err), -EINVAL);
    o = small_search(&t, 1, 1);
    o.families[0] = "services: [";
    assert_int_equal(tune_run(&o, &r, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml_comes_back),
        cmocka_unit_test(test_yaml_set),
        cmocka_unit_test(test_space),
        cmocka_unit_test(test_nothing_to_tune),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_goals),
        cmocka_unit_test(test_goal_of_a_run),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_parts_make_the_whole),
        cmocka_unit_test(test_chart),
        cmocka_unit_test(test_bad_searches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
