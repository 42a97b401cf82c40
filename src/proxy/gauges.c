/* Writes the gauges. Never waits for their reader. */
#include "proxy/gauges.h"

#include <unistd.h>

#include "proxy/loop.h"

static struct gauges_service *shared_of(struct loop *l, const struct service *s)
{
    return &l->shared->gauges->service[s->conf.slot];
}

static struct gauges_service_loop *own_of(struct loop *l, const struct service *s)
{
    return &l->shared->gauges->loop[l->index][s->conf.slot];
}

void gauges_ring(struct loop *l, const struct service *s)
{
    uint32_t slot = s->conf.slot;
    uint64_t bit = UINT64_C(1) << (slot % 64), one = 1;
    if (atomic_fetch_or(&l->shared->gauges->dirty[slot / 64], bit) & bit)
        return; /* rung, and not yet answered */
    ssize_t n = write(l->shared->doorbell_fd, &one, sizeof(one));
    (void)n;
}

/* Ring once each time that demand crosses the mark; armed again below it, or by a new mark. */
static void check_mark(struct loop *l, struct service *s)
{
    struct gauges_service *g = shared_of(l, s);
    _Atomic uint64_t *rung = &l->shared->queues[s->conf.slot].rung;
    uint32_t mark = atomic_load_explicit(&g->mark, memory_order_relaxed);
    uint64_t demand = (uint64_t)atomic_load_explicit(&g->in_flight, memory_order_relaxed) +
                      atomic_load_explicit(&g->queued, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(rung, memory_order_relaxed);
    if (demand <= mark) {
        if (seen != 0)
            atomic_store_explicit(rung, 0, memory_order_relaxed);
    } else if (seen != (uint64_t)mark + 1) {
        if (atomic_exchange(rung, (uint64_t)mark + 1) != (uint64_t)mark + 1)
            gauges_ring(l, s);
    }
}

static void note_busy(struct loop *l, struct service *s, int delta)
{
    struct gauges_service_loop *g = own_of(l, s);
    int64_t since = atomic_load_explicit(&g->busy_at_us, memory_order_relaxed);
    if (since != 0 && l->now_us > since)
        gauges_add(&g->busy_us, (uint64_t)(l->now_us - since) * s->busy_now);
    s->busy_now = (uint32_t)((int)s->busy_now + delta);
    atomic_store_explicit(&g->busy_at_us, l->now_us, memory_order_relaxed);
    atomic_store_explicit(&g->busy_now, s->busy_now, memory_order_relaxed);
}

static void count(_Atomic uint32_t *counter, int delta)
{
    if (delta > 0)
        atomic_fetch_add(counter, (uint32_t)delta);
    else
        shared_count_down(counter);
}

void gauges_arrived(struct loop *l, const struct service *s)
{
    gauges_add(&own_of(l, s)->arrivals, 1);
}

void gauges_queued(struct loop *l, struct service *s, int delta)
{
    count(&shared_of(l, s)->queued, delta);
    note_busy(l, s, delta);
    check_mark(l, s);
}

void gauges_in_flight(struct loop *l, struct service *s, int delta)
{
    count(&shared_of(l, s)->in_flight, delta);
    note_busy(l, s, delta);
    check_mark(l, s);
}

void gauges_tunnels(struct loop *l, struct service *s, int delta)
{
    count(&shared_of(l, s)->tunnels, delta);
}

void gauges_done(struct loop *l, const struct service *s, int status, int64_t latency_us,
                 uint64_t bytes_in, uint64_t bytes_out)
{
    struct gauges_service_loop *g = own_of(l, s);
    gauges_add(&g->requests, 1);
    if (status >= 100 && status < 600)
        gauges_add(&g->responses[status / 100], 1);
    gauges_add(&g->bytes_in, bytes_in);
    gauges_add(&g->bytes_out, bytes_out);
    if (latency_us < 0)
        return;
    gauges_add(&g->latency_sum_us, (uint64_t)latency_us);
    gauges_add(&g->latency[gauges_bucket((uint64_t)latency_us)], 1);
}

void gauges_error(struct loop *l, const struct service *s, enum gauges_error error)
{
    gauges_add(&own_of(l, s)->errors[error], 1);
}

void gauges_retry(struct loop *l, const struct service *s)
{
    gauges_add(&own_of(l, s)->retries, 1);
}
