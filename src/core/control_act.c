/* What follows: deadlines that have passed, the plan's moves, and the actions that tell the world.
 * A state moves only together with its action: when the caller's array is full, both wait for the
 * next step. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"
#include "core/health.h"
#include "core/plan.h"

struct action *control_emit(struct control *c, const struct control_service *s,
                            enum action_type type)
{
    if (!control_has_room(c)) {
        if (s)
            c->services[s->slot].unfinished = c->unfinished = true;
        return NULL;
    }
    struct action *a = &c->out->items[c->out->count++];
    *a = (struct action){ .type = type, .service = s ? s->slot : 0 };
    return a;
}

struct action *control_emit_for(struct control *c, const struct control_service *s,
                                const struct instance *i, enum action_type type)
{
    struct action *a = control_emit(c, s, type);
    if (a) {
        a->number = i->number;
        a->template = i->template;
    }
    return a;
}

static bool begin_drain(struct control *c, struct control_service *s, struct instance *i)
{
    struct action *a = control_emit_for(c, s, i, ACTION_DRAIN);
    if (!a)
        return false;
    control_move(c, s, i, INSTANCE_DRAINING);
    i->again = false;
    i->deadline_us = us_add(c->now_us, s->conf->drain_us);
    a->deadline_us = i->deadline_us;
    s->publish = true;
    return true;
}

static bool begin_stop(struct control *c, struct control_service *s, struct instance *i)
{
    struct action *a = control_emit_for(c, s, i, ACTION_STOP);
    if (!a)
        return false;
    if (i->state != INSTANCE_STOPPING)
        control_move(c, s, i, INSTANCE_STOPPING);
    i->deadline_us = us_add(c->now_us, CONTROL_STOP_AGAIN_US);
    i->again = false;
    s->publish = true;
    return true;
}

static void say_drain_again(struct control *c, struct control_service *s, struct instance *i)
{
    struct action *a = control_emit_for(c, s, i, ACTION_DRAIN);
    if (!a)
        return;
    a->deadline_us = i->deadline_us;
    i->again = false;
}

int64_t control_start_deadline_us(const struct control_service *s, const struct instance *i,
                                  int64_t now_us)
{
    bool launching = !i->running && s->conf->launch_within_us > 0;
    return us_add(now_us, launching ? s->conf->launch_within_us : s->conf->start_within_us);
}

static void give_up_start(struct control *c, struct control_service *s, struct instance *i)
{
    if (!s->conf->can_choose_victim)
        i->deadline_us = US_NEVER; /* not ours to stop, and not waited for any more */
    else if (!begin_stop(c, s, i))
        return;
    char within[32], what[sizeof(s->probe_text) + 64];
    bool launching = !i->running && s->conf->launch_within_us > 0;
    num_format_duration(within, sizeof(within),
                        launching ? s->conf->launch_within_us : s->conf->start_within_us);
    fmt(what, sizeof(what), "%s within %s%s%s", launching ? "does not run" : "is not ready", within,
        s->probe_text[0] ? ": " : "", s->probe_text);
    control_start_failed(c, s, i, what);
}

static void give_up_ill(struct control *c, struct control_service *s, struct instance *i)
{
    if (begin_drain(c, s, i))
        control_start_failed(c, s, i, "failed its probes for too long");
}

/* When nobody is well, what ails them may be something that a new one does not cure: then no more
 * than `surge` are replaced at a time. They serve nothing meanwhile, but may recover. */
static bool may_replace_ill(const struct control_service *s)
{
    int32_t failing = (int32_t)s->in_state[INSTANCE_FAILING];
    return s->in_state[INSTANCE_READY] > 0 || s->count - failing < MAX(s->conf->surge, 1);
}

static bool may_give_up_ill(const struct control *c, const struct control_service *s,
                            const struct instance *i)
{
    return s->conf->can_choose_victim && !i->protected_ && may_replace_ill(s) &&
           health_given_up(&s->conf->health, i, c->now_us);
}

