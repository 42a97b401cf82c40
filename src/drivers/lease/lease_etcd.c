/* The lease of several machines: core's election, carried to a real etcd. It reads the clock, keeps
 * the timer, hands requests and answers to and fro, and tells the controller what comes of it; it
 * decides nothing. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "core/elect.h"
#include "drivers/lease/etcd.h"
#include "drivers/lease/etcd_codec.h"
#include "drivers/lease/lease.h"
#include "drivers/lease/lease_left.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

struct lease_of_etcd;

/* One request under way: the election has at most one of each errand. */
struct errand {
    struct lease_of_etcd *owner;
    struct etcd_call *call;
    enum elect_op op;
    uint64_t id;
};

struct lease_of_etcd {
    struct lease_options options;
    struct elect elect;
    struct etcd *etcd;
    struct etcd_names names;
    struct etcd_group group;
    bool told_group, told_twin;
    int64_t twin_since_us; /* 0 = there is none */
    int64_t kept_lease;    /* as in its file */
    int lock_fd;           /* of the state directory; < 0 = none */
    struct errand errands[ELECT_ERRAND_MAX];
    uv_timer_t timer;
    unsigned pending; /* events of these types are to be taken from the loop */
    void (*resigned)(void *ctx);
    void *resigned_ctx;
};

#define SPARE_US (20 * US_PER_MS) /* so that a request is over before nobody waits for it */

static void step(struct lease_of_etcd *l, struct elect_event *v);

/* --- to the controller --- */

static void tell_group(struct lease_of_etcd *l)
{
    const struct lease_listener *to = &l->options.listener;
    l->told_group = true;
    to->group(to->ctx, l->group.has_leader ? &l->group.leader : NULL, l->group.members,
              l->group.count);
}

static void take_group(struct lease_of_etcd *l, const struct etcd_group *g)
{
    if (l->told_group && memcmp(g, &l->group, sizeof(*g)) == 0)
        return;
    l->group = *g;
    tell_group(l);
}

static void tell_news(struct lease_of_etcd *l, const struct elect_out *out)
{
    const struct lease_listener *to = &l->options.listener;
    if (out->news == ELECT_GAINED)
        to->held(to->ctx, true, l->elect.token, "");
    if (out->news != ELECT_LOST)
        return;
    to->held(to->ctx, false, 0, out->why);
    if (l->group.has_leader && l->group.leader.self) {
        l->group.has_leader = false; /* somebody may lead, but nobody that we know of */
        tell_group(l);
    }
}

/* What we left behind when we were started again ends with its lease; who is there for longer than
 * that is somebody else. */
static void tell_twin(struct lease_of_etcd *l, int64_t now_us)
{
    const struct lease_listener *to = &l->options.listener;
    char text[256];
    if (!l->group.has_twin)
        l->twin_since_us = 0;
    else if (l->twin_since_us == 0 || (l->elect.lease == 0 && !l->told_twin))
        l->twin_since_us = now_us; /* without a lease nothing is seen */
    bool twin = l->twin_since_us > 0 && now_us - l->twin_since_us > 2 * l->elect.conf.ttl_us;
    if (twin == l->told_twin)
        return;
    l->told_twin = twin;
    fmt(text, sizeof(text),
        twin ? "another controller of this cluster is called %s too: give each machine a "
               "lease.member and a lease.advertise of its own"
             : "no other controller of this cluster is called %s any more",
        l->options.member);
    to->note(to->ctx, twin, text);
}

static void tell_note(void *ctx, bool trouble, const char *text)
{
    struct lease_of_etcd *l = ctx;
    l->options.listener.note(l->options.listener.ctx, trouble, text);
}

/* --- from etcd --- */

static void on_timer(uv_timer_t *timer);

/* curl is in the middle of something, or whoever asks is. */
static void later(struct lease_of_etcd *l, enum elect_event_type type)
{
    l->pending |= BIT(type);
    uv_timer_start(&l->timer, on_timer, 0, 0);
}

static void answer(struct errand *r, enum elect_event_type type)
{
    struct elect_event v = { .type = type, .id = r->id };
    step(r->owner, &v);
}

static void on_answer(void *ctx, bool ok, struct slice body)
{
    struct errand *r = ctx;
    struct lease_of_etcd *l = r->owner;
    char error[ETCD_ERROR_MAX];
    struct elect_event v = { 0 };
    static_assert(sizeof(struct etcd_group) < 64 * 1024, "it lies on the stack");
    struct etcd_group group;
    bool looks = r->op == ELECT_READ || r->op == ELECT_CAMPAIGN;
    r->call = NULL;
    l->names.lease = l->elect.lease;
    if (!ok || etcd_read(&l->names, r->op, body, &v, &group, error) < 0) {
        answer(r, ELECT_FAILED);
        return;
    }
    v.id = r->id;
    if (looks)
        take_group(l, &group);
    step(l, &v);
}

static void on_watch_line(void *ctx, struct slice line)
{
    struct errand *r = ctx;
    char error[ETCD_ERROR_MAX];
    static const enum elect_event_type types[] = {
        [ETCD_WATCH_OPEN] = ELECT_ANSWER,
        [ETCD_WATCH_CHANGED] = ELECT_CHANGED,
        [ETCD_WATCH_ALIVE] = ELECT_TIMER, /* nothing new */
        [ETCD_WATCH_OVER] = ELECT_WATCH_LOST,
    };
    later(r->owner, types[etcd_read_watch(line, error)]);
}

static void on_watch_over(void *ctx, bool ok, struct slice body)
{
    struct errand *r = ctx;
    r->call = NULL;
    answer(r, ELECT_WATCH_LOST);
}

/* --- to etcd --- */

