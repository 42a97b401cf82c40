/* KEDA: zero to one and back, fallbacks, and cron windows, said with our own parts: the queue rule
 * (KEDA's min beside an idle count is its `least`), behavior for what an annotation pauses, min and
 * max, the fallback of any rule, the schedule rule's min. What KEDA writes itself is compared; from
 * one to many it leaves to an HPA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/combine.h"
#include "unit/core/fixture.h"
#include "unit/core/vectors.h"

#define POLL_US (30 * US_PER_S)
#define JOBS METRIC_CUSTOM
#define JOBS_EACH 10

static struct fixture f;
static json_t *root;

/* -- zero and one --------------------------------------------------------------------------------
 */

static bool has(const json_t *c, const char *key)
{
    return json_is_integer(json_object_get(c, key));
}

static struct rule_conf queue_rule(const json_t *c)
{
    int32_t least = has(c, "idle") ? (int32_t)vectors_integer(c, "min", 1) : 1;
    int64_t cooldown_us = vectors_integer(c, "cooldown_s", 300) * US_PER_S;
    return (struct rule_conf){ .kind = RULE_QUEUE,
                               .name = "queue",
                               .fallback_after_us = has(c, "fallback_replicas") ? POLL_US : 0,
                               .fallback = (int32_t)vectors_integer(c, "fallback_replicas", 0),
                               .queue = { .metric = { .metric = JOBS },
                                          .value = JOBS_EACH,
                                          .least = least,
                                          .cooldown_us = cooldown_us } };
}

static int32_t decide(const json_t *c, const struct rule_conf *r)
{
    const char *annotation = vectors_text(c, "annotation");
    int32_t current = (int32_t)vectors_integer(c, "current", -1);
    int32_t min = (int32_t)vectors_integer(c, has(c, "idle") ? "idle" : "min", 0);
    struct combined combined;
    struct opinion o = fixture_eval(&f, r);
    combine(r, &o, 1, current, &combined);
    int32_t want = combined.want;
    if (strcmp(annotation, "paused-scale-in") == 0) /* behavior.down.select: disabled */
        want = MAX(want, current);
    if (strcmp(annotation, "paused-scale-out") == 0)
        want = MIN(want, current);
    if (strcmp(annotation, "force-activation") == 0) /* the operator's scale, at least 1 */
        want = MAX(want, 1);
    return CLAMP(want, min, (int32_t)vectors_integer(c, "max", 100));
}

static void test_activation(void **state)
{
    const json_t *cases = json_object_get(root, "activation_cases");
    assert_int_equal(json_array_size(cases), 14);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        struct rule_conf r = queue_rule(c);
        bool error = json_is_true(json_object_get(c, "trigger_error"));
        bool active = json_is_true(json_object_get(c, "triggers_active"));
        fixture_init(&f, (int32_t)vectors_integer(c, "current", -1));
        if (has(c, "seconds_since_last_active")) { /* it was, and then was not */
            f.ctx.window_in_us = 300 * US_PER_S;   /* as KEDA's HPA looks back */
            fixture_put(&f, JOBS, US_PER_S, 1);
            fixture_eval(&f, &r);
            series_set_stale(&f.series[JOBS], US_PER_HOUR);
            f.ctx.now_us += vectors_integer(c, "seconds_since_last_active", 0) * US_PER_S;
        }
        fixture_put(&f, JOBS, 0, error ? NAN : active ? 1 : 0);
        int32_t got = decide(c, &r);
        if (got != vectors_integer(json_object_get(c, "expect"), "replicas", -1))
            fail_msg("%s (%s): %d", vectors_text(c, "id"), vectors_text(c, "name"), got);
        if (has(c, "fallback_replicas")) { /* what KEDA leaves to its HPA comes a poll later */
            f.ctx.now_us += POLL_US;
            assert_int_equal(decide(c, &r), r.fallback);
        }
    }
}

/* -- fallback ------------------------------------------------------------------------------------
 */

static enum rule_fallback fallback_as(const char *behavior)
{
    static const char *const names[] = {
        [RULE_FALLBACK_STATIC] = "static",
        [RULE_FALLBACK_CURRENT] = "currentReplicas",
        [RULE_FALLBACK_IF_HIGHER] = "currentReplicasIfHigher",
        [RULE_FALLBACK_IF_LOWER] = "currentReplicasIfLower",
    };
    size_t n = 0;
    while (n < ARRAY_LEN(names) && strcmp(names[n], behavior) != 0)
        n++;
    assert_true(n < ARRAY_LEN(names));
    return (enum rule_fallback)n;
}

/* A threshold of n failures is `after` n polls from the first of them: the one after the n-th falls
 * back. KEDA makes up a metric of so many replicas' worth; the count is what that comes to. */
