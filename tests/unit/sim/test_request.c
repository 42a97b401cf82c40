/* The world of requests against what queueing theory says of it: waits and their quantiles,
 * Little's law, insensitivity of processor sharing; and that no request is ever forgotten. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "core/queueing.h"
#include "sim/request/request_world.h"

/* A load that stays as it is. */
struct steady {
    double rate[1];
    struct trace trace;
    struct run_options options;
};

static void steady_init(struct steady *s, double rate, double seconds)
{
    *s = (struct steady){ .rate = { rate } };
    s->trace = (struct trace){ .step_us = (int64_t)(seconds * (double)US_PER_S),
                               .count = 1,
                               .rates = s->rate };
    s->options = (struct run_options){
        .fidelity = RUN_REQUEST,
        .trace = &s->trace,
        .capacity = 100,
        .slots = 1,
        .slo_wait_s = 0.5,
        .queue_s = 1e6,
        .service = RUN_EXPONENTIAL,
        .discipline = RUN_FIRST_COME,
        .seed = 7,
        .fleet = { .boot_us = US_PER_S },
    };
}

/* The whole trace with a fleet that stays as it is. */
static void run_through(struct request_world *w, const struct run_options *o, int32_t instances)
{
    struct err err = { 0 };
    assert_int_equal(request_world_init(w, o, instances, &err), 0);
    assert_int_equal(request_world_advance(w, trace_length_us(o->trace) * REQUEST_NS_PER_US), 0);
}

static void assert_near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance * fabs(wanted)))
        fail_msg("%.9g is not within %.3g of %.9g", got, tolerance, wanted);
}

static void assert_conserved(const struct request_world *w)
{
    const struct request_counts *c = &w->counts;
    assert_int_equal(c->arrived,
                     c->answered + c->refused + c->lost + w->queue.count + w->pool.in_flight);
}

static void test_waits_of_m_m_c(void **state)
{
    static const struct {
        double load;
        double slots;
        int32_t instances;
    } cases[] = {
        { 0.5, 1, 1 }, { 0.8, 1, 1 }, { 0.9, 1, 1 },   { 0.8, 4, 1 },
        { 0.8, 1, 4 }, { 0.9, 5, 4 }, { 0.95, 20, 1 }, { 0.7, 2, 10 },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct steady s;
        struct request_world *w = calloc(1, sizeof(*w));
        double rate = cases[n].load * 100 * cases[n].instances;
        steady_init(&s, rate, 1e6 / rate);
        s.options.slots = cases[n].slots;
        struct queueing_load load = { rate, cases[n].slots / 100, 1, 1 };
        int64_t servers = (int64_t)(cases[n].slots * cases[n].instances);
        struct queueing q = queueing_of(&load, servers);
        s.options.slo_wait_s = 0.3 / (100 * cases[n].instances * (1 - cases[n].load));
        run_through(w, &s.options, cases[n].instances);
        assert_conserved(w);
        assert_int_equal(w->counts.refused + w->counts.lost, 0);
        assert_near(request_latency_mean_s(&w->latency), queueing_sojourn_mean_s(&q), 0.03);
        for (size_t k = 0; k < 3; k++) {
            double ratio = (const double[]){ 0.5, 0.95, 0.99 }[k];
            assert_near(request_latency_quantile_s(&w->latency, ratio),
                        queueing_sojourn_quantile_s(&q, ratio), 0.04);
        }
        assert_near((double)w->counts.waited / (double)w->counts.answered,
                    queueing_wait_over(&q, s.options.slo_wait_s), 0.04);
        assert_near(w->busy_ns / w->slots_ns, cases[n].load, 0.01);
        request_world_done(w);
        free(w);
    }
}

