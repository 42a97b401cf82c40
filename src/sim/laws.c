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

void laws_restart(struct laws *l, bool amnesia)
{
    l->fresh = amnesia;
    if (!amnesia)
        return;
    memset(l->entries, 0, sizeof(l->entries));
    l->amnesia = true;
}

/* -- law 4: nothing without the lease; law 5: nothing before the list ----------------------------
 */

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
    if (use_number(l, service, a->number) && (!l->amnesia || world_find(w, service, a->number)))
        laws_break(l, "2 number", "svc%u-%u is started a second time", service, a->number);
    struct laws_entry *x = find_or_add(l, service, a->number);
    if (!x)
        laws_break(l, "2 twice", "svc%u has more instances than the book holds", service);
    else /* whose number it was in an earlier life of the service is no matter */
        *x = (struct laws_entry){ .used = true, .service = service, .number = a->number };
}

static void check_drain(struct laws *l, const struct world *w, uint32_t service,
                        const struct action *a)
{
    check_right_to_act(l, service, a);
    if (w->engine->chooses)
        laws_break(l, "4 drain", "svc%u-%u is drained, and another one may go", service, a->number);
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
    if (!x->was_ready || w->engine->chooses)
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
        check_drain(l, w, (uint32_t)service, a);
    else if (a->type == ACTION_STOP)
        check_stop(l, w, (uint32_t)service, a);
    else if (a->type == ACTION_RESIZE)
        check_right_to_act(l, (uint32_t)service, a);
    if (l->calm)
        laws_break(l, "6 calm", "action %d on svc%d-%u under constant load (%s)", a->type, service,
                   a->number, a->decision ? a->decision->summary : a->text);
}

/* -- laws 1 and 3, and the bounds: of each new decision -----------------------------------------
 */

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

/* Law 3, for the rules that look at a mean: what is left carries the load of all. */
static void check_projection(struct laws *l, const struct service_conf *conf,
                             const struct decision *d)
{
    for (uint32_t n = 0; n < d->opinion_count && n < conf->rule_count; n++) {
        const struct rule_conf *r = &conf->rules[n];
        const struct opinion *o = &d->opinions[n].opinion;
        if (r->kind != RULE_THRESHOLD || !r->threshold.has_above || !o->known || d->desired == 0)
            continue;
        unsigned own = r->threshold.metric.metric - METRIC_CUSTOM;
        bool total = r->threshold.metric.metric >= METRIC_CUSTOM && !conf->metrics[own].global;
        double share = total ? 1 : (double)d->ready / d->desired; /* of what each has now */
        if (o->value * share > r->threshold.above)
            laws_break(l, "3 project", "%s: %d -> %d, and then %s would ask for more at once",
                       d->service, d->steps[0].from, d->desired, r->name);
    }
}

static bool has_step(const struct decision *d, enum limit_kind k)
{
    for (uint32_t n = 0; d && n < d->step_count; n++) {
        if (d->steps[n].kind == k)
            return true;
    }
    return false;
}

static void check_decision(struct laws *l, const struct control *c, const struct decision *d)
{
    struct service_view v;
    if (d->token != l->token)
        laws_break(l, "4 token", "%s: decided under %llu, the lease is %llu", d->service,
                   (unsigned long long)d->token, (unsigned long long)l->token);
    if (!control_view(c, d->slot, &v))
        return;
    int32_t max = v.schedule_max >= 0 ? v.schedule_max : v.conf->max;
    int32_t min = v.schedule_min >= 0 ? v.schedule_min : v.conf->min;
    if (d->desired > max && !v.operator_forced && !l->lease_lost)
        laws_break(l, "4 max", "%s: %d is over max %d", d->service, d->desired, max);
    bool held = has_step(d, LIMIT_BUDGET) || has_step(d, LIMIT_ORDER);
    if (d->desired < MIN(min, max) && v.operator_count < 0 && !v.paused && !l->lease_lost && !held)
        laws_break(l, "4 min", "%s: %d is under min %d", d->service, d->desired, min);
    if (only_rules(d) && d->desired < d->steps[0].from) {
        check_opinions(l, d);
        check_projection(l, v.conf, d);
    }
    bool first = d->step_count > 0 && d->steps[0].kind == LIMIT_INITIAL; /* a count, not a change */
    if (l->lease_lost && !first && d->step_count > 0 && d->desired != d->steps[0].from)
        laws_break(l, "4 lease", "%s: %d -> %d without the lease", d->service, d->before,
                   d->desired);
}

