/* Upstream connections of one loop. Knows nothing of HTTP. */
#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/exchange.h"
#include "proxy/loop.h"

static bool still_open(struct upstream *u)
{
    char c;
    return recv(u->io.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static struct upstream *take_idle(struct loop *l, struct backend *b, bool probe)
{
    while (!list_empty(&b->idle)) {
        struct upstream *u = LIST_ENTRY(b->idle.next, struct upstream, link);
        if (!probe || still_open(u)) {
            list_remove(&u->link);
            timer_clear(&u->timer);
            return u;
        }
        upstream_close(l, u);
    }
    return NULL;
}

static int open_socket(const struct address *a, bool *ret_connecting)
{
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int one = 1;
    if (a->sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *ret_connecting = false;
    if (connect(fd, (const struct sockaddr *)&a->sa, a->bytes) < 0) {
        if (errno != EINPROGRESS) {
            int rc = -errno;
            close(fd);
            return rc;
        }
        *ret_connecting = true;
    }
    return fd;
}

static struct upstream *connect_new(struct loop *l, struct backend *b, int *ret_rc)
{
    struct upstream *u = slab_new(&l->upstreams);
    if (!u) {
        *ret_rc = -ENOBUFS;
        return NULL;
    }
    bool connecting;
    int fd = open_socket(&b->address, &connecting);
    if (fd < 0) {
        *ret_rc = fd;
        slab_free(&l->upstreams, u);
        return NULL;
    }
    int rc = io_add(l, &u->io, fd, IO_UPSTREAM, b->address.sa.ss_family == AF_UNIX);
    if (rc < 0) {
        *ret_rc = rc;
        close(fd);
        slab_free(&l->upstreams, u);
        return NULL;
    }
    timer_init(&u->timer, TIMER_UPSTREAM);
    list_init(&u->link);
    u->connecting = connecting;
    u->io.writable = !connecting;
    u->backend = b;
    b->connections++;
    return u;
}

struct upstream *upstream_get(struct loop *l, struct backend *b, bool probe, int *ret_rc)
{
    struct upstream *u = take_idle(l, b, probe);
    if (!u)
        u = connect_new(l, b, ret_rc);
    if (u)
        list_push_back(&b->active, &u->link);
    return u;
}

void upstream_put(struct loop *l, struct upstream *u)
{
    struct backend *b = u->backend;
    u->exchange = NULL;
    if (b->gone || b->conf.draining || b->service->gone || l->stopping || u->io.hup ||
        (u->io.readable && !still_open(u))) {
        upstream_close(l, u);
        return;
    }
    u->reused = true;
    list_remove(&u->link);
    list_push_front(&b->idle, &u->link);
    timer_set(&l->wheel, &u->timer, us_add(l->now_us, b->service->conf.upstream_idle_us));
}

void upstream_close(struct loop *l, struct upstream *u)
{
    if (u->io.fd < 0)
        return;
    struct backend *b = u->backend;
    u->exchange = NULL;
    list_remove(&u->link);
    timer_done(&u->timer);
    io_close(l, &u->io);
    b->connections--;
    backend_release(l, b);
}

void upstream_close_idle(struct loop *l, struct backend *b)
{
    b->connections++; /* so that the last of them does not take the backend along */
    LIST_FOR_EACH (it, &b->idle)
        upstream_close(l, LIST_ENTRY(it, struct upstream, link));
    b->connections--;
}

void upstream_cut(struct loop *l, struct backend *b)
{
    b->connections++;
    upstream_close_idle(l, b);
    LIST_FOR_EACH (it, &b->active) {
        struct upstream *u = LIST_ENTRY(it, struct upstream, link);
        if (u->exchange)
            exchange_cut(l, u->exchange);
    }
    b->connections--;
    backend_release(l, b);
}

static int connect_result(struct upstream *u)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(u->io.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
        return -errno;
    return -error;
}

void upstream_on_event(struct loop *l, struct upstream *u, uint32_t events)
{
    io_note_events(&u->io, events);
    struct exchange *x = u->exchange;
    if (!x) {
        upstream_close(l, u); /* idle, and the instance closed it or spoke unasked */
        return;
    }
    if (u->connecting) {
        if (!u->io.writable)
            return;
        int rc = connect_result(u);
        if (rc < 0) {
            exchange_connect_failed(l, x, false);
            return;
        }
        u->connecting = false;
        exchange_connected(l, x);
        return;
    }
    exchange_pump(l, x);
}

void upstream_on_timer(struct loop *l, struct upstream *u)
{
    if (!u->exchange)
        upstream_close(l, u);
    else if (u->connecting)
        exchange_connect_failed(l, u->exchange, true);
    else
        exchange_upstream_slow(l, u->exchange);
}
