/* The one flow: an event is queued, written to the journal, given to the core, and what the core
 * wants is carried out. Drivers may queue events while an action is carried out; they are taken in
 * turn, never inside one another. */
#include <string.h>

#include "controller/alerts.h"
#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/log.h"

static const char *service_name(const struct controller *c, uint32_t slot)
{
    struct service_view v;
    return control_view(c->control, slot, &v) ? v.conf->name : "";
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
        q->event.now_us = controller_now(c);
    if (q->event.wall_us == 0)
        q->event.wall_us = clock_wall_us();
    str_copy(q->address, sizeof(q->address), e->address ? e->address : "");
    str_copy(q->ref, sizeof(q->ref), e->ref ? e->ref : "");
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
    store_put_instance(c->store, service_name(c, slot), number,
                       instance_state_name(i ? i->state : INSTANCE_GONE), f ? f->pid : 0,
                       f ? f->address : "", i ? i->template : 0, clock_wall_us());
}

static void keep_driver(struct controller *c, const struct event *e)
{
    struct fleet_instance *i = fleet_find(&c->fleet, (uint32_t)e->service, e->number);
    int driver = controller_provisioner(c, (uint32_t)e->service);
    i->driver = driver >= 0 ? provision_all[driver] : i->driver;
}

/* Their engines may have run something of them before. */
static void list_new_services(struct controller *c)
{
    bool wanted[CONTROLLER_PROVISIONERS_MAX] = { false };
    struct service_view v;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        int driver =
            control_view(c->control, slot, &v) && v.unlisted ? controller_provisioner(c, slot) : -1;
        if (driver >= 0)
            wanted[driver] = true;
    }
    for (size_t i = 0; provision_all[i]; i++)
        if (wanted[i])
            provision_all[i]->list(c->provisioners[i]);
}

/* A well instance that passes another probe is no news, and would be most of the journal. */
static bool says_nothing(const struct controller *c, const struct event *e)
{
    if (e->type != EVENT_PROBE || !e->flag || e->service < 0)
        return false;
    const struct instance *i = control_instance(c->control, (uint32_t)e->service, e->number);
    return i && i->state == INSTANCE_READY && i->probes_failed == 0;
}

static void step(struct controller *c, const struct queued_event *q)
{
    const struct event *e = &q->event;
    struct actions actions = { .items = c->actions, .cap = CONTROLLER_ACTIONS_MAX };
    struct config_hashes hashes;
    struct journal_config jc;
    bool has_instance = e->service >= 0 && e->number > 0;
    if (fleet_take_event(&c->fleet, e))
        keep_driver(c, e);
    controller_note_event(c, e);
    count(c, e);
    if (e->type == EVENT_CONFIG)
        jc = controller_journal_config(c->config, &hashes);
    journal_put_event(c->journal, e, e->type == EVENT_CONFIG ? &jc : NULL);
    enum instance_state before = has_instance ? controller_state_of(c, e) : INSTANCE_GONE;
    alerts_hear(c, e, before);
    int rc = control_step(c->control, e, &actions);
    if (e->type == EVENT_PROBE && has_instance)
        controller_note_health(c, e, before);
    if (rc < 0)
        log_debug("event %s changed nothing: %s", event_type_name(e->type), strerror(-rc));
    for (size_t i = 0; i < actions.count; i++)
        controller_act(c, &actions.items[i]);
    if (has_instance && e->type != EVENT_PROBE)
        keep_instance(c, (uint32_t)e->service, e->number);
    if (e->type == EVENT_EXITED || e->type == EVENT_START_FAILED || e->type == EVENT_FOUND_ALL)
        fleet_drop_gone(&c->fleet, c->control, (uint32_t)e->service, c->generation + 1);
    if (e->type == EVENT_FOUND_ALL || (e->type == EVENT_DRIVER && !e->flag))
        controller_phase_found(c, e->service);
    if (e->type == EVENT_CONFIG) {
        c->core_config = c->config;
        controller_drop_arena(&c->core_arena); /* where the one before was */
        controller_tell_drivers(c);
        if (e->flag)
            list_new_services(c);
        history_begin(c);
    }
}

/* Ticks at the moments the core asked for: deadlines, back-off, windows that open. */
static void on_wake(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    if (!controller_leads(c))
        return;
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
    int64_t wait_ms = (us_sub(next_us, controller_now(c)) + US_PER_MS - 1) / US_PER_MS;
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
            controller_rotate_journal(c, false);
        if (!says_nothing(c, &q.event))
            step(c, &q);
    }
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        proxy_link_set_mark(c, slot);
    if (c->publish)
        proxy_link_publish(c);
    journal_flush(c->journal, controller_now(c));
    set_wake(c);
    c->pumping = false;
    controller_stop_next(c);
}
