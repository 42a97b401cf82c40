/* Whether an instance answers: soon and then less often until it does for the first time, from then
 * on at the health probe's interval. Without an address Swarm's word that it runs is all there is;
 * a container with a health check of its own runs, for Swarm, when that has passed. */
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "config/config.h"
#include "drivers/swarm/swarm_int.h"
#include "sys/clock.h"

#define GAP_US_MIN (20 * US_PER_MS)
#define GAP_US_MAX (1 * US_PER_S)
#define TIMEOUT_US (1 * US_PER_S)

static void look(struct swarm_instance *i);

static void on_timer(uv_timer_t *timer)
{
    look(CONTAINER_OF(timer, struct swarm_instance, timer));
}

static void look_in(struct swarm_instance *i, int64_t us)
{
    uv_timer_start(&i->timer, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

static const struct driver_probe *probe_of(const struct swarm_instance *i)
{
    return &i->driver->services[i->slot].service.probe;
}

static void tell(struct swarm_instance *i, bool passed, const char *text)
{
    struct event e = { .type = EVENT_PROBE, .flag = passed };
    int64_t now_us = clock_now_us();
    if (!passed && !i->ready_once && strcmp(text, i->failure) == 0 &&
        now_us - i->failure_us < US_PER_S)
        return;
    i->failure_us = now_us;
    str_copy(i->failure, sizeof(i->failure), text);
    str_copy(e.text, sizeof(e.text), text);
    i->ready_once |= passed;
    swarm_emit(i, &e);
}

static void on_done(void *ctx, bool passed, const char *text)
{
    struct swarm_instance *i = ctx;
    char why[160];
    i->probe = NULL;
    if (!i->ready_once && !passed && strcmp(text, PROBE_NO_ANSWER) == 0) {
        fmt(why, sizeof(why), "does not listen on %s, or that cannot be reached from here",
            i->address);
        text = why;
    }
    tell(i, passed, text);
    if (i->ready_once) {
        look_in(i, MAX(probe_of(i)->interval_us, US_PER_S / 10));
        return;
    }
    look_in(i, i->gap_us);
    i->gap_us = MIN(2 * i->gap_us, GAP_US_MAX);
}

static void look(struct swarm_instance *i)
{
    const struct driver_probe *p = probe_of(i);
    if (i->probe)
        return;
    if (!i->address[0]) {
        tell(i, true, "");
        return;
    }
    struct probe_target target = { .address = i->address,
                                   .path = p->kind == CONFIG_PROBE_HTTP ? p->path : NULL,
                                   .timeout_us = p->timeout_us > 0 ? p->timeout_us : TIMEOUT_US };
    i->probe = probe_start(i->driver->prober, &target, on_done, i);
    if (!i->probe)
        look_in(i, GAP_US_MAX);
}

void swarm_probe_begin(struct swarm_instance *i)
{
    i->gap_us = GAP_US_MIN;
    i->probing_us = clock_now_us();
    look_in(i, 0);
}

void swarm_probe_now(struct swarm_instance *i)
{
    if (i->running && !i->leaving && !i->probe)
        look_in(i, 0);
}

void swarm_probe_end(struct swarm_instance *i)
{
    probe_cancel(i->probe);
    i->probe = NULL;
    uv_timer_stop(&i->timer);
}
