/* The life of a request: made when its head has been read, ended exactly once. Which moves between
 * states there are is the table below; finding an instance and moving bytes are other files' work.
 */
#include "proxy/exchange.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/gauges.h"
#include "proxy/loop.h"
#include "proxy/router.h"
#include "proxy/upstream.h"

#define HEAD_GROWTH_BYTES 2048 /* what the forwarding fields may add to a request's head */

static const uint16_t move_ok[EXCHANGE_STATE_MAX] = {
    [EXCHANGE_NEW] = BIT(EXCHANGE_QUEUED) | BIT(EXCHANGE_PARKED) | BIT(EXCHANGE_CONNECTING) |
                     BIT(EXCHANGE_REPLY) | BIT(EXCHANGE_DONE),
    [EXCHANGE_QUEUED] = BIT(EXCHANGE_NEW) | BIT(EXCHANGE_REPLY) | BIT(EXCHANGE_DONE),
    [EXCHANGE_PARKED] = BIT(EXCHANGE_NEW) | BIT(EXCHANGE_REPLY) | BIT(EXCHANGE_DONE),
    [EXCHANGE_CONNECTING] = BIT(EXCHANGE_NEW) | BIT(EXCHANGE_ACTIVE) | BIT(EXCHANGE_TUNNEL) |
                            BIT(EXCHANGE_REPLY) | BIT(EXCHANGE_DONE),
    [EXCHANGE_ACTIVE] =
        BIT(EXCHANGE_NEW) | BIT(EXCHANGE_TUNNEL) | BIT(EXCHANGE_REPLY) | BIT(EXCHANGE_DONE),
    [EXCHANGE_REPLY] = BIT(EXCHANGE_DONE),
    [EXCHANGE_TUNNEL] = BIT(EXCHANGE_DONE),
};

void exchange_move(struct exchange *x, enum exchange_state to)
{
    assert(move_ok[x->state] & BIT(to));
    x->state = to;
}

static void cut_copy(char *dst, size_t cap, struct slice s)
{
    size_t n = MIN(s.n, cap - 1);
    if (n > 0)
        memcpy(dst, s.p, n);
    dst[n] = '\0';
}

/* When even this cannot be had, there is one thing left to say, without any memory. */
static void shed(struct loop *l, struct client *c)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    if (!c->site->tcp) {
        struct iovec v = { .iov_base = (void *)(uintptr_t)answer, .iov_len = sizeof(answer) - 1 };
        io_send(l, &c->io, &v, 1);
    }
    gauges_error(l, c->site->services[0], GAUGES_ERROR_SHED);
    gauges_done(l, c->site->services[0], 503, 0, 0, sizeof(answer) - 1);
    client_next(l, c, false);
}

static struct exchange *exchange_new(struct loop *l, struct client *c)
{
    struct exchange *x = slab_new(&l->exchanges);
    if (!x) {
        shed(l, c);
        return NULL;
    }
    list_init(&x->waiter.link);
    list_init(&x->parked);
    x->client = c;
    x->start_us = l->now_us;
    x->reason = "";
    c->exchange = x;
    return x;
}

static void set_service(struct exchange *x, struct service *s)
{
    x->service = s;
    s->refs++;
}

static void note_request(struct exchange *x, const struct http1_request *r)
{
    const struct http1_header *agent = http1_find_name(&r->fields, SLICE("User-Agent"));
    cut_copy(x->note.method, sizeof(x->note.method), r->method_text);
    cut_copy(x->note.host, sizeof(x->note.host), r->host);
    cut_copy(x->note.target, sizeof(x->note.target), r->target);
    if (agent)
        cut_copy(x->note.agent, sizeof(x->note.agent), agent->value);
}

/* What only the service's own limits and the method say against a request. 0 or a status. */
static int refuse(const struct exchange *x, const struct http1_request *r, const char **ret_reason)
{
    const struct snapshot_service *v = &x->service->conf;
    *ret_reason = "";
    if (r->method == HTTP1_CONNECT) {
        *ret_reason = "CONNECT is not offered here";
        return 405;
    }
    if (v->protocol != SNAPSHOT_HTTP)
        return 404;
    if (r->target.n > v->uri_bytes_max)
        return 414;
    if (r->fields.count > v->header_count_max || r->head_bytes - r->target.n > v->header_bytes_max)
        return 431;
    return 0;
}

