/* What all kinds share: names, and the fallback for a metric that stays unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>

#include "base/rng.h"
#include "core/combine.h"
#include "core/project.h"
#include "unit/core/fixture.h"

#define S US_PER_S

static struct fixture f;

static void test_kinds(void **state)
{
    static const char *const names[] = {
        "target", "threshold", "step",       "schedule", "concurrency",
        "queue",  "busyness",  "predictive", "slo",      "ratio",
    };
    for (unsigned k = 0; k < RULE_KIND_MAX; k++) {
        assert_string_equal(rule_kind_name((enum rule_kind)k), names[k]);
        assert_non_null(rule_ops((enum rule_kind)k)->eval);
    }
    assert_string_equal(rule_kind_name(RULE_KIND_MAX), "?");
}

static struct rule_conf falling_back(int64_t after_us, int32_t fallback)
{
    return (struct rule_conf){ .kind = RULE_TARGET,
                               .name = "target",
                               .fallback_after_us = after_us,
                               .fallback = fallback,
                               .target = { .metric = { .metric = METRIC_RPS }, .value = 10 } };
}

/* Unknown causes nothing for a while, then the stated count as a floor; it never scales in. */
static void test_fallback(void **state)
{
    static const struct {
        double value;
        int32_t want;
    } moments[] = {
        { 30, 3 },  { NAN, 3 }, { NAN, 3 }, { NAN, 5 }, { NAN, 5 }, { 45, 5 },
        { NAN, 5 }, { 60, 6 },  { NAN, 6 }, { NAN, 6 }, { NAN, 6 }, /* more than the fallback: stays
                                                                     */
    };
    struct rule_conf r = falling_back(2 * S, 5);
    fixture_init(&f, 3);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct combined c;
        fixture_put(&f, METRIC_RPS, S, moments[i].value);
        struct opinion o = fixture_eval(&f, &r);
        combine(&r, &o, 1, f.ctx.current, &c);
        if (c.want != moments[i].want)
            fail_msg("moment %zu: %d (%s)", i, c.want, o.text);
        assert_int_equal(o.block_in, isnan(moments[i].value));
        fixture_count(&f, c.want);
    }
}

/* Each of KEDA's behaviors, beside 3 that there are. */
static void test_fallback_as(void **state)
{
    static const struct {
        enum rule_fallback as;
        int32_t fallback, out;
    } cases[] = {
        { RULE_FALLBACK_STATIC, 5, 5 },    { RULE_FALLBACK_STATIC, 2, 2 },
        { RULE_FALLBACK_CURRENT, 5, 3 },   { RULE_FALLBACK_CURRENT, 2, 3 },
        { RULE_FALLBACK_IF_HIGHER, 5, 5 }, { RULE_FALLBACK_IF_HIGHER, 2, 3 },
        { RULE_FALLBACK_IF_LOWER, 5, 3 },  { RULE_FALLBACK_IF_LOWER, 2, 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = falling_back(2 * S, cases[i].fallback);
        r.fallback_as = cases[i].as;
        fixture_init(&f, 3);
        assert_int_equal(fixture_eval(&f, &r).out, RULE_ABSTAIN);
        f.ctx.now_us += 2 * S;
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != cases[i].out || o.in != RULE_ABSTAIN || !o.block_in)
            fail_msg("case %zu: %d (%s)", i, o.out, o.text);
    }
}

static void test_fallback_next(void **state)
{
    struct rule_conf r = falling_back(7 * S, 5);
    fixture_init(&f, 3);
    fixture_eval(&f, &r);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), f.ctx.now_us + 7 * S);
    fixture_count(&f, 0); /* nothing runs, nothing to fall back for */
    assert_int_equal(fixture_eval(&f, &r).out, RULE_ABSTAIN);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
    r.fallback_after_us = 0;
    fixture_count(&f, 3);
    fixture_eval(&f, &r);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
}

/* -- what every kind promises: see rule_ops in rule.h -------------------------------------------
 */

