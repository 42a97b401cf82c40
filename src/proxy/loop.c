/* The event loop: one turn is in loop_run(), top to bottom. Owns the thread's memory; knows which
 * event belongs to whom and nothing of what they mean. */
#include "proxy/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/pool.h"
#include "proxy/queue.h"
#include "proxy/upstream.h"
#include "sys/clock.h"

#define EVENTS_MAX 256
#define CLIENTS_MAX (1u << 20) /* connections_max is the limit that is meant to bite */
#define EXCHANGES_MAX (1u << 16)
#define UPSTREAMS_MAX (1u << 16)
#define BUFFERS_BYTES_MAX (512u << 20) /* of the process */

int loop_new(struct shared *s, uint32_t index, struct loop **ret)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->index = index;
    l->shared = s;
    l->now_us = clock_now_us();
    timer_wheel_init(&l->wheel, l->now_us);
    timer_init(&l->accept_timer, TIMER_ACCEPT);
    rng_init(&l->rng, (uint64_t)clock_wall_us() * 31 + (uint64_t)getpid() * 1009 + index);
    buf_pool_init(&l->bufs, BUFFERS_BYTES_MAX / s->loop_count);
    slab_init(&l->clients, sizeof(struct client), CLIENTS_MAX);
    slab_init(&l->upstreams, sizeof(struct upstream), UPSTREAMS_MAX);
    slab_init(&l->exchanges, sizeof(struct exchange), EXCHANGES_MAX);
    list_init(&l->idle_clients);
    list_init(&l->deferred);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int rc = l->epoll_fd < 0 ? -errno : letterbox_init(&l->letterbox);
    if (rc == 0)
        rc = io_add(l, &l->letterbox_io, l->letterbox.event_fd, IO_LETTERBOX, true);
    if (rc < 0) {
        free(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void loop_defer(struct loop *l, struct client *c)
{
    if (list_empty(&c->deferred))
        list_push_back(&l->deferred, &c->deferred);
}

static void on_event(struct loop *l, struct io *io, uint32_t events)
{
    if (io->fd < 0)
        return; /* closed earlier in this turn */
    switch ((enum io_kind)io->kind) {
    case IO_LETTERBOX:
        l->mail = true;
        break;
    case IO_LISTENER:
        listener_accept(l, CONTAINER_OF(io, struct listener, io));
        break;
    case IO_CLIENT:
        client_on_event(l, CONTAINER_OF(io, struct client, io), events);
        break;
    case IO_UPSTREAM:
        upstream_on_event(l, CONTAINER_OF(io, struct upstream, io), events);
        break;
    }
}

/* Instances go first: an idle connection that one has closed, or on which it spoke unasked, must be
 * out of the pool before a client's request of the same turn could be given it. */
static void on_events(struct loop *l, const struct epoll_event *events, int n)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++) {
            struct io *io = events[i].data.ptr;
            if ((io->kind == IO_UPSTREAM) == (pass == 0))
                on_event(l, io, events[i].events);
        }
}

static void on_timer(struct loop *l, struct timer *t)
{
    switch ((enum timer_kind)t->kind) {
    case TIMER_CLIENT:
        client_on_timer(l, CONTAINER_OF(t, struct client, timer));
        break;
    case TIMER_UPSTREAM:
        upstream_on_timer(l, CONTAINER_OF(t, struct upstream, timer));
        break;
    case TIMER_DRAIN:
        upstream_cut(l, CONTAINER_OF(t, struct backend, drain_timer));
        break;
    case TIMER_ACCEPT:
        l->accept_paused = false;
        listener_update(l);
        break;
    }
}

/* What a new pool means for those who wait. */
static void revisit_waiters(struct loop *l, struct service *s)
{
    const struct snapshot_service *v = &s->conf;
    if (s->count == 0 && !v->starting && v->unavailable[0]) {
        queue_evict(l, s, v->unavailable);
        return;
    }
    LIST_FOR_EACH (it, &s->parked)
        timer_set(&l->wheel, &LIST_ENTRY(it, struct exchange, parked)->client->timer, l->now_us);
    queue_kick(l->shared, v->slot);
}

