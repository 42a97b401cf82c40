/* The controller's end of the link to the proxy: snapshots out, reports and the doorbell in. A new
 * link is a new proxy or a new controller; either way the proxy says HELLO and gets everything. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "sys/log.h"
#include "sys/mem.h"

#define BELL_PAUSE_US (20 * US_PER_MS)
#define MESSAGES_A_TURN 256 /* so that a proxy gone wild cannot hold the loop */

static int proxy_send(struct controller *c, const struct link_msg *m)
{
    char packet[1024];
    int n = link_encode(m, packet, sizeof(packet));
    return n < 0 ? n : fdpass_send(c->proxy.fd, packet, (size_t)n, m->fds, m->fd_count);
}

void proxy_link_publish(struct controller *c)
{
    if (c->proxy.fd < 0 || !c->gauges || !controller_may_publish(c))
        return;
    /* Of one boot, and growing also over our own restarts. */
    uint64_t generation = MAX(c->generation + 1, (uint64_t)clock_now_us());
    _cleanup_close_ int fd = publish_snapshot(c, generation);
    if (fd < 0)
        return;
    struct link_msg m = {
        .type = LINK_SNAPSHOT, .number = (int64_t)generation, .fd_count = 1, .fds = { fd }
    };
    int rc = proxy_send(c, &m);
    if (rc < 0) {
        log_warn("snapshot not sent: %s", strerror(-rc)); /* the tick tries again */
        return;
    }
    c->generation = generation;
    c->publish = false;
}

void proxy_link_send_log(struct controller *c)
{
    struct link_msg m = { .type = LINK_LOG };
    if (c->access_log_fd >= 0) {
        m.fd_count = 1;
        m.fds[0] = c->access_log_fd;
    }
    if (c->proxy.fd >= 0)
        proxy_send(c, &m);
}

void proxy_link_set_mark(struct controller *c, uint32_t slot)
{
    if (c->gauges && slot < GAUGES_SERVICES_MAX)
        atomic_store_explicit(&c->gauges->service[slot].mark,
                              members_mark(c, slot, control_mark(c->control, slot)),
                              memory_order_relaxed);
}

static void ring(struct controller *c, uint32_t slot)
{
    struct demand now = members_demand(c, slot);
    struct service_view view;
    if (!control_view(c->control, slot, &view))
        return;
    struct event e = { .type = EVENT_DOORBELL,
                       .service = (int32_t)slot,
                       .in_flight = now.in_flight,
                       .queued = now.queued };
    controller_emit(c, &e);
}

static void on_bell_timer(uv_timer_t *timer);

/* The first ring is answered at once. Demand that swings around the mark would ring a thousand
 * times a second: who has just been answered waits a moment, and as long as its bit is set the
 * proxy does not ring again. */
void proxy_link_answer(struct controller *c)
{
    int64_t now_us = clock_now_us();
    bool later = false;
    if (c->phase == PHASE_FINDING)
        return; /* the bits stay set until we are live */
    for (uint32_t slot = 0; c->gauges && slot < MODEL_SERVICES_MAX; slot++) {
        _Atomic uint64_t *word = &c->gauges->dirty[slot / 64];
        uint64_t bit = UINT64_C(1) << (slot % 64);
        if (!(atomic_load(word) & bit))
            continue;
        if (now_us - c->answered_us[slot] < BELL_PAUSE_US) {
            later = true;
            continue;
        }
        c->answered_us[slot] = now_us;
        atomic_fetch_and(word, ~bit);
        if (controller_leads(c))
            ring(c, slot);
        else
            members_ring(c, slot);
    }
    if (later && !uv_is_active((uv_handle_t *)&c->bell_timer)) {
        uv_update_time(&c->loop);
        uv_timer_start(&c->bell_timer, on_bell_timer, BELL_PAUSE_US / US_PER_MS, 0);
    }
    controller_pump(c);
}

static void on_bell_timer(uv_timer_t *timer)
{
    proxy_link_answer(timer->data);
}

static void on_doorbell(uv_poll_t *poll, int status, int events)
{
    struct controller *c = poll->data;
    uint64_t count;
    struct iovec to = { &count, sizeof(count) };
    /* The descriptor is shared with the proxy, which could make it a blocking one. */
    if (preadv2(c->doorbell_fd, &to, 1, -1, RWF_NOWAIT) > 0)
        proxy_link_answer(c);
}

static void drop_gauges(struct controller *c)
{
    for (size_t i = 0; source_all[i]; i++)
        if (source_all[i]->set_gauges && c->sources[i])
            source_all[i]->set_gauges(c->sources[i], NULL);
    if (c->gauges)
        totals_fold(&c->totals, c->gauges);
    if (c->gauges)
        munmap(c->gauges, sizeof(struct gauges));
    c->gauges = NULL;
    if (c->doorbell_fd >= 0) {
        watch_close(&c->doorbell_watch);
        close(c->doorbell_fd);
    }
    c->doorbell_fd = -1;
}

