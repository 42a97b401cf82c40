/* RUN_REQUEST: a world of requests, and a policy that looks at it once a second and whenever the
 * doorbell rings. It must never tell the policy what a real controller could not know. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/fluid.h"
#include "sim/request/request_world.h"
#include "sim/run_int.h"

struct request_run {
    const struct run_options *o;
    struct request_world world;
    struct request_counts before; /* the step */
    struct request_latency latency;
    struct policy_view view;
    double paid_s;
    struct run_watch watch;
    struct run_fold fold;
    struct run_bill bill;
    struct score_meter meter;
    struct trace_cursor cursor;
};

static void set_mark(struct request_run *r)
{
    const struct policy_ops *p = r->o->policy;
    if (p->bell)
        r->world.mark = p->mark(r->watch.self);
}

/* What is known at any moment: the gauges. */
static void look_now(struct request_run *r)
{
    struct policy_view *v = &r->view;
    v->now_us = r->world.now_ns / REQUEST_NS_PER_US;
    v->wall_us = us_add(r->o->trace->start_wall_us, v->now_us);
    v->in_flight = r->world.pool.in_flight;
    v->queued = r->world.queue.count;
    v->concurrency = v->in_flight + v->queued;
    v->fleet = &r->world.fleet;
}

static void look(struct request_run *r, int64_t step_us)
{
    struct request_world *w = &r->world;
    struct policy_view *v = &r->view;
    double step_s = (double)step_us / (double)US_PER_S;
    look_now(r);
    v->step_us = step_us;
    v->arrivals = (double)(w->counts.arrived - r->before.arrived) / step_s;
    v->answered = (double)(w->counts.answered - r->before.answered) / step_s;
    v->utilisation = w->slots_ns > 0 ? w->busy_ns / w->slots_ns : 0;
    v->latency_p50_s = request_latency_quantile_s(&w->latency, 0.5);
    v->latency_p95_s = request_latency_quantile_s(&w->latency, 0.95);
    v->latency_p99_s = request_latency_quantile_s(&w->latency, 0.99);
    r->before = w->counts;
    r->meter.busy_s += w->busy_ns / (double)REQUEST_NS_PER_S;
    r->meter.ready_s += w->slots_ns / (double)REQUEST_NS_PER_S;
    w->busy_ns = w->slots_ns = 0;
    request_latency_move(&w->latency, &r->latency);
}

static void keep_point(struct request_run *r, double paid_s)
{
    const struct policy_view *v = &r->view;
    const struct fleet *f = v->fleet;
    struct run_point point = {
        .at_us = v->now_us,
        .load = v->arrivals,
        .capacity = f->ready * r->o->capacity,
        .in_flight = v->in_flight,
        .queued = v->queued,
        .latency_p99_s = v->latency_p99_s,
        .ready = f->ready,
        .starting = f->starting,
        .desired = r->watch.desired,
        .paid_s = paid_s,
    };
    run_fold_step(&r->fold, &point);
}

static int step(struct request_run *r, int64_t step_us)
{
    look(r, step_us);
    const struct policy_view *v = &r->view;
    struct fleet *f = &r->world.fleet;
    double rate = trace_cursor_at(&r->cursor, v->now_us - step_us / 2); /* not what chance made */
    double demand = MAX(fluid_count(rate, r->o->capacity), 1);
    score_step(&r->meter, (double)step_us / (double)US_PER_S, demand, f->ready);
    run_bill_add(&r->bill, v->wall_us, f->paid_s - r->paid_s);
    r->paid_s = f->paid_s;
    keep_point(r, f->paid_s);
    run_watch_step(&r->watch, v, f);
    set_mark(r);
    return request_world_follow(&r->world);
}

static int ring(struct request_run *r)
{
    const struct policy_ops *p = r->o->policy;
    look_now(r);
    p->bell(r->watch.self, &r->view, &r->world.fleet);
    r->world.fleet.news_count = 0;
    int32_t desired = p->desired(r->watch.self);
    if (desired != r->watch.desired)
        run_watch_note(&r->watch, r->view.now_us, desired);
    set_mark(r);
    return request_world_follow(&r->world);
}

static int pass_step(struct request_run *r, int64_t until_us)
{
    int rc;
    while ((rc = request_world_advance(&r->world, until_us * REQUEST_NS_PER_US)) > 0) {
        rc = ring(r);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static int run(struct request_run *r)
{
    int64_t end_us = trace_length_us(r->o->trace);
    int rc = 0;
    for (int64_t at_us = 0, until_us; at_us < end_us && rc == 0; at_us = until_us) {
        until_us = MIN(at_us + US_PER_S, end_us);
        rc = pass_step(r, until_us);
        if (rc == 0)
            rc = step(r, until_us - at_us);
    }
    return rc;
}

static void finish(struct request_run *r, struct run_result *ret)
{
    const struct request_counts *c = &r->world.counts;
    struct score *s = &r->meter.score;
    request_world_end(&r->world);
    s->requests = (double)c->arrived;
    s->waited = (double)c->waited;
    s->refused = (double)(c->refused + c->lost);
    s->latency_p50_s = request_latency_quantile_s(&r->latency, 0.5);
    s->latency_p95_s = request_latency_quantile_s(&r->latency, 0.95);
    s->latency_p99_s = request_latency_quantile_s(&r->latency, 0.99);
    score_end(&r->meter, &ret->score);
    run_bill_end(&r->bill, &r->world.fleet, &ret->score);
    run_fold_end(&r->fold, ret);
}

static int begin(struct request_run *r, const struct run_options *o, struct err *err)
{
    struct policy_setup setup = run_setup(o);
    r->o = o;
    request_latency_init(&r->latency);
    score_begin(&r->meter);
    trace_cursor_init(&r->cursor, o->trace);
    run_bill_begin(&r->bill, o);
    int rc = run_watch_begin(&r->watch, o, &setup);
    if (rc == 0)
        rc = request_world_init(&r->world, o, r->watch.desired, err);
    if (rc == 0)
        rc = run_fold_begin(&r->fold, o);
    return rc;
}

int run_request(const struct run_options *o, struct run_result *ret, struct err *err)
{
    struct request_run *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    struct run_result result = { 0 };
    int rc = begin(r, o, err);
    if (rc == 0) {
        set_mark(r);
        rc = run(r);
        finish(r, &result);
    }
    int watched = run_watch_end(&r->watch, &result);
    rc = rc < 0 ? rc : watched;
    request_world_done(&r->world);
    free(r);
    if (rc < 0)
        run_result_done(&result);
    else
        *ret = result;
    return rc;
}
