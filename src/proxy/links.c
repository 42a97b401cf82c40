/* Reads what keeper and controller say and passes it on to the loops. A link that ends is no reason
 * to stop: the proxy goes on serving with what it knows. */
#include "proxy/links.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/listener.h"
#include "proxy/loop.h"
#include "proxy/pool.h"
#include "sys/fdpass.h"
#include "sys/log.h"
#include "sys/mem.h"

static char packet[LINK_BYTES_MAX]; /* the main thread's alone */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static uid_t peer_uid(int fd)
{
    struct ucred cred;
    socklen_t bytes = sizeof(cred);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &bytes) < 0)
        return getuid();
    return cred.uid;
}

static int open_rendezvous(const char *name)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t n = strlen(name);
    if (n == 0 || n > sizeof(un.sun_path) - 1)
        return -EINVAL;
    memcpy(un.sun_path + 1, name, n); /* abstract: a NUL first, none at the end */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
    if (bind(fd, (const struct sockaddr *)&un, bytes) < 0 || listen(fd, 8) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

void links_init(struct links *k, struct shared *s, int keeper_fd, const char *rendezvous)
{
    k->shared = s;
    k->keeper_fd = keeper_fd;
    k->keeper_uid = peer_uid(keeper_fd);
    k->controller_fd = -1;
    k->rendezvous_fd = rendezvous ? open_rendezvous(rendezvous) : -1;
    if (rendezvous && k->rendezvous_fd < 0)
        log_warn("no rendezvous socket: %s", strerror(-k->rendezvous_fd));
}

/* Give each loop its sockets: the i-th of an address to loop i, counted round. */
static void share_out(struct links *k)
{
    struct listener_set *sets[GAUGES_LOOPS_MAX];
    struct shared *s = k->shared;
    for (uint32_t i = 0; i < s->loop_count; i++)
        if (!(sets[i] = listener_set_new(LINK_FDS_MAX)))
            return;
    for (uint32_t i = 0; i < k->socket_count; i++) {
        uint32_t before = 0;
        for (uint32_t j = 0; j < i; j++)
            before += strcmp(k->socket_address[j], k->socket_address[i]) == 0;
        int fd = fcntl(k->socket_fd[i], F_DUPFD_CLOEXEC, 3);
        if (fd >= 0)
            listener_set_add(sets[before % s->loop_count], k->socket_address[i], fd);
    }
    for (uint32_t i = 0; i < s->loop_count; i++)
        letterbox_post_listeners(&s->loops[i]->letterbox, sets[i]);
}

static void take_listeners(struct links *k, struct link_msg *m)
{
    for (uint32_t i = 0; i < k->socket_count; i++)
        close(k->socket_fd[i]);
    k->socket_count = 0;
    for (uint32_t i = 0; i < MIN(m->list_count, m->fd_count); i++) {
        uint32_t n = k->socket_count;
        if (m->list[i].n >= SNAPSHOT_ADDRESS_MAX)
            continue;
        memcpy(k->socket_address[n], m->list[i].p, m->list[i].n);
        k->socket_address[n][m->list[i].n] = '\0';
        k->socket_fd[n] = TAKE_FD(m->fds[i]);
        k->socket_count++;
    }
    share_out(k);
}

static void take_controller(struct links *k, struct link_msg *m)
{
    if (m->fd_count < 1)
        return;
    close_fd(&k->controller_fd);
    k->controller_fd = TAKE_FD(m->fds[0]);
    fcntl(k->controller_fd, F_SETFL, fcntl(k->controller_fd, F_GETFL) | O_NONBLOCK);
    /* A new controller knows nothing: it is told everything again. */
    k->sequence_told = 0;
    k->idle_told = false;
    memset(k->drained_told, 0, sizeof(k->drained_told));
    report_hello(k);
}

static void give_slots(struct shared *shared, const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->service_count; i++) {
        const struct snapshot_service *v = &s->services[i];
        for (uint32_t j = 0; j < v->instance_count; j++) {
            struct shared_owner owner = { v->slot, v->instances[j].number };
            shared_own_slot(shared, v->instances[j].slot, owner);
        }
    }
}

