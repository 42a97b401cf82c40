/* Finding an instance for a request: choosing, waiting, connecting, and trying another one when
 * that fails. The rule for a second try: never for a request whose bytes an instance may have seen,
 * unless it is idempotent and all of it is still here. */
#include <errno.h>
#include <string.h>

#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

#define PARK_US (50 * US_PER_MS)
#define RESERVE_TRIES 4

static struct gauges_instance *instance_of(struct loop *l, const struct backend *b)
{
    return &l->shared->gauges->instance[b->conf.slot];
}

static bool was_tried(const struct exchange *x, uint32_t number)
{
    for (uint32_t i = 0; i < x->tried_count; i++)
        if (x->tried[i] == number)
            return true;
    return false;
}

static int pick(struct loop *l, struct exchange *x)
{
    struct service *s = x->service;
    uint64_t tried[BALANCE_CANDIDATES_MAX / 64];
    struct balance_request r = {
        .now_us = l->now_us,
        .random = rng_u64(&l->rng),
        .client_ip = { (const char *)x->client->ip, x->client->ip_bytes },
        .max_concurrency = s->conf.max_concurrency,
    };
    if (x->tried_count > 0) {
        memset(tried, 0, (s->count + 63) / 64 * sizeof(tried[0]));
        for (uint32_t i = 0; i < s->count; i++)
            if (was_tried(x, s->backends[i]->conf.number))
                tried[i / 64] |= UINT64_C(1) << (i % 64);
        r.tried = tried;
    }
    service_refresh(l, s);
    return balance_pick(&s->balance, &r);
}

/* Choose and count in one: another loop may have taken the last place between the two. */
static struct backend *reserve(struct loop *l, struct exchange *x)
{
    for (int i = 0; i < RESERVE_TRIES; i++) {
        int index = pick(l, x);
        if (index == BALANCE_NONE)
            return NULL;
        struct backend *b = x->service->backends[index];
        uint32_t before = atomic_fetch_add(&instance_of(l, b)->in_flight, 1);
        bool ours = backend_owns_slot(l, b);
        if (ours &&
            (x->service->conf.max_concurrency == 0 || before < x->service->conf.max_concurrency))
            return b;
        shared_count_down(&instance_of(l, b)->in_flight);
        if (!ours)
            return NULL; /* replaced: the pool that says so is on its way to this loop */
    }
    return NULL;
}

static void tell_if_drained(struct loop *l, struct backend *b)
{
    struct gauges_instance *g = instance_of(l, b);
    if (b->conf.draining && atomic_load(&g->in_flight) == 0 && atomic_load(&g->tunnels) == 0)
        shared_tell_main(l->shared);
}

void exchange_leave_backend(struct loop *l, struct exchange *x)
{
    struct backend *b = x->backend;
    if (!b)
        return;
    x->backend = NULL;
    bool ours = backend_owns_slot(l, b);
    if (x->counted_tunnel) {
        x->counted_tunnel = false;
        gauges_tunnels(l, x->service, -1);
        if (ours)
            shared_count_down(&instance_of(l, b)->tunnels);
    }
    if (x->state != EXCHANGE_TUNNEL || x->tcp) {
        gauges_in_flight(l, x->service, -1);
        if (ours)
            shared_count_down(&instance_of(l, b)->in_flight);
    }
    tell_if_drained(l, b);
    b->connections--;
    backend_release(l, b);
    queue_kick(l->shared, x->service->conf.slot);
}

static void leave_upstream(struct loop *l, struct exchange *x)
{
    if (!x->upstream)
        return;
    upstream_close(l, x->upstream);
    x->upstream = NULL;
}

void exchange_leave_queue(struct loop *l, struct exchange *x)
{
    if (x->state == EXCHANGE_QUEUED)
        queue_remove(l, x);
    list_remove(&x->parked);
    if (!x->counted_queued)
        return;
    x->counted_queued = false;
    gauges_queued(l, x->service, -1);
    x->queue_us += l->now_us - x->queue_since_us;
    timer_clear(&x->client->timer);
}

