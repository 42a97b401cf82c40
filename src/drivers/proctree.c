/* Reading /proc/PID/stat of all, and the descriptors of a few. */
#include "drivers/proctree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "sys/mem.h"

#define PROCESSES_MAX 65536
#define INODES_MAX 64 /* sockets that listen on one address: SO_REUSEPORT */
#define TCP_LISTEN 0x0a
#define UNIX_ACCEPTS 0x10000 /* __SO_ACCEPTCON */

struct process {
    pid_t pid, parent, group, session;
    uint64_t cpu_ticks;
    int64_t rss_pages;
    size_t parent_at; /* index; SIZE_MAX = not there */
    bool member;      /* of the tree asked for */
};

struct proctree {
    struct process *items;
    size_t count, cap;
    int64_t at_us; /* of the look; 0 = none */
};

struct proctree *proctree_new(void)
{
    return calloc(1, sizeof(struct proctree));
}

void proctree_free(struct proctree *t)
{
    if (t)
        free(t->items);
    free(t);
}

/* --- the look --- */

static bool read_stat(int proc_fd, const char *pid, struct process *ret)
{
    char path[32], text[1024];
    unsigned long long user, system;
    long long child_user, child_system;
    int parent, group, session;
    long rss;
    snprintf(path, sizeof(path), "%.16s/stat", pid);
    _cleanup_close_ int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *name_end = strrchr(text, ')');
    if (!name_end ||
        sscanf(name_end + 2,
               "%*c %d %d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d "
               "%*d %*d %*u %*u %ld",
               &parent, &group, &session, &user, &system, &child_user, &child_system, &rss) != 8)
        return false;
    *ret = (struct process){ .parent = parent,
                             .group = group,
                             .session = session,
                             .cpu_ticks =
                                 user + system + (uint64_t)child_user + (uint64_t)child_system,
                             .rss_pages = rss };
    return true;
}

static bool has_room(struct proctree *t)
{
    if (t->count < t->cap)
        return true;
    size_t cap = t->cap ? t->cap * 2 : 512;
    struct process *items = cap <= PROCESSES_MAX ? realloc(t->items, cap * sizeof(*items)) : NULL;
    if (!items)
        return false;
    t->items = items;
    t->cap = cap;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct process *p = a, *q = b;
    return (p->pid > q->pid) - (p->pid < q->pid);
}

static void link_parents(struct proctree *t)
{
    qsort(t->items, t->count, sizeof(t->items[0]), by_pid);
    for (size_t i = 0; i < t->count; i++) {
        struct process key = { .pid = t->items[i].parent };
        const struct process *parent = bsearch(&key, t->items, t->count, sizeof(key), by_pid);
        t->items[i].parent_at = parent ? (size_t)(parent - t->items) : SIZE_MAX;
    }
}

int proctree_refresh(struct proctree *t, int64_t now_us, int64_t age_us_max)
{
    if (t->at_us != 0 && now_us - t->at_us <= age_us_max)
        return 0;
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    t->count = 0;
    for (struct dirent *e; (e = readdir(dir)) && has_room(t);) {
        struct process *p = &t->items[t->count];
        int64_t pid;
        if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
            num_parse_i64(slice_of(e->d_name), &pid) < 0 || !read_stat(dirfd(dir), e->d_name, p))
            continue;
        p->pid = (pid_t)pid;
        t->count++;
    }
    closedir(dir);
    link_parents(t);
    t->at_us = now_us;
    return 0;
}

int64_t proctree_at_us(const struct proctree *t)
{
    return t->at_us;
}

/* --- the tree --- */

/* Children have mostly higher pids than their parents, and the items stand in order of pid: one
 * round finds nearly all, the next finds that there are no more. */
static bool mark(struct proctree *t, pid_t root)
{
    bool found = false, more = true;
    for (size_t i = 0; i < t->count; i++) {
        struct process *p = &t->items[i];
        p->member = p->pid == root || p->group == root || p->session == root;
        found |= p->pid == root;
    }
    while (found && more) {
        more = false;
        for (size_t i = 0; i < t->count; i++) {
            struct process *p = &t->items[i];
            if (!p->member && p->parent_at != SIZE_MAX && t->items[p->parent_at].member)
                p->member = more = true;
        }
    }
    return found;
}

bool proctree_read(struct proctree *t, pid_t root, struct proctree_use *ret)
{
    struct proctree_use use = { 0 };
    if (!mark(t, root))
        return false;
    for (size_t i = 0; i < t->count; i++) {
        if (!t->items[i].member)
            continue;
        use.cpu_ticks += t->items[i].cpu_ticks;
        use.rss_bytes += t->items[i].rss_pages * sysconf(_SC_PAGESIZE);
    }
    *ret = use;
    return true;
}

/* --- listening sockets --- */

struct inodes {
    size_t count;
    unsigned long long items[INODES_MAX];
};

static void add_inode(struct inodes *set, unsigned long long inode)
{
    if (set->count < INODES_MAX)
        set->items[set->count++] = inode;
}

static void find_tcp(const char *path, unsigned port, struct inodes *set)
{
    char line[512];
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned local_port, state;
        unsigned long long inode;
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %llu", &local_port,
                   &state, &inode) == 3 &&
            local_port == port && state == TCP_LISTEN)
            add_inode(set, inode);
    }
}

static void find_unix(const char *wanted, struct inodes *set)
{
    char line[512];
    _cleanup_fclose_ FILE *f = fopen("/proc/net/unix", "re");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned flags;
        unsigned long long inode;
        int path_at = 0;
        if (sscanf(line, "%*s %*s %*s %x %*s %*s %llu %n", &flags, &inode, &path_at) != 2 ||
            path_at == 0 || !(flags & UNIX_ACCEPTS))
            continue;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line + path_at, wanted) == 0)
            add_inode(set, inode);
    }
}

static void find_listeners(const char *address, struct inodes *set)
{
    int64_t port = 0;
    if (strncmp(address, "unix:", 5) == 0) {
        find_unix(address + 5, set);
        return;
    }
    const char *colon = strrchr(address, ':');
    if (!colon || num_parse_i64(slice_of(colon + 1), &port) < 0)
        return;
    find_tcp("/proc/net/tcp", (unsigned)port, set);
    find_tcp("/proc/net/tcp6", (unsigned)port, set);
}

/* 1 has one of them open, 0 not, -errno: no right to look. */
static int has_open(pid_t pid, const struct inodes *set)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == EACCES || errno == EPERM ? -EACCES : 0;
    int found = 0;
    for (struct dirent *e; !found && (e = readdir(dir));) {
        char target[64];
        unsigned long long inode;
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (sscanf(target, "socket:[%llu]", &inode) != 1)
            continue;
        for (size_t i = 0; i < set->count && !found; i++)
            found = set->items[i] == inode;
    }
    closedir(dir);
    return found;
}

int proctree_listens(struct proctree *t, pid_t root, const char *address)
{
    struct inodes set = { 0 };
    int denied = 0;
    find_listeners(address, &set);
    if (set.count == 0 || !mark(t, root))
        return 0;
    for (size_t i = 0; i < t->count; i++) {
        int rc = t->items[i].member ? has_open(t->items[i].pid, &set) : 0;
        if (rc > 0)
            return 1;
        if (rc < 0)
            denied = rc;
    }
    return denied;
}
