/* What the proxy must know, built from the configuration, the core's view and the fleet. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "controller/controller_int.h"
#include "controller/network.h"
#include "link/snapshot.h"
#include "sys/log.h"
#include "sys/mem.h"

static uint32_t listener_index(struct snapshot *s, const char *address)
{
    for (uint32_t i = 0; i < s->listener_count; i++)
        if (strcmp(s->listeners[i], address) == 0)
            return i;
    if (s->listener_count == SNAPSHOT_LISTENERS_MAX)
        return UINT32_MAX;
    str_copy(s->listeners[s->listener_count], SNAPSHOT_ADDRESS_MAX, address);
    return s->listener_count++;
}

static void put_limits(struct snapshot_service *t, const struct config_service *s)
{
    t->max_concurrency = (uint32_t)s->max_concurrency;
    t->queue_length = (uint32_t)s->queue_length;
    t->queue_deadline_us = s->queue_deadline_us;
    t->header_timeout_us = s->timeouts.header_us;
    t->body_timeout_us = s->timeouts.body_us;
    t->idle_timeout_us = s->timeouts.idle_us;
    t->connect_timeout_us = s->timeouts.connect_us;
    t->response_timeout_us = s->timeouts.response_us;
    t->upstream_idle_us = s->timeouts.upstream_idle_us;
    t->retry_attempts = (uint32_t)s->retry_attempts;
    t->header_bytes_max = (uint32_t)s->limits.header_bytes;
    t->header_count_max = (uint32_t)s->limits.header_count;
    t->uri_bytes_max = (uint32_t)s->limits.uri_bytes;
    t->eject_failures = (uint32_t)s->eject_failures;
    t->eject_us = s->eject_us;
    t->slow_start_us = s->slow_start_us;
}

/* Of a service that had left before this controller began: enough to end what it has in flight. */
static const struct config_service limits_unknown = {
    .timeouts = { .header_us = 10 * US_PER_S,
                  .body_us = 30 * US_PER_S,
                  .idle_us = 60 * US_PER_S,
                  .connect_us = 2 * US_PER_S,
                  .response_us = 60 * US_PER_S,
                  .upstream_idle_us = 4 * US_PER_S },
    .limits = { .header_bytes = 32 * 1024, .header_count = 100, .uri_bytes = 8 * 1024 },
};

static void put_routes(struct snapshot *s, struct snapshot_service *t,
                       const struct config_service *conf)
{
    t->protocol = conf->protocol == CONFIG_TCP ? SNAPSHOT_TCP : SNAPSHOT_HTTP;
    for (uint32_t i = 0; i < conf->listener_count; i++) {
        uint32_t index = listener_index(s, conf->listeners[i]);
        if (index != UINT32_MAX && t->listener_count < SNAPSHOT_SERVICE_LISTENERS_MAX)
            t->listener[t->listener_count++] = index;
    }
    for (size_t i = 0; i < conf->host.count && i < SNAPSHOT_HOSTS_MAX; i++)
        str_copy(t->host[t->host_count++], sizeof(t->host[0]), conf->host.items[i]);
    str_copy(t->path, sizeof(t->path), conf->path ? conf->path : "");
}

static bool in_pool(const struct instance *i)
{
    return i->number > 0 && (i->state == INSTANCE_READY || i->state == INSTANCE_DRAINING);
}

static void put_instances(struct controller *c, struct snapshot_service *t,
                          const struct service_view *v, uint32_t weight)
{
    for (uint32_t k = 0; k < v->instance_count; k++) {
        const struct instance *i = &v->instances[k];
        const struct fleet_instance *f = fleet_find(&c->fleet, v->slot, i->number);
        if (!in_pool(i) || !f || f->gauge == UINT32_MAX || !f->address[0])
            continue;
        struct snapshot_instance *to = &t->instances[t->instance_count++];
        fmt(to->name, sizeof(to->name), "%s-%u", v->conf->name, i->number);
        to->number = i->number;
        to->slot = f->gauge;
        to->weight = weight;
        to->draining = i->state == INSTANCE_DRAINING;
        to->ready_us = MAX(i->ready_us - c->clock_offset_us, 1); /* by the proxy's clock */
        str_copy(to->address, sizeof(to->address), f->address);
    }
}

static void put_service(struct controller *c, struct snapshot *s, const struct service_view *v)
{
    const struct config_service *conf = controller_service(c, v->slot);
    struct snapshot_service *t = &s->services[s->service_count];
    t->instances = calloc(MAX(v->instance_count, 1u), sizeof(*t->instances));
    if (!t->instances)
        return;
    s->service_count++;
    str_copy(t->name, sizeof(t->name), v->conf->name);
    t->slot = v->slot;
    t->drain_us = v->conf->drain_us;
    str_copy(t->balance, sizeof(t->balance), conf ? conf->balance : "least-conn");
    if (conf)
        c->limits[v->slot] = *conf; /* for the time when the configuration has forgotten it */
    bool known = c->limits[v->slot].timeouts.body_us > 0;
    put_limits(t, known ? &c->limits[v->slot] : &limits_unknown);
    if (conf)
        put_routes(s, t, conf);
    /* Worth waiting for: one that starts, or will be tried again before a waiter's time is up. */
    int64_t wait_us = us_sub(v->backoff_until_us, controller_now(c));
    t->starting = v->starting > 0 && (v->backoff_until_us == 0 || wait_us < t->queue_deadline_us);
    if (v->ready == 0 && v->start_failures > 0)
        /* Whoever asks may be anybody: what is wrong inside is for those who see the status. */
        str_copy(t->unavailable, sizeof(t->unavailable), "no instance is ready; try again later");
    put_instances(c, t, v, conf ? (uint32_t)conf->weight : 1);
    if (conf && conf->listener_count == 0 && t->instance_count == 0) { /* workers only */
        free(t->instances);
        s->service_count--;
    }
}

/* The memfd, sealed: what the proxy maps cannot change or shrink under it. */
static int to_memfd(const struct snapshot *s)
{
    size_t bytes = snapshot_size(s);
    _cleanup_close_ int fd = memfd_create("plimsoll-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    _cleanup_free_ void *buf = malloc(bytes);
    if (fd < 0 || !buf || snapshot_encode(s, buf, bytes, &bytes) < 0)
        return -1;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, (char *)buf + done, bytes - done);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return -1;
    return TAKE_FD(fd);
}

static void put_trust(struct controller *c, struct snapshot *s)
{
    for (size_t i = 0; i < c->config->trust.count && s->trust_count < SNAPSHOT_TRUST_MAX; i++)
        if (network_parse(c->config->trust.items[i], &s->trust[s->trust_count]) == 0)
            s->trust_count++;
}

int publish_snapshot(struct controller *c, uint64_t generation)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct snapshot_service *services = calloc(MODEL_SERVICES_MAX, sizeof(*services));
    int fd = -1;
    if (s && services) {
        s->services = services;
        s->generation = generation;
        s->stopping = c->phase >= PHASE_FINISHING;
        s->connections_max = (uint32_t)c->config->connections_max;
        put_trust(c, s);
        struct service_view v;
        for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
            if (control_view(c->control, slot, &v))
                put_service(c, s, &v);
        fd = to_memfd(s);
    }
    if (fd < 0)
        log_error("cannot build the proxy's snapshot: %s", strerror(errno));
    for (uint32_t i = 0; s && i < s->service_count; i++)
        free(services[i].instances);
    free(services);
    free(s);
    return fd;
}
