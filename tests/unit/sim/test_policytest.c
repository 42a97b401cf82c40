/* Tests of policies' tests: that what a timeline says reaches the core, that what is expected is
 * compared, and that what goes wrong is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "sim/policytest/policytest.h"
#include "sys/mem.h"

#define HEAD                                                                            \
    "scale: {min: 1, max: 9, window: 0s, rules: [target: {metric: concurrency, value: " \
    "10}], behavior: {down: {stabilize: 0s}}}\n"
#define TEST HEAD "tests:\n  - name: a\n"

struct file_case {
    const char *text;
    const char *expected, *got; /* NULL = it passes */
};

static const struct file_case cases[] = {
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, expect: 4}]\n", NULL, NULL },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, expect: 5}]\n", "desired 5",
      "desired 4" },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, expect: {at-least: 5}}]\n",
      "desired at least 5", "desired 4" },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, expect: {at-most: 3}}]\n",
      "desired at most 3", "desired 4" },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, expect: {rules: [5]}}]\n",
      "rule \"target concurrency 10\" needs 5", "rule \"target concurrency 10\" needs 4" },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: ~}, expect: {rules: [none]}}]\n", NULL,
      NULL },
    { TEST "    start: {instances: 3}\n    timeline: [{at: 0s, expect: {ready: 2}}]\n", "ready 2",
      "ready 3" },
    /* A start takes what boot says, a drain what drain says. */
    { TEST "    boot: 5s\n    timeline: [{at: 0s, metrics: {concurrency: 25}}, "
           "{at: 4s, expect: {ready: 1, starting: 2}}, {at: 5s, expect: {ready: 3}}]\n",
      NULL, NULL },
    { TEST "    drain: 5s\n    start: {instances: 2}\n    timeline: [{at: 0s, metrics: "
           "{concurrency: 1}}, {at: 4s, expect: {desired: 1, draining: 1}}, {at: 6s, expect: "
           "{draining: 0}}]\n",
      NULL, NULL },
    { TEST "    boot: never\n    timeline: [{at: 0s, metrics: {concurrency: 25}}, {at: 20s, "
           "expect: {starting: 2}, ready: 2}, {at: 20s, expect: {ready: 2, starting: 1}}]\n",
      "starting 2", "starting 1" },
    { TEST "    boot: 9s\n    start: {instances: [1h, {age: 1m, state: starting}]}\n    timeline: "
           "[{at: 0s, metrics: {concurrency: 12}, expect: {ready: 1, starting: 1}}, {at: 1s, "
           "ready: all, expect: {ready: 2}}]\n",
      NULL, NULL },
    /* A value that is held for a while is unknown afterwards, and does not take anything away. */
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 35}, hold: 10s}, {at: 30s, expect: "
           "{desired: 4, reason: [unknown]}}]\n",
      NULL, NULL },
    /* Single instances: a total is their sum. */
    { TEST
      "    start: {instances: 2}\n    timeline: [{at: 0s, instances: {1: {concurrency: 20}, 2: "
      "{concurrency: 25}}, expect: 5}]\n",
      NULL, NULL },
    { TEST "    timeline: [{at: 0s, metrics: {concurrency: 5}, operator: {scale: 6}, expect: 6}, "
           "{at: 9s, operator: auto}, {at: 10s, expect: 1}]\n",
      NULL, NULL },
    { TEST "    boot: 5s\n    start: {instances: 3}\n    timeline: [{at: 0s, metrics: "
           "{concurrency: 30}, exits: 2, "
           "expect: {desired: 3, ready: 2}}]\n",
      NULL, NULL },
    { TEST
      "    start: {instances: 3}\n    timeline: [{at: 0s, metrics: {concurrency: 30}, fails: 2, "
      "expect: {desired: 3, ready: 2}}, {at: 5s, recovers: 2, expect: {ready: 3}}]\n",
      NULL, NULL },
    { TEST
      "    scale: {max: 9, rules: [target: {metric: rps, value: 0}]}\n    refused: cannot be a "
      "target\n",
      NULL, NULL },
    { TEST "    scale: {max: 9}\n    refused: anything\n", "refused: anything",
      "the policy was taken" },
    /* The clock: a window opens at nine, and the clock is set into it. */
    { "scale: {min: 1, max: 9, rules: [schedule: {cron: \"0 9 * * *\", for: 1h, min: 3}]}\n"
      "tests:\n  - name: a\n    start: {time: \"2026-03-04 08:59\"}\n    timeline: [{at: 59s, "
      "expect: 1}, {at: 1m, expect: 3}]\n",
      NULL, NULL },
    { "scale: {min: 1, max: 9, rules: [schedule: {cron: \"0 9 * * *\", for: 1h, min: 3}]}\n"
      "tests:\n  - name: a\n    start: {time: \"2026-03-04 04:00\"}\n    timeline: [{at: 1s, "
      "expect: "
      "1}, {at: 2s, clock: \"2026-03-04 09:30\", expect: 3}]\n",
      NULL, NULL },
};

