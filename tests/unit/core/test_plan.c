/* Desired against observed. A fleet is written as one letter each: p pending, s starting, r ready,
 * f failing, d draining, t stopping, - gone; upper case: of another template. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "core/model.h"
#include "core/plan.h"

static enum instance_state state_of(char letter)
{
    static const char letters[] = "pswrfydt-";
    return (enum instance_state)(strchr(letters, tolower(letter)) - letters);
}

static struct plan_move next(struct instance *fleet, const char *text, int32_t wanted,
                             bool may_start, bool leaving)
{
    uint32_t count = (uint32_t)strlen(text);
    for (uint32_t n = 0; n < count; n++)
        fleet[n] = (struct instance){ .state = state_of(text[n]),
                                      .number = n + 1,
                                      .template = isupper(text[n]) ? 1 : 2 };
    struct plan_input in = { .instances = fleet,
                             .instance_count = count,
                             .slot_count = 10,
                             .wanted = wanted,
                             .surge = 1,
                             .template = 2,
                             .leaving = leaving,
                             .may_start = may_start };
    struct plan_move m;
    plan_next(&in, &m);
    return m;
}

static void test_one_move(void **state)
{
    static const struct {
        const char *fleet;
        int32_t wanted;
        bool held, leaving;
        enum plan_move_type type;
        uint32_t index;
    } cases[] = {
        { "", 0, false, false, PLAN_NOTHING, 0 },
        { "", 2, false, false, PLAN_CREATE, 0 },
        { "r-r", 3, false, false, PLAN_CREATE, 1 },
        { "rp", 2, false, false, PLAN_LAUNCH, 1 },
        { "rp", 2, true, false, PLAN_NOTHING, 0 },
        { "rr", 2, false, false, PLAN_NOTHING, 0 },
        { "rs", 2, false, false, PLAN_NOTHING, 0 }, /* starting counts: nothing twice */
        { "rf", 2, false, false, PLAN_NOTHING, 0 },
        { "rd", 2, false, false, PLAN_CREATE, 2 }, /* draining does not */
        { "rrr", 2, false, false, PLAN_DRAIN, 2 },
        { "rrrp", 3, false, false, PLAN_DROP, 3 },
        { "rsr", 2, false, false, PLAN_STOP, 1 },
        { "rfr", 2, false, false, PLAN_DRAIN, 1 },
        { "rr", 0, false, false, PLAN_DRAIN, 1 },
        { "dt", 0, false, false, PLAN_NOTHING, 0 },
        { "rs", 2, false, true, PLAN_STOP, 1 },
        { "r", 2, false, true, PLAN_DRAIN, 0 },
        /* replacing: one more, then one less, ready never below two */
        { "RR", 2, false, false, PLAN_CREATE, 2 },
        { "RRp", 2, false, false, PLAN_LAUNCH, 2 },
        { "RRs", 2, false, false, PLAN_NOTHING, 0 },
        { "RRr", 2, false, false, PLAN_DRAIN, 1 },
        { "RDr", 2, false, false, PLAN_CREATE, 3 },
        { "Rrr", 2, false, false, PLAN_DRAIN, 0 },
        { "RSr", 2, false, false, PLAN_STOP, 1 },
        { "RRRs", 1, false, false, PLAN_DRAIN, 2 }, /* fewer are wanted meanwhile */
        { "RRs", 4, false, false, PLAN_CREATE, 3 }, /* or more */
        { "RRsss", 4, false, false, PLAN_NOTHING, 0 },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct instance fleet[10];
        struct plan_move m =
            next(fleet, cases[n].fleet, cases[n].wanted, !cases[n].held, cases[n].leaving);
        if (m.type != cases[n].type || m.index != cases[n].index)
            print_message("case %zu: %s, wanted %d\n", n, cases[n].fleet, cases[n].wanted);
        assert_int_equal(m.type, cases[n].type);
        assert_int_equal(m.index, cases[n].index);
    }
}

static void test_victims(void **state)
{
    struct instance fleet[4];
    for (uint32_t n = 0; n < 4; n++)
        fleet[n] = (struct instance){ .state = INSTANCE_READY, .number = n + 1, .template = 2 };
    struct plan_input in = { .instances = fleet,
                             .instance_count = 4,
                             .slot_count = 4,
                             .wanted = 3,
                             .surge = 1,
                             .template = 2 };
    struct plan_move m;
    plan_next(&in, &m);
    assert_int_equal(m.index, 3); /* the newest */
    for (uint32_t n = 0; n < 4; n++) {
        fleet[n].sample_us[METRIC_CONCURRENCY] = 1;
        fleet[n].sample[METRIC_CONCURRENCY] = n == 1 ? 0 : 5;
    }
    plan_next(&in, &m);
    assert_int_equal(m.index, 1); /* the least busy */
    fleet[1].protected_ = true;
    plan_next(&in, &m);
    assert_int_equal(m.index, 3);
    for (uint32_t n = 0; n < 4; n++)
        fleet[n].protected_ = true;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_NOTHING);
    in.leaving = true;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_DRAIN);
}

/* An engine that chooses: nobody is drained, nothing is replaced, who was asked for is gone. */
static void test_engine_chooses(void **state)
{
    struct instance fleet[4];
    for (uint32_t n = 0; n < 4; n++)
        fleet[n] = (struct instance){ .state = INSTANCE_READY, .number = n + 1, .template = 1 };
    struct plan_input in = { .instances = fleet,
                             .instance_count = 4,
                             .slot_count = 6,
                             .wanted = 3,
                             .surge = 1,
                             .template = 2,
                             .engine_chooses = true };
    struct plan_move m;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_STOP);
    assert_int_equal(m.index, 3);
    fleet[3].asked = true;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_NOTHING);
    in.wanted = 4;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_CREATE);
    in.leaving = true;
    fleet[0].protected_ = true;
    plan_next(&in, &m);
    assert_int_equal(m.type, PLAN_STOP);
    assert_int_equal(m.index, 2);
}

static void test_full_house(void **state)
{
    struct instance fleet[10];
    struct plan_move m = next(fleet, "rrdddddddd", 5, true, false);
    assert_int_equal(m.type, PLAN_NOTHING); /* no slot is free */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_move),
        cmocka_unit_test(test_victims),
        cmocka_unit_test(test_engine_chooses),
        cmocka_unit_test(test_full_house),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