static int64_t queue_deadline(const struct exchange *x)
{
    return us_add(x->start_us, x->service->conf.queue_deadline_us);
}

static void enter_queue(struct loop *l, struct exchange *x, enum exchange_state state)
{
    exchange_move(x, state);
    if (x->counted_queued)
        return;
    x->counted_queued = true;
    x->queue_since_us = l->now_us;
    gauges_queued(l, x->service, 1);
}

static void wait_in_queue(struct loop *l, struct exchange *x)
{
    struct service *s = x->service;
    if (s->gone || (!s->has_usable && !s->conf.starting && s->conf.unavailable[0])) {
        exchange_unavailable(l, x, s->gone ? "the service was removed" : s->conf.unavailable);
        return;
    }
    if (queue_push(l, x) < 0) {
        gauges_error(l, s, GAUGES_ERROR_QUEUE_FULL);
        exchange_unavailable(l, x, s->conf.queue_length ? "the queue is full" : "no instance free");
        return;
    }
    enter_queue(l, x, EXCHANGE_QUEUED);
    timer_set(&l->wheel, &x->client->timer, queue_deadline(x));
    /* A place may have become free before anyone could see us wait. */
    if (pick(l, x) != BALANCE_NONE)
        queue_kick(l->shared, s->conf.slot);
}

static void try_another(struct loop *l, struct exchange *x, bool same_may_serve);

/* There is not even a socket: our own shortage, a full backlog, or a refusal. */
static void not_connected(struct loop *l, struct exchange *x, int rc)
{
    switch (rc) {
    case -ENOBUFS:
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EADDRNOTAVAIL:
        gauges_error(l, x->service, GAUGES_ERROR_SHED);
        exchange_unavailable(l, x, "too many connections to instances");
        break;
    case -EAGAIN: /* a Unix socket's backlog is full: busy, not broken */
        try_another(l, x, false);
        break;
    default:
        exchange_connect_failed(l, x, false);
    }
}

static void attach(struct loop *l, struct exchange *x, struct backend *b)
{
    exchange_leave_queue(l, x);
    x->backend = b;
    b->connections++; /* keeps it alive as long as we refer to it */
    gauges_in_flight(l, x->service, 1);
    atomic_fetch_add_explicit(&instance_of(l, b)->requests, 1, memory_order_relaxed);
    memcpy(x->note.instance, b->conf.name, sizeof(x->note.instance));
    exchange_move(x, EXCHANGE_CONNECTING);
    x->request_sent = 0;
    int rc = 0;
    struct upstream *u = upstream_get(l, b, !x->idempotent, &rc);
    if (!u) {
        not_connected(l, x, rc);
        return;
    }
    x->upstream = u;
    u->exchange = x;
    if (u->connecting)
        timer_set(&l->wheel, &u->timer, us_add(l->now_us, x->service->conf.connect_timeout_us));
    else
        exchange_connected(l, x);
}

void exchange_dispatch(struct loop *l, struct exchange *x)
{
    struct backend *b = NULL;
    if (x->retries > 0 || !queue_busy(l, x->service))
        b = reserve(l, x);
    if (b)
        attach(l, x, b);
    else
        wait_in_queue(l, x);
}

bool exchange_resume(struct loop *l, struct exchange *x)
{
    struct backend *b = reserve(l, x);
    if (!b) {
        queue_put_back(l, x);
        if (pick(l, x) != BALANCE_NONE)
            queue_kick(l->shared, x->service->conf.slot);
        return false;
    }
    exchange_leave_queue(l, x);
    exchange_move(x, EXCHANGE_NEW);
    attach(l, x, b);
    return true;
}

void exchange_connected(struct loop *l, struct exchange *x)
{
    timer_clear(&x->upstream->timer);
    if (x->tcp) {
        eject_note_success(l, x->backend);
        tunnel_start(l, x);
        return;
    }
    exchange_move(x, EXCHANGE_ACTIVE);
    exchange_pump(l, x);
}