/* -- replacing and scaling in: those that are wanted stay until others are ready in their place ---
 */

static bool was_evicted(const struct service_view *v, uint32_t number)
{
    for (uint32_t n = 0; n < v->instance_count; n++) {
        if (v->instances[n].number == number && v->instances[n].state == INSTANCE_DRAINING)
            return v->instances[n].evict;
    }
    return false;
}

/* Protected ones keep their seat, ready or not. */
static int32_t protected_seats(const struct service_view *v)
{
    int32_t seats = 0;
    for (uint32_t n = 0; n < v->instance_count; n++) {
        const struct instance *i = &v->instances[n];
        seats += i->protected_ && instance_counts(i) && i->state != INSTANCE_READY;
    }
    return seats;
}

static void check_capacity(struct laws *l, const struct world *w, const struct control *c,
                           const struct actions *actions)
{
    for (size_t n = 0; n < actions->count; n++) {
        const struct action *a = &actions->items[n];
        int32_t service = a->type == ACTION_DRAIN ? world_service_of(w, a->service) : -1;
        const struct laws_entry *x = service >= 0 ? find(l, (uint32_t)service, a->number) : NULL;
        struct service_view v;
        if (!x || !x->is_ready || !control_view(c, a->service, &v) || v.leaving ||
            v.conf->mode != SERVICE_AUTO || was_evicted(&v, a->number))
            continue;
        if (v.ready + protected_seats(&v) < v.desired)
            laws_break(l, "2 capacity", "svc%d-%u drains and leaves %d ready of %d wanted", service,
                       a->number, v.ready, v.desired);
    }
}

/* -- law 5: a core without memory goes on with what it finds --------------------------------------
 */

/* Those who share a budget may be decided on more than once in a step. */
static bool met_budget(const struct actions *actions, uint32_t slot)
{
    for (size_t n = 0; n < actions->count; n++) {
        const struct action *a = &actions->items[n];
        if (a->type == ACTION_RECORD && a->service == slot && has_step(a->decision, LIMIT_BUDGET))
            return true;
    }
    return false;
}

static void check_adopted(struct laws *l, const struct world *w, const struct control *c,
                          const struct event *e, const struct actions *actions)
{
    int32_t service = e->service >= 0 ? world_service_of(w, (uint32_t)e->service) : -1;
    struct service_view v;
    if (e->type != EVENT_FOUND_ALL || service < 0 || !l->listing[service] || !l->fresh ||
        !control_view(c, (uint32_t)e->service, &v) || v.leaving || v.operator_count >= 0)
        return;
    /* When the list was long in coming, the rules may know enough by then to want fewer. */
    const struct decision *d = control_decision(c, v.slot);
    if (has_step(d, LIMIT_RULES) || has_step(d, LIMIT_BUDGET) || met_budget(actions, v.slot))
        return;
    int32_t max = v.schedule_max >= 0 ? v.schedule_max : v.conf->max;
    if (v.conf->mode == SERVICE_AUTO && v.desired < MIN(max, l->found[service]))
        laws_break(l, "5 adopt", "svc%d: %d run, and a restart makes that %d", service,
                   l->found[service], v.desired);
}

/* -- law 2: nothing is started twice -------------------------------------------------------------
 */

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
        if (!i->alive || i->stopping || i->service != service || i->number == 0)
            continue;
        const struct laws_entry *x = find(l, service, i->number);
        staying += !x || (!x->told_drain && !x->told_stop);
    }
    if (!l->listing[service] && staying > counted)
        laws_break(l, "2 twice",
                   "svc%u: %d instances run that were not told to go, the core knows %d", service,
                   staying, counted);
}

/* What was decided is begun as soon as nothing forbids it. */
static void check_begun(struct laws *l, const struct world *w, const struct control *c,
                        uint32_t service)
{
    const struct world_service *s = &w->services[service];
    struct service_view v;
    if (l->lease_lost || l->listing[service] || !w->driver_up || s->slot < 0 ||
        !control_view(c, (uint32_t)s->slot, &v) || v.leaving || v.conf->mode != SERVICE_AUTO)
        return;
    int32_t counted = 0;
    for (uint32_t n = 0; n < v.instance_count; n++)
        counted += instance_counts(&v.instances[n]);
    if (counted < v.desired)
        laws_break(l, "4 begin", "svc%u: %d instances are wanted and %d begun", service, v.desired,
                   counted);
}

