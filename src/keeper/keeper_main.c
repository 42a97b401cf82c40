/* The loop: one epoll, one event at a time, because any of them may end what another is about. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/us.h"
#include "keeper/children.h"
#include "keeper/keeper_int.h"
#include "keeper/procfs.h"
#include "keeper/record.h"
#include "keeper/secret.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define LEAVE_US (2 * US_PER_S) /* to end by itself, and once more to be gone after SIGKILL */

/* --- watches --- */

static void control(struct keeper *k, int op, struct watch *w, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.ptr = w };
    if (epoll_ctl(k->epoll_fd, op, w->fd, &e) < 0)
        log_error("epoll: %s", strerror(errno));
}

void keeper_watch(struct keeper *k, struct watch *w, uint32_t events)
{
    control(k, EPOLL_CTL_ADD, w, events);
}

void keeper_watch_change(struct keeper *k, struct watch *w, uint32_t events)
{
    control(k, EPOLL_CTL_MOD, w, events);
}

void keeper_unwatch(struct keeper *k, struct watch *w)
{
    control(k, EPOLL_CTL_DEL, w, 0);
}

/* --- the end --- */

void keeper_leave(struct keeper *k, int status, bool detach)
{
    struct link_msg quit = { .type = LINK_QUIT };
    if (k->leaving)
        return;
    sd_notify(0, "STOPPING=1");
    k->leaving = true;
    k->detach = detach;
    k->exit_status = status;
    k->leave_deadline_us = clock_now_us() + LEAVE_US;
    role_close(k, &k->controller); /* which ends it */
    if (!detach) {
        role_send(k, &k->proxy, &quit);
        children_kill_all(k); /* the controller has stopped them all, unless it could not */
    }
    keeper_check_left(k);
}

void keeper_check_left(struct keeper *k)
{
    if (k->controller.pid == 0 && (k->detach || (k->proxy.pid == 0 && list_empty(&k->children))))
        k->done = true;
}

static void force(struct keeper *k)
{
    if (k->forced) {
        k->done = true;
        return;
    }
    k->forced = true;
    k->leave_deadline_us = clock_now_us() + LEAVE_US;
    role_kill(&k->controller);
    if (!k->detach) {
        role_kill(&k->proxy);
        children_kill_all(k);
    }
}

static void on_stop_signal(struct keeper *k)
{
    struct link_msg term = { .type = LINK_TERM, .number = ++k->stop_count };
    if (k->stop_count == 1) {
        sd_notify(0, "STOPPING=1");
        role_send(k, &k->controller, &term);
        return;
    }
    if (!k->leaving) {
        log_warn("asked twice: ending everything at once");
        keeper_leave(k, 1, false);
    }
    force(k);
}

/* --- signals --- */

static void on_hup(struct keeper *k)
{
    struct link_msg hup = { .type = LINK_HUP };
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_now_us());
    role_send(k, &k->controller, &hup);
}

static void on_signals(struct keeper *k, struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;
    if (read(w->fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGCHLD)
        children_reap(k);
    else if (info.ssi_signo == SIGHUP)
        on_hup(k);
    else
        on_stop_signal(k);
}

static void init_signals(struct keeper *k)
{
    static const int handled[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT };
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        signal(handled[i], SIG_DFL); /* one that was ignored, as under nohup, would not come */
        sigaddset(&set, handled[i]);
    }
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    k->signals =
        (struct watch){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_signals };
    keeper_watch(k, &k->signals, EPOLLIN);
}

/* --- the beginning --- */

static void init_descriptors(struct keeper *k)
{
    int fd;
    do { /* 0, 1 and 2 exist, whoever started us */
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    for (fd = 0; fd <= STDERR_FILENO; fd++)
        fcntl(fd, F_SETFD, 0);
    getrlimit(RLIMIT_NOFILE, &k->open_files);
    struct rlimit all = { k->open_files.rlim_max, k->open_files.rlim_max };
    setrlimit(RLIMIT_NOFILE, &all); /* an adopted instance is a descriptor */
}

static int init(struct keeper *k, const struct keeper_options *options, struct err *err)
{
    *k = (struct keeper){ .options = options, .epoll_fd = -1, .proxy_loops = 1 };
    list_init(&k->children);
    roles_init(k);
    int rc = lock_identify(options->state_dir, k->key.identity, err);
    if (rc == 0)
        rc = lock_take(options->state_dir, k->key.identity, err);
    if (rc < 0)
        return rc;
    rendezvous_name(k->key.identity, k->rendezvous);
    record_init(options->state_dir); /* where it fails, records do, and say so */
    secret_load(options->state_dir, &k->key);
    init_descriptors(k);
    k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (k->epoll_fd < 0)
        return err_set(err, -errno, "cannot make an epoll: %s", strerror(errno));
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what instances leave behind comes to us */
    init_signals(k);
    return 0;
}

static int timeout_ms(const struct keeper *k)
{
    int64_t next_us = MIN(roles_next_us(k), children_next_us(k));
    if (k->leaving)
        next_us = MIN(next_us, k->leave_deadline_us);
    if (next_us == US_NEVER)
        return -1;
    int64_t left_us = next_us - clock_now_us();
    return left_us <= 0 ? 0 : (int)MIN(left_us / US_PER_MS + 1, 60 * 1000);
}

static void on_time(struct keeper *k)
{
    int64_t now_us = clock_now_us();
    children_on_time(k, now_us);
    if (k->leaving && !k->done && now_us >= k->leave_deadline_us)
        force(k);
    roles_start(k);
}

static void loop(struct keeper *k)
{
    while (!k->done) {
        struct epoll_event e;
        int n = epoll_wait(k->epoll_fd, &e, 1, timeout_ms(k));
        if (n == 1) {
            struct watch *w = e.data.ptr;
            w->ready(k, w, e.events);
        }
        on_time(k);
    }
}

int keeper_is_free(const char *state_dir, struct err *err)
{
    char identity[LOCK_IDENTITY_MAX];
    int rc = lock_identify(state_dir, identity, err);
    return rc < 0 ? rc : lock_look(state_dir, identity, err);
}

int keeper_main(const struct keeper_options *options)
{
    static struct keeper k;
    struct err err = { 0 };
    log_init("keeper", LOG_LEVEL_INFO);
    if (init(&k, options, &err) < 0) {
        log_error("%s", err.text);
        return 1;
    }
    keeper_adopt(&k);
    k.controller.wanted = true;
    roles_start(&k);
    loop(&k);
    if (!k.detach) {
        procfs_kill(&k.key, ""); /* whatever still carries our token */
        secret_forget(&k.key);
    }
    listeners_done(&k.listeners, !k.detach);
    return k.exit_status;
}
