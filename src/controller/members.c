/* The group: who else is there, and what their proxies count. Whoever leads asks each member once a
 * second and keeps a mirror of its two newest reports, so that rules see the sum over all proxies.
 * A member that is silent is unknown, never zero. Nothing here decides. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/members_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

bool members_known(const struct member *m, int64_t now_us)
{
    return m->heard_us > 0 && now_us - m->heard_us <= MEMBERS_SILENT_US;
}

static const struct proxy_report_service *said_in(const struct member *m,
                                                  const struct proxy_report *r, uint32_t slot)
{
    struct service_view v;
    return r && control_view(m->group->c->control, slot, &v) ? proxy_report_find(r, v.conf->name)
                                                             : NULL;
}

const struct proxy_report_service *members_said(const struct member *m, uint32_t slot)
{
    return said_in(m, m->now, slot);
}

struct fetch *members_request(struct members *g, const char *url, const char *body,
                              fetch_done *done, void *ctx)
{
    char bearer[sizeof(g->c->admin_token) + 16];
    const char *name = "Authorization", *value = bearer;
    struct schema_map headers = { .count = 1, .names = &name, .values = &value };
    fmt(bearer, sizeof(bearer), "Bearer %s", g->c->admin_token);
    struct fetch_request request = { .url = url, .headers = &headers, .body = body };
    struct fetch *fetch = url ? fetch_start(g->fetcher, &request, done, ctx) : NULL;
    explicit_bzero(bearer, sizeof(bearer));
    return fetch;
}

/* --- mirrors --- */

/* The report becomes the newest. What lies before a silence, or in another life, is no beginning of
 * a rate. */
static void take_report(struct member *m, struct proxy_report *r)
{
    int64_t now_us = clock_now_us();
    bool goes_on = members_known(m, now_us) && proxy_report_same_life(m->now, r);
    proxy_report_free(m->before);
    m->before = goes_on ? TAKE_PTR(m->now) : NULL;
    proxy_report_free(m->now);
    m->now = r;
    m->heard_us = now_us;
    m->trouble[0] = '\0';
    if (m->silent)
        controller_note(m->group->c, STORE_EVENT_RESOLVED, "", "", "member %s is silent",
                        m->info.name);
    m->silent = false;
    members_check_drained(m->group);
}

static void note_failure(struct member *m, int status, const char *error)
{
    m->gone = m->left && strcmp(error, strerror(ECONNREFUSED)) == 0;
    if (status == 401)
        leader_explain_refusal(m->group->c, m->trouble, sizeof(m->trouble));
    else if (status != 0)
        fmt(m->trouble, sizeof(m->trouble), "it answers with status %d", status);
    else
        fmt(m->trouble, sizeof(m->trouble), "%s", error);
}

static void on_report(void *ctx, int status, const char *body, size_t bytes, const char *error)
{
    struct member *m = ctx;
    struct proxy_report *r = NULL;
    struct err err = { 0 };
    m->fetch = NULL;
    if (status != 200)
        note_failure(m, status, error);
    else if (proxy_report_read(body, bytes, &r, &err) < 0)
        fmt(m->trouble, sizeof(m->trouble), "%s", err.text);
    else if (r->pid == 0)
        fmt(m->trouble, sizeof(m->trouble), "it has no proxy at the moment");
    if (r && r->pid != 0)
        take_report(m, TAKE_PTR(r));
    proxy_report_free(r);
    controller_pump(m->group->c);
}

static void ask(struct member *m, int64_t now_us)
{
    if (m->fetch && now_us - m->asked_us < MEMBERS_SILENT_US)
        return;
    if (m->fetch)
        fmt(m->trouble, sizeof(m->trouble), "it does not answer");
    fetch_cancel(m->fetch);
    m->fetch = NULL;
    if (!m->info.url[0]) {
        fmt(m->trouble, sizeof(m->trouble),
            "it does not say where it is reached (lease.advertise)");
        return;
    }
    _cleanup_free_ char *url = fetch_url(m->info.url, "/v1/gauges", "");
    m->fetch = members_request(m->group, url, NULL, on_report, m);
    m->asked_us = now_us;
}

