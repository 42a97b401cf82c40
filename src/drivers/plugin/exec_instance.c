/* One instance: what it is, what is asked of its plugin for it, and what comes of that. A request
 * without an answer says nothing; then the plugin's next list tells. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "drivers/plugin/exec_int.h"
#include "drivers/process/process.h"
#include "sys/log.h"

#define GRACE_US (10 * US_PER_S) /* of one that nobody configures any more */
#define DRAIN_US (20 * US_PER_S)
#define LATE_US (2 * US_PER_S) /* beyond grace and timeout, for a list to tell */

static const uint8_t move_ok[EXEC_STATE_MAX] = {
    [EXEC_ASKED] = BIT(EXEC_RUNNING) | BIT(EXEC_STOPPING) | BIT(EXEC_GONE),
    [EXEC_RUNNING] = BIT(EXEC_STOPPING) | BIT(EXEC_GONE),
    [EXEC_STOPPING] = BIT(EXEC_GONE),
    [EXEC_GONE] = BIT(EXEC_STOPPING), /* it is seen again */
};

void exec_move(struct exec_instance *i, enum exec_state state)
{
    assert(move_ok[i->state] & BIT(state));
    i->state = state;
    i->since = i->plugin->asked_lists;
}

bool exec_may_act(const struct exec_driver *d)
{
    return !d->env.may_act || d->env.may_act(d->env.ctx);
}

const struct driver_service *exec_service_by_name(const struct exec_driver *d, const char *name)
{
    for (size_t n = 0; n < d->service_count; n++)
        if (strcmp(d->services[n].name, name) == 0)
            return &d->services[n];
    return NULL;
}

static const struct driver_service *known_as(const struct exec_instance *i)
{
    return i->nameless ? NULL : exec_service_by_name(i->driver, i->service);
}

const struct driver_service *exec_service_of(const struct exec_instance *i)
{
    const struct driver_service *s = known_as(i);
    return s && s->conf ? s : NULL;
}

struct exec_instance *exec_find(const struct exec_driver *d, const char *service, uint32_t number)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (i->number == number && !i->nameless && i->state != EXEC_GONE &&
            strcmp(i->service, service) == 0)
            return i;
    }
    return NULL;
}

struct exec_instance *exec_find_name(const struct exec_driver *d, const char *name)
{
    LIST_FOR_EACH (it, &d->instances) {
        struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (strcmp(i->name, name) == 0)
            return i;
    }
    return NULL;
}