/* All were tried and none answered its door. One may yet: try again until the queue's deadline. */
static void park(struct loop *l, struct exchange *x)
{
    struct service *s = x->service;
    if (s->conf.queue_length == 0 || s->gone || l->now_us + PARK_US >= queue_deadline(x)) {
        gauges_error(l, s, GAUGES_ERROR_CONNECT);
        exchange_reply(l, x, 502, "no instance could be reached");
        return;
    }
    enter_queue(l, x, EXCHANGE_PARKED);
    list_push_back(&s->parked, &x->parked);
    timer_set(&l->wheel, &x->client->timer, l->now_us + PARK_US);
    gauges_ring(l, s);
}

void exchange_unpark(struct loop *l, struct exchange *x)
{
    exchange_leave_queue(l, x);
    x->tried_count = 0;
    exchange_move(x, EXCHANGE_NEW);
    exchange_dispatch(l, x);
}

/* Take the failed instance off and look for another. */
static void try_another(struct loop *l, struct exchange *x, bool same_may_serve)
{
    if (!same_may_serve && x->tried_count < EXCHANGE_TRIED_MAX)
        x->tried[x->tried_count++] = x->backend->conf.number;
    leave_upstream(l, x);
    exchange_leave_backend(l, x);
    exchange_move(x, EXCHANGE_NEW);
    x->request_sent = 0;
    x->sent_us = 0;
    x->retries++;
    gauges_retry(l, x->service);
    if (same_may_serve) {
        exchange_dispatch(l, x);
        return;
    }
    uint32_t most = MIN(x->service->conf.retry_attempts, (uint32_t)EXCHANGE_TRIED_MAX);
    struct backend *b = x->tried_count <= most ? reserve(l, x) : NULL;
    if (b)
        attach(l, x, b);
    else
        park(l, x);
}

void exchange_connect_failed(struct loop *l, struct exchange *x, bool timed_out)
{
    eject_note_failure(l, x->backend, timed_out ? EJECT_TIMEOUT : EJECT_CONNECT);
    if (x->tcp && x->client->io.gone) {
        exchange_abort(l, x, "the client went away");
        return;
    }
    try_another(l, x, false);
}

static void give_up(struct loop *l, struct exchange *x, int status, const char *reason)
{
    gauges_error(l, x->service, status == 504 ? GAUGES_ERROR_TIMEOUT : GAUGES_ERROR_UPSTREAM);
    if (x->response_started)
        exchange_abort(l, x, reason);
    else
        exchange_reply(l, x, status, reason);
}

/* Parking forgets who was tried, so it is the resends that are bounded: what breaks every instance
 * it meets has to end some time. */
void exchange_upstream_failed(struct loop *l, struct exchange *x, const char *reason)
{
    bool stale = x->upstream->reused && !x->response_any;
    bool again = !x->response_any && x->replayable && (x->idempotent || x->request_sent == 0);
    uint32_t resends_max = MAX(x->service->conf.retry_attempts, stale ? 1u : 0u);
    if (!stale)
        eject_note_failure(l, x->backend, EJECT_BROKEN);
    if (!again || x->resends >= resends_max) {
        give_up(l, x, 502, reason);
        return;
    }
    x->resends++;
    if (stale)
        upstream_close_idle(l, x->backend); /* its fellows will be as old */
    try_another(l, x, stale);
}

void exchange_upstream_slow(struct loop *l, struct exchange *x)
{
    eject_note_failure(l, x->backend, EJECT_TIMEOUT);
    give_up(l, x, 504, "the instance did not answer in time");
}

void exchange_cut(struct loop *l, struct exchange *x)
{
    if (x->response_started || x->state == EXCHANGE_TUNNEL || x->tcp)
        exchange_abort(l, x, "cut: the instance's time to drain is over");
    else
        exchange_reply(l, x, 502, "the instance's time to drain is over");
}