static int write_head(struct loop *l, struct exchange *x, const struct http1_request *r)
{
    struct client *c = x->client;
    bool trusted = client_trusted(l, c);
    uint64_t random[2] = { rng_u64(&l->rng), rng_u64(&l->rng) };
    char id_buf[HEADERS_REQUEST_ID_HEX];
    struct slice id = headers_request_id(r, trusted, random, id_buf);
    x->request_id_bytes = (uint32_t)MIN(id.n, sizeof(x->request_id));
    memcpy(x->request_id, id.p, x->request_id_bytes);
    size_t cap = r->head_bytes + HEAD_GROWTH_BYTES;
    if (r->body != HTTP1_BODY_NONE)
        cap = MAX(cap, (size_t)BUF_LARGE_BYTES);
    x->request_out = buf_new(&l->bufs, cap);
    if (!x->request_out)
        return -ENOBUFS;
    struct headers_request h = {
        .request = r,
        .client = slice_of(c->ip_text),
        .trusted = trusted,
        .host_default =
            slice_of(x->service->conf.host_count ? x->service->conf.host[0] : "localhost"),
        .request_id = id,
    };
    int n = headers_write_request(x->request_out->data, x->request_out->cap, &h);
    if (n < 0)
        return n;
    x->request_out->end = (uint32_t)n;
    x->replayable = true;
    return 0;
}

static void set_body(struct exchange *x, const struct http1_request *r)
{
    x->request.kind = r->body;
    if (r->body == HTTP1_BODY_LENGTH)
        x->request.left = (uint64_t)r->fields.content_length;
    if (r->body == HTTP1_BODY_CHUNKED)
        http1_chunked_init(&x->request.chunked, x->service->conf.header_bytes_max);
    x->request.done =
        r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && x->request.left == 0);
}

static void consume_head(struct loop *l, struct exchange *x, size_t bytes)
{
    struct client *c = x->client;
    c->in->start += (uint32_t)bytes;
    x->bytes_in += bytes;
    if (buf_len(c->in) == 0)
        buf_free(&l->bufs, &c->in);
}

void exchange_start(struct loop *l, struct client *c, const struct http1_request *r)
{
    struct exchange *x = exchange_new(l, c);
    if (!x)
        return;
    x->method = r->method;
    x->minor = (uint8_t)r->minor;
    x->keep_alive = r->keep_alive;
    x->idempotent = http1_method_idempotent(r->method);
    x->expects = r->expect_continue;
    x->asked_upgrade = r->upgrade.n > 0;
    note_request(x, r);
    int status = 404;
    struct service *s = router_find(c->site, http1_host_name(r->host), r->path, &status);
    set_service(x, s ? s : c->site->services[0]);
    if (!s) {
        gauges_error(l, x->service, GAUGES_ERROR_NO_ROUTE);
        x->keep_alive &= r->body == HTTP1_BODY_NONE;
        set_body(x, r);
        consume_head(l, x, r->head_bytes);
        exchange_reply(l, x, status, "no service for this host and path");
        return;
    }
    const char *reason;
    set_body(x, r);
    status = refuse(x, r, &reason);
    if (status == 0 && write_head(l, x, r) < 0) {
        status = 503;
        reason = "out of buffers";
        gauges_error(l, s, GAUGES_ERROR_SHED);
    } else if (status != 0) {
        gauges_error(l, s, GAUGES_ERROR_BAD_REQUEST);
    }
    consume_head(l, x, r->head_bytes);
    if (status != 0) {
        exchange_reply(l, x, status, reason);
        return;
    }
    gauges_arrived(l, s);
    exchange_dispatch(l, x);
}

void exchange_start_bad(struct loop *l, struct client *c, const struct http1_request *r,
                        const struct http1_error *error)
{
    struct exchange *x = exchange_new(l, c);
    if (!x)
        return;
    x->minor = (uint8_t)(r->minor == 0 ? 0 : 1);
    cut_copy(x->note.method, sizeof(x->note.method), r->method_text);
    cut_copy(x->note.target, sizeof(x->note.target), r->target);
    set_service(x, c->site->services[0]);
    x->bytes_in = buf_len(c->in);
    gauges_error(l, x->service,
                 error->status == 408 ? GAUGES_ERROR_CLIENT : GAUGES_ERROR_BAD_REQUEST);
    exchange_reply(l, x, error->status, error->text);
}

void exchange_start_tcp(struct loop *l, struct client *c)
{
    struct exchange *x = exchange_new(l, c);
    if (!x)
        return;
    x->tcp = true;
    set_service(x, c->site->services[0]);
    x->request.done = true;
    gauges_arrived(l, x->service);
    exchange_dispatch(l, x);
}

