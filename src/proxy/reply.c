/* Answers that the proxy gives itself: small, plain, with a length. */
#include <string.h>

#include "base/fmt.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "proxy/upstream.h"

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        { 400, "Bad Request" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 414, "URI Too Long" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 431, "Request Header Fields Too Large" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Error";
}

/* After these the rest of the connection's bytes cannot be trusted, or the peer should go away. */
static bool may_keep(const struct loop *l, const struct exchange *x, int status)
{
    bool understood = status == 404 || status == 421 || status >= 502;
    return x->keep_alive && understood && x->request.done && status != 505 &&
           !client_leaves(l, x->client);
}

static void write_reply(struct exchange *x, int status, const char *reason)
{
    char body[384];
    size_t n = fmt(body, sizeof(body), "%d %s\n%s%s", status, status_text(status), reason,
                   reason[0] ? "\n" : "");
    n = MIN(n, sizeof(body) - 1);
    struct str s;
    str_init(&s, x->response_out->data, x->response_out->cap);
    str_putf(&s, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n", status,
             status_text(status), n);
    if (status == 503)
        str_put(&s, "Retry-After: 1\r\n");
    if (status == 405)
        str_put(&s, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n");
    if (x->request_id_bytes) {
        str_put(&s, "X-Request-Id: ");
        str_put_n(&s, x->request_id, x->request_id_bytes);
        str_put(&s, "\r\n");
    }
    str_put(&s, x->keep_alive ? x->minor == 0 ? "Connection: keep-alive\r\n\r\n" : "\r\n"
                              : "Connection: close\r\n\r\n");
    if (x->method != HTTP1_HEAD)
        str_put_n(&s, body, n);
    x->response_out->end = (uint32_t)s.len;
}

void exchange_reply(struct loop *l, struct exchange *x, int status, const char *reason)
{
    if (x->tcp) {
        exchange_abort(l, x, reason);
        return;
    }
    exchange_leave_queue(l, x);
    bool seen_by_client = x->response_out && buf_len(x->response_out) > 0; /* part of a 1xx */
    x->keep_alive = may_keep(l, x, status) && !seen_by_client;
    if (x->upstream) {
        upstream_close(l, x->upstream);
        x->upstream = NULL;
    }
    exchange_leave_backend(l, x);
    buf_free(&l->bufs, &x->request_out);
    buf_free(&l->bufs, &x->response_in);
    buf_free(&l->bufs, &x->response_out);
    x->response_out = seen_by_client ? NULL : buf_new(&l->bufs, BUF_SMALL_BYTES);
    if (!x->response_out) {
        exchange_abort(l, x, reason);
        return;
    }
    exchange_move(x, EXCHANGE_REPLY);
    timer_clear(&x->client->timer);
    x->status = status;
    x->reason = reason;
    x->response_direct = 0;
    x->response.done = true;
    x->response_started = true;
    x->response_reusable = false;
    write_reply(x, status, reason);
    exchange_receive(l, x);
}

void exchange_unavailable(struct loop *l, struct exchange *x, const char *reason)
{
    exchange_reply(l, x, 503, reason);
}
