/* Queueing in front of fdpass. */
#include "keeper/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fdpass.h"

#define QUEUE_MAX 16384 /* messages; a few for each of the most instances there can be */

struct packet {
    struct list link;
    size_t bytes;
    size_t fd_count;
    int fds[LINK_FDS_MAX];
    unsigned char data[];
};

/* Two, because an answer is written while the message it answers is still being read. */
static unsigned char outgoing[LINK_BYTES_MAX], incoming[LINK_BYTES_MAX];

void channel_init(struct channel *c)
{
    *c = (struct channel){ .fd = -1 };
    list_init(&c->queue);
}

void channel_open(struct channel *c, int fd)
{
    channel_close(c);
    c->fd = fd;
}

static void drop(struct channel *c, struct packet *p)
{
    for (size_t i = 0; i < p->fd_count; i++)
        close(p->fds[i]);
    list_remove(&p->link);
    c->queued--;
    free(p);
}

void channel_close(struct channel *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    LIST_FOR_EACH (it, &c->queue)
        drop(c, LIST_ENTRY(it, struct packet, link));
}

static int enqueue(struct channel *c, size_t bytes, const struct link_msg *m)
{
    if (c->queued == QUEUE_MAX)
        return -ENOBUFS;
    struct packet *p = malloc(sizeof(*p) + bytes);
    if (!p)
        return -ENOBUFS;
    p->bytes = bytes;
    p->fd_count = 0;
    memcpy(p->data, outgoing, bytes);
    list_push_back(&c->queue, &p->link);
    c->queued++;
    for (uint32_t i = 0; i < m->fd_count; i++) {
        int fd = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            drop(c, p);
            return -ENOBUFS;
        }
        p->fds[p->fd_count++] = fd;
    }
    return 0;
}

int channel_send(struct channel *c, const struct link_msg *m)
{
    if (c->fd < 0)
        return -EPIPE;
    int n = link_encode(m, outgoing, sizeof(outgoing));
    if (n < 0)
        return n;
    if (c->queued > 0)
        return enqueue(c, (size_t)n, m);
    int rc = fdpass_send(c->fd, outgoing, (size_t)n, m->fds, m->fd_count);
    return rc == -EAGAIN ? enqueue(c, (size_t)n, m) : rc;
}

bool channel_waits(const struct channel *c)
{
    return c->queued > 0;
}

int channel_flush(struct channel *c)
{
    LIST_FOR_EACH (it, &c->queue) {
        struct packet *p = LIST_ENTRY(it, struct packet, link);
        int rc = fdpass_send(c->fd, p->data, p->bytes, p->fds, p->fd_count);
        if (rc < 0)
            return rc == -EAGAIN ? 0 : rc;
        drop(c, p);
    }
    return 0;
}

int channel_receive(struct channel *c, struct link_start *start, struct link_msg *ret,
                    struct err *err)
{
    int fds[LINK_FDS_MAX];
    size_t n_fds = 0;
    int n = fdpass_recv(c->fd, incoming, sizeof(incoming), fds, &n_fds);
    if (n <= 0)
        return n;
    int rc = link_decode(incoming, (size_t)n, start, ret, err);
    if (rc < 0) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        return rc;
    }
    ret->fd_count = (uint32_t)n_fds;
    memcpy(ret->fds, fds, n_fds * sizeof(fds[0]));
    return 1;
}
