/* The peers, step by step, against numbers worked out by hand from their sources. */
#include "rig.h"

#define STEPS_MAX 8

/* Until that second the load is this; then so many are wanted. */
struct step {
    int64_t until_s;
    struct rig_load load;
    int32_t desired;
};

static const struct {
    const char *policy, *about;
    int32_t initial;
    int64_t boot_s;
    struct step steps[STEPS_MAX];
} cases[] = {
    { "hpa",
      "ceil(90 / 70 * 10), a look every 15 s",
      10,
      0,
      { { 14, { .utilisation = 0.9 }, 10 }, { 15, { .utilisation = 0.9 }, 13 } } },
    { "hpa",
      "the percentage is cut to a whole number",
      10,
      0,
      { { 15, { .utilisation = 0.7799 }, 10 }, { 30, { .utilisation = 0.789 }, 12 } } },
    { "hpa",
      "within a tenth nothing happens",
      10,
      0,
      { { 60, { .utilisation = 0.76 }, 10 }, { 120, { .utilisation = 0.64 }, 10 } } },
    { "hpa",
      "in to the most that was recommended within 300 s",
      10,
      0,
      { { 285, { .utilisation = 0.35 }, 10 }, { 300, { .utilisation = 0.35 }, 5 } } },
    { "hpa",
      "those that start count as idle when more are wanted: 80 % of 10 is 62 % of 13",
      10,
      60,
      { { 15, { .utilisation = 0.9 }, 13 }, { 30, { .utilisation = 0.8 }, 13 } } },
    { "knative",
      "70 % of 20 at a time is what one is to have",
      1,
      0,
      { { 10, { .concurrency = 14 }, 1 }, { 12, { .concurrency = 14 }, 1 } } },
    { "knative",
      "6 s that need twice the pods: panic, and the most that was seen",
      1,
      0,
      { { 60, { .concurrency = 10 }, 1 },
        { 62, { .concurrency = 140 }, 4 },
        { 64, { .concurrency = 140 }, 7 },
        { 66, { .concurrency = 140 }, 10 },
        { 90, { .concurrency = 10 }, 10 } } },
    { "knative",
      "begins in panic; then to a half at a time",
      10,
      0,
      { { 60, { .concurrency = 14 }, 10 },
        { 62, { .concurrency = 14 }, 5 },
        { 64, { .concurrency = 14 }, 2 },
        { 66, { .concurrency = 14 }, 1 } } },
    { "nomad",
      "ceil(10 * 50 / 70), then nothing for 5 min",
      10,
      0,
      { { 9, { .utilisation = 0.5 }, 10 },
        { 10, { .utilisation = 0.5 }, 8 },
        { 300, { .utilisation = 0.2 }, 8 },
        { 310, { .utilisation = 0.2 }, 3 } } },
    { "nomad",
      "within a hundredth nothing happens",
      10,
      0,
      { { 100, { .utilisation = 0.695 }, 10 } } },
    { "aws_target",
      "out after three points: ceil(10 * 90 / 70)",
      10,
      60,
      { { 179, { .utilisation = 0.9 }, 10 }, { 180, { .utilisation = 0.9 }, 13 } } },
    { "aws_target",
      "in after fifteen, by whole ones: 2.86 too many are 2",
      10,
      60,
      { { 899, { .utilisation = 0.5 }, 10 }, { 900, { .utilisation = 0.5 }, 8 } } },
    { "aws_target",
      "no scale-in while one warms up",
      10,
      60,
      { { 180, { .utilisation = 0.9 }, 13 }, { 479, { .utilisation = 0.1 }, 13 } } },
    { "aws_step",
      "10 over: a tenth more, after two points",
      10,
      60,
      { { 119, { .utilisation = 0.75 }, 10 }, { 120, { .utilisation = 0.75 }, 11 } } },
    { "aws_target",
      "on the target, and not a hair above it",
      10,
      60,
      { { 900, { .utilisation = 0.7 }, 10 } } },
    { "aws_step",
      "its bound belongs to the further step: 10 over",
      10,
      60,
      { { 119, { .utilisation = 0.7 }, 10 }, { 120, { .utilisation = 0.7 }, 11 } } },
    { "aws_step",
      "its bound belongs to the further step: 10 under",
      10,
      60,
      { { 119, { .utilisation = 0.3 }, 10 }, { 120, { .utilisation = 0.3 }, 9 } } },
    { "aws_step", "20 over: 30 percent more", 10, 60, { { 120, { .utilisation = 0.95 }, 13 } } },
    { "aws_step",
      "just under the threshold: nothing; 10 under: a tenth less",
      10,
      60,
      { { 240, { .utilisation = 0.35 }, 10 }, { 300, { .utilisation = 0.25 }, 9 } } },
    { "aws_step",
      "what warms up counts as added",
      10,
      60,
      { { 120, { .utilisation = 0.75 }, 11 }, { 240, { .utilisation = 0.75 }, 11 } } },
    { "uwsgi",
      "busy: one more each cycle of 3 s",
      2,
      0,
      { { 2, { .utilisation = 0.6 }, 2 },
        { 3, { .utilisation = 0.6 }, 3 },
        { 6, { .utilisation = 0.6 }, 4 } } },
    { "uwsgi",
      "idle: one less after ten cycles",
      2,
      0,
      { { 29, { .utilisation = 0.1 }, 2 }, { 30, { .utilisation = 0.1 }, 1 } } },
    { "uwsgi",
      "stopped too soon: the next stop comes two cycles later",
      3,
      0,
      { { 30, { .utilisation = 0.1 }, 2 },
        { 33, { .utilisation = 0.6 }, 3 },
        { 66, { .utilisation = 0.1 }, 3 },
        { 69, { .utilisation = 0.1 }, 2 } } },
    { "uwsgi",
      "a backlog above 33: one each second",
      2,
      0,
      { { 1, { .utilisation = 0.4, .queued = 33 }, 2 },
        { 2, { .utilisation = 0.4, .queued = 34 }, 3 },
        { 4, { .utilisation = 0.4, .queued = 34 }, 5 } } },
    { "uwsgi",
      "any backlog for 60 s: one",
      2,
      0,
      { { 60, { .utilisation = 0.4, .queued = 1 }, 2 },
        { 61, { .utilisation = 0.4, .queued = 1 }, 3 },
        { 120, { .utilisation = 0.4, .queued = 1 }, 3 } } },
    { "autopilot",
      "the end of the bucket (10.25) and 15 %; kept for an hour",
      10,
      0,
      { { 299, { .arrivals = 1000 }, 10 },
        { 300, { .arrivals = 1000 }, 12 },
        { 3000, { .arrivals = 100 }, 12 } } },
    { "react",
      "two above the need, down when more than two are idle",
      5,
      0,
      { { 60, { .arrivals = 350 }, 5 },
        { 120, { .arrivals = 150 }, 4 },
        { 180, { .arrivals = 900 }, 11 } } },
    { "adapt",
      "up at once to the need and 2; down slowly, and never below that",
      5,
      0,
      { { 60, { .arrivals = 800 }, 10 },
        { 120, { .arrivals = 800 }, 10 },
        { 360, { .arrivals = 200 }, 9 },
        { 6000, { .arrivals = 200 }, 4 } } },
    { "hist",
      "the 95th percentile of the hour and the mean of what was lacking",
      5,
      0,
      { { 60, { .arrivals = 300 }, 3 }, { 120, { .arrivals = 800 }, 11 } } },
    { "reg",
      "up to the need, down along the parabola",
      5,
      0,
      { { 60, { .arrivals = 720 }, 8 },
        { 120, { .arrivals = 700 }, 7 },
        { 180, { .arrivals = 600 }, 6 } } },
    { "conpaas",
      "the need at first, then what is foreseen of a rising load",
      5,
      0,
      { { 60, { .arrivals = 450 }, 5 },
        { 120, { .arrivals = 950 }, 10 },
        { 3600, { .arrivals = 450 }, 5 } } },
};