/* What holds for the whole file holds for a test that brings a policy of its own. */
static const struct file_case shared_cases[] = {
    { "worker: true\nsources: {jobs: }\ntests:\n  - {name: a, scale: {min: 0, max: 9, rules: "
      "[queue: "
      "{metric: jobs, length: 5}]}, timeline: [{at: 0s, metrics: {jobs: 12}, expect: 3}]}\n",
      NULL, NULL },
    { "worker: true\ntests:\n  - {name: a, scale: {max: 9, rules: [target: {metric: concurrency, "
      "value: 5}]}, refused: has no listener}\n",
      NULL, NULL },
    { "worker: true\ntests:\n  - {name: a, worker: false, scale: {max: 9, rules: [target: {metric: "
      "concurrency, value: 5}]}, timeline: [{at: 0s, metrics: {concurrency: 12}, expect: 3}]}\n",
      NULL, NULL },
};

struct mistake_case {
    const char *text; /* of a timeline with two instances */
    const char *at;   /* where it is placed; NULL = there is none */
    const char *mistake;
};

/* What an entry says of an instance that is not there, or in no state for it, is a mistake. */
static const struct mistake_case mistakes[] = {
    { "{at: 0s, exits: 99, expect: 2}", "99,",
      "there is no instance 99 at this moment (there are 1, 2)" },
    { "{at: 0s, start-fails: 99, expect: 2}", "99,",
      "there is no instance 99 at this moment (there are 1, 2)" },
    { "{at: 0s, ready: [1, 99], expect: 2}", "99]",
      "there is no instance 99 at this moment (there are 1, 2)" },
    { "{at: 0s, operator: {drain: 77}, expect: 2}", "77}",
      "there is no instance 77 at this moment (there are 1, 2)" },
    { "{at: 0s, operator: {protect: 3}, expect: 2}", "3}",
      "there is no instance 3 at this moment (there are 1, 2)" },
    { "{at: 0s, instances: {1: {cpu: 20%}, 50: {cpu: 20%}}, expect: 2}",
      "50:", "there is no instance 50 at this moment (there are 1, 2)" },
    { "{at: 0s, metrics: {concurrency: 90}}, {at: 1s, fails: 10, expect: 9}", "10,",
      "there is no instance 10 at this moment (there are 1 to 9)" },
    { "{at: 0s, operator: {scale: 0}}, {at: 1s, exits: 1, expect: 0}", "1, expect: 0",
      "there is no instance 1 at this moment (there are none)" },
    { "{at: 0s, metrics: {concurrency: 5}}, {at: 1s, recovers: 3, expect: 1}", "3, expect",
      "there is no instance 3 at this moment (there is 1)" },
    { "{at: 0s, metrics: {concurrency: 20}, exits: 1}, {at: 1s, exits: 1, expect: 2}",
      "1, expect: 2", "there is no instance 1 at this moment (there are 2, 3)" },
    { "{at: 0s, recovers: 1, start-fails: 1, expect: 2}", "1, expect",
      "instance 1 is ready at this moment: its start cannot fail" },
    { "{at: 0s, metrics: {concurrency: 25}}, {at: 1s, fails: 3, expect: 3}", "3, expect",
      "instance 3 is starting at this moment: it cannot fail" },
    /* It is there by then: the policy has started it. */
    { "{at: 0s, metrics: {concurrency: 25}}, {at: 1s, ready: 3, expect: {ready: 3}}", NULL, "" },
    { "{at: 0s, metrics: {concurrency: 25}}, {at: 1s, instances: {3: {cpu: 5%}}, expect: 3}", NULL,
      "" },
    /* It has happened, so the test may say so again. */
    { "{at: 0s, ready: 1, expect: {ready: 2}}, {at: 1s, recovers: all, expect: {ready: 2}}", NULL,
      "" },
};

