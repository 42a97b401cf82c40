/* What the keeper under test runs as its two roles: a controller that only passes packets between
 * the keeper and the test, and a proxy that holds sockets, answers connections with its pid, and
 * hands over at the rendezvous. */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "link/msg.h"
#include "sys/fdpass.h"

static uint8_t packet[LINK_BYTES_MAX];

/* --- the controller: a relay --- */

static bool relay(int from, int to)
{
    int fds[FDPASS_MAX];
    size_t n_fds = 0;
    int n = fdpass_recv(from, packet, sizeof(packet), fds, &n_fds);
    if (n <= 0)
        return n == -EAGAIN;
    int rc = fdpass_send(to, packet, (size_t)n, fds, n_fds);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return rc == 0;
}

static int run_controller(const char *path)
{
    int keeper_fd = atoi(getenv("PLIMSOLL_KEEPER_FD"));
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return 1;
    struct pollfd p[2] = { { .fd = keeper_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    while (poll(p, 2, -1) > 0) {
        if (p[0].revents && !relay(keeper_fd, fd))
            return 0;
        if (p[1].revents && !relay(fd, keeper_fd))
            return 0;
    }
    return 1;
}

/* --- the proxy --- */

static struct {
    uint32_t count;
    int fds[LINK_FDS_MAX];
    char addresses[LINK_FDS_MAX][128];
} held;

static void hand_over(int fd)
{
    struct link_msg m = { .type = LINK_HANDOVER, .number = getpid(), .list_count = held.count };
    for (uint32_t i = 0; i < held.count; i++)
        m.list[i] = slice_of(held.addresses[i]);
    int n = link_encode(&m, packet, sizeof(packet));
    fdpass_send(fd, packet, (size_t)n, held.fds, held.count);
}

/* false = the keeper is gone, or said quit. */
static bool proxy_hears(int fd)
{
    struct link_msg m;
    int fds[FDPASS_MAX];
    size_t n_fds = 0;
    int n = fdpass_recv(fd, packet, sizeof(packet), fds, &n_fds);
    if (n <= 0 || link_decode(packet, (size_t)n, NULL, &m, NULL) < 0)
        return false;
    if (m.type == LINK_QUIT)
        _exit(0);
    if (m.type != LINK_LISTENERS) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        return true;
    }
    while (held.count > 0)
        close(held.fds[--held.count]);
    for (; held.count < n_fds; held.count++) {
        held.fds[held.count] = fds[held.count];
        snprintf(held.addresses[held.count], sizeof(held.addresses[0]), "%.*s",
                 (int)m.list[held.count].n, m.list[held.count].p);
    }
    return true;
}

static void answer(int fd)
{
    int client = accept(fd, NULL, NULL);
    char text[16];
    if (client < 0)
        return;
    int n = snprintf(text, sizeof(text), "%d", (int)getpid());
    ssize_t rc = write(client, text, (size_t)n);
    (void)rc;
    close(client);
}

static int rendezvous_listen(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    const char *name = getenv("PLIMSOLL_RENDEZVOUS");
    strcpy(a.sun_path + 1, name);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    return bind(fd, (struct sockaddr *)&a, bytes) == 0 && listen(fd, 4) == 0 ? fd : -1;
}

static _noreturn_ void run_proxy(void)
{
    struct pollfd p[2 + LINK_FDS_MAX];
    p[0] = (struct pollfd){ .fd = atoi(getenv("PLIMSOLL_KEEPER_FD")), .events = POLLIN };
    p[1] = (struct pollfd){ .fd = rendezvous_listen(), .events = POLLIN };
    for (;;) {
        for (uint32_t i = 0; i < held.count; i++)
            p[2 + i] = (struct pollfd){ .fd = held.fds[i], .events = POLLIN };
        uint32_t count = held.count;
        poll(p, 2 + count, -1);
        for (uint32_t i = 0; i < count; i++)
            if (p[2 + i].revents)
                answer(held.fds[i]);
        if (p[0].revents && !proxy_hears(p[0].fd)) {
            close(p[0].fd);
            p[0].fd = -1;
        }
        if (p[1].revents) {
            int fd = accept4(p[1].fd, NULL, NULL, SOCK_CLOEXEC);
            if (p[0].fd >= 0)
                close(p[0].fd);
            p[0].fd = fd;
            hand_over(fd);
        }
    }
}
