/* Probing instances: the section's `ready` until the first pass, soon and then less often; from
 * then on the service's health probe at its interval. What the plugin says of them comes in here,
 * too. */
#include <string.h>

#include "base/fmt.h"
#include "config/config.h"
#include "drivers/plugin/exec_int.h"
#include "sys/clock.h"

#define GAP_US_MIN (20 * US_PER_MS)
#define TIMEOUT_US (1 * US_PER_S)       /* where the config gives none */
#define FAILURE_EVERY_US (1 * US_PER_S) /* the same failure of a start is told so often */

static void look(struct exec_instance *i);

static void on_timer(uv_timer_t *timer)
{
    look(timer->data);
}

static void look_in(struct exec_instance *i, int64_t us)
{
    uv_timer_start(&i->timer, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

static void plan_next(struct exec_instance *i)
{
    const struct driver_service *s = exec_service_of(i);
    int64_t gap_us_max = s ? exec_conf_of(s)->ready.interval_us : US_PER_S / 2;
    if (i->ready_once) {
        look_in(i, s && s->probe.interval_us > 0 ? s->probe.interval_us : US_PER_S);
        return;
    }
    look_in(i, i->gap_us);
    i->gap_us = MIN(2 * i->gap_us, MAX(gap_us_max, GAP_US_MIN));
}

static void tell(struct exec_instance *i, bool passed, const char *text)
{
    struct event e = { .type = EVENT_PROBE, .flag = passed };
    int64_t now_us = clock_now_us();
    bool same = strcmp(i->failure, text) == 0;
    if (!passed && !i->ready_once && same && now_us - i->emitted_us < FAILURE_EVERY_US)
        return;
    i->emitted_us = now_us;
    str_copy(i->failure, sizeof(i->failure), text);
    str_copy(e.text, sizeof(e.text), text);
    i->ready_once |= passed;
    exec_emit(i, &e);
}

static void on_done(void *ctx, bool passed, const char *text)
{
    struct exec_instance *i = ctx;
    char where[PLUGIN_TEXT_MAX];
    i->probe = NULL;
    if (!passed && !i->ready_once && strcmp(text, PROBE_NO_ANSWER) == 0) {
        bool tcp = strncmp(i->address, "tcp:", 4) == 0;
        fmt(where, sizeof(where), "nothing listens on %s", i->address + (tcp ? 4 : 0));
        text = where;
    }
    tell(i, passed, text);
    plan_next(i);
}

static void ask(struct exec_instance *i, const char *path, int64_t timeout_us)
{
    struct probe_target target = { .address = i->address,
                                   .path = path,
                                   .timeout_us = timeout_us > 0 ? timeout_us : TIMEOUT_US };
    if (!i->address[0]) { /* a worker: it runs, and its end would be told */
        on_done(i, true, "");
        return;
    }
    i->probe = probe_start(i->driver->prober, &target, on_done, i);
    if (!i->probe)
        on_done(i, false, "no memory for a probe");
}

static bool plugin_says(const struct exec_instance *i, const struct driver_service *s)
{
    return s && exec_conf_of(s)->ready.plugin &&
           (!i->ready_once || s->probe.kind == CONFIG_PROBE_NONE);
}

static void look(struct exec_instance *i)
{
    const struct driver_service *s = exec_service_of(i);
    if (i->state != EXEC_RUNNING || i->probe)
        return;
    if (plugin_says(i, s))
        plan_next(i);
    else if (!s)
        ask(i, NULL, TIMEOUT_US);
    else if (i->ready_once && s->probe.kind != CONFIG_PROBE_NONE)
        ask(i, s->probe.kind == CONFIG_PROBE_HTTP ? s->probe.path : NULL, s->probe.timeout_us);
    else
        ask(i, exec_conf_of(s)->ready.http, s->probe.timeout_us);
}

void exec_probe_told(struct exec_instance *i, bool passed, const char *text)
{
    const struct driver_service *s = exec_service_of(i);
    if (i->state == EXEC_RUNNING && plugin_says(i, s))
        tell(i, passed, passed ? "" : text);
}

void exec_probe_begin(struct exec_instance *i)
{
    i->gap_us = GAP_US_MIN;
    look_in(i, 0);
}

void exec_probe_now(struct exec_instance *i)
{
    if (i->state == EXEC_RUNNING && !i->probe)
        look_in(i, 0);
}

void exec_probe_end(struct exec_instance *i)
{
    probe_cancel(i->probe);
    i->probe = NULL;
    uv_timer_stop(&i->timer);
}
