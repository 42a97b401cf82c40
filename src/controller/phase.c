/* The controller's life, as a table of moves and of what each state begins with. It stands by until
 * it has the lease; then it asks what runs and decides nothing until it knows; then it is live. A
 * stop lets the proxy finish what it has; then the core drains and stops the instances, unless they
 * belong to a group, which goes on without this member. */
#include <assert.h>
#include <string.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "sys/log.h"

/* An engine that does not say what runs holds up its own services (the core sees to that), and
 * those of others only for this long. */
#define FINDING_MS 10000

/* What a proxy gets at least to say that it has finished, also when it has nothing to finish or its
 * services have no drain. */
#define FINISH_MS_MIN 1000

static const uint8_t move_ok[PHASE_MAX] = {
    [PHASE_STANDBY] = BIT(PHASE_FINDING) | BIT(PHASE_FINISHING),
    [PHASE_FINDING] = BIT(PHASE_STANDBY) | BIT(PHASE_LIVE),
    [PHASE_LIVE] = BIT(PHASE_STANDBY) | BIT(PHASE_FINISHING),
    [PHASE_FINISHING] = BIT(PHASE_STOPPING) | BIT(PHASE_DONE),
    [PHASE_STOPPING] = BIT(PHASE_DONE),
};

static void enter_standby(struct controller *c)
{
    controller_emit(c, &(struct event){ .type = EVENT_LEASE, .service = -1 });
    controller_pump(c);
    uv_timer_stop(&c->wake_timer);
    uv_timer_stop(&c->finding_timer);
    controller_tell_drivers(c); /* sources rest */
    follow_leader(c);
}

static void live_when_found(struct controller *c);

static void on_finding_timeout(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    if (c->phase != PHASE_FINDING)
        return;
    log_warn("some engines have not said yet what runs: the services of others go on");
    controller_phase_found(c, -1);
    controller_pump(c);
}

/* Law 5: what the core knew goes on, an unknown interval ends. Its configuration is this machine's
 * own from now on. */
static void take_core(struct controller *c)
{
    struct event restart = { .type = EVENT_RESTART, .service = -1 };
    struct event config = { .type = EVENT_CONFIG, .service = -1, .conf = &c->config->model };
    follow_end(c);
    if (c->followed) /* the leader has told the core's rules of the past */
        c->history_next = MODEL_SERVICES_MAX;
    c->followed = false;
    controller_emit(c, &restart);
    if (!own_file_is_cores(c)) {
        controller_emit(c, &config);
    } else if (c->core_config != c->config) {
        c->core_config = c->config;
        controller_drop_arena(&c->core_arena);
    }
    controller_pump(c);
    controller_rotate_journal(c, false);
}

static void enter_finding(struct controller *c)
{
    if (leader_in_group(c))
        take_core(c);
    controller_tell_drivers(c);
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) /* those that are leaving as well */
        c->unlisted[slot] = control_view(c->control, slot, &(struct service_view){ 0 });
    uv_timer_start(&c->finding_timer, on_finding_timeout, FINDING_MS, 0);
    for (size_t i = 0; provision_all[i]; i++)
        provision_all[i]->list(c->provisioners[i]);
    controller_pump(c);
    live_when_found(c); /* there may be no services yet */
}

static void enter_live(struct controller *c)
{
    char status[128];
    struct event lease = {
        .type = EVENT_LEASE, .service = -1, .flag = true, .token = c->lead.token
    };
    uv_timer_stop(&c->finding_timer);
    c->knows_pool = true;
    controller_emit(c, &lease);
    if (c->gauges)
        fleet_take_gauges(&c->fleet, c->gauges);
    c->publish = true;
    const struct config_service *first = c->config->services;
    uint32_t count = c->config->service_count;
    bool listens = count == 1 && first->listener_count > 0;
    fmt(status, sizeof(status), "serving %u service%s%s%s", count, count == 1 ? "" : "s",
        listens ? " on " : "", listens ? first->listeners[0] : "");
    struct link_msg ready = { .type = LINK_READY, .text = slice_of(status) };
    keeper_link_send(c, &ready);
    controller_note(c, STORE_EVENT_CONTROLLER, "", "", "controller %s, %s",
                    c->recovered ? "recovered" : "started", status);
    proxy_link_answer(c);
}

static int64_t longest_drain_us(const struct controller *c)
{
    int64_t longest_us = 0;
    for (uint32_t i = 0; i < c->config->service_count; i++)
        longest_us = MAX(longest_us, c->config->services[i].drain_us);
    return longest_us;
}

static uint64_t finish_ms(const struct controller *c)
{
    return (uint64_t)MAX(longest_drain_us(c) / US_PER_MS, (int64_t)FINISH_MS_MIN);
}

static void on_finish_timeout(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    log_warn("the proxy has not finished in time: stopping all the same");
    c->proxy_idle = c->lead.resigned = true;
    controller_stop_next(c);
}

