/* The controller's life: it asks what runs and decides nothing until it knows; then it is live; a
 * stop lets the proxy finish what it has, then the core drains and stops the instances. */
#include "base/fmt.h"
#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/log.h"

static void go_live(struct controller *c)
{
    char status[128];
    c->phase = PHASE_LIVE;
    controller_emit(c, &(struct event){ .type = EVENT_LEASE, .service = -1, .flag = true });
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

void controller_signals(struct controller *c)
{
    struct err errors[8];
    size_t count = 0;
    char text[4096];
    struct str changes;
    if (c->phase == PHASE_FINDING)
        return;
    if (c->reload_asked) {
        c->reload_asked = false;
        str_init(&changes, text, sizeof(text));
        controller_reload(c, &changes, errors, ARRAY_LEN(errors),
                          &count); /* says what came of it */
    }
    if (c->stop_asked > 0 && c->phase == PHASE_LIVE)
        controller_stop(c);
}

void controller_phase_found(struct controller *c)
{
    if (c->phase == PHASE_FINDING && c->finding > 0 && --c->finding == 0)
        go_live(c);
}

static void on_finish_timeout(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    log_warn("the proxy has not finished in time: stopping all the same");
    c->proxy_idle = true;
    controller_stop_next(c);
}

static int64_t longest_drain_us(const struct controller *c)
{
    int64_t longest_us = 0;
    for (uint32_t i = 0; i < c->config->service_count; i++)
        longest_us = MAX(longest_us, c->config->services[i].drain_us);
    return longest_us;
}

void controller_stop(struct controller *c)
{
    c->stop_asked = MAX(c->stop_asked, 1u);
    if (c->phase != PHASE_LIVE)
        return;
    controller_note(c, STORE_EVENT_OPERATOR, "", "", "stopping: draining everything");
    c->phase = PHASE_FINISHING;
    c->proxy_idle = false;
    uv_timer_start(&c->finish_timer, on_finish_timeout, (uint64_t)(longest_drain_us(c) / US_PER_MS),
                   0);
    c->publish = true; /* again, should the link be full just now */
    proxy_link_publish(c);
    controller_stop_next(c);
}

void controller_stop_next(struct controller *c)
{
    if (c->phase == PHASE_FINISHING && (c->proxy_idle || c->proxy.fd < 0)) {
        struct event e = { .type = EVENT_OPERATOR, .service = -1, .op = OPERATOR_STOP };
        uv_timer_stop(&c->finish_timer);
        c->phase = PHASE_STOPPING;
        controller_emit(c, &e);
        controller_pump(c);
    }
    if (c->phase == PHASE_STOPPING && c->all_stopped) {
        journal_flush(c->journal, clock_now_us());
        keeper_link_exit(c, 0, false, "stopped");
    }
}

void controller_detach(struct controller *c)
{
    controller_note(c, STORE_EVENT_OPERATOR, "", "", "detaching: proxy and instances go on");
    journal_flush(c->journal, clock_now_us());
    keeper_link_exit(c, 0, true, "detached");
}
