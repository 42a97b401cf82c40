/* Budgets: who yields, what is spent in which period, what a ceiling leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/us.h"
#include "base/util.h"
#include "core/budget.h"

#define WALL_US (INT64_C(1700000000) * US_PER_S) /* 2023-11-14 22:13:20 UTC, a Tuesday */

static const struct zone_conf utc = { .name = "UTC" };

static void test_who_yields(void **state)
{
    static const struct {
        const char *name;
        double rate_max;
        uint32_t count;
        struct budget_claim claims[3];
        int32_t want[3];
    } cases[] = {
        { "enough for all", 10, 2, { { 4, 1, 1, 1 }, { 3, 1, 2, 1 } }, { 4, 3 } },
        { "a ceiling of sums of tenths", 0.3, 1, { { 3, 0, 0.1, 1 } }, { 3 } },
        { "the largest above its minimum", 8, 2, { { 6, 1, 1, 1 }, { 4, 1, 1, 1 } }, { 4, 4 } },
        { "money counts, not instances", 10, 2, { { 6, 1, 1, 1 }, { 4, 1, 2, 1 } }, { 6, 2 } },
        { "of equal ones the last", 5, 2, { { 3, 0, 1, 1 }, { 3, 0, 1, 1 } }, { 3, 2 } },
        { "weight holds", 6, 2, { { 5, 1, 1, 3 }, { 5, 1, 1, 1 } }, { 4, 2 } },
        { "below the minimum at last", 2, 2, { { 3, 3, 1, 1 }, { 2, 2, 1, 1 } }, { 1, 1 } },
        { "what is fixed stays", 5, 2, { { 4, 1, 1, 1, true }, { 4, 1, 1, 1 } }, { 4, 1 } },
        { "and more than all", 2, 2, { { 4, 1, 1, 1, true }, { 4, 1, 1, 1 } }, { 4, 0 } },
        { "nothing left", 0, 2, { { 4, 1, 1, 1 }, { 4, 4, 1, 1 } }, { 0, 0 } },
        { "without a price it yields nothing", 1, 2, { { 9, 1, 0, 1 }, { 4, 1, 1, 1 } }, { 9, 1 } },
        { "web and databases", 5, 2, { { 8, 2, 0.5, 1 }, { 3, 1, 1, 2 } }, { 4, 3 } },
        { "dear ones leave room", 2, 2, { { 6, 1, 0.2, 1 }, { 2, 0, 1.6, 2 } }, { 6, 0 } },
        { "any", INFINITY, 1, { { 1000, 1, 1e300, 1 } }, { 1000 } },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct budget_claim claims[3];
        for (uint32_t n = 0; n < cases[i].count; n++)
            claims[n] = cases[i].claims[n];
        budget_divide(claims, cases[i].count, cases[i].rate_max);
        for (uint32_t n = 0; n < cases[i].count; n++) {
            if (claims[n].count != cases[i].want[n])
                fail_msg("%s: claim %u gets %d", cases[i].name, n, claims[n].count);
        }
    }
}

/* The shortcut over many cuts gives what one cut after the other gives. */
static void test_many_cuts(void **state)
{
    struct budget_claim fast[3] = { { 900, 10, 0.7, 1 }, { 800, 20, 1.3, 2 }, { 1000, 5, 0.2, 1 } };
    struct budget_claim slow[3] = { fast[0], fast[1], fast[2] };
    budget_divide(fast, 3, 300);
    for (;;) {
        double sum = 0, largest = 0;
        uint32_t who = 0;
        for (uint32_t n = 0; n < 3; n++) {
            double above = (slow[n].count - slow[n].min) * (slow[n].cost / slow[n].weight);
            sum += slow[n].count * slow[n].cost;
            if (above >= largest) {
                largest = above;
                who = n;
            }
        }
        if (sum <= 300)
            break;
        slow[who].count--;
    }
    while (slow[2].count < 1000 &&
           0.7 * slow[0].count + 1.3 * slow[1].count + 0.2 * (slow[2].count + 1) <= 300)
        slow[2].count++; /* the only ones that are cheap enough for what is left */
    for (uint32_t n = 0; n < 3; n++)
        assert_int_equal(fast[n].count, slow[n].count);
}

