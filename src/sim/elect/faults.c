/* What goes wrong: each seed knows some of the faults, and each of those comes and goes. */
#include "sim/elect/world_int.h"

#define PAUSE_US_MAX (12 * US_PER_S)
#define FIRST_US_MAX (5 * US_PER_S)
#define OUTAGE_US_MAX (10 * US_PER_S)

#define CALM_US_MAX (15 * US_PER_S) /* from one to the next of its kind */

static void plan(struct elect_world *w, enum elect_fault fault, int64_t within_us)
{
    int member = (int)world_below(w, w->member_count);
    int64_t at_us = w->now_us + 1 + world_below(w, within_us);
    world_add(w, ITEM_FAULT, member, at_us)->fault.kind = fault;
}

static void plan_end(struct elect_world *w, const struct item *it)
{
    int64_t within_us = it->fault.kind == FAULT_PAUSE ? PAUSE_US_MAX : OUTAGE_US_MAX;
    int64_t at_us = w->now_us + world_below(w, within_us);
    struct item *over = world_add(w, ITEM_FAULT, it->member, at_us);
    over->fault.kind = it->fault.kind;
    over->fault.over = true;
}

void fault_plan(struct elect_world *w)
{
    for (int f = FAULT_CUT; f < FAULT_MAX; f++)
        if (w->faults & BIT(f))
            plan(w, f, FIRST_US_MAX);
}

static void end_cut(struct elect_world *w)
{
    if (!w->etcd.cut)
        return;
    w->etcd.cut = false;
    etcd_model_change_leader(&w->etcd, w->now_us);
}

static void begin_stale(struct elect_world *w)
{
    etcd_model_change_leader(&w->etcd, w->now_us);
    for (int n = 0; n < w->member_count; n++)
        w->members[n].at_stale = world_below(w, 2) == 0;
}

static void end_stale(struct elect_world *w)
{
    for (int n = 0; n < w->member_count; n++)
        w->members[n].at_stale = false;
}

/* What waited for a stopped process comes all at once, in any order. */
void fault_wake(struct elect_world *w, int n)
{
    struct member *m = &w->members[n];
    if (!m->paused)
        return;
    m->paused = false;
    for (size_t i = 0; i < ITEMS_MAX; i++) {
        struct item *it = &w->items[i];
        if (it->kind >= ITEM_TIMER && it->kind <= ITEM_EVENT && it->member == n &&
            it->due.index == 0 && it->kind != ITEM_START) {
            heap_push(&w->heap, &it->due, w->now_us + world_below(w, 5 * US_PER_MS));
            if (it->kind == ITEM_TIMER)
                m->timer = it->due.sequence;
        }
    }
}

static void begin(struct elect_world *w, enum elect_fault fault, int n)
{
    struct elect_event resign = { .type = ELECT_RESIGN };
    struct member *m = &w->members[n];
    if (fault == FAULT_CUT)
        w->etcd.cut = true;
    else if (fault == FAULT_STALE)
        begin_stale(w);
    else if (fault == FAULT_ALONE)
        m->alone = true;
    else if (fault == FAULT_PAUSE)
        m->paused = m->life % 2 == 1;
    else if (fault == FAULT_KILL && world_below(w, 3) > 0)
        member_kill(w, n);
    else if (fault == FAULT_KILL && m->life % 2 == 1 && !m->paused)
        member_step(w, n, &resign);
}

static void end(struct elect_world *w, enum elect_fault fault, int n)
{
    if (fault == FAULT_CUT)
        end_cut(w);
    else if (fault == FAULT_STALE)
        end_stale(w);
    else if (fault == FAULT_ALONE)
        w->members[n].alone = false;
    else if (fault == FAULT_PAUSE)
        fault_wake(w, n);
}

void fault_happen(struct elect_world *w, const struct item *it)
{
    if (w->calm)
        return;
    if (it->fault.over) {
        end(w, it->fault.kind, it->member);
        return;
    }
    plan(w, it->fault.kind, CALM_US_MAX);
    plan_end(w, it);
    begin(w, it->fault.kind, it->member);
}

void fault_end_all(struct elect_world *w)
{
    end_cut(w);
    end_stale(w);
    for (int n = 0; n < w->member_count; n++) {
        w->members[n].alone = false;
        fault_wake(w, n);
    }
}
