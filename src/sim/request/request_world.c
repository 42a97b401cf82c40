/* Requests and what becomes of them. It must never know who decides on the fleet, nor why. */
#include "sim/request/request_world.h"

#include <errno.h>
#include <math.h>

#include "base/us.h"
#include "base/util.h"

#define SECONDS_MAX 1e9  /* more than any run */
#define QUEUED_MAX 1e8   /* at the proxy */
#define EACH_MAX 1000000 /* of one instance at a time */

/* Every source of chance has numbers of its own: what a policy does with its instances does not
 * change the load that it sees. */
enum { SEED_FLEET, SEED_ARRIVALS, SEED_SERVICE, SEED_BALANCE, SEED_COUNT };

static int64_t limit_ns(double seconds)
{
    return (int64_t)(MIN(seconds, SECONDS_MAX) * (double)REQUEST_NS_PER_S);
}

static uint32_t concurrency_most(const struct run_options *o, uint32_t slots)
{
    if (o->concurrency_max > 0)
        return MIN(o->concurrency_max, EACH_MAX);
    double beyond = o->discipline == RUN_SHARED ? o->queue_s * o->capacity : 0;
    return slots + (uint32_t)MIN(beyond, EACH_MAX);
}

static int init_pool(struct request_world *w, const struct run_options *o, uint64_t seed,
                     struct err *err)
{
    const char *name = o->balance ? o->balance : "least-conn";
    uint32_t slots = (uint32_t)CLAMP(floor(o->slots), 1, EACH_MAX);
    struct request_pool_conf conf = {
        .balance = balance_find(slice_of(name)),
        .discipline = o->discipline,
        .slots = slots,
        .most = concurrency_most(o, slots),
        .seed = seed,
    };
    if (!conf.balance)
        return err_set(err, -EINVAL, "there is no balancing called %s", name);
    request_pool_init(&w->pool, &conf);
    return 0;
}

int request_world_init(struct request_world *w, const struct run_options *o, int32_t initial,
                       struct err *err)
{
    uint64_t seeds[SEED_COUNT];
    struct rng seeder;
    rng_init(&seeder, o->seed);
    for (size_t n = 0; n < SEED_COUNT; n++)
        seeds[n] = rng_u64(&seeder);
    *w = (struct request_world){ .options = o, .mark = REQUEST_MARK_NONE };
    w->deadline_ns = limit_ns(o->queue_s);
    request_latency_init(&w->latency);
    int rc = init_pool(w, o, seeds[SEED_BALANCE], err);
    if (rc == 0)
        rc = request_service_init(&w->service, o, seeds[SEED_SERVICE], err);
    if (rc < 0)
        return rc;
    request_arrivals_init(&w->arrivals, o->trace, seeds[SEED_ARRIVALS]);
    w->arrival_ns = request_arrivals_next(&w->arrivals);
    fleet_init(&w->fleet, &o->fleet, seeds[SEED_FLEET], 0);
    w->fleet.drains = true;
    fleet_begin(&w->fleet, initial);
    return request_world_follow(w);
}

void request_world_done(struct request_world *w)
{
    request_queue_done(&w->queue);
    request_pool_done(&w->pool);
}

static void pass(struct request_world *w, int64_t to_ns)
{
    double ns = (double)(to_ns - w->now_ns);
    w->busy_ns += ns * w->pool.busy;
    w->slots_ns += ns * w->pool.slots;
    w->now_ns = to_ns;
}

/* -- the queue ----------------------------------------------------------------------------------
 */

static bool has_room(const struct request_world *w)
{
    double ready = MAX(w->fleet.ready, 1);
    double most = ready * w->options->capacity * w->options->queue_s;
    return w->queue.count < MIN(most, QUEUED_MAX);
}

static int enqueue(struct request_world *w, struct request r)
{
    if (!has_room(w)) {
        w->counts.refused++;
        return 0;
    }
    return request_queue_put(&w->queue, r);
}

/* The first that has not waited too long; those before it are refused. NULL = nobody waits. */
static const struct request *first_in_time(struct request_world *w)
{
    const struct request *first;
    while ((first = request_queue_top(&w->queue)) &&
           w->now_ns - first->arrived_ns > w->deadline_ns) {
        request_queue_take(&w->queue);
        w->counts.refused++;
    }
    return first;
}

static int dispatch(struct request_world *w)
{
    int rc = 0;
    const struct request *first;
    while (rc == 0 && (first = first_in_time(w))) {
        rc = request_pool_give(&w->pool, w->now_ns, *first);
        if (rc == 0)
            request_queue_take(&w->queue);
    }
    return rc == -EAGAIN ? 0 : rc;
}

/* -- the fleet ----------------------------------------------------------------------------------
 */

