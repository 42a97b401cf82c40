/* A keeper for tests of the process driver: starts, signals and reaps for real, on the test's loop,
 * and answers through the driver's keeper_msg as the controller would. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "drivers/driver.h"
#include "sys/clock.h"

#define FAKE_CHILDREN_MAX 32
#define FAKE_EVENTS_MAX 4096
#define PATIENCE_US (INT64_C(20) * 1000 * 1000)

struct fake_child {
    char name[128];
    char meta[512];
    pid_t pid;
    bool task, announced;
    int exec_errno;
};

static struct fake_keeper {
    uv_loop_t loop;
    uv_timer_t timer;
    struct fake_child children[FAKE_CHILDREN_MAX];
    size_t child_count;
    bool list_asked;
    void *driver;
    struct event events[FAKE_EVENTS_MAX];
    char addresses[FAKE_EVENTS_MAX][128];
    size_t event_count;
} fake;

static void fake_copy(char *buf, size_t cap, struct slice s)
{
    snprintf(buf, cap, "%.*s", (int)s.n, s.p);
}

static void fake_exec(const struct link_start *s)
{
    static char texts[256 * 1024];
    static char *argv[LINK_LIST_MAX + 1], *env[LINK_LIST_MAX + 1];
    char log[512], *at = texts;
    for (uint32_t i = 0; i < s->argc; i++) {
        argv[i] = at;
        at += sprintf(at, "%.*s", (int)s->argv[i].n, s->argv[i].p) + 1;
    }
    for (uint32_t i = 0; i < s->envc; i++) {
        env[i] = at;
        at += sprintf(at, "%.*s", (int)s->env[i].n, s->env[i].p) + 1;
    }
    fake_copy(log, sizeof(log), s->log_path);
    int fd = open(log[0] ? log : "/dev/null", O_WRONLY | O_APPEND | O_CREAT, 0640);
    dup2(fd, 1);
    dup2(fd, 2);
    setsid();
    environ = env;
    execvp(argv[0], argv);
    _exit(127);
}

static int fake_start(const struct link_start *s)
{
    struct fake_child *c = &fake.children[fake.child_count++];
    *c = (struct fake_child){ .task = s->task };
    fake_copy(c->name, sizeof(c->name), s->name);
    fake_copy(c->meta, sizeof(c->meta), s->meta);
    if (slice_eq(s->argv[0], SLICE("no-such-command"))) {
        c->exec_errno = ENOENT;
        return 0;
    }
    c->pid = fork();
    if (c->pid == 0)
        fake_exec(s);
    while (getpgid(c->pid) != c->pid) /* it can be signalled as a group from here on */
        sched_yield();
    return 0;
}

/* The driver's way to the keeper; answers come later, from the loop. */
static int fake_hear(void *ctx, const struct link_msg *m)
{
    static uint8_t packet[LINK_BYTES_MAX];
    if (link_encode(m, packet, sizeof(packet)) < 0)
        return -EMSGSIZE;
    if (m->type == LINK_START)
        return fake_start(m->start);
    if (m->type == LINK_LIST)
        fake.list_asked = true;
    for (size_t i = 0; m->type == LINK_SIGNAL && i < fake.child_count; i++)
        if (slice_eq(slice_of(fake.children[i].name), m->name) && fake.children[i].pid > 0)
            kill(-fake.children[i].pid, (int)m->number);
    return 0;
}

static void fake_say(const struct link_msg *m)
{
    provision_process.keeper_msg(fake.driver, m);
}

static void fake_list(void)
{
    for (size_t i = 0; i < fake.child_count; i++) {
        const struct fake_child *c = &fake.children[i];
        struct link_msg m = { .type = LINK_RUNNING,
                              .name = slice_of(c->name),
                              .text = slice_of(c->meta),
                              .number = c->pid,
                              .flag = true };
        if (!c->task && c->pid > 0)
            fake_say(&m);
    }
    fake_say(&(struct link_msg){ .type = LINK_LIST_END });
}

static void fake_tend(struct fake_child *c)
{
    struct link_msg m = { .name = slice_of(c->name), .number = c->pid, .flag = true };
    int status;
    if (!c->announced) {
        c->announced = true;
        m.type = LINK_STARTED;
        if (c->exec_errno) {
            m.flag = false;
            m.status = c->exec_errno;
            m.text = SLICE("cannot run it: no such file");
        }
        fake_say(&m);
    } else if (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid) {
        m.type = LINK_EXITED;
        m.flag = false;
        m.status = status;
        c->pid = 0;
        fake_say(&m);
    }
}

static void fake_on_timer(uv_timer_t *timer)
{
    for (size_t i = 0; i < fake.child_count; i++)
        if (fake.driver)
            fake_tend(&fake.children[i]);
    if (fake.list_asked && fake.driver) {
        fake.list_asked = false;
        fake_list();
    }
}

static void fake_emit(void *ctx, const struct event *e)
{
    if (fake.event_count == FAKE_EVENTS_MAX)
        return;
    fake.events[fake.event_count] = *e;
    snprintf(fake.addresses[fake.event_count++], sizeof(fake.addresses[0]), "%s",
             e->address ? e->address : "");
    fake.events[fake.event_count - 1].address = NULL; /* as long as the call only */
}

static void fake_open_driver(const char *state_dir)
{
    struct driver_env env = { .loop = &fake.loop,
                              .state_dir = state_dir,
                              .identity = "test",
                              .emit = fake_emit,
                              .keeper = fake_hear };
    struct err err;
    if (provision_process.open(&env, &fake.driver, &err) < 0)
        abort();
}

static void fake_close_driver(void)
{
    provision_process.close(fake.driver);
    fake.driver = NULL;
    uv_run(&fake.loop, UV_RUN_NOWAIT);
    uv_run(&fake.loop, UV_RUN_NOWAIT);
}

static void fake_begin(const char *state_dir)
{
    memset(&fake, 0, sizeof(fake));
    uv_loop_init(&fake.loop);
    uv_timer_init(&fake.loop, &fake.timer);
    uv_timer_start(&fake.timer, fake_on_timer, 1, 2);
    fake_open_driver(state_dir);
}

static void fake_end(void)
{
    fake_close_driver();
    for (size_t i = 0; i < fake.child_count; i++)
        if (fake.children[i].pid > 0) {
            kill(-fake.children[i].pid, SIGKILL);
            waitpid(fake.children[i].pid, NULL, 0);
        }
    uv_close((uv_handle_t *)&fake.timer, NULL);
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&fake.loop) != 0)
        abort(); /* a handle was forgotten */
}

/* The first event of that kind from *at on, waiting for it; NULL when it never came. */
static const struct event *fake_wait(enum event_type type, size_t *at)
{
    int64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (clock_now_us() < give_up_us) {
        for (; *at < fake.event_count; (*at)++)
            if (fake.events[*at].type == type)
                return &fake.events[(*at)++];
        uv_run(&fake.loop, UV_RUN_ONCE);
    }
    return NULL;
}
