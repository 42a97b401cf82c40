/* The fluid world, a second at a time. Requests are a liquid: what arrives in a second and cannot
 * be served in it waits in one queue, and what the queue cannot hold is refused. A request violates
 * that waits longer than the SLO allows, or is refused: the wait at a second's begin is w0 = q / (N
 * c), at its end w1, linear between. Decides nothing. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/fluid.h"
#include "sim/run_int.h"

struct tick {
    const struct run_options *o;
    struct policy_setup setup;
    struct trace_cursor cursor;
    struct fleet fleet;
    struct run_watch watch;
    struct run_fold fold;
    struct run_bill bill;
    struct score_meter meter;
    struct fluid fluid;
    double service_s; /* of one request, without waiting */
    double queue;
    double paid_s; /* that the bill knows of */
};

/* A second, as it went. */
struct second {
    double arrivals, ready, capacity;
    struct fluid_second flow;
};

/* Requests a second of those that are ready; a noisy one does less. */
static double capacity(const struct tick *t)
{
    const struct fleet *f = &t->fleet;
    if (f->conf.noisy_share <= 0)
        return f->ready * t->o->capacity;
    double sum = 0;
    for (uint32_t n = 0; n < f->count; n++) {
        if (f->items[n].ready && !f->items[n].draining)
            sum += t->o->capacity / f->items[n].slowness;
    }
    return sum;
}

static void count(struct tick *t, const struct second *s)
{
    struct score *score = &t->meter.score;
    score->requests += s->arrivals;
    score->refused += s->flow.refused;
    score->waited += s->flow.late - s->flow.refused;
    t->meter.busy_s += s->flow.served;
    t->meter.ready_s += s->capacity;
    score_step(&t->meter, 1, MAX(fluid_count(s->arrivals, t->o->capacity), 1), s->ready);
}

static void show(const struct tick *t, const struct second *s, int64_t now_us,
                 struct policy_view *v)
{
    double before_s = s->flow.wait_before_s, after_s = s->flow.wait_after_s;
    double longest = MAX(before_s, after_s);
    /* Slow ones hold what they serve for longer; 1 where all are as they should be. */
    double slowness = s->capacity > 0 ? s->ready * t->o->capacity / s->capacity : 1;
    double service_s = t->service_s * slowness;
    double in_flight = s->flow.served * service_s;
    double busy = s->capacity > 0 ? s->flow.served / s->capacity : s->arrivals > 0;
    *v = (struct policy_view){
        .now_us = now_us,
        .wall_us = t->setup.start_wall_us + now_us,
        .step_us = US_PER_S,
        .arrivals = s->arrivals,
        .answered = s->flow.served,
        .in_flight = in_flight,
        .queued = t->queue,
        .concurrency = in_flight + t->queue,
        .utilisation = busy,
        .latency_p50_s = service_s + (before_s + after_s) / 2,
        .latency_p95_s = service_s + longest,
        .latency_p99_s = service_s + longest,
        .fleet = &t->fleet,
    };
}

static void fold(struct tick *t, const struct second *s, const struct policy_view *v)
{
    const struct run_point p = {
        .at_us = v->now_us,
        .load = s->arrivals,
        .capacity = s->capacity,
        .in_flight = v->in_flight,
        .queued = v->queued,
        .latency_p99_s = v->latency_p99_s,
        .ready = t->fleet.ready,
        .starting = t->fleet.starting,
        .desired = t->watch.desired,
        .paid_s = t->fleet.paid_s,
    };
    run_fold_step(&t->fold, &p);
}

static void step(struct tick *t, int64_t at_us)
{
    struct second s;
    struct policy_view v;
    s.arrivals = trace_cursor_at(&t->cursor, at_us + US_PER_S / 2);
    s.ready = t->fleet.ready;
    s.capacity = capacity(t);
    fluid_step(&t->fluid, t->queue, s.arrivals, s.capacity, &s.flow);
    t->queue = s.flow.queue;
    count(t, &s);
    fleet_advance(&t->fleet, at_us + US_PER_S);
    show(t, &s, at_us + US_PER_S, &v);
    run_watch_step(&t->watch, &v, &t->fleet);
    if (t->fold.cap > 0)
        fold(t, &s, &v);
    if (t->o->carbon) {
        run_bill_add(&t->bill, v.wall_us, t->fleet.paid_s - t->paid_s);
        t->paid_s = t->fleet.paid_s;
    }
}

static int run(struct tick *t, struct run_result *ret)
{
    int64_t seconds = trace_length_us(t->o->trace) / US_PER_S;
    for (int64_t n = 0; n < seconds; n++)
        step(t, n * US_PER_S);
    score_end(&t->meter, &ret->score);
    run_bill_end(&t->bill, &t->fleet, &ret->score);
    run_fold_end(&t->fold, ret);
    return run_watch_end(&t->watch, ret);
}

static int begin(struct tick *t, const struct run_options *o)
{
    t->o = o;
    t->setup = run_setup(o);
    t->service_s = o->slots / o->capacity;
    t->fluid = (struct fluid){
        .limit_s = o->slo_wait_s,
        .queue_s = o->queue_s,
        .least = o->capacity,
    };
    trace_cursor_init(&t->cursor, o->trace);
    score_begin(&t->meter);
    run_bill_begin(&t->bill, o);
    int rc = run_fold_begin(&t->fold, o);
    if (rc < 0)
        return rc;
    rc = run_watch_begin(&t->watch, o, &t->setup);
    if (rc < 0)
        free(t->fold.points);
    fleet_init(&t->fleet, &o->fleet, o->seed, 0);
    fleet_begin(&t->fleet, t->watch.desired);
    return rc;
}

int run_tick(const struct run_options *o, struct run_result *ret, struct err *err)
{
    struct tick *t = calloc(1, sizeof(*t));
    struct run_result result = { 0 };
    int rc = t ? begin(t, o) : -ENOMEM;
    if (rc == 0)
        rc = run(t, &result);
    free(t);
    if (rc < 0) {
        run_result_done(&result);
        return err_set(err, rc, "out of memory");
    }
    *ret = result;
    return 0;
}
