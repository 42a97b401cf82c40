/* What can be measured, by name. The names are what people write in a rule. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum metric {
    METRIC_CONCURRENCY, /* requests in flight + queued; of a service the sum, of an instance its own
                         */
    METRIC_RPS,         /* requests answered a second */
    METRIC_ARRIVALS,    /* requests that came, a second */
    METRIC_QUEUE,       /* requests waiting for an instance */
    METRIC_LATENCY_P50, /* seconds */
    METRIC_LATENCY_P95,
    METRIC_LATENCY_P99,
    METRIC_ERRORS,      /* failed requests a second (5xx and what the proxy gave up) */
    METRIC_CONNECTIONS, /* open tunnels and tcp connections */
    METRIC_BYTES_IN,    /* bytes a second */
    METRIC_BYTES_OUT,
    METRIC_CPU,    /* ratio of one core, per instance; of a service the mean over its ready ones */
    METRIC_MEMORY, /* bytes, as cpu */
    METRIC_HOST_CPU,    /* ratio of the whole machine, 0..1 */
    METRIC_HOST_MEMORY, /* ratio in use, 0..1 */
    METRIC_BUILTIN_MAX,
    /* From here on the service's own, by their place in service_conf.metrics. */
    METRIC_CUSTOM = METRIC_BUILTIN_MAX,
#define METRIC_CUSTOM_MAX 8
    METRIC_MAX = METRIC_CUSTOM + METRIC_CUSTOM_MAX,
};

/* How the value of a whole service follows from its instances, and what a target divides by. */
enum metric_nature {
    METRIC_TOTAL, /* a sum over the service: a target is per instance, value / target = count */
    METRIC_UTILISATION, /* a mean over instances: a target scales the count, count * value / target
                         */
    METRIC_GLOBAL,      /* says nothing about single instances (latency, host): as utilisation */
};

/* A metric that a source of the service brings (Prometheus, Redis, a push, ...). */
struct metric_conf {
    char name[48];
    bool global;      /* METRIC_GLOBAL; else METRIC_TOTAL */
    int64_t stale_us; /* a newest value older than this says nothing any more */
};

struct metric_info {
    const char *name;
    enum metric_nature nature;
    bool per_instance; /* samples exist per instance */
    bool ratio;        /* written and shown in percent */
    const char *unit;  /* "", "/s", "s", "B", "B/s" */
    const char *help;
};

extern const struct metric_info metric_builtin[METRIC_BUILTIN_MAX];
/* Of builtin ones; NULL: not one. */
static inline const struct metric_info *metric_info(enum metric m)
{
    return (unsigned)m < METRIC_BUILTIN_MAX ? &metric_builtin[m] : NULL;
}
const char *metric_name(enum metric m); /* "custom-1" for those of a service */
static inline enum metric_nature metric_nature(enum metric m)
{
    const struct metric_info *info = metric_info(m);
    return info ? info->nature : METRIC_TOTAL;
}
/* METRIC_BUILTIN_MAX when unknown. */
enum metric metric_find(struct slice name);
/* A value as people read it: "80%", "0.25s", "12.5/s", "64MiB". Returns the length, as fmt(). */
size_t metric_format(char *buf, size_t cap, enum metric m, double value);
