/* The UDP side of StatsD: ports, and who hears what comes on them. */
#include "drivers/source/statsd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "drivers/source/endpoint.h"
#include "sys/clock.h"

struct statsd {
    uv_loop_t *loop;
    struct list ports;
    char packet[STATSD_PACKET_MAX];
};

struct port {
    struct list link;
    struct statsd *statsd;
    struct list listeners;
    char address[160];
    uv_udp_t socket;
};

struct statsd_listener {
    struct list link;
    struct port *port;
    const char *name;
    statsd_heard *heard;
    void *ctx;
};

int statsd_new(uv_loop_t *loop, struct statsd **ret, struct err *err)
{
    struct statsd *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, -ENOMEM, "no memory for StatsD");
    s->loop = loop;
    list_init(&s->ports);
    *ret = s;
    return 0;
}

void statsd_free(struct statsd *s)
{
    free(s);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct statsd *s = CONTAINER_OF((uv_udp_t *)handle, struct port, socket)->statsd;
    *buf = uv_buf_init(s->packet, sizeof(s->packet));
}

static void tell(struct port *p, const struct statsd_metric *m)
{
    LIST_FOR_EACH (it, &p->listeners) {
        struct statsd_listener *l = LIST_ENTRY(it, struct statsd_listener, link);
        if (m->type == STATSD_END || slice_eq(slice_of(l->name), m->name))
            l->heard(l->ctx, m);
    }
}

static void on_packet(uv_udp_t *socket, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                      unsigned flags)
{
    struct port *p = CONTAINER_OF(socket, struct port, socket);
    struct slice packet = { buf->base, n > 0 ? (size_t)n : 0 };
    struct statsd_metric m;
    while (statsd_next(&packet, &m))
        tell(p, &m);
    tell(p, &(struct statsd_metric){ .type = STATSD_END, .at_us = clock_now_us() });
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_udp_t *)handle, struct port, socket));
}

static void port_close(struct port *p)
{
    list_remove(&p->link);
    uv_close((uv_handle_t *)&p->socket, on_closed);
}

static int bind_port(struct port *p, const char *address, struct err *err)
{
    struct endpoint at;
    struct sockaddr_storage a;
    int rc = endpoint_parse(address, 0, &at, err);
    if (rc < 0)
        return rc;
    if (at.port == 0 || (uv_ip4_addr(at.host, at.port, (struct sockaddr_in *)&a) < 0 &&
                         uv_ip6_addr(at.host, at.port, (struct sockaddr_in6 *)&a) < 0))
        return err_set(err, -EINVAL, "\"%.120s\" is no address to listen on, as in 127.0.0.1:8125",
                       address);
    rc = uv_udp_bind(&p->socket, (struct sockaddr *)&a, 0);
    if (rc == 0)
        rc = uv_udp_recv_start(&p->socket, on_room, on_packet);
    return rc < 0 ? err_set(err, rc, "cannot listen on %.120s: %s", address, uv_strerror(rc)) : 0;
}

static struct port *find_port(struct statsd *s, const char *address)
{
    LIST_FOR_EACH (it, &s->ports) {
        struct port *p = LIST_ENTRY(it, struct port, link);
        if (strcmp(p->address, address) == 0)
            return p;
    }
    return NULL;
}

static int port_open(struct statsd *s, const char *address, struct port **ret, struct err *err)
{
    struct port *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "no memory for StatsD");
    p->statsd = s;
    list_init(&p->listeners);
    str_copy(p->address, sizeof(p->address), address);
    uv_udp_init(s->loop, &p->socket);
    list_push_back(&s->ports, &p->link);
    int rc = bind_port(p, address, err);
    if (rc < 0)
        port_close(p);
    else
        *ret = p;
    return rc;
}

int statsd_listen(struct statsd *s, const char *address, const char *name, statsd_heard *heard,
                  void *ctx, struct statsd_listener **ret, struct err *err)
{
    struct port *p = find_port(s, address);
    struct statsd_listener *l = calloc(1, sizeof(*l));
    int rc = l ? 0 : err_set(err, -ENOMEM, "no memory for StatsD");
    if (rc == 0 && !p)
        rc = port_open(s, address, &p, err);
    if (rc < 0) {
        free(l);
        return rc;
    }
    *l = (struct statsd_listener){ .port = p, .name = name, .heard = heard, .ctx = ctx };
    list_push_back(&p->listeners, &l->link);
    *ret = l;
    return 0;
}

void statsd_leave(struct statsd_listener *l)
{
    if (!l)
        return;
    struct port *p = l->port;
    list_remove(&l->link);
    if (list_empty(&p->listeners))
        port_close(p);
    free(l);
}
