/* Instances and tasks. An instance is a session, a process group and whatever else carries its
 * token: when its main process ends, so does the rest. */
#include "keeper/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/us.h"
#include "keeper/keeper_int.h"
#include "keeper/procfs.h"
#include "keeper/record.h"
#include "keeper/spawn.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define CHILDREN_MAX 10000
#define NAME_MAX_BYTES 96
#define START_BYTES_MAX ((size_t)1 << 20)
#define START_US_MAX (10 * US_PER_S) /* until its program runs */

struct child {
    struct list link;
    char name[NAME_MAX_BYTES];
    char meta[TOKEN_TEXT_MAX];
    pid_t pid; /* and process group and session */
    uint64_t start_ticks;
    bool task;
    bool adopted;
    bool told;           /* a controller has heard of it as running, though it does not yet */
    int64_t task_us;     /* how long a task may take */
    int64_t deadline_us; /* for its start, and then for a task's end */
    struct watch start;  /* tells that its program runs, or why not; then fd -1 */
    struct watch exit;   /* pidfd of an adopted one; else fd -1 */
};

/* --- the list --- */

static struct child *find(const struct keeper *k, struct slice name)
{
    LIST_FOR_EACH (it, &k->children) {
        struct child *c = LIST_ENTRY(it, struct child, link);
        if (slice_eq(slice_of(c->name), name))
            return c;
    }
    return NULL;
}

static struct child *find_pid(const struct keeper *k, pid_t pid)
{
    LIST_FOR_EACH (it, &k->children) {
        struct child *c = LIST_ENTRY(it, struct child, link);
        if (c->pid == pid && !c->adopted)
            return c;
    }
    return NULL;
}

bool children_has(const struct keeper *k, const char *name)
{
    return find(k, slice_of(name)) != NULL;
}

static struct child *add(struct keeper *k, struct slice name, struct slice meta)
{
    struct child *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    snprintf(c->name, sizeof(c->name), "%.*s", (int)name.n, name.p);
    snprintf(c->meta, sizeof(c->meta), "%.*s", (int)meta.n, meta.p);
    c->deadline_us = US_NEVER;
    c->start.fd = -1;
    c->exit.fd = -1;
    list_push_back(&k->children, &c->link);
    k->child_count++;
    return c;
}

static void drop(struct keeper *k, struct child *c)
{
    if (c->exit.fd >= 0) {
        keeper_unwatch(k, &c->exit);
        close(c->exit.fd);
    }
    list_remove(&c->link);
    k->child_count--;
    free(c);
}

/* --- the end --- */

/* Until our own child is reaped, its number is nobody else's; an adopted one may be gone. */
static void signal_group(const struct child *c, int signal)
{
    if (c->adopted && procfs_pidfd_signal(c->exit.fd, 0) < 0)
        return;
    if (kill(-c->pid, signal) < 0)
        kill(c->pid, signal); /* it leads no group yet */
}

static void kill_escaped(const struct keeper *k, const struct child *c)
{
    char prefix[NAME_MAX_BYTES + 2];
    snprintf(prefix, sizeof(prefix), "%s/", c->name);
    procfs_kill(&k->key, prefix);
    procfs_kill_session(c->pid, c->start_ticks);
}

static void child_over(struct keeper *k, struct child *c, int status, bool unknown)
{
    struct link_msg m = { .type = LINK_EXITED,
                          .name = slice_of(c->name),
                          .number = c->pid,
                          .status = status,
                          .flag = unknown };
    if (!c->task) {
        kill_escaped(k, c);
        record_remove(k->options->state_dir, c->name);
    }
    role_send(k, &k->controller, &m);
    drop(k, c);
    if (k->leaving)
        keeper_check_left(k);
}

static void on_exit_of_adopted(struct keeper *k, struct watch *w, uint32_t events)
{
    child_over(k, CONTAINER_OF(w, struct child, exit), 0, true);
}

/* The start is over, one way or the other. */
static void start_over(struct keeper *k, struct child *c, int rc, const struct err *err)
{
    struct link_msg m = { .type = LINK_STARTED, .name = slice_of(c->name) };
    if (c->start.fd >= 0)
        keeper_unwatch(k, &c->start);
    c->start.fd = -1;
    if (rc == 0) {
        m.flag = true;
        m.number = c->pid;
        c->deadline_us = c->task ? us_add(clock_now_us(), c->task_us) : US_NEVER;
        role_send(k, &k->controller, &m);
        return;
    }
    m.status = -rc;
    m.text = slice_of(err->text);
    if (c->told) /* to one that did not ask for it */
        m = (struct link_msg){ .type = LINK_EXITED,
                               .name = slice_of(c->name),
                               .number = c->pid,
                               .status = W_EXITCODE(127, 0) };
    role_send(k, &k->controller, &m);
    if (!c->task)
        record_remove(k->options->state_dir, c->name);
    drop(k, c); /* the process ends by itself, or has been killed */
    if (k->leaving)
        keeper_check_left(k);
}

