/* The rounds: each second what is so is looked at, the book decides what follows, and what is due
 * is sent. What fires is in the events as well, told or not. */
#include "controller/alerts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "controller/alerts_int.h"
#include "controller/controller_int.h"
#include "store/codec.h"
#include "sys/clock.h"
#include "sys/log.h"

#define ROUND_MS 1000
/* An Alertmanager is told afresh each minute, and groups by itself. */
static const struct alert_timing alertmanager_timing = { .repeat_us = US_PER_MIN };

const struct alerts_conf *alerts_conf(const struct alerts *a)
{
    static const struct alerts_conf none;
    const struct alerts_conf *conf =
        a->c->config ? config_top(a->c->config, &alerts_section) : NULL;
    return conf ? conf : &none;
}

int64_t alerts_now_us(void)
{
    return clock_boot_us();
}

int64_t alerts_wall_us(int64_t at_us)
{
    return clock_wall_us() - (clock_boot_us() - at_us);
}

/* -- targets ----------------------------------------------------------------------------------- */

/* Those of the configuration as it is now; a reload may have changed them. */
static void follow_targets(struct alerts *a, int64_t now_us)
{
    const struct alerts_conf *conf = alerts_conf(a);
    uint64_t ids[ALERT_TARGETS_MAX];
    struct alert_timing timing[ALERT_TARGETS_MAX];
    bool same = conf->to.count == a->book.target_count;
    for (uint32_t i = 0; i < conf->to.count; i++) {
        const struct alert_to *to = &conf->to.items[i];
        bool own = to->webhook.url && to->webhook.format == ALERT_ALERTMANAGER;
        ids[i] = alerts_target_id(to);
        timing[i] = own ? alertmanager_timing : conf->timing;
        same = same && ids[i] == a->book.targets[i].id &&
               memcmp(&timing[i], &a->book.targets[i].timing, sizeof(timing[i])) == 0;
    }
    if (same)
        return;
    alerts_cancel(a);
    alert_set_targets(&a->book, ids, timing, conf->to.count, now_us);
    for (uint32_t i = 0; i < conf->to.count; i++)
        alerts_target_name(&conf->to.items[i], a->name[i], sizeof(a->name[i]));
    memset(a->trouble, 0, sizeof(a->trouble));
}

void alerts_answered(struct alerts *a, uint32_t target, const char *trouble)
{
    bool was_in_trouble = a->trouble[target][0] != '\0';
    a->on_way[target] = NULL;
    alert_sent(&a->book, target, !trouble[0], alerts_now_us());
    fmt(a->trouble[target], sizeof(a->trouble[target]), "%s", trouble);
    alerts_save(a);
    if (was_in_trouble == (trouble[0] != '\0'))
        return;
    controller_note(a->c, trouble[0] ? STORE_EVENT_ALERT : STORE_EVENT_RESOLVED, "", "",
                    "alerts cannot be told to %s%s%s", a->name[target], trouble[0] ? ": " : "",
                    trouble);
}

static void send_due(struct alerts *a, const char *group, int64_t now_us)
{
    static struct alert_message m;
    for (uint32_t t = 0; t < a->book.target_count; t++)
        if (alert_due(&a->book, t, group, now_us, &m))
            alerts_send(a, &alerts_conf(a)->to.items[t], &m);
}

/* -- rounds ------------------------------------------------------------------------------------ */

static void note_one(struct alerts *a, uint32_t i)
{
    const struct alert *alert = &a->book.alerts[i];
    int64_t fired_us = alert_fires(alert) ? alert->fired_us : 0;
    if (a->noted_us[i] == fired_us)
        return;
    a->noted_us[i] = fired_us;
    controller_note(a->c, fired_us ? STORE_EVENT_ALERT : STORE_EVENT_RESOLVED, alert->service, "",
                    "%s%s%s: %s", alert_kinds[alert->kind].name, alert->what[0] ? " " : "",
                    alert->what, alert->text);
}

/* Whoever leads looks at everything. Who does not has no more to say than that, should it have led
 * until now; the rest it keeps for when it leads again. */