struct exec_instance *exec_add(struct exec_plugin *p, const char *service, uint32_t number)
{
    struct exec_driver *d = p->driver;
    struct exec_instance *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    i->driver = d;
    i->plugin = p;
    i->number = number;
    i->since = p->asked_lists;
    i->grace_us = GRACE_US;
    i->drain_us = DRAIN_US;
    str_copy(i->service, sizeof(i->service), service);
    fmt(i->name, sizeof(i->name), "%s%s-%u", d->prefix, service, number);
    uv_timer_init(d->env.loop, &i->timer);
    i->timer.data = i;
    list_push_back(&d->instances, &i->link);
    return i;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void exec_drop(struct exec_instance *i)
{
    plugin_forget(i->plugin->plugin, i);
    exec_probe_end(i);
    list_remove(&i->link);
    uv_close((uv_handle_t *)&i->timer, on_closed);
}

void exec_emit(struct exec_instance *i, const struct event *e)
{
    struct event copy = *e;
    bool with_address = e->type == EVENT_STARTED || e->type == EVENT_FOUND;
    const struct driver_service *s = known_as(i);
    if (!s)
        return;
    copy.service = (int32_t)s->slot;
    copy.number = i->number;
    if (with_address) {
        copy.address = i->address;
        copy.ref = i->name;
        copy.pid = i->pid;
        copy.template = i->template;
        copy.shape = i->shape;
    }
    i->driver->env.emit(i->driver->env.ctx, &copy);
}

void exec_found(struct exec_instance *i)
{
    exec_emit(i, &(struct event){ .type = EVENT_FOUND });
}

/* --- its end --- */

/* Numbers are never used again, so logs would pile up: only those of the last few are kept. */
static void forget_old_log(const struct exec_instance *i)
{
    char path[PATH_MAX];
    if (i->number <= PROCESS_LOGS_KEPT ||
        exec_find(i->driver, i->service, i->number - PROCESS_LOGS_KEPT))
        return;
    process_log_path(i->driver->env.state_dir, i->service, i->number - PROCESS_LOGS_KEPT, path,
                     sizeof(path));
    process_log_remove(path);
}

/* What is on its way of it means nothing any more, and a list that was asked for before neither. */
static void bury(struct exec_instance *i)
{
    plugin_forget(i->plugin->plugin, i);
    i->open = false;
    exec_probe_end(i);
    exec_move(i, EXEC_GONE);
    forget_old_log(i);
}

void exec_start_failed(struct exec_instance *i, const char *text)
{
    struct event e = { .type = EVENT_START_FAILED };
    fmt(e.text, sizeof(e.text), "%s", text);
    exec_emit(i, &e);
    bury(i);
}

void exec_ended(struct exec_instance *i, const struct plugin_said *event, const char *text)
{
    struct event e = { .type = EVENT_EXITED, .pid = i->pid, .flag = true };
    if (i->state == EXEC_GONE)
        return;
    if (event && event->status_known) {
        e.flag = false;
        e.status = event->status << 8; /* as wait(2) has it */
    }
    if (event && event->text[0])
        fmt(e.text, sizeof(e.text), "%s", event->text);
    else if (!e.flag)
        fmt(e.text, sizeof(e.text), "exited with status %d", (int)event->status);
    else
        fmt(e.text, sizeof(e.text), "%s", text);
    if (i->state == EXEC_ASKED && !i->stop_wanted) {
        exec_start_failed(i, e.text);
        return;
    }
    exec_emit(i, &e);
    bury(i);
}

/* --- requests --- */

/* Lost, too late, or held back because another controller decides now: which forgets it all. */
static void no_answer(struct exec_instance *i, const char *what)
{
    char text[PLUGIN_TEXT_MAX];
    if (!exec_may_act(i->driver) || !plugin_is_up(i->plugin->plugin))
        return; /* its first list will tell */
    fmt(text, sizeof(text), "has not answered the %s of %s in time; its list is to tell", what,
        i->name);
    exec_plugin_odd(i->plugin, text);
}

/* `s` is the service as it is to be now, which may be news to the driver; NULL = leaving. */
static void ask(struct exec_instance *i, const struct driver_service *s, enum plugin_do what,
                int64_t more_us, plugin_done *done)
{
    const struct exec_conf *conf = s ? exec_conf_of(s) : NULL;
    char log[PATH_MAX];
    process_log_path(i->driver->env.state_dir, i->service, i->number, log, sizeof(log));
    struct plugin_request r = {
        .what = what,
        .name = i->name,
        .service = i->service,
        .number = i->number,
        .template = i->template,
        .shape = what == PLUGIN_RESIZE ? i->asked_shape : i->shape,
        .token = i->driver->env.token ? i->driver->env.token(i->driver->env.ctx) : 0,
        .deadline_us = us_add(conf ? conf->timeout_us : i->plugin->timeout_us, more_us),
        .grace_us = i->grace_us,
        .drain_us = i->drain_us,
        .serves = s && s->serves,
        .log = log,
        .config = conf ? &conf->config : NULL,
        .size = conf ? &conf->size : NULL,
    };
    i->open = true;
    if (plugin_ask(i->plugin->plugin, &r, done, i) < 0)
        i->open = false;
}

/* No name is as good as the one that was asked for. */
static void take_start(struct exec_instance *i, const struct plugin_instance *what)
{
    char text[PLUGIN_TEXT_MAX], shown[44];
    if (!what->name[0] || strcmp(what->name, i->name) == 0) {
        exec_started(i, what);
        return;
    }
    plugin_copy(shown, sizeof(shown), what->name);
    fmt(text, sizeof(text), "answers with the name %s instead of %s", shown, i->name);
    exec_start_spoilt(i, text);
}

static void on_start_answered(void *ctx, const struct plugin_said *answer)
{
    struct exec_instance *i = ctx;
    i->open = false;
    if (i->state != EXEC_ASKED)
        return;
    if (!answer)
        no_answer(i, "start");
    else if (answer->ok)
        take_start(i, &answer->instance);
    else if (answer->garbled)
        exec_start_spoilt(i, answer->text);
    else
        exec_start_failed(i, answer->text[0] ? answer->text : "the plugin gives no reason");
}

void exec_ask_start(struct exec_instance *i, const struct driver_service *s)
{
    if (s && s->template == i->template)
        ask(i, s, PLUGIN_START, 0, on_start_answered);
    else
        exec_start_failed(i, "the configuration has changed since it was asked for");
}

static void on_stop_answered(void *ctx, const struct plugin_said *answer)
{
    struct exec_instance *i = ctx;
    char text[2 * PLUGIN_TEXT_MAX];
    i->open = false;
    if (i->state != EXEC_STOPPING)
        return;
    if (!answer) {
        no_answer(i, "stop");
    } else if (answer->ok) {
        exec_ended(i, NULL, "was ended");
    } else {
        fmt(text, sizeof(text), "cannot stop %s: %s", i->name, answer->text);
        exec_plugin_odd(i->plugin, text);
    }
}

void exec_ask_stop(struct exec_instance *i)
{
    ask(i, exec_service_of(i), PLUGIN_STOP, i->grace_us, on_stop_answered);
}

static void resized(struct exec_instance *i, bool done, const char *text)
{
    struct event e = { .type = EVENT_RESIZED, .flag = done, .shape = i->asked_shape };
    fmt(e.text, sizeof(e.text), "%s", text);
    exec_emit(i, &e);
}

static void on_resize_answered(void *ctx, const struct plugin_said *answer)
{
    struct exec_instance *i = ctx;
    i->open = false;
    if (answer && answer->ok)
        i->shape = i->asked_shape;
    resized(i, answer && answer->ok, answer ? answer->text : "the plugin has not answered");
}

void exec_ask_resize(struct exec_instance *i, const struct driver_service *s)
{
    i->asked_shape = exec_shape(s->conf);
    if (!plugin_is_up(i->plugin->plugin))
        resized(i, false, "the plugin is away");
    else if (plugin_can(i->plugin->plugin) & PLUGIN_CAN_RESIZE)
        ask(i, s, PLUGIN_RESIZE, 0, on_resize_answered);
    else
        resized(i, false, "the plugin cannot resize");
}

/* Plimsoll stops, or the last of our services has left the configuration. */
static bool is_ending(const struct exec_driver *d)
{
    for (size_t n = 0; n < d->service_count; n++)
        if (d->services[n].conf)
            return false;
    return true;
}

/* Nobody waits for ever for a plugin that does not say, or not so that it could be understood, what
 * has become of an instance. While plimsoll goes on, it is asked again and again. */
static void on_patience_over(uv_timer_t *timer)
{
    struct exec_instance *i = timer->data;
    if (is_ending(i->driver)) {
        log_error("%s has not said that %s has ended: it may still run",
                  plugin_label(i->plugin->plugin), i->name);
        exec_ended(i, NULL, "its plugin has not said that it has ended: it may still run");
    } else {
        uv_timer_start(timer, on_patience_over, US_PER_S / US_PER_MS, 0);
    }
}

static void lose_patience_later(struct exec_instance *i)
{
    int64_t us = us_add(us_add(i->grace_us, i->plugin->timeout_us), LATE_US);
    uv_update_time(i->timer.loop);
    uv_timer_start(&i->timer, on_patience_over, (uint64_t)(us / US_PER_MS), 0);
}

void exec_stop_later(struct exec_instance *i)
{
    if (!i->stop_wanted)
        lose_patience_later(i);
    i->stop_wanted = true;
}

void exec_begin_stop(struct exec_instance *i)
{
    const struct driver_service *s = exec_service_of(i);
    if (s) /* as the configuration is now */
        i->grace_us = exec_conf_of(s)->stop.grace_us;
    exec_probe_end(i);
    exec_move(i, EXEC_STOPPING);
    lose_patience_later(i);
    exec_ask_stop(i);
}

/* --- it runs --- */

void exec_start_spoilt(struct exec_instance *i, const char *text)
{
    struct event e = { .type = EVENT_START_FAILED };
    fmt(e.text, sizeof(e.text), "the plugin %s", text);
    exec_emit(i, &e);
    i->nameless = true;
    exec_begin_stop(i);
}

void exec_started(struct exec_instance *i, const struct plugin_instance *what)
{
    const struct driver_service *s = exec_service_of(i);
    str_copy(i->address, sizeof(i->address), what->address);
    i->pid = what->pid;
    plugin_forget(i->plugin->plugin, i);
    i->open = false;
    if (s && s->serves && !i->address[0]) {
        exec_start_spoilt(i, "gives no address, and the service is to be reached");
        return;
    }
    exec_move(i, EXEC_RUNNING);
    exec_emit(i, &(struct event){ .type = EVENT_STARTED });
    if (i->stop_wanted)
        exec_begin_stop(i);
    else
        exec_probe_begin(i);
}