static void on_start_known(struct keeper *k, struct watch *w, uint32_t events)
{
    struct child *c = CONTAINER_OF(w, struct child, start);
    struct err err = { 0 };
    keeper_unwatch(k, w);
    int rc = spawn_result(TAKE_FD(w->fd), &err);
    start_over(k, c, rc, &err);
}

static void start_late(struct keeper *k, struct child *c)
{
    struct err err = { 0 };
    signal_group(c, SIGKILL);
    keeper_unwatch(k, &c->start);
    close(TAKE_FD(c->start.fd));
    int rc = err_set(&err, -ETIMEDOUT,
                     "%s did not begin within 10 s: looking up its user, or entering its "
                     "directory, takes too long",
                     c->name);
    start_over(k, c, rc, &err);
}

static void reap_one(struct keeper *k, pid_t pid)
{
    struct child *c = find_pid(k, pid);
    int status = 0;
    if (c && c->start.fd >= 0) {
        on_start_known(k, &c->start, 0);
        c = find_pid(k, pid);
    }
    if (c)
        kill(-pid, SIGKILL); /* while the zombie keeps the number: the rest of the group */
    waitpid(pid, &status, 0);
    if (c)
        child_over(k, c, status, false);
    else if (pid == k->controller.pid)
        role_died(k, &k->controller, status);
    else if (pid == k->proxy.pid)
        role_died(k, &k->proxy, status);
}

void children_reap(struct keeper *k)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        reap_one(k, info.si_pid);
    }
}

/* --- the beginning --- */

static const char *text_of(struct arena *a, struct slice s)
{
    return arena_strndup(a, s.p, s.n);
}

/* A list of texts for exec; `extra` more fit behind it. */
static const char **list_of(struct arena *a, const struct slice *items, uint32_t count,
                            uint32_t extra)
{
    const char **list = ARENA_ARRAY(a, const char *, count + extra + 1);
    for (uint32_t i = 0; list && i < count; i++)
        if (!(list[i] = text_of(a, items[i])))
            return NULL;
    return list;
}

static bool is_ours(struct slice entry)
{
    static const struct slice names[] = { { "PLIMSOLL_INSTANCE=", 18 },
                                          { "PLIMSOLL_TOKEN=", 15 },
                                          { "PLIMSOLL_KEEPER_FD=", 19 } };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (entry.n >= names[i].n && memcmp(entry.p, names[i].p, names[i].n) == 0)
            return true;
    return false;
}

static const char **environment_of(struct arena *a, const struct link_start *start)
{
    char text[NAME_MAX_BYTES + 32];
    const char **env = ARENA_ARRAY(a, const char *, start->envc + 2);
    uint32_t n = 0;
    for (uint32_t i = 0; env && i < start->envc; i++)
        if (!is_ours(start->env[i]))
            env[n++] = text_of(a, start->env[i]);
    if (!env)
        return NULL;
    snprintf(text, sizeof(text), "PLIMSOLL_INSTANCE=%.*s", (int)start->name.n, start->name.p);
    env[n++] = arena_strdup(a, text);
    for (uint32_t i = 0; i < n; i++)
        if (!env[i])
            return NULL;
    return env;
}

static pid_t spawn_child(const struct keeper *k, const struct link_start *start, int *ret_fd,
                         struct err *err)
{
    char token[TOKEN_TEXT_MAX];
    _cleanup_arena_ struct arena a;
    /* A dot before the name says that it is a task: the next keeper ends it instead of adopting. */
    snprintf(token, sizeof(token), "%s%.*s/%.*s", start->task ? "." : "", (int)start->name.n,
             start->name.p, (int)start->meta.n, start->meta.p);
    mem_arena_init(&a, START_BYTES_MAX);
    struct spawn s = { .argv = list_of(&a, start->argv, start->argc, 0),
                       .env = environment_of(&a, start),
                       .key = &k->key,
                       .token = token,
                       .directory = text_of(&a, start->directory),
                       .user = text_of(&a, start->user),
                       .group = text_of(&a, start->group),
                       .log_path = text_of(&a, start->log_path),
                       .keep_fd = -1,
                       .open_files = k->open_files,
                       .limits = { [SPAWN_OPEN_FILES] = start->open_files_max,
                                   [SPAWN_MEMORY] = start->memory_bytes_max,
                                   [SPAWN_PROCESSES] = start->processes_max,
                                   [SPAWN_CORE] = start->core_bytes_max } };
    if (!s.argv || !s.env || !s.directory || !s.user || !s.group || !s.log_path)
        return err_set(err, -ENOMEM, "no memory to start %.*s", (int)start->name.n, start->name.p);
    if (!s.log_path[0])
        s.log_path = "/dev/null";
    return spawn_start(&s, ret_fd, err);
}