/* Deadlines and commands of one instance. */
static void check_instance(struct control *c, struct control_service *s, struct instance *i)
{
    bool late = i->deadline_us <= c->now_us;
    if (i->asked && i->state <= INSTANCE_STANDBY) {
        if (i->again || us_add(i->told_us, CONTROL_STOP_AGAIN_US) <= c->now_us)
            control_ask_fewer(c, s, i);
        return;
    }
    control_fit_shape(c, s, i);
    switch (i->state) {
    case INSTANCE_STARTING:
    case INSTANCE_WARMING:
        if (i->evict)
            begin_stop(c, s, i);
        else if (late)
            give_up_start(c, s, i);
        break;
    case INSTANCE_READY:
    case INSTANCE_FAILING:
        if (i->evict)
            begin_drain(c, s, i);
        else if (may_give_up_ill(c, s, i))
            give_up_ill(c, s, i);
        break;
    case INSTANCE_DRAINING:
        if (late)
            begin_stop(c, s, i);
        else if (i->again)
            say_drain_again(c, s, i);
        break;
    case INSTANCE_STOPPING:
        if (late || i->again)
            begin_stop(c, s, i);
        break;
    default:
        break;
    }
}

static void create(struct control *c, struct control_service *s, uint32_t index)
{
    s->instance_count = MAX(s->instance_count, index + 1);
    s->instances[index] = (struct instance){
        .state = INSTANCE_PENDING,
        .number = ++s->number,
        .template = s->conf->template,
        .state_us = c->now_us,
    };
    s->in_state[INSTANCE_PENDING]++;
}

static bool launch(struct control *c, struct control_service *s, struct instance *i)
{
    i->template = s->conf->template;
    i->shape = s->conf->shape;
    struct action *a = control_emit_for(c, s, i, ACTION_START);
    if (!a)
        return false;
    control_move(c, s, i, INSTANCE_STARTING);
    i->started_us = c->now_us;
    i->timed = true;
    i->launch = ++s->launches;
    i->deadline_us = control_start_deadline_us(s, i, c->now_us);
    a->deadline_us = i->deadline_us;
    s->publish = true;
    return true;
}

/* While the engine does not answer, nothing but pending ones come and go. */
static bool make_move(struct control *c, struct control_service *s, const struct plan_move *m)
{
    struct instance *i = &s->instances[m->index];
    if (s->driver_down && m->type != PLAN_CREATE && m->type != PLAN_DROP)
        return false;
    switch (m->type) {
    case PLAN_CREATE:
        create(c, s, m->index);
        return true;
    case PLAN_LAUNCH:
        return launch(c, s, i);
    case PLAN_DROP:
        control_move(c, s, i, INSTANCE_GONE);
        s->publish = true;
        return true;
    case PLAN_STOP:
        return s->conf->can_choose_victim ? begin_stop(c, s, i) : control_ask_fewer(c, s, i);
    case PLAN_DRAIN:
        return begin_drain(c, s, i);
    case PLAN_NOTHING:
        break;
    }
    return false;
}

static bool may_start(const struct control *c, const struct control_service *s)
{
    return !s->driver_down && s->backoff_until_us <= c->now_us;
}

static void carry_out(struct control *c, struct control_service *s)
{
    struct plan_input in = {
        .instances = s->instances,
        .slot_count = c->caps.instances,
        .wanted = s->count,
        .surge = s->conf->surge,
        .template = s->conf->template,
        .leaving = control_is_leaving(c, s),
        .may_start = may_start(c, s),
        .engine_chooses = !s->conf->can_choose_victim,
    };
    struct plan_move m;
    do {
        in.instance_count = s->instance_count;
        plan_next(&in, &m);
    } while (make_move(c, s, &m));
}

static bool may_act(const struct control *c, const struct control_service *s)
{
    return !c->lease_lost && s->list_until_us == 0;
}

static void watch_health(struct control_service *s)
{
    uint32_t ill = s->in_state[INSTANCE_FAILING];
    uint32_t all = control_alive(s) - (uint32_t)control_draining(s);
    if (ill == 0)
        control_trouble_over(s, TROUBLE_HEALTH);
    else if (!s->troubles[TROUBLE_HEALTH].on)
        control_trouble(s, TROUBLE_HEALTH, "%u of %u instances fail their probes%s%s", ill, all,
                        s->probe_text[0] ? ": " : "", s->probe_text);
}

