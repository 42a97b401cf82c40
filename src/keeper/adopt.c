/* Finding what an earlier keeper left: the proxy by its rendezvous socket, instances by their
 * records, and those that have none by the token in their environment: the oldest that leads a
 * group is then the instance's main process. */
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
    struct keeper *k;
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

/* --- by record --- */

static void each_record(struct keeper *k, void (*visit)(struct keeper *k, const char *name))
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/keeper", k->options->state_dir);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            visit(k, e->d_name);
    if (dir)
        closedir(dir);
}

static void adopt_record(struct keeper *k, const char *name)
{
    struct record r;
    if (record_read(k->options->state_dir, name, &r) < 0)
        return;
    if (children_adopt(k, slice_of(name), &r))
        log_info("took over %s (pid %d)", name, (int)r.pid);
    else
        procfs_kill_session(r.pid, r.start_ticks); /* it has ended; so does the rest of it */
}

static void remove_if_stale(struct keeper *k, const char *name)
{
    if (!children_has(k, name))
        record_remove(k->options->state_dir, name);
}

/* --- by token --- */

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

/* What is on record has been taken over, or its main process has ended and another one with its
 * token is a mere leftover. */
static bool is_on_record(const struct keeper *k, const struct procfs_process *p)
{
    char name[TOKEN_TEXT_MAX];
    struct record r;
    snprintf(name, sizeof(name), "%.*s", (int)name_bytes(p->token), p->token);
    return record_read(k->options->state_dir, name, &r) == 0;
}

static void visit(const struct procfs_process *p, void *ctx)
{
    struct found *f = ctx;
    if (name_bytes(p->token) == 0 || p->token[0] == '.' || p->group != p->pid || !p->own_user ||
        p->zombie || is_on_record(f->k, p))
        return;
    for (size_t i = 0; i < f->count; i++) {
        if (!same_name(f->items[i].token, p->token))
            continue;
        if (p->start_ticks < f->items[i].start_ticks)
            f->items[i] = *p;
        return;
    }
    if (f->count < f->cap || grow(f))
        f->items[f->count++] = *p;
}

static void adopt_bearer(struct keeper *k, const struct procfs_process *p)
{
    char name[TOKEN_TEXT_MAX];
    struct record r = { .pid = p->pid, .start_ticks = p->start_ticks };
    snprintf(name, sizeof(name), "%.*s", (int)name_bytes(p->token), p->token);
    if (p->token[name_bytes(p->token)] != '/' || children_has(k, name))
        return;
    snprintf(r.meta, sizeof(r.meta), "%s", p->token + name_bytes(p->token) + 1);
    if (!children_adopt(k, slice_of(name), &r))
        return;
    log_info("took over %s (pid %d), which was not on record", name, (int)p->pid);
    record_write(k->options->state_dir, name, &r);
}

static void adopt_bearers(struct keeper *k)
{
    struct found f = { .k = k };
    procfs_each(&k->key, visit, &f);
    for (size_t i = 0; i < f.count; i++)
        adopt_bearer(k, &f.items[i]);
    free(f.items);
}

/* --- the rest --- */

/* Whose instance was not adopted: tasks, a controller without keeper, a proxy that does not answer,
 * and what an instance that ended meanwhile left behind. */
static void visit_leftover(const struct procfs_process *p, void *ctx)
{
    const struct keeper *k = ctx;
    char name[TOKEN_TEXT_MAX], prefix[TOKEN_TEXT_MAX + 1];
    snprintf(name, sizeof(name), "%.*s", (int)name_bytes(p->token), p->token);
    if (p->pid == k->proxy.pid || (name[0] && children_has(k, name)))
        return;
    log_info("ending pid %d, left behind by an earlier run as %s", (int)p->pid,
             name[0] ? name : p->token + 1);
    fmt(prefix, sizeof(prefix), name[0] ? "%s/" : "%s", name[0] ? name : p->token);
    procfs_kill(&k->key, prefix);
}

void keeper_adopt(struct keeper *k)
{
    int fd = -1;
    pid_t proxy =
        rendezvous_meet(k->options->state_dir, &k->key, k->rendezvous, &k->listeners, &fd);
    if (proxy > 0) {
        role_adopt_proxy(k, proxy, fd);
        log_info("took over the proxy (pid %d) with %zu listeners", (int)proxy, k->listeners.count);
    }
    each_record(k, adopt_record);
    adopt_bearers(k);
    procfs_each(&k->key, visit_leftover, k);
    each_record(k, remove_if_stale);
}
