/* Plugins as services see them: up or down, asked for lists, and now and then odd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "drivers/plugin/exec_int.h"
#include "sys/clock.h"
#include "sys/log.h"

/* A plugin that tells what happens is asked for a list now and then, in case that something was
 * lost; the others often. */
#define LIST_EVERY_US (2 * US_PER_S)
#define LIST_SELDOM_US (30 * US_PER_S)
#define ODD_US (60 * US_PER_S)      /* an oddity is remembered, and told again, after this long */
#define LIST_SOON_US (US_PER_S / 2) /* after an oddity */

const struct exec_conf *exec_conf_of(const struct driver_service *s)
{
    return s->conf;
}

static bool is_of(const struct exec_plugin *p, const struct driver_service *s)
{
    return s->conf && exec_plugin_key(s->conf) == p->key;
}

static void on_timer(uv_timer_t *timer);

/* At the latest. */
static void list_in(struct exec_plugin *p, int64_t us)
{
    uint64_t ms = (uint64_t)(us / US_PER_MS);
    uv_update_time(p->timer.loop);
    if (!uv_is_active((uv_handle_t *)&p->timer) || uv_timer_get_due_in(&p->timer) > ms)
        uv_timer_start(&p->timer, on_timer, ms, 0);
}

static void plan_list(struct exec_plugin *p)
{
    bool tells = plugin_can(p->plugin) & PLUGIN_CAN_SUBSCRIBE;
    list_in(p, tells && plugin_is_up(p->plugin) ? LIST_SELDOM_US : LIST_EVERY_US);
}

/* --- telling --- */

void exec_plugin_tell(struct exec_plugin *p, const struct driver_service *s)
{
    struct exec_driver *d = p->driver;
    struct event e = { .type = EVENT_DRIVER, .service = (int32_t)s->slot, .flag = !p->down };
    if (!is_of(p, s))
        return;
    fmt(e.text, sizeof(e.text), "%s", p->down ? p->down_text : "");
    d->env.emit(d->env.ctx, &e);
}

static void tell_all(struct exec_plugin *p)
{
    for (size_t n = 0; n < p->driver->service_count; n++)
        exec_plugin_tell(p, &p->driver->services[n]);
}

static void set_down(struct exec_plugin *p, const char *text)
{
    if (p->down)
        return;
    p->down = true;
    fmt(p->down_text, sizeof(p->down_text), "%s", text);
    tell_all(p);
}

static void set_up(struct exec_plugin *p)
{
    if (!p->down)
        return;
    p->down = false;
    tell_all(p);
}

static void note(struct exec_plugin *p, bool trouble, const char *text)
{
    struct exec_driver *d = p->driver;
    for (size_t n = 0; n < d->service_count; n++)
        if (is_of(p, &d->services[n]))
            d->env.note(d->env.ctx, d->services[n].slot, trouble, text);
}

void exec_plugin_odd(struct exec_plugin *p, const char *text)
{
    char line[2 * PLUGIN_TEXT_MAX];
    int64_t now_us = clock_now_us();
    const char *label = plugin_label(p->plugin);
    bool labelled = strncmp(text, label, strlen(label)) == 0;
    fmt(line, sizeof(line), "%s%s%s", labelled ? "" : label, labelled ? "" : " ", text);
    p->odd_us = now_us;
    if (!p->odd_text[0] || now_us - p->noted_us >= ODD_US) {
        p->noted_us = now_us;
        note(p, true, line);
    }
    fmt(p->odd_text, sizeof(p->odd_text), "%s", line);
    list_in(p, LIST_SOON_US);
}

static void forget_odd(struct exec_plugin *p)
{
    if (!p->odd_text[0] || clock_now_us() - p->odd_us < ODD_US)
        return;
    p->odd_text[0] = '\0';
    note(p, false, "the plugin makes sense again");
}

/* --- lists --- */

static void on_listed(void *ctx, const struct plugin_said *answer)
{
    struct exec_plugin *p = ctx;
    char text[PLUGIN_TEXT_MAX];
    uint32_t list = p->asked_lists;
    p->listing = false;
    if (!answer) {
        plugin_restart(p->plugin, "has not answered a list in time, and is started again");
        return;
    }
    if (!answer->ok) {
        fmt(text, sizeof(text), "%s cannot list: %s", plugin_label(p->plugin),
            answer->text[0] ? answer->text : "it gives no reason");
        set_down(p, text);
    } else {
        set_up(p);
        exec_list_take(p, answer, list);
    }
    plan_list(p);
    if (p->again)
        exec_plugin_list(p);
}

void exec_plugin_list(struct exec_plugin *p)
{
    struct plugin_request r = { .what = PLUGIN_LIST, .deadline_us = p->timeout_us };
    p->again = p->listing;
    if (p->listing || !plugin_is_up(p->plugin) || !exec_may_act(p->driver))
        return;
    p->asked_lists++;
    p->listing = plugin_ask(p->plugin, &r, on_listed, p) == 0;
}

