/* Starting, linking and restarting controller and proxy. */
#include "keeper/role.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "keeper/children.h"
#include "keeper/keeper_int.h"
#include "keeper/procfs.h"
#include "keeper/record.h"
#include "keeper/spawn.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define QUICK_DEATH_US (1 * US_PER_S)
#define QUICK_DEATHS_FREE 3 /* restarted at once so often */
#define RESTART_US_MIN (100 * US_PER_MS)
#define RESTART_US_MAX (5 * US_PER_S)
#define FIRST_START_DEATHS_MAX 6
#define ENV_MAX 4096
#define ROLE_SPAWN_MS 5000 /* until it runs; beyond, it hangs in looking up its user */

struct environment {
    size_t count;
    const char *items[ENV_MAX];
    char ours[3][256];
    size_t ours_count;
};

static const char *const *proxy_argv(const struct keeper *k)
{
    static const char *const fallback[] = { "plimsoll", "--proxy", NULL };
    return k->options->proxy_argv ? k->options->proxy_argv : fallback;
}

/* --- environments --- */

static bool is_named(const char *entry, const char *name)
{
    size_t n = strlen(name);
    return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

static bool is_one_of(const char *entry, const char *const *names)
{
    for (; *names; names++)
        if (is_named(entry, *names))
            return true;
    return false;
}

/* What speaks to the keeper alone. */
static const char *const keeper_only[] = { "NOTIFY_SOCKET",  "WATCHDOG_USEC",      "WATCHDOG_PID",
                                           "LISTEN_FDS",     "LISTEN_PID",         "LISTEN_FDNAMES",
                                           "PLIMSOLL_TOKEN", "PLIMSOLL_KEEPER_FD", NULL };
/* All of our environment that the proxy gets: how to log, and what the sanitizers are told. */
static const char *const proxy_too[] = { "JOURNAL_STREAM", "ASAN_OPTIONS",  "LSAN_OPTIONS",
                                         "TSAN_OPTIONS",   "UBSAN_OPTIONS", NULL };

static void _printf_(2, 3) add_ours(struct environment *e, const char *format, ...)
{
    char *entry = e->ours[e->ours_count++];
    va_list args;
    va_start(args, format);
    fmt_v(entry, sizeof(e->ours[0]), format, args);
    va_end(args);
    e->items[e->count++] = entry;
}

static void fill_environment(const struct keeper *k, const struct role *r, int fd,
                             struct environment *e)
{
    bool proxy = r == &k->proxy;
    *e = (struct environment){ 0 };
    for (char **entry = environ; *entry && e->count < ENV_MAX - 8; entry++)
        if (proxy ? is_one_of(*entry, proxy_too) : !is_one_of(*entry, keeper_only))
            e->items[e->count++] = *entry;
    add_ours(e, "PLIMSOLL_KEEPER_FD=%d", fd);
    if (!proxy)
        return;
    add_ours(e, "PLIMSOLL_LOOPS=%d", k->proxy_loops);
    add_ours(e, "PLIMSOLL_RENDEZVOUS=%s", k->rendezvous);
}

/* --- links --- */

void role_close(struct keeper *k, struct role *r)
{
    if (r->channel.fd >= 0)
        keeper_unwatch(k, &r->link);
    channel_close(&r->channel);
}

static void wait_for_link(struct keeper *k, struct role *r)
{
    keeper_watch_change(k, &r->link, EPOLLIN | (channel_waits(&r->channel) ? EPOLLOUT : 0));
}

static void open_link(struct keeper *k, struct role *r, int fd)
{
    channel_open(&r->channel, fd);
    r->link.fd = fd;
    keeper_watch(k, &r->link, EPOLLIN);
}

void role_send(struct keeper *k, struct role *r, const struct link_msg *m)
{
    if (r->channel.fd < 0)
        return;
    int rc = channel_send(&r->channel, m);
    if (rc == 0) {
        if (channel_waits(&r->channel))
            wait_for_link(k, r);
        return;
    }
    if (rc != -EPIPE)
        log_error("cannot tell the %s %s: %s; it is started anew", r->name, link_type_name(m->type),
                  strerror(-rc));
    role_kill(r);
}

void role_send_listeners(struct keeper *k)
{
    struct link_msg m = { .type = LINK_LISTENERS };
    listeners_fill(&k->listeners, &m);
    role_send(k, &k->proxy, &m);
}

/* True when there was something. */
static bool receive(struct keeper *k, struct role *r)
{
    static struct link_start start;
    struct link_msg m;
    struct err err = { 0 };
    int rc = channel_receive(&r->channel, r == &k->controller ? &start : NULL, &m, &err);
    if (rc == -EAGAIN || rc == -EMSGSIZE)
        return rc == -EMSGSIZE;
    if (rc == -EPROTO)
        log_error("the %s speaks nonsense: %s; it is started anew", r->name, err.text);
    if (rc <= 0) { /* without a link it is of no use, dead or alive */
        role_close(k, r);
        role_kill(r);
        return false;
    }
    if (r == &k->controller)
        keeper_request(k, &m);
    for (uint32_t i = 0; i < m.fd_count; i++)
        close(m.fds[i]);
    return true;
}

static void on_link(struct keeper *k, struct watch *w, uint32_t events)
{
    struct role *r = CONTAINER_OF(w, struct role, link);
    if (events & EPOLLOUT) {
        if (channel_flush(&r->channel) < 0)
            role_kill(r);
        wait_for_link(k, r);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(k, r);
}

/* A fresh link between the two, whenever either is new. */
static void connect_roles(struct keeper *k)
{
    int fds[2];
    if (k->controller.pid == 0 || k->proxy.pid == 0)
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        log_error("cannot link proxy and controller: %s", strerror(errno));
        return;
    }
    struct link_msg to_proxy = { .type = LINK_CONTROLLER, .fd_count = 1, .fds = { fds[0] } };
    struct link_msg to_controller = {
        .type = LINK_PROXY, .number = k->proxy.pid, .fd_count = 1, .fds = { fds[1] }
    };
    role_send(k, &k->proxy, &to_proxy);
    role_send(k, &k->controller, &to_controller);
    close(fds[0]);
    close(fds[1]);
}

/* --- life --- */

static void greet(struct keeper *k, struct role *r)
{
    if (r == &k->proxy) {
        role_send_listeners(k);
        return;
    }
    struct link_msg hello = { .type = LINK_KEEPER,
                              .number = getpid(),
                              .text = slice_of(k->key.identity),
                              .flag = !k->ready };
    role_send(k, r, &hello);
    if (k->stop_count > 0) {
        struct link_msg term = { .type = LINK_TERM, .number = k->stop_count };
        role_send(k, r, &term);
    }
}

static int64_t restart_delay_us(unsigned quick_deaths)
{
    if (quick_deaths < QUICK_DEATHS_FREE)
        return 0;
    unsigned doublings = MIN(quick_deaths - QUICK_DEATHS_FREE, 10);
    return MIN(RESTART_US_MIN << doublings, RESTART_US_MAX);
}

static void plan_restart(struct keeper *k, struct role *r)
{
    int64_t now_us = clock_now_us();
    r->quick_deaths = now_us - r->started_us < QUICK_DEATH_US ? r->quick_deaths + 1 : 0;
    r->restart_us = now_us + restart_delay_us(r->quick_deaths);
    if (r == &k->controller && !k->ready && r->quick_deaths >= FIRST_START_DEATHS_MAX) {
        log_error("the controller does not live long enough to begin; giving up");
        keeper_leave(k, 1, false);
    }
}

static void remember_proxy(struct keeper *k, pid_t pid)
{
    struct procfs_process p;
    if (procfs_read(pid, &p) < 0)
        return;
    struct record record = { .pid = pid, .start_ticks = p.start_ticks }; /* no meta */
    record_write(k->options->state_dir, ROLE_PROXY_RECORD, &record);
}

static pid_t spawn_role(struct keeper *k, struct role *r, int fd, struct err *err)
{
    static struct environment environment;
    bool proxy = r == &k->proxy;
    fill_environment(k, r, fd, &environment);
    struct spawn s = { .exe = "/proc/self/exe",
                       .argv = proxy ? proxy_argv(k) : k->options->controller_argv,
                       .env = environment.items,
                       .key = &k->key,
                       .token = proxy ? ROLE_PROXY_TOKEN : ROLE_CONTROLLER_TOKEN,
                       .user = proxy && geteuid() == 0 ? k->proxy_user : "",
                       .keep_fd = fd,
                       .powerless = proxy,
                       .open_files = k->open_files,
                       .limits = { -1, -1, -1, -1 } };
    if (proxy) /* every connection is a descriptor */
        s.open_files.rlim_cur = s.open_files.rlim_max;
    int result_fd, rc;
    pid_t pid = spawn_start(&s, &result_fd, err);
    if (pid < 0 || (rc = spawn_wait(result_fd, ROLE_SPAWN_MS, err)) == 0)
        return pid;
    kill(pid, SIGKILL); /* reaped like any child */
    return rc;
}

static void start(struct keeper *k, struct role *r)
{
    int fds[2];
    struct err err = { 0 };
    r->started_us = clock_now_us();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
        log_error("cannot start the %s: %s", r->name, strerror(errno));
        plan_restart(k, r);
        return;
    }
    pid_t pid = spawn_role(k, r, fds[1], &err);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        log_error("cannot start the %s: %s", r->name, err.text);
        plan_restart(k, r);
        return;
    }
    r->pid = pid;
    r->adopted = false;
    log_debug("%s started, pid %d", r->name, (int)pid);
    if (r == &k->proxy)
        remember_proxy(k, pid);
    open_link(k, r, fds[0]);
    greet(k, r);
    connect_roles(k);
}

