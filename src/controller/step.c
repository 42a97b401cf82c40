/* The one flow: an event is queued, written to the journal, given to the core, and what the core
 * wants is carried out. Drivers may queue events while an action is carried out; they are taken in
 * turn, never inside one another. */
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/log.h"

static const char *service_name(struct controller *c, int32_t slot)
{
    struct service_view v;
    return slot >= 0 && control_view(c->control, (uint32_t)slot, &v) ? v.conf->name : "";
}

void controller_note(struct controller *c, enum store_event_kind kind, const char *service,
                     const char *instance, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++) /* some of it was said by others */
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
    const char *about = instance[0] ? instance : service;
    log_write(kind == STORE_EVENT_ALERT ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s%s%s%s", about,
              about[0] ? ": " : "", kind == STORE_EVENT_RESOLVED ? "resolved: " : "", text);
    store_put_event(c->store, kind, service, instance, text, clock_wall_us());
}

void controller_note_trouble(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    struct controller *c = ctx;
    controller_note(c, trouble ? STORE_EVENT_ALERT : STORE_EVENT_RESOLVED,
                    service_name(c, (int32_t)slot), "", "%s", text);
}

void controller_emit(struct controller *c, const struct event *e)
{
    if (c->event_count == CONTROLLER_EVENTS_MAX) {
        log_error("too many events at once: %s dropped", event_type_name(e->type));
        return;
    }
    size_t at = (c->event_head + c->event_count++) % CONTROLLER_EVENTS_MAX;
    struct queued_event *q = &c->events[at];
    q->event = *e;
    if (q->event.now_us == 0)
        q->event.now_us = clock_now_us();
    if (q->event.wall_us == 0)
        q->event.wall_us = clock_wall_us();
    str_copy(q->address, sizeof(q->address), e->address ? e->address : "");
    str_copy(q->ref, sizeof(q->ref), e->ref ? e->ref : "");
}

/* What an event says of an instance's outer side. */
static void note_instance(struct controller *c, const struct queued_event *q)
{
    const struct event *e = &q->event;
    uint32_t slot = (uint32_t)e->service;
    if (e->type == EVENT_STARTED || e->type == EVENT_FOUND) {
        struct fleet_instance *i = fleet_add(&c->fleet, slot, e->number);
        if (!i)
            return;
        i->pid = e->pid;
        str_copy(i->address, sizeof(i->address), q->address);
        str_copy(i->ref, sizeof(i->ref), q->ref);
    }
    char id[MODEL_NAME_MAX + 16];
    fmt(id, sizeof(id), "%s-%u", service_name(c, e->service), e->number);
    if (e->type == EVENT_STARTED)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id,
                        "started, pid %ld%s%s", (long)e->pid, q->address[0] ? ", " : "",
                        q->address);
    else if (e->type == EVENT_FOUND)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id,
                        "found running, pid %ld%s%s", (long)e->pid, q->address[0] ? ", " : "",
                        q->address);
    else if (e->type == EVENT_START_FAILED)
        controller_note(c, STORE_EVENT_ALERT, service_name(c, e->service), id, "start failed: %s",
                        e->text);
    else if (e->type == EVENT_EXITED)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id, "%s",
                        e->text[0] ? e->text : "exited");
}

static enum instance_state state_of(struct controller *c, const struct event *e)
{
    const struct instance *i =
        e->service < 0 ? NULL : control_instance(c->control, (uint32_t)e->service, e->number);
    return i ? i->state : INSTANCE_GONE;
}

/* A probe that changed what an instance is: into the pool, or out of it. */
static void note_health(struct controller *c, const struct event *e, enum instance_state before)
{
    const struct instance *i = control_instance(c->control, (uint32_t)e->service, e->number);
    char id[MODEL_NAME_MAX + 16], took[32];
    if (!i || i->state == before)
        return;
    fmt(id, sizeof(id), "%s-%u", service_name(c, e->service), e->number);
    num_format_duration_short(took, sizeof(took), e->now_us - i->started_us);
    if (i->state == INSTANCE_READY && before != INSTANCE_FAILING)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id,
                        "ready, %s after its start", took);
    else if (i->state == INSTANCE_READY)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id, "well again");
    else if (i->state == INSTANCE_FAILING)
        controller_note(c, STORE_EVENT_ALERT, service_name(c, e->service), id,
                        "out of the pool, fails its probes: %s", e->text);
}

