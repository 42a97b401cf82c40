/* What /proc says: cpu and memory of each instance's process tree, and of the whole machine. One
 * look at /proc serves all services of a tick. A value needs two looks; the first gives none, and a
 * tree that lost time (somebody else reaped a part of it) gives none either. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/us.h"
#include "drivers/driver.h"
#include "drivers/proctree.h"
#include "sys/mem.h"

#define AGE_US_MAX (200 * US_PER_MS)
#define TREES_MAX 8192
#define FORGET_US (60 * US_PER_S) /* not asked for in so long: gone */

/* The last reading of one tree. */
struct tree {
    pid_t pid; /* 0 = free */
    uint64_t cpu_ticks;
    int64_t at_us;
    double cpu; /* of the newest interval; < 0 = unknown */
};

struct host {
    int64_t at_us;
    uint64_t busy, total; /* ticks since boot */
    double cpu;           /* < 0 = unknown */
    double memory;
};

struct source_proc {
    struct proctree *processes;
    struct host host;
    double ticks_per_s;
    size_t tree_count; /* slots ever used */
    struct tree trees[TREES_MAX];
};

/* --- the machine --- */

static bool read_cpu(uint64_t *ret_busy, uint64_t *ret_total)
{
    unsigned long long v[8] = { 0 }; /* user nice system idle iowait irq softirq steal */
    _cleanup_fclose_ FILE *f = fopen("/proc/stat", "re");
    if (!f || fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
                     &v[4], &v[5], &v[6], &v[7]) != 8)
        return false;
    *ret_total = 0;
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        *ret_total += v[i];
    *ret_busy = *ret_total - v[3] - v[4];
    return true;
}

static double read_memory(void)
{
    char line[128];
    unsigned long long total = 0, available = 0;
    _cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof(line), f)) {
        sscanf(line, "MemTotal: %llu", &total);
        if (sscanf(line, "MemAvailable: %llu", &available) == 1 && total > 0)
            return 1 - (double)available / (double)total;
    }
    return -1;
}

static void look_at_host(struct host *h, int64_t now_us)
{
    uint64_t busy, total;
    if (h->at_us != 0 && now_us - h->at_us <= AGE_US_MAX)
        return;
    double cpu = -1;
    if (read_cpu(&busy, &total)) {
        if (h->at_us != 0 && total > h->total && busy >= h->busy)
            cpu = (double)(busy - h->busy) / (double)(total - h->total);
        h->busy = busy;
        h->total = total;
    }
    h->cpu = cpu;
    h->memory = read_memory();
    h->at_us = now_us;
}

/* --- instances --- */

static struct tree *tree_of(struct source_proc *s, pid_t pid, int64_t now_us)
{
    struct tree *free_one = NULL;
    for (size_t i = 0; i < s->tree_count; i++) {
        struct tree *t = &s->trees[i];
        if (t->pid == pid)
            return t;
        if (!free_one && (t->pid == 0 || now_us - t->at_us > FORGET_US))
            free_one = t;
    }
    if (!free_one && s->tree_count < TREES_MAX)
        free_one = &s->trees[s->tree_count++];
    if (free_one)
        *free_one = (struct tree){ .pid = pid, .cpu = -1 };
    return free_one;
}

static void note_cpu(const struct source_proc *s, struct tree *t, uint64_t ticks, int64_t now_us)
{
    t->cpu = -1;
    if (t->at_us != 0 && ticks >= t->cpu_ticks && now_us > t->at_us)
        t->cpu = (double)(ticks - t->cpu_ticks) / s->ticks_per_s * (double)US_PER_S /
                 (double)(now_us - t->at_us);
    t->cpu_ticks = ticks;
    t->at_us = now_us;
}

static void sample_instance(struct source_proc *s, const struct source_instance *i,
                            struct source_sink *sink)
{
    int64_t now_us = proctree_at_us(s->processes);
    struct proctree_use use;
    if (i->pid <= 0 || !proctree_read(s->processes, (pid_t)i->pid, &use))
        return;
    struct tree *t = tree_of(s, (pid_t)i->pid, now_us);
    if (!t)
        return;
    if (t->at_us != now_us)
        note_cpu(s, t, use.cpu_ticks, now_us);
    if (t->cpu >= 0)
        source_add(sink, METRIC_CPU, i->number, t->cpu);
    source_add(sink, METRIC_MEMORY, i->number, (double)use.rss_bytes);
}

/* Looking at all processes of a machine is not for instances that run elsewhere. */
static bool has_processes(const struct source_service *service)
{
    for (size_t i = 0; i < service->instance_count; i++)
        if (service->instances[i].pid > 0)
            return true;
    return false;
}

static void proc_sample(void *self, const struct source_service *service, int64_t now_us,
                        struct source_sink *sink)
{
    struct source_proc *s = self;
    look_at_host(&s->host, now_us);
    if (s->host.cpu >= 0)
        source_add(sink, METRIC_HOST_CPU, 0, s->host.cpu);
    if (s->host.memory >= 0)
        source_add(sink, METRIC_HOST_MEMORY, 0, s->host.memory);
    if (!has_processes(service) || proctree_refresh(s->processes, now_us, AGE_US_MAX) < 0)
        return;
    for (size_t i = 0; i < service->instance_count; i++)
        sample_instance(s, &service->instances[i], sink);
}

static int proc_open(const struct driver_env *env, void **ret, struct err *err)
{
    struct source_proc *s = calloc(1, sizeof(*s));
    if (s)
        s->processes = proctree_new();
    if (!s || !s->processes) {
        free(s);
        return err_set(err, -ENOMEM, "no memory for the samples of /proc");
    }
    s->ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    *ret = s;
    return 0;
}

static void proc_close(void *self)
{
    struct source_proc *s = self;
    if (s)
        proctree_free(s->processes);
    free(s);
}

const struct source_ops source_proc = {
    .name = "proc",
    .open = proc_open,
    .sample = proc_sample,
    .close = proc_close,
};