/* Pollaczek and Khinchine: W = S + rho S (1 + cv^2) / (2 (1 - rho)). */
static void test_mean_of_m_g_1(void **state)
{
    static const struct {
        enum run_service service;
        double cv, load;
    } cases[] = {
        { RUN_FIXED, 0, 0.5 },       { RUN_FIXED, 0, 0.9 },       { RUN_EXPONENTIAL, 1, 0.8 },
        { RUN_LOGNORMAL, 1, 0.8 },   { RUN_LOGNORMAL, 0.5, 0.7 }, { RUN_LOGNORMAL, 2, 0.6 },
        { RUN_HISTOGRAM, 0.7, 0.8 },
    };
    /* Two halves, even in 0 to 2 and in 6 to 8: mean 4, variance 9 + 4/12. */
    static const struct run_histogram histogram = { 3, { { 2, 0.5 }, { 6, 0 }, { 8, 0.5 } } };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct steady s;
        struct request_world *w = calloc(1, sizeof(*w));
        steady_init(&s, 100 * cases[n].load, 10000);
        s.options.service = cases[n].service;
        s.options.service_cv = cases[n].cv;
        s.options.histogram = &histogram;
        double cv2 = cases[n].cv * cases[n].cv;
        if (cases[n].service == RUN_HISTOGRAM)
            cv2 = (9 + 4.0 / 12) / 16;
        double wait = cases[n].load * 0.01 * (1 + cv2) / (2 * (1 - cases[n].load));
        run_through(w, &s.options, 1);
        assert_conserved(w);
        assert_near(request_latency_mean_s(&w->latency), 0.01 + wait, 0.03);
        request_world_done(w);
        free(w);
    }
}

/* S / (1 - rho), whatever the distribution: Kleinrock, "Queueing Systems" 2, 4.4. */
static void test_sharing_is_insensitive(void **state)
{
    static const struct {
        enum run_service service;
        double cv;
    } cases[] = {
        { RUN_FIXED, 0 }, { RUN_EXPONENTIAL, 0 }, { RUN_LOGNORMAL, 1 }, { RUN_LOGNORMAL, 2 }
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        for (double load = 0.3; load < 0.85; load += 0.25) {
            struct steady s;
            struct request_world *w = calloc(1, sizeof(*w));
            steady_init(&s, 100 * load, 6e5 / (100 * load));
            s.options.service = cases[n].service;
            s.options.service_cv = cases[n].cv;
            s.options.discipline = RUN_SHARED;
            s.options.concurrency_max = 1000000;
            run_through(w, &s.options, 1);
            assert_conserved(w);
            assert_near(request_latency_mean_s(&w->latency), 0.01 / (1 - load), 0.03);
            request_world_done(w);
            free(w);
        }
    }
}

/* L = lambda W: what is seen at moments of no meaning against what each request took. */
static void test_law_of_little(void **state)
{
    for (int discipline = RUN_SHARED; discipline <= RUN_FIRST_COME; discipline++) {
        struct steady s;
        struct err err;
        struct request_world *w = calloc(1, sizeof(*w));
        steady_init(&s, 425, 2000);
        s.options.slots = 10;
        s.options.service = RUN_LOGNORMAL;
        s.options.service_cv = 1.5;
        s.options.discipline = (enum run_discipline)discipline;
        s.options.fleet.noisy_share = 0.2;
        s.options.fleet.noisy_slowdown = 1.1;
        assert_int_equal(request_world_init(w, &s.options, 5, &err), 0);
        double seen = 0;
        for (int64_t n = 1; n <= 200000; n++) {
            assert_int_equal(request_world_advance(w, n * REQUEST_NS_PER_S / 100), 0);
            seen += w->pool.in_flight + w->queue.count;
        }
        double rate = (double)w->counts.answered / 2000;
        assert_near(seen / 200000, rate * request_latency_mean_s(&w->latency), 0.01);
        request_world_done(w);
        free(w);
    }
}

