/* Client connections. Reads heads, hands requests to exchange.c, and bounds how long and how many.
 */
#include "proxy/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/exchange.h"
#include "proxy/loop.h"

#define LINGER_US (2 * US_PER_S)
#define HEAD_SLACK_BYTES 64 /* method, version and line ends around the target */

static struct gauges *gauges_of(struct loop *l)
{
    return l->shared->gauges;
}

static void note_peer(struct client *c, const void *sockaddr)
{
    const struct sockaddr *sa = sockaddr;
    if (sa->sa_family == AF_INET) {
        c->ip_bytes = 4;
        memcpy(c->ip, &((const struct sockaddr_in *)sockaddr)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sockaddr)->sin6_addr;
        c->ip_bytes = 16;
        memcpy(c->ip, in6, 16);
        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            c->ip_bytes = 4;
            memmove(c->ip, c->ip + 12, 4);
        }
    }
    if (c->ip_bytes)
        inet_ntop(c->ip_bytes == 4 ? AF_INET : AF_INET6, c->ip, c->ip_text, sizeof(c->ip_text));
}

static void set_idle(struct loop *l, struct client *c)
{
    list_push_back(&l->idle_clients, &c->idle);
    timer_set(&l->wheel, &c->timer, us_add(l->now_us, c->site->idle_timeout_us));
}

static bool over_limit(struct loop *l)
{
    return atomic_load_explicit(&gauges_of(l)->client_connections, memory_order_relaxed) >=
           l->connections_max;
}

void client_accept(struct loop *l, struct site *site, int fd, bool local, const void *sockaddr)
{
    struct client *c = NULL;
    if (site->count > 0 && (!over_limit(l) || client_shed(l)))
        c = slab_new(&l->clients);
    if (!c || io_add(l, &c->io, fd, IO_CLIENT, local) < 0) {
        atomic_fetch_add(&gauges_of(l)->client_refused, 1);
        close(fd);
        if (c)
            slab_free(&l->clients, c);
        return;
    }
    atomic_fetch_add(&gauges_of(l)->client_connections, 1);
    atomic_fetch_add(&gauges_of(l)->client_accepted, 1);
    timer_init(&c->timer, TIMER_CLIENT);
    list_init(&c->idle);
    list_init(&c->deferred);
    c->io.writable = true; /* a fresh socket is */
    c->site = site;
    note_peer(c, sockaddr);
    set_idle(l, c);
    if (site->tcp) {
        list_remove(&c->idle);
        exchange_start_tcp(l, c);
    }
}

void client_close(struct loop *l, struct client *c)
{
    if (c->io.fd < 0)
        return;
    if (c->lingering)
        l->lingering--;
    list_remove(&c->idle);
    list_remove(&c->deferred);
    timer_done(&c->timer);
    buf_free(&l->bufs, &c->in);
    io_close(l, &c->io);
    atomic_fetch_sub(&gauges_of(l)->client_connections, 1);
}

static void linger(struct loop *l, struct client *c)
{
    if (c->io.hup || shutdown(c->io.fd, SHUT_WR) < 0) {
        client_close(l, c);
        return;
    }
    c->lingering = true;
    l->lingering++;
    buf_free(&l->bufs, &c->in);
    timer_set(&l->wheel, &c->timer, us_add(l->now_us, LINGER_US));
    loop_defer(l, c);
}

/* Read and throw away until the peer closes too; closing with bytes unread would reset the
 * connection and could take the answer with it (RFC 9112, 9.6). */
static void run_lingering(struct loop *l, struct client *c)
{
    char sink[4096];
    for (int rounds = 0; c->io.readable && rounds < 64; rounds++) {
        int n = io_recv(&c->io, sink, sizeof(sink));
        if (n == -EAGAIN)
            return;
        if (n <= 0) {
            client_close(l, c);
            return;
        }
    }
    if (c->io.readable)
        client_close(l, c); /* it has had its chance */
}

void client_next(struct loop *l, struct client *c, bool keep)
{
    c->exchange = NULL;
    c->scanned = 0;
    c->reading = false;
    if (!keep) {
        linger(l, c);
        return;
    }
    if (buf_len(c->in) == 0)
        buf_free(&l->bufs, &c->in);
    set_idle(l, c);
    if (c->in || c->io.readable || client_leaves(l, c))
        loop_defer(l, c);
}

