/* The words of a decision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/explain.h"

static void test_steps(void **state)
{
    struct decision d = { .before = 3 };
    explain_begin(&d, 3);
    explain_step(&d, LIMIT_RULES, 9, "57 in flight, target %d", 7);
    explain_step(&d, LIMIT_STABILIZE, 9, "never seen");
    explain_step(&d, LIMIT_MAX, 5, "at most %d", 5);
    explain_end(&d);
    assert_int_equal(d.desired, 5);
    assert_int_equal(d.step_count, 2);
    assert_int_equal(d.steps[0].from, 3);
    assert_int_equal(d.steps[1].from, 9);
    assert_string_equal(d.steps[0].text, "57 in flight, target 7");
    assert_string_equal(d.summary, "3 -> 5: 57 in flight, target 7; at most 5");
}

/* Nobody is told what the rules wanted as the reason for what an operator has done. */
static void test_operator_alone(void **state)
{
    struct decision d = { .before = 2 };
    explain_begin(&d, 2);
    explain_step(&d, LIMIT_RULES, 1, "scale in to 1: all agree");
    explain_step(&d, LIMIT_OPERATOR, 4, "the operator set 4");
    explain_end(&d);
    assert_string_equal(d.summary, "2 -> 4: the operator set 4");
    assert_int_equal(d.step_count, 2);
}

static void test_more_steps_than_fit(void **state)
{
    struct decision d = { .before = 0 };
    explain_begin(&d, 0);
    for (int n = 1; n <= DECISION_STEPS_MAX + 3; n++)
        explain_step(&d, LIMIT_RULES, n, "%d", n);
    explain_end(&d);
    assert_int_equal(d.step_count, DECISION_STEPS_MAX);
    assert_int_equal(d.desired, DECISION_STEPS_MAX + 3);
}

static void test_who_speaks(void **state)
{
    struct decision d = { .before = 2, .opinion_count = 3 };
    strcpy(d.opinions[0].opinion.text, "nothing");
    d.opinions[1].opinion.known = true;
    strcpy(d.opinions[1].opinion.text, "cpu 40%");
    strcpy(d.opinions[2].opinion.text, "rps is unknown");
    explain_begin(&d, 2);
    explain_end(&d);
    assert_string_equal(d.summary, "2 as before: cpu 40%");
    uint64_t before = explain_signature(&d);
    d.opinions[2].opinion.block_in = true;
    explain_end(&d);
    assert_string_equal(d.summary, "2 as before: rps is unknown");
    assert_int_not_equal(before, explain_signature(&d));
    d.advise = true;
    explain_end(&d);
    assert_string_equal(d.summary, "2 as before (advice only): rps is unknown");
}

static void test_signature_is_the_reason_without_numbers(void **state)
{
    struct decision a = { .before = 2 }, b = { .before = 7 };
    explain_begin(&a, 2);
    explain_step(&a, LIMIT_RATE, 3, "one");
    explain_begin(&b, 7);
    explain_step(&b, LIMIT_RATE, 9, "two");
    assert_int_equal(explain_signature(&a), explain_signature(&b));
    explain_step(&b, LIMIT_MAX, 8, "at most 8");
    assert_int_not_equal(explain_signature(&a), explain_signature(&b));
}

/* No kind of step is taken for what a rule knows. */
static void test_no_two_reasons_are_one(void **state)
{
    uint64_t seen[LIMIT_KIND_MAX + 2 * MODEL_RULES_MAX];
    size_t count = 0;
    for (unsigned k = 0; k < LIMIT_KIND_MAX; k++) {
        struct decision d = { .opinion_count = MODEL_RULES_MAX };
        explain_begin(&d, 1);
        explain_step(&d, (enum limit_kind)k, 2, "%u", k);
        seen[count++] = explain_signature(&d);
    }
    for (unsigned n = 0; n < 2 * MODEL_RULES_MAX; n++) {
        struct decision d = { .opinion_count = MODEL_RULES_MAX };
        struct opinion *o = &d.opinions[n / 2].opinion;
        o->known = n % 2 == 0;
        o->block_in = n % 2 == 1;
        seen[count++] = explain_signature(&d);
    }
    for (size_t a = 0; a < count; a++) {
        for (size_t b = 0; b < a; b++)
            assert_int_not_equal(seen[a], seen[b]);
    }
}

static void test_silence(void **state)
{
    struct decision d = { .before = 3, .silent = true };
    strcpy(d.steps[0].text, "of another time");
    explain_begin(&d, 3);
    explain_step(&d, LIMIT_RULES, 9, "%d", 9);
    assert_string_equal(d.steps[0].text, "of another time");
    assert_int_equal(d.desired, 9);
    assert_int_equal(d.steps[0].from, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_two_reasons_are_one),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_operator_alone),
        cmocka_unit_test(test_more_steps_than_fit),
        cmocka_unit_test(test_who_speaks),
        cmocka_unit_test(test_signature_is_the_reason_without_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
