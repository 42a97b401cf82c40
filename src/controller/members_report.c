/* What we tell the others of our own proxy: its counters, and on which draining instances it has
 * nothing in flight any more; and what follows when all have said so of one. */
#include <stdlib.h>

#include "controller/members_int.h"
#include "sys/clock.h"

/* --- drained everywhere --- */

/* Whoever has left and says nothing counts as having nothing in flight; a silent one of the group
 * is waited for, until the core's patience ends. */
static bool drained_at(const struct member *m, uint32_t slot, uint32_t number)
{
    if (m->left && !members_known(m, clock_now_us()))
        return true;
    const struct proxy_report_service *said = members_said(m, slot);
    return m->now && (!said || proxy_report_has_drained(said, number));
}

static bool drained_at_all(const struct members *g, const struct members_drained *d)
{
    for (size_t i = 0; i < g->count; i++)
        if (!drained_at(g->items[i], d->slot, d->number))
            return false;
    return true;
}

/* Numbers are never used again: what does not drain any more is over. */
static void forget_ended(struct members *g)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->drained_count; i++) {
        const struct members_drained *d = &g->drained[i];
        const struct instance *in = control_instance(g->c->control, d->slot, d->number);
        if (in && in->state == INSTANCE_DRAINING)
            g->drained[kept++] = *d;
    }
    g->drained_count = kept;
}

void members_check_drained(struct members *g)
{
    bool leads = controller_leads(g->c);
    forget_ended(g);
    for (size_t i = 0; i < g->drained_count; i++) {
        struct members_drained *d = &g->drained[i];
        d->told = d->told && leads;
        if (d->told || !leads || !drained_at_all(g, d))
            continue;
        struct event e = { .type = EVENT_DRAINED,
                           .service = (int32_t)d->slot,
                           .number = d->number };
        d->told = true;
        controller_emit(g->c, &e);
    }
}

void members_drained(struct controller *c, uint32_t slot, uint32_t number)
{
    struct members *g = c->members;
    for (size_t i = 0; i < g->drained_count; i++)
        if (g->drained[i].slot == slot && g->drained[i].number == number)
            return;
    if (g->drained_count < ARRAY_LEN(g->drained))
        g->drained[g->drained_count++] = (struct members_drained){ .slot = slot, .number = number };
    members_check_drained(g);
}

/* --- the report --- */

static bool put_instances(struct controller *c, const struct service_view *v,
                          struct proxy_report_service *s)
{
    s->instances = calloc(MAX(v->instance_count, 1u), sizeof(*s->instances));
    for (uint32_t i = 0; s->instances && i < v->instance_count; i++) {
        const struct fleet_instance *f = fleet_find(&c->fleet, v->slot, v->instances[i].number);
        struct proxy_instance *to = &s->instances[s->instance_count];
        if (f && proxy_instance_take(c->gauges, f->gauge, v->slot, f->number, to))
            s->instance_count++;
    }
    return s->instances != NULL;
}

static bool put_drained(const struct members *g, uint32_t slot, struct proxy_report_service *s)
{
    s->drained = calloc(MAX(g->drained_count, (size_t)1), sizeof(*s->drained));
    for (size_t i = 0; s->drained && i < g->drained_count; i++)
        if (g->drained[i].slot == slot)
            s->drained[s->drained_count++] = g->drained[i].number;
    return s->drained != NULL;
}

/* A service that our proxy serves; others have nothing to report. */
static bool put_service(struct controller *c, uint32_t slot, struct proxy_report *r)
{
    struct service_view v;
    const struct config_service *conf = controller_service(c, slot);
    if (!conf || conf->listener_count == 0 || !control_view(c->control, slot, &v))
        return true;
    struct proxy_report_service *s = &r->services[r->service_count++];
    str_copy(s->name, sizeof(s->name), conf->name);
    proxy_reading_take(c->gauges, slot, r->at_us, &s->reading);
    return put_instances(c, &v, s) && put_drained(c->members, slot, s);
}

json_t *members_report(struct controller *c)
{
    struct proxy_report *r = proxy_report_new(MODEL_SERVICES_MAX);
    bool whole = r != NULL;
    if (r)
        r->at_us = clock_now_us();
    if (r && c->gauges) {
        r->pid = c->gauges->pid;
        r->started_us = c->gauges->started_us;
        r->generation = atomic_load(&c->gauges->generation);
    }
    for (uint32_t slot = 0; whole && c->gauges && slot < MODEL_SERVICES_MAX; slot++)
        whole = put_service(c, slot, r);
    json_t *json = whole ? proxy_report_json(r) : NULL;
    proxy_report_free(r);
    return json;
}
