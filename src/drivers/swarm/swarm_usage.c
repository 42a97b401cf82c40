/* CPU and memory of the tasks on this node, as its engine counts them. Of tasks elsewhere this
 * engine knows nothing, and nothing is said. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/swarm/swarm_int.h"

#define WANTED_US (2 * US_PER_S)
#define IDLE_US (30 * US_PER_S) /* for people to look at */

/* "2026-11-20T11:44:52.87690607Z" in seconds. */
static double read_time(const char *text)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return -1;
    return (double)timegm(&tm) + (*rest == '.' ? strtod(rest, NULL) : 0);
}

/* What `docker stats` calls memory: without the cache that the kernel can take back. */
static double read_memory(json_t *stats)
{
    json_int_t usage = -1, cache = 0, inactive = 0;
    json_unpack(stats, "{s:{s:I}}", "memory_stats", "usage", &usage);
    json_unpack(stats, "{s:{s:{s:I}}}", "memory_stats", "stats", "inactive_file", &cache);
    json_unpack(stats, "{s:{s:{s:I}}}", "memory_stats", "stats", "total_inactive_file", &inactive);
    return usage < 0 ? -1 : (double)(usage - MIN(MAX(cache, inactive), usage));
}

static void on_stats(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_instance *i = ctx;
    json_int_t cpu_ns = -1;
    const char *read = "";
    i->usage_call = NULL;
    i->cpu = i->memory_bytes = -1;
    if (status != 200 || !json)
        return;
    json_unpack(json, "{s:s}", "read", &read);
    json_unpack(json, "{s:{s:{s:I}}}", "cpu_stats", "cpu_usage", "total_usage", &cpu_ns);
    double at_s = read_time(read), cpu_s = (double)cpu_ns / 1e9;
    if (cpu_ns >= 0 && i->read_s > 0 && at_s > i->read_s && cpu_s >= i->cpu_s)
        i->cpu = (cpu_s - i->cpu_s) / (at_s - i->read_s);
    i->cpu_s = cpu_s;
    i->read_s = cpu_ns >= 0 ? at_s : 0;
    i->memory_bytes = read_memory(json);
}

static void ask(struct swarm_driver *d, struct swarm_instance *i, int64_t now_us)
{
    char path[192];
    int64_t every_us = d->services[i->slot].service.wants_usage ? WANTED_US : IDLE_US;
    if (i->usage_call || !d->up || (i->usage_us != 0 && now_us - i->usage_us < every_us))
        return;
    fmt(path, sizeof(path), "/containers/%s/stats?stream=false&one-shot=true", i->container);
    struct engine_request r = { .method = ENGINE_GET, .path = path };
    i->usage_call = engine_ask(d->engine, &r, on_stats, i);
    i->usage_us = now_us;
}

void swarm_usage_sample(struct swarm_driver *d, const struct source_service *service,
                        int64_t now_us, struct source_sink *sink)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot != service->slot || !i->running || !i->container[0] ||
            strcmp(i->node, d->node) != 0)
            continue;
        ask(d, i, now_us);
        if (i->cpu >= 0)
            source_add(sink, METRIC_CPU, i->number, i->cpu);
        if (i->memory_bytes >= 0)
            source_add(sink, METRIC_MEMORY, i->number, i->memory_bytes);
    }
}
