/* A message in the words of who gets it. */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "controller/alerts_int.h"
#include "controller/controller_int.h"
#include "store/codec.h"
#include "sys/clock.h"

/* Should we not come back, an Alertmanager takes what fires for resolved after this: four times as
 * long as it is told again, as Prometheus does. */
#define ALERTMANAGER_ENDS_US (4 * US_PER_MIN)
#define SLACK_TEXT_MAX 8192

static const char *severity(const struct alert *alert)
{
    return alert_kinds[alert->kind].critical ? "critical" : "warning";
}

/* One that is pending again was resolved for who knew of it. */
static const char *status(const struct alert *alert)
{
    return alert_fires(alert) ? "firing" : "resolved";
}

json_t *alerts_one_json(const struct alert *alert)
{
    bool fired = alert->fired_us != 0, over = fired && !alert_fires(alert);
    return json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "kind",
                     alert_kinds[alert->kind].name, "state", alert_state_name(alert->state),
                     "service", codec_text(alert->service, strlen(alert->service)), "what",
                     codec_text(alert->what, strlen(alert->what)), "severity", severity(alert),
                     "text", codec_text(alert->text, strlen(alert->text)), "since",
                     codec_time(alerts_wall_us(fired && !over ? alert->fired_us : alert->since_us)),
                     "ended", over ? codec_time(alerts_wall_us(alert->resolved_us)) : json_null());
}

static json_t *generic_one(const struct alert *alert)
{
    json_t *one = alerts_one_json(alert);
    json_object_del(one, "state");
    json_object_set_new(one, "status", json_string(status(alert)));
    json_object_set_new(one, "since", codec_time(alerts_wall_us(alert->fired_us)));
    return one;
}

static json_t *generic(const struct alerts *a, const struct alert_message *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->count; i++)
        json_array_append_new(list, generic_one(m->alerts[i]));
    return json_pack("{s:i, s:s, s:i, s:i, s:s, s:s*, s:s, s:o, s:o}", "version", 1, "status",
                     m->firing > 0 ? "firing" : "resolved", "firing", (int)m->firing, "resolved",
                     (int)(m->count - m->firing), "host", a->host, "owner", a->c->env.owner,
                     "state", a->c->options->state_dir, "time", codec_time(clock_wall_us()),
                     "alerts", list);
}

/* Three characters mean something to Slack. */
static void put_escaped(struct str *s, const char *text)
{
    for (; *text; text++)
        if (*text == '&')
            str_put(s, "&amp;");
        else if (*text == '<')
            str_put(s, "&lt;");
        else if (*text == '>')
            str_put(s, "&gt;");
        else
            str_put_char(s, *text);
}

static json_t *slack(const struct alerts *a, const struct alert_message *m)
{
    char text[SLACK_TEXT_MAX];
    struct str s;
    str_init(&s, text, sizeof(text));
    if (m->firing > 0)
        str_putf(&s, "*plimsoll on %s: %u firing*", a->host, m->firing);
    else
        str_putf(&s, "*plimsoll on %s: resolved*", a->host);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct alert *alert = m->alerts[i];
        str_putf(&s, "\n%s *%s* ", alert_fires(alert) ? ":red_circle:" : ":white_check_mark:",
                 alert_kinds[alert->kind].name);
        put_escaped(&s, alert->service);
        str_put(&s, alert->service[0] ? ": " : "");
        put_escaped(&s, alert->text);
    }
    return json_pack("{s:o}", "text", codec_text(text, s.len));
}

/* Labels are what an alert is: the same whoever tells of it, and until it is over. */
static json_t *alertmanager_one(const struct alerts *a, const struct alert *alert)
{
    json_t *labels = json_pack("{s:s, s:s, s:s}", "alertname", alert_kinds[alert->kind].name,
                               "severity", severity(alert), "job", "plimsoll");
    const struct {
        const char *name, *value;
    } more[] = { { "owner", a->c->env.owner },
                 { "service", alert->service },
                 { "what", alert->what } };
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        if (more[i].value && more[i].value[0])
            json_object_set_new(labels, more[i].name,
                                codec_text(more[i].value, strlen(more[i].value)));
    int64_t ends_us = alert_fires(alert) ? clock_wall_us() + ALERTMANAGER_ENDS_US
                                         : alerts_wall_us(alert->resolved_us);
    return json_pack("{s:o, s:{s:o, s:s}, s:o, s:o}", "labels", labels, "annotations", "summary",
                     codec_text(alert->text, strlen(alert->text)), "host", a->host, "startsAt",
                     codec_time(alerts_wall_us(alert->fired_us)), "endsAt", codec_time(ends_us));
}

static json_t *alertmanager(const struct alerts *a, const struct alert_message *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->count; i++)
        json_array_append_new(list, alertmanager_one(a, m->alerts[i]));
    return list;
}

char *alerts_body(const struct alerts *a, enum alert_format format, const struct alert_message *m)
{
    static json_t *(*const makers[])(const struct alerts *, const struct alert_message *) = {
        [ALERT_JSON] = generic,
        [ALERT_SLACK] = slack,
        [ALERT_ALERTMANAGER] = alertmanager,
    };
    json_t *json = makers[format](a, m);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
