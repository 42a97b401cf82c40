/* Reading /proc. A process may go away at any moment; whoever is gone is skipped. */
#include "keeper/procfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"
#include "base/util.h"
#include "sys/mem.h"

#define ENVIRON_BYTES_MAX ((size_t)256 * 1024)
#define KILL_ROUNDS 20 /* a process may fork while we look; each round finds fewer */

static ssize_t read_file(pid_t pid, const char *name, char *buf, size_t cap)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t n = 0;
    while (n < cap - 1) {
        ssize_t got = read(fd, buf + n, cap - 1 - n);
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    buf[n] = '\0';
    return (ssize_t)n;
}

int procfs_read(pid_t pid, struct procfs_process *ret)
{
    char text[1024];
    char state;
    int group, session;
    unsigned long long start;
    ssize_t n = read_file(pid, "stat", text, sizeof(text));
    if (n < 0)
        return (int)n;
    char *after_name = strrchr(text, ')'); /* the name may contain anything */
    if (!after_name || sscanf(after_name + 2,
                              "%c %*d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                              "%*d %*d %llu",
                              &state, &group, &session, &start) != 4)
        return -EPROTO;
    *ret = (struct procfs_process){ .pid = pid,
                                    .group = group,
                                    .session = session,
                                    .start_ticks = start,
                                    .zombie = state == 'Z' || state == 'X' };
    return 0;
}

/* Really, effectively and for ever: a set-user-ID program has the environment of whoever calls it.
 */
static bool runs_as(pid_t pid, uid_t uid)
{
    char text[4096];
    unsigned real, effective, saved;
    if (read_file(pid, "status", text, sizeof(text)) <= 0)
        return false;
    const char *line = strstr(text, "\nUid:");
    return line && sscanf(line + 5, "%u %u %u", &real, &effective, &saved) == 3 && real == uid &&
           effective == uid && saved == uid;
}

static bool find_token(const struct token_key *key, pid_t pid, char *buf, struct procfs_process *p)
{
    static const char name[] = TOKEN_NAME "=";
    ssize_t n = read_file(pid, "environ", buf, ENVIRON_BYTES_MAX);
    for (const char *at = buf, *end = buf + MAX(n, 0); at < end; at += strlen(at) + 1) {
        uid_t uid;
        const char *text;
        if (strncmp(at, name, sizeof(name) - 1) != 0)
            continue;
        if (!token_read(key, at + sizeof(name) - 1, &uid, &text) || procfs_read(pid, p) < 0)
            return false;
        p->own_user = runs_as(pid, uid);
        snprintf(p->token, sizeof(p->token), "%s", text);
        return true;
    }
    return false;
}

bool procfs_read_token(const struct token_key *key, pid_t pid, struct procfs_process *ret)
{
    _cleanup_free_ char *buf = malloc(ENVIRON_BYTES_MAX);
    return buf && find_token(key, pid, buf, ret);
}

/* Every process but our own. */
static void each_pid(void (*visit)(pid_t pid, void *ctx), void *ctx)
{
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        int64_t pid;
        if (num_parse_i64(slice_of(e->d_name), &pid) == 0 && pid != getpid())
            visit((pid_t)pid, ctx);
    }
    if (dir)
        closedir(dir);
}

struct bearers {
    const struct token_key *key;
    void (*visit)(const struct procfs_process *p, void *ctx);
    void *ctx;
    char *buf;
};

static void visit_bearer(pid_t pid, void *ctx)
{
    struct bearers *b = ctx;
    struct procfs_process p;
    if (find_token(b->key, pid, b->buf, &p))
        b->visit(&p, b->ctx);
}

void procfs_each(const struct token_key *key,
                 void (*visit)(const struct procfs_process *p, void *ctx), void *ctx)
{
    _cleanup_free_ char *buf = malloc(ENVIRON_BYTES_MAX);
    struct bearers b = { .key = key, .visit = visit, .ctx = ctx, .buf = buf };
    if (buf)
        each_pid(visit_bearer, &b);
}

/* --- killing --- */

static bool kill_process(const struct procfs_process *p)
{
    struct procfs_process again;
    _cleanup_close_ int pidfd = procfs_pidfd(p->pid);
    /* The descriptor holds the process; only then is it certain that it is still the same one. */
    return pidfd >= 0 && procfs_read(p->pid, &again) == 0 && again.start_ticks == p->start_ticks &&
           procfs_pidfd_signal(pidfd, SIGKILL) == 0;
}

struct killer {
    const char *prefix;
    pid_t leader;
    uint64_t start_ticks; /* of the leader */
    unsigned killed;
};

static void kill_bearer(const struct procfs_process *p, void *ctx)
{
    struct killer *k = ctx;
    if (strncmp(p->token, k->prefix, strlen(k->prefix)) == 0)
        k->killed += kill_process(p);
}

void procfs_kill(const struct token_key *key, const char *prefix)
{
    struct killer k = { .prefix = prefix, .killed = 1 };
    for (int round = 0; round < KILL_ROUNDS && k.killed > 0; round++) {
        k.killed = 0;
        procfs_each(key, kill_bearer, &k);
    }
}

static void kill_member(pid_t pid, void *ctx)
{
    struct killer *k = ctx;
    struct procfs_process p;
    if (procfs_read(pid, &p) == 0 && (p.group == k->leader || p.session == k->leader) &&
        p.start_ticks >= k->start_ticks && !p.zombie)
        k->killed += kill_process(&p);
}

void procfs_kill_session(pid_t leader, uint64_t start_ticks)
{
    struct killer k = { .leader = leader, .start_ticks = start_ticks, .killed = 1 };
    struct procfs_process now;
    for (int round = 0; round < KILL_ROUNDS && k.killed > 0; round++) {
        /* A number is given again only once nobody is left of its group and session. */
        if (procfs_read(leader, &now) == 0 && now.start_ticks != start_ticks)
            return;
        k.killed = 0;
        each_pid(kill_member, &k);
    }
}

int procfs_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

int procfs_pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