static void say(struct control *c, struct control_service *s)
{
    if (s->publish && control_emit(c, s, ACTION_PUBLISH))
        s->publish = false;
    if (!s->alert)
        return;
    s->alert = false;
    for (int k = 0; k < TROUBLE_MAX; k++) {
        struct trouble *t = &s->troubles[k];
        struct action *a = t->say ? control_emit(c, s, ACTION_ALERT) : NULL;
        s->alert = s->alert || (t->say && !a);
        if (!a)
            continue;
        a->flag = t->on;
        memcpy(a->text, t->text, sizeof(a->text));
        t->say = false;
    }
}

static int64_t state_next_us(const struct control_service *s, const struct instance *i)
{
    switch (i->state) {
    case INSTANCE_STARTING:
    case INSTANCE_WARMING:
    case INSTANCE_DRAINING:
    case INSTANCE_STOPPING:
        return i->deadline_us;
    default:
        if (i->protected_ || !may_replace_ill(s)) /* what lets it go is an event of another one */
            return US_NEVER;
        return s->conf->can_choose_victim ? health_next_us(&s->conf->health, i) : US_NEVER;
    }
}

static int64_t instance_next_us(const struct control *c, const struct control_service *s,
                                const struct instance *i)
{
    if (i->asked && i->state <= INSTANCE_STANDBY)
        return us_add(i->told_us, CONTROL_STOP_AGAIN_US);
    int64_t state_us = state_next_us(s, i), shape_us = control_shape_next_us(c, s, i);
    return MIN(state_us, shape_us);
}

/* When time alone lets something happen to its instances. */
static int64_t find_act_next_us(const struct control *c, const struct control_service *s)
{
    int64_t next_us = control_well_us(s);
    if (c->lease_lost || s->driver_down)
        return next_us;
    if (s->in_state[INSTANCE_PENDING] > 0)
        next_us = MIN(next_us, s->backoff_until_us);
    FOR_EACH_INSTANCE (i, s) {
        int64_t at_us = instance_next_us(c, s, i);
        next_us = MIN(next_us, at_us);
    }
    return next_us;
}

/* As long as nobody touches its instances and nothing of them is due, there is nothing to do. */
static void act(struct control *c, struct control_service *s)
{
    if (!s->touched && s->act_next_us > c->now_us)
        return;
    s->touched = false;
    control_check_well(c, s);
    if (may_act(c, s)) {
        FOR_EACH_INSTANCE (i, s) {
            if (!s->driver_down)
                check_instance(c, s, i);
        }
        carry_out(c, s);
    }
    watch_health(s);
    control_watch_engine(c, s);
    s->touched = s->unfinished;
    s->act_next_us = find_act_next_us(c, s);
}

static int64_t next_us_of(const struct control *c, const struct control_service *s)
{
    if (s->unfinished)
        return c->now_us;
    if (s->list_until_us != 0)
        return s->driver_down ? US_NEVER : s->list_until_us;
    return control_is_leaving(c, s) ? s->act_next_us : MIN(s->decide_next_us, s->act_next_us);
}

void control_settle(struct control *c, struct control_service *s)
{
    if (s->list_until_us != 0 && s->list_until_us <= c->now_us && !s->driver_down) {
        s->list_until_us = 0;
        s->touched = true;
    }
    s->unfinished = false;
    if (s->due && !control_is_leaving(c, s) && s->list_until_us == 0)
        control_decide(c, s);
}

void control_follow(struct control *c, struct control_service *s)
{
    act(c, s);
    say(c, s);
    c->peers[s->slot].desired = s->count; /* what it will have: nobody follows advice */
    c->peers[s->slot].ready = (int32_t)s->in_state[INSTANCE_READY];
    if (s->follows)
        c->wakes[s->slot].fresh_until_us = US_NEVER;
    control_wake_at(c, s, next_us_of(c, s));
}
