/* The controller's end of the link to the keeper. When it closes, the controller has nothing left
 * to act with and ends; proxy and instances go on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/log.h"
#include "sys/mem.h"

#define LISTEN_WAIT_MS 5000

int keeper_link_send(void *ctx, const struct link_msg *m)
{
    struct controller *c = ctx;
    static char packet[LINK_BYTES_MAX]; /* one thread, one loop */
    int n = link_encode(m, packet, sizeof(packet));
    if (n < 0)
        return n;
    for (;;) {
        int rc = fdpass_send(c->keeper.fd, packet, (size_t)n, m->fds, m->fd_count);
        if (rc != -EAGAIN)
            return rc;
        struct pollfd p = { .fd = c->keeper.fd, .events = POLLOUT };
        if (poll(&p, 1, 1000) == 0)
            return -EAGAIN;
    }
}

static void on_proxy(struct controller *c, const struct link_msg *m)
{
    if (m->fd_count == 1)
        proxy_link_attach(c, m->fds[0], m->number);
}

/* A keeper that took sockets over from an earlier life may hold some that nobody wants any more. */
static void give_back(struct controller *c, const struct link_msg *m)
{
    char address[DRIVER_ADDRESS_MAX];
    fmt(address, sizeof(address), "%.*s", (int)m->name.n, m->name.p);
    struct link_msg unlisten = { .type = LINK_UNLISTEN, .text = m->name };
    if (c->config && !controller_listens(c->config, address))
        keeper_link_send(c, &unlisten);
}

static void on_listening(struct controller *c, const struct link_msg *m)
{
    str_copy(c->listen_error, sizeof(c->listen_error), "");
    if (m->number == 0) {
        give_back(c, m);
        return;
    }
    struct str s;
    str_init(&s, c->listen_error, sizeof(c->listen_error));
    str_put_n(&s, m->name.p, m->name.n);
    if (s.len == 0)
        str_putf(&s, "cannot listen: %s", strerror((int)m->number));
}

/* Both may arrive while something else waits for an answer of the keeper: they are noted here and
 * acted on at the loop's next turn (controller_signals()). */
static void on_term(struct controller *c, const struct link_msg *m)
{
    c->stop_asked = (uint32_t)m->number;
}

static void on_hup(struct controller *c, const struct link_msg *m)
{
    c->reload_asked = true;
}

static void on_keeper(struct controller *c, const struct link_msg *m)
{
    c->keeper.pid = m->number;
    c->first_start = m->flag;
    struct str s;
    str_init(&s, c->identity, sizeof(c->identity));
    str_put_n(&s, m->text.p, m->text.n);
}

static void (*const handlers[LINK_TYPE_MAX])(struct controller *, const struct link_msg *) = {
    [LINK_KEEPER] = on_keeper, [LINK_LISTENING] = on_listening,
    [LINK_PROXY] = on_proxy,   [LINK_TERM] = on_term,
    [LINK_HUP] = on_hup,
};

static void dispatch(struct controller *c, const struct link_msg *m)
{
    for (size_t i = 0; provision_all[i]; i++)
        if (c->provisioners[i] && provision_all[i]->keeper_msg &&
            provision_all[i]->keeper_msg(c->provisioners[i], m))
            return;
    if (m->type < LINK_TYPE_MAX && handlers[m->type])
        handlers[m->type](c, m);
}

/* One message. 0, -EAGAIN, -EPIPE when the keeper is gone. `ret_type` tells what it was. */
static int receive(struct controller *c, enum link_type *ret_type)
{
    static char packet[LINK_BYTES_MAX];
    int fds[LINK_FDS_MAX];
    size_t n_fds = 0;
    struct link_msg m;
    struct err err;
    int n = fdpass_recv(c->keeper.fd, packet, sizeof(packet), fds, &n_fds);
    if (n <= 0)
        return n == 0 ? -EPIPE : n;
    if (link_decode(packet, (size_t)n, NULL, &m, &err) < 0) {
        log_error("message of the keeper not understood: %s", err.text);
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        *ret_type = LINK_NONE;
        return 0;
    }
    m.fd_count = (uint32_t)n_fds;
    memcpy(m.fds, fds, n_fds * sizeof(int));
    *ret_type = m.type;
    dispatch(c, &m);
    for (size_t i = m.type == LINK_PROXY ? 1 : 0; i < n_fds; i++)
        close(fds[i]);
    return 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct controller *c = poll->data;
    enum link_type type;
    for (int i = 0; i < 64; i++) {
        int rc = receive(c, &type);
        if (rc == -EAGAIN)
            return;
        if (rc < 0) {
            log_warn("the keeper is gone: ending; proxy and instances go on");
            c->phase = PHASE_DONE;
            uv_stop(&c->loop);
            return;
        }
    }
}

