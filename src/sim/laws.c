/* Invariants. Each function is one sentence of DESIGN.md's laws. */
#include "sim/laws.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

void laws_init(struct laws *l)
{
    memset(l, 0, sizeof(*l));
}

void laws_break(struct laws *l, const char *law, const char *format, ...)
{
    if (l->text[0] != '\0')
        return; /* the first is the one to look at */
    va_list args;
    va_start(args, format);
    vsnprintf(l->text, sizeof(l->text), format, args);
    va_end(args);
    snprintf(l->law, sizeof(l->law), "%s", law);
    l->at_us = l->now_us;
}

static struct laws_entry *find(struct laws *l, uint32_t service, uint32_t number)
{
    for (uint32_t n = 0; n < LAWS_INSTANCES_MAX; n++) {
        struct laws_entry *x = &l->entries[n];
        if (x->used && x->service == service && x->number == number)
            return x;
    }
    return NULL;
}

static struct laws_entry *find_or_add(struct laws *l, uint32_t service, uint32_t number)
{
    struct laws_entry *x = find(l, service, number);
    for (uint32_t n = 0; n < LAWS_INSTANCES_MAX && !x; n++) {
        if (!l->entries[n].used)
            x = &l->entries[n];
    }
    if (x && !x->used)
        *x = (struct laws_entry){ .used = true, .service = service, .number = number };
    return x;
}

/* Returns whether it was used before. */
static bool use_number(struct laws *l, uint32_t service, uint32_t number)
{
    if (number >= LAWS_NUMBERS_MAX)
        return false;
    uint64_t bit = UINT64_C(1) << (number % 64);
    bool used = l->used[service][number / 64] & bit;
    l->used[service][number / 64] |= bit;
    return used;
}

void laws_forget(struct laws *l)
{
    memset(l->entries, 0, sizeof(l->entries));
    l->amnesia = true;
}

/* -- law 4: nothing without the lease; law 5: nothing before the list ---------------------------- */

static void check_right_to_act(struct laws *l, uint32_t service, const struct action *a)
{
    if (l->lease_lost)
        laws_break(l, "4 lease", "action %d on svc%u-%u without the lease", a->type, service,
                   a->number);
    if (l->listing[service])
        laws_break(l, "5 restart", "action %d on svc%u-%u before the engine has listed", a->type,
                   service, a->number);
}

static void check_start(struct laws *l, const struct world *w, uint32_t service,
                        const struct action *a)
{
    check_right_to_act(l, service, a);
    if (l->stopping)
        laws_break(l, "4 stop", "svc%u-%u is started while all stops", service, a->number);
    if (use_number(l, service, a->number) &&
        (!l->amnesia || world_find(w, service, a->number)))
        laws_break(l, "2 number", "svc%u-%u is started a second time", service, a->number);
    if (!find_or_add(l, service, a->number))
        laws_break(l, "2 twice", "svc%u has more instances than the book holds", service);
}

static void check_drain(struct laws *l, uint32_t service, const struct action *a)
{
    check_right_to_act(l, service, a);
    struct laws_entry *x = find_or_add(l, service, a->number);
    if (!x)
        return;
    x->told_drain = true;
    x->drain_deadline_us = a->deadline_us;
}

static void check_stop(struct laws *l, const struct world *w, uint32_t service,
                       const struct action *a)
{
    check_right_to_act(l, service, a);
    struct laws_entry *x = find_or_add(l, service, a->number);
    if (!x)
        return;
    x->told_stop = true;
    if (!x->was_ready)
        return;
    if (!x->told_drain)
        laws_break(l, "4 drain", "svc%u-%u was ready and is stopped undrained", service, a->number);
    else if (!x->drained && w->now_us < x->drain_deadline_us)
        laws_break(l, "4 drain", "svc%u-%u is stopped before its drain is over", service,
                   a->number);
}

static void check_action(struct laws *l, const struct world *w, const struct action *a)
{
    int32_t service = world_service_of(w, a->service);
    if (a->type == ACTION_STOPPED)
        l->stopped = true;
    if (service < 0)
        return;
    if (a->type == ACTION_FORGET)
        memset(l->used[service], 0, sizeof(l->used[service]));
    if (a->type == ACTION_START)
        check_start(l, w, (uint32_t)service, a);
    else if (a->type == ACTION_DRAIN)
        check_drain(l, (uint32_t)service, a);
    else if (a->type == ACTION_STOP)
        check_stop(l, w, (uint32_t)service, a);
    if (l->calm && a->type != ACTION_PUBLISH)
        laws_break(l, "6 calm", "action %d on svc%d-%u under constant load (%s)", a->type, service,
                   a->number, a->decision ? a->decision->summary : a->text);
}