static void test_spending(void **state)
{
    struct budget_state b = { 0 };
    int64_t next_hour_us = (WALL_US / US_PER_HOUR + 1) * US_PER_HOUR;
    budget_spend(&b, &utc, WALL_US, 0, 0);
    budget_spend(&b, &utc, WALL_US + 10 * US_PER_MIN, 10 * US_PER_MIN, 6);
    assert_true(fabs(b.purse[BUDGET_HOUR].spent - 1) < 1e-9);
    assert_int_equal(b.purse[BUDGET_HOUR].end_us, next_hour_us);
    assert_int_equal(b.purse[BUDGET_DAY].end_us % US_PER_DAY, 0);
    /* Over the hour: what was before it is not the new hour's. */
    budget_spend(&b, &utc, next_hour_us + US_PER_MIN, 40 * US_PER_MIN, 6);
    assert_true(fabs(b.purse[BUDGET_HOUR].spent - 0.1) < 1e-9);
    assert_true(fabs(b.purse[BUDGET_DAY].spent - 5) < 1e-9);
    /* A clock that jumps back begins a period anew; nothing becomes negative or wild. */
    budget_spend(&b, &utc, WALL_US - 40 * US_PER_DAY, US_PER_S, 6);
    for (int n = 0; n < BUDGET_PERIOD_MAX; n++)
        assert_true(b.purse[n].spent >= 0 && b.purse[n].spent < 0.01);
    budget_spend(&b, &utc, INT64_MAX / 4, US_PER_S, 6);
    budget_spend(&b, &utc, -INT64_MAX / 4, US_PER_S, 6);
    assert_true(b.purse[BUDGET_MONTH].spent < 0.01);
}

/* A month begins with the zone's. */
static void test_zone(void **state)
{
    struct zone_conf east = { .name = "east", .offset_s = 3600 };
    struct budget_state b = { 0 };
    budget_spend(&b, &east, WALL_US, 0, 0);
    assert_int_equal((b.purse[BUDGET_DAY].end_us + US_PER_HOUR) % US_PER_DAY, 0);
}

static void test_ceilings(void **state)
{
    struct budget_conf conf = { .per_hour = 9, .per_day = 24 };
    struct budget_state b = { 0 };
    enum budget_period whose;
    int64_t midnight_us = (WALL_US / US_PER_DAY) * US_PER_DAY;
    budget_spend(&b, &utc, midnight_us, 0, 0);
    assert_true(budget_rate_max(&conf, &b, midnight_us, 0.5, &whose) == 9);
    assert_int_equal(whose, BUDGET_HOUR);
    /* 18 spent after 12 hours: the minimum of 0.5 for 12 more just fits, and no more. */
    budget_spend(&b, &utc, midnight_us + 12 * US_PER_HOUR, 12 * US_PER_HOUR, 1.5);
    double rate = budget_rate_max(&conf, &b, midnight_us + 12 * US_PER_HOUR, 0.5, &whose);
    assert_true(fabs(rate - 0.5) < 1e-9);
    assert_int_equal(whose, BUDGET_DAY);
    /* It stays so, though saving a little leaves a little more. */
    budget_spend(&b, &utc, midnight_us + 18 * US_PER_HOUR, 6 * US_PER_HOUR, 0.25);
    rate = budget_rate_max(&conf, &b, midnight_us + 18 * US_PER_HOUR, 0.5, &whose);
    assert_true(fabs(rate - 0.75) < 1e-9);
    /* All spent: nothing. Tomorrow: anything. */
    budget_spend(&b, &utc, midnight_us + 20 * US_PER_HOUR, 2 * US_PER_HOUR, 9);
    assert_true(budget_rate_max(&conf, &b, midnight_us + 20 * US_PER_HOUR, 0.5, &whose) == 0);
    budget_spend(&b, &utc, midnight_us + 24 * US_PER_HOUR, 0, 9);
    assert_true(budget_rate_max(&conf, &b, midnight_us + 24 * US_PER_HOUR, 0.5, &whose) == 9);
    conf = (struct budget_conf){ 0 };
    assert_true(isinf(budget_rate_max(&conf, &b, midnight_us, 1e300, &whose)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_yields), cmocka_unit_test(test_many_cuts),
        cmocka_unit_test(test_spending),   cmocka_unit_test(test_zone),
        cmocka_unit_test(test_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
