/* Instances run by plugins: the driver's table. What runs is what the plugins' lists say runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "drivers/plugin/exec_int.h"
#include "sys/clock.h"

/* Another controller decides now, and what runs is what it makes of it. Our own records would be
 * old when we lead again: so the first list of then begins with none. */
static void rest(struct exec_driver *d)
{
    LIST_FOR_EACH (it, &d->instances)
        exec_drop(LIST_ENTRY(it, struct exec_instance, link));
    LIST_FOR_EACH (it, &d->plugins)
        exec_plugin_rest(LIST_ENTRY(it, struct exec_plugin, link));
    d->finding = false;
}

static void set_services(void *self, const struct driver_service *services, size_t count)
{
    struct exec_driver *d = self;
    if (!exec_may_act(d))
        rest(d);
    d->service_count = MIN(count, ARRAY_LEN(d->services));
    if (d->service_count > 0)
        memcpy(d->services, services, d->service_count * sizeof(services[0]));
    LIST_FOR_EACH (it, &d->plugins)
        LIST_ENTRY(it, struct exec_plugin, link)->wanted = false;
    for (size_t n = 0; n < d->service_count; n++) {
        const struct exec_conf *conf = exec_conf_of(&d->services[n]);
        struct exec_plugin *p = conf ? exec_plugin_of(d, conf) : NULL;
        if (!p)
            continue;
        p->wanted = true;
        if (p->down)
            exec_plugin_tell(p, &d->services[n]);
    }
    exec_plugin_sweep(d);
}

static void start(void *self, const struct driver_service *service, uint32_t number)
{
    struct exec_driver *d = self;
    const struct exec_conf *conf = service->conf;
    if (!conf || exec_find(d, service->name, number))
        return; /* an action that is repeated takes effect once */
    struct exec_plugin *p = exec_plugin_of(d, conf);
    struct exec_instance *i = p ? exec_add(p, service->name, number) : NULL;
    if (!i)
        return; /* the core's start deadline notices */
    i->template = service->template;
    i->shape = exec_shape(conf);
    i->grace_us = conf->stop.grace_us;
    i->drain_us = service->drain_us;
    exec_ask_start(i, service);
}

static struct exec_instance *find_slot(const struct exec_driver *d, uint32_t slot, uint32_t number)
{
    for (size_t n = 0; n < d->service_count; n++)
        if (d->services[n].slot == slot)
            return exec_find(d, d->services[n].name, number);
    return NULL;
}

static void stop(void *self, uint32_t slot, uint32_t number)
{
    struct exec_driver *d = self;
    struct exec_instance *i = find_slot(d, slot, number);
    if (!i && exec_may_act(d)) {
        struct event e = { .type = EVENT_EXITED,
                           .service = (int32_t)slot,
                           .number = number,
                           .flag = true,
                           .text = "was not running" };
        d->env.emit(d->env.ctx, &e);
    } else if (!i) {
        return;
    } else if (i->state == EXEC_ASKED) {
        exec_stop_later(i);
    } else if (i->state == EXEC_RUNNING) {
        exec_begin_stop(i);
    } else if (i->state == EXEC_STOPPING && !i->open) {
        exec_ask_stop(i);
    }
}

static void resize(void *self, const struct driver_service *service, uint32_t number)
{
    struct exec_instance *i = exec_find(self, service->name, number);
    if (i && i->state == EXEC_RUNNING && service->conf)
        exec_ask_resize(i, service);
}

static void list(void *self)
{
    struct exec_driver *d = self;
    d->finding = true;
    LIST_FOR_EACH (it, &d->plugins) {
        struct exec_plugin *p = LIST_ENTRY(it, struct exec_plugin, link);
        p->finding = true;
        exec_plugin_list(p);
    }
    exec_list_found_all(d);
}

static void probe(void *self, uint32_t slot, uint32_t number)
{
    struct exec_instance *i = find_slot(self, slot, number);
    if (i)
        exec_probe_now(i);
}

static void finish(void *self)
{
    struct exec_driver *d = self;
    LIST_FOR_EACH (it, &d->instances)
        exec_drop(LIST_ENTRY(it, struct exec_instance, link));
    LIST_FOR_EACH (it, &d->plugins)
        exec_plugin_free(LIST_ENTRY(it, struct exec_plugin, link));
    prober_free(d->prober);
    free(d);
}

static int begin(const struct driver_env *env, void **ret, struct err *err)
{
    struct exec_driver *d = calloc(1, sizeof(*d));
    int rc = d ? prober_new(env->loop, &d->prober, err)
               : err_set(err, -ENOMEM, "no memory for the exec driver");
    if (rc < 0) {
        free(d);
        return rc;
    }
    d->env = *env;
    list_init(&d->plugins);
    list_init(&d->instances);
    d->env.owner = env->owner ? env->owner : env->identity;
    fmt(d->prefix, sizeof(d->prefix), "plimsoll-%s-", d->env.owner);
    *ret = d;
    return 0;
}

const struct provision_ops provision_exec = {
    .name = "exec",
    .caps = PROVISION_CAN_DRAIN | PROVISION_CAN_RESIZE | PROVISION_CAN_CHOOSE_VICTIM,
    .section = &exec_section,
    .template = exec_template,
    .shape = exec_shape,
    .start_within_us = exec_start_within_us,
    .open = begin,
    .set_services = set_services,
    .start = start,
    .stop = stop,
    .resize = resize,
    .list = list,
    .probe = probe,
    .close = finish,
};
