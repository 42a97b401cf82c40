/* The schedule rule: when its window is open, what it then sets, and when that changes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/combine.h"
#include "unit/core/fixture.h"

#define NONE RULE_ABSTAIN
#define MONDAY_US (INT64_C(1749427200) * US_PER_S) /* 2025-06-09 00:00 UTC */

static struct fixture f;

static struct rule_conf schedule(const char *cron, int64_t for_us, int32_t min, int32_t max,
                                 int32_t count)
{
    struct rule_conf r = { .kind = RULE_SCHEDULE, .name = "schedule" };
    r.schedule =
        (struct rule_schedule_conf){ .for_us = for_us, .min = min, .max = max, .count = count };
    assert_int_equal(cron_parse(slice_of(cron), &r.schedule.cron, NULL), 0);
    return r;
}

static void at(int64_t wall_us)
{
    fixture_init(&f, 3);
    f.ctx.wall_us = wall_us;
    f.zones[1] = (struct zone_conf){ .name = "Asia/Kolkata", .offset_s = 19800 };
}

static void test_window(void **state)
{
    static const struct {
        const char *cron;
        int64_t for_us;
        uint32_t zone;
        int64_t at_us; /* since Monday 0:00 */
        bool open;
        int64_t next_us;
    } cases[] = {
        { "0 9 * * MON-FRI", 9 * US_PER_HOUR, 0, 9 * US_PER_HOUR - 1, false, 9 * US_PER_HOUR },
        { "0 9 * * MON-FRI", 9 * US_PER_HOUR, 0, 9 * US_PER_HOUR, true, 18 * US_PER_HOUR },
        { "0 9 * * MON-FRI", 9 * US_PER_HOUR, 0, 18 * US_PER_HOUR - 1, true, 18 * US_PER_HOUR },
        { "0 9 * * MON-FRI", 9 * US_PER_HOUR, 0, 18 * US_PER_HOUR, false, 33 * US_PER_HOUR },
        { "0 9 * * *", 9 * US_PER_HOUR, 1, 4 * US_PER_HOUR, true,
          12 * US_PER_HOUR + US_PER_HOUR / 2 },
        { "0 9 * * *", 9 * US_PER_HOUR, 1, 13 * US_PER_HOUR, false,
          27 * US_PER_HOUR + US_PER_HOUR / 2 },
        /* over midnight */
        { "0 22 * * SUN", 6 * US_PER_HOUR, 0, US_PER_HOUR, true, 4 * US_PER_HOUR },
        /* longer than its period: always open, but opens again */
        { "0 * * * *", 2 * US_PER_HOUR, 0, US_PER_HOUR / 2, true, US_PER_HOUR },
        /* an unknown zone is UTC */
        { "0 9 * * *", US_PER_HOUR, 99, 9 * US_PER_HOUR, true, 10 * US_PER_HOUR },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_conf r = schedule(cases[i].cron, cases[i].for_us, 4, 8, -1);
        r.schedule.zone = cases[i].zone;
        at(MONDAY_US + cases[i].at_us);
        struct opinion o = fixture_eval(&f, &r);
        bool open = o.set_min == 4 && o.set_max == 8;
        if (open != cases[i].open || (!open && (o.set_min != NONE || o.set_max != NONE)))
            fail_msg("case %zu: min %d max %d (%s)", i, o.set_min, o.set_max, o.text);
        int64_t next_us = rule_next_us(&r, &f.state, &f.ctx) - f.ctx.now_us + cases[i].at_us;
        if (next_us != cases[i].next_us)
            fail_msg("case %zu: next after %lld s", i, (long long)(next_us / US_PER_S));
        assert_true(o.set_count == NONE && o.out == NONE && o.in == NONE && !o.block_in);
    }
}

/* It remembers where it looked: a clock that steps, by hours or back, and a zone that is another
 * after a reload are believed at once. */
static void test_steps(void **state)
{
    static const struct {
        int64_t at_us; /* since Monday 0:00 */
        uint32_t zone;
        bool open;
        int64_t next_us;
    } moments[] = {
        { 9 * US_PER_HOUR, 0, true, 18 * US_PER_HOUR },
        { 9 * US_PER_HOUR - 1, 0, false, 9 * US_PER_HOUR },
        { 17 * US_PER_HOUR, 0, true, 18 * US_PER_HOUR },
        { 18 * US_PER_HOUR, 0, false, 33 * US_PER_HOUR },
        { 17 * US_PER_HOUR, 0, true, 18 * US_PER_HOUR },
        { 33 * US_PER_HOUR, 0, true, 42 * US_PER_HOUR },
        { 17 * US_PER_HOUR, 0, true, 18 * US_PER_HOUR },
        { 17 * US_PER_HOUR, 1, false, 27 * US_PER_HOUR + US_PER_HOUR / 2 },
        { 17 * US_PER_HOUR, 0, true, 18 * US_PER_HOUR },
    };
    struct rule_conf r = schedule("0 9 * * *", 9 * US_PER_HOUR, 4, 8, -1);
    at(MONDAY_US);
    for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
        struct zone_conf *zone = &f.zones[0];
        *zone = (struct zone_conf){ .offset_s = moments[i].zone == 1 ? 19800 : 0 };
        f.ctx.wall_us = MONDAY_US + moments[i].at_us;
        struct opinion o = fixture_eval(&f, &r);
        int64_t next_us = rule_next_us(&r, &f.state, &f.ctx) - f.ctx.now_us + moments[i].at_us;
        if ((o.set_min == 4) != moments[i].open || next_us != moments[i].next_us)
            fail_msg("moment %zu: min %d, next after %lld s", i, o.set_min,
                     (long long)(next_us / US_PER_S));
    }
}

/* Nothing ever matches: never open, and never a reason to wake. */
static void test_never(void **state)
{
    struct rule_conf r = schedule("0 0 30 2 *", US_PER_HOUR, 4, -1, -1);
    at(MONDAY_US);
    assert_int_equal(fixture_eval(&f, &r).set_min, NONE);
    assert_int_equal(rule_next_us(&r, &f.state, &f.ctx), US_NEVER);
}

/* Of overlapping windows the one that opened last wins, bound by bound. */
static void test_overlap(void **state)
{
    struct rule_conf rules[3] = {
        schedule("0 9 * * *", 4 * US_PER_HOUR, 4, 9, -1),
        schedule("0 8 * * *", 8 * US_PER_HOUR, 2, 5, -1),
        schedule("0 12 * * *", US_PER_HOUR, -1, -1, 7), /* a count is both bounds */
    };
    static const struct {
        int64_t hour;
        int32_t min, max;
    } cases[] = {
        { 7, NONE, NONE }, { 8, 2, 5 }, { 9, 4, 9 }, { 12, 7, 7 }, { 13, 2, 5 }, { 16, NONE, NONE },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct opinion opinions[3];
        struct combined c;
        at(MONDAY_US + cases[i].hour * US_PER_HOUR);
        for (int k = 0; k < 3; k++) {
            f.state = (struct rule_state){ 0 };
            opinions[k] = fixture_eval(&f, &rules[k]);
        }
        combine(rules, opinions, 3, 3, &c);
        if (c.set_min != cases[i].min || c.set_max != cases[i].max)
            fail_msg("at %lld: min %d max %d", (long long)cases[i].hour, c.set_min, c.set_max);
        assert_int_equal(c.want, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
