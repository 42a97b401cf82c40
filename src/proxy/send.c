/* Client to instance: the request's head and body, with one buffer's worth of back pressure. As
 * long as the whole request fits into that buffer it stays there, so that it can be sent again. */
#include <errno.h>
#include <string.h>

#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

#define ROUNDS_MAX 32 /* then others have their turn */

bool exchange_request_sent(const struct exchange *x)
{
    return x->request.done && (!x->request_out || x->request_sent == x->request_out->end);
}

bool exchange_waits_for_body(const struct exchange *x)
{
    return x->request_out && !x->request.done && x->request_sent == x->request_out->end;
}

/* How many of the n bytes belong to the body, or -EBADMSG; notes its end. */
static int64_t measure(struct exchange_body *b, const char *p, size_t n)
{
    if (b->kind == HTTP1_BODY_LENGTH) {
        size_t used = (size_t)MIN((uint64_t)n, b->left);
        b->left -= used;
        b->done = b->left == 0;
        return (int64_t)used;
    }
    size_t used = 0;
    int rc = http1_chunked_skip(&b->chunked, p, n, &used);
    if (rc < 0)
        return rc;
    b->done = rc == HTTP1_CHUNKED_END;
    return (int64_t)used;
}

/* From client->in to request_out, as much as there is room for. */
static int move_body(struct loop *l, struct exchange *x)
{
    struct client *c = x->client;
    if (x->request.done || buf_len(c->in) == 0)
        return 0;
    struct buf *out = x->request_out;
    int64_t n = measure(&x->request, buf_head(c->in), MIN(buf_len(c->in), buf_room(out)));
    if (n < 0)
        return (int)n;
    memcpy(buf_tail(out), buf_head(c->in), (size_t)n);
    out->end += (uint32_t)n;
    c->in->start += (uint32_t)n;
    x->bytes_in += (uint64_t)n;
    if (buf_len(c->in) == 0)
        buf_free(&l->bufs, &c->in);
    return 0;
}

static int write_out(struct loop *l, struct exchange *x)
{
    struct buf *out = x->request_out;
    if (!out || x->request_sent == out->end || !x->upstream->io.writable)
        return 0;
    struct iovec v = { .iov_base = out->data + x->request_sent,
                       .iov_len = out->end - x->request_sent };
    int n = io_send(l, &x->upstream->io, &v, 1);
    if (n < 0)
        return n;
    x->request_sent += (uint32_t)n;
    if (x->request_sent < out->end || (buf_room(out) > 0 && x->replayable))
        return 0;
    /* Full and all written: make room. From now on it cannot be sent again. */
    x->replayable = false;
    out->start = out->end = x->request_sent = 0;
    return 0;
}

/* 1 = something came; 0 = nothing more for now; -Exxx = the client is gone. */
static int read_body(struct loop *l, struct exchange *x)
{
    struct client *c = x->client;
    if (x->request.done || !c->io.readable || buf_room(x->request_out) == 0 || buf_len(c->in) > 0)
        return 0;
    if (!c->in && !(c->in = buf_new(&l->bufs, BUF_LARGE_BYTES)))
        return -ENOBUFS;
    c->in->start = c->in->end = 0;
    int n = io_recv(&c->io, c->in->data, c->in->cap);
    if (n > 0) {
        c->in->end = (uint32_t)n;
        return 1;
    }
    buf_free(&l->bufs, &c->in);
    return n == -EAGAIN ? 0 : n == 0 ? -EPIPE : n;
}

/* One side is waited for at a time: the client for more of the body, or, when all that came has not
 * been taken yet, the instance. */
static void set_timers(struct loop *l, struct exchange *x)
{
    const struct snapshot_service *v = &x->service->conf;
    if (exchange_waits_for_body(x)) {
        timer_set(&l->wheel, &x->client->timer, us_add(l->now_us, v->body_timeout_us));
        if (!x->expects || x->response_any) {
            if (!x->response_started)
                timer_clear(&x->upstream->timer); /* it cannot answer what it has not got */
            return;
        }
    } else if (!x->response_out && x->response_direct == 0) {
        timer_clear(&x->client->timer); /* it has nothing to read and is not asked for more */
    }
    if (exchange_request_sent(x))
        x->sent_us = l->now_us;
    if (!x->response_started)
        timer_set(&l->wheel, &x->upstream->timer, us_add(l->now_us, v->response_timeout_us));
}

static void bad_body(struct loop *l, struct exchange *x)
{
    gauges_error(l, x->service, GAUGES_ERROR_BAD_REQUEST);
    if (x->response_started)
        exchange_abort(l, x, "the request body is malformed");
    else
        exchange_reply(l, x, 400, "the request body is malformed");
}

static void cannot_read(struct loop *l, struct exchange *x, int rc)
{
    if (rc == -ENOBUFS && !x->response_started) {
        gauges_error(l, x->service, GAUGES_ERROR_SHED);
        exchange_unavailable(l, x, "out of buffers");
        return;
    }
    gauges_error(l, x->service, GAUGES_ERROR_CLIENT);
    exchange_abort(l, x, "the client went away");
}

void exchange_send(struct loop *l, struct exchange *x)
{
    if (!x->request_out || x->sent_us != 0)
        return;
    for (int round = 0;; round++) {
        if (move_body(l, x) < 0) {
            bad_body(l, x);
            return;
        }
        int rc = write_out(l, x);
        if (rc < 0) {
            /* It may have answered before it closed: what it said counts, if it said anything. */
            x->upstream->io.hup = x->upstream->io.readable = true;
            break;
        }
        rc = read_body(l, x);
        if (rc < 0) {
            cannot_read(l, x, rc);
            return;
        }
        bool more = buf_len(x->client->in) > 0 && !x->request.done && buf_room(x->request_out) > 0;
        if (!more)
            break;
        if (round == ROUNDS_MAX) {
            loop_defer(l, x->client);
            break;
        }
    }
    set_timers(l, x);
}