static int check_start(const struct keeper *k, const struct link_start *start, struct err *err)
{
    struct slice name = start->name;
    if (name.n == 0 || name.n >= NAME_MAX_BYTES || name.p[0] == '.' ||
        memchr(name.p, '/', name.n) || start->meta.n >= TOKEN_TEXT_MAX - NAME_MAX_BYTES)
        return err_set(err, -EINVAL, "not a name for an instance: \"%.*s\"", (int)name.n, name.p);
    if (start->argc == 0 || start->argv[0].n == 0)
        return err_set(err, -EINVAL, "no command to run");
    if (find(k, name))
        return err_set(err, -EEXIST, "%.*s runs already", (int)name.n, name.p);
    if (k->child_count == CHILDREN_MAX || k->leaving)
        return err_set(err, -EAGAIN,
                       k->leaving ? "plimsoll is stopping" : "too many instances run already");
    return 0;
}

static void remember(const struct keeper *k, const struct child *c)
{
    static bool warned;
    struct record record = { .pid = c->pid, .start_ticks = c->start_ticks };
    memcpy(record.meta, c->meta, sizeof(record.meta));
    int rc = record_write(k->options->state_dir, c->name, &record);
    if (rc < 0 && !warned) {
        log_warn("cannot write to %s/keeper: %s; instances are known by their tokens alone",
                 k->options->state_dir, strerror(-rc));
        warned = true;
    }
}

static void watch_start(struct keeper *k, struct child *c, const struct link_start *start, int fd)
{
    struct procfs_process p;
    c->task = start->task;
    c->task_us = start->deadline_us;
    c->deadline_us = us_add(clock_now_us(), START_US_MAX);
    if (procfs_read(c->pid, &p) == 0)
        c->start_ticks = p.start_ticks;
    if (!c->task)
        remember(k, c);
    c->start = (struct watch){ .fd = fd, .ready = on_start_known };
    keeper_watch(k, &c->start, EPOLLIN);
}

void children_start(struct keeper *k, const struct link_start *start)
{
    struct err err = { 0 };
    int fd, rc = check_start(k, start, &err);
    struct child *c = rc == 0 ? add(k, start->name, start->meta) : NULL;
    if (rc == 0 && !c)
        rc = err_set(&err, -ENOMEM, "no memory for another instance");
    if (rc == 0)
        rc = spawn_child(k, start, &fd, &err);
    if (rc > 0) {
        c->pid = rc;
        watch_start(k, c, start, fd);
        return;
    }
    struct link_msg failed = {
        .type = LINK_STARTED, .name = start->name, .status = -rc, .text = slice_of(err.text)
    };
    if (c)
        drop(k, c);
    role_send(k, &k->controller, &failed);
}

bool children_adopt(struct keeper *k, struct slice name, const struct record *r)
{
    struct procfs_process now;
    _cleanup_close_ int pidfd = procfs_pidfd(r->pid);
    /* The descriptor holds the process; only then is it certain that it is still the same one. */
    if (pidfd < 0 || procfs_read(r->pid, &now) < 0 || now.start_ticks != r->start_ticks)
        return false;
    struct child *c = add(k, name, slice_of(r->meta));
    if (!c)
        return false;
    c->pid = r->pid;
    c->start_ticks = r->start_ticks;
    c->adopted = true;
    c->exit = (struct watch){ .fd = TAKE_FD(pidfd), .ready = on_exit_of_adopted };
    keeper_watch(k, &c->exit, EPOLLIN);
    return true;
}

/* --- in between --- */

void children_signal(struct keeper *k, struct slice name, int signal)
{
    struct child *c = find(k, name);
    if (!c || signal <= 0 || signal >= NSIG)
        return;
    signal_group(c, signal);
    if (signal == SIGKILL && !c->task)
        kill_escaped(k, c);
}

void children_list(struct keeper *k)
{
    LIST_FOR_EACH (it, &k->children) {
        struct child *c = LIST_ENTRY(it, struct child, link);
        struct link_msg m = { .type = LINK_RUNNING,
                              .name = slice_of(c->name),
                              .number = c->pid,
                              .text = slice_of(c->meta),
                              .flag = c->adopted };
        if (c->task)
            continue;
        c->told = true;
        role_send(k, &k->controller, &m);
    }
}

void children_on_time(struct keeper *k, int64_t now_us)
{
    LIST_FOR_EACH (it, &k->children) {
        struct child *c = LIST_ENTRY(it, struct child, link);
        if (now_us < c->deadline_us)
            continue;
        c->deadline_us = US_NEVER;
        if (c->start.fd >= 0)
            start_late(k, c);
        else
            signal_group(c, SIGKILL);
    }
}

int64_t children_next_us(const struct keeper *k)
{
    int64_t next_us = US_NEVER;
    LIST_FOR_EACH (it, &k->children)
        next_us = MIN(next_us, LIST_ENTRY(it, struct child, link)->deadline_us);
    return next_us;
}

void children_kill_tasks(struct keeper *k)
{
    LIST_FOR_EACH (it, &k->children) {
        struct child *c = LIST_ENTRY(it, struct child, link);
        if (c->task)
            signal_group(c, SIGKILL);
    }
}

void children_kill_all(struct keeper *k)
{
    LIST_FOR_EACH (it, &k->children)
        signal_group(LIST_ENTRY(it, struct child, link), SIGKILL);
}
