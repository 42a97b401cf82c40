/* The slo rule in closed loops: a service of M/M/c queues in virtual time, whose instances come
 * after a while and leave when the rule would be content with fewer; and the rule on its own where
 * it must not act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/math.h"
#include "base/rng.h"
#include "core/queueing.h"
#include "unit/core/fixture.h"

#define S US_PER_S
#define BOOT_S 10
#define STABLE_S 60
#define WORDS_MAX 64

/* What the rule does not know. */
struct service {
    double service_s, slots; /* of one instance */
    double shared_per_s;     /* all of them together do no more; 0 = no such thing */
    double shared_s;         /* ... and each request takes as long there, when it is not busy */
    double noise;            /* of a second's percentile: +- this share */
    bool arrivals;           /* are arrivals counted? */
};

struct world {
    struct fixture f;
    int64_t words[WORDS_MAX];
    struct rule_conf rule;
    struct service service;
    struct rng rng;
    double load, backlog;
    double steady, steady_p99_s, steady_mean_s; /* what the last load with these came to */
    int32_t steady_ready;
    int32_t max;
    int64_t due_s[1024]; /* instances that start, oldest first */
    int32_t due_count;
    int32_t wanted[STABLE_S];
    int64_t t;
    int32_t moves, most;
    double missed_s; /* seconds beyond the target */
    struct opinion opinion;
};

static struct world w;

static void world_init(const struct service *s, double p99_s, int32_t count)
{
    memset(&w, 0, sizeof(w));
    fixture_init(&w.f, count);
    w.f.state.more = w.words;
    w.f.state.more_count = WORDS_MAX;
    w.f.ctx.window_in_us = 60 * S;
    w.rule = (struct rule_conf){ .kind = RULE_SLO,
                                 .name = "slo",
                                 .slo = { .metric = METRIC_LATENCY_P99, .below_s = p99_s } };
    assert_true(rule_ops(RULE_SLO)->more_words(&w.rule) <= WORDS_MAX);
    w.service = *s;
    w.max = 1000;
    rng_init(&w.rng, 7);
}

static struct queueing_load load_of(double rate_per_s)
{
    return (struct queueing_load){ rate_per_s, w.service.service_s, 1, 1 };
}

static double p99_of(double rate_per_s, int32_t count)
{
    struct queueing_load load = load_of(rate_per_s);
    struct queueing q = queueing_of(&load, (int64_t)(count * w.service.slots));
    return queueing_sojourn_quantile_s(&q, 0.99);
}

static int32_t least_count(double rate_per_s)
{
    for (int32_t n = 1;; n++)
        if (p99_of(rate_per_s, n) <= w.rule.slo.below_s)
            return n;
}

static double poisson_like(double mean)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rng_unit(&w.rng);
    double x = mean + sqrt(mean) * (sum - 6);
    return x > 0 ? x : 0;
}

/* A second of the service: what is in flight, answered, and how long it took. */
static void serve(double arrived)
{
    int32_t ready = w.f.ctx.ready;
    double capacity = ready * w.service.slots / w.service.service_s;
    if (w.service.shared_per_s > 0)
        capacity = MIN(capacity, w.service.shared_per_s);
    double answered = MIN(arrived + w.backlog, capacity);
    w.backlog = MIN(MAX(0, w.backlog + arrived - answered), 5000);
    double steady = MIN(w.load, capacity * 0.99);
    if (steady != w.steady || ready != w.steady_ready) {
        struct queueing_load load = load_of(steady);
        struct queueing q = queueing_of(&load, (int64_t)(ready * w.service.slots));
        w.steady = steady;
        w.steady_ready = ready;
        w.steady_p99_s = queueing_sojourn_quantile_s(&q, 0.99);
        w.steady_mean_s = queueing_sojourn_mean_s(&q);
    }
    double p99 = w.steady_p99_s + w.backlog / capacity + w.service.shared_s;
    double mean = w.steady_mean_s + w.service.shared_s;
    w.missed_s += p99 > w.rule.slo.below_s && arrived > 0;
    p99 *= 1 + w.service.noise * (2 * rng_unit(&w.rng) - 1);
    w.f.ctx.now_us += S;
    int64_t now_us = w.f.ctx.now_us;
    series_put(&w.f.series[METRIC_CONCURRENCY], now_us, w.backlog + steady * mean);
    series_put(&w.f.series[METRIC_RPS], now_us, answered);
    series_put(&w.f.series[METRIC_LATENCY_P99], now_us, arrived > 0 ? p99 : 0);
    if (w.service.arrivals)
        series_put(&w.f.series[METRIC_ARRIVALS], now_us, arrived);
}