/* Arrivals in each step are Poisson with the integral of the line through the steps' centres. */
static void test_arrivals_follow_the_trace(void **state)
{
    double rates[] = { 100, 400, 0, 0, 1000 };
    struct trace t = { .step_us = 100 * US_PER_S, .count = ARRAY_LEN(rates), .rates = rates };
    double counted[10] = { 0 };
    struct request_arrivals a;
    int64_t before_ns = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        request_arrivals_init(&a, &t, seed);
        before_ns = 0;
        for (int64_t at_ns; (at_ns = request_arrivals_next(&a)) != INT64_MAX; before_ns = at_ns) {
            assert_true(at_ns >= before_ns && at_ns < 500 * REQUEST_NS_PER_S);
            counted[at_ns / (50 * REQUEST_NS_PER_S)]++;
        }
        assert_int_equal(request_arrivals_next(&a), INT64_MAX);
    }
    for (size_t half = 0; half < ARRAY_LEN(counted); half++) {
        double from = trace_at(&t, (int64_t)half * 50 * US_PER_S);
        double to = trace_at(&t, (int64_t)(half + 1) * 50 * US_PER_S);
        double wanted = 20 * 50 * (from + to) / 2;
        double got = counted[half];
        if (fabs(got - wanted) > 4 * sqrt(wanted))
            fail_msg("half %zu: %g arrivals, %g are due", half, got, wanted);
    }
}

static void test_exponential_numbers(void **state)
{
    struct request_exponential e;
    struct rng r;
    double sum = 0, squares = 0, over[12] = { 0 };
    const int draws = 2000000;
    request_exponential_init(&e);
    rng_init(&r, 5);
    for (int n = 0; n < draws; n++) {
        double x = request_exponential_draw(&e, &r);
        sum += x;
        squares += x * x;
        for (int k = 0; k < (int)ARRAY_LEN(over) && x > k; k++)
            over[k]++;
    }
    assert_near(sum / draws, 1, 0.003);
    assert_near(squares / draws, 2, 0.01);
    for (int k = 1; k < (int)ARRAY_LEN(over); k++) {
        double wanted = draws * exp(-k);
        if (fabs(over[k] - wanted) > 4 * sqrt(wanted))
            fail_msg("%g of %d numbers are above %d, %g should be", over[k], draws, k, wanted);
    }
}

static void test_latency_percentiles(void **state)
{
    struct request_latency *l = calloc(2, sizeof(*l));
    request_latency_init(&l[0]);
    request_latency_init(&l[1]);
    assert_true(request_latency_quantile_s(l, 0.5) == 0);
    for (int64_t n = 1; n <= 100000; n++)
        request_latency_add(l, n * 1000);
    for (double ratio = 0.01; ratio < 1; ratio += 0.01)
        assert_near(request_latency_quantile_s(l, ratio), ratio * 0.1, 0.01);
    request_latency_add(l, 0);
    request_latency_add(l, INT64_MAX);
    request_latency_move(&l[0], &l[1]);
    assert_int_equal(l[0].count, 0);
    assert_int_equal(l[1].count, 100002);
    assert_near(request_latency_quantile_s(&l[1], 0.5), 0.05, 0.01);
    request_latency_add(&l[0], 3);
    assert_true(request_latency_quantile_s(&l[0], 1) <= 4e-9);
    free(l);
}

/* -- a policy that does as it is told -------------------------------------------------------------
 */

struct puppet {
    int32_t desired;
    uint64_t bells;
};

static void *puppet_open(const struct policy_setup *s)
{
    struct puppet *p = calloc(1, sizeof(*p));
    p->desired = s->initial;
    return p;
}

/* Up and down all the time. */
static void puppet_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct puppet *p = self;
    p->desired = 4 + (int32_t)(v->now_us / (7 * US_PER_S) % 5);
    fleet_set_count(fleet, p->desired);
}

static int32_t puppet_desired(const void *self)
{
    return ((const struct puppet *)self)->desired;
}

static const char *puppet_why(const void *self)
{
    return "because";
}

static uint64_t puppet_bells;