/* -- laws 1 and 3, and the bounds: of each new decision ----------------------------------------- */

static bool has_step(const struct decision *d, enum limit_kind k)
{
    for (uint32_t n = 0; n < d->step_count; n++) {
        if (d->steps[n].kind == k)
            return true;
    }
    return false;
}

static bool only_rules(const struct decision *d)
{
    for (uint32_t n = 0; n < d->step_count; n++) {
        enum limit_kind k = d->steps[n].kind;
        if (k != LIMIT_RULES && k != LIMIT_PROJECTION && k != LIMIT_STABILIZE && k != LIMIT_RATE)
            return false;
    }
    return d->step_count > 0;
}

static void check_opinions(struct laws *l, const struct decision *d)
{
    int32_t from = d->steps[0].from;
    bool wanted = false;
    for (uint32_t n = 0; n < d->opinion_count; n++) {
        const struct opinion *o = &d->opinions[n].opinion;
        if (o->block_in)
            laws_break(l, "1 unknown", "%s: %d -> %d although %s is blind", d->service, from,
                       d->desired, d->opinions[n].rule);
        if (o->in != RULE_ABSTAIN && o->in > d->desired)
            laws_break(l, "1 agree", "%s: %d -> %d although %s wants %d", d->service, from,
                       d->desired, d->opinions[n].rule, o->in);
        if (o->out != RULE_ABSTAIN && o->out > d->desired)
            laws_break(l, "1 out", "%s: %d -> %d although %s needs %d", d->service, from,
                       d->desired, d->opinions[n].rule, o->out);
        wanted |= o->in != RULE_ABSTAIN && o->in < from;
    }
    if (!wanted)
        laws_break(l, "1 nobody", "%s: %d -> %d and no rule wanted it", d->service, from,
                   d->desired);
}

static void check_decision(struct laws *l, const struct control *c, const struct decision *d)
{
    struct service_view v;
    if (!control_view(c, d->slot, &v))
        return;
    int32_t max = v.schedule_max >= 0 ? v.schedule_max : v.conf->max;
    int32_t min = v.schedule_min >= 0 ? v.schedule_min : v.conf->min;
    if (d->desired > max && !v.operator_forced && !l->lease_lost)
        laws_break(l, "4 max", "%s: %d is over max %d", d->service, d->desired, max);
    if (d->desired < MIN(min, max) && v.operator_count < 0 && !v.paused && !l->lease_lost)
        laws_break(l, "4 min", "%s: %d is under min %d", d->service, d->desired, min);
    if (only_rules(d) && d->desired < d->steps[0].from)
        check_opinions(l, d);
    if (l->lease_lost && d->step_count > 0 && d->desired != d->steps[0].from)
        laws_break(l, "4 lease", "%s: %d -> %d without the lease", d->service, d->before,
                   d->desired);
    if (v.conf->mode == SERVICE_AUTO && has_step(d, LIMIT_PROJECTION) && d->queued > 0 &&
        only_rules(d) && d->desired < d->steps[0].from)
        laws_break(l, "3 project", "%s: %d -> %d while %d wait", d->service, d->before, d->desired,
                   d->queued);
}

/* -- law 2: nothing is started twice ------------------------------------------------------------- */

static void check_count(struct laws *l, const struct world *w, const struct control *c,
                        uint32_t service)
{
    const struct world_service *s = &w->services[service];
    struct service_view v;
    if (s->slot < 0 || !control_view(c, (uint32_t)s->slot, &v) || v.leaving)
        return;
    int32_t counted = 0;
    for (uint32_t n = 0; n < v.instance_count; n++)
        counted += instance_counts(&v.instances[n]);
    int32_t staying = 0; /* runs, and was not told to go */
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        const struct world_instance *i = &w->instances[n];
        if (!i->alive || i->stopping || i->service != service)
            continue;
        const struct laws_entry *x = find(l, service, i->number);
        staying += !x || (!x->told_drain && !x->told_stop);
    }
    if (!l->listing[service] && staying > counted)
        laws_break(l, "2 twice", "svc%u: %d instances run that were not told to go, the core knows %d",
                   service, staying, counted);
}

/* -- law 4: what is in the pool is published ------------------------------------------------------ */

