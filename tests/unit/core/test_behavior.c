/* Behavior: stabilization windows and rate policies in both directions, against HPA v2's formulas
 * and against an exact history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "core/behavior.h"

#define S US_PER_S
#define START_US (100000 * S)

static struct behavior_state state;

static struct behavior_direction direction(int64_t stabilize_us, enum behavior_select select,
                                           uint32_t count, struct behavior_policy a,
                                           struct behavior_policy b)
{
    return (struct behavior_direction){
        .stabilize_us = stabilize_us, .select = select, .policy_count = count, .policy = { a, b }
    };
}

#define PODS(n, s) ((struct behavior_policy){ false, (n), (s)*S })
#define PERCENT(n, s) ((struct behavior_policy){ true, (n), (s)*S })
#define NO_POLICY ((struct behavior_policy){ 0 })

static char text[120];

static const char *stabilize_text(const struct behavior_conf *conf, int32_t want,
                                  const struct behavior_result *r)
{
    behavior_say_stabilized(conf, want, r, text, sizeof(text));
    return text;
}

static const char *limit_text(const struct behavior_conf *conf, int32_t current,
                              const struct behavior_result *r)
{
    behavior_say_limited(conf, current, r, text, sizeof(text));
    return text;
}

/* One step from a state without history. */
static void test_rates(void **ignored)
{
    static const struct {
        enum behavior_select select;
        uint32_t policies;
        struct behavior_policy a, b;
        int32_t current, want, limited;
    } cases[] = {
        { BEHAVIOR_MAX_CHANGE, 0, { 0 }, { 0 }, 1, 1000, 1000 },
        { BEHAVIOR_MAX_CHANGE, 0, { 0 }, { 0 }, 1000, 0, 0 },
        { BEHAVIOR_DISABLED, 1, { false, 4, S }, { 0 }, 5, 9, 5 },
        { BEHAVIOR_DISABLED, 0, { 0 }, { 0 }, 5, 1, 5 },
        /* the HPA's default: +4 or +100 %, whichever is more */
        { BEHAVIOR_MAX_CHANGE, 2, { false, 4, 15 * S }, { true, 100, 15 * S }, 1, 100, 5 },
        { BEHAVIOR_MAX_CHANGE, 2, { false, 4, 15 * S }, { true, 100, 15 * S }, 10, 100, 20 },
        { BEHAVIOR_MIN_CHANGE, 2, { false, 4, 15 * S }, { true, 100, 15 * S }, 10, 100, 14 },
        { BEHAVIOR_MIN_CHANGE, 2, { false, 4, 15 * S }, { true, 100, 15 * S }, 2, 100, 4 },
        { BEHAVIOR_MAX_CHANGE, 2, { false, 4, 15 * S }, { true, 100, 15 * S }, 10, 12, 12 },
        /* out rounds up, in leaves the smaller whole number */
        { BEHAVIOR_MAX_CHANGE, 1, { true, 10, 60 * S }, { 0 }, 11, 100, 13 },
        { BEHAVIOR_MAX_CHANGE, 1, { true, 10, 60 * S }, { 0 }, 11, 0, 9 },
        { BEHAVIOR_MAX_CHANGE, 1, { true, 10, 60 * S }, { 0 }, 1, 0, 0 },
        { BEHAVIOR_MAX_CHANGE, 2, { false, 2, 60 * S }, { true, 50, 60 * S }, 10, 0, 5 },
        { BEHAVIOR_MIN_CHANGE, 2, { false, 2, 60 * S }, { true, 50, 60 * S }, 10, 0, 8 },
        { BEHAVIOR_MAX_CHANGE, 1, { true, 100, 60 * S }, { 0 }, 0, 5, 1 }, /* twice nothing */
        { BEHAVIOR_MAX_CHANGE, 1, { false, 5, 60 * S }, { 0 }, 3, 0, 0 },
        { BEHAVIOR_MAX_CHANGE, 1, { true, INT32_MAX, S }, { 0 }, 1000, INT32_MAX, INT32_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct behavior_result r;
        struct behavior_direction d =
            direction(0, cases[i].select, cases[i].policies, cases[i].a, cases[i].b);
        struct behavior_conf conf = { .up = d, .down = d };
        memset(&state, 0, sizeof(state));
        behavior_apply(&conf, &state, START_US, cases[i].current, cases[i].want, &r);
        if (r.limited != cases[i].limited || r.stabilized != cases[i].want)
            fail_msg("case %zu: %d", i, r.limited);
        assert_int_equal(limit_text(&conf, cases[i].current, &r)[0] != '\0',
                         r.limited != cases[i].want);
        assert_string_equal(stabilize_text(&conf, cases[i].want, &r), "");
    }
}

/* What moved within the period is counted, both ways, and forgotten after it. */
static void test_rate_over_time(void **ignored)
{
    static const struct {
        int64_t at_s;
        int32_t want, limited;
        int64_t next_s; /* -1 = nothing is waited for */
    } moments[] = {
        { 0, 30, 14, -1 }, /* +4, and nothing had moved before */
        { 1, 30, 14, 10 }, /* used up until those leave the period */
        { 9, 30, 14, 10 },  { 10, 30, 18, -1 },
        { 12, 10, 12, -1 }, /* the period began with 14, less 2 */
        { 13, 10, 12, 22 }, { 22, 10, 10, -1 },
    };
    struct behavior_conf conf = {
        .up = direction(0, BEHAVIOR_MAX_CHANGE, 1, PODS(4, 10), NO_POLICY),
        .down = direction(0, BEHAVIOR_MAX_CHANGE, 1, PODS(2, 10), NO_POLICY),
    };
    int32_t count = 10;
    memset(&state, 0, sizeof(state));
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        int64_t now_us = START_US + moments[i].at_s * S;
        int64_t next_us = moments[i].next_s < 0 ? US_NEVER : START_US + moments[i].next_s * S;
        struct behavior_result r;
        behavior_apply(&conf, &state, now_us, count, moments[i].want, &r);
        if (r.limited != moments[i].limited || r.next_us != next_us)
            fail_msg("moment %zu: %d, next %lld", i, r.limited, (long long)r.next_us);
        behavior_moved(&state, now_us, count, r.limited);
        count = r.limited;
    }
}