static int read_file(struct arena *arena, const char *text, struct policytest_file *ret)
{
    struct err errors[4] = { 0 };
    size_t count = 0;
    int rc = policytest_read(arena, "t.yaml", text, strlen(text), NULL, NULL, ret, errors,
                             ARRAY_LEN(errors), &count);
    if (rc < 0)
        print_message("%s: %s\n", errors[0].place, errors[0].text);
    return rc;
}

static void run_cases(const struct file_case *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        _cleanup_arena_ struct arena arena = { 0 };
        struct policytest_file file;
        struct policytest_result *r = calloc(1, sizeof(*r));
        mem_arena_init(&arena, (size_t)16 << 20);
        assert_int_equal(read_file(&arena, list[i].text, &file), 0);
        assert_int_equal(policytest_run(&file.tests[0], r), 0);
        if (r->passed != !list[i].expected)
            fail_msg("case %zu: expected %s, got %s (%s)", i, r->expected, r->got,
                     r->decision.summary);
        if (list[i].expected) {
            assert_string_equal(r->expected, list[i].expected);
            assert_string_equal(r->got, list[i].got);
            assert_true(r->line >= 3);
        }
        free(r);
    }
}

static void test_cases(void **state)
{
    run_cases(cases, ARRAY_LEN(cases));
}

static void test_shared(void **state)
{
    run_cases(shared_cases, ARRAY_LEN(shared_cases));
}

static void run_mistake(const struct mistake_case *c)
{
    _cleanup_arena_ struct arena arena = { 0 };
    struct policytest_file file;
    struct policytest_result *r = calloc(1, sizeof(*r));
    char text[600];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_putf(&s, "%s    boot: never\n    start: {instances: 2}\n    timeline:\n      [%s]\n", TEST,
             c->text);
    mem_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(read_file(&arena, text, &file), 0);
    assert_int_equal(policytest_run(&file.tests[0], r), 0);
    assert_string_equal(r->mistake, c->mistake);
    assert_int_equal(r->passed, c->at == NULL);
    if (c->at) {
        assert_int_equal(r->line, 7);
        assert_int_equal(r->column,
                         strlen("      [") + (size_t)(strstr(c->text, c->at) - c->text) + 1);
        assert_false(r->decided);
    }
    free(r);
}

static void test_mistakes(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++)
        run_mistake(&mistakes[i]);
}