static void take_snapshot(struct links *k, struct link_msg *m)
{
    struct err err = { 0 };
    struct pool *p;
    int rc =
        m->fd_count < 1 ? err_set(&err, -EPROTO, "no descriptor") : pool_new(m->fds[0], &p, &err);
    if (rc < 0) {
        log_warn("snapshot %lld refused: %s", (long long)m->number, err.text);
        report_refused(k, (uint64_t)m->number, err.text);
        return;
    }
    give_slots(k->shared, &p->snapshot);
    p->sequence = ++k->sequence;
    k->idle_told = false;
    pool_unref(k->pool);
    k->pool = p;
    for (uint32_t i = 0; i < k->shared->loop_count; i++)
        letterbox_post_pool(&k->shared->loops[i]->letterbox, pool_ref(p));
}

static void on_keeper(struct links *k, struct link_msg *m)
{
    switch (m->type) {
    case LINK_LISTENERS:
        take_listeners(k, m);
        break;
    case LINK_CONTROLLER:
        take_controller(k, m);
        break;
    case LINK_QUIT:
        k->quit = true;
        break;
    default:
        log_warn("unexpected %s from the keeper", link_type_name(m->type));
    }
}

static void on_controller(struct links *k, struct link_msg *m)
{
    switch (m->type) {
    case LINK_SNAPSHOT:
        take_snapshot(k, m);
        break;
    case LINK_LOG:
        accesslog_set_fd(&k->shared->log, m->fd_count > 0 ? TAKE_FD(m->fds[0]) : -1);
        break;
    default:
        log_warn("unexpected %s from the controller", link_type_name(m->type));
    }
}

/* One message; whatever descriptors nobody took are closed. */
static void read_link(struct links *k, int *fd, void (*handle)(struct links *, struct link_msg *))
{
    struct link_msg m;
    struct err err = { 0 };
    int fds[LINK_FDS_MAX];
    size_t fd_count = 0;
    int n = fdpass_recv(*fd, packet, sizeof(packet), fds, &fd_count);
    if (n == -EAGAIN || n == -EINTR || n == -EMSGSIZE)
        return;
    if (n <= 0) {
        close_fd(fd);
        return;
    }
    int rc = link_decode(packet, (size_t)n, NULL, &m, &err);
    if (rc < 0) {
        log_warn("refused a message: %s", err.text);
        m.fd_count = 0;
    }
    m.fd_count = (uint32_t)fd_count;
    memcpy(m.fds, fds, fd_count * sizeof(fds[0]));
    if (rc == 0)
        handle(k, &m);
    for (uint32_t i = 0; i < m.fd_count; i++)
        close_fd(&m.fds[i]);
}

/* A keeper that does not know us: hand it what must not be lost, and obey it from now on. */
static void meet_keeper(struct links *k)
{
    int fd = accept4(k->rendezvous_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    uid_t uid = peer_uid(fd);
    if (uid != 0 && uid != k->keeper_uid) {
        log_warn("rendezvous with uid %d refused", (int)uid);
        close(fd);
        return;
    }
    struct link_msg m = { .type = LINK_HANDOVER, .number = getpid() };
    m.list_count = m.fd_count = k->socket_count;
    for (uint32_t i = 0; i < k->socket_count; i++)
        m.list[i] = slice_of(k->socket_address[i]);
    int n = link_encode(&m, packet, sizeof(packet));
    if (n < 0 || fdpass_send(fd, packet, (size_t)n, k->socket_fd, k->socket_count) < 0) {
        close(fd);
        return;
    }
    close_fd(&k->keeper_fd);
    k->keeper_fd = fd;
}

void links_turn(struct links *k)
{
    enum { KEEPER, CONTROLLER, RENDEZVOUS, LOOPS, COUNT };
    int wait_ms = report_all(k);
    struct pollfd p[COUNT] = {
        [KEEPER] = { .fd = k->keeper_fd, .events = POLLIN },
        [CONTROLLER] = { .fd = k->controller_fd, .events = POLLIN },
        [RENDEZVOUS] = { .fd = k->rendezvous_fd, .events = POLLIN },
        [LOOPS] = { .fd = k->shared->main_fd, .events = POLLIN },
    };
    if (poll(p, COUNT, wait_ms) <= 0)
        return;
    if (p[LOOPS].revents) {
        uint64_t ignored;
        ssize_t n = read(k->shared->main_fd, &ignored, sizeof(ignored));
        (void)n;
    }
    if (p[CONTROLLER].revents)
        read_link(k, &k->controller_fd, on_controller);
    if (p[KEEPER].revents)
        read_link(k, &k->keeper_fd, on_keeper);
    if (p[RENDEZVOUS].revents)
        meet_keeper(k);
}
