/* A proxy process with everything around it played by the test: keeper, controller, clients, and
 * instances that answer by path. Waits are on conditions, with a limit that only a failure reaches.
 */
#pragma once

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "link/gauges.h"
#include "link/msg.h"
#include "link/snapshot.h"
#include "proxy/proxy.h"
#include "sys/clock.h"
#include "sys/fdpass.h"

#define RIG_WAIT_MS 10000
#ifndef RIG_LOOPS
#define RIG_LOOPS 2
#endif
#define RIG_INSTANCES 4

/* One instance: a server with a thread per connection. */
struct rig_server {
    int listen_fd;
    uint16_t port;
    char mark; /* sent as X-Who, so that a test sees who answered */
    _Atomic int connections, requests;
    _Atomic bool hold; /* answers to /hold wait until this is false */
};

struct rig {
    struct rig *next_kept;
    pid_t pid;
    int keeper_fd, controller_fd, doorbell_fd;
    uint16_t port;
    struct gauges *gauges;
    struct rig_server servers[RIG_INSTANCES];
    struct snapshot snapshot;
    struct snapshot_service service;
    struct snapshot_instance instances[RIG_INSTANCES];
};

static inline void rig_pause(void)
{
    poll(NULL, 0, 1); /* between two looks at a condition */
}

#define RIG_WAIT_FOR(condition)                               \
    do {                                                      \
        int64_t until_ = clock_now_us() + RIG_WAIT_MS * 1000; \
        while (!(condition) && clock_now_us() < until_)       \
            rig_pause();                                      \
        assert_true(condition);                               \
    } while (0)

static inline int rig_listen(uint16_t *port, int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        struct sockaddr_in sa = { .sin_family = AF_INET,
                                  .sin_port = htons(*port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t bytes = sizeof(sa);
        int one = 1;
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fds[i], SOL_SOCKET, count > 1 ? SO_REUSEPORT : SO_REUSEADDR, &one, sizeof(one));
        if (bind(fds[i], (struct sockaddr *)&sa, bytes) < 0 || listen(fds[i], 511) < 0)
            return -errno;
        getsockname(fds[i], (struct sockaddr *)&sa, &bytes);
        *port = ntohs(sa.sin_port);
    }
    return 0;
}

static inline int rig_connect(uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* Leave so that the other side is told that nobody reads any more. */
static inline void rig_reset(int fd)
{
    struct linger hard = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
}

static inline void rig_write(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t done = send(fd, text, n, MSG_NOSIGNAL);
        assert_true(done > 0);
        text += done;
        n -= (size_t)done;
    }
}

/* Append what comes until `mark` is in the text or the peer ends; false when the time is over. */
static inline bool rig_read_until(int fd, char *buf, size_t cap, const char *mark)
{
    size_t len = strlen(buf);
    int64_t until_us = clock_now_us() + RIG_WAIT_MS * 1000;
    while (!mark || !strstr(buf, mark)) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (len + 1 >= cap || clock_now_us() > until_us || poll(&p, 1, 100) < 0)
            return false;
        if (!p.revents)
            continue;
        ssize_t n = recv(fd, buf + len, cap - len - 1, 0);
        if (n <= 0)
            return mark == NULL;
        len += (size_t)n;
        buf[len] = '\0';
    }
    return true;
}

/* ---- the instances ---- */

struct rig_connection {
    struct rig_server *server;
    int fd;
};

static inline void rig_answer(int fd, char mark, const char *status, const char *fields,
                              const char *body)
{
    char out[4096];
    snprintf(out, sizeof(out), "HTTP/1.1 %s\r\nX-Who: %c\r\n%s\r\n%s", status, mark, fields, body);
    send(fd, out, strlen(out), MSG_NOSIGNAL);
}

static inline bool rig_is(const char *request, const char *path)
{
    const char *space = strchr(request, ' ');
    return space && strncmp(space + 1, path, strlen(path)) == 0;
}

