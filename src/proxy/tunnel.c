/* Bytes both ways between a client and an instance, unread: after Upgrade, and for plain TCP. Each
 * direction ends on its own; one buffer each, held only while it has bytes in it. */
#include <errno.h>
#include <sys/socket.h>

#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

#define ROUNDS_MAX 32

struct flow {
    struct io *from, *to;
    struct buf **before; /* goes out first; may be NULL */
    struct buf **bytes;
    bool *eof, *shut;
    uint64_t *count;
};

/* 0 = all of it went, -EAGAIN = not now, another -Exxx = gone. */
static int write_buf(struct loop *l, struct io *to, struct buf **b, bool *ret_moved)
{
    if (!b || !*b)
        return 0;
    if (buf_len(*b) > 0) {
        if (!to->writable)
            return -EAGAIN;
        struct iovec v = { buf_head(*b), buf_len(*b) };
        int n = io_send(l, to, &v, 1);
        if (n < 0)
            return n;
        *ret_moved |= n > 0;
        (*b)->start += (uint32_t)n;
        if (buf_len(*b) > 0)
            return -EAGAIN;
    }
    buf_free(&l->bufs, b);
    return 0;
}

/* 1 = may go on at once, 0 = waits, -Exxx = broken. */
static int flow_step(struct loop *l, struct flow *f, bool *ret_moved)
{
    int rc = write_buf(l, f->to, f->before, ret_moved);
    if (rc == 0)
        rc = write_buf(l, f->to, f->bytes, ret_moved);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    if (*f->eof) {
        if (!*f->shut) {
            shutdown(f->to->fd, SHUT_WR);
            *f->shut = true;
        }
        return 0;
    }
    if (!f->from->readable)
        return 0;
    *f->bytes = buf_new(&l->bufs, BUF_LARGE_BYTES);
    if (!*f->bytes)
        return -ENOBUFS;
    int n = io_recv(f->from, (*f->bytes)->data, (*f->bytes)->cap);
    if (n > 0) {
        (*f->bytes)->end = (uint32_t)n;
        *f->count += (uint64_t)n;
        *ret_moved = true;
        return 1;
    }
    buf_free(&l->bufs, f->bytes);
    if (n == 0) {
        *f->eof = true;
        return 1;
    }
    return n == -EAGAIN ? 0 : n;
}

static int flow_run(struct loop *l, struct flow *f, bool *ret_moved)
{
    int rc = 1;
    for (int round = 0; rc > 0 && round < ROUNDS_MAX; round++)
        rc = flow_step(l, f, ret_moved);
    return rc;
}

void tunnel_pump(struct loop *l, struct exchange *x)
{
    struct client *c = x->client;
    bool moved = false;
    struct flow up = { &c->io,         &x->upstream->io,  &x->request_out, &c->in,
                       &x->client_eof, &x->upstream_shut, &x->bytes_in };
    struct flow down = { &x->upstream->io, &c->io,          &x->response_out, &x->response_in,
                         &x->upstream_eof, &x->client_shut, &x->bytes_out };
    int up_rc = flow_run(l, &up, &moved);
    int down_rc = up_rc < 0 ? 0 : flow_run(l, &down, &moved);
    if (up_rc < 0 || down_rc < 0) {
        exchange_abort(l, x, "a side broke off");
        return;
    }
    if (x->client_shut && x->upstream_shut) {
        exchange_abort(l, x, "");
        return;
    }
    if (moved)
        timer_set(&l->wheel, &c->timer, us_add(l->now_us, x->service->conf.idle_timeout_us));
    if (up_rc > 0 || down_rc > 0)
        loop_defer(l, c);
}

static void count_tunnel(struct loop *l, struct exchange *x)
{
    const struct snapshot_instance *in = &x->backend->conf;
    struct gauges_instance *g = &l->shared->gauges->instance[in->slot];
    bool ours = backend_owns_slot(l, x->backend);
    x->counted_tunnel = true;
    gauges_tunnels(l, x->service, 1);
    if (ours)
        atomic_fetch_add(&g->tunnels, 1);
    if (x->tcp) /* such a connection is load for as long as it is open */
        return;
    gauges_in_flight(l, x->service, -1);
    if (ours)
        shared_count_down(&g->in_flight);
    queue_kick(l->shared, x->service->conf.slot);
}

void tunnel_start(struct loop *l, struct exchange *x)
{
    if (!x->request.done) {
        exchange_abort(l, x, "the instance switched protocols inside a request");
        return;
    }
    /* What has been written of the request is done with. */
    if (x->request_out) {
        x->request_out->start = x->request_sent;
        if (buf_len(x->request_out) == 0)
            buf_free(&l->bufs, &x->request_out);
    }
    exchange_move(x, EXCHANGE_TUNNEL);
    count_tunnel(l, x);
    timer_clear(&x->upstream->timer);
    timer_set(&l->wheel, &x->client->timer, us_add(l->now_us, x->service->conf.idle_timeout_us));
    tunnel_pump(l, x);
}