static uint64_t pool_of(const struct service_view *v)
{
    uint64_t hash = 1;
    for (uint32_t n = 0; n < v->instance_count; n++) {
        const struct instance *i = &v->instances[n];
        if (i->state == INSTANCE_READY || i->state == INSTANCE_DRAINING)
            hash += (i->number * UINT64_C(0x9e3779b97f4a7c15)) ^ i->state;
    }
    return hash;
}

static void check_pool(struct laws *l, const struct world *w, const struct control *c,
                       const struct actions *actions)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_view v;
        if (w->services[n].slot < 0 || !control_view(c, (uint32_t)w->services[n].slot, &v))
            continue;
        uint64_t now = pool_of(&v);
        bool said = false;
        for (size_t k = 0; k < actions->count; k++)
            said |= actions->items[k].type == ACTION_PUBLISH && actions->items[k].service == v.slot;
        if (said)
            l->pool[n] = now;
        if (now != l->pool[n] && actions->count < actions->cap)
            laws_break(l, "4 publish", "svc%u: the pool changed and was not published", n);
        check_count(l, w, c, n);
    }
}

/* -- the book -------------------------------------------------------------------------------------- */

static void take_event(struct laws *l, const struct world *w, const struct event *e)
{
    int32_t service = e->service >= 0 ? world_service_of(w, (uint32_t)e->service) : -1;
    struct laws_entry *x = service >= 0 ? find(l, (uint32_t)service, e->number) : NULL;
    if (e->type == EVENT_LEASE)
        l->lease_lost = !e->flag;
    if (e->type == EVENT_RESTART)
        memset(l->listing, 1, sizeof(l->listing));
    for (uint32_t n = 0; n < w->service_count && e->type == EVENT_FOUND_ALL; n++)
        l->listing[n] = l->listing[n] && (int32_t)n != service && w->services[n].slot >= 0;
    if (e->type == EVENT_OPERATOR && e->op == OPERATOR_STOP)
        l->stopping = true;
    if (x && e->type == EVENT_DRAINED)
        x->drained = true;
    if (x && (e->type == EVENT_EXITED || e->type == EVENT_START_FAILED))
        x->used = false;
}

static void take_states(struct laws *l, const struct world *w, const struct control *c)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_view v;
        if (w->services[n].slot < 0 || !control_view(c, (uint32_t)w->services[n].slot, &v))
            continue;
        for (uint32_t k = 0; k < v.instance_count; k++) {
            const struct instance *i = &v.instances[k];
            struct laws_entry *x = i->state == INSTANCE_READY ? find_or_add(l, n, i->number) : NULL;
            if (x)
                x->was_ready = true;
        }
    }
}

void laws_check(struct laws *l, const struct world *w, const struct control *c,
                const struct event *e, const struct actions *actions)
{
    l->now_us = w->now_us;
    take_event(l, w, e);
    for (size_t n = 0; n < actions->count; n++)
        check_action(l, w, &actions->items[n]);
    for (uint32_t n = 0; n < w->service_count; n++) {
        const struct decision *d =
            w->services[n].slot >= 0 ? control_decision(c, (uint32_t)w->services[n].slot) : NULL;
        if (d && d->now_us == w->now_us)
            check_decision(l, c, d);
    }
    take_states(l, w, c);
    check_pool(l, w, c, actions);
}

/* -- the end: enough, and not too much -------------------------------------------------------------- */

static void check_served(struct laws *l, const struct world_service *s, const struct service_view *v,
                         double target)
{
    double most = v->ready * target * 1.1 + 1;
    double demand = load_at(&s->load, 0);
    if (demand > most && v->ready < v->conf->max)
        laws_break(l, "alive", "%s: %g in flight, target %g, but %d ready of at most %d: %s",
                   s->name, demand, target, v->ready, v->conf->max, v->trouble);
}

void laws_check_end(struct laws *l, const struct world *w, const struct scenario *x,
                    const struct control *c)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        const struct world_service *s = &w->services[n];
        struct service_view v;
        if (s->slot < 0 || !control_view(c, (uint32_t)s->slot, &v)) {
            laws_break(l, "alive", "%s is configured and unknown", s->name);
            continue;
        }
        if (v.draining > 0 || v.starting > 0 || v.failing > 0)
            laws_break(l, "6 calm", "%s: %d starting, %d failing, %d draining after all has settled",
                       s->name, v.starting, v.failing, v.draining);
        if (v.conf->mode == SERVICE_AUTO && v.ready != v.desired)
            laws_break(l, "alive", "%s: %d ready, %d desired: %s", s->name, v.ready, v.desired,
                       v.trouble);
        if (x->tracks[n])
            check_served(l, s, &v, x->target[n]);
    }
}
