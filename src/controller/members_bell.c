/* Demand over all proxies, at this moment: each member's proxy is given a share of the core's mark,
 * rings when it passes it, and its controller passes the bell on to the one who leads. Of N proxies
 * that together pass a mark, one at least passes the N-th part of it. */
#include <stdlib.h>
#include <string.h>

#include "controller/members_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

/* --- sums --- */

static void add_own(const struct controller *c, uint32_t slot, struct demand *s)
{
    if (!c->gauges)
        return;
    const struct gauges_service *g = &c->gauges->service[slot];
    s->in_flight += atomic_load_explicit(&g->in_flight, memory_order_relaxed);
    s->queued += atomic_load_explicit(&g->queued, memory_order_relaxed);
    s->tunnels += atomic_load_explicit(&g->tunnels, memory_order_relaxed);
}

static void add_others(const struct members *g, const struct member *but, uint32_t slot,
                       struct demand *s)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct proxy_report_service *said = members_said(g->items[i], slot);
        if (!said || g->items[i] == but)
            continue;
        s->in_flight += said->reading.in_flight;
        s->queued += said->reading.queued;
        s->tunnels += said->reading.tunnels;
    }
}

struct demand members_own_demand(const struct controller *c, uint32_t slot)
{
    struct demand s = { 0 };
    add_own(c, slot, &s);
    return s;
}

struct demand members_demand(const struct controller *c, uint32_t slot)
{
    struct demand s = members_own_demand(c, slot);
    if (c->members && controller_leads(c))
        add_others(c->members, NULL, slot, &s);
    return s;
}

uint32_t members_instance_demand(const struct controller *c, uint32_t slot, uint32_t number)
{
    uint32_t in_flight = 0;
    for (size_t i = 0; c->members && controller_leads(c) && i < c->members->count; i++) {
        const struct proxy_instance *said =
            proxy_report_instance(members_said(c->members->items[i], slot), number);
        in_flight += said ? said->in_flight : 0;
    }
    return in_flight;
}

/* --- marks --- */

/* What is left of the mark beside the others, and not less than an equal part: their numbers are of
 * a second ago. */
static uint32_t part_of(uint32_t mark, uint32_t others, size_t members)
{
    if (mark == UINT32_MAX)
        return mark;
    return MAX(mark > others ? mark - others : 0, mark / (uint32_t)members);
}

uint32_t members_mark(const struct controller *c, uint32_t slot, uint32_t mark)
{
    const struct members *g = c->members;
    struct demand others = { 0 };
    if (!g || g->count == 0 || mark == UINT32_MAX)
        return mark;
    const struct members_bell *b = &g->bells[slot];
    if (!controller_leads(c))
        return clock_now_us() < b->mark_until_us ? b->mark : part_of(mark, mark, g->count + 1);
    add_others(g, NULL, slot, &others);
    return part_of(mark, others.in_flight + others.queued, g->count + 1);
}

/* --- the leader is told --- */

static struct member *find(struct members *g, const char *name)
{
    for (size_t i = 0; g && i < g->count; i++)
        if (strcmp(g->items[i]->info.name, name) == 0)
            return g->items[i];
    return NULL;
}

/* As its next report would say it. */
static void keep(const struct member *m, const struct admin_command *bell)
{
    for (size_t i = 0; m->now && i < m->now->service_count; i++) {
        struct proxy_report_service *s = &m->now->services[i];
        if (strcmp(s->name, bell->service) != 0)
            continue;
        s->reading.in_flight = bell->in_flight;
        s->reading.queued = bell->queued;
    }
}

void members_rung(struct controller *c, const struct admin_command *bell, struct admin_reply *reply)
{
    const struct member *m = find(c->members, bell->member);
    struct demand others = { 0 };
    if (!m) {
        admin_reply_error(reply, 404, "%s is no other member of this group", bell->member);
        return;
    }
    keep(m, bell);
    add_own(c, bell->slot, &others);
    add_others(c->members, m, bell->slot, &others);
    struct event e = { .type = EVENT_DOORBELL,
                       .service = (int32_t)bell->slot,
                       .in_flight = others.in_flight + bell->in_flight,
                       .queued = others.queued + bell->queued };
    controller_emit(c, &e);
    controller_pump(c);
    uint32_t mark = part_of(control_mark(c->control, bell->slot), others.in_flight + others.queued,
                            c->members->count + 1);
    reply->body = json_pack("{s:I}", "mark", (json_int_t)mark);
}

/* --- our own proxy rang --- */

static void on_told(void *ctx, int status, const char *body, size_t bytes, const char *error)
{
    struct members_bell *b = ctx;
    struct controller *c = b->group->c;
    uint32_t slot = (uint32_t)(b - b->group->bells);
    json_t *json = status == 200 ? json_loadb(body, bytes, 0, NULL) : NULL;
    json_int_t mark = json_integer_value(json_object_get(json, "mark"));
    b->fetch = NULL;
    if (mark > 0) {
        b->mark = (uint32_t)MIN(mark, (json_int_t)UINT32_MAX);
        b->mark_until_us = clock_now_us() + US_PER_S;
        proxy_link_set_mark(c, slot);
    }
    json_decref(json);
    if (b->again)
        members_ring(c, slot);
}

void members_ring(struct controller *c, uint32_t slot)
{
    struct members *g = c->members;
    struct service_view v;
    if (!g || !c->gauges || !c->lead.leader.url[0] || !control_view(c->control, slot, &v))
        return;
    struct members_bell *b = &g->bells[slot];
    b->again = b->fetch != NULL;
    if (b->fetch)
        return;
    struct demand own = members_own_demand(c, slot);
    char body[256], url[LEASE_URL_MAX + 3 * LEASE_NAME_MAX + 32];
    _cleanup_free_ char *member = fetch_url(c->lead.leader.url, "/v1/members/", c->lead.member);
    fmt(url, sizeof(url), "%s/bell", member ? member : "");
    fmt(body, sizeof(body), "{\"service\": \"%s\", \"in_flight\": %u, \"queued\": %u}",
        v.conf->name, own.in_flight, own.queued);
    b->group = g;
    b->sent_us = clock_now_us();
    b->fetch = members_request(g, url, body, on_told, b);
}