static void puppet_bell(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct puppet *p = self;
    p->bells++;
    puppet_bells++;
    fleet_set_count(fleet, p->desired + 1);
}

static uint32_t puppet_mark(const void *self)
{
    return 90;
}

static const struct policy_ops puppet = {
    .name = "puppet",
    .open = puppet_open,
    .step = puppet_step,
    .desired = puppet_desired,
    .why = puppet_why,
    .close = free,
    .bell = puppet_bell,
    .mark = puppet_mark,
};

/* Everything that can go wrong, and draining, and the bell. */
static struct run_options everything(const struct trace *t)
{
    return (struct run_options){
        .fidelity = RUN_REQUEST,
        .trace = t,
        .policy = &puppet,
        .capacity = 100,
        .slots = 20,
        .slo_wait_s = 0.5,
        .slo_latency_s = 2,
        .queue_s = 1.5,
        .service = RUN_LOGNORMAL,
        .service_cv = 2,
        .discipline = RUN_SHARED,
        .concurrency_max = 30,
        .seed = 99,
        .cost = 0.1,
        .fleet = {
            .boot_us = 3 * US_PER_S,
            .boot_spread = 0.5,
            .start_failures = 0.1,
            .crashes_per_day = 300,
            .noisy_share = 0.2,
            .noisy_slowdown = 2,
        },
    };
}

static double ramp[] = { 300, 500, 700, 400 };
static const struct trace ramp_trace = { .step_us = 100 * US_PER_S, .count = 4, .rates = ramp };

/* The numbers are the same on every machine, compiler and level of optimisation. Should a change of
 * the model change them on purpose, the new ones belong here. */
static void test_same_seed_same_numbers(void **state)
{
    static const struct {
        enum run_discipline discipline;
        double requests, waited, refused, latency_p99_s, instance_hours;
    } cases[] = {
        { RUN_SHARED, 190838, 87436, 11362, 3.2803910868247339, 0.72890268083333365 },
        { RUN_FIRST_COME, 190838, 81951, 14211, 2.8178702939621068, 0.72666405888888952 },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct run_options o = everything(&ramp_trace);
        struct run_result r;
        struct err err = { 0 };
        o.discipline = cases[n].discipline;
        puppet_bells = 0;
        assert_int_equal(run_request(&o, &r, &err), 0);
        assert_true(puppet_bells > 10);
        assert_true(r.score.requests == cases[n].requests);
        assert_true(r.score.waited == cases[n].waited);
        assert_true(r.score.refused == cases[n].refused);
        assert_true(r.score.latency_p99_s == cases[n].latency_p99_s);
        assert_true(r.score.instance_hours == cases[n].instance_hours);
        run_result_done(&r);
    }
}

static void test_nothing_is_forgotten(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct run_options o = everything(&ramp_trace);
        struct request_world *w = calloc(1, sizeof(*w));
        struct err err;
        struct rng r;
        o.seed = seed;
        o.discipline = seed % 2 ? RUN_SHARED : RUN_FIRST_COME;
        o.balance = (const char *const[]){ "least-conn", "random-two", "round-robin" }[seed % 3];
        o.fleet.crashes_per_day = 3000;
        rng_init(&r, seed);
        assert_int_equal(request_world_init(w, &o, 4, &err), 0);
        for (int64_t n = 1; n <= 4000; n++) {
            assert_int_equal(request_world_advance(w, n * REQUEST_NS_PER_S / 10), 0);
            assert_conserved(w);
            if (n % 20 == 0) {
                fleet_set_count(&w->fleet, (int32_t)rng_below(&r, 10));
                assert_int_equal(request_world_follow(w), 0);
            }
        }
        assert_true(w->counts.lost > 0 && w->counts.refused > 0 && w->counts.waited > 0);
        assert_true(w->fleet.stops > 100 && w->fleet.crashes > 10 && w->fleet.failed_starts > 10);
        request_world_done(w);
        free(w);
    }
}

