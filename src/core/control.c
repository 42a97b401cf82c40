/* The core's door: memory, the dispatch of events, and the views. Handlers change what is known;
 * control_settle() then does, for every service, all that follows. Never calls out. */
#include "core/control.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

static size_t aligned(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Hands out pieces of the one block of memory; with `base` NULL it only measures. */
struct carver {
    char *base;
    size_t used;
};

static void *carve(struct carver *v, size_t count, size_t bytes_each)
{
    void *piece = v->base ? v->base + v->used : NULL;
    v->used += aligned(count * bytes_each);
    return piece;
}

static struct control *lay_out(const struct control_caps *caps, struct carver *v)
{
    struct control fresh = { .caps = *caps, .ring_count = caps->services * CONTROL_SERIES_EACH };
    fresh.caps.points = SERIES_POINTS(caps->points);
    struct control *c = carve(v, 1, sizeof(*c));
    fresh.confs = carve(v, caps->services, sizeof(*fresh.confs));
    fresh.services = carve(v, caps->services, sizeof(*fresh.services));
    fresh.ring_used = carve(v, fresh.ring_count, sizeof(*fresh.ring_used));
    fresh.scratch = carve(v, MAX(fresh.caps.points, caps->instances), sizeof(*fresh.scratch));
    fresh.points = carve(v, (size_t)fresh.ring_count * fresh.caps.points, sizeof(*fresh.points));
    struct instance *instances =
        carve(v, (size_t)caps->services * caps->instances, sizeof(*instances));
    if (!c)
        return NULL;
    *c = fresh;
    for (uint32_t n = 0; n < caps->services; n++) {
        c->services[n].slot = n;
        c->services[n].instances = instances + (size_t)n * caps->instances;
    }
    return c;
}

size_t control_bytes(const struct control_caps *caps)
{
    struct carver v = { 0 };
    lay_out(caps, &v);
    return v.used;
}

struct control *control_init(void *memory, const struct control_caps *caps)
{
    assert(caps->services > 0 && caps->services <= CONTROL_SERVICES_MAX);
    assert(caps->instances > 0 && caps->points > 0);
    struct carver v = { .base = memory };
    return lay_out(caps, &v);
}

struct control_service *control_service(const struct control *c, int32_t slot)
{
    if (slot < 0 || (uint32_t)slot >= c->caps.services || !c->services[slot].used)
        return NULL;
    return &c->services[slot];
}

struct instance *control_find_instance(const struct control_service *s, uint32_t number)
{
    FOR_EACH_INSTANCE (i, s) {
        if (i->number == number)
            return i;
    }
    return NULL;
}

void control_mark_due(struct control_service *s, enum event_type cause)
{
    if (!s->due || cause != EVENT_TICK)
        s->cause = cause;
    s->due = true;
}

bool control_is_leaving(const struct control *c, const struct control_service *s)
{
    return s->leaving || c->stopping;
}

static int on_tick(struct control *c, const struct event *e)
{
    FOR_EACH_SERVICE (s, c)
        control_mark_due(s, EVENT_TICK);
    return 0;
}

typedef int handler(struct control *c, const struct event *e);

static handler *const handlers[EVENT_TYPE_MAX] = {
    [EVENT_TICK] = on_tick,
    [EVENT_SAMPLES] = control_on_samples,
    [EVENT_DOORBELL] = control_on_doorbell,
    [EVENT_STARTED] = control_on_started,
    [EVENT_START_FAILED] = control_on_start_failed,
    [EVENT_PROBE] = control_on_probe,
    [EVENT_EXITED] = control_on_exited,
    [EVENT_DRAINED] = control_on_drained,
    [EVENT_FOUND] = control_on_found,
    [EVENT_FOUND_ALL] = control_on_found_all,
    [EVENT_DRIVER] = control_on_driver,
    [EVENT_CONFIG] = control_on_config,
    [EVENT_OPERATOR] = control_on_operator,
    [EVENT_LEASE] = control_on_lease,
    [EVENT_RESTART] = control_on_restart,
};

static bool has_instances(const struct control_service *s)
{
    FOR_EACH_INSTANCE (i, s)
        return true;
    return false;
}

/* Without the lease nothing that runs is ours to stop. */
static void settle_stop(struct control *c)
{
    if (!c->stopping || c->stop_said)
        return;
    if (!c->lease_lost) {
        FOR_EACH_SERVICE (s, c) {
            if (has_instances(s))
                return;
        }
    }
    c->stop_said = control_emit(c, NULL, ACTION_STOPPED) != NULL;
}

/* An event of one service settles that one, and whatever the last step had no room for. */
static bool concerns(const struct event *e, const struct control_service *s)
{
    return e->service < 0 || (uint32_t)e->service == s->slot || e->type == EVENT_TICK ||
           e->type == EVENT_CONFIG || s->unfinished;
}

static void settle(struct control *c, struct control_service *s)
{
    control_settle(c, s);
    if (!s->leaving || has_instances(s) || s->list_until_us != 0)
        return;
    if (control_emit(c, s, ACTION_FORGET))
        control_service_clear(c, s);
}

int control_step(struct control *c, const struct event *e, struct actions *actions)
{
    assert(actions->cap >= CONTROL_ACTIONS_MIN);
    actions->count = 0;
    if ((unsigned)e->type >= EVENT_TYPE_MAX)
        return -EINVAL;
    c->out = actions;
    if (e->type == EVENT_RESTART && e->now_us < c->now_us)
        control_rebase(c, e->now_us);
    c->now_us = CLAMP(e->now_us, MAX(c->now_us, 1), CONTROL_TIME_MAX_US);
    c->wall_us = CLAMP(e->wall_us, -CONTROL_TIME_MAX_US, CONTROL_TIME_MAX_US);
    int rc = handlers[e->type] ? handlers[e->type](c, e) : 0;
    FOR_EACH_SERVICE (s, c) {
        if (concerns(e, s))
            settle(c, s);
    }
    settle_stop(c);
    c->out = NULL;
    return rc;
}

int64_t control_next_us(const struct control *c)
{
    int64_t next_us = US_NEVER;
    FOR_EACH_SERVICE (s, c) {
        int64_t at_us = control_act_next_us(c, s);
        next_us = MIN(next_us, at_us);
    }
    return next_us;
}

int32_t control_find(const struct control *c, const char *service)
{
    FOR_EACH_SERVICE (s, c) {
        if (strcmp(s->conf.name, service) == 0)
            return (int32_t)s->slot;
    }
    return -1;
}

const struct instance *control_instance(const struct control *c, uint32_t slot, uint32_t number)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    return s ? control_find_instance(s, number) : NULL;
}