/* NULL when it is not what a proxy of this version hands over. */
static struct gauges *map_gauges(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct gauges))
        return NULL;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return NULL;
    struct gauges *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (g == MAP_FAILED)
        return NULL;
    if (g->magic == GAUGES_MAGIC && g->version == GAUGES_VERSION && g->size_bytes == sizeof(*g))
        return g;
    munmap(g, sizeof(*g));
    return NULL;
}

static void on_hello(struct controller *c, const struct link_msg *m)
{
    drop_gauges(c);
    if (m->fd_count != 2 || !(c->gauges = map_gauges(m->fds[0]))) {
        log_error("the proxy handed over gauges that are not of this version");
        for (uint32_t i = 0; i < m->fd_count; i++)
            close(m->fds[i]);
        return;
    }
    close(m->fds[0]);
    c->doorbell_fd = m->fds[1];
    c->proxy.pid = m->number;
    c->doorbell_watch = watch_open(c, c->doorbell_fd, on_doorbell);
    for (size_t i = 0; source_all[i]; i++)
        if (source_all[i]->set_gauges && c->sources[i])
            source_all[i]->set_gauges(c->sources[i], c->gauges);
    if (c->phase <= PHASE_FINDING)
        fleet_take_gauges(&c->fleet, c->gauges);
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        proxy_link_set_mark(c, slot);
    c->proxy_idle = false;
    proxy_link_send_log(c);
    proxy_link_publish(c);
    proxy_link_answer(c);
}

static void on_applied(struct controller *c, const struct link_msg *m)
{
    fleet_applied(&c->fleet, (uint64_t)m->number);
}

static int slot_of(struct controller *c, struct slice name)
{
    char text[MODEL_NAME_MAX];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_put_n(&s, name.p, name.n);
    return control_find(c->control, text);
}

static void on_drained(struct controller *c, const struct link_msg *m)
{
    int slot = slot_of(c, m->name);
    if (slot >= 0)
        members_drained(c, (uint32_t)slot, (uint32_t)m->number);
}

static void on_ejected(struct controller *c, const struct link_msg *m)
{
    int slot = slot_of(c, m->name);
    int driver = slot < 0 || !controller_leads(c) ? -1 : controller_provisioner(c, (uint32_t)slot);
    char name[MODEL_NAME_MAX], id[MODEL_NAME_MAX + 16];
    fmt(name, sizeof(name), "%.*s", (int)m->name.n, m->name.p);
    fmt(id, sizeof(id), "%s-%ld", name, (long)m->number);
    controller_note(c, STORE_EVENT_PROXY, name, id,
                    m->flag ? "ejected by the proxy: %.*s" : "back in the pool%.*s", (int)m->text.n,
                    m->text.p);
    if (driver >= 0 && provision_all[driver]->probe)
        provision_all[driver]->probe(c->provisioners[driver], (uint32_t)slot, (uint32_t)m->number);
}

static void on_idle(struct controller *c, const struct link_msg *m)
{
    c->proxy_idle = true;
    controller_stop_next(c);
}

static void on_refused(struct controller *c, const struct link_msg *m)
{
    log_error("the proxy refused snapshot %ld: %.*s", (long)m->number, (int)m->text.n, m->text.p);
}

static void (*const handlers[LINK_TYPE_MAX])(struct controller *, const struct link_msg *) = {
    [LINK_HELLO] = on_hello,     [LINK_APPLIED] = on_applied, [LINK_DRAINED] = on_drained,
    [LINK_EJECTED] = on_ejected, [LINK_IDLE] = on_idle,       [LINK_REFUSED] = on_refused,
};

static void detach(struct controller *c)
{
    drop_gauges(c);
    if (c->proxy.fd >= 0) {
        watch_close(&c->proxy.watch);
        close(c->proxy.fd);
    }
    c->proxy.fd = -1;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct controller *c = poll->data;
    char packet[4096];
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        struct link_msg m;
        struct err err;
        int fds[LINK_FDS_MAX];
        size_t n_fds = 0;
        int n = fdpass_recv(c->proxy.fd, packet, sizeof(packet), fds, &n_fds);
        if (n == -EAGAIN)
            break;
        if (n <= 0) {
            controller_note(c, STORE_EVENT_PROXY, "", "",
                            "the proxy (pid %ld) is gone; the keeper starts "
                            "another",
                            (long)c->proxy.pid);
            detach(c);
            break;
        }
        if (link_decode(packet, (size_t)n, NULL, &m, &err) < 0) {
            log_error("message of the proxy not understood: %s", err.text);
            for (size_t k = 0; k < n_fds; k++)
                close(fds[k]);
            continue;
        }
        m.fd_count = (uint32_t)n_fds;
        memcpy(m.fds, fds, n_fds * sizeof(int));
        if (handlers[m.type])
            handlers[m.type](c, &m);
        for (size_t k = 0; k < n_fds && m.type != LINK_HELLO; k++)
            close(fds[k]);
        if (c->proxy.fd < 0)
            break;
    }
    controller_pump(c);
}

void proxy_link_attach(struct controller *c, int fd, int64_t pid)
{
    detach(c);
    c->proxy.fd = fd;
    c->proxy.pid = pid;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    c->proxy.watch = watch_open(c, fd, on_readable);
    c->totals.proxy_starts++;
}
