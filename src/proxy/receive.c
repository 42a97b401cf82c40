/* Instance to client: the response's head is rewritten, its body goes on from the buffer it was
 * read into. At most one buffer is held, so a client that reads slowly slows the instance down. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fmt.h"
#include "proxy/exchange.h"
#include "proxy/gauges.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

#define ROUNDS_MAX 32 /* then others have their turn */
#define SMALL_BODY_BYTES 1024
#define HEAD_GROWTH_BYTES 512
#define CHUNK_ROOM 16 /* a size line and the line end after the data */

enum step { STEP_ON, STEP_WAIT, STEP_ENDED };

static enum step write_client(struct loop *l, struct exchange *x)
{
    struct buf *out = x->response_out, *in = x->response_in;
    struct iovec v[2];
    int count = 0;
    if (buf_len(out) > 0)
        v[count++] = (struct iovec){ buf_head(out), buf_len(out) };
    if (x->response_direct > 0)
        v[count++] = (struct iovec){ buf_head(in), x->response_direct };
    if (count == 0)
        return STEP_ON;
    int n = x->client->io.writable ? io_send(l, &x->client->io, v, count) : 0;
    if (n < 0) {
        gauges_error(l, x->service, GAUGES_ERROR_CLIENT);
        exchange_abort(l, x, "the client went away");
        return STEP_ENDED;
    }
    size_t from_out = MIN((size_t)n, buf_len(out)), from_in = (size_t)n - from_out;
    x->bytes_out += (uint64_t)n;
    if (out) {
        out->start += (uint32_t)from_out;
        if (buf_len(out) == 0)
            buf_free(&l->bufs, &x->response_out);
    }
    if (from_in > 0) {
        in->start += (uint32_t)from_in;
        x->response_direct -= from_in;
        if (buf_len(in) == 0)
            buf_free(&l->bufs, &x->response_in);
    }
    if (x->client->io.writable && !x->response_out && x->response_direct == 0)
        return STEP_ON;
    if (n > 0 || x->client->timer.deadline_us == US_NEVER)
        timer_set(&l->wheel, &x->client->timer,
                  us_add(l->now_us, x->service->conf.body_timeout_us));
    if (x->upstream)
        timer_clear(&x->upstream->timer); /* it waits for us now, not we for it */
    return STEP_WAIT;
}

static int write_head(struct loop *l, struct exchange *x, const struct http1_response *r)
{
    struct headers_response h = {
        .response = r,
        .client_minor = x->minor,
        .keep_alive = x->keep_alive,
        .dechunked = x->response_dechunk,
        .chunk = x->response_chunk,
        .request_id = { x->request_id, x->request_id_bytes },
    };
    size_t cap = r->head_bytes + HEAD_GROWTH_BYTES;
    if (x->response_dechunk || x->response_chunk)
        cap = MAX(cap, (size_t)BUF_LARGE_BYTES);
    if (x->response_out && buf_room(x->response_out) < cap &&
        buf_grow(&l->bufs, &x->response_out, x->response_out->cap + cap) < 0)
        return -ENOBUFS;
    if (!x->response_out && !(x->response_out = buf_new(&l->bufs, cap)))
        return -ENOBUFS;
    int n = headers_write_response(buf_tail(x->response_out), buf_room(x->response_out), &h);
    if (n < 0)
        return n;
    x->response_out->end += (uint32_t)n;
    return 0;
}

/* How the body that the instance sends is to reach a client of this version. */
static void set_body(struct exchange *x, const struct http1_response *r)
{
    x->response.kind = r->body;
    if (r->body == HTTP1_BODY_LENGTH)
        x->response.left = (uint64_t)r->fields.content_length;
    if (r->body == HTTP1_BODY_CHUNKED)
        http1_chunked_init(&x->response.chunked, x->service->conf.header_bytes_max);
    x->response.done =
        r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && x->response.left == 0);
    x->response_dechunk = r->body == HTTP1_BODY_CHUNKED && x->minor == 0;
    x->response_chunk = r->body == HTTP1_BODY_CLOSE && x->minor > 0;
    if (x->response_dechunk || (r->body == HTTP1_BODY_CLOSE && x->minor == 0))
        x->keep_alive = false;
}

static enum step refuse_head(struct loop *l, struct exchange *x, const char *reason)
{
    x->response_any = true; /* it has seen the request: not again */
    exchange_upstream_failed(l, x, reason);
    return STEP_ENDED;
}

/* Our own shortage, which is not the instance's fault. */
static enum step starve(struct loop *l, struct exchange *x)
{
    gauges_error(l, x->service, GAUGES_ERROR_SHED);
    if (x->response_started)
        exchange_abort(l, x, "out of buffers");
    else
        exchange_unavailable(l, x, "out of buffers");
    return STEP_ENDED;
}