static void stop_accepting(struct loop *l)
{
    l->stopping = false; /* those whose connection is made already are let in */
    for (uint32_t i = 0; l->listeners && i < l->listeners->count; i++)
        if (l->listeners->items[i].watched)
            listener_accept(l, &l->listeners->items[i]);
    l->stopping = true;
    client_stop_idle(l);
}

static void apply_pool(struct loop *l, struct pool *p)
{
    bool was_stopping = l->stopping;
    if (service_apply(l, p) == 0) {
        l->applied = true;
        if (l->stopping && !was_stopping)
            stop_accepting(l);
        listener_update(l);
        if (l->site_removed)
            client_stop_idle(l);
        for (uint32_t i = 0; i < l->service_count; i++)
            revisit_waiters(l, l->services[i]);
        atomic_store(&l->applied_sequence, p->sequence);
    }
    pool_unref(p);
    shared_tell_main(l->shared);
}

static void read_mail(struct loop *l)
{
    l->mail = false;
    letterbox_read(&l->letterbox);
    struct listener_set *set = letterbox_take_listeners(&l->letterbox);
    if (set)
        listener_replace(l, set);
    struct pool *p = letterbox_take_pool(&l->letterbox);
    if (p)
        apply_pool(l, p);
    for (uint32_t word = 0; word < GAUGES_SERVICES_MAX / 64; word++) {
        uint64_t bits = letterbox_take_wakes(&l->letterbox, word);
        for (; bits; bits &= bits - 1)
            queue_serve(l, word * 64 + (uint32_t)__builtin_ctzll(bits));
    }
}

static void run_deferred(struct loop *l)
{
    struct list now;
    if (list_empty(&l->deferred))
        return;
    list_init(&now);
    LIST_FOR_EACH (it, &l->deferred) {
        list_remove(it);
        list_push_back(&now, it);
    }
    while (!list_empty(&now)) {
        struct client *c = LIST_ENTRY(now.next, struct client, deferred);
        list_remove(&c->deferred);
        client_run(l, c);
    }
}

static void bury(struct loop *l)
{
    while (l->dead_exchanges) {
        struct exchange *x = l->dead_exchanges;
        l->dead_exchanges = x->dead_next;
        slab_free(&l->exchanges, x);
    }
    while (l->dead_ios) {
        struct io *io = l->dead_ios;
        l->dead_ios = io->dead_next;
        if (io->kind == IO_CLIENT)
            slab_free(&l->clients, CONTAINER_OF(io, struct client, io));
        else
            slab_free(&l->upstreams, CONTAINER_OF(io, struct upstream, io));
    }
}

static void report_idle(struct loop *l)
{
    bool idle = l->stopping && l->exchanges.used == 0 && l->clients.used == l->lingering;
    if (idle == atomic_load_explicit(&l->idle, memory_order_relaxed))
        return;
    atomic_store(&l->idle, idle);
    shared_tell_main(l->shared);
}

void *loop_run(void *arg)
{
    struct loop *l = arg;
    struct epoll_event events[EVENTS_MAX];
    while (!atomic_load_explicit(&l->letterbox.quit, memory_order_relaxed)) {
        int wait_ms = list_empty(&l->deferred) ? timer_wait_ms(&l->wheel, l->now_us) : 0;
        int n = epoll_wait(l->epoll_fd, events, EVENTS_MAX, wait_ms);
        l->now_us = clock_now_us();
        on_events(l, events, n);
        struct timer *t;
        while ((t = timer_expired(&l->wheel, l->now_us)))
            on_timer(l, t);
        if (l->mail)
            read_mail(l);
        run_deferred(l);
        bury(l);
        report_idle(l);
    }
    return NULL;
}