static void move_to(int32_t count)
{
    int32_t more = count - w.f.ctx.current;
    for (int32_t i = 0; i < more && w.due_count < (int32_t)ARRAY_LEN(w.due_s); i++)
        w.due_s[w.due_count++] = w.t + BOOT_S;
    for (int32_t i = 0; i < -more; i++) {
        if (w.due_count > 0)
            w.due_count--;
        else
            w.f.ctx.ready--;
    }
    w.moves += more != 0;
    w.f.ctx.current = count;
    w.f.ctx.starting = w.due_count;
    w.most = MAX(w.most, count);
}

static void start_due(void)
{
    while (w.due_count > 0 && w.due_s[0] <= w.t) {
        memmove(w.due_s, w.due_s + 1, sizeof(w.due_s[0]) * (size_t)--w.due_count);
        w.f.ctx.ready++;
    }
    w.f.ctx.starting = w.due_count;
}

/* Asked twice at one instant it says the same. */
static struct opinion ask(void)
{
    struct opinion o = fixture_eval(&w.f, &w.rule), again = fixture_eval(&w.f, &w.rule);
    assert_string_equal(o.text, again.text);
    assert_true(o.out == again.out && o.in == again.in && o.block_in == again.block_in &&
                o.known == again.known && (o.value == again.value || isnan(o.value)));
    return o;
}

/* Law 1 and law 3, and a stabilization of a minute. */
static void control(void)
{
    w.opinion = ask();
    int32_t current = w.f.ctx.current, want = current;
    if (w.opinion.out > current)
        want = MIN(w.opinion.out, w.max);
    else if (!w.opinion.block_in && w.opinion.in != RULE_ABSTAIN && w.opinion.in < current)
        want = MAX(1, MAX(w.opinion.in, w.opinion.out));
    double value;
    while (want < current && rule_asks_out(&w.rule, &w.opinion, &w.f.ctx, want, &value))
        want++;
    w.wanted[w.t % STABLE_S] = want;
    for (int i = 0; i < STABLE_S && want < current; i++)
        want = MIN(current, MAX(want, w.wanted[i]));
    if (want != current)
        move_to(want);
}

static void run(double rate_per_s, int seconds)
{
    w.load = rate_per_s;
    for (int i = 0; i < seconds; i++, w.t++) {
        double arrived = poisson_like(rate_per_s);
        start_due();
        serve(arrived);
        control();
        if (w.t < STABLE_S && w.moves == 0)
            w.wanted[w.t % STABLE_S] = w.f.ctx.current;
    }
}

/* -- it finds the count ------------------------------------------------------------------------
 */

struct search {
    struct service service;
    double rate_per_s, p99_s;
};

static const struct search searches[] = {
    { { .service_s = 0.02, .slots = 1, .noise = 0.1 }, 400, 0.25 },
    { { .service_s = 0.05, .slots = 1, .noise = 0.1 }, 200, 0.25 },
    { { .service_s = 0.05, .slots = 8, .noise = 0.1 }, 2000, 0.3 },
    { { .service_s = 0.005, .slots = 4, .noise = 0.1 }, 8000, 0.05 },
    { { .service_s = 0.2, .slots = 10, .noise = 0.1, .arrivals = true }, 300, 1.2 },
    { { .service_s = 0.1, .slots = 2, .noise = 0.1, .arrivals = true }, 40, 0.8 },
};