/* Bytes until the peer ends, back as they are. */
static inline void rig_echo(int fd)
{
    char buf[4096];
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        send(fd, buf, (size_t)n, MSG_NOSIGNAL);
}

/* The request's body, raw, behind its head in `in`: by length, or up to the last chunk. */
static inline bool rig_read_body(int fd, char *in, size_t cap, char *head_end)
{
    char *body = head_end + 4;
    char *length = strcasestr(in, "\r\ncontent-length:");
    if (length && length < head_end) {
        size_t want = strtoul(length + 17, NULL, 10);
        while (strlen(body) < want) {
            size_t len = strlen(in);
            ssize_t n = recv(fd, in + len, cap - len - 1, 0);
            if (n <= 0)
                return false;
            in[len + (size_t)n] = '\0';
        }
        return true;
    }
    char *chunked = strcasestr(in, "\r\ntransfer-encoding:");
    if (!chunked || chunked > head_end)
        return true;
    for (;;) {
        char *last = strstr(body, "0\r\n");
        if (last && strstr(last, "\r\n\r\n"))
            return true;
        size_t len = strlen(in);
        ssize_t n = recv(fd, in + len, cap - len - 1, 0);
        if (n <= 0)
            return false;
        in[len + (size_t)n] = '\0';
    }
}

#define RIG_BIG_BYTES (8u << 20)

/* Position-dependent, so that a lost or doubled piece shows. */
static inline char rig_byte(size_t i)
{
    return (char)('a' + (i * 7 + i / 4096) % 26);
}

static inline void rig_fill(char *p, size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = rig_byte(at + i);
}

static inline void rig_send_big(int fd, bool chunked)
{
    char piece[10000], frame[32];
    const char *fields = chunked ? "Transfer-Encoding: chunked" : "Content-Length: 8388608";
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", fields);
    send(fd, head, strlen(head), MSG_NOSIGNAL);
    for (size_t at = 0, n; at < RIG_BIG_BYTES; at += n) {
        n = MIN(sizeof(piece), RIG_BIG_BYTES - at);
        rig_fill(piece, at, n);
        snprintf(frame, sizeof(frame), "%zx\r\n", n);
        if (chunked)
            send(fd, frame, strlen(frame), MSG_NOSIGNAL);
        if (send(fd, piece, n, MSG_NOSIGNAL) < 0)
            return;
        if (chunked)
            send(fd, "\r\n", 2, MSG_NOSIGNAL);
    }
    if (chunked)
        send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL);
}

/* Read a body of RIG_BIG_BYTES whose first bytes are at `have`; false when a byte is wrong. */
static inline bool rig_check_big(int fd, const char *have, size_t n)
{
    char buf[32768];
    bool right = true;
    for (size_t at = 0;;) {
        for (size_t i = 0; i < n; i++)
            right &= have[i] == rig_byte(at + i);
        at += n;
        if (at >= RIG_BIG_BYTES || !right)
            return right && at == RIG_BIG_BYTES;
        ssize_t got = recv(fd, buf, sizeof(buf), 0);
        if (got <= 0)
            return false;
        have = buf;
        n = (size_t)got;
    }
}

