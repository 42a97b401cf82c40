/* The oracle is a bound: on tiny loads nothing that can be ordered at all is cheaper, and on small
 * ones no other policy is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/default_policy.h"
#include "sim/run.h"

#define CAPACITY 100.0

static struct score run_policy(const struct trace *t, const struct policy_ops *p, int64_t boot_s,
                               int32_t initial, double allowed)
{
    struct default_policy fallback;
    struct run_result r;
    struct err err = { 0 };
    default_policy_init(&fallback, 20);
    const struct run_options o = {
        .trace = t,
        .policy = p,
        .model = &fallback.model,
        .capacity = CAPACITY,
        .slots = 20,
        .initial = initial,
        .fleet = { .boot_us = boot_s * US_PER_S },
        .allowed_violations = allowed,
    };
    if (run_simulate(&o, &r, &err) < 0)
        fail_msg("%s", err.text);
    struct score s = r.score;
    run_result_done(&r);
    return s;
}

/* -- everything that can be ordered: one or two instances, anew each second -- */

static uint32_t plan; /* a bit for each second: two */
static int32_t plan_count;

static void *plan_open(const struct policy_setup *s)
{
    plan_count = s->initial;
    return &plan;
}

static void plan_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    plan_count = 1 + (int32_t)(plan >> (v->now_us / US_PER_S) & 1);
    fleet_set_count(fleet, plan_count);
}

static int32_t plan_desired(const void *self)
{
    return plan_count;
}

static const char *plan_why(const void *self)
{
    return NULL;
}

static void plan_close(void *self)
{
}

static const struct policy_ops planned = {
    .name = "planned",
    .open = plan_open,
    .step = plan_step,
    .desired = plan_desired,
    .why = plan_why,
    .close = plan_close,
};

#define TINY 11

static void test_brute_force(void **state)
{
    struct rng rng;
    rng_init(&rng, 3);
    for (int round = 0; round < 60; round++) {
        /* Loads that leave no room in the last instance: what waits there waits too long. */
        double rates[TINY];
        for (int n = 0; n < TINY; n++)
            rates[n] = rng_below(&rng, 3) == 0 ? 190 : 90;
        struct trace t = { .step_us = US_PER_S, .count = TINY, .rates = rates };
        int64_t boot_s = (int64_t)rng_below(&rng, 5);
        double allowed = round % 3 == 0 ? 0.25 : 0;
        struct score oracle = run_policy(&t, policy_find("oracle"), boot_s, 2, allowed);
        double best = 1e9;
        for (plan = 0; plan < BIT(TINY); plan += 2) {
            struct score s = run_policy(&t, &planned, boot_s, 2, 0);
            if (s.violations <= oracle.violations)
                best = MIN(best, s.instance_hours);
        }
        if (allowed == 0 && oracle.instance_hours > best + 1e-9)
            fail_msg("round %d: %g s, and %g s would do", round, oracle.instance_hours * 3600,
                     best * 3600);
        if (oracle.violations > allowed)
            fail_msg("round %d, boot %lld s: %g violations, %g allowed", round, (long long)boot_s,
                     oracle.violations, allowed);
    }
}

/* -- other policies -- */

#define SMALL 120

static void make_load(int kind, double *rates)
{
    struct rng rng;
    rng_init(&rng, (uint64_t)kind);
    double level = 800;
    for (int n = 0; n < SMALL; n++) {
        if (kind == 0) /* a slow wave */
            rates[n] = 1500 + 1000 * ((n % 120 < 60 ? n % 60 : 60 - n % 60) / 60.0 - 0.5);
        else if (kind == 1) /* spikes */
            rates[n] = n % 40 < 4 ? 4000 : 1000;
        else if (kind == 2) /* steps */
            rates[n] = n < 40 ? 500 : n < 80 ? 3000 : 1200;
        else { /* a random walk */
            level += 400 * (rng_unit(&rng) - 0.5);
            level = CLAMP(level, 200, 3000);
            rates[n] = level;
        }
    }
}

static void test_nobody_is_better(void **state)
{
    static const int64_t boots_s[] = { 5, 300 };
    double rates[SMALL];
    struct trace t = { .step_us = 60 * US_PER_S, .count = SMALL, .rates = rates };
    for (int kind = 0; kind < 4; kind++) {
        make_load(kind, rates);
        for (size_t b = 0; b < ARRAY_LEN(boots_s); b++) {
            for (size_t n = 0; policy_all[n + 1]; n++) {
                struct score s = run_policy(&t, policy_all[n], boots_s[b], 0, 0);
                struct score o = run_policy(&t, policy_find("oracle"), boots_s[b], 0, s.violations);
                if (o.violations > s.violations + 1e-9 ||
                    o.instance_hours > s.instance_hours + 1e-9)
                    fail_msg("load %d, boot %lld s: %s has %g violations and %g h, the oracle %g "
                             "and %g h",
                             kind, (long long)boots_s[b], policy_all[n]->name, s.violations,
                             s.instance_hours, o.violations, o.instance_hours);
            }
        }
    }
}

static void test_what_a_start_takes_is_all_it_pays(void **state)
{
    double rates[200];
    struct trace t = { .step_us = US_PER_S, .count = ARRAY_LEN(rates), .rates = rates };
    /* 2 needed from 100 to 120 and from 150 to 160; else 1 */
    for (size_t n = 0; n < ARRAY_LEN(rates); n++)
        rates[n] = (n >= 100 && n < 120) || (n >= 150 && n < 160) ? 190 : 90;
    struct score s = run_policy(&t, policy_find("oracle"), 10, 1, 0);
    assert_float_equal(s.instance_hours * 3600, 200 + (20 + 10) + (10 + 10), 1.01);
    s = run_policy(&t, policy_find("oracle"), 40, 1, 0); /* the gap of 30 s is kept */
    assert_float_equal(s.instance_hours * 3600, 200 + (60 + 40), 1.01);
    assert_float_equal(s.violations, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_nobody_is_better),
        cmocka_unit_test(test_what_a_start_takes_is_all_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