int request_world_follow(struct request_world *w)
{
    uint32_t lost = 0;
    int rc = request_pool_follow(&w->pool, &w->fleet, w->now_ns, &lost);
    w->counts.lost += lost;
    for (uint32_t number; (number = request_pool_drained(&w->pool)) > 0 && rc == 0;) {
        fleet_stop(&w->fleet, number);
        rc = request_pool_follow(&w->pool, &w->fleet, w->now_ns, &lost);
    }
    return rc == 0 ? dispatch(w) : rc;
}

static int fleet_event(struct request_world *w)
{
    fleet_advance(&w->fleet, w->now_ns / REQUEST_NS_PER_US);
    return request_world_follow(w);
}

/* -- events -------------------------------------------------------------------------------------
 */

static int arrive(struct request_world *w)
{
    struct request r = { w->arrival_ns, request_service_draw(&w->service) };
    pass(w, w->arrival_ns);
    w->arrival_ns = request_arrivals_next(&w->arrivals);
    w->counts.arrived++;
    int rc = w->queue.count > 0 ? -EAGAIN : request_pool_give(&w->pool, w->now_ns, r);
    return rc == -EAGAIN ? enqueue(w, r) : rc;
}

/* What it has waited is all that its own work does not explain: queueing, sharing, slow instances.
 */
static bool violates(const struct request_world *w, double latency_ns, double work_ns)
{
    const struct run_options *o = w->options;
    double second = (double)REQUEST_NS_PER_S;
    return latency_ns - work_ns > o->slo_wait_s * second ||
           (o->slo_latency_s > 0 && latency_ns > o->slo_latency_s * second);
}

static int complete(struct request_world *w, int64_t at_ns)
{
    pass(w, at_ns);
    bool drained = false;
    struct request r = request_pool_take(&w->pool, at_ns, &drained);
    int64_t latency_ns = at_ns - r.arrived_ns;
    request_latency_add(&w->latency, latency_ns);
    w->counts.answered++;
    w->counts.waited += violates(w, (double)latency_ns, r.work_ns);
    if (drained) {
        fleet_advance(&w->fleet, at_ns / REQUEST_NS_PER_US);
        return request_world_follow(w);
    }
    return w->queue.count > 0 ? dispatch(w) : 0;
}

/* As the proxy does: at the moment when a queue begins or demand passes the mark, and then not
 * again before that is over. */
static bool rings(struct request_world *w)
{
    bool queued = w->queue.count > 0;
    bool passed = w->pool.in_flight + w->queue.count >= w->mark;
    bool ring = (queued && !w->queue_rang) || (passed && !w->mark_rang);
    w->queue_rang = queued;
    w->mark_rang = passed;
    return ring;
}

int request_world_advance(struct request_world *w, int64_t until_ns)
{
    for (;;) {
        int64_t end_ns = request_pool_next_ns(&w->pool);
        int64_t fleet_ns = us_mul(w->fleet.next_us, REQUEST_NS_PER_US);
        int64_t next_ns = MIN(MIN(end_ns, w->arrival_ns), MIN(fleet_ns, until_ns));
        int rc;
        if (next_ns == until_ns)
            break;
        if (next_ns == end_ns) {
            rc = complete(w, end_ns);
        } else if (next_ns == w->arrival_ns) {
            rc = arrive(w);
        } else {
            pass(w, next_ns);
            rc = fleet_event(w);
        }
        if (rc < 0)
            return rc;
        if (w->mark != REQUEST_MARK_NONE && rings(w)) {
            rc = fleet_event(w);
            return rc < 0 ? rc : 1;
        }
    }
    pass(w, until_ns);
    return fleet_event(w);
}

/* -- the end ------------------------------------------------------------------------------------
 */

static void judge(struct request_world *w, const struct request *r, double work_ns)
{
    w->counts.waited += violates(w, (double)(w->now_ns - r->arrived_ns), work_ns);
}

/* Of what they have spent here, what was done of their work was no wait. */
static void judge_running(struct request_world *w, const struct request_instance *i)
{
    double done_ns = i->done_ns + (double)(w->now_ns - i->seen_ns) * i->speed;
    for (uint32_t n = 0; n < i->running; n++) {
        const struct request_running *r = &i->heap[n];
        judge(w, &r->request, r->request.work_ns - (r->end_ns - done_ns));
    }
}

static void judge_queue(struct request_world *w, const struct request_queue *q)
{
    for (uint32_t n = 0; n < q->count; n++)
        judge(w, request_queue_get(q, n), 0);
}

void request_world_end(struct request_world *w)
{
    judge_queue(w, &w->queue);
    for (uint32_t n = 0; n < w->pool.count; n++) {
        const struct request_instance *i = w->pool.instances[n];
        judge_running(w, i);
        judge_queue(w, &i->waiting);
    }
}