static void check_settled(const struct search *c)
{
    int32_t least = least_count(c->rate_per_s), moves = w.moves;
    double missed_s = w.missed_s;
    run(c->rate_per_s, 3600);
    assert_int_equal(w.moves, moves); /* law 6 */
    assert_in_range(w.f.ctx.current, least, least + 1 + least / 8);
    assert_true(w.missed_s - missed_s < 360);
}

static void test_finds_the_count_from_above(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(searches); i++) {
        world_init(&searches[i].service, searches[i].p99_s, 60);
        run(searches[i].rate_per_s, 3 * 3600);
        check_settled(&searches[i]);
    }
}

static void test_finds_the_count_from_below(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(searches); i++) {
        world_init(&searches[i].service, searches[i].p99_s, 2);
        run(searches[i].rate_per_s, 3 * 3600);
        check_settled(&searches[i]);
    }
}

/* -- load that changes -------------------------------------------------------------------------
 */

static const struct service web = { .service_s = 0.05, .slots = 8, .noise = 0.1 };

static void test_step_in_load(void **state)
{
    for (int counted = 0; counted < 2; counted++) {
        struct service s = web;
        s.arrivals = counted;
        world_init(&s, 0.3, 4);
        run(400, 2 * 3600);
        run(4000, 120);
        int32_t reached = w.f.ctx.ready;
        run(4000, 3 * 3600);
        assert_true(reached >= least_count(4000));
        assert_in_range(w.most, 0, 2 * least_count(4000));
        assert_in_range(w.f.ctx.current, least_count(4000), least_count(4000) * 5 / 4);
        run(400, 2 * 3600);
        assert_in_range(w.f.ctx.current, least_count(400), least_count(400) + 1);
    }
}

/* Two days, each a parabola between 200 and 2000 requests a second: what was learnt on the first
 * day is kept on the second. */
static void test_days(void **state)
{
    struct service s = web;
    s.arrivals = true;
    world_init(&s, 0.3, 4);
    double paid = 0, least = 0, missed_s = 0;
    for (int minute = 0; minute < 2 * 1440; minute++) {
        double x = (minute % 1440) / 720.0 - 1;
        double rate = 200 + 1800 * (1 - x * x);
        if (minute == 1440) {
            paid = least = 0;
            missed_s = w.missed_s;
        }
        run(rate, 60);
        paid += w.f.ctx.current;
        least += least_count(rate);
    }
    missed_s = w.missed_s - missed_s;
    assert_true(paid < 1.35 * least);
    assert_true(missed_s < 0.02 * 86400);
}

static void test_noise_moves_nothing(void **state)
{
    for (unsigned seed = 0; seed < 5; seed++) {
        struct service s = web;
        s.noise = 0.4;
        world_init(&s, 0.3, 20);
        rng_init(&w.rng, seed);
        run(1000, 4 * 3600);
        int32_t moves = w.moves;
        run(1000, 8 * 3600);
        assert_int_equal(w.moves, moves);
        assert_in_range(w.f.ctx.current, least_count(1000), least_count(1000) + 3);
    }
}

/* -- a bottleneck that they share --------------------------------------------------------------
 */

static void test_slow_database(void **state)
{
    world_init(&web, 0.3, 4);
    run(500, 2 * 3600);
    int32_t before = w.f.ctx.current;
    w.service.shared_s = 0.4;
    run(500, 3600);
    assert_non_null(strstr(w.opinion.text, "more instances did not help"));
    assert_in_range(w.most, before, 2 * before);
    assert_in_range(w.f.ctx.current, before, before + 1);
    int32_t moves = w.moves;
    run(500, 8 * 3600); /* nothing changes, nothing moves */
    assert_int_equal(w.moves, moves);
    w.service.shared_s = 0;
    run(500, 3600);
    assert_null(strstr(w.opinion.text, "did not help"));
    assert_true(p99_of(500, w.f.ctx.current) <= w.rule.slo.below_s);
    run(1500, 3600); /* and it can still grow */
    assert_true(p99_of(1500, w.f.ctx.current) <= w.rule.slo.below_s);
}

