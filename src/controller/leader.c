/* The lease and what follows from it: who this machine is in the group, whether it may act, and who
 * leads when it does not. The lease's driver proves; phase.c acts on it. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "controller/controller_int.h"
#include "controller/members.h"
#include "sys/log.h"
#include "sys/mem.h"

static const size_t texts[] = {
    offsetof(struct lease_conf, cluster),   offsetof(struct lease_conf, member),
    offsetof(struct lease_conf, advertise), offsetof(struct lease_conf, etcd.prefix),
    offsetof(struct lease_conf, etcd.user), offsetof(struct lease_conf, etcd.password_file),
    offsetof(struct lease_conf, etcd.ca),   offsetof(struct lease_conf, etcd.cert),
    offsetof(struct lease_conf, etcd.key),
};

static const char **text_at(const struct lease_conf *conf, size_t n)
{
    return (const char **)(uintptr_t)((const char *)conf + texts[n]);
}

static struct lease_conf *copy(struct arena *arena, const struct lease_conf *from)
{
    struct lease_conf *to = ARENA_NEW(arena, struct lease_conf);
    size_t n = from->etcd.endpoints.count;
    const char **items = ARENA_ARRAY(arena, const char *, MAX(n, (size_t)1));
    if (!to || !items)
        return NULL;
    *to = *from;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (*text_at(from, i))
            *text_at(to, i) = arena_strdup(arena, *text_at(from, i));
    for (size_t i = 0; i < n; i++)
        items[i] = arena_strdup(arena, from->etcd.endpoints.items[i]);
    to->etcd.endpoints.items = items;
    return to;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same(const struct lease_conf *a, const struct lease_conf *b)
{
    bool is =
        a->etcd.ttl_us == b->etcd.ttl_us && a->etcd.endpoints.count == b->etcd.endpoints.count;
    for (size_t i = 0; is && i < ARRAY_LEN(texts); i++)
        is = same_text(*text_at(a, i), *text_at(b, i));
    for (size_t i = 0; is && i < a->etcd.endpoints.count; i++)
        is = same_text(a->etcd.endpoints.items[i], b->etcd.endpoints.items[i]);
    return is;
}

int leader_configure(struct controller *c, const struct config *config, struct err *err)
{
    struct leadership *l = &c->lead;
    mem_arena_init(&l->arena, 1024 * 1024);
    l->conf = copy(&l->arena, config_top(config, &lease_section));
    if (!l->conf)
        return err_set(err, -ENOMEM, "no memory for the lease");
    l->ops = lease_choose(l->conf);
    gethostname(l->member, sizeof(l->member) - 1);
    if (l->conf->member)
        str_copy(l->member, sizeof(l->member), l->conf->member);
    str_copy(l->url, sizeof(l->url), l->conf->advertise ? l->conf->advertise : "");
    return owner_choose(c, l->conf->cluster, l->owner, sizeof(l->owner), err);
}

bool leader_in_group(const struct controller *c)
{
    return c->lead.ops && c->lead.ops->shared;
}

/* A leader whose journal says that it lost the lease may have it again, but not as far as is known;
 * nor does one lead for sure that neither it nor the lease's keeper tells of. */
const char *leader_name(const struct controller *c)
{
    bool unheard = c->lead.trouble[0] && follow_trouble(c)[0];
    return unheard || follow_is_in_vain(c) ? "" : c->lead.leader.name;
}

void leader_explain_refusal(const struct controller *c, char *ret, size_t cap)
{
    const char *file = c->config->admin_token_file;
    fmt(ret, cap, "it refuses our admin token: what is in admin-token-file (here %s) differs there",
        file ? file : "none");
}

/* `was` no longer leads, or another one does; of this machine on_held() tells. */
static void note_leader(struct controller *c, const struct lease_member *was,
                        const struct lease_member *is)
{
    char last[LEASE_NAME_MAX + 64];
    if (strcmp(was->name, is->name) == 0 || !leader_in_group(c))
        return;
    follow_say_last(c, last, sizeof(last));
    if (is->name[0] && !is->self)
        controller_note(c, STORE_EVENT_CONTROLLER, "", "", "%s leads%s%s", is->name,
                        last[0] ? ", after " : "", last);
    else if (was->name[0] && !was->self)
        controller_note(c, STORE_EVENT_CONTROLLER, "", "", "nobody leads, after %s",
                        last[0] ? last : was->name);
}