static void test_fallback(void **state)
{
    const json_t *cases = json_object_get(root, "fallback_cases");
    assert_int_equal(json_array_size(cases), 10);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        int64_t each = vectors_integer(c, "target_per_replica", -1);
        struct rule_conf r = {
            .kind = RULE_QUEUE,
            .name = "queue",
            .fallback_after_us = vectors_integer(c, "failure_threshold", 0) * POLL_US,
            .fallback = (int32_t)vectors_integer(c, "fallback_replicas", -1),
            .fallback_as = fallback_as(vectors_text(c, "behavior")),
            .queue = { .metric = { .metric = JOBS }, .value = (double)each, .least = 1 },
        };
        struct opinion o = { 0 };
        fixture_init(&f, (int32_t)vectors_integer(c, "current_replicas", 5));
        for (int64_t n = 0; n <= vectors_integer(c, "failures_before", -1); n++) {
            fixture_put(&f, JOBS, POLL_US, NAN);
            o = fixture_eval(&f, &r);
        }
        bool error = json_is_true(json_object_get(expect, "error"));
        int64_t want = error ? RULE_ABSTAIN : vectors_integer(expect, "metric", -1) / each;
        if (o.out != want || o.in != RULE_ABSTAIN || !o.block_in)
            fail_msg("%s: %d (%s)", vectors_text(c, "id"), o.out, o.text);
    }
}

/* -- cron ----------------------------------------------------------------------------------------
 */

#define MONDAY_US (INT64_C(1749427200) * US_PER_S) /* 2025-06-09 00:00 UTC */

static bool on_thursday(int64_t minute)
{
    return minute / 1440 % 7 == 3 && minute % 1440 != 1439;
}

static bool in_even_hours(int64_t minute)
{
    return minute / 60 % 2 == 0;
}

static bool in_first_quarters(int64_t minute)
{
    return minute % 30 < 15;
}

/* Every minute of two weeks: a floor inside, nothing outside. */
static void test_cron_windows(void **state)
{
    static bool (*const is_open[])(int64_t minute) = { on_thursday, in_even_hours,
                                                       in_first_quarters };
    const json_t *cases = json_object_get(root, "cron_windows");
    assert_int_equal(json_array_size(cases), ARRAY_LEN(is_open));
    for (size_t i = 0; i < ARRAY_LEN(is_open); i++) {
        const json_t *c = json_array_get(cases, i);
        int32_t desired = (int32_t)vectors_integer(c, "desired", -1);
        struct rule_conf r = { .kind = RULE_SCHEDULE, .name = "schedule" };
        struct cron end;
        r.schedule = (struct rule_schedule_conf){ .min = desired, .max = -1, .count = -1 };
        fixture_init(&f, 3);
        assert_int_equal(cron_parse(slice_of(vectors_text(c, "start")), &r.schedule.cron, NULL), 0);
        assert_int_equal(cron_parse(slice_of(vectors_text(c, "end")), &end, NULL), 0);
        int64_t opens_us = cron_next(&r.schedule.cron, &f.zones[0], MONDAY_US);
        r.schedule.for_us = cron_next(&end, &f.zones[0], opens_us) - opens_us;
        for (int64_t minute = 0; minute < 14 * 1440; minute++) {
            f.ctx.wall_us = MONDAY_US + minute * US_PER_MIN;
            int32_t want = is_open[i](minute) ? desired : RULE_ABSTAIN;
            struct opinion o = fixture_eval(&f, &r);
            if (o.set_min != want || o.out != RULE_ABSTAIN || o.in != RULE_ABSTAIN)
                fail_msg("%s: minute %lld: %d", vectors_text(c, "id"), (long long)minute,
                         o.set_min);
        }
    }
}

/* What is wrong with the expressions themselves; what is missing beside them is the
 * configuration's to refuse. */
static void test_cron_rejected(void **state)
{
    const json_t *cases = json_object_get(root, "cron_rejected_configs");
    unsigned bad = 0, missing = 0, same = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *start = vectors_text(c, "start"), *end = vectors_text(c, "end");
        struct cron cron;
        if (!*start || !*vectors_text(c, "timezone") || !*vectors_text(c, "desiredReplicas"))
            missing++;
        else if (cron_parse(slice_of(start), &cron, NULL) < 0 ||
                 cron_parse(slice_of(end), &cron, NULL) < 0)
            bad++;
        else
            same += strcmp(start, end) == 0; /* ours has a length instead of an end */
    }
    assert_int_equal(bad, 3);
    assert_int_equal(missing, 3);
    assert_int_equal(same, 1);
}

static void test_nothing_skipped(void **state)
{
    static const struct {
        const char *section;
        size_t cases;
        const char *why; /* NULL = tested above */
    } known[] = {
        { "activation_cases", 14, NULL },
        { "fallback_cases", 10, NULL },
        { "cron_windows", 3, NULL },
        { "cron_rejected_configs", 7, NULL },
        { "formula_cases", 1, "a source's own query adds metrics up" },
    };
    const char *key;
    json_t *value;
    size_t sections = 0;
    json_object_foreach(root, key, value)
    {
        sections += json_is_array(value);
    }
    assert_int_equal(sections, ARRAY_LEN(known));
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        assert_int_equal(json_array_size(json_object_get(root, known[i].section)), known[i].cases);
        if (known[i].why)
            print_message("not applicable: keda %s, %zu cases: %s\n", known[i].section,
                          known[i].cases, known[i].why);
    }
}

static int load(void **state)
{
    root = vectors_load("keda.json");
    return 0;
}

static int unload(void **state)
{
    json_decref(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation),      cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_cron_windows),    cmocka_unit_test(test_cron_rejected),
        cmocka_unit_test(test_nothing_skipped),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
