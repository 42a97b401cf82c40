/* What the core wants, carried out: one small function per action. Failures come back as events. */
#include <string.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "sys/log.h"

const struct config_service *controller_service(const struct controller *c, uint32_t slot)
{
    struct service_view v;
    if (!c->config || !control_view(c->control, slot, &v))
        return NULL;
    for (uint32_t i = 0; i < c->config->service_count; i++)
        if (strcmp(c->config->services[i].name, v.conf->name) == 0)
            return &c->config->services[i];
    return NULL;
}

/* Of a service that has left the configuration, what is there of it knows. */
static const struct provision_ops *driver_left(const struct controller *c, uint32_t slot)
{
    for (size_t k = 0; k < c->fleet.cap; k++)
        if (c->fleet.items[k].number > 0 && c->fleet.items[k].service == slot &&
            c->fleet.items[k].driver)
            return c->fleet.items[k].driver;
    return provision_all[0];
}

int controller_provisioner(const struct controller *c, uint32_t slot)
{
    const struct config_service *s = controller_service(c, slot);
    const struct provision_ops *left = s ? NULL : driver_left(c, slot);
    for (int i = 0; provision_all[i]; i++)
        if (s ? provision_all[i]->section == s->driver : provision_all[i] == left)
            return i;
    return -1;
}

bool controller_driver_service(struct controller *c, uint32_t slot, struct driver_service *ret)
{
    const struct config_service *s = controller_service(c, slot);
    struct service_view v;
    if (!control_view(c->control, slot, &v))
        return false;
    if (!s || c->phase == PHASE_STOPPING) { /* only the core knows it still, or it is over */
        *ret = (struct driver_service){ .slot = slot, .name = v.conf->name };
        return true;
    }
    *ret = (struct driver_service){
        .slot = slot,
        .name = s->name,
        .conf = s->driver_conf,
        .template = v.conf->template,
        .serves = controller_serves(s),
        .drain_us = s->drain_us,
        .wants_usage = controller_wants_usage(v.conf),
        .probe = { .kind = s->probe,
                   .path = s->probe_path,
                   .interval_us = s->probe_interval_us,
                   .timeout_us = s->probe_timeout_us },
    };
    return true;
}

static void act_start(struct controller *c, const struct action *a)
{
    struct driver_service service;
    int driver = controller_provisioner(c, a->service);
    if (driver < 0 || !controller_driver_service(c, a->service, &service) || !service.conf)
        return;
    service.template = a->template;
    struct fleet_instance *i = fleet_add(&c->fleet, a->service, a->number);
    if (i)
        i->driver = provision_all[driver];
    provision_all[driver]->start(c->provisioners[driver], &service, a->number);
}

static void act_stop(struct controller *c, const struct action *a)
{
    int driver = controller_provisioner(c, a->service);
    if (driver >= 0)
        provision_all[driver]->stop(c->provisioners[driver], a->service, a->number);
}

static void act_resize(struct controller *c, const struct action *a)
{
    struct driver_service service;
    int driver = controller_provisioner(c, a->service);
    if (driver >= 0 && provision_all[driver]->resize &&
        controller_driver_service(c, a->service, &service) && service.conf)
        provision_all[driver]->resize(c->provisioners[driver], &service, a->number);
}

static void act_publish(struct controller *c, const struct action *a)
{
    c->publish = true;
}

/* Draining reaches the proxy through the snapshot, where the instance is marked so. A worker, which
 * has no address, gets nothing from the proxy; its job in hand has the grace of its stop. */
static void act_drain(struct controller *c, const struct action *a)
{
    const struct fleet_instance *f = fleet_find(&c->fleet, a->service, a->number);
    c->publish = true;
    controller_note_draining(c, a->service, a->number);
    if (f && !f->address[0]) {
        struct event e = { .type = EVENT_DRAINED,
                           .service = (int32_t)a->service,
                           .number = a->number };
        controller_emit(c, &e);
    }
}

void controller_keep_decision(struct controller *c, const struct decision *d)
{
    store_put_decision(c->store, d);
    c->totals.service[d->slot].decisions++;
    if (d->before != d->desired)
        controller_note(c, STORE_EVENT_SCALING, d->service, "", "%s %s",
                        d->advise ? "would be scaled" : "scaled", d->summary);
}

static void act_record(struct controller *c, const struct action *a)
{
    journal_put_decision(c->journal, a->decision);
    controller_keep_decision(c, a->decision);
}

static void act_alert(struct controller *c, const struct action *a)
{
    controller_note_trouble(c, a->service, a->flag, a->text);
}

static void act_forget(struct controller *c, const struct action *a)
{
    totals_forget(&c->totals, c->gauges, a->service);
    c->driver_trouble[a->service][0] = '\0';
    controller_tell_drivers(c); /* the name was the core's */
    c->publish = true;
}

static void act_stopped(struct controller *c, const struct action *a)
{
    c->all_stopped = true;
}

static void (*const carry_out[ACTION_TYPE_MAX])(struct controller *, const struct action *) = {
    [ACTION_START] = act_start,   [ACTION_DRAIN] = act_drain,     [ACTION_STOP] = act_stop,
    [ACTION_RESIZE] = act_resize, [ACTION_PUBLISH] = act_publish, [ACTION_RECORD] = act_record,
    [ACTION_ALERT] = act_alert,   [ACTION_FORGET] = act_forget,   [ACTION_STOPPED] = act_stopped,
};

void controller_act(struct controller *c, const struct action *a)
{
    if (carry_out[a->type])
        carry_out[a->type](c, a);
}