static void count(struct controller *c, const struct event *e)
{
    c->totals.events++;
    if (e->service < 0)
        return;
    struct totals_service *t = &c->totals.service[e->service];
    t->starts += e->type == EVENT_STARTED;
    t->start_failures += e->type == EVENT_START_FAILED;
    t->exits += e->type == EVENT_EXITED;
}

static void keep_instance(struct controller *c, uint32_t slot, uint32_t number)
{
    const struct instance *i = control_instance(c->control, slot, number);
    const struct fleet_instance *f = fleet_find(&c->fleet, slot, number);
    store_put_instance(c->store, service_name(c, (int32_t)slot), number,
                       instance_state_name(i ? i->state : INSTANCE_GONE), f ? f->pid : 0,
                       f ? f->address : "", i ? i->template : 0, clock_wall_us());
}

/* What the core has given up leaves the fleet, and its place in the gauges becomes free. */
static void drop_gone(struct controller *c, uint32_t slot)
{
    for (size_t k = 0; k < c->fleet.cap; k++) {
        struct fleet_instance *f = &c->fleet.items[k];
        const struct instance *i = f->number > 0 && f->service == slot
                                       ? control_instance(c->control, slot, f->number)
                                       : NULL;
        if (f->number > 0 && f->service == slot && (!i || i->state == INSTANCE_GONE))
            fleet_remove(&c->fleet, f, c->generation + 1);
    }
}

static void step(struct controller *c, const struct queued_event *q)
{
    const struct event *e = &q->event;
    struct actions actions = { .items = c->actions, .cap = CONTROLLER_ACTIONS_MAX };
    uint64_t templates[MODEL_SERVICES_MAX];
    struct journal_config jc;
    bool has_instance = e->service >= 0 && e->number > 0;
    if (has_instance)
        note_instance(c, q);
    count(c, e);
    if (e->type == EVENT_CONFIG)
        jc = controller_journal_config(c->config, templates);
    journal_put_event(c->journal, e, e->type == EVENT_CONFIG ? &jc : NULL);
    enum instance_state before = has_instance ? state_of(c, e) : INSTANCE_GONE;
    int rc = control_step(c->control, e, &actions);
    if (e->type == EVENT_PROBE && has_instance)
        note_health(c, e, before);
    if (rc < 0)
        log_debug("event %s changed nothing: %s", event_type_name(e->type), strerror(-rc));
    for (size_t i = 0; i < actions.count; i++)
        controller_act(c, &actions.items[i]);
    if (has_instance && e->type != EVENT_PROBE)
        keep_instance(c, (uint32_t)e->service, e->number);
    if (e->type == EVENT_EXITED || e->type == EVENT_START_FAILED || e->type == EVENT_FOUND_ALL)
        drop_gone(c, (uint32_t)e->service);
    if (e->type == EVENT_FOUND_ALL)
        controller_phase_found(c);
    if (e->type == EVENT_CONFIG) {
        c->core_config = c->config;
        controller_tell_drivers(c);
        history_begin(c);
    }
}

/* Ticks at the moments the core asked for: deadlines, back-off, windows that open. */
static void on_wake(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    controller_emit(c, &(struct event){ .type = EVENT_TICK, .service = -1 });
    controller_pump(c);
}

static void set_wake(struct controller *c)
{
    int64_t next_us = control_next_us(c->control);
    if (next_us == US_NEVER) {
        uv_timer_stop(&c->wake_timer);
        return;
    }
    int64_t wait_ms = (us_sub(next_us, clock_now_us()) + US_PER_MS - 1) / US_PER_MS;
    uv_update_time(&c->loop);
    uv_timer_start(&c->wake_timer, on_wake, (uint64_t)CLAMP(wait_ms, 1, 60000), 0);
}

void controller_pump(struct controller *c)
{
    if (c->pumping || c->event_count == 0)
        return;
    c->pumping = true;
    while (c->event_count > 0) {
        struct queued_event q = c->events[c->event_head];
        c->event_head = (c->event_head + 1) % CONTROLLER_EVENTS_MAX;
        c->event_count--;
        q.event.address = q.address[0] ? q.address : NULL;
        q.event.ref = q.ref[0] ? q.ref : NULL;
        if (journal_needs_rotation(c->journal, q.event.now_us))
            controller_rotate_journal(c);
        step(c, &q);
    }
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        proxy_link_set_mark(c, slot);
    if (c->publish)
        proxy_link_publish(c);
    journal_flush(c->journal, clock_now_us());
    set_wake(c);
    c->pumping = false;
    controller_stop_next(c);
}