static void note_status(struct loop *l, struct exchange *x, int status)
{
    x->status = status;
    eject_note_success(l, x->backend);
    if (status >= 500)
        atomic_fetch_add_explicit(&l->shared->gauges->instance[x->backend->conf.slot].errors, 1,
                                  memory_order_relaxed);
}

static enum step take_head(struct loop *l, struct exchange *x, const struct http1_response *r)
{
    struct buf *in = x->response_in;
    bool interim = r->status < 200 && r->status != 101;
    x->response_scanned = 0;
    if (interim && x->minor == 0) {
        in->start += (uint32_t)r->head_bytes;
        return STEP_ON;
    }
    if (!interim) {
        set_body(x, r);
        if (client_leaves(l, x->client) || !x->request.done)
            x->keep_alive = false;
        x->response_reusable = r->keep_alive;
    }
    if (write_head(l, x, r) < 0)
        return refuse_head(l, x, "the response head is too large");
    in->start += (uint32_t)r->head_bytes;
    if (interim)
        return STEP_ON;
    note_status(l, x, r->status);
    x->response_started = true;
    x->first_byte_us = l->now_us;
    if (r->status == 101) {
        tunnel_start(l, x);
        return STEP_ENDED;
    }
    return STEP_ON;
}

static enum step parse_head(struct loop *l, struct exchange *x)
{
    struct buf *in = x->response_in;
    struct http1_limits limits = { .head_bytes_max = BUF_LARGE_BYTES,
                                   .target_bytes_max = BUF_LARGE_BYTES,
                                   .headers_max = HTTP1_HEADERS_MAX };
    struct http1_response r = { 0 };
    struct http1_error error = { 0 };
    int rc = http1_response_parse(buf_head(in), buf_len(in), &x->response_scanned, &limits,
                                  x->method, x->asked_upgrade, l->headers, &r, &error);
    if (rc == HTTP1_MORE) {
        buf_compact(in);
        if (buf_room(in) > 0)
            return STEP_WAIT;
        return refuse_head(l, x, "the response head is too large");
    }
    if (rc < 0)
        return refuse_head(l, x, error.text);
    return take_head(l, x, &r);
}

/* A small body that came with its head leaves with it, in one piece: a plain send() is cheaper than
 * a gathering one. */
static void join_small(struct exchange *x)
{
    struct buf *in = x->response_in, *out = x->response_out;
    size_t n = x->response_direct;
    if (!out || n == 0 || n > SMALL_BODY_BYTES || buf_room(out) < n)
        return;
    memcpy(buf_tail(out), buf_head(in), n);
    out->end += (uint32_t)n;
    in->start += (uint32_t)n;
    x->response_direct = 0;
}

/* Let body bytes through as they are. */
static int pass_direct(struct exchange *x)
{
    struct buf *in = x->response_in;
    struct exchange_body *b = &x->response;
    const char *p = buf_head(in) + x->response_direct;
    size_t n = buf_len(in) - x->response_direct, used = n;
    if (b->kind == HTTP1_BODY_LENGTH) {
        used = (size_t)MIN((uint64_t)n, b->left);
        b->left -= used;
        b->done = b->left == 0;
    } else if (b->kind == HTTP1_BODY_CHUNKED) {
        int rc = http1_chunked_skip(&b->chunked, p, n, &used);
        if (rc < 0)
            return rc;
        b->done = rc == HTTP1_CHUNKED_END;
    }
    x->response_direct += used;
    join_small(x);
    return 0;
}

static struct buf *frame_buf(struct loop *l, struct exchange *x)
{
    if (!x->response_out)
        x->response_out = buf_new(&l->bufs, BUF_LARGE_BYTES);
    return x->response_out;
}

/* A body without a length becomes chunks. */
static int pass_as_chunk(struct loop *l, struct exchange *x)
{
    struct buf *in = x->response_in, *out = frame_buf(l, x);
    if (!out)
        return -ENOBUFS;
    if (buf_room(out) <= CHUNK_ROOM)
        return 0;
    size_t n = MIN(buf_len(in), buf_room(out) - CHUNK_ROOM);
    out->end += (uint32_t)fmt(buf_tail(out), CHUNK_ROOM, "%x\r\n", (unsigned)n);
    memcpy(buf_tail(out), buf_head(in), n);
    out->end += (uint32_t)n;
    memcpy(buf_tail(out), "\r\n", 2);
    out->end += 2;
    in->start += (uint32_t)n;
    return 0;
}

