/* Law 1: out if any wants; in only if one wants, all agree and none is blind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "core/combine.h"

#define NONE RULE_ABSTAIN

struct said {
    int32_t out, in;
    bool block_in;
};

static void test_law_1(void **state)
{
    static const struct {
        const char *name;
        struct said said[4];
        uint32_t count;
        int32_t want, rule;
    } cases[] = {
        { "no rules", { { 0 } }, 0, 5, -1 },
        { "all abstain", { { NONE, NONE, false }, { NONE, NONE, false } }, 2, 5, -1 },
        { "any may scale out", { { NONE, 5, false }, { 8, NONE, false } }, 2, 8, 1 },
        { "the largest wins", { { 8, NONE, false }, { 9, NONE, false } }, 2, 9, 1 },
        { "the first of equals", { { 8, NONE, false }, { 8, NONE, false } }, 2, 8, 0 },
        { "out though others want in", { { NONE, 2, false }, { 6, NONE, false } }, 2, 6, 1 },
        { "out though one is blind", { { NONE, NONE, true }, { 6, NONE, false } }, 2, 6, 1 },
        { "in when all agree", { { NONE, 2, false }, { NONE, 3, false } }, 2, 3, 1 },
        { "not when one does not", { { NONE, 2, false }, { NONE, 5, false } }, 2, 5, 1 },
        { "nor for one that wants more", { { NONE, 2, false }, { NONE, 7, false } }, 2, 5, 1 },
        { "one that abstains agrees", { { NONE, 2, false }, { NONE, NONE, false } }, 2, 2, 0 },
        { "blind blocks", { { NONE, 2, false }, { NONE, NONE, true } }, 2, 5, 1 },
        { "blind alone causes nothing", { { NONE, NONE, true } }, 1, 5, 0 },
        { "needed now is a floor", { { 4, 2, false }, { NONE, 3, false } }, 2, 4, 0 },
        { "out at what there is, is no wish", { { 5, NONE, false } }, 1, 5, -1 },
        { "to zero", { { 0, 0, false } }, 1, 0, 0 },
    };
    static struct rule_conf rules[4];
    for (uint32_t i = 0; i < 4; i++)
        memcpy(rules[i].name, &"a\0b\0c\0d"[i * 2], 2);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct opinion opinions[4];
        struct combined c;
        for (uint32_t k = 0; k < cases[i].count; k++) {
            rule_opinion_init(&opinions[k]);
            opinions[k].out = cases[i].said[k].out;
            opinions[k].in = cases[i].said[k].in;
            opinions[k].block_in = cases[i].said[k].block_in;
        }
        combine(rules, opinions, cases[i].count, 5, &c);
        if (c.want != cases[i].want || (c.rule != cases[i].rule && c.want != 5))
            fail_msg("%s: %d by %d", cases[i].name, c.want, c.rule);
        char text[120] = "";
        combine_say(rules, opinions, &c, text, sizeof(text));
        assert_true(text[0] != '\0');
        assert_true(c.set_min == NONE && c.set_max_rule == -1);
    }
}

/* However many rules say whatever, law 1 holds. */
static void test_all_combinations(void **state)
{
    static const struct said choices[] = {
        { NONE, NONE, false }, { NONE, NONE, true }, { 3, 3, false },    { 5, 4, false },
        { 5, 5, false },       { 7, 5, false },      { NONE, 2, false },
    };
    static struct rule_conf rules[3];
    const size_t n = ARRAY_LEN(choices);
    for (size_t i = 0; i < n * n * n; i++) {
        size_t pick[3] = { i % n, i / n % n, i / n / n };
        struct opinion opinions[3];
        bool out = false, in = false, against = false;
        struct combined c;
        for (int k = 0; k < 3; k++) {
            const struct said *s = &choices[pick[k]];
            rule_opinion_init(&opinions[k]);
            opinions[k].out = s->out;
            opinions[k].in = s->in;
            opinions[k].block_in = s->block_in;
            out |= s->out != NONE && s->out > 5;
            in |= s->in != NONE && s->in < 5;
            against |= s->block_in || (s->in != NONE && s->in >= 5) || s->out == 5;
        }
        combine(rules, opinions, 3, 5, &c);
        assert_int_equal(c.want > 5, out);
        assert_int_equal(c.want < 5, !out && in && !against);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_law_1),
        cmocka_unit_test(test_all_combinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
