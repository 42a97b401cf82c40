/* How fast the simulator is: a year at tick fidelity, with the default policy, which learns what to
 * keep free, and with a plain target; and requests a second at request fidelity. One JSON line for
 * each, best of three: what else runs on the machine can only make it slower. `sim_bench tick` or
 * `sim_bench request` runs one of the two. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/default_policy.h"
#include "sim/run.h"

#define REPEATS 3
#define LONG_S 10 /* what takes longer is run once */
#define YEAR_HOURS (365 * 24)
#define CAPACITY 100.0
#define SLOTS 20.0

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Days and weeks with noise on them, about as many requests as fifteen instances do. */
static void make_load(struct trace *t, double *rates, size_t hours)
{
    static const double day[24] = { 5,  4,  3,  3,  3,  4,  6,  9,  12, 14, 15, 16,
                                    17, 16, 15, 15, 15, 16, 18, 20, 19, 15, 11, 7 };
    struct rng r;
    rng_init(&r, 1);
    for (size_t n = 0; n < hours; n++) {
        double weekend = n / 24 % 7 >= 5 ? 0.7 : 1;
        double noise = 0.9 + 0.2 * rng_unit(&r);
        rates[n] = CAPACITY * 1.3 * day[n % 24] * weekend * noise;
    }
    *t = (struct trace){ .name = "bench", .step_us = US_PER_HOUR, .count = hours, .rates = rates };
}

/* The best of several, in CPU seconds; -1 when it cannot be simulated. */
static double measure(const struct run_options *o, struct score *ret)
{
    double best = -1;
    for (int n = 0; n < REPEATS && best < LONG_S; n++) {
        struct run_result r;
        struct err err = { 0 };
        double begin = now_s();
        if (run_simulate(o, &r, &err) < 0) {
            fprintf(stderr, "sim_bench: %s\n", err.text);
            return -1;
        }
        double took = now_s() - begin;
        *ret = r.score;
        run_result_done(&r);
        best = best < 0 ? took : MIN(best, took);
    }
    return best;
}

static int bench_tick(struct run_options *o, double *rates, const char *policy)
{
    struct trace t;
    struct score r;
    make_load(&t, rates, YEAR_HOURS);
    o->trace = &t;
    o->fidelity = RUN_TICK;
    double took = measure(o, &r);
    printf("{\"bench\":\"simulate a year\",\"fidelity\":\"tick\",\"policy\":\"%s\","
           "\"seconds\":%.2f,\"ns_per_step\":%.0f,\"moves\":%llu}\n",
           policy, took, 1e9 * took / (YEAR_HOURS * 3600.0), (unsigned long long)r.moves);
    return took < 0;
}

static int bench_request(struct run_options *o, double *rates, enum run_service service,
                         const char *name)
{
    struct trace t;
    struct score r;
    make_load(&t, rates, 24);
    trace_scale_time(&t, 24); /* a day within an hour */
    o->trace = &t;
    o->fidelity = RUN_REQUEST;
    o->service = service;
    double took = measure(o, &r);
    printf("{\"bench\":\"simulate requests\",\"fidelity\":\"request\",\"service\":\"%s\","
           "\"seconds\":%.2f,\"requests\":%.0f,\"requests_per_s\":%.0f}\n",
           name, took, r.requests, took > 0 ? r.requests / took : 0);
    return took < 0;
}

/* The target that autoscalers have by themselves: so much in use, and never more or less. */
static void make_plain(struct default_policy *p)
{
    p->service.rules[0].target.headroom_auto = false;
    p->service.rules[0].target.value = SLOTS * 0.7;
}

int main(int argc, char **argv)
{
    static double rates[YEAR_HOURS];
    struct default_policy policy, plain;
    default_policy_init(&policy, SLOTS);
    default_policy_init(&plain, SLOTS);
    make_plain(&plain);
    struct run_options o = {
        .policy = &policy_plimsoll,
        .model = &policy.model,
        .capacity = CAPACITY,
        .slots = SLOTS,
        .seed = 1,
        .fleet = { .boot_us = 60 * US_PER_S },
    };
    int failed = 0;
    if (argc < 2 || strcmp(argv[1], "tick") == 0) {
        failed |= bench_tick(&o, rates, "default");
        o.model = &plain.model;
        failed |= bench_tick(&o, rates, "plain target");
        o.model = &policy.model;
    }
    if (argc < 2 || strcmp(argv[1], "request") == 0) {
        failed |= bench_request(&o, rates, RUN_FIXED, "fixed");
        failed |= bench_request(&o, rates, RUN_EXPONENTIAL, "exponential");
    }
    return failed;
}
