/* Packets with descriptors: sendmsg and recvmsg with SCM_RIGHTS. Must never leak a descriptor: what
 * arrives with a packet that is not handed on is closed. */
#include "sys/fdpass.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union fd_control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

int fdpass_send(int fd, const void *buf, size_t bytes, const int *fds, size_t n_fds)
{
    union fd_control control;
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = bytes };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    assert(n_fds <= FDPASS_MAX);
    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return 0;
    return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

static size_t take_fds(struct msghdr *msg, int *ret_fds)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(n + count <= FDPASS_MAX); /* the control buffer holds no more */
        memcpy(ret_fds + n, CMSG_DATA(c), count * sizeof(int));
        n += count;
    }
    return n;
}

int fdpass_recv(int fd, void *buf, size_t cap, int *ret_fds, size_t *ret_n_fds)
{
    union fd_control control;
    struct iovec iov = { .iov_base = buf, .iov_len = cap };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    int fds[FDPASS_MAX];
    ssize_t n;
    do {
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ECONNRESET ? 0 : -errno;
    size_t n_fds = take_fds(&msg, fds);
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n == 0) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        return n == 0 ? 0 : -EMSGSIZE;
    }
    memcpy(ret_fds, fds, n_fds * sizeof(int));
    *ret_n_fds = n_fds;
    return (int)n;
}