const struct decision *control_decision(const struct control *c, uint32_t slot)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    return s && s->decision.now_us != 0 ? &s->decision : NULL;
}

uint32_t control_mark(const struct control *c, uint32_t slot)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s || control_is_leaving(c, s) || c->lease_lost || s->paused || s->operator_count >= 0)
        return UINT32_MAX;
    int32_t max = s->schedule_max >= 0 ? s->schedule_max : s->conf.max;
    if (s->count >= max)
        return UINT32_MAX;
    uint32_t mark = s->count == 0 ? 1 : UINT32_MAX;
    for (uint32_t n = 0; n < s->conf.rule_count; n++)
        mark = MIN(mark, rule_mark(&s->conf.rules[n], s->count));
    return mark;
}

bool control_stopping(const struct control *c)
{
    return c->stopping;
}

static void count_states(const struct control_service *s, struct service_view *v)
{
    FOR_EACH_INSTANCE (i, s) {
        v->ready += i->state == INSTANCE_READY;
        v->starting += i->state <= INSTANCE_WARMING;
        v->failing += i->state == INSTANCE_FAILING;
        v->draining += i->state == INSTANCE_DRAINING || i->state == INSTANCE_STOPPING;
    }
}

bool control_view(const struct control *c, uint32_t slot, struct service_view *ret)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s)
        return false;
    *ret = (struct service_view){
        .slot = slot,
        .conf = &s->conf,
        .desired = control_is_leaving(c, s) ? 0 : s->desired,
        .operator_count = s->operator_count,
        .operator_forced = s->operator_forced,
        .paused = s->paused,
        .leaving = control_is_leaving(c, s),
        .schedule_min = s->schedule_min,
        .schedule_max = s->schedule_max,
        .backoff_until_us = s->backoff_until_us > c->now_us ? s->backoff_until_us : 0,
        .start_failures = s->start_failures,
        .instance_count = s->instance_count,
        .instances = s->instances,
    };
    count_states(s, ret);
    str_copy(ret->trouble, sizeof(ret->trouble), control_trouble_text(s));
    return true;
}
