/* Configuration: services are matched by name, keep their slots and what is known of them; rules
 * that did not change keep what they remember. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

static const struct rule_metric *metric_of(const struct rule_conf *r)
{
    switch (r->kind) {
    case RULE_TARGET:
        return &r->target.metric;
    case RULE_THRESHOLD:
        return &r->threshold.metric;
    case RULE_STEP:
        return &r->step.metric;
    default:
        return NULL;
    }
}

static bool looks_at(const struct service_conf *conf, enum metric m)
{
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        const struct rule_metric *x = metric_of(&conf->rules[n]);
        if (x && x->metric == m)
            return true;
    }
    return m == METRIC_CONCURRENCY;
}

static void free_ring(struct control *c, struct control_service *s, unsigned m)
{
    if (s->ring[m] == 0)
        return;
    c->ring_used[s->ring[m] - 1] = false;
    s->ring[m] = 0;
    series_init(&s->series[m], NULL, 0, 0);
}

static void take_ring(struct control *c, struct control_service *s, unsigned m)
{
    for (uint32_t n = 0; n < c->ring_count && s->ring[m] == 0; n++) {
        if (c->ring_used[n])
            continue;
        c->ring_used[n] = true;
        s->ring[m] = n + 1;
        series_init(&s->series[m], c->points + (size_t)n * c->caps.points, c->caps.points, 0);
    }
}

void control_free_series(struct control *c, struct control_service *s)
{
    for (unsigned m = 0; m < METRIC_MAX; m++)
        free_ring(c, s, m);
}

void control_fit_series(struct control *c, struct control_service *s)
{
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        if (!looks_at(&s->conf, (enum metric)m))
            free_ring(c, s, m);
    }
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        if (looks_at(&s->conf, (enum metric)m) && s->ring[m] == 0)
            take_ring(c, s, m);
    }
}

/* Names are for people: a renamed rule is the same rule. */
static bool same_rule(const struct rule_conf *a, const struct rule_conf *b)
{
    size_t from = offsetof(struct rule_conf, target);
    return a->kind == b->kind &&
           memcmp((const char *)a + from, (const char *)b + from, sizeof(*a) - from) == 0;
}

static void keep_rule_states(struct control_service *s, const struct service_conf *conf)
{
    struct rule_state kept[MODEL_RULES_MAX] = { 0 };
    bool taken[MODEL_RULES_MAX] = { false };
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        for (uint32_t old = 0; old < s->conf.rule_count; old++) {
            if (taken[old] || !same_rule(&conf->rules[n], &s->conf.rules[old]))
                continue;
            taken[old] = true;
            kept[n] = s->rule_states[old];
            break;
        }
    }
    memcpy(s->rule_states, kept, sizeof(kept));
}

void control_service_clear(struct control *c, struct control_service *s)
{
    control_free_series(c, s);
    *s = (struct control_service){ .slot = s->slot, .instances = s->instances };
}

/* Is the engine still to list what runs? While it is away it cannot. */
static int64_t list_until_us(const struct control *c)
{
    if (c->list_until_us != 0 && c->driver_down)
        return us_add(c->now_us, CONTROL_LIST_US);
    return c->list_until_us > c->now_us ? c->list_until_us : 0;
}

void control_service_init(struct control *c, struct control_service *s,
                          const struct service_conf *conf)
{
    *s = (struct control_service){
        .used = true,
        .slot = s->slot,
        .instances = s->instances,
        .operator_count = -1,
        .schedule_min = -1,
        .schedule_max = -1,
        .demand = { -1, -1, -1 },
        .driver_down = c->driver_down,
        .list_until_us = list_until_us(c),
        .publish = true,
    };
    memcpy(&s->conf, conf, sizeof(*conf));
    int32_t initial = conf->initial >= 0 ? conf->initial : conf->min == 0 ? 0 : MAX(conf->min, 1);
    s->count = CLAMP(initial, 0, MAX(conf->max, 0));
    s->adopting = s->list_until_us != 0;
    control_fit_series(c, s);
}

static void change(struct control *c, struct control_service *s, const struct service_conf *conf)
{
    keep_rule_states(s, conf);
    memcpy(&s->conf, conf, sizeof(*conf));
    control_fit_series(c, s);
}

static const struct service_conf *find_conf(const struct control *c, const char *name)
{
    for (uint32_t n = 0; n < c->conf_count; n++) {
        if (strcmp(c->confs[n].name, name) == 0)
            return &c->confs[n];
    }
    return NULL;
}

static struct control_service *free_service(struct control *c)
{
    for (uint32_t n = 0; n < c->caps.services; n++) {
        if (!c->services[n].used)
            return &c->services[n];
    }
    return NULL;
}

void control_add_services(struct control *c)
{
    for (uint32_t n = 0; n < c->conf_count; n++) {
        struct control_service *s = free_service(c);
        if (s && control_find(c, c->confs[n].name) < 0)
            control_service_init(c, s, &c->confs[n]);
    }
}

static void match_services(struct control *c)
{
    FOR_EACH_SERVICE (s, c) {
        const struct service_conf *conf = find_conf(c, s->conf.name);
        if (conf) {
            change(c, s, conf);
        } else { /* nobody decides on it any more */
            control_free_series(c, s);
            s->conf.rule_count = 0;
        }
        s->leaving = !conf;
        s->publish = true;
    }
}

static bool fits(const struct control *c, const struct model_conf *m)
{
    if (m->service_count > c->caps.services || m->zone_count > MODEL_ZONES_MAX)
        return false;
    uint32_t used = 0, fresh = 0;
    FOR_EACH_SERVICE (s, c)
        used++;
    for (uint32_t n = 0; n < m->service_count; n++)
        fresh += control_find(c, m->services[n].name) < 0;
    return used + fresh <= c->caps.services;
}

int control_on_config(struct control *c, const struct event *e)
{
    const struct model_conf *m = e->conf;
    if (!m)
        return -EINVAL;
    if (!fits(c, m))
        return -ENOBUFS;
    c->conf_count = m->service_count;
    if (m->service_count > 0)
        memcpy(c->confs, m->services, m->service_count * sizeof(*m->services));
    c->zone_count = m->zone_count;
    memcpy(c->zones, m->zones, sizeof(c->zones));
    match_services(c);
    control_add_services(c);
    FOR_EACH_SERVICE (s, c)
        control_mark_due(s, EVENT_CONFIG);
    return 0;
}