static void note_silence(struct member *m, int64_t now_us)
{
    int64_t since_us = MAX(MAX(m->heard_us, m->joined_us), m->group->asking_us);
    if (m->silent || now_us - since_us <= MEMBERS_SILENT_US)
        return;
    m->silent = true;
    controller_note(m->group->c, STORE_EVENT_ALERT, "", "",
                    "member %s is silent, so what its proxy has to do is unknown: %s", m->info.name,
                    m->trouble[0] ? m->trouble : "it does not answer");
}

/* --- for the source --- */

/* A service that it serves, or may serve as far as is known. */
static bool may_serve(const struct member *m, uint32_t slot)
{
    const struct config_service *s = controller_service(m->group->c, slot);
    return m->now ? members_said(m, slot) != NULL : s && s->listener_count > 0;
}

static bool add_share(void *ctx, uint32_t slot, struct proxy_share *s)
{
    struct members *g = ctx;
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < g->count; i++) {
        const struct member *m = g->items[i];
        const struct proxy_report_service *now = members_said(m, slot);
        const struct proxy_report_service *before = said_in(m, m->before, slot);
        if (!members_known(m, now_us) && may_serve(m, slot))
            return false;
        if (now)
            proxy_share_add(s, before ? &before->reading : NULL, &now->reading);
    }
    return true;
}

static void add_instance_share(void *ctx, uint32_t slot, uint32_t number,
                               struct proxy_instance_share *s)
{
    struct members *g = ctx;
    for (size_t i = 0; i < g->count; i++) {
        const struct member *m = g->items[i];
        const struct proxy_instance *now = proxy_report_instance(members_said(m, slot), number);
        if (now)
            proxy_instance_share_add(s, proxy_report_instance(said_in(m, m->before, slot), number),
                                     now, m->before ? m->now->at_us - m->before->at_us : 0);
    }
}

/* --- who is there --- */

static struct member *find(struct members *g, const struct lease_member *info)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->items[i]->info.name, info->name) == 0)
            return g->items[i];
    return NULL;
}

static void member_free(struct member *m)
{
    fetch_cancel(m->fetch);
    members_end_tell(m);
    proxy_report_free(m->before);
    proxy_report_free(m->now);
    free(m);
}

static bool is_listed(const struct leadership *lead, const char *name)
{
    for (size_t i = 0; i < lead->member_count; i++)
        if (!lead->members[i].self && strcmp(lead->members[i].name, name) == 0)
            return true;
    return false;
}

static void note_who_left(struct members *g)
{
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = g->items[i];
        bool left = !is_listed(&g->c->lead, m->info.name);
        if (left && !m->left)
            m->left_us = clock_now_us();
        m->left = left;
    }
}

static void forget_gone(struct members *g, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = g->items[i];
        int64_t since_us = MAX(MAX(m->heard_us, m->left_us), g->asking_us);
        if (m->left && (m->gone || now_us - since_us > MEMBERS_LINGER_US))
            member_free(m);
        else
            g->items[kept++] = m;
    }
    g->count = kept;
}

static void take_in(struct members *g, const struct lease_member *info)
{
    struct member *m = find(g, info);
    if (!m && g->count < ARRAY_LEN(g->items) && (m = calloc(1, sizeof(*m)))) {
        m->group = g;
        m->joined_us = clock_now_us();
        g->items[g->count++] = m;
    }
    if (m)
        m->info = *info;
}

void members_set(struct controller *c)
{
    struct members *g = c->members;
    if (!g)
        return;
    note_who_left(g);
    for (size_t i = 0; i < c->lead.member_count; i++)
        if (!c->lead.members[i].self)
            take_in(g, &c->lead.members[i]);
    members_check_drained(g);
}

static void end_bells(struct members *g, int64_t sent_before_us)
{
    for (size_t slot = 0; slot < ARRAY_LEN(g->bells); slot++) {
        struct members_bell *b = &g->bells[slot];
        if (!b->fetch || b->sent_us >= sent_before_us)
            continue;
        fetch_cancel(b->fetch);
        b->fetch = NULL;
        b->again = false;
    }
}