static void on_round(uv_timer_t *timer)
{
    struct alerts *a = timer->data;
    int64_t now_us = alerts_now_us();
    bool leads = a->c->phase == PHASE_LIVE;
    if (!leads && a->c->phase != PHASE_STANDBY)
        return; /* what is so is not known yet, or not any more */
    follow_targets(a, now_us);
    alert_begin(&a->book);
    alerts_look_at_lease(a, now_us);
    if (leads)
        alerts_look(a, now_us);
    else
        alert_freeze(&a->book, ALERTS_LEASE_GROUP);
    alert_end(&a->book, now_us);
    for (uint32_t i = 0; i < ALERT_MAX; i++)
        note_one(a, i);
    if (!leads || a->c->env.may_act(a->c->env.ctx))
        send_due(a, leads ? NULL : ALERTS_LEASE_GROUP, now_us);
    alerts_save(a);
}

/* -- what the views do not show ---------------------------------------------------------------- */

static void hear_driver(struct alerts_heard *h, const struct event *e)
{
    fmt(h->engine_text, sizeof(h->engine_text), "%s", e->text);
}

static bool is_up(enum instance_state s)
{
    return s == INSTANCE_STARTING || s == INSTANCE_WARMING || s == INSTANCE_READY ||
           s == INSTANCE_FAILING || s == INSTANCE_STANDBY;
}

void alerts_hear(struct controller *c, const struct event *e, enum instance_state before)
{
    struct alerts *a = c->alerts;
    if (!a)
        return;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        if (e->type == EVENT_DRIVER && (e->service < 0 || (uint32_t)e->service == slot))
            hear_driver(&a->heard[slot], e);
    if (e->type == EVENT_START_FAILED && e->service >= 0)
        a->heard[e->service].crashed = false;
    if (e->type == EVENT_EXITED && e->service >= 0 && is_up(before))
        a->heard[e->service].crashed = true;
}

/* -- for people -------------------------------------------------------------------------------- */

static json_t *target_json(const struct alerts *a, uint32_t n)
{
    const struct alert_target *t = &a->book.targets[n];
    return json_pack("{s:s, s:s, s:i, s:I, s:I, s:o}", "name", a->name[n], "trouble", a->trouble[n],
                     "failures", (int)t->failures, "sent", (json_int_t)t->sent, "failed",
                     (json_int_t)t->failed, "next_try",
                     t->retry_us ? codec_time(alerts_wall_us(t->retry_us)) : json_null());
}

json_t *alerts_json(const struct alerts *a)
{
    json_t *alerts = json_array(), *targets = json_array();
    for (uint32_t i = 0; a && i < ALERT_MAX; i++) {
        const struct alert *alert = &a->book.alerts[i];
        bool known = a->c->phase == PHASE_LIVE || alert->kind == ALERT_LEASE_LOST;
        if (!known)
            continue;
        if (alert->state == ALERT_PENDING || alert->state == ALERT_FIRING)
            json_array_append_new(alerts, alerts_one_json(alert));
    }
    for (uint32_t n = 0; a && n < a->book.target_count; n++)
        json_array_append_new(targets, target_json(a, n));
    return json_pack("{s:o, s:o}", "alerts", alerts, "targets", targets);
}

/* -- the beginning and the end ----------------------------------------------------------------- */

int alerts_open(struct controller *c, struct err *err)
{
    struct alerts *a = calloc(1, sizeof(*a));
    int rc = a ? curl_loop_new(&c->loop, &a->curl, err) : err_set(err, -ENOMEM, "no memory");
    if (rc < 0) {
        free(a);
        return rc;
    }
    a->c = c;
    if (gethostname(a->host, sizeof(a->host) - 1) < 0)
        str_copy(a->host, sizeof(a->host), "localhost");
    uv_timer_init(&c->loop, &a->timer);
    a->timer.data = a;
    uv_timer_start(&a->timer, on_round, ROUND_MS, ROUND_MS);
    a->clock_offset_us = clock_wall_us() - clock_boot_us();
    c->alerts = a;
    follow_targets(a, alerts_now_us());
    alerts_load(a, alerts_now_us());
    return 0;
}

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void alerts_close(struct alerts *a)
{
    if (!a)
        return;
    alerts_cancel(a);
    curl_loop_free(a->curl);
    uv_close((uv_handle_t *)&a->timer, on_closed);
}
