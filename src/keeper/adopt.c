/* Finding what an earlier keeper left: the proxy by its rendezvous socket, instances by the token
 * in their environment. A record, where there is one, says which of several processes with an
 * instance's token is the main one; without it that is the oldest that leads a group. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "keeper/children.h"
#include "keeper/keeper_int.h"
#include "keeper/procfs.h"
#include "keeper/record.h"
#include "sys/log.h"
#include "sys/mem.h"

struct found {
    const struct keeper *k;
    struct procfs_process *items; /* at most one main process for each instance */
    size_t count, cap;
};

static size_t name_bytes(const char *token)
{
    return strcspn(token, "/");
}

static bool same_name(const char *a, const char *b)
{
    return name_bytes(a) == name_bytes(b) && memcmp(a, b, name_bytes(a)) == 0;
}

/* Main process of its instance, if the record is asked: 1 yes, 0 no, -1 there is no record. */
static int is_on_record(const struct found *f, const struct procfs_process *p)
{
    char name[PROCFS_TOKEN_MAX];
    struct record r;
    snprintf(name, sizeof(name), "%.*s", (int)name_bytes(p->token), p->token);
    if (record_read(f->k->options->state_dir, name, &r) < 0)
        return -1;
    return r.pid == p->pid && r.start_ticks == p->start_ticks;
}

static bool grow(struct found *f)
{
    size_t cap = f->cap ? f->cap * 2 : 64;
    struct procfs_process *items = realloc(f->items, cap * sizeof(*items));
    if (!items)
        return false;
    f->items = items;
    f->cap = cap;
    return true;
}

static void visit(const struct procfs_process *p, void *ctx)
{
    struct found *f = ctx;
    if (name_bytes(p->token) == 0 || p->token[0] == '.' || p->group != p->pid)
        return;
    int on_record = is_on_record(f, p);
    if (on_record == 0)
        return;
    for (size_t i = 0; i < f->count; i++) {
        if (!same_name(f->items[i].token, p->token))
            continue;
        if (on_record == 1 || p->start_ticks < f->items[i].start_ticks)
            f->items[i] = *p;
        return;
    }
    if (f->count < f->cap || grow(f))
        f->items[f->count++] = *p;
}

/* Whose instance was not adopted: tasks, a controller without keeper, a proxy that does not answer,
 * and what an instance that ended meanwhile left behind. */
static void visit_leftover(const struct procfs_process *p, void *ctx)
{
    const struct keeper *k = ctx;
    char name[PROCFS_TOKEN_MAX], prefix[PROCFS_TOKEN_MAX + 1];
    snprintf(name, sizeof(name), "%.*s", (int)name_bytes(p->token), p->token);
    if (p->pid == k->proxy.pid || (name[0] && children_has(k, name)))
        return;
    log_info("ending pid %d, left behind by an earlier run as %s", (int)p->pid,
             name[0] ? name : p->token + 1);
    fmt(prefix, sizeof(prefix), name[0] ? "%s/" : "%s", name[0] ? name : p->token);
    procfs_kill(k->identity, prefix);
}

static void remove_stale_records(const struct keeper *k)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/keeper", k->options->state_dir);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && !children_has(k, e->d_name))
            record_remove(k->options->state_dir, e->d_name);
    if (dir)
        closedir(dir);
}

void keeper_adopt(struct keeper *k)
{
    int fd = -1;
    pid_t proxy = rendezvous_meet(k->options->state_dir, k->rendezvous, &k->listeners, &fd);
    if (proxy > 0) {
        role_adopt_proxy(k, proxy, fd);
        log_info("took over the proxy (pid %d) with %zu listeners", (int)proxy, k->listeners.count);
    }
    struct found f = { .k = k };
    procfs_each(k->identity, visit, &f);
    for (size_t i = 0; i < f.count; i++)
        if (children_adopt(k, &f.items[i]))
            log_info("took over %.*s (pid %d)", (int)name_bytes(f.items[i].token), f.items[i].token,
                     (int)f.items[i].pid);
    free(f.items);
    procfs_each(k->identity, visit_leftover, k);
    remove_stale_records(k);
}