/* -- law 4: what is in the pool is published ------------------------------------------------------
 */

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
        if (actions->count < actions->cap)
            check_begun(l, w, c, n);
    }
}

/* -- what services share: a budget, an order -----------------------------------------------------
 */

/* The operator, and who only advises, are not the budget's. */
static bool is_free(const struct service_view *v)
{
    return v->operator_count < 0 && !v->paused && v->conf->mode == SERVICE_AUTO && !v->leaving;
}

static void check_budget(struct laws *l, const struct world *w, const struct control *c)
{
    struct budget_view b;
    struct service_view v;
    double sum = 0;
    bool someone = false;
    if (!control_budget(c, 0, &b) || b.conf->per_hour <= 0 || l->lease_lost || l->stopping)
        return;
    for (uint32_t n = 0; n < w->service_count; n++) {
        if (w->services[n].slot < 0 || !control_view(c, (uint32_t)w->services[n].slot, &v))
            continue;
        if (l->listing[n]) /* who has not been decided on yet has what it had */
            return;
        if (v.conf->budget != 0 || v.leaving || v.conf->mode != SERVICE_AUTO)
            continue;
        sum += v.desired * v.conf->cost;
        someone |= is_free(&v) && v.desired > 0 && v.conf->cost > 0;
    }
    if (someone && sum > b.conf->per_hour * 1.0001)
        laws_break(l, "4 budget", "%g an hour are wanted of %g", sum, b.conf->per_hour);
}

/* Has it got all it wants? Since when not: for as long, nobody who comes after it may begin. */
static void watch_order(struct laws *l, const struct world *w, const struct control *c)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_view v;
        bool known = w->services[n].slot >= 0 &&
                     control_view(c, (uint32_t)w->services[n].slot, &v) && !v.leaving;
        bool behind = known && v.conf->mode == SERVICE_AUTO && v.ready < v.desired;
        if (!behind)
            l->behind_us[n] = 0;
        else if (l->behind_us[n] == 0)
            l->behind_us[n] = w->now_us;
    }
}

static uint32_t count_records(const struct actions *actions, uint32_t slot)
{
    uint32_t count = 0;
    for (size_t n = 0; n < actions->count; n++)
        count += actions->items[n].type == ACTION_RECORD && actions->items[n].service == slot;
    return count;
}

/* While those who share a budget find out within one step what each gets, nothing is said of it. */
static void check_order(struct laws *l, const struct world *w, const struct control *c,
                        const struct decision *d, const struct actions *actions)
{
    int32_t service = world_service_of(w, d->slot);
    struct service_view v;
    if (service <= 0 || !control_view(c, d->slot, &v) || v.conf->after_count == 0 || d->advise ||
        d->desired <= d->before || has_step(d, LIMIT_OPERATOR) || has_step(d, LIMIT_PAUSED) ||
        has_step(d, LIMIT_INITIAL))
        return;
    int64_t since_us = l->behind_us[service - 1];
    struct service_view first;
    int32_t slot = w->services[service - 1].slot;
    if (since_us == 0 || w->now_us - since_us >= 5 * US_PER_MIN || slot < 0 ||
        !control_view(c, (uint32_t)slot, &first) || first.ready >= first.desired ||
        count_records(actions, (uint32_t)slot) > 1)
        return;
    laws_break(l, "4 order", "%s: %d -> %d while %s has %d of %d", d->service, d->before,
               d->desired, first.conf->name, first.ready, first.desired);
}

static void check_sane(struct laws *l, const struct decision *d)
{
    if (d->desired < 0 || d->desired > MODEL_COUNT_MAX || d->silent)
        laws_break(l, "wild", "%s: %d -> %d", d->service, d->before, d->desired);
}

/* -- the book
 * -------------------------------------------------------------------------------------- */

/* What goes is not there to go on with. */
static void take_leaving(struct laws *l, uint32_t service, struct laws_entry *x)
{
    if (!x || !x->found)
        return;
    x->found = false;
    l->found[service]--;
}