/* The clock of a load may stand anywhere. */
static void test_before_1970(void **state)
{
    static const struct rig_load load = { .arrivals = 300 };
    struct rig r;
    rig_begin(&r, "hist", 5, 0, NULL);
    r.wall_us = -5 * US_PER_HOUR;
    rig_run(&r, 120, &load);
    assert_int_equal(rig_desired(&r), 3);
    rig_end(&r);
}

static void test_steps(void **state)
{
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct rig r;
        rig_begin(&r, cases[n].policy, cases[n].initial, cases[n].boot_s, NULL);
        for (const struct step *s = cases[n].steps; s < cases[n].steps + STEPS_MAX; s++) {
            if (s->until_s == 0)
                break;
            rig_run(&r, s->until_s, &s->load);
            if (rig_desired(&r) != s->desired)
                fail_msg("%s, %s: at %lld s %d, not %d", cases[n].policy, cases[n].about,
                         (long long)s->until_s, rig_desired(&r), s->desired);
            assert_int_equal(r.fleet.ready + r.fleet.starting, s->desired);
        }
        rig_end(&r);
    }
}

static void test_conpaas_sees_a_line(void **state)
{
    struct rig r;
    rig_begin(&r, "conpaas", 1, 0, NULL);
    for (int minute = 1; minute <= 60; minute++)
        rig_run(&r, minute * 60, &(struct rig_load){ .arrivals = 20.0 * minute });
    /* now 12 servers' worth; a line through it comes to 14 when the near steps weigh most */
    assert_in_range(rig_desired(&r), 12, 15);
    rig_end(&r);
}