static void on_held(void *ctx, bool held, uint64_t token, const char *why)
{
    struct controller *c = ctx;
    struct leadership *l = &c->lead;
    char last[LEASE_NAME_MAX + 64];
    l->held = held;
    l->token = token;
    str_copy(l->why, sizeof(l->why), held ? "" : why);
    follow_say_last(c, last, sizeof(last));
    if (leader_in_group(c) && held)
        controller_note(c, STORE_EVENT_CONTROLLER, "", "", "this machine leads now%s%s",
                        last[0] ? ", after " : "", last);
    else if (leader_in_group(c))
        controller_note(c, STORE_EVENT_CONTROLLER, "", "",
                        "this machine does not lead any more: %s", l->why);
    if (held)
        controller_take_lead(c);
    else
        controller_lose_lead(c);
    controller_pump(c);
}

static void on_group(void *ctx, const struct lease_member *leader,
                     const struct lease_member *members, size_t count)
{
    struct controller *c = ctx;
    struct leadership *l = &c->lead;
    struct lease_member was = l->leader;
    l->leader = leader ? *leader : (struct lease_member){ 0 };
    note_leader(c, &was, &l->leader);
    l->member_count = MIN(count, (size_t)LEASE_MEMBERS_MAX);
    memcpy(l->members, members, l->member_count * sizeof(*members));
    members_set(c);
    if (c->phase == PHASE_STANDBY)
        follow_leader(c);
}

static void on_note(void *ctx, bool trouble, const char *text)
{
    struct controller *c = ctx;
    str_copy(c->lead.trouble, sizeof(c->lead.trouble), trouble ? text : "");
    controller_note(c, trouble ? STORE_EVENT_ALERT : STORE_EVENT_RESOLVED, "", "", "%s", text);
}

int leader_open(struct controller *c, struct err *err)
{
    struct leadership *l = &c->lead;
    struct lease_options options = {
        .loop = &c->loop,
        .conf = l->conf,
        .member = l->member,
        .url = l->url,
        .state_dir = c->options->state_dir,
        .listener = { .ctx = c, .held = on_held, .group = on_group, .note = on_note },
    };
    if (leader_in_group(c)) {
        struct link_msg ready = { .type = LINK_READY, .text = slice_of("standing by") };
        controller_note(c, STORE_EVENT_CONTROLLER, "", "",
                        "controller %s as member %s of %s: it stands by until it has the lease",
                        c->recovered ? "recovered" : "started", l->member, l->owner);
        keeper_link_send(c, &ready);
    }
    return l->ops->open(&options, &l->self, err);
}

void leader_close(struct controller *c)
{
    if (c->lead.self)
        c->lead.ops->close(c->lead.self);
    c->lead.self = NULL;
}

bool leader_may_act(void *ctx)
{
    const struct controller *c = ctx;
    return c->lead.self && c->lead.ops->may_act(c->lead.self);
}

int64_t leader_left_us(void *ctx)
{
    const struct controller *c = ctx;
    return c->lead.ops->left_us ? c->lead.ops->left_us(c->lead.self) : US_NEVER;
}

uint64_t leader_token(void *ctx)
{
    const struct controller *c = ctx;
    return c->lead.token;
}

static void on_resigned(void *ctx)
{
    struct controller *c = ctx;
    c->lead.resigned = true;
    controller_stop_next(c);
}

void leader_resign(struct controller *c)
{
    struct leadership *l = &c->lead;
    controller_emit(c, &(struct event){ .type = EVENT_LEASE, .service = -1 });
    controller_pump(c);
    l->leaving = true;
    if (l->self)
        l->ops->resign(l->self, on_resigned, c);
    else
        l->resigned = true;
}

int leader_check_reload(const struct controller *c, const struct config *config, struct err *err)
{
    if (same(c->lead.conf, config_top(config, &lease_section)))
        return 0;
    return err_at(err, -EINVAL, c->options->config_path,
                  "lease: it cannot change while plimsoll runs: stop this machine's and start it "
                  "again (in a group the others go on)");
}

int controller_may_change(const struct controller *c, struct err *err)
{
    const struct lease_member *leader = &c->lead.leader;
    if (!leader_in_group(c) || controller_leads(c))
        return 0;
    if (!leader_name(c)[0])
        return err_set(err, -EAGAIN, "nobody leads at this moment: try again");
    return err_set(err, -EAGAIN, "%s stands by: %s leads, ask it at %s", c->lead.member,
                   leader->name, leader->url[0] ? leader->url : "its own machine");
}
