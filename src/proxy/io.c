/* Reading and writing under edge-triggered epoll. Holds no buffers and decides nothing. */
#include "proxy/io.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/loop.h"

#define EVENTS_IN (EPOLLIN | EPOLLRDHUP | EPOLLET)

int io_add(struct loop *l, struct io *io, int fd, enum io_kind kind, bool local)
{
    *io = (struct io){ .fd = fd, .kind = (uint8_t)kind, .local = local, .out_watched = !local };
    struct epoll_event e = { .events = EVENTS_IN | (local ? 0 : EPOLLOUT), .data.ptr = io };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        return -errno;
    return 0;
}

void io_close(struct loop *l, struct io *io)
{
    if (io->fd < 0)
        return;
    close(io->fd); /* which also takes it out of the epoll set: nothing here is duplicated */
    io->fd = -1;
    io->readable = io->writable = false;
    io->dead_next = l->dead_ios;
    l->dead_ios = io;
}

void io_note_events(struct io *io, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        io->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        io->hup = true;
    if (events & (EPOLLHUP | EPOLLERR))
        io->gone = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        io->writable = true;
}

int io_recv(struct io *io, void *buf, size_t cap)
{
    ssize_t n;
    do
        n = recv(io->fd, buf, cap, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        int rc = -errno;
        io->readable = false;
        return rc == -EWOULDBLOCK ? -EAGAIN : rc;
    }
    /* A short read emptied the socket: what comes next raises a new edge. Not so after a hang-up,
     * whose edge has already been. */
    if (n > 0 && (size_t)n < cap && !io->hup)
        io->readable = false;
    return (int)n;
}

static void watch_out(struct loop *l, struct io *io)
{
    if (io->out_watched)
        return;
    struct epoll_event e = { .events = EVENTS_IN | EPOLLOUT, .data.ptr = io };
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &e) == 0)
        io->out_watched = true;
}

int io_send(struct loop *l, struct io *io, const struct iovec *iov, int iov_count)
{
    size_t wanted = 0;
    for (int i = 0; i < iov_count; i++)
        wanted += iov[i].iov_len;
    struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iov_count };
    ssize_t n;
    do
        n = iov_count == 1 ? send(io->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                           : sendmsg(io->fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return -errno;
    if (n < 0)
        n = 0;
    if ((size_t)n < wanted) {
        io->writable = false;
        watch_out(l, io);
    }
    return (int)n;
}
