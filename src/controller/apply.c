/* A configuration becomes the one that runs: listeners first, for they can fail, then everything
 * else at once. A configuration that cannot be taken whole is refused whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"
#include "controller/discovery.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

bool controller_listens(const struct config *config, const char *address)
{
    for (uint32_t i = 0; config && i < config->service_count; i++)
        for (uint32_t k = 0; k < config->services[i].listener_count; k++)
            if (strcmp(config->services[i].listeners[k], address) == 0)
                return true;
    return false;
}

/* Gives back what `from` listens on and `keep` does not. */
static void unlisten(struct controller *c, const struct config *from, const struct config *keep)
{
    for (uint32_t i = 0; from && i < from->service_count; i++)
        for (uint32_t k = 0; k < from->services[i].listener_count; k++) {
            const char *address = from->services[i].listeners[k];
            struct link_msg m = { .type = LINK_UNLISTEN, .text = slice_of(address) };
            if (!controller_listens(keep, address))
                keeper_link_send(c, &m);
        }
}

static int listen_all(struct controller *c, const struct config *config, struct err *err)
{
    for (uint32_t i = 0; i < config->service_count; i++)
        for (uint32_t k = 0; k < config->services[i].listener_count; k++) {
            int rc = keeper_link_listen(c, config->services[i].listeners[k], err);
            if (rc < 0)
                return rc;
        }
    return 0;
}

void controller_drop_arena(struct arena *a)
{
    if (a->chunk_free)
        arena_done(a);
    *a = (struct arena){ 0 };
}

static size_t services_of(struct controller *c, size_t driver, struct driver_service *items)
{
    size_t n = 0;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        if (controller_driver_service(c, slot, &items[n]) &&
            controller_provisioner(c, slot) == (int)driver)
            n++;
    }
    return n;
}

void controller_tell_drivers(struct controller *c)
{
    static struct driver_service services[MODEL_SERVICES_MAX + 1];
    for (size_t i = 0; provision_all[i]; i++) {
        if (!c->provisioners[i])
            continue;
        const struct provision_ops *ops = provision_all[i];
        if (ops->set_engine && c->config)
            ops->set_engine(c->provisioners[i], config_top(c->config, ops->engine));
        size_t n = services_of(c, i, services);
        provision_all[i]->set_services(c->provisioners[i], services, n);
    }
    if (controller_leads(c))
        controller_tell_feeds(c);
    else
        feeds_set(c->feeds, NULL, 0);
}

/* A standby's core has the leader's configuration: only what is this machine's changes. */
static void hand_to_core(struct controller *c)
{
    if (controller_leads(c) || !c->followed) {
        struct event e = { .type = EVENT_CONFIG,
                           .service = -1,
                           .flag = c->phase == PHASE_FINDING || c->phase == PHASE_LIVE,
                           .conf = &c->config->model };
        controller_emit(c, &e);
        controller_pump(c);
    } else {
        controller_tell_drivers(c);
        own_file_compare(c);
        controller_rotate_journal(c, false); /* its head knows what is this machine's */
    }
}

int controller_apply(struct controller *c, struct arena *arena, struct config *config,
                     struct err *err)
{
    struct config *old = c->config;
    struct arena old_arena = c->config_arena;
    c->config = config; /* the loops that a listener is bound for are the new configuration's */
    int rc = listen_all(c, config, err);
    if (rc < 0) {
        c->config = old;
        unlisten(c, config, old);
        return rc;
    }
    c->config_arena = *arena;
    *arena = (struct arena){ 0 };
    config->arena = &c->config_arena;
    unlisten(c, old, config);
    log_set_level((enum log_level)config->log_level);
    hand_to_core(c);
    c->publish = true;
    controller_open_access_log(c);
    if (old && c->core_config == old)
        c->core_arena = old_arena;
    else if (old)
        arena_done(&old_arena);
    return 0;
}

static int load(struct controller *c, struct arena *arena, struct config **ret, struct err *errors,
                size_t cap, size_t *ret_count)
{
    mem_arena_init(arena, 64 * 1024 * 1024);
    int rc = discovery_load(c, arena, ret, errors, cap, ret_count);
    if (rc < 0)
        arena_done(arena);
    return rc;
}

int controller_diff(struct controller *c, struct str *changes, struct err *errors, size_t cap,
                    size_t *ret_error_count)
{
    struct arena arena;
    struct config *config;
    int rc = load(c, &arena, &config, errors, cap, ret_error_count);
    if (rc < 0)
        return rc;
    config_diff(c->config, config, changes);
    arena_done(&arena);
    return 0;
}

/* Ends the service manager's "reloading", whatever came of it. */
static void say_ready(struct controller *c, const char *status)
{
    struct link_msg ready = { .type = LINK_READY, .text = slice_of(status) };
    keeper_link_send(c, &ready);
}

static void refuse(struct controller *c, const struct err *error)
{
    c->totals.reload_failures++;
    fmt(c->config_trouble, sizeof(c->config_trouble),
        "reload refused (put it right and reload again): %s: %s", error->place, error->text);
    controller_note(c, STORE_EVENT_CONFIG, "", "", "%s; the old configuration goes on",
                    c->config_trouble);
    say_ready(c, c->config_trouble);
}

/* The changes in one line. */
static void note_changes(struct controller *c, const struct str *changes)
{
    char text[400];
    struct str s;
    str_init(&s, text, sizeof(text));
    for (const char *p = changes->p; *p; p++)
        if (*p != '\n')
            str_put_char(&s, *p);
        else if (p[1])
            str_put(&s, "; ");
    controller_note(c, STORE_EVENT_CONFIG, "", "", "reloaded: %s",
                    s.len > 0 ? text : "nothing changed");
}

int controller_reload(struct controller *c, struct str *changes, struct err *errors, size_t cap,
                      size_t *ret_error_count)
{
    struct arena arena;
    struct config *config;
    bool may = c->phase == PHASE_LIVE || (c->phase == PHASE_STANDBY && leader_in_group(c));
    int rc = may ? load(c, &arena, &config, errors, cap, ret_error_count)
                 : err_at(&errors[0], -EBUSY, c->options->config_path, "plimsoll is %s",
                          c->phase <= PHASE_FINDING ? "starting; try again" : "stopping");
    if (rc == 0) {
        rc = leader_check_reload(c, config, &errors[0]);
        if (rc < 0)
            arena_done(&arena);
    }
    if (rc < 0) {
        *ret_error_count = MAX(*ret_error_count, 1u);
        refuse(c, &errors[0]);
        return rc;
    }
    config_diff(c->config, config, changes);
    rc = controller_apply(c, &arena, config, &errors[0]);
    if (rc < 0) {
        *ret_error_count = 1;
        refuse(c, &errors[0]);
        arena_done(&arena);
        return rc;
    }
    c->totals.reloads++;
    c->config_trouble[0] = '\0';
    note_changes(c, changes);
    controller_set_admin(c, &errors[0]);
    say_ready(c, "reloaded");
    return 0;
}