static void test_database_at_its_limit(void **state)
{
    struct service s = web;
    s.shared_per_s = 900;
    world_init(&s, 0.3, 4);
    run(600, 2 * 3600);
    int32_t before = w.f.ctx.current;
    run(1200, 2 * 3600);
    assert_non_null(strstr(w.opinion.text, "more instances did not help"));
    assert_in_range(w.most, before, 8 * before);
    int32_t moves = w.moves;
    run(1200, 8 * 3600);
    assert_in_range(w.moves, moves, moves + 8);
}

/* -- what it must not do -----------------------------------------------------------------------
 */

static void test_unknown_blocks_and_causes_nothing(void **state)
{
    static const enum metric all[] = { METRIC_CONCURRENCY, METRIC_RPS, METRIC_LATENCY_P99 };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        world_init(&web, 0.3, 20);
        run(500, 3600);
        int32_t count = w.f.ctx.current;
        for (int t = 0; t < 600; t++, w.t++) {
            serve(500);
            series_gap(&w.f.series[all[i]], w.f.ctx.now_us);
            struct opinion o = fixture_eval(&w.f, &w.rule);
            assert_true(o.block_in && !o.known);
            assert_int_equal(o.out, RULE_ABSTAIN);
            assert_int_equal(o.in, RULE_ABSTAIN);
        }
        serve(500);
        struct opinion o = fixture_eval(&w.f, &w.rule);
        assert_true(o.known && o.block_in); /* known again, not for a window */
        run(500, 3600);
        assert_in_range(w.f.ctx.current, least_count(500), count);
    }
}

/* A few slow requests: most seconds have no answer and so no latency. */
static void test_seconds_without_answers(void **state)
{
    world_init(&web, 60, 4);
    for (int t = 0; t < 3600; t++) {
        bool answered = t % 20 == 0;
        w.f.ctx.now_us += S;
        series_put(&w.f.series[METRIC_CONCURRENCY], w.f.ctx.now_us, 1.2);
        series_put(&w.f.series[METRIC_RPS], w.f.ctx.now_us, answered ? 1 : 0);
        series_put(&w.f.series[METRIC_LATENCY_P99], w.f.ctx.now_us, answered ? 24 : NAN);
        w.opinion = fixture_eval(&w.f, &w.rule);
        assert_true(w.opinion.known);
    }
    assert_false(w.opinion.block_in);
    assert_int_equal(w.opinion.in, 3);
}

static void hang(double in_flight, double arrivals)
{
    w.f.ctx.now_us += S;
    series_put(&w.f.series[METRIC_CONCURRENCY], w.f.ctx.now_us, in_flight);
    series_put(&w.f.series[METRIC_RPS], w.f.ctx.now_us, 0);
    series_put(&w.f.series[METRIC_ARRIVALS], w.f.ctx.now_us, arrivals);
    series_put(&w.f.series[METRIC_LATENCY_P99], w.f.ctx.now_us, NAN);
    control();
}