/* Whether a client that waits still does. One that sends no more may read on or have left for good,
 * and TCP tells which only when something is sent. An interim answer does it, where there may be
 * one: a reader skips it, and the reset by one who left frees its place in the queue. */
static bool still_there(struct loop *l, struct exchange *x)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct io *io = &x->client->io;
    if (!io->hup || io->gone || x->tcp || x->minor == 0 || x->probed)
        return !io->gone;
    struct iovec v = { .iov_base = (void *)(uintptr_t)interim, .iov_len = sizeof(interim) - 1 };
    int n = io->writable ? io_send(l, io, &v, 1) : 0;
    x->probed = true;
    x->bytes_out += (uint64_t)MAX(n, 0);
    return n == 0 || n == (int)v.iov_len; /* half of it would spoil what follows */
}

void exchange_pump(struct loop *l, struct exchange *x)
{
    switch (x->state) {
    case EXCHANGE_QUEUED:
    case EXCHANGE_PARKED:
        if (!still_there(l, x)) {
            gauges_error(l, x->service, GAUGES_ERROR_CLIENT);
            exchange_abort(l, x, "the client went away while waiting");
        }
        break;
    case EXCHANGE_CONNECTING:
    case EXCHANGE_ACTIVE:
        if (x->client->io.gone) {
            gauges_error(l, x->service, GAUGES_ERROR_CLIENT);
            exchange_abort(l, x, "the client went away");
            break;
        }
        if (x->state == EXCHANGE_CONNECTING)
            break;
        exchange_send(l, x);
        if (x->state == EXCHANGE_ACTIVE)
            exchange_receive(l, x);
        break;
    case EXCHANGE_REPLY:
        exchange_receive(l, x);
        break;
    case EXCHANGE_TUNNEL:
        tunnel_pump(l, x);
        break;
    default:
        break;
    }
}

/* Everything a request holds, given back; what it was, counted. */
static void finish(struct loop *l, struct exchange *x, bool upstream_reusable)
{
    exchange_leave_queue(l, x);
    if (x->upstream) {
        struct upstream *u = x->upstream;
        x->upstream = NULL;
        if (upstream_reusable)
            upstream_put(l, u);
        else
            upstream_close(l, u);
    }
    exchange_leave_backend(l, x);
    buf_free(&l->bufs, &x->request_out);
    buf_free(&l->bufs, &x->response_in);
    buf_free(&l->bufs, &x->response_out);
    bool timed = !x->tcp && x->state != EXCHANGE_TUNNEL;
    gauges_done(l, x->service, x->status, timed ? l->now_us - x->start_us : -1, x->bytes_in,
                x->bytes_out);
    accesslog_note(l, x);
    service_unref(l, x->service);
    exchange_move(x, EXCHANGE_DONE);
    x->dead_next = l->dead_exchanges;
    l->dead_exchanges = x;
}

void exchange_complete(struct loop *l, struct exchange *x)
{
    struct client *c = x->client;
    bool reusable =
        x->response_reusable && exchange_request_sent(x) && buf_len(x->response_in) == 0;
    bool keep = x->keep_alive && x->request.done;
    finish(l, x, reusable);
    client_next(l, c, keep);
}

void exchange_abort(struct loop *l, struct exchange *x, const char *reason)
{
    struct client *c = x->client;
    x->reason = reason;
    finish(l, x, false);
    c->exchange = NULL;
    client_close(l, c);
}

void exchange_on_client_timer(struct loop *l, struct exchange *x)
{
    switch (x->state) {
    case EXCHANGE_QUEUED:
        gauges_error(l, x->service, GAUGES_ERROR_DEADLINE);
        exchange_unavailable(l, x,
                             x->service->conf.unavailable[0] ? x->service->conf.unavailable
                                                             : "no instance became free in time");
        break;
    case EXCHANGE_PARKED:
        exchange_unpark(l, x);
        break;
    case EXCHANGE_TUNNEL:
        exchange_abort(l, x, "idle for too long");
        break;
    default:
        gauges_error(l, x->service, GAUGES_ERROR_CLIENT);
        if (x->response_started || x->state == EXCHANGE_REPLY || x->tcp)
            exchange_abort(l, x, "the client did not read in time");
        else
            exchange_reply(l, x, 408, "the request body took too long");
        break;
    }
}