/* However many there are, what is said of them ends. */
static void test_many_are_there(void **state)
{
    enum { INSTANCES = 300 };
    char text[INSTANCES * 5 + 600];
    struct str s;
    _cleanup_arena_ struct arena arena = { 0 };
    struct policytest_file file;
    struct policytest_result *r = calloc(1, sizeof(*r));
    str_init(&s, text, sizeof(text));
    str_putf(&s,
             "scale: {max: 600}\ntests:\n  - name: a\n    start: {instances: %d}\n    timeline:\n",
             INSTANCES);
    for (int i = 2; i < INSTANCES; i += 2)
        str_putf(&s, "%s%d%s", i % 128 == 2 ? "      - {at: 0s, exits: [" : "", i,
                 i % 128 == 0 || i == INSTANCES - 2 ? "]}\n" : ",");
    str_put(&s, "      - {at: 0s, exits: 9999, expect: 1}\n");
    mem_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(read_file(&arena, text, &file), 0);
    assert_int_equal(policytest_run(&file.tests[0], r), 0);
    assert_non_null(strstr(r->mistake, "(there are 1, 3, 5, 7,"));
    assert_string_equal(r->mistake + strlen(r->mistake) - strlen(", ...)"), ", ...)");
    free(r);
}

/* However many instances have values of their own, each of them counts. */
static void test_many_instances(void **state)
{
    enum { INSTANCES = 300 };
    char text[INSTANCES * 20 + 400];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_putf(&s,
             "scale: {max: 1000, rules: [target: {metric: cpu, value: 50%%, tolerance: 0}]}\n"
             "tests:\n  - {name: a, start: {instances: %d}, timeline: [{at: 0s, instances: {",
             INSTANCES);
    for (int i = 1; i <= INSTANCES; i++)
        str_putf(&s, "%d: {cpu: 100%%}, ", i);
    str_putf(&s, "}, expect: %d}]}\n", 2 * INSTANCES);
    run_cases(&(struct file_case){ text, NULL, NULL }, 1);
}

/* The moves before a failure, and where it is written. */
static void test_failure(void **state)
{
    _cleanup_arena_ struct arena arena = { 0 };
    struct policytest_file file;
    struct policytest_result *r = calloc(1, sizeof(*r));
    mem_arena_init(&arena, (size_t)16 << 20);
    assert_int_equal(read_file(&arena,
                               TEST "    timeline:\n"
                                    "      - {at: 0s, metrics: {concurrency: 35}, expect: 4}\n"
                                    "      - {at: 10s, metrics: {concurrency: 60}}\n"
                                    "      - {at: 20s, expect: 4}\n",
                               &file),
                     0);
    assert_int_equal(policytest_run(&file.tests[0], r), 0);
    assert_false(r->passed);
    assert_int_equal(r->expectations, 1);
    assert_int_equal(r->at_us, 20 * US_PER_S);
    assert_int_equal(r->line, 7);
    assert_int_equal(r->column, 27);
    assert_int_equal(r->trail_count, 2);
    assert_int_equal(r->trail[0].at_us, 0);
    assert_int_equal(r->trail[1].at_us, 10 * US_PER_S);
    assert_int_equal(r->trail[1].before, 4);
    assert_int_equal(r->trail[1].desired, 6);
    assert_true(r->decided && r->decision.desired == 6);
    free(r);
}

/* Whatever is too much for the arena: an error, and nothing else. */
static void test_little_memory(void **state)
{
    const char *text =
        TEST "    start: {instances: 3, before: {concurrency: [1, 2]}}\n    timeline: "
             "[{at: 0s, metrics: {concurrency: 5}, expect: 3}]\n";
    int failures = 0;
    for (size_t cap = 1000;; cap += 500) {
        _cleanup_arena_ struct arena arena = { 0 };
        struct policytest_file file;
        struct err errors[2] = { 0 };
        size_t count = 0;
        mem_arena_init(&arena, cap);
        int rc = policytest_read(&arena, "t.yaml", text, strlen(text), NULL, NULL, &file, errors,
                                 ARRAY_LEN(errors), &count);
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(count, 1);
        failures++;
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_shared),
        cmocka_unit_test(test_many_instances), cmocka_unit_test(test_failure),
        cmocka_unit_test(test_little_memory),  cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_many_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
