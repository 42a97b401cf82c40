/* What a plugin says runs, against what is known. A list settles everything that was open when it
 * was asked for: what is in it runs, and what is not does not. What has changed since is left as it
 * is; the next list will say. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "drivers/plugin/exec_int.h"
#include "sys/log.h"

/* "plimsoll-OWNER-shop-3" -> "shop", 3. False: it is not ours. */
static bool split_name(const struct exec_driver *d, const char *name, char *service, size_t cap,
                       uint32_t *ret_number)
{
    size_t prefix = strlen(d->prefix);
    const char *rest = name + prefix, *dash = strrchr(name, '-');
    int64_t number;
    if (strncmp(name, d->prefix, prefix) != 0 || dash <= rest || (size_t)(dash - rest) >= cap ||
        num_parse_i64(slice_of(dash + 1), &number) < 0 || number < 1 || number >= UINT32_MAX)
        return false;
    fmt(service, cap, "%.*s", (int)(dash - rest), rest);
    *ret_number = (uint32_t)number;
    return true;
}

/* --- what nobody knew of --- */

static void on_drained(uv_timer_t *timer)
{
    exec_begin_stop(timer->data);
}

/* The proxy may have outlived whoever knew its service, and still be waiting for its answers. */
static void end_unknown(struct exec_instance *i)
{
    log_info("%s belongs to no service any more: ending it", i->name);
    uv_timer_start(&i->timer, on_drained, (uint64_t)(MAX(i->drain_us, 0) / US_PER_MS), 0);
}

static void take_values(struct exec_instance *i, const struct plugin_instance *what)
{
    str_copy(i->address, sizeof(i->address), what->address);
    i->template = what->template;
    i->shape = what->shape;
    i->pid = what->pid;
    if (what->drain_us >= 0)
        i->drain_us = what->drain_us;
}

/* Of a service that has another plugin it is not this one's business. */
static void adopt(struct exec_plugin *p, const struct plugin_instance *what)
{
    struct exec_driver *d = p->driver;
    char service[MODEL_NAME_MAX];
    uint32_t number;
    if (!split_name(d, what->name, service, sizeof(service), &number))
        return;
    const struct driver_service *s = exec_service_by_name(d, service);
    const struct exec_conf *conf = s ? exec_conf_of(s) : NULL;
    if (conf && exec_plugin_key(conf) != p->key)
        return;
    struct exec_instance *i = exec_add(p, service, number);
    if (!i)
        return;
    i->nameless = !s;
    i->listed = true;
    take_values(i, what);
    exec_move(i, EXEC_RUNNING);
    if (i->nameless) {
        end_unknown(i);
    } else {
        if (!p->finding)
            exec_found(i);
        exec_probe_begin(i);
    }
}

/* --- what is known --- */

/* `why`: of what it is made cannot be read. False: so nobody knows what it is. */
static bool take_item(struct exec_plugin *p, const struct plugin_instance *what, const char *why,
                      uint32_t list)
{
    struct exec_instance *i = exec_find_name(p->driver, what->name);
    bool readable = !why[0];
    if (!i && readable)
        adopt(p, what);
    if (!i)
        return readable;
    i->listed = i->plugin == p;
    if (!i->listed || i->open || i->since >= list)
        return true;
    if (i->state == EXEC_ASKED && !readable) {
        exec_start_spoilt(i, why);
    } else if (i->state == EXEC_ASKED) {
        exec_started(i, what);
    } else if (i->state == EXEC_RUNNING && readable && strcmp(i->address, what->address) != 0) {
        take_values(i, what); /* it is reached elsewhere now */
        exec_found(i);
    } else if (i->state == EXEC_STOPPING) {
        exec_ask_stop(i);
    } else if (i->state == EXEC_GONE) { /* it was said to have ended */
        i->nameless = true;
        exec_begin_stop(i);
    }
    return true;
}

static void take_absent(struct exec_instance *i)
{
    if (i->state == EXEC_GONE)
        exec_drop(i);
    else if (i->open)
        return;
    else if (i->state == EXEC_ASKED && !i->stop_wanted)
        exec_ask_start(i, exec_service_of(i));
    else
        exec_ended(i, NULL, "is not there any more, says the plugin");
}

static void tell_found(struct exec_plugin *p)
{
    LIST_FOR_EACH (it, &p->driver->instances) {
        struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (i->plugin == p && (i->state == EXEC_RUNNING || i->state == EXEC_STOPPING))
            exec_found(i);
    }
}

static void tell_all_found(struct exec_driver *d, const struct driver_service *s)
{
    struct event e = { .type = EVENT_FOUND_ALL, .service = (int32_t)s->slot };
    d->env.emit(d->env.ctx, &e);
}

/* Services that are leaving may have instances with any of the plugins. */
void exec_list_found_all(struct exec_driver *d)
{
    LIST_FOR_EACH (it, &d->plugins)
        if (LIST_ENTRY(it, struct exec_plugin, link)->finding)
            return;
    for (size_t n = 0; d->finding && n < d->service_count; n++)
        if (!d->services[n].conf)
            tell_all_found(d, &d->services[n]);
    d->finding = false;
}

static void finish_finding(struct exec_plugin *p)
{
    struct exec_driver *d = p->driver;
    p->finding = false;
    tell_found(p);
    for (size_t n = 0; n < d->service_count; n++) {
        const struct exec_conf *conf = exec_conf_of(&d->services[n]);
        if (conf && exec_plugin_key(conf) == p->key)
            tell_all_found(d, &d->services[n]);
    }
    exec_list_found_all(d);
}

void exec_list_take(struct exec_plugin *p, const struct plugin_said *said, uint32_t list)
{
    struct plugin_instance what;
    char why[PLUGIN_TEXT_MAX];
    bool whole = true;
    LIST_FOR_EACH (it, &p->driver->instances)
        LIST_ENTRY(it, struct exec_instance, link)->listed = false;
    for (size_t n = 0; plugin_said_item(said, n, &what, why, sizeof(why)); n++) {
        whole &= take_item(p, &what, why, list);
        if (why[0])
            exec_plugin_odd(p, why);
    }
    if (!whole) /* an instance may be missing: so nothing is taken for gone */
        return;
    LIST_FOR_EACH (it, &p->driver->instances) {
        struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (i->plugin == p && !i->listed && i->since < list)
            take_absent(i);
    }
    if (p->finding)
        finish_finding(p);
}

/* --- between lists --- */

static void on_started(struct exec_plugin *p, struct exec_instance *i,
                       const struct plugin_instance *what)
{
    if (!i)
        adopt(p, what);
    else if (i->state == EXEC_ASKED)
        exec_started(i, what);
    else if (i->state == EXEC_RUNNING && strcmp(i->address, what->address) != 0) {
        str_copy(i->address, sizeof(i->address), what->address);
        exec_found(i);
    }
}

void exec_list_event(struct exec_plugin *p, const struct plugin_said *said)
{
    struct exec_instance *i = exec_find_name(p->driver, said->instance.name);
    if (i && i->plugin != p)
        return;
    switch (said->event) {
    case PLUGIN_EXITED:
        if (i)
            exec_ended(i, said, "ended, the plugin does not say why");
        break;
    case PLUGIN_STARTED:
        on_started(p, i, &said->instance);
        break;
    case PLUGIN_READY:
    case PLUGIN_UNWELL:
        if (i)
            exec_probe_told(i, said->event == PLUGIN_READY, said->text);
        break;
    case PLUGIN_ENGINE: /* the plugin's */
        break;
    }
}