static void test_fixed_fleets(void **state)
{
    double rates[] = { 100, 950, 300 };
    struct trace t = { .step_us = 60 * US_PER_S, .count = 3, .rates = rates };
    struct rig r;
    rig_begin(&r, "static_mean", 2, 0, &t);
    rig_run(&r, 5, &(struct rig_load){ 0 });
    assert_int_equal(r.fleet.count, 5); /* 450 / 100 */
    rig_end(&r);
    rig_begin(&r, "static_peak", 2, 0, &t);
    rig_run(&r, 5, &(struct rig_load){ 0 });
    assert_int_equal(r.fleet.count, 10);
    rig_end(&r);
}

static void test_every_policy_survives_nonsense(void **state)
{
    static const struct rig_load loads[] = {
        { 0, 0, 0, 0 },
        { 1, 1e300, 1e300, 1e300 },
        { 0.5, 1, 0, 1 },
    };
    double rates[] = { 1, 2 };
    struct trace t = { .step_us = 3600 * US_PER_S, .count = 2, .rates = rates };
    for (size_t n = 0; policy_all[n]; n++) {
        if (policy_all[n] == &policy_plimsoll)
            continue; /* has a model; see test_tick.c */
        struct rig r;
        rig_begin(&r, policy_all[n]->name, 3, 5, &t);
        for (int64_t k = 1; k <= 60; k++)
            rig_run(&r, k * 60, &loads[k % 3]);
        assert_in_range(rig_desired(&r), 1, MODEL_COUNT_MAX);
        rig_end(&r);
    }
}

static void test_a_lost_instance_is_replaced(void **state)
{
    struct rig r;
    const struct rig_load load = { .utilisation = 0.7 };
    rig_begin(&r, "hpa", 4, 5, NULL);
    rig_run(&r, 1, &load);
    fleet_stop(&r.fleet, 2);
    rig_run(&r, 2, &load);
    assert_int_equal(r.fleet.starting, 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_before_1970),
        cmocka_unit_test(test_conpaas_sees_a_line),
        cmocka_unit_test(test_fixed_fleets),
        cmocka_unit_test(test_every_policy_survives_nonsense),
        cmocka_unit_test(test_a_lost_instance_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