/* Into client->in, growing it as far as a head may. > 0, 0 = end, -Exxx; -ENOBUFS = no memory. */
static int read_more(struct loop *l, struct client *c)
{
    if (!c->in && !(c->in = buf_new(&l->bufs, BUF_SMALL_BYTES)))
        return -ENOBUFS;
    if (buf_room(c->in) == 0) {
        size_t most = c->site->header_bytes_max + c->site->uri_bytes_max + HEAD_SLACK_BYTES;
        if (c->in->start > 0)
            buf_compact(c->in);
        else if (buf_grow(&l->bufs, &c->in,
                          c->in->cap < BUF_LARGE_BYTES ? BUF_LARGE_BYTES : most + 1) < 0)
            return -ENOBUFS;
    }
    int n = io_recv(&c->io, buf_tail(c->in), buf_room(c->in));
    if (n > 0)
        c->in->end += (uint32_t)n;
    return n;
}

static int parse(struct loop *l, struct client *c)
{
    const struct site *site = c->site;
    struct http1_limits limits = {
        .head_bytes_max = (size_t)site->header_bytes_max + site->uri_bytes_max + HEAD_SLACK_BYTES,
        .target_bytes_max = site->uri_bytes_max,
        .headers_max = MIN(site->header_count_max, HTTP1_HEADERS_MAX),
    };
    struct http1_request request = { 0 };
    struct http1_error error = { 0 };
    size_t scanned = c->scanned;
    int rc = http1_request_parse(buf_head(c->in), buf_len(c->in), &scanned, &limits, l->headers,
                                 &request, &error);
    c->scanned = (uint32_t)scanned;
    if (rc == HTTP1_MORE)
        return rc;
    list_remove(&c->idle);
    timer_clear(&c->timer);
    if (rc < 0)
        exchange_start_bad(l, c, &request, &error);
    else
        exchange_start(l, c, &request);
    return 0;
}

/* A head has begun: from here on it is the header timeout that counts. */
static void note_reading(struct loop *l, struct client *c)
{
    if (c->reading)
        return;
    c->reading = true;
    list_remove(&c->idle);
    timer_set(&l->wheel, &c->timer, us_add(l->now_us, c->site->header_timeout_us));
}

static void run_head(struct loop *l, struct client *c)
{
    for (;;) {
        if (buf_len(c->in) > 0 && c->site->count > 0) {
            if (parse(l, c) != HTTP1_MORE)
                return;
            note_reading(l, c);
        }
        if (!c->io.readable)
            break;
        int n = read_more(l, c);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            client_close(l, c);
            return;
        }
    }
    bool nothing = buf_len(c->in) == 0;
    if (nothing)
        buf_free(&l->bufs, &c->in);
    if (client_leaves(l, c) && (nothing || c->site->count == 0))
        client_close(l, c);
}

void client_run(struct loop *l, struct client *c)
{
    if (c->io.fd < 0)
        return;
    if (c->lingering)
        run_lingering(l, c);
    else if (c->exchange)
        exchange_pump(l, c->exchange);
    else
        run_head(l, c);
}

void client_on_event(struct loop *l, struct client *c, uint32_t events)
{
    io_note_events(&c->io, events);
    client_run(l, c);
}

void client_on_timer(struct loop *l, struct client *c)
{
    if (c->exchange) {
        exchange_on_client_timer(l, c->exchange);
    } else if (c->reading && !c->lingering && c->site->count > 0) {
        struct http1_error error = { .status = 408, .text = "the request head took too long" };
        struct http1_request nothing = { .minor = 1 };
        exchange_start_bad(l, c, &nothing, &error);
    } else {
        client_close(l, c);
    }
}

bool client_shed(struct loop *l)
{
    if (list_empty(&l->idle_clients))
        return false;
    client_close(l, LIST_ENTRY(l->idle_clients.next, struct client, idle));
    return true;
}

bool client_leaves(const struct loop *l, const struct client *c)
{
    return l->stopping || c->site->count == 0;
}

void client_stop_idle(struct loop *l)
{
    LIST_FOR_EACH (it, &l->idle_clients) {
        struct client *c = LIST_ENTRY(it, struct client, idle);
        if (!client_leaves(l, c))
            continue;
        c->io.readable = true; /* look once: what has arrived is answered, with close */
        loop_defer(l, c);
    }
}

static bool in_network(const uint8_t ip[16], const struct snapshot_network *n)
{
    unsigned whole = n->prefix_bits / 8, rest = n->prefix_bits % 8;
    if (memcmp(ip, n->address, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ n->address[whole]) >> (8 - rest)) == 0;
}

bool client_trusted(const struct loop *l, const struct client *c)
{
    uint8_t ip[16] = { [10] = 0xff, [11] = 0xff };
    if (l->trust_count == 0 || c->ip_bytes == 0)
        return false;
    memcpy(c->ip_bytes == 4 ? ip + 12 : ip, c->ip, c->ip_bytes);
    for (uint32_t i = 0; i < l->trust_count; i++)
        if (in_network(ip, &l->trust[i]))
            return true;
    return false;
}