/* Chunks become plain bytes, for a client that does not know them. */
static int pass_dechunked(struct loop *l, struct exchange *x)
{
    struct buf *in = x->response_in, *out = frame_buf(l, x);
    if (!out)
        return -ENOBUFS;
    while (buf_len(in) > 0 && buf_room(out) > 0 && !x->response.done) {
        struct slice piece = { 0 };
        size_t used = 0;
        int rc = http1_chunked_feed(&x->response.chunked, buf_head(in),
                                    MIN(buf_len(in), buf_room(out)), &used, &piece);
        if (rc < 0)
            return rc;
        if (rc == HTTP1_CHUNKED_DATA) {
            memcpy(buf_tail(out), piece.p, piece.n);
            out->end += (uint32_t)piece.n;
        }
        x->response.done = rc == HTTP1_CHUNKED_END;
        in->start += (uint32_t)used;
    }
    return 0;
}

static enum step pass_body(struct loop *l, struct exchange *x)
{
    int rc = x->response_chunk     ? pass_as_chunk(l, x)
             : x->response_dechunk ? pass_dechunked(l, x)
                                   : pass_direct(x);
    if (rc == -ENOBUFS)
        return starve(l, x);
    if (rc < 0) {
        exchange_upstream_failed(l, x, "the response body is malformed");
        return STEP_ENDED;
    }
    return STEP_ON;
}

/* The instance has closed. */
static enum step at_end(struct loop *l, struct exchange *x, int rc)
{
    if (rc == 0 && x->response_started && x->response.kind == HTTP1_BODY_CLOSE) {
        if (x->response_chunk) {
            struct buf *out = frame_buf(l, x);
            if (!out)
                return starve(l, x);
            memcpy(buf_tail(out), "0\r\n\r\n", 5);
            out->end += 5;
        }
        x->response.done = true;
        return STEP_ON;
    }
    exchange_upstream_failed(l, x,
                             x->response_any ? "the instance broke off its answer"
                                             : "the instance closed without an answer");
    return STEP_ENDED;
}

static enum step read_upstream(struct loop *l, struct exchange *x)
{
    struct upstream *u = x->upstream;
    if (!u->io.readable)
        return STEP_WAIT;
    if (!x->response_in && !(x->response_in = buf_new(&l->bufs, BUF_LARGE_BYTES)))
        return starve(l, x);
    struct buf *in = x->response_in;
    if (buf_len(in) == 0)
        in->start = in->end = 0;
    int n = io_recv(&u->io, buf_tail(in), buf_room(in));
    if (n == -EAGAIN)
        return STEP_WAIT;
    if (n <= 0)
        return at_end(l, x, n);
    in->end += (uint32_t)n;
    x->response_any = true;
    timer_set(&l->wheel, &u->timer, us_add(l->now_us, x->service->conf.response_timeout_us));
    return STEP_ON;
}

static void wait_upstream(struct loop *l, struct exchange *x)
{
    if (buf_len(x->response_in) == 0)
        buf_free(&l->bufs, &x->response_in);
    bool for_client = exchange_waits_for_body(x);
    if (!for_client)
        timer_clear(&x->client->timer);
    if (x->response_any && (x->response_started || !for_client) &&
        x->upstream->timer.deadline_us == US_NEVER)
        timer_set(&l->wheel, &x->upstream->timer,
                  us_add(l->now_us, x->service->conf.response_timeout_us));
}

/* Make what can be made of response_in: heads, then as much body as there is room for. */
static enum step work(struct loop *l, struct exchange *x)
{
    for (;;) {
        size_t unread = buf_len(x->response_in) - x->response_direct;
        bool started = x->response_started;
        if (unread == 0 || x->response.done)
            return STEP_ON;
        enum step s = started ? pass_body(l, x) : parse_head(l, x);
        if (s != STEP_ON)
            return s == STEP_WAIT ? STEP_ON : s;
        if (started && buf_len(x->response_in) - x->response_direct == unread)
            return STEP_ON; /* no room: what is framed goes out first */
    }
}

/* An instance that writes head and body apart, with Nagle's algorithm on, sends the body only when
 * its head has been acknowledged, and the kernel would take 40 ms for that. */
static void acknowledge_head(struct exchange *x)
{
    int on = 1;
    if (!x->response_started || x->response_acknowledged || !x->upstream)
        return;
    x->response_acknowledged = true;
    if (x->backend->conf.address[0] == 't') /* "tcp:" */
        setsockopt(x->upstream->io.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

void exchange_receive(struct loop *l, struct exchange *x)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (work(l, x) == STEP_ENDED || write_client(l, x) != STEP_ON)
            return;
        if (x->response.done) {
            exchange_complete(l, x);
            return;
        }
        if (x->response_started && buf_len(x->response_in) > 0)
            continue; /* there was no room to frame all of it */
        enum step s = read_upstream(l, x);
        if (s == STEP_WAIT) {
            acknowledge_head(x);
            wait_upstream(l, x);
        }
        if (s != STEP_ON)
            return;
    }
    loop_defer(l, x->client);
}