/* With nobody ready the queue holds what came, until its deadline. */
/* Whose answer nobody has seen by the end has waited all the same. */
static void test_the_end_is_no_answer(void **state)
{
    static const enum run_discipline disciplines[] = { RUN_SHARED, RUN_FIRST_COME };
    for (size_t n = 0; n < ARRAY_LEN(disciplines); n++) {
        struct steady s;
        struct request_world *w = calloc(1, sizeof(*w));
        steady_init(&s, 10, 1000);
        s.options.capacity = 0.0001;
        s.options.service = RUN_FIXED;
        s.options.discipline = disciplines[n];
        s.options.concurrency_max = 50;
        run_through(w, &s.options, 1);
        assert_int_equal(w->counts.answered, 0);
        request_world_end(w);
        assert_true(w->counts.waited > 100);
        assert_true(w->counts.waited + w->counts.refused + 20 > w->counts.arrived);
        request_world_done(w);
        free(w);
    }
}

static void test_queue_has_a_deadline(void **state)
{
    struct steady s;
    struct err err;
    struct request_world *w = calloc(1, sizeof(*w));
    steady_init(&s, 20, 60);
    s.options.queue_s = 2;
    s.options.slo_wait_s = 1;
    s.options.service = RUN_FIXED;
    s.options.fleet.boot_us = 30 * US_PER_S;
    assert_int_equal(request_world_init(w, &s.options, 0, &err), 0);
    fleet_set_count(&w->fleet, 1);
    assert_int_equal(request_world_advance(w, 30 * REQUEST_NS_PER_S - 1), 0);
    assert_int_equal(w->counts.answered, 0);
    assert_int_equal(w->counts.refused + w->queue.count, w->counts.arrived);
    assert_int_equal(request_world_advance(w, 60 * REQUEST_NS_PER_S), 0);
    assert_conserved(w);
    assert_true(request_latency_quantile_s(&w->latency, 1) <= 2.4 + 0.01);
    request_world_done(w);
    free(w);
}

static void test_bad_options(void **state)
{
    static const struct run_histogram backwards = { 2, { { 2, 0.5 }, { 1, 0.5 } } };
    static const struct run_histogram empty = { 1, { { 2, 0 } } };
    struct {
        enum run_service service;
        double cv;
        const struct run_histogram *histogram;
        const char *balance, *text;
    } cases[] = {
        { RUN_HISTOGRAM, 0, NULL, NULL, "need one" },
        { RUN_HISTOGRAM, 0, &backwards, NULL, "bucket 2" },
        { RUN_HISTOGRAM, 0, &empty, NULL, "empty" },
        { RUN_LOGNORMAL, -1, NULL, NULL, "coefficient" },
        { RUN_LOGNORMAL, (double)NAN, NULL, NULL, "coefficient" },
        { RUN_FIXED, 0, NULL, "magic", "magic" },
    };
    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct run_options o = everything(&ramp_trace);
        struct run_result r;
        struct err err = { 0 };
        o.service = cases[n].service;
        o.service_cv = cases[n].cv;
        o.histogram = cases[n].histogram;
        o.balance = cases[n].balance;
        assert_int_equal(run_request(&o, &r, &err), -EINVAL);
        assert_non_null(strstr(err.text, cases[n].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_of_m_m_c),
        cmocka_unit_test(test_mean_of_m_g_1),
        cmocka_unit_test(test_sharing_is_insensitive),
        cmocka_unit_test(test_law_of_little),
        cmocka_unit_test(test_arrivals_follow_the_trace),
        cmocka_unit_test(test_exponential_numbers),
        cmocka_unit_test(test_latency_percentiles),
        cmocka_unit_test(test_same_seed_same_numbers),
        cmocka_unit_test(test_nothing_is_forgotten),
        cmocka_unit_test(test_the_end_is_no_answer),
        cmocka_unit_test(test_queue_has_a_deadline),
        cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