/* A list that is on its way says nothing of what the other one will have done. */
void exec_plugin_rest(struct exec_plugin *p)
{
    plugin_depose(p->plugin);
    plugin_forget(p->plugin, p);
    p->listing = p->again = p->finding = false;
}

static void on_timer(uv_timer_t *timer)
{
    struct exec_plugin *p = timer->data;
    forget_odd(p);
    plan_list(p);
    exec_plugin_list(p);
    exec_plugin_sweep(p->driver); /* it may be this one */
}

/* --- what the plugin says --- */

/* Its list is to show it; a controller that does not lead asks for none, and believes it. */
static void seems_up(struct exec_plugin *p)
{
    if (exec_may_act(p->driver))
        exec_plugin_list(p);
    else
        set_up(p);
}

static void on_up(void *ctx)
{
    struct exec_plugin *p = ctx;
    struct plugin_request r = { .what = PLUGIN_SUBSCRIBE, .deadline_us = p->timeout_us };
    if (plugin_can(p->plugin) & PLUGIN_CAN_SUBSCRIBE)
        plugin_ask(p->plugin, &r, NULL, NULL);
    seems_up(p);
}

static void on_down(void *ctx, const char *text)
{
    struct exec_plugin *p = ctx;
    plan_list(p);
    p->listing = p->again = false;
    set_down(p, text);
}

static void on_heard(void *ctx, const struct plugin_said *said)
{
    struct exec_plugin *p = ctx;
    char text[PLUGIN_TEXT_MAX];
    if (said->event != PLUGIN_ENGINE) {
        if (exec_may_act(p->driver)) /* else they are another controller's */
            exec_list_event(p, said);
    } else if (said->flag) {
        seems_up(p);
    } else {
        fmt(text, sizeof(text), "%s says: %s", plugin_label(p->plugin), said->text);
        set_down(p, text);
    }
}

static void on_odd(void *ctx, const char *text)
{
    exec_plugin_odd(ctx, text);
}

static int64_t on_may_act_us(void *ctx)
{
    const struct exec_plugin *p = ctx;
    const struct driver_env *env = &p->driver->env;
    if (!exec_may_act(p->driver))
        return 0;
    return env->left_us ? env->left_us(env->ctx) : US_NEVER;
}

/* --- the thing itself --- */

static struct exec_plugin *find(struct exec_driver *d, uint64_t key)
{
    LIST_FOR_EACH (it, &d->plugins) {
        struct exec_plugin *p = LIST_ENTRY(it, struct exec_plugin, link);
        if (p->key == key)
            return p;
    }
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct exec_plugin *add(struct exec_driver *d, const struct exec_conf *conf)
{
    struct err err = { 0 };
    struct exec_plugin *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    const struct plugin_options options = {
        .loop = d->env.loop,
        .owner = d->env.owner,
        .command = &conf->command,
        .env = &conf->env,
        .directory = conf->directory,
        .client = { .up = on_up,
                    .down = on_down,
                    .heard = on_heard,
                    .odd = on_odd,
                    .may_act_us = on_may_act_us,
                    .ctx = p },
    };
    p->driver = d;
    if (plugin_new(&options, &p->plugin, &err) < 0) {
        log_error("%s", err.text);
        free(p);
        return NULL;
    }
    p->key = exec_plugin_key(conf);
    uv_timer_init(d->env.loop, &p->timer);
    p->timer.data = p;
    list_push_back(&d->plugins, &p->link);
    plan_list(p);
    return p;
}

struct exec_plugin *exec_plugin_of(struct exec_driver *d, const struct exec_conf *conf)
{
    struct exec_plugin *p = find(d, exec_plugin_key(conf));
    if (!p)
        p = add(d, conf);
    if (p)
        p->timeout_us = conf->timeout_us;
    return p;
}

void exec_plugin_free(struct exec_plugin *p)
{
    plugin_free(p->plugin);
    list_remove(&p->link);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static bool is_used(const struct exec_plugin *p)
{
    LIST_FOR_EACH (it, &p->driver->instances) {
        const struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (i->plugin == p && i->state != EXEC_GONE)
            return true;
    }
    return p->wanted;
}

static void drop_remembered(struct exec_plugin *p)
{
    LIST_FOR_EACH (it, &p->driver->instances) {
        struct exec_instance *i = LIST_ENTRY(it, struct exec_instance, link);
        if (i->plugin == p)
            exec_drop(i);
    }
}

void exec_plugin_sweep(struct exec_driver *d)
{
    LIST_FOR_EACH (it, &d->plugins) {
        struct exec_plugin *p = LIST_ENTRY(it, struct exec_plugin, link);
        if (is_used(p))
            continue;
        drop_remembered(p);
        exec_plugin_free(p);
    }
}