void roles_start(struct keeper *k)
{
    struct role *const roles[] = { &k->controller, &k->proxy };
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < ARRAY_LEN(roles) && !k->leaving; i++)
        if (roles[i]->wanted && roles[i]->pid == 0 && now_us >= roles[i]->restart_us)
            start(k, roles[i]);
}

int64_t roles_next_us(const struct keeper *k)
{
    int64_t next_us = US_NEVER;
    if (k->leaving)
        return next_us;
    if (k->controller.wanted && k->controller.pid == 0)
        next_us = k->controller.restart_us;
    if (k->proxy.wanted && k->proxy.pid == 0)
        next_us = MIN(next_us, k->proxy.restart_us);
    return next_us;
}

void role_died(struct keeper *k, struct role *r, int status)
{
    int64_t pid = r->pid;
    r->pid = 0;
    while (r->channel.fd >= 0 && receive(k, r))
        ; /* its last words: that all is stopped, perhaps */
    role_close(k, r);
    if (r->exit.fd >= 0) {
        keeper_unwatch(k, &r->exit);
        close(TAKE_FD(r->exit.fd));
    }
    if (!k->leaving)
        log_warn("the %s (pid %d) ended%s %d; starting another", r->name, (int)pid,
                 WIFSIGNALED(status) ? " by signal" : " with status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (r == &k->controller)
        children_kill_tasks(k); /* nobody waits for their answer any more */
    if (r == &k->proxy)
        record_remove(k->options->state_dir, ROLE_PROXY_RECORD);
    if (k->leaving)
        keeper_check_left(k);
    else
        plan_restart(k, r);
}

void role_kill(struct role *r)
{
    if (r->pid == 0)
        return;
    if (r->adopted)
        procfs_pidfd_signal(r->exit.fd, SIGKILL);
    else
        kill(r->pid, SIGKILL);
}

static void on_exit_of_adopted(struct keeper *k, struct watch *w, uint32_t events)
{
    role_died(k, CONTAINER_OF(w, struct role, exit), 0);
}

void role_adopt_proxy(struct keeper *k, pid_t pid, int link_fd)
{
    struct role *r = &k->proxy;
    int pidfd = procfs_pidfd(pid);
    if (pidfd < 0) { /* it died this very moment */
        close(link_fd);
        return;
    }
    r->pid = pid;
    r->adopted = true;
    r->started_us = clock_now_us();
    r->exit.fd = pidfd;
    keeper_watch(k, &r->exit, EPOLLIN);
    remember_proxy(k, pid);
    open_link(k, r, link_fd);
}

static void init(struct role *r, const char *name)
{
    *r = (struct role){ .name = name,
                        .exit = { .fd = -1, .ready = on_exit_of_adopted },
                        .link = { .fd = -1, .ready = on_link } };
    channel_init(&r->channel);
}

void roles_init(struct keeper *k)
{
    init(&k->controller, "controller");
    init(&k->proxy, "proxy");
}
