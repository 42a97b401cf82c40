/* Probing containers. Until the first pass the section's `ready` is asked, soon and then less
 * often; from then on the service's health probe at its interval. An image's own health check is
 * the engine's doing, and only listened to. */
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "config/config.h"
#include "drivers/docker/docker_int.h"
#include "sys/clock.h"

#define GAP_US_MIN (20 * US_PER_MS)
#define TIMEOUT_US (1 * US_PER_S)       /* where the config gives none */
#define FAILURE_EVERY_US (1 * US_PER_S) /* the same failure of a start is told so often */

static void look(struct container *c);

static void on_timer(uv_timer_t *timer)
{
    look(CONTAINER_OF(timer, struct container, look));
}

static void look_in(struct container *c, int64_t us)
{
    uv_timer_start(&c->look, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

static int64_t gap_us_max(const struct container *c)
{
    const struct driver_service *s = docker_service(c);
    return s ? ((const struct docker_conf *)s->conf)->ready.interval_us : US_PER_S / 2;
}

static void plan_next(struct container *c)
{
    const struct driver_service *s = docker_service(c);
    bool by_engine = s && ((const struct docker_conf *)s->conf)->ready.engine;
    if (c->ready_once && !c->address[0] && !by_engine)
        return; /* a worker runs until the engine says that it has ended */
    if (c->ready_once) {
        look_in(c, s && s->probe.interval_us > 0 ? s->probe.interval_us : US_PER_S);
        return;
    }
    look_in(c, c->gap_us);
    c->gap_us = MIN(2 * c->gap_us, MAX(gap_us_max(c), GAP_US_MIN));
}

/* --- results --- */

static void tell(struct container *c, bool passed, const char *text)
{
    struct event e = { .type = EVENT_PROBE, .flag = passed };
    int64_t now_us = clock_now_us();
    bool same = strcmp(c->failure, text) == 0;
    if (!passed && !c->ready_once && same && now_us - c->emitted_us < FAILURE_EVERY_US)
        return;
    c->emitted_us = now_us;
    str_copy(c->failure, sizeof(c->failure), text);
    str_copy(e.text, sizeof(e.text), text);
    docker_emit(c, &e);
}

static void on_result(struct container *c, bool passed, const char *text)
{
    char why_not[160];
    if (step_phase(c) != PHASE_RUNS)
        return;
    if (!c->ready_once && !passed && strcmp(text, PROBE_NO_ANSWER) == 0) {
        /* Short: what follows from it stands before it, in the same 160 bytes. */
        fmt(why_not, sizeof(why_not), "nothing listens on %s; listen on 0.0.0.0:$PORT",
            c->address[0] ? c->address + 4 : "");
        text = why_not;
    }
    tell(c, passed, text);
    c->ready_once |= passed;
    plan_next(c);
}

static void on_probe_done(void *ctx, bool passed, const char *text)
{
    struct container *c = ctx;
    c->probe = NULL;
    on_result(c, passed, text);
}

/* --- asking --- */

static void ask(struct container *c, const char *path, int64_t timeout_us)
{
    if (!c->address[0]) { /* a worker: it runs, and its end would be told */
        on_result(c, true, "");
        return;
    }
    struct probe_target target = { .address = c->address,
                                   .path = path,
                                   .timeout_us = timeout_us > 0 ? timeout_us : TIMEOUT_US };
    c->probe = probe_start(c->docker->prober, &target, on_probe_done, c);
    if (!c->probe)
        on_result(c, false, "no memory for a probe");
}

static void ask_engine(struct container *c)
{
    if (strcmp(c->health, "healthy") == 0)
        on_result(c, true, "");
    else if (!c->health[0])
        on_result(c, false, "its image has no HEALTHCHECK, which `ready: {engine: true}` needs");
    else
        on_result(c, false,
                  strcmp(c->health, "starting") == 0 ? "its health check has not passed yet"
                                                     : "its health check fails");
}

static void look(struct container *c)
{
    const struct driver_service *s = docker_service(c);
    if (step_phase(c) != PHASE_RUNS || c->probe)
        return;
    if (!s) {
        ask(c, NULL, TIMEOUT_US);
        return;
    }
    const struct docker_ready *ready = &((const struct docker_conf *)s->conf)->ready;
    bool own = !c->ready_once || s->probe.kind == CONFIG_PROBE_NONE;
    if (!own)
        ask(c, s->probe.kind == CONFIG_PROBE_HTTP ? s->probe.path : NULL, s->probe.timeout_us);
    else if (ready->engine)
        ask_engine(c);
    else
        ask(c, ready->http, s->probe.timeout_us);
}

void docker_probe_begin(struct container *c, int64_t delay_us)
{
    c->gap_us = GAP_US_MIN;
    look_in(c, delay_us);
}

void docker_probe_now(struct container *c)
{
    if (step_phase(c) == PHASE_RUNS && !c->probe)
        look_in(c, 0);
}

void docker_probe_end(struct container *c)
{
    probe_cancel(c->probe);
    c->probe = NULL;
    uv_timer_stop(&c->look);
}

void docker_probe_health(struct container *c, const char *health)
{
    const struct driver_service *s = docker_service(c);
    str_copy(c->health, sizeof(c->health), health);
    if (s && ((const struct docker_conf *)s->conf)->ready.engine)
        docker_probe_now(c);
}