/* Nothing is answered any more, whether more come or not: that is no reason for fewer. */
static void test_hung(void **state)
{
    static const struct {
        double in_flight, more, arrivals;
    } cases[] = { { 600, 0, 0 }, { 600, 100, 100 }, { 1, 0, 0 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct service s = web;
        s.arrivals = true;
        world_init(&s, 0.25, 6);
        run(600, 600);
        int32_t count = w.f.ctx.current;
        for (int t = 0; t < 900; t++, w.t++) {
            hang(cases[i].in_flight + t * cases[i].more, cases[i].arrivals);
            assert_true(w.f.ctx.current >= count);
        }
        assert_true(!w.opinion.known && w.opinion.block_in); /* a fallback may come */
        assert_non_null(strstr(w.opinion.text, "none is answered"));
        run(600, 3600);
        assert_true(w.opinion.known && !w.opinion.block_in);
    }
}

/* Something was left of what a file said. */
static void test_words_of_a_file(void **state)
{
    static const int64_t values[] = { INT64_MAX, INT64_MIN, -1, INT64_MAX - 1 };
    for (size_t v = 0; v < ARRAY_LEN(values); v++) {
        for (size_t word = 0; word < WORDS_MAX; word++) {
            world_init(&web, 0.05, 3); /* a target that is missed */
            run(200, 70);
            w.words[word] = values[v];
            run(200, 140);
        }
    }
}

static void test_nothing_known_at_all(void **state)
{
    world_init(&web, 0.3, 3);
    struct opinion o = fixture_eval(&w.f, &w.rule);
    assert_true(o.block_in && o.out == RULE_ABSTAIN && o.in == RULE_ABSTAIN);
    fixture_count(&w.f, 0);
    o = fixture_eval(&w.f, &w.rule);
    assert_true(o.out == RULE_ABSTAIN && o.in == RULE_ABSTAIN && !o.block_in);
    fixture_count(&w.f, 3);
    w.f.ctx.ready = 0;
    run(0, 1);
    assert_true(w.opinion.block_in);
}

static void test_no_load_needs_none(void **state)
{
    world_init(&web, 0.3, 3);
    run(200, 600);
    w.load = 0;
    for (int t = 0; t < 300; t++, w.t++) {
        serve(0);
        w.opinion = fixture_eval(&w.f, &w.rule);
    }
    assert_int_equal(w.opinion.in, 0);
    assert_int_equal(w.opinion.out, 0);
}

static void test_numbers_out_of_this_world(void **state)
{
    static const double values[] = { NAN, INFINITY, -INFINITY, -5, 0, 1e-300, 1e300, 9.3e18 };
    static const enum metric all[] = { METRIC_CONCURRENCY, METRIC_RPS, METRIC_ARRIVALS,
                                       METRIC_LATENCY_P99 };
    struct rng rng;
    rng_init(&rng, 5);
    world_init(&web, 0.3, 5);
    for (int t = 0; t < 20000; t++) {
        w.f.ctx.now_us += rng_below(&rng, 20) ? S : 1 + (int64_t)rng_below(&rng, 900) * S;
        for (size_t m = 0; m < ARRAY_LEN(all); m++)
            series_put(&w.f.series[all[m]], w.f.ctx.now_us,
                       rng_below(&rng, 4) ? 100 * rng_unit(&rng)
                                          : values[rng_below(&rng, ARRAY_LEN(values))]);
        if (rng_below(&rng, 50) == 0) /* a state that somebody else wrote */
            for (size_t i = 0; i < WORDS_MAX; i++)
                w.words[i] = (int64_t)rng_u64(&rng);
        fixture_count(&w.f, (int32_t)rng_below(&rng, 9));
        struct opinion o = ask();
        assert_true(o.out == RULE_ABSTAIN || o.out >= 0);
        assert_true(o.in == RULE_ABSTAIN || (o.in >= 0 && o.in <= w.f.ctx.current));
    }
}

static void test_cost_ceiling(void **state)
{
    world_init(&web, 0.3, 4);
    w.rule.slo.cost_max = 3;
    w.f.ctx.cost = 0.25; /* 12 of them */
    run(500, 1800);
    run(4000, 1800);
    assert_int_equal(w.most, 12);
    assert_non_null(strstr(w.opinion.text, "all that the cost ceiling allows"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_the_count_from_above),
        cmocka_unit_test(test_finds_the_count_from_below),
        cmocka_unit_test(test_step_in_load),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_noise_moves_nothing),
        cmocka_unit_test(test_slow_database),
        cmocka_unit_test(test_database_at_its_limit),
        cmocka_unit_test(test_unknown_blocks_and_causes_nothing),
        cmocka_unit_test(test_seconds_without_answers),
        cmocka_unit_test(test_hung),
        cmocka_unit_test(test_words_of_a_file),
        cmocka_unit_test(test_nothing_known_at_all),
        cmocka_unit_test(test_no_load_needs_none),
        cmocka_unit_test(test_numbers_out_of_this_world),
        cmocka_unit_test(test_cost_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