/* A member gives the lease back first: so another leads before this one's proxy has finished. */
static void enter_finishing(struct controller *c)
{
    bool member = leader_in_group(c);
    controller_note(c, STORE_EVENT_OPERATOR, "", "",
                    member ? "leaving the group: the instances are the others' now"
                           : "stopping: draining everything");
    if (member)
        leader_resign(c);
    c->proxy_idle = false;
    uv_timer_start(&c->finish_timer, on_finish_timeout, finish_ms(c), 0);
    c->publish = true; /* again, should the link be full just now */
    proxy_link_publish(c);
    controller_stop_next(c);
}

static void enter_stopping(struct controller *c)
{
    struct event e = { .type = EVENT_OPERATOR, .service = -1, .op = OPERATOR_STOP };
    controller_tell_drivers(c); /* every service is leaving */
    controller_emit(c, &e);
    controller_pump(c);
}

/* The keeper may end before this process does, which is what it was asked to: so it is not listened
 * to any more. */
static void end(struct controller *c, bool detach, const char *reason)
{
    journal_flush(c->journal, controller_now(c));
    keeper_link_exit(c, 0, detach, reason);
    watch_close(&c->keeper.watch);
}

static void enter_done(struct controller *c)
{
    end(c, false, "stopped");
}

static void (*const enter[PHASE_MAX])(struct controller *) = {
    [PHASE_STANDBY] = enter_standby,   [PHASE_FINDING] = enter_finding,
    [PHASE_LIVE] = enter_live,         [PHASE_FINISHING] = enter_finishing,
    [PHASE_STOPPING] = enter_stopping, [PHASE_DONE] = enter_done,
};

static void move(struct controller *c, enum controller_phase to)
{
    assert(move_ok[c->phase] & BIT(to));
    c->phase = to;
    enter[to](c);
}

bool controller_leads(const struct controller *c)
{
    return c->phase != PHASE_STANDBY && c->phase != PHASE_DONE && !c->lead.leaving;
}

/* Whoever is alone has the lease at once, and publishes nothing that it has not yet found. Nor does
 * a member that may have been away for a week. */
bool controller_may_publish(const struct controller *c)
{
    if (c->phase > PHASE_FINDING)
        return true;
    return leader_in_group(c) && c->knows_pool && !follow_is_catching_up(c);
}

void controller_take_lead(struct controller *c)
{
    if (c->phase == PHASE_STANDBY)
        move(c, PHASE_FINDING);
}

void controller_lose_lead(struct controller *c)
{
    if (move_ok[c->phase] & BIT(PHASE_STANDBY))
        move(c, PHASE_STANDBY);
}

static void live_when_found(struct controller *c)
{
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        if (c->unlisted[slot])
            return;
    if (c->phase == PHASE_FINDING)
        move(c, PHASE_LIVE);
}

void controller_phase_found(struct controller *c, int32_t slot)
{
    for (int32_t n = 0; n < MODEL_SERVICES_MAX; n++)
        c->unlisted[n] &= slot >= 0 && slot != n;
    live_when_found(c);
}

static bool may_stop(const struct controller *c)
{
    return c->phase == PHASE_LIVE || (c->phase == PHASE_STANDBY && leader_in_group(c));
}

void controller_signals(struct controller *c)
{
    struct err errors[8];
    size_t count = 0;
    char text[4096];
    struct str changes;
    if (c->phase == PHASE_FINDING || (c->phase == PHASE_STANDBY && !leader_in_group(c)))
        return;
    if (c->reload_asked) {
        c->reload_asked = false;
        str_init(&changes, text, sizeof(text));
        controller_reload(c, &changes, errors, ARRAY_LEN(errors),
                          &count); /* says what came of it */
    }
    if (c->stop_asked > 0)
        controller_stop(c);
}

void controller_stop(struct controller *c)
{
    c->stop_asked = MAX(c->stop_asked, 1u);
    if (may_stop(c))
        move(c, PHASE_FINISHING);
}

void controller_stop_next(struct controller *c)
{
    bool finished = c->proxy_idle || c->proxy.fd < 0;
    if (c->detach && c->lead.resigned && c->phase <= PHASE_LIVE)
        controller_detach(c);
    else if (c->phase == PHASE_FINISHING && finished && (!c->lead.leaving || c->lead.resigned)) {
        uv_timer_stop(&c->finish_timer);
        move(c, c->lead.leaving ? PHASE_DONE : PHASE_STOPPING);
    } else if (c->phase == PHASE_STOPPING && c->all_stopped) {
        move(c, PHASE_DONE);
    }
}

void controller_detach(struct controller *c)
{
    if (leader_in_group(c) && !c->lead.leaving)
        leader_resign(c);
    if (c->lead.leaving && !c->lead.resigned)
        return; /* controller_stop_next() comes back */
    controller_note(c, STORE_EVENT_OPERATOR, "", "", "detaching: proxy and instances go on");
    end(c, true, "detached");
}
