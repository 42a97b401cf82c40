/* Collects what engines describe, and makes what can be read of it and of the file the running
 * configuration, as a reload does. Decides nothing else. */
#include "controller/discovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "controller/discovery_int.h"
#include "sys/log.h"
#include "sys/mem.h"

#define ERRORS_MAX 16
#define WAIT_MS 100

static struct discovery *discovery_of(struct controller *c)
{
    if (c->discovery)
        return c->discovery;
    struct discovery *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->controller = c;
    uv_timer_init(&c->loop, &d->timer);
    mem_arena_init(&d->heard, DISCOVERY_ARENA_BYTES);
    mem_arena_init(&d->arena, DISCOVERY_ARENA_BYTES);
    c->discovery = d;
    return d;
}

/* --- what engines say --- */

static int hear_one(struct discovery *d, const struct driver_discovery *item)
{
    const char *text = arena_strdup(&d->heard, item->text);
    const char **places = ARENA_ARRAY(&d->heard, const char *, item->line_count + 1);
    bool enough = text && places;
    for (size_t n = 0; enough && n < item->line_count; n++) {
        places[n] = arena_strdup(&d->heard, item->places[n]);
        enough = places[n];
    }
    if (!enough)
        return -ENOMEM;
    d->items[d->item_count++] =
        (struct driver_discovery){ .text = text, .places = places, .line_count = item->line_count };
    return 0;
}

static int collect(struct discovery *d)
{
    static struct driver_discovery items[MODEL_SERVICES_MAX];
    struct controller *c = d->controller;
    int rc = 0;
    discovery_empty(&d->heard);
    d->item_count = 0;
    for (size_t i = 0; rc == 0 && provision_all[i]; i++) {
        size_t n = 0, room = ARRAY_LEN(d->items) - d->item_count;
        if (provision_all[i]->discover && c->provisioners[i])
            n = provision_all[i]->discover(c->provisioners[i], items, room);
        for (size_t k = 0; rc == 0 && k < n; k++)
            rc = hear_one(d, &items[k]);
    }
    d->known |= rc == 0;
    return rc;
}

/* --- reading --- */

static bool is_by_age(const struct discovery *d)
{
    for (size_t i = 0; i < d->found_count; i++)
        if (d->order[i] != &d->founds[i])
            return false;
    return true;
}

static int read_once(struct discovery *d, struct arena *arena, const char *path, const char *base,
                     bool by_age, struct config **ret, struct err *errors, size_t cap,
                     size_t *ret_count)
{
    size_t bytes = 0;
    _cleanup_free_ char *text = discovery_compose(d, base, by_age, &bytes);
    *ret_count = 0;
    if (arena->chunk_free)
        discovery_empty(arena);
    return text ? controller_parse_config(arena, path, text, bytes, ret, errors, cap, ret_count)
                : -ENOMEM;
}

/* The base and what of the services can be read with it, into `arena`, which is empty. In the end
 * they stand in the order of their age: so it is the same on every machine of a group. */
static int read_with(struct discovery *d, struct arena *arena, const char *path, const char *base,
                     struct config **ret, struct err *errors, size_t errors_cap, size_t *ret_count)
{
    int rc;
    do {
        discovery_settle_names(d);
        rc = read_once(d, arena, path, base, false, ret, errors, errors_cap, ret_count);
    } while (rc < 0 && rc != -ENOMEM && discovery_blame(d, errors, *ret_count));
    if (rc == 0 && !is_by_age(d))
        rc = read_once(d, arena, path, base, true, ret, errors, errors_cap, ret_count);
    return rc;
}

static void tell_new(struct discovery *d, enum store_event_kind kind, const struct faults *now,
                     const struct faults *before)
{
    for (size_t i = 0; i < now->count; i++) {
        size_t n = 0;
        while (n < before->count && strcmp(before->text[n], now->text[i]) != 0)
            n++;
        if (n == before->count)
            controller_note(d->controller, kind, "", "", "%s", now->text[i]);
    }
}

static void tell_faults(struct discovery *d)
{
    tell_new(d, STORE_EVENT_RESOLVED, &d->told, &d->faults);
    tell_new(d, STORE_EVENT_ALERT, &d->faults, &d->told);
    d->told = d->faults;
}