/* False = close the connection. */
static inline bool rig_serve_one(struct rig_server *s, int fd, char *in, size_t cap, char *head_end)
{
    char fields[128];
    if (rig_is(in, "/break"))
        return false;
    if (rig_is(in, "/hold"))
        while (atomic_load(&s->hold))
            rig_pause();
    if (rig_is(in, "/once") && atomic_fetch_add(&s->requests, 0) % 2 == 0)
        return false;
    if (rig_is(in, "/upgrade")) {
        rig_answer(fd, s->mark, "101 Switching Protocols",
                   "Upgrade: echo\r\nConnection: Upgrade\r\n", "");
        rig_echo(fd);
        return false;
    }
    if (rig_is(in, "/big")) {
        rig_send_big(fd, rig_is(in, "/big-chunked"));
        return true;
    }
    if (rig_is(in, "/upload")) {
        while (atomic_load(&s->hold)) /* the body stays in the sockets meanwhile */
            rig_pause();
        bool right = rig_check_big(fd, head_end + 4, strlen(head_end + 4));
        rig_answer(fd, s->mark, right ? "200 OK" : "400 Wrong", "Content-Length: 0\r\n", "");
        return right;
    }
    if (strcasestr(in, "expect: 100-continue"))
        rig_answer(fd, s->mark, "100 Continue", "", "");
    if (!rig_read_body(fd, in, cap, head_end))
        return false;
    if (rig_is(in, "/echo")) {
        snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", strlen(head_end + 4));
        rig_answer(fd, s->mark, "200 OK", fields, head_end + 4);
    } else if (rig_is(in, "/head-echo")) {
        snprintf(fields, sizeof(fields), "Content-Length: %zu\r\n", (size_t)(head_end - in));
        *head_end = '\0';
        rig_answer(fd, s->mark, "200 OK", fields, in);
    } else if (rig_is(in, "/chunked")) {
        rig_answer(fd, s->mark, "200 OK", "Transfer-Encoding: chunked\r\n",
                   "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: yes\r\n\r\n");
    } else if (rig_is(in, "/close")) {
        rig_answer(fd, s->mark, "200 OK", "Connection: close\r\n", "until the end");
        return false;
    } else if (rig_is(in, "/garbage")) {
        send(fd, "nonsense\r\n\r\n", 12, MSG_NOSIGNAL);
        return false;
    } else if (rig_is(in, "/empty")) {
        rig_answer(fd, s->mark, "204 No Content", "", "");
    } else {
        bool head = strncmp(in, "HEAD", 4) == 0;
        rig_answer(fd, s->mark, "200 OK", "Content-Length: 3\r\n", head ? "" : "ok\n");
    }
    return true;
}

static inline void *rig_connection_run(void *arg)
{
    struct rig_connection *c = arg;
    char in[65536] = "";
    size_t len = 0;
    for (;;) {
        char *head_end = strstr(in, "\r\n\r\n");
        if (head_end) {
            bool go_on = rig_serve_one(c->server, c->fd, in, sizeof(in), head_end);
            atomic_fetch_add(&c->server->requests, 1);
            if (!go_on)
                break;
            len = 0;
            in[0] = '\0';
        }
        ssize_t n = recv(c->fd, in + len, sizeof(in) - len - 1, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        in[len] = '\0';
    }
    close(c->fd);
    free(c);
    return NULL;
}

static inline void *rig_server_run(void *arg)
{
    struct rig_server *s = arg;
    for (;;) {
        struct rig_connection *c = malloc(sizeof(*c));
        pthread_t thread;
        c->server = s;
        c->fd = accept(s->listen_fd, NULL, NULL);
        if (c->fd < 0) {
            free(c);
            return NULL;
        }
        atomic_fetch_add(&s->connections, 1);
        pthread_create(&thread, NULL, rig_connection_run, c);
        pthread_detach(thread);
    }
}

static inline void rig_server_start(struct rig_server *s)
{
    pthread_t thread;
    pthread_create(&thread, NULL, rig_server_run, s);
    pthread_detach(thread);
}

/* ---- keeper and controller ---- */

static inline void rig_send(int fd, const struct link_msg *m)
{
    static char buf[LINK_BYTES_MAX];
    int n = link_encode(m, buf, sizeof(buf));
    assert_true(n > 0);
    assert_int_equal(fdpass_send(fd, buf, (size_t)n, m->fds, m->fd_count), 0);
}

/* The next message of this type from the controller's link; others are skipped. */
static inline void rig_expect(int fd, enum link_type type, struct link_msg *ret)
{
    static char buf[LINK_BYTES_MAX];
    int64_t until_us = clock_now_us() + RIG_WAIT_MS * 1000;
    while (clock_now_us() < until_us) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t fd_count = 0;
        struct err err;
        if (poll(&p, 1, 100) <= 0)
            continue;
        int fds[LINK_FDS_MAX];
        int n = fdpass_recv(fd, buf, sizeof(buf), fds, &fd_count);
        assert_true(n > 0);
        assert_int_equal(link_decode(buf, (size_t)n, NULL, ret, &err), 0);
        memcpy(ret->fds, fds, fd_count * sizeof(fds[0]));
        ret->fd_count = (uint32_t)fd_count;
        if (ret->type == type)
            return;
    }
    fail_msg("no %s came", link_type_name(type));
}

