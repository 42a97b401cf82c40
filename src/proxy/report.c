/* What the controller must hear: applied, drained, ejected, idle. Each is read from the shared
 * state and remembered as told only when the message went out, so that none is lost to a full
 * socket. */
#include <unistd.h>

#include "proxy/eject.h"
#include "proxy/links.h"
#include "proxy/loop.h"
#include "proxy/pool.h"
#include "proxy/queue.h"
#include "sys/clock.h"
#include "sys/fdpass.h"

#define RETRY_MS 50

static bool tell(struct links *k, const struct link_msg *m)
{
    char buf[1024];
    if (k->controller_fd < 0)
        return false;
    int n = link_encode(m, buf, sizeof(buf));
    if (n < 0 || fdpass_send(k->controller_fd, buf, (size_t)n, m->fds, m->fd_count) < 0) {
        k->unsent = true;
        return false;
    }
    return true;
}

void report_hello(struct links *k)
{
    struct link_msg m = { .type = LINK_HELLO,
                          .number = getpid(),
                          .fd_count = 2,
                          .fds = { k->shared->gauges_fd, k->shared->doorbell_fd } };
    tell(k, &m);
}

void report_refused(struct links *k, uint64_t generation, const char *text)
{
    struct link_msg m = { .type = LINK_REFUSED,
                          .number = (int64_t)generation,
                          .text = slice_of(text) };
    tell(k, &m);
}

static bool all_applied(const struct links *k)
{
    for (uint32_t i = 0; i < k->shared->loop_count; i++)
        if (atomic_load(&k->shared->loops[i]->applied_sequence) != k->sequence)
            return false;
    return true;
}

static void report_applied(struct links *k)
{
    uint64_t generation = k->pool->snapshot.generation;
    atomic_store(&k->shared->gauges->generation, generation);
    if (k->sequence_told == k->sequence)
        return;
    struct link_msg m = { .type = LINK_APPLIED, .number = (int64_t)generation };
    if (tell(k, &m))
        k->sequence_told = k->sequence;
}

static void report_drained(struct links *k, const struct snapshot_service *v,
                           const struct snapshot_instance *in)
{
    struct gauges_instance *g = &k->shared->gauges->instance[in->slot];
    if (!in->draining || k->drained_told[in->slot] == in->number ||
        atomic_load(&g->in_flight) > 0 || atomic_load(&g->tunnels) > 0)
        return;
    struct link_msg m = { .type = LINK_DRAINED, .name = slice_of(v->name), .number = in->number };
    if (tell(k, &m))
        k->drained_told[in->slot] = in->number;
}

static void let_back(struct links *k, const struct snapshot_service *v, uint32_t slot)
{
    struct shared_instance *i = &k->shared->instances[slot];
    atomic_store(&i->failures, 0);
    atomic_store(&i->eject_until_us, 0);
    atomic_fetch_add(&k->shared->eject_epoch, 1);
    queue_kick(k->shared, v->slot);
}

/* Returns when to look again. */
static int64_t report_ejected(struct links *k, const struct snapshot_service *v,
                              const struct snapshot_instance *in, int64_t now_us)
{
    struct gauges_instance *g = &k->shared->gauges->instance[in->slot];
    struct shared_instance *i = &k->shared->instances[in->slot];
    int64_t until_us = atomic_load(&i->eject_until_us);
    if (until_us != 0 && now_us >= until_us) {
        let_back(k, v, in->slot);
        until_us = 0;
    }
    bool ejected = until_us != 0;
    if ((atomic_load(&g->ejected) != 0) != ejected) {
        struct link_msg m = {
            .type = LINK_EJECTED, .name = slice_of(v->name), .number = in->number, .flag = ejected
        };
        if (ejected)
            m.text = slice_of(eject_reason_text(atomic_load(&i->reason)));
        tell(k, &m); /* the gauge says the same, should this be lost */
        atomic_store(&g->ejected, ejected);
    }
    return ejected ? until_us : US_NEVER;
}

static void report_idle(struct links *k)
{
    if (k->idle_told || !k->pool->snapshot.stopping)
        return;
    for (uint32_t i = 0; i < k->shared->loop_count; i++)
        if (!atomic_load(&k->shared->loops[i]->idle))
            return;
    struct link_msg m = { .type = LINK_IDLE };
    k->idle_told = tell(k, &m);
}

int report_all(struct links *k)
{
    if (!k->pool)
        return -1;
    bool applied = all_applied(k);
    int64_t now_us = clock_now_us(), next_us = US_NEVER;
    k->unsent = false;
    if (applied)
        report_applied(k);
    for (uint32_t i = 0; i < k->pool->snapshot.service_count; i++) {
        const struct snapshot_service *v = &k->pool->snapshot.services[i];
        for (uint32_t j = 0; j < v->instance_count; j++) {
            const struct snapshot_instance *in = &v->instances[j];
            int64_t again_us = report_ejected(k, v, in, now_us);
            next_us = MIN(next_us, again_us);
            if (applied) /* from here on nobody gives it anything new */
                report_drained(k, v, in);
        }
    }
    if (applied)
        report_idle(k);
    if (k->unsent)
        return RETRY_MS;
    return next_us == US_NEVER ? -1 : (int)MAX((next_us - now_us) / US_PER_MS + 1, 1);
}