int discovery_load(struct controller *c, struct arena *arena, struct config **ret,
                   struct err *errors, size_t errors_cap, size_t *ret_error_count)
{
    int rc = controller_load_config(arena, c->options->config_path, ret, errors, errors_cap,
                                    ret_error_count);
    if (rc < 0 || !config_discovers(*ret))
        return rc;
    struct err own[ERRORS_MAX];
    size_t count;
    struct discovery *d = discovery_of(c);
    _cleanup_free_ char *base = strdup((*ret)->text);
    if (!d || !base || discovery_prepare(d) < 0 || d->found_count == 0)
        return 0;
    rc = read_with(d, arena, c->options->config_path, base, ret, own, ERRORS_MAX, &count);
    if (rc < 0) {
        *ret_error_count = MIN(count, errors_cap);
        memcpy(errors, own, *ret_error_count * sizeof(own[0]));
    }
    return rc;
}

/* --- the running configuration follows --- */

/* The file's part of the text that runs: an edit that nobody has asked to be read is none. */
static char *running_base(const struct config *config)
{
    const char *mark = strstr(config->text, DISCOVERY_MARK);
    return mark ? strndup(config->text, (size_t)(mark - config->text)) : strdup(config->text);
}

static void note_changes(struct controller *c, const struct config *config)
{
    static char buf[64 * 1024];
    char line[400];
    struct str changes, s;
    str_init(&changes, buf, sizeof(buf));
    str_init(&s, line, sizeof(line));
    config_diff(c->config, config, &changes);
    for (const char *p = changes.p; *p; p++)
        if (*p != '\n')
            str_put_char(&s, *p);
        else if (p[1])
            str_put(&s, "; ");
    controller_note(c, STORE_EVENT_CONFIG, "", "", "discovered: %s",
                    s.len > 0 ? line : "nothing that changes anything");
}

/* A listener that cannot be had is its service's trouble alone. */
static int try_apply(struct discovery *d, const char *path, const char *base)
{
    struct controller *c = d->controller;
    struct err errors[ERRORS_MAX] = { 0 };
    struct arena arena;
    struct config *config;
    size_t count;
    mem_arena_init(&arena, DISCOVERY_ARENA_BYTES);
    int rc = read_with(d, &arena, path, base, &config, errors, ERRORS_MAX, &count);
    if (rc == 0 && config->hash != c->config->hash) {
        note_changes(c, config);
        rc = controller_apply(c, &arena, config, &errors[0]);
        if (rc == 0)
            return 0;
    }
    arena_done(&arena);
    if (rc < 0 && discovery_blame(d, errors, 1))
        return -EAGAIN;
    if (rc < 0)
        log_info("discovered services are not taken: %s: %s", errors[0].place, errors[0].text);
    return rc;
}

static void follow_engines(struct discovery *d)
{
    struct controller *c = d->controller;
    _cleanup_free_ char *base = running_base(c->config);
    _cleanup_free_ char *path = strdup(c->config->path);
    if (!base || !path || collect(d) < 0 || discovery_prepare(d) < 0)
        return;
    int rc;
    do
        rc = try_apply(d, path, base);
    while (rc == -EAGAIN);
    tell_faults(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *d = CONTAINER_OF(timer, struct discovery, timer);
    enum controller_phase phase = d->controller->phase;
    if (phase == PHASE_FINDING)
        uv_timer_start(timer, on_timer, WAIT_MS, 0);
    else if (phase == PHASE_LIVE || phase == PHASE_STANDBY)
        follow_engines(d);
}

void controller_rediscover(void *ctx)
{
    struct discovery *d = discovery_of(ctx);
    if (d)
        uv_timer_start(&d->timer, on_timer, 0, 0);
}

const char *discovery_trouble(const struct controller *c, size_t n)
{
    const struct discovery *d = c->discovery;
    return d && n < d->faults.count ? d->faults.text[n] : NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct discovery, timer));
}

void discovery_close(struct controller *c)
{
    if (!c->discovery)
        return;
    arena_done(&c->discovery->heard);
    arena_done(&c->discovery->arena);
    uv_close((uv_handle_t *)&c->discovery->timer, on_closed);
    c->discovery = NULL;
}
