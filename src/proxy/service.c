/* Turns a snapshot into the loop's own tables, keeping what goes on: connections, counts,
 * positions. Decides nothing about single requests. */
#include "proxy/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/client.h"
#include "proxy/loop.h"
#include "proxy/pool.h"
#include "proxy/queue.h"
#include "proxy/upstream.h"

void service_unref(struct loop *l, struct service *s)
{
    if (--s->refs > 0)
        return;
    free(s->backends);
    free(s->candidates);
    free(s);
}

void backend_release(struct loop *l, struct backend *b)
{
    if (!b->gone || b->connections > 0)
        return;
    timer_done(&b->drain_timer);
    service_unref(l, b->service);
    free(b);
}

bool backend_owns_slot(struct loop *l, const struct backend *b)
{
    struct shared_owner owner = { b->service->conf.slot, b->conf.number };
    return shared_owns(l->shared, b->conf.slot, owner);
}

static bool is_ejected(struct loop *l, const struct backend *b)
{
    return atomic_load(&l->shared->instances[b->conf.slot].eject_until_us) != 0;
}

void service_refresh(struct loop *l, struct service *s)
{
    uint64_t epoch = atomic_load(&l->shared->eject_epoch);
    if (epoch == s->eject_seen)
        return;
    s->eject_seen = epoch;
    bool any = false, any_ejected = false;
    for (uint32_t i = 0; i < s->count; i++) {
        bool open = !s->backends[i]->conf.draining, ejected = is_ejected(l, s->backends[i]);
        s->candidates[i].usable = open && !ejected;
        any |= open && !ejected;
        any_ejected |= open && ejected;
    }
    for (uint32_t i = 0; !any && i < s->count; i++)
        s->candidates[i].usable = !s->backends[i]->conf.draining;
    s->has_usable = any || any_ejected;
}

static struct backend *backend_new(struct loop *l, struct service *s,
                                   const struct snapshot_instance *conf)
{
    struct backend *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->service = s;
    b->conf = *conf;
    s->refs++;
    list_init(&b->idle);
    list_init(&b->active);
    timer_init(&b->drain_timer, TIMER_DRAIN);
    address_parse(conf->address, &b->address); /* checked by pool_new() */
    return b;
}

static struct backend *find_backend(const struct service *s, const struct snapshot_instance *conf)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct backend *b = s->backends[i];
        if (b && b->conf.number == conf->number && b->conf.slot == conf->slot &&
            strcmp(b->conf.address, conf->address) == 0)
            return b;
    }
    return NULL;
}

static void update_backend(struct loop *l, struct backend *b, const struct snapshot_instance *conf)
{
    bool starts_draining = conf->draining && b->drain_timer.deadline_us == US_NEVER;
    b->conf = *conf;
    if (starts_draining)
        timer_set(&l->wheel, &b->drain_timer, us_add(l->now_us, b->service->conf.drain_us));
    if (!conf->draining)
        timer_clear(&b->drain_timer);
    else
        upstream_close_idle(l, b);
}

static void drop_backend(struct loop *l, struct backend *b)
{
    b->gone = true;
    upstream_close_idle(l, b);
    backend_release(l, b);
}

/* Fill the service's arrays from the snapshot: known instances stay who they are. */
static int apply_instances(struct loop *l, struct service *s, const struct snapshot_service *v)
{
    struct backend **backends = calloc(v->instance_count + 1, sizeof(struct backend *));
    struct balance_candidate *candidates = calloc(v->instance_count + 1, sizeof(*candidates));
    if (!backends || !candidates) {
        free(backends);
        free(candidates);
        return -ENOMEM;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->instance_count; i++) {
        const struct snapshot_instance *conf = &v->instances[i];
        struct backend *b = find_backend(s, conf);
        if (b)
            b->gone = false;
        else if (!(b = backend_new(l, s, conf)))
            continue;
        update_backend(l, b, conf);
        candidates[count] = (struct balance_candidate){
            .in_flight = &l->shared->gauges->instance[conf->slot].in_flight,
            .tunnels = &l->shared->gauges->instance[conf->slot].tunnels,
            .number = conf->number,
            .weight = conf->weight,
            .ready_us = conf->ready_us,
        };
        backends[count++] = b;
    }
    struct backend **old_backends = s->backends;
    struct balance_candidate *old_candidates = s->candidates;
    uint32_t old_count = s->count;
    struct balance old = s->balance;
    s->backends = backends;
    s->candidates = candidates;
    s->count = count;
    balance_prepare(&s->balance, balance_find(slice_of(s->conf.balance)), candidates, count,
                    s->conf.slow_start_us, old.ops ? &old : NULL);
    for (uint32_t i = 0; i < old_count; i++) {
        bool kept = false;
        for (uint32_t k = 0; k < count && !kept; k++)
            kept = backends[k] == old_backends[i];
        if (!kept)
            drop_backend(l, old_backends[i]);
    }
    free(old_backends);
    free(old_candidates);
    s->eject_seen = UINT64_MAX;
    service_refresh(l, s);
    return 0;
}