/* Scale-in follows the highest count that was wanted within the window. */
static void test_stabilize_down(void **ignored)
{
    struct behavior_conf conf = { .down = { .stabilize_us = 60 * S } };
    struct behavior_result r;
    memset(&state, 0, sizeof(state));
    behavior_apply(&conf, &state, START_US, 5, 2, &r); /* first seen: five were wanted so far */
    assert_int_equal(r.stabilized, 5);
    assert_true(stabilize_text(&conf, 2, &r)[0] != '\0');
    assert_true(r.next_us > START_US + 60 * S && r.next_us <= START_US + 61 * S);
    behavior_apply(&conf, &state, START_US + 20 * S, 5, 4, &r);
    assert_int_equal(r.stabilized, 5);
    behavior_apply(&conf, &state, START_US + 61 * S, 5, 2, &r);
    assert_int_equal(r.stabilized, 4);
    behavior_apply(&conf, &state, START_US + 62 * S, 4, 7, &r); /* out is not held back */
    assert_int_equal(r.stabilized, 7);
    behavior_apply(&conf, &state, START_US + 100 * S, 7, 0, &r);
    assert_int_equal(r.stabilized, 7);
    behavior_apply(&conf, &state, START_US + 124 * S, 7, 0, &r);
    assert_int_equal(r.stabilized, 0);
    assert_int_equal(r.next_us, US_NEVER);
}

/* Scale-out follows the lowest. */
static void test_stabilize_up(void **ignored)
{
    struct behavior_conf conf = { .up = { .stabilize_us = 30 * S } };
    struct behavior_result r;
    memset(&state, 0, sizeof(state));
    behavior_apply(&conf, &state, START_US, 5, 9, &r);
    assert_int_equal(r.stabilized, 5);
    behavior_apply(&conf, &state, START_US + 10 * S, 5, 7, &r);
    assert_int_equal(r.stabilized, 5);
    behavior_apply(&conf, &state, START_US + 31 * S, 5, 9, &r);
    assert_int_equal(r.stabilized, 7);
    behavior_apply(&conf, &state, START_US + 32 * S, 7, 3, &r); /* in is not held back */
    assert_int_equal(r.stabilized, 3);
}

/* A hundred thousand moments beside a history that forgets nothing: the answer is that of the
 * window or of one a sixtieth longer, and never depends on what is older. */
#define HISTORY 4096
static struct {
    int64_t at_us;
    int32_t want;
} history[HISTORY];

static int32_t highest(size_t n, int64_t since_us, int32_t seed)
{
    int32_t best = seed;
    for (size_t i = n; i-- > 0 && history[i].at_us >= since_us;)
        best = MAX(best, history[i].want);
    return best;
}

static void test_against_exact_history(void **ignored)
{
    struct behavior_conf conf = { .down = { .stabilize_us = 300 * S } };
    struct rng rng;
    int64_t now_us = START_US;
    rng_init(&rng, 7);
    memset(&state, 0, sizeof(state));
    for (size_t n = 0; n < HISTORY; n++) {
        struct behavior_result r;
        now_us += (int64_t)rng_below(&rng, 20 * S);
        history[n].at_us = now_us;
        history[n].want = (int32_t)rng_below(&rng, 50) * (int32_t)rng_below(&rng, 2);
        behavior_apply(&conf, &state, now_us, 1000, history[n].want, &r);
        if (now_us < START_US + 310 * S)
            continue; /* the seed still counts */
        assert_true(r.stabilized >= highest(n + 1, now_us - 300 * S, 0));
        assert_true(r.stabilized <= highest(n + 1, now_us - 305 * S, 0));
    }
}

