/* The leader rings at those who follow it, when an operator's command has been taken. They would
 * look anyway, a moment later, and that is soon enough for what is decided: whoever leads next
 * would decide the same. A command would be lost. Nothing waits for them: who does not answer is
 * left. */
#include "controller/members_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

static void tell(struct member *m);

static void on_told(void *ctx, int status, const char *body, size_t bytes, const char *error)
{
    struct member *m = ctx;
    m->tell = NULL;
    if (m->tell_again && controller_leads(m->group->c))
        tell(m);
}

/* As a member's proxy rings, with what that has to do: for the other may have come to lead
 * meanwhile, and then takes it as such. */
static void tell(struct member *m)
{
    struct controller *c = m->group->c;
    struct service_view v;
    char body[256], url[LEASE_URL_MAX + 3 * LEASE_NAME_MAX + 32];
    m->tell_again = false;
    if (!m->info.url[0] || m->left || !control_view(c->control, m->tell_slot, &v))
        return;
    _cleanup_free_ char *self = fetch_url(m->info.url, "/v1/members/", c->lead.leader.name);
    fmt(url, sizeof(url), "%s/bell", self ? self : "");
    struct demand own = members_own_demand(c, m->tell_slot);
    fmt(body, sizeof(body), "{\"service\": \"%s\", \"in_flight\": %u, \"queued\": %u}",
        v.conf->name, own.in_flight, own.queued);
    m->tell_us = clock_now_us();
    m->tell = members_request(m->group, url, body, on_told, m);
}

void members_end_tell(struct member *m)
{
    fetch_cancel(m->tell);
    m->tell = NULL;
    m->tell_again = false;
}

void members_tell(struct controller *c, uint32_t slot)
{
    struct members *g = c->members;
    int64_t now_us = clock_now_us();
    for (size_t i = 0; g && i < g->count && controller_leads(c); i++) {
        struct member *m = g->items[i];
        if (m->tell && now_us - m->tell_us > US_PER_S)
            members_end_tell(m);
        m->tell_slot = slot;
        m->tell_again = m->tell != NULL;
        if (!m->tell)
            tell(m);
    }
}
