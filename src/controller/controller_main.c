/* The controller process: opens its parts in the order in which they need each other, runs the
 * loop, closes them in reverse. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/str.h"
#include "controller/alerts.h"
#include "controller/controller_int.h"
#include "controller/discovery.h"
#include "controller/members.h"
#include "controller/player.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define TICK_MS 1000

/* Of a standby: what is not the core's. */
static void standby_tick(struct controller *c)
{
    members_tick(c);
    if (c->publish)
        proxy_link_publish(c); /* one that failed before */
    controller_rotate_access_log(c);
}

static void on_tick(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    (controller_leads(c) ? sampling_tick : standby_tick)(c);
}

/* Before the loop waits: whatever was queued meanwhile. */
static void on_prepare(uv_prepare_t *prepare)
{
    controller_signals(prepare->data);
    controller_pump(prepare->data);
}

static void run_admin(struct controller *c);

static void on_admin_ready(uv_poll_t *watch, int status, int events)
{
    run_admin(watch->data);
}

static void on_admin_timer(uv_timer_t *timer)
{
    run_admin(timer->data);
}

static void run_admin(struct controller *c)
{
    admin_run(c->admin);
    int ms = admin_timeout_ms(c->admin);
    if (ms >= 0)
        uv_timer_start(&c->admin_timer, on_admin_timer, (uint64_t)MAX(ms, 1), 0);
}

static int read_token(const char *path, char *buf, size_t cap, struct err *err)
{
    if (!path)
        return 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, cap - 1);
    if (n < 0)
        return err_at(err, -errno, path, "cannot read the admin token: %s", strerror(errno));
    buf[n] = '\0';
    buf[strcspn(buf, "\r\n")] = '\0';
    if (!buf[0])
        return err_at(err, -EINVAL, path, "the admin token is empty; write one line into the file");
    return 0;
}

int controller_set_admin(struct controller *c, struct err *err)
{
    char token[sizeof(c->admin_token)] = "";
    const char *address = c->options->admin ? c->options->admin : c->config->admin;
    int rc = read_token(c->config->admin_token_file, token, sizeof(token), err);
    if (rc == 0)
        str_copy(c->admin_token, sizeof(c->admin_token), token);
    if (rc == 0)
        rc = admin_set_address(c->admin, address, token, err);
    if (rc == 0)
        c->admin_trouble[0] = '\0';
    else
        fmt(c->admin_trouble, sizeof(c->admin_trouble), "admin: %s", err->text);
    return rc;
}

static int open_admin(struct controller *c, struct err *err)
{
    char path[512];
    fmt(path, sizeof(path), "%s/admin.sock", c->options->state_dir);
    struct admin_options options = { .socket_path = path };
    int rc = admin_open(&options, controller_backend(c), &c->admin, err);
    if (rc < 0)
        return rc;
    c->admin_watch = watch_open(c, admin_fd(c->admin), on_admin_ready);
    rc = controller_set_admin(c, err);
    /* What already serves is not stopped because a port for looking is taken. */
    return c->first_start ? rc : 0;
}

static int open_memory(struct controller *c)
{
    c->events = calloc(CONTROLLER_EVENTS_MAX, sizeof(*c->events));
    c->actions = calloc(CONTROLLER_ACTIONS_MAX, sizeof(*c->actions));
    c->samples = calloc(CONTROLLER_SAMPLES_MAX, sizeof(*c->samples));
    c->fleet.cap = GAUGES_INSTANCES_MAX;
    c->fleet.items = calloc(c->fleet.cap, sizeof(*c->fleet.items));
    if (!c->events || !c->actions || !c->samples || !c->fleet.items)
        return -ENOMEM;
    return 0;
}

static int open_store(struct controller *c)
{
    char database[512], journal[512];
    fmt(database, sizeof(database), "%s/plimsoll.db", c->options->state_dir);
    fmt(journal, sizeof(journal), "%s/journal", c->options->state_dir);
    struct store_options so = { .path = database };
    struct journal_options jo = { .directory = journal, .version = PLIMSOLL_VERSION };
    int rc = store_open(&so, &c->store);
    return rc < 0 ? rc : journal_open(&jo, &c->journal);
}

/* What drivers say counts while this controller leads. The words may be an engine's, a plugin's or
 * a program's. */
static void on_driver_event(void *ctx, const struct event *e)
{
    struct event copy = *e;
    str_clean(copy.text);
    if (controller_leads(ctx))
        controller_emit(ctx, &copy);
}

