/* The ratio rule: ceil(the other service's desired count / per), and nothing without the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/fixture.h"

#define NONE RULE_ABSTAIN

static struct fixture f;

static struct rule_conf ratio(double per)
{
    return (struct rule_conf){ .kind = RULE_RATIO,
                               .name = "ratio",
                               .ratio = { .service = "web", .per = per } };
}

static void set_web(struct rule_peer *peers, int32_t desired)
{
    peers[0] = (struct rule_peer){ .name = "we", .desired = 99, .ready = 99 };
    peers[1] = (struct rule_peer){ .name = "web", .desired = desired, .ready = 1 };
    f.ctx.peers = peers;
    f.ctx.peer_count = 2;
}

static void test_counts(void **state)
{
    static const struct {
        int32_t web;
        double per;
        int32_t want;
    } cases[] = {
        { 0, 4, 0 },    { 1, 4, 1 },     { 4, 4, 1 },       { 5, 4, 2 },
        { 8, 4, 2 },    { 9, 4, 3 },     { 3, 0.5, 6 },     { 9, 0.3, 30 },
        { 7, 0.7, 10 }, { 1, 1e300, 1 }, { 1000, 1, 1000 }, { INT32_MAX, 1e-9, INT32_MAX },
    };
    struct rule_peer peers[2];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = ratio(cases[i].per);
        fixture_init(&f, 2);
        set_web(peers, cases[i].web);
        struct opinion o = fixture_eval(&f, &r);
        if (o.out != cases[i].want || o.in != MIN(cases[i].want, 2) || o.block_in || !o.known)
            fail_msg("case %zu: out %d in %d (%s)", i, o.out, o.in, o.text);
    }
}

static void test_words(void **state)
{
    struct rule_conf r = ratio(4);
    struct rule_peer peers[2];
    fixture_init(&f, 1);
    set_web(peers, 9);
    assert_string_equal(fixture_eval(&f, &r).text, "web is to have 9, one for every 4: needs 3");
    f.ctx.words = false;
    assert_string_equal(fixture_eval(&f, &r).text, "");
}

/* Unknown is no opinion, and blocks scale-in. */
static void test_unknown(void **state)
{
    struct rule_conf r = ratio(4);
    struct rule_peer peers[2];
    fixture_init(&f, 3);
    struct opinion o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    set_web(peers, -1);
    o = fixture_eval(&f, &r);
    assert_true(o.out == NONE && o.in == NONE && o.block_in && !o.known);
    assert_string_equal(o.text, "service web is not known: no opinion, no scale-in");
}

static void test_projection(void **state)
{
    struct rule_conf r = ratio(4);
    struct rule_peer peers[2];
    double value;
    fixture_init(&f, 5);
    set_web(peers, 9);
    struct opinion o = fixture_eval(&f, &r);
    assert_true(rule_asks_out(&r, &o, &f.ctx, 2, &value));
    assert_false(rule_asks_out(&r, &o, &f.ctx, 3, &value));
    assert_int_equal(rule_mark(&r, 3), UINT32_MAX);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_projection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