static enum elect_errand errand_of(enum elect_op op)
{
    static const enum elect_errand errands[ELECT_OP_MAX] = {
        [ELECT_GRANT] = ELECT_SESSION,     [ELECT_KEEP] = ELECT_SESSION,
        [ELECT_READ] = ELECT_LOOK,         [ELECT_CAMPAIGN] = ELECT_LOOK,
        [ELECT_REGISTER] = ELECT_PRESENCE, [ELECT_WATCH] = ELECT_STREAM,
        [ELECT_REVOKE] = ELECT_FAREWELL,
    };
    return errands[op];
}

/* What cannot even be sent has no answer in time. */
static void send_request(struct lease_of_etcd *l, const struct elect_request *q)
{
    struct errand *r = &l->errands[errand_of(q->op)];
    etcd_cancel(r->call);
    r->op = q->op;
    r->id = q->id;
    char *body = etcd_body(&l->names, q);
    int64_t timeout_us = q->deadline_us - clock_boot_us() - SPARE_US;
    r->call = q->op == ELECT_WATCH
                  ? etcd_listen(l->etcd, etcd_path(q->op), body, on_watch_line, on_watch_over, r)
                  : etcd_ask(l->etcd, etcd_path(q->op), body, timeout_us, on_answer, r);
}

/* Of the watch, or a resignation: in the order of the types, which is that of their causes. */
static void on_timer(uv_timer_t *timer)
{
    struct lease_of_etcd *l = timer->data;
    unsigned pending = l->pending | BIT(ELECT_TIMER);
    l->pending = 0;
    for (int type = 0; type < ELECT_EVENT_MAX; type++) {
        struct elect_event v = { .type = type, .id = l->errands[ELECT_STREAM].id };
        if (pending & BIT(type))
            step(l, &v);
    }
}

static void set_timer(struct lease_of_etcd *l, int64_t next_us)
{
    int64_t left_us = l->pending ? 0 : MAX(us_sub(next_us, clock_boot_us()), 0);
    if (next_us == US_NEVER && !l->pending) {
        uv_timer_stop(&l->timer);
        return;
    }
    uv_update_time(l->options.loop);
    uv_timer_start(&l->timer, on_timer, (uint64_t)(left_us + US_PER_MS - 1) / US_PER_MS, 0);
}

/* Before it can hold anything. */
static void keep_lease(struct lease_of_etcd *l)
{
    if (l->elect.lease == 0 || l->elect.lease == l->kept_lease)
        return;
    l->kept_lease = l->elect.lease;
    int rc = lease_left_write(l->options.state_dir, l->kept_lease);
    if (rc < 0)
        log_debug("%s/lease: %s", l->options.state_dir, strerror(-rc));
}

static void step(struct lease_of_etcd *l, struct elect_event *v)
{
    struct elect_out out;
    v->now_us = clock_boot_us();
    elect_step(&l->elect, v, &out);
    keep_lease(l);
    for (size_t i = 0; i < out.count; i++)
        send_request(l, &out.requests[i]);
    set_timer(l, out.next_us);
    tell_news(l, &out);
    tell_twin(l, v->now_us);
    if (out.resigned && l->resigned)
        l->resigned(l->resigned_ctx);
}

/* --- the driver --- */

static uint64_t seed_of(const char *member)
{
    uint64_t seed = (uint64_t)clock_boot_us();
    for (; *member; member++)
        seed = seed * 31 + (unsigned char)*member;
    return seed;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void lease_etcd_close(void *self)
{
    struct lease_of_etcd *l = self;
    if (!l)
        return;
    etcd_free(l->etcd);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}

static int lease_etcd_open(const struct lease_options *options, void **ret, struct err *err)
{
    struct lease_of_etcd *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, -ENOMEM, "no memory for the lease");
    l->options = *options;
    for (int i = 0; i < ELECT_ERRAND_MAX; i++)
        l->errands[i].owner = l;
    struct etcd_options etcd = {
        .loop = options->loop, .conf = &options->conf->etcd, .ctx = l, .note = tell_note
    };
    struct elect_conf conf = { .ttl_us = options->conf->etcd.ttl_us,
                               .seed = seed_of(options->member) };
    int rc = etcd_names_init(&l->names, options->conf, options->member, options->url);
    rc = rc < 0 ? err_set(err, rc, "lease: prefix, cluster and member are too long together")
                : etcd_new(&etcd, &l->etcd, err);
    if (rc < 0) {
        free(l);
        return rc;
    }
    l->lock_fd = lease_left_lock(options->state_dir);
    if (l->lock_fd >= 0) /* whoever had it before is dead */
        conf.left_lease = lease_left_read(options->state_dir);
    elect_init(&l->elect, &conf);
    l->timer.data = l;
    uv_timer_init(options->loop, &l->timer);
    uv_timer_start(&l->timer, on_timer, 0, 0);
    *ret = l;
    return 0;
}

static bool lease_etcd_may_act(void *self)
{
    const struct lease_of_etcd *l = self;
    return elect_may_act(&l->elect, clock_boot_us());
}

static int64_t lease_etcd_left_us(void *self)
{
    const struct lease_of_etcd *l = self;
    return l->elect.valid_until_us - clock_boot_us();
}

static void lease_etcd_resign(void *self, void (*done)(void *ctx), void *ctx)
{
    struct lease_of_etcd *l = self;
    l->resigned = done;
    l->resigned_ctx = ctx;
    later(l, ELECT_RESIGN);
}

const struct lease_ops lease_etcd = {
    .name = "etcd",
    .shared = true,
    .open = lease_etcd_open,
    .may_act = lease_etcd_may_act,
    .left_us = lease_etcd_left_us,
    .resign = lease_etcd_resign,
    .close = lease_etcd_close,
};