static int wait_for(struct controller *c, enum link_type wanted)
{
    int64_t until_us = clock_now_us() + LISTEN_WAIT_MS * 1000;
    enum link_type type = LINK_NONE;
    while (type != wanted) {
        int rc = receive(c, &type);
        if (rc == 0)
            continue;
        if (rc != -EAGAIN)
            return rc;
        int64_t left_ms = (until_us - clock_now_us()) / 1000;
        struct pollfd p = { .fd = c->keeper.fd, .events = POLLIN };
        if (left_ms <= 0 || poll(&p, 1, (int)left_ms) == 0)
            return -ETIMEDOUT;
    }
    return 0;
}

static int64_t proxy_loops(const struct controller *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t loops = c->config->proxy_loops > 0 ? c->config->proxy_loops : MAX(cores, 1);
    return MIN(loops, GAUGES_LOOPS_MAX);
}

/* Nobody in particular, unless the configuration or the machine has a user for it. */
static const char *proxy_user(const struct controller *c)
{
    if (geteuid() != 0)
        return "";
    if (c->config->proxy_user)
        return c->config->proxy_user;
    return getpwnam("plimsoll") ? "plimsoll" : "nobody";
}

int keeper_link_start_proxy(struct controller *c, struct err *err)
{
    const char *user = proxy_user(c);
    if (user[0] && !getpwnam(user))
        return err_set(err, -ENOENT,
                       "no user named \"%s\" for the proxy: create it or change `proxy.user`",
                       user);
    struct link_msg m = { .type = LINK_PROXY_CONFIG,
                          .text = slice_of(user),
                          .number = proxy_loops(c) };
    int rc = keeper_link_send(c, &m);
    return rc < 0 ? err_set(err, rc, "the keeper cannot be told to start the proxy") : 0;
}

int keeper_link_listen(struct controller *c, const char *address, struct err *err)
{
    struct link_msg m = { .type = LINK_LISTEN,
                          .text = slice_of(address),
                          .number = proxy_loops(c) };
    int rc = keeper_link_send(c, &m);
    if (rc == 0)
        rc = wait_for(c, LINK_LISTENING);
    if (rc < 0)
        return err_at(err, rc, address, "the keeper does not answer: %s", strerror(-rc));
    if (c->listen_error[0])
        return err_at(err, -EADDRINUSE, address, "%s", c->listen_error);
    return 0;
}

int keeper_link_open(struct controller *c, struct err *err)
{
    const char *text = getenv("PLIMSOLL_KEEPER_FD");
    int64_t fd;
    if (!text || num_parse_i64(slice_of(text), &fd) < 0 || fd < 0 || fd > INT32_MAX)
        return err_set(err, -EINVAL,
                       "PLIMSOLL_KEEPER_FD is missing: a controller is started by "
                       "`plimsoll run`, not by hand");
    unsetenv("PLIMSOLL_KEEPER_FD");
    c->keeper.fd = (int)fd;
    fcntl(c->keeper.fd, F_SETFD, FD_CLOEXEC);
    fcntl(c->keeper.fd, F_SETFL, fcntl(c->keeper.fd, F_GETFL) | O_NONBLOCK);
    int rc = wait_for(c, LINK_KEEPER);
    if (rc < 0)
        return err_set(err, rc, "the keeper did not introduce itself: %s", strerror(-rc));
    c->keeper.watch = watch_open(c, c->keeper.fd, on_readable);
    return 0;
}

void keeper_link_exit(struct controller *c, int status, bool detach, const char *reason)
{
    struct link_msg m = {
        .type = LINK_EXIT, .number = status, .flag = detach, .text = slice_of(reason)
    };
    int rc = keeper_link_send(c, &m);
    if (rc < 0)
        log_error("the keeper cannot be told to end: %s", strerror(-rc));
    c->exit_status = status;
    c->phase = PHASE_DONE;
    uv_stop(&c->loop);
}