static void take_event(struct laws *l, const struct world *w, const struct event *e)
{
    int32_t service = e->service >= 0 ? world_service_of(w, (uint32_t)e->service) : -1;
    struct laws_entry *x = service >= 0 ? find(l, (uint32_t)service, e->number) : NULL;
    if (e->type == EVENT_LEASE) {
        l->lease_lost = !e->flag;
        l->token = e->flag ? e->token : 0;
    }
    if (e->type == EVENT_LEAVING && service >= 0)
        take_leaving(l, (uint32_t)service, x);
    if (e->type == EVENT_RESTART) {
        memset(l->listing, 1, sizeof(l->listing));
        memset(l->found, 0, sizeof(l->found));
        for (uint32_t n = 0; n < LAWS_INSTANCES_MAX; n++) {
            l->entries[n].found = false;
            if (e->now_us < w->now_us) /* a deadline of another clock is none */
                l->entries[n].drain_deadline_us = 0;
        }
    }
    for (uint32_t n = 0; n < w->service_count && e->type == EVENT_FOUND_ALL; n++)
        l->listing[n] = l->listing[n] && (int32_t)n != service && w->services[n].slot >= 0;
    if (e->type == EVENT_OPERATOR && e->op == OPERATOR_STOP)
        l->stopping = true;
    if (x && e->type == EVENT_DRAINED)
        x->drained = true;
    if (x && (e->type == EVENT_EXITED || e->type == EVENT_START_FAILED))
        x->used = false;
}

static void take_found(struct laws *l, uint32_t service, uint32_t number)
{
    struct laws_entry *x = find_or_add(l, service, number);
    if (!x || x->found)
        return;
    x->found = true;
    l->found[service]++;
}

static void take_states(struct laws *l, const struct world *w, const struct control *c)
{
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_view v;
        if (w->services[n].slot < 0 || !control_view(c, (uint32_t)w->services[n].slot, &v))
            continue;
        for (uint32_t k = 0; k < v.instance_count; k++) {
            const struct instance *i = &v.instances[k];
            bool ready = i->state == INSTANCE_READY;
            struct laws_entry *x = ready ? find_or_add(l, n, i->number) : find(l, n, i->number);
            if (!x)
                continue;
            x->was_ready |= ready;
            x->is_ready = ready;
        }
    }
}

void laws_check(struct laws *l, const struct world *w, const struct control *c,
                const struct event *e, const struct actions *actions)
{
    l->now_us = w->now_us;
    int32_t service = e->service >= 0 ? world_service_of(w, (uint32_t)e->service) : -1;
    if (e->type == EVENT_FOUND && service >= 0)
        take_found(l, (uint32_t)service, e->number);
    check_adopted(l, w, c, e, actions);
    take_event(l, w, e);
    for (size_t n = 0; n < actions->count; n++)
        check_action(l, w, &actions->items[n]);
    for (size_t n = 0; n < actions->count; n++) {
        if (actions->items[n].type != ACTION_RECORD)
            continue;
        check_sane(l, actions->items[n].decision);
        check_decision(l, c, actions->items[n].decision);
        check_order(l, w, c, actions->items[n].decision, actions);
    }
    watch_order(l, w, c);
    if (actions->count < actions->cap)
        check_budget(l, w, c);
    check_capacity(l, w, c, actions);
    take_states(l, w, c);
    check_pool(l, w, c, actions);
}

/* -- the end: enough, and not too much
 * -------------------------------------------------------------- */

static void check_served(struct laws *l, const struct world_service *s,
                         const struct service_view *v, double target)
{
    double most = v->ready * target * 1.1 + 1;
    double demand = load_at(&s->load, 0);
    if (demand > most && v->ready < v->conf->max)
        laws_break(l, "alive", "%s: %g in flight, target %g, but %d ready of at most %d: %s",
                   s->name, demand, target, v->ready, v->conf->max, v->trouble);
}

static void check_shapes(struct laws *l, const struct world *w, uint32_t service)
{
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        const struct world_instance *i = &w->instances[n];
        if (i->alive && i->service == service && i->shape != w->services[service].shape)
            laws_break(l, "alive", "svc%u-%u still has another shape", service, i->number);
    }
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
            laws_break(l, "6 calm",
                       "%s: %d starting, %d failing, %d draining after all has settled", s->name,
                       v.starting, v.failing, v.draining);
        if (v.ready != (int32_t)s->ready)
            laws_break(l, "alive", "%s: the core believes in %d ready ones, %u serve", s->name,
                       v.ready, s->ready);
        if (v.conf->mode == SERVICE_AUTO && v.ready != v.desired)
            laws_break(l, "alive", "%s: %d ready, %d desired: %s", s->name, v.ready, v.desired,
                       v.trouble);
        check_shapes(l, w, n);
        if (x->tracks[n])
            check_served(l, s, &v, x->target[n]);
    }
}