/* next_us is when something changes, and not later. */
static void test_next(void **ignored)
{
    struct behavior_conf conf = { .down = direction(60 * S, BEHAVIOR_MAX_CHANGE, 1, PERCENT(10, 60),
                                                    NO_POLICY) };
    struct behavior_result r;
    int64_t now_us = START_US;
    int32_t count = 40;
    int wakes = 0;
    memset(&state, 0, sizeof(state));
    while (count > 5) {
        behavior_apply(&conf, &state, now_us, count, 5, &r);
        behavior_moved(&state, now_us, count, r.limited);
        bool moved = r.limited != count;
        count = r.limited;
        if (moved)
            continue; /* the new count is looked at in the same moment */
        assert_true(r.next_us > now_us && r.next_us != US_NEVER);
        now_us = r.next_us;
        assert_true(++wakes < 2000);
    }
    assert_true(now_us >= START_US + 10 * 60 * S); /* ten per cent a minute takes its time */
}

/* More moves than there is room for: the sum is kept, only the oldest is taken as newer. */
static void test_many_moves(void **ignored)
{
    struct behavior_conf conf = { .up = direction(0, BEHAVIOR_MAX_CHANGE, 1, PODS(100, 1800),
                                                  NO_POLICY) };
    struct behavior_result r;
    memset(&state, 0, sizeof(state));
    for (int32_t i = 0; i < 100; i++)
        behavior_moved(&state, START_US + i * S, i, i + 1);
    assert_int_equal(state.up.count, BEHAVIOR_MOVES_MAX);
    behavior_apply(&conf, &state, START_US + 100 * S, 100, 500, &r);
    assert_int_equal(r.limited, 100);
    behavior_apply(&conf, &state, START_US + 1899 * S, 100, 500, &r);
    assert_int_equal(r.limited, 200);
}

/* Another window starts a new history, with the count that there is. */
static void test_window_changes(void **ignored)
{
    struct behavior_conf conf = { .down = { .stabilize_us = 60 * S } };
    struct behavior_result r;
    memset(&state, 0, sizeof(state));
    behavior_apply(&conf, &state, START_US, 5, 5, &r);
    conf.down.stabilize_us = 120 * S;
    behavior_apply(&conf, &state, START_US + 90 * S, 4, 1, &r);
    assert_int_equal(r.stabilized, 4);
    conf.down.stabilize_us = 0;
    behavior_apply(&conf, &state, START_US + 91 * S, 4, 1, &r);
    assert_int_equal(r.stabilized, 1);
}

/* A cooldown holds its own direction, never the other one, and ends when that was taken. */
static void test_cooldown(void **ignored)
{
    static const struct {
        int64_t at_s;
        int32_t current, want, limited;
        int64_t next_s; /* -1 = nothing is waited for */
    } moments[] = {
        { 0, 5, 7, 7, -1 },  { 1, 7, 9, 7, 30 },  { 2, 7, 3, 3, -1 },  { 3, 3, 2, 3, 62 },
        { 4, 3, 6, 6, -1 },  { 29, 6, 7, 6, 34 }, { 34, 6, 7, 7, -1 }, { 35, 7, 5, 5, -1 },
        { 94, 5, 4, 5, 95 }, { 95, 5, 4, 4, -1 },
    };
    struct behavior_conf conf = { .up.cooldown_us = 30 * S, .down.cooldown_us = 60 * S };
    memset(&state, 0, sizeof(state));
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        int64_t now_us = START_US + moments[i].at_s * S;
        int64_t next_us = moments[i].next_s < 0 ? US_NEVER : START_US + moments[i].next_s * S;
        struct behavior_result r;
        behavior_apply(&conf, &state, now_us, moments[i].current, moments[i].want, &r);
        if (r.limited != moments[i].limited || r.next_us != next_us)
            fail_msg("moment %zu: %d, next %lld", i, r.limited, (long long)r.next_us);
        if (r.limited != r.stabilized)
            assert_non_null(strstr(limit_text(&conf, moments[i].current, &r), "cools down"));
        behavior_moved(&state, now_us, moments[i].current, r.limited);
    }
}

/* Twice at one instant is as once. */
static void test_idempotent(void **ignored)
{
    struct behavior_conf conf = { .up.stabilize_us = 7 * S, .down.stabilize_us = 60 * S };
    struct behavior_state once;
    struct rng r;
    rng_init(&r, 3);
    memset(&state, 0, sizeof(state));
    for (int n = 0; n < 1000; n++) {
        int64_t now_us = START_US + n * S / 2;
        int32_t want = (int32_t)rng_below(&r, 20);
        struct behavior_result a, b;
        behavior_apply(&conf, &state, now_us, 10, want, &a);
        once = state;
        behavior_apply(&conf, &state, now_us, 10, want, &b);
        assert_memory_equal(&once, &state, sizeof(state));
        assert_true(a.limited == b.limited && a.next_us == b.next_us);
        assert_true(behavior_state_is_sane(&state));
    }
    state.lowest.count = BEHAVIOR_SLICES;
    assert_false(behavior_state_is_sane(&state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cooldown),
        cmocka_unit_test(test_idempotent),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_rate_over_time),
        cmocka_unit_test(test_stabilize_down),
        cmocka_unit_test(test_stabilize_up),
        cmocka_unit_test(test_against_exact_history),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_many_moves),
        cmocka_unit_test(test_window_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