static int open_drivers(struct controller *c, struct err *err)
{
    c->env = (struct driver_env){ .loop = &c->loop,
                                  .state_dir = c->options->state_dir,
                                  .identity = c->identity,
                                  .owner = c->lead.owner,
                                  .ctx = c,
                                  .emit = on_driver_event,
                                  .may_act = leader_may_act,
                                  .left_us = leader_left_us,
                                  .token = leader_token,
                                  .number_of = controller_number_of,
                                  .discovered = controller_rediscover,
                                  .keeper = keeper_link_send,
                                  .note = controller_note_driver };
    for (size_t i = 0; provision_all[i]; i++) {
        int rc = provision_all[i]->open(&c->env, &c->provisioners[i], err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; source_all[i]; i++) {
        int rc = source_all[i]->open(&c->env, &c->sources[i], err);
        if (rc < 0)
            return rc;
    }
    c->feed_env = c->env;
    c->feed_env.note = controller_note_trouble; /* the status asks the feeds themselves */
    return feeds_new(&c->feed_env, &c->feeds, err);
}

/* A restarted controller goes on with the configuration that ran; only a new start of the keeper
 * reads the file afresh. `*ret` NULL = the one that ran. */
static int choose_config(struct controller *c, struct arena *arena, struct config **ret,
                         struct err *err)
{
    size_t count;
    *ret = NULL;
    if (c->recovered && !c->first_start)
        return 0;
    mem_arena_init(arena, 64 * 1024 * 1024);
    int rc = discovery_load(c, arena, ret, err, 1, &count);
    if (rc < 0)
        controller_drop_arena(arena);
    return rc;
}

static int go_on(struct controller *c, struct err *err)
{
    for (uint32_t i = 0; i < c->config->service_count; i++)
        for (uint32_t k = 0; k < c->config->services[i].listener_count; k++) {
            int rc = keeper_link_listen(c, c->config->services[i].listeners[k], err);
            if (rc < 0)
                return rc;
        }
    controller_pump(c);
    controller_tell_drivers(c);
    controller_open_access_log(c);
    return 0;
}

/* Without the lease nothing acts, and after a restart an unknown interval ends: so the core learns
 * what runs before it wants anything. */
static int take_config(struct controller *c, struct arena *arena, struct config *config,
                       struct err *err)
{
    struct event restart = { .type = EVENT_RESTART, .service = -1, .flag = c->first_start };
    controller_emit(c, &(struct event){ .type = EVENT_LEASE, .service = -1 });
    controller_emit(c, &restart);
    return config ? controller_apply(c, arena, config, err) : go_on(c, err);
}

/* Everything that needs a configuration: `config`, or the one that ran. */
static int open_with(struct controller *c, struct arena *arena, struct config *config,
                     struct err *err)
{
    int rc = leader_configure(c, config ? config : c->config, err);
    if (rc == 0)
        rc = open_drivers(c, err);
    if (rc == 0)
        rc = members_open(c, err);
    if (rc == 0)
        rc = take_config(c, arena, config, err);
    if (rc == 0)
        rc = open_admin(c, err);
    if (rc == 0)
        rc = keeper_link_start_proxy(c, err);
    if (rc == 0)
        rc = alerts_open(c, err);
    return rc < 0 ? rc : leader_open(c, err);
}

static int open_all(struct controller *c, struct err *err)
{
    struct arena arena = { 0 };
    struct config *config;
    int rc = open_memory(c);
    if (rc < 0)
        return err_set(err, rc, "no memory");
    rc = keeper_link_open(c, err);
    if (rc < 0)
        return rc;
    rc = controller_recover(c);
    if (rc < 0)
        return err_set(err, rc, "no memory for the core");
    c->recovered = rc == 1;
    c->knows_pool = c->recovered && !c->first_start; /* what the one before has published */
    rc = open_store(c);
    if (rc < 0)
        return err_set(err, rc, "cannot start the store: %s", strerror(-rc));
    rc = choose_config(c, &arena, &config, err);
    if (rc == 0)
        rc = open_with(c, &arena, config, err);
    if (rc < 0)
        controller_drop_arena(&arena);
    return rc;
}

static void init_handles(struct controller *c)
{
    uv_timer_t *timers[] = { &c->admin_timer, &c->tick_timer, &c->wake_timer,   &c->finish_timer,
                             &c->stop_timer,  &c->bell_timer, &c->finding_timer };
    uv_loop_init(&c->loop);
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        uv_timer_init(&c->loop, timers[i]);
        timers[i]->data = c;
    }
    uv_prepare_init(&c->loop, &c->prepare);
    c->prepare.data = c;
}

static void close_all(struct controller *c)
{
    alerts_close(c->alerts);
    leader_close(c);
    follow_close(c);
    discovery_close(c);
    members_close(c);
    admin_close(c->admin);
    for (size_t i = 0; provision_all[i]; i++)
        if (c->provisioners[i])
            provision_all[i]->close(c->provisioners[i]);
    for (size_t i = 0; source_all[i]; i++)
        if (c->sources[i])
            source_all[i]->close(c->sources[i]);
    feeds_free(c->feeds);
    if (c->journal)
        journal_close(c->journal);
    store_close(c->store);
}

int controller_main(const struct controller_options *options)
{
    static struct controller c;
    struct err err = { 0 };
    c = (struct controller){ .options = options,
                             .keeper = { .fd = -1 },
                             .proxy = { .fd = -1 },
                             .doorbell_fd = -1,
                             .access_log_fd = -1,
                             .started_wall_us = clock_wall_us() };
    log_init("controller", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full quota is an error of write(2), not an end */
    init_handles(&c);
    int rc = open_all(&c, &err);
    if (rc < 0) {
        log_error("%s%s%s", err.place, err.place[0] ? ": " : "", err.text);
        /* What serves is not stopped because a controller that comes back finds something amiss:
         * the keeper starts another. */
        if (c.keeper.watch && c.first_start)
            keeper_link_exit(&c, 1, false, err.text);
        close_all(&c);
        return 1;
    }
    uv_timer_start(&c.tick_timer, on_tick, TICK_MS, TICK_MS);
    uv_prepare_start(&c.prepare, on_prepare);
    run_admin(&c);
    if (c.phase != PHASE_DONE)
        uv_run(&c.loop, UV_RUN_DEFAULT);
    close_all(&c);
    return c.exit_status;
}