void members_tick(struct controller *c)
{
    struct members *g = c->members;
    int64_t now_us = clock_now_us();
    if (!g)
        return;
    bool leads = controller_leads(c);
    if (leads && !g->asking)
        g->asking_us = now_us;
    g->asking = leads;
    end_bells(g, now_us - US_PER_S);
    forget_gone(g, now_us);
    for (size_t i = 0; i < g->count && leads; i++) {
        ask(g->items[i], now_us);
        note_silence(g->items[i], now_us);
    }
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX && g->count > 0; slot++)
        proxy_link_set_mark(c, slot); /* what the others have is known anew */
    members_check_drained(g);
}

int members_open(struct controller *c, struct err *err)
{
    struct members *g = calloc(1, sizeof(*g));
    int rc = g ? fetcher_new(&c->loop, &g->fetcher, err) : err_set(err, -ENOMEM, "no memory");
    if (rc < 0) {
        free(g);
        return rc;
    }
    g->c = c;
    g->others =
        (struct proxy_others){ .ctx = g, .add = add_share, .add_instance = add_instance_share };
    for (size_t i = 0; source_all[i]; i++)
        if (source_all[i] == &source_proxy && c->sources[i])
            source_proxy_set_others(c->sources[i], &g->others);
    c->members = g;
    members_set(c);
    return 0;
}

void members_close(struct controller *c)
{
    struct members *g = c->members;
    if (!g)
        return;
    end_bells(g, INT64_MAX);
    for (size_t i = 0; i < g->count; i++)
        member_free(g->items[i]);
    for (size_t i = 0; source_all[i]; i++)
        if (source_all[i] == &source_proxy && c->sources[i])
            source_proxy_set_others(c->sources[i], NULL);
    fetcher_free(g->fetcher);
    c->members = NULL;
    free(g);
}

/* --- for people --- */

/* Of one that is not in the group any more. etcd does not tell why: its lease may have been given
 * back, or have run out. So what is said is what is seen, and that by whoever leads alone, for it
 * alone asks. */
static const char *say_left(const struct members *g, struct member *m)
{
    int64_t now_us = clock_now_us();
    char since[32];
    int64_t heard_us = MAX(m->heard_us, g->asking_us);
    bool lost = g->asking && !members_known(m, now_us) &&
                (m->trouble[0] || now_us - MAX(heard_us, m->left_us) > MEMBERS_SILENT_US);
    num_format_duration_short(since, sizeof(since), us_sub(now_us, m->left_us));
    if (lost)
        fmt(m->whereabouts, sizeof(m->whereabouts), "it is lost: out of the group for %s (%s)",
            since, m->trouble[0] ? m->trouble : "it does not answer");
    else if (g->asking && members_known(m, now_us))
        fmt(m->whereabouts, sizeof(m->whereabouts),
            "out of the group for %s, but it answers: it is ending, or cut off from etcd", since);
    else
        fmt(m->whereabouts, sizeof(m->whereabouts), "out of the group for %s", since);
    return m->whereabouts;
}

static struct admin_member_facts facts_of(const struct members *g, const struct lease_member *info,
                                          struct member *m)
{
    bool left = m && m->left;
    return (struct admin_member_facts){
        .name = info->name,
        .url = info->url,
        .self = info->self,
        /* one that was lost may have been followed by another of its name */
        .leads = !left && strcmp(leader_name(g->c), info->name) == 0,
        .age_us = m && m->heard_us > 0 ? clock_now_us() - m->heard_us : -1,
        .silent = m && m->silent && controller_leads(g->c),
        .trouble = left ? say_left(g, m)
                   : m  ? m->trouble
                        : "",
    };
}

void members_facts(struct controller *c, struct admin_group_facts *f)
{
    struct members *g = c->members;
    for (size_t i = 0; g && i < c->lead.member_count && i < ARRAY_LEN(f->members); i++) {
        const struct lease_member *info = &c->lead.members[i];
        f->members[f->member_count++] = facts_of(g, info, info->self ? NULL : find(g, info));
    }
    for (size_t i = 0; g && i < g->count && f->member_count < ARRAY_LEN(f->members); i++)
        if (g->items[i]->left)
            f->members[f->member_count++] = facts_of(g, &g->items[i]->info, g->items[i]);
}