static const struct rule_conf one_of_each[] = {
    { .kind = RULE_TARGET,
      .fallback_after_us = S,
      .fallback = 4,
      .target = { .metric = { .metric = METRIC_CONCURRENCY }, .value = 10 } },
    { .kind = RULE_THRESHOLD,
      .threshold = { .metric = { .metric = METRIC_CONCURRENCY },
                     .has_above = true,
                     .has_below = true,
                     .above = 30,
                     .below = 10,
                     .for_us = 2 * S,
                     .add = 1,
                     .remove = 1 } },
    { .kind = RULE_STEP,
      .step = { .metric = { .metric = METRIC_CONCURRENCY },
                .threshold = 20,
                .warmup_us = 3 * S,
                .step_count = 2,
                .steps = { { 0, INFINITY, 1 }, { -INFINITY, 0, -1 } } } },
    { .kind = RULE_SCHEDULE,
      .schedule = { .for_us = US_PER_HOUR, .min = 2, .max = 5, .count = 3 } },
    { .kind = RULE_CONCURRENCY,
      .concurrency = { .metric = METRIC_CONCURRENCY,
                       .value = 10,
                       .utilization = 0.7,
                       .stable_us = 6 * S,
                       .panic_us = 2 * S,
                       .panic_threshold = 2,
                       .up_rate = 10,
                       .down_rate = 2,
                       .delay_us = 4 * S,
                       .grace_us = 2 * S,
                       .activation = 1 } },
    { .kind = RULE_QUEUE,
      .queue = { .metric = { .metric = METRIC_CONCURRENCY }, .value = 10, .cooldown_us = 3 * S } },
    { .kind = RULE_BUSYNESS,
      .busyness = { .slots = 8,
                    .most = 0.5,
                    .least = 0.25,
                    .overload_us = 3 * S,
                    .step = 1,
                    .multiplier = 2,
                    .penalty = 2,
                    .backlog_alert = 33 } },
    { .kind = RULE_RATIO, .ratio = { .service = "web", .per = 2 } },
};

/* Which metrics a kind looks at, to the end of them, and whether headroom comes on top of it. */
static void test_metrics(void **state)
{
    static const struct {
        enum metric metrics[3];
        bool measures;
    } kinds[] = {
        { { METRIC_CONCURRENCY, METRIC_MAX }, true },
        { { METRIC_CONCURRENCY, METRIC_MAX }, false },
        { { METRIC_CONCURRENCY, METRIC_MAX }, false },
        { { METRIC_MAX }, false },
        { { METRIC_CONCURRENCY, METRIC_MAX }, true },
        { { METRIC_CONCURRENCY, METRIC_MAX }, true },
        { { METRIC_CONCURRENCY, METRIC_QUEUE, METRIC_MAX }, false },
        { { METRIC_MAX }, false },
    };
    static_assert(ARRAY_LEN(kinds) == ARRAY_LEN(one_of_each), "one for each");
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        const struct rule_ops *ops = rule_ops(one_of_each[k].kind);
        assert_int_equal(ops->measures, kinds[k].measures);
        for (uint32_t n = 0; n == 0 || kinds[k].metrics[n - 1] != METRIC_MAX; n++) {
            enum metric got = ops->metric ? ops->metric(&one_of_each[k], n) : METRIC_MAX;
            if (got != kinds[k].metrics[n])
                fail_msg("%s looks at %s", ops->name, metric_name(got));
        }
    }
}

/* A load that rises, falls, is unknown for a while and is gone. */
static double load_at(int second)
{
    static const double loads[] = { 15, 40, 90, 200, 30, NAN, NAN, 20, 5, 5, 0, 0, 0, 0, 0x1p63 };
    return loads[second % ARRAY_LEN(loads)];
}

static struct opinion decide(const struct rule_conf *r, int second)
{
    fixture_put(&f, METRIC_CONCURRENCY, S, load_at(second));
    struct opinion o = fixture_eval(&f, r);
    if (o.out > f.ctx.current)
        fixture_count(&f, MIN(o.out, 20));
    else if (o.in != RULE_ABSTAIN)
        fixture_count(&f, MAX(o.in, 1));
    return o;
}

/* Nobody reads: the same but for the text, which stays empty. */
static void test_without_words(void **state)
{
    for (size_t k = 0; k < ARRAY_LEN(one_of_each); k++) {
        const struct rule_conf *r = &one_of_each[k];
        struct opinion said[60];
        fixture_init(&f, 3);
        for (int i = 0; i < 60; i++)
            said[i] = decide(r, i);
        fixture_init(&f, 3);
        f.ctx.words = false;
        for (int i = 0; i < 60; i++) {
            struct opinion o = decide(r, i);
            if (o.text[0] != '\0' || said[i].text[0] == '\0')
                fail_msg("%s, second %d: says \"%s\"", rule_kind_name(r->kind), i, o.text);
            assert_true(fixture_same(&o, &said[i]));
        }
    }
}

static void test_twice_is_once(void **state)
{
    for (size_t k = 0; k < ARRAY_LEN(one_of_each); k++) {
        const struct rule_conf *r = &one_of_each[k];
        fixture_init(&f, 3);
        for (int i = 0; i < 60; i++) {
            fixture_put(&f, METRIC_CONCURRENCY, S, load_at(i));
            struct opinion once = fixture_eval(&f, r);
            struct rule_state kept = f.state;
            int64_t more[FIXTURE_MORE];
            memcpy(more, f.more, sizeof(more));
            struct opinion twice = fixture_eval(&f, r);
            assert_true(fixture_same(&once, &twice));
            assert_string_equal(once.text, twice.text);
            assert_memory_equal(&kept, &f.state, sizeof(kept));
            assert_memory_equal(more, f.more, sizeof(more));
            if (once.out > f.ctx.current)
                fixture_count(&f, MIN(once.out, 20));
            else if (once.in != RULE_ABSTAIN)
                fixture_count(&f, MAX(once.in, 1));
        }
    }
}