static inline void rig_post_snapshot(struct rig *r)
{
    r->snapshot.generation++;
    r->snapshot.services = &r->service;
    r->service.instances = r->instances;
    size_t bytes = snapshot_size(&r->snapshot), used = 0;
    void *buf = malloc(bytes);
    assert_int_equal(snapshot_encode(&r->snapshot, buf, bytes, &used), 0);
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_int_equal(write(fd, buf, used), (ssize_t)used);
    free(buf);
    struct link_msg m = { .type = LINK_SNAPSHOT,
                          .number = (int64_t)r->snapshot.generation,
                          .fd_count = 1,
                          .fds = { fd } };
    rig_send(r->controller_fd, &m);
    close(fd);
}

static inline uint64_t rig_arrivals(struct rig *r)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->gauges->loops; i++)
        sum += atomic_load(&r->gauges->loop[i][3].arrivals);
    return sum;
}

static inline void rig_apply(struct rig *r)
{
    struct link_msg m;
    rig_post_snapshot(r);
    do
        rig_expect(r->controller_fd, LINK_APPLIED, &m);
    while (m.number != (int64_t)r->snapshot.generation);
}

static inline void rig_defaults(struct rig *r)
{
    r->snapshot =
        (struct snapshot){ .connections_max = 1000, .listener_count = 1, .service_count = 1 };
    snprintf(r->snapshot.listeners[0], SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:%u", r->port);
    r->service = (struct snapshot_service){
        .name = "shop",
        .slot = 3,
        .balance = "round-robin",
        .listener_count = 1,
        .queue_length = 100,
        .queue_deadline_us = 5000000,
        .header_timeout_us = 5000000,
        .body_timeout_us = 5000000,
        .idle_timeout_us = 60000000,
        .connect_timeout_us = 1000000,
        .response_timeout_us = 10000000,
        .upstream_idle_us = 4000000,
        .retry_attempts = 2,
        .header_bytes_max = 16384,
        .header_count_max = 100,
        .uri_bytes_max = 8192,
        .eject_failures = 3,
        .eject_us = 300000,
        .drain_us = 10000000,
        .instance_count = 1,
    };
    for (uint32_t i = 0; i < RIG_INSTANCES; i++) {
        struct snapshot_instance *in = &r->instances[i];
        *in = (struct snapshot_instance){ .number = i + 1, .slot = 10 + i, .weight = 1 };
        snprintf(in->name, sizeof(in->name), "shop-%u", i + 1);
        snprintf(in->address, sizeof(in->address), "tcp:127.0.0.1:%u", r->servers[i].port);
    }
}

static inline socklen_t rig_rendezvous(pid_t owner, char *name, struct sockaddr_un *un)
{
    int n = snprintf(name, 64, "plimsoll-test-%d", (int)owner);
    *un = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(un->sun_path + 1, name, (size_t)n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* A process of its own, as the keeper makes it: this program again, told by its arguments. */
static inline void rig_child(int keeper_fd)
{
    char loops[8], fd[8];
    snprintf(loops, sizeof(loops), "%d", RIG_LOOPS);
    snprintf(fd, sizeof(fd), "%d", keeper_fd);
    setenv("PLIMSOLL_LOOPS", loops, 1);
    struct sockaddr_un un;
    char name[64];
    rig_rendezvous(getppid(), name, &un);
    setenv("PLIMSOLL_RENDEZVOUS", name, 1);
    fcntl(keeper_fd, F_SETFD, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a proxy outlives its keeper, but not a failed test */
    execl("/proc/self/exe", "proxy", "--proxy", fd, NULL);
    _exit(127);
}

/* For main(): this process is to be the proxy; -1 = it is the test. */
static inline int rig_proxy_fd(int argc, char **argv)
{
    return argc == 3 && strcmp(argv[1], "--proxy") == 0 ? atoi(argv[2]) : -1;
}

static inline void rig_link_controller(struct rig *r)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    struct link_msg m = { .type = LINK_CONTROLLER, .fd_count = 1, .fds = { pair[1] } };
    rig_send(r->keeper_fd, &m);
    close(pair[1]);
    r->controller_fd = pair[0];
    rig_expect(pair[0], LINK_HELLO, &m);
    assert_int_equal(m.fd_count, 2);
    r->gauges = mmap(NULL, sizeof(struct gauges), PROT_READ | PROT_WRITE, MAP_SHARED, m.fds[0], 0);
    assert_ptr_not_equal(r->gauges, MAP_FAILED);
    assert_int_equal(r->gauges->magic, GAUGES_MAGIC);
    close(m.fds[0]);
    r->doorbell_fd = m.fds[1];
}

/* Come to the rendezvous socket as another keeper; the sockets must be handed over. */
static inline void rig_meet(struct rig *r)
{
    char name[64];
    struct sockaddr_un un;
    struct link_msg m;
    socklen_t bytes = rig_rendezvous(getpid(), name, &un);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, bytes), 0);
    rig_expect(fd, LINK_HANDOVER, &m);
    assert_int_equal(m.number, r->pid);
    assert_int_equal(m.list_count, RIG_LOOPS);
    assert_int_equal(m.fd_count, RIG_LOOPS);
    for (uint32_t i = 0; i < m.fd_count; i++)
        close(m.fds[i]);
    close(r->keeper_fd);
    r->keeper_fd = fd;
}

static inline struct rig *rig_new(void)
{
    static struct rig *kept; /* never freed: the servers' threads look into them to the end */
    struct rig *r = calloc(1, sizeof(*r));
    r->next_kept = kept;
    kept = r;
    int pair[2], listeners[RIG_LOOPS];
    for (int i = 0; i < RIG_INSTANCES; i++) {
        r->servers[i].mark = (char)('a' + i);
        assert_int_equal(rig_listen(&r->servers[i].port, &r->servers[i].listen_fd, 1), 0);
    }
    assert_int_equal(rig_listen(&r->port, listeners, RIG_LOOPS), 0);
    for (int i = 0; i < RIG_LOOPS; i++) /* small, so that back pressure reaches the client */
        setsockopt(listeners[i], SOL_SOCKET, SO_RCVBUF, &(int){ 65536 }, sizeof(int));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    r->pid = fork();
    if (r->pid == 0)
        rig_child(pair[1]);
    close(pair[1]);
    r->keeper_fd = pair[0];
    for (int i = 0; i < RIG_INSTANCES; i++)
        rig_server_start(&r->servers[i]);
    rig_defaults(r);
    struct link_msg m = { .type = LINK_LISTENERS, .list_count = RIG_LOOPS, .fd_count = RIG_LOOPS };
    for (int i = 0; i < RIG_LOOPS; i++) {
        m.list[i] = slice_of(r->snapshot.listeners[0]);
        m.fds[i] = listeners[i];
    }
    rig_send(r->keeper_fd, &m);
    for (int i = 0; i < RIG_LOOPS; i++)
        close(listeners[i]);
    rig_link_controller(r);
    return r;
}

/* Ends the proxy in order; a sanitizer's complaint is its exit status. */
static inline void rig_free(struct rig *r)
{
    int status = -1;
    struct link_msg m = { .type = LINK_QUIT };
    rig_send(r->keeper_fd, &m);
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    for (int i = 0; i < RIG_INSTANCES; i++)
        shutdown(r->servers[i].listen_fd, SHUT_RDWR);
    close(r->keeper_fd);
    close(r->controller_fd);
    close(r->doorbell_fd);
    munmap(r->gauges, sizeof(struct gauges));
    assert_int_equal(status, 0);
}
