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
    int group;
    unsigned long long start;
    ssize_t n = read_file(pid, "stat", text, sizeof(text));
    if (n < 0)
        return (int)n;
    char *after_name = strrchr(text, ')'); /* the name may contain anything */
    if (!after_name || sscanf(after_name + 2,
                              "%*c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                              "%*d %*d %llu",
                              &group, &start) != 2)
        return -EPROTO;
    *ret = (struct procfs_process){ .pid = pid, .group = group, .start_ticks = start };
    return 0;
}

static bool read_token(pid_t pid, const char *identity, char *buf, struct procfs_process *p)
{
    static const char name[] = PROCFS_TOKEN_NAME "=";
    size_t identity_bytes = strlen(identity);
    ssize_t n = read_file(pid, "environ", buf, ENVIRON_BYTES_MAX);
    if (n <= 0)
        return false;
    for (const char *at = buf, *end = buf + n; at < end; at += strlen(at) + 1) {
        if (strncmp(at, name, sizeof(name) - 1) != 0)
            continue;
        const char *token = at + sizeof(name) - 1;
        if (strncmp(token, identity, identity_bytes) != 0 || token[identity_bytes] != '/')
            return false;
        if (procfs_read(pid, p) < 0)
            return false;
        snprintf(p->token, sizeof(p->token), "%s", token + identity_bytes + 1);
        return true;
    }
    return false;
}

void procfs_each(const char *identity, void (*visit)(const struct procfs_process *p, void *ctx),
                 void *ctx)
{
    DIR *dir = opendir("/proc");
    _cleanup_free_ char *buf = malloc(ENVIRON_BYTES_MAX);
    struct procfs_process p;
    for (struct dirent *e; dir && buf && (e = readdir(dir));) {
        int64_t pid;
        if (num_parse_i64(slice_of(e->d_name), &pid) == 0 && pid != getpid() &&
            read_token((pid_t)pid, identity, buf, &p))
            visit(&p, ctx);
    }
    if (dir)
        closedir(dir);
}

struct killer {
    const char *prefix;
    unsigned killed;
};

static void kill_one(const struct procfs_process *p, void *ctx)
{
    struct killer *k = ctx;
    if (strncmp(p->token, k->prefix, strlen(k->prefix)) != 0)
        return;
    struct procfs_process again;
    _cleanup_close_ int pidfd = procfs_pidfd(p->pid);
    /* The descriptor holds the process; only then is it certain that it is still the same one. */
    if (pidfd < 0 || procfs_read(p->pid, &again) < 0 || again.start_ticks != p->start_ticks)
        return;
    if (procfs_pidfd_signal(pidfd, SIGKILL) == 0)
        k->killed++;
}

void procfs_kill(const char *identity, const char *prefix)
{
    struct killer k = { .prefix = prefix, .killed = 1 };
    for (int round = 0; round < KILL_ROUNDS && k.killed > 0; round++) {
        k.killed = 0;
        procfs_each(identity, kill_one, &k);
    }
}

const char *procfs_boot_id(void)
{
    static char id[40];
    if (id[0])
        return id;
    _cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || fscanf(f, "%39s", id) != 1)
        str_copy(id, sizeof(id), "unknown");
    return id;
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