static struct service *service_new(void)
{
    struct service *s = calloc(1, sizeof(*s));
    if (s) {
        s->refs = 1;
        list_init(&s->parked);
    }
    return s;
}

static struct service *take_known(struct loop *l, const struct snapshot_service *v)
{
    for (uint32_t i = 0; i < l->service_count; i++) {
        struct service *s = l->services[i];
        if (s && s->conf.slot == v->slot && strcmp(s->conf.name, v->name) == 0) {
            l->services[i] = NULL;
            return s;
        }
    }
    return service_new();
}

static void drop_service(struct loop *l, struct service *s)
{
    s->gone = true;
    queue_evict(l, s, "the service was removed");
    for (uint32_t i = 0; i < s->count; i++)
        drop_backend(l, s->backends[i]);
    s->count = 0;
    service_unref(l, s);
}

struct site *site_get(struct loop *l, const char *address)
{
    for (uint32_t i = 0; i < l->site_count; i++)
        if (strcmp(l->sites[i].address, address) == 0)
            return &l->sites[i];
    if (l->site_count == SITES_MAX)
        return NULL;
    struct site *site = &l->sites[l->site_count++];
    *site = (struct site){ 0 };
    str_copy(site->address, sizeof(site->address), address);
    return site;
}

static void site_add(struct site *site, struct service *s)
{
    const struct snapshot_service *v = &s->conf;
    if (site->count == 0) {
        site->tcp = v->protocol == SNAPSHOT_TCP;
        site->header_timeout_us = v->header_timeout_us;
        site->idle_timeout_us = v->idle_timeout_us;
        site->header_bytes_max = site->header_count_max = site->uri_bytes_max = 0;
    }
    site->header_bytes_max = MAX(site->header_bytes_max, v->header_bytes_max);
    site->header_count_max = MAX(site->header_count_max, v->header_count_max);
    site->uri_bytes_max = MAX(site->uri_bytes_max, v->uri_bytes_max);
    site->services[site->count++] = s;
}

static void build_sites(struct loop *l, const struct snapshot *snap)
{
    uint32_t before[SITES_MAX];
    for (uint32_t i = 0; i < l->site_count; i++) {
        before[i] = l->sites[i].count;
        free(l->sites[i].services);
        l->sites[i].services = NULL;
        l->sites[i].count = 0;
    }
    uint32_t known = l->site_count;
    for (uint32_t k = 0; k < snap->listener_count; k++) {
        struct site *site = site_get(l, snap->listeners[k]);
        if (!site || site->services)
            continue;
        site->services = calloc(snap->service_count + 1, sizeof(struct service *));
        for (uint32_t i = 0; site->services && i < l->service_count; i++) {
            const struct snapshot_service *v = &l->services[i]->conf;
            for (uint32_t j = 0; j < v->listener_count; j++)
                if (v->listener[j] == k)
                    site_add(site, l->services[i]);
        }
    }
    l->site_removed = false;
    for (uint32_t i = 0; i < known; i++)
        l->site_removed |= before[i] > 0 && l->sites[i].count == 0;
}

int service_apply(struct loop *l, const struct pool *p)
{
    const struct snapshot *snap = &p->snapshot;
    struct service **services = calloc(snap->service_count + 1, sizeof(struct service *));
    if (!services)
        return -ENOMEM;
    uint32_t count = 0;
    for (uint32_t i = 0; i < snap->service_count; i++) {
        struct service *s = take_known(l, &snap->services[i]);
        if (!s)
            continue;
        s->conf = snap->services[i];
        s->conf.instances = NULL;
        s->conf.instance_count = 0;
        apply_instances(l, s, &snap->services[i]);
        services[count++] = s;
    }
    struct service **old = l->services;
    uint32_t old_count = l->service_count;
    l->services = services;
    l->service_count = count;
    build_sites(l, snap);
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i])
            drop_service(l, old[i]);
    free(old);
    l->connections_max = MIN(snap->connections_max, l->shared->connections_cap);
    l->trust_count = snap->trust_count;
    memcpy(l->trust, snap->trust, sizeof(l->trust));
    l->stopping = snap->stopping;
    return 0;
}