/* Words from a file may be anything: no harm, no scale-in for what is unknown, no wild count. */
static void test_nonsense_remembered(void **state)
{
    static const int64_t words[] = { 0, 1, -1, 5, 1000 * S, INT64_MAX, INT64_MIN, 0x7ff8 };
    struct rng rng;
    rng_init(&rng, 1);
    for (int n = 0; n < 4000; n++) {
        const struct rule_conf *r = &one_of_each[n % ARRAY_LEN(one_of_each)];
        fixture_init(&f, 7);
        for (int k = 0; k < RULE_STATE_WORDS; k++)
            f.state.word[k] = words[rng_below(&rng, ARRAY_LEN(words))];
        for (int k = 0; k < 64; k++)
            f.more[k] = words[rng_below(&rng, ARRAY_LEN(words))];
        for (int i = 0; i < 20; i++) {
            double value;
            fixture_put(&f, METRIC_CONCURRENCY, S, load_at(i + 1));
            struct opinion o = fixture_eval(&f, r);
            assert_true(o.known || o.in == RULE_ABSTAIN);
            assert_true(o.in == RULE_ABSTAIN || (o.in >= 0 && o.in <= f.ctx.current));
            assert_true(o.out == RULE_ABSTAIN || o.out >= 0);
            assert_true(rule_next_us(r, &f.state, &f.ctx) > f.ctx.now_us);
            rule_asks_out(r, &o, &f.ctx, 3, &value);
        }
    }
}

/* One second of a service whose instances take `boot` seconds to start, at a constant load. */
static int32_t live(const struct rule_conf *r, double load, int32_t boot, int32_t *starts_left)
{
    struct combined c;
    struct projection p;
    if (f.ctx.starting > 0 && --*starts_left == 0) {
        f.ctx.ready = f.ctx.current;
        f.ctx.starting = 0;
    }
    fixture_put(&f, METRIC_CONCURRENCY, S, load);
    series_put(&f.series[METRIC_QUEUE], f.ctx.now_us, MAX(0, load - 8.0 * f.ctx.ready));
    struct opinion o = fixture_eval(&f, r);
    combine(r, &o, 1, f.ctx.current, &c);
    int32_t want = CLAMP(c.want, 1, 40);
    project_scale_in(r, &o, 1, &f.ctx, want, &p);
    want = p.count;
    if (want > f.ctx.current)
        *starts_left = boot;
    f.ctx.ready = MIN(f.ctx.ready, want);
    f.ctx.starting = want - f.ctx.ready;
    int32_t change = want - f.ctx.current;
    f.ctx.current = want;
    return change;
}

/* Law 6: constant load, no actions, from whatever count and however long a start takes. */
static void test_settles(void **state)
{
    static const double loads[] = { 0, 1, 9, 10, 11, 28, 70, 99, 140, 333 };
    static const int32_t counts[] = { 1, 2, 7, 20, 40 }, boots[] = { 1, 5, 30 };
    for (size_t n = 0; n < ARRAY_LEN(one_of_each) * ARRAY_LEN(loads) * ARRAY_LEN(counts); n++) {
        struct rule_conf r = one_of_each[n % ARRAY_LEN(one_of_each)];
        double load = loads[n / ARRAY_LEN(one_of_each) % ARRAY_LEN(loads)];
        int32_t count = counts[n / ARRAY_LEN(one_of_each) / ARRAY_LEN(loads)];
        int32_t boot = boots[n % ARRAY_LEN(boots)], left = 0;
        fixture_init(&f, count);
        f.ctx.window_in_us = 5 * S;
        f.ctx.words = false;
        for (int i = 0; i < 2000; i++)
            live(&r, load, boot, &left);
        for (int i = 0; i < 300; i++)
            if (live(&r, load, boot, &left) != 0)
                fail_msg("%s at %g from %d, boot %d: still moves, to %d", rule_kind_name(r.kind),
                         load, count, boot, f.ctx.current);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_fallback_as),   cmocka_unit_test(test_fallback_next),
        cmocka_unit_test(test_metrics),       cmocka_unit_test(test_without_words),
        cmocka_unit_test(test_twice_is_once), cmocka_unit_test(test_nonsense_remembered),
        cmocka_unit_test(test_settles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
