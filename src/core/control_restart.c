/* What is found after the controller, the engine or the lease was away. Nothing here decides: it
 * brings the core's view in line with what runs. */
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

/* A free slot for an instance that is not of our making, or NULL. */
static struct instance *adopt(struct control *c, struct control_service *s, const struct event *e)
{
    struct instance *i = NULL;
    for (uint32_t n = 0; n < s->instance_count && !i; n++) {
        if (s->instances[n].state == INSTANCE_GONE)
            i = &s->instances[n];
    }
    if (!i && s->instance_count < c->caps.instances)
        i = &s->instances[s->instance_count++];
    if (!i)
        return NULL;
    *i = (struct instance){
        .state = INSTANCE_PENDING,
        .number = e->number,
        .template = e->template,
        .shape = s->conf->shape,
    };
    s->in_state[INSTANCE_PENDING]++;
    s->number = MAX(s->number, e->number);
    return i;
}

int control_on_found(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s || e->number == 0 || e->number == UINT32_MAX)
        return -EINVAL;
    struct instance *i = control_find_instance(s, e->number);
    if (!i)
        i = adopt(c, s, e);
    if (!i)
        return -ENOBUFS;
    if (i->state == INSTANCE_PENDING) {
        control_move(c, s, i, INSTANCE_STARTING);
        i->started_us = c->now_us;
        i->launch = ++s->launches;
        i->deadline_us = us_add(c->now_us, s->conf->start_within_us);
    }
    i->template = e->template;
    control_note_shape(i, e->shape);
    i->found = true;
    i->running = true;
    if (i->state == INSTANCE_STARTING && e->flag)
        control_move(c, s, i, INSTANCE_READY);
    i->again = instance_awaits(i) || (i->state == INSTANCE_DRAINING && s->conf->can_choose_victim);
    s->publish = s->touched = true;
    return 0;
}

/* What was not named is gone; but not what was asked for since, and is on its way. */
static bool is_lost(const struct control_service *s, const struct instance *i)
{
    if (i->found || i->state == INSTANCE_PENDING)
        return false;
    return i->running || s->list_until_us != 0;
}

/* A core without memory begins with what it finds, not with `initial`: a restart causes nothing. */
static void adopt_count(struct control_service *s)
{
    int32_t found = 0;
    FOR_EACH_INSTANCE (i, s)
        found += instance_counts(i);
    if (s->adopting && found > 0)
        s->count = found;
    s->adopting = false;
    control_find_mark(s);
}

int control_on_found_all(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s)
        return -EINVAL;
    FOR_EACH_INSTANCE (i, s) {
        if (is_lost(s, i)) {
            control_answer(s, i);
            control_move(c, s, i, INSTANCE_GONE);
            s->publish = true;
        }
        i->found = false;
    }
    adopt_count(s);
    s->list_until_us = 0;
    s->touched = true;
    c->list_until_us = 0; /* a service that comes later has nothing to be listed */
    control_mark_due(s, EVENT_FOUND_ALL);
    return 0;
}

static void driver_back(struct control *c, struct control_service *s)
{
    if (!s->driver_down)
        return;
    s->driver_down = false;
    control_trouble_over(s, TROUBLE_DRIVER);
    if (s->list_until_us != 0) /* it can answer only now */
        s->list_until_us = us_add(c->now_us, CONTROL_LIST_US);
    /* While the engine was away nothing could start: the time does not count. */
    FOR_EACH_INSTANCE (i, s) {
        if (i->state == INSTANCE_STARTING || i->state == INSTANCE_WARMING)
            i->deadline_us = MAX(i->deadline_us, control_start_deadline_us(s, i, c->now_us));
        i->again = i->again || instance_awaits(i);
    }
}

int control_on_driver(struct control *c, const struct event *e)
{
    if (e->service >= 0 && !control_service(c, e->service))
        return -EINVAL;
    if (e->service < 0) {
        if (e->flag && c->driver_down && c->list_until_us != 0)
            c->list_until_us = us_add(c->now_us, CONTROL_LIST_US);
        c->driver_down = !e->flag;
    }
    FOR_EACH_SERVICE (s, c) {
        if (e->service >= 0 && s->slot != (uint32_t)e->service)
            continue;
        s->touched = true;
        if (e->flag) {
            driver_back(c, s);
        } else {
            if (!s->driver_down)
                control_trouble(s, TROUBLE_DRIVER, "the engine does not answer: %.*s",
                                (int)strnlen(e->text, sizeof(e->text)), e->text);
            s->driver_down = true;
        }
    }
    return 0;
}

int control_on_lease(struct control *c, const struct event *e)
{
    uint64_t token = e->flag ? e->token : 0;
    bool gained = e->flag && (c->lease_lost || token != c->token);
    c->lease_lost = !e->flag;
    c->token = token;
    FOR_EACH_SERVICE (s, c) {
        control_mark_due(s, EVENT_LEASE);
        s->touched = true;
        FOR_EACH_INSTANCE (i, s)
            i->again = i->again || (gained && instance_awaits(i));
    }
    return 0;
}

/* Law 5. Nothing is started or stopped until the engine has said what runs. */
int control_on_restart(struct control *c, const struct event *e)
{
    c->stopping = c->stopping && !e->flag;
    c->stop_said = false; /* whoever it was said to has gone */
    c->list_until_us = us_add(c->now_us, CONTROL_LIST_US);
    c->driver_down = false; /* until it says so itself */
    FOR_EACH_SERVICE (s, c) {
        s->list_until_us = c->list_until_us;
        s->driver_down = false;
        control_trouble_over(s, TROUBLE_DRIVER);
        s->demand = (struct demand){ -1, -1, -1 };
        for (unsigned m = 0; m < METRIC_MAX; m++) {
            if (s->ring[m] != 0)
                series_gap(&s->series[m], c->now_us);
        }
        s->touched = true;
        s->waste = (struct waste){ .at_us = c->now_us };
        FOR_EACH_INSTANCE (i, s)
            i->found = i->timed = false;
    }
    return 0;
}

static void rebase_instance(const struct control_service *s, struct instance *i, int64_t now_us)
{
    i->state_us = now_us;
    i->started_us = now_us;
    i->ready_us = i->ready_us != 0 ? now_us : 0;
    i->deadline_us = i->state == INSTANCE_STARTING   ? control_start_deadline_us(s, i, now_us)
                     : i->state == INSTANCE_DRAINING ? us_add(now_us, s->conf->drain_us)
                                                     : now_us;
    i->told_us = i->told_us != 0 ? now_us : 0;
    i->timed = false;
    memset(i->sample_us, 0, sizeof(i->sample_us));
}

static void forget_rules(struct control_service *s)
{
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        struct rule_state *state = &s->rule_states[n];
        memset(state->word, 0, sizeof(state->word));
        if (state->more)
            memset(state->more, 0, state->more_count * sizeof(*state->more));
    }
}

void control_rebase(struct control *c, int64_t now_us)
{
    c->now_us = MAX(now_us, 1);
    c->next_us = c->now_us;
    FOR_EACH_SERVICE (s, c) {
        control_free_series(c, s);
        control_fit_series(c, s);
        forget_rules(s);
        s->behavior = (struct behavior_state){ 0 };
        s->failure_us = s->backoff_until_us = s->recorded_us = 0;
        s->held_us = s->held_in_us = 0;
        s->waste = (struct waste){ .at_us = c->now_us };
        s->since_us = s->decide_next_us = c->now_us;
        s->touched = true;
        c->wakes[s->slot] = (struct control_wake){ c->now_us, c->now_us };
        for (uint32_t n = 0; n < s->instance_count; n++) /* those that are gone have instants too */
            rebase_instance(s, &s->instances[n], c->now_us);
    }
}
