/* What goes wrong: each seed knows some of the faults, and each of those comes and goes. */
#include "sim/elect/world_int.h"

#define PAUSE_US_MAX (12 * US_PER_S)
#define OUTAGE_US_MAX (10 * US_PER_S)

static int any_member(struct elect_world *w)
{
    return (int)world_below(w, w->member_count);
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

/* The item's `life` says whether it begins (0) or ends, its request's id which fault. */
void fault_happen(struct elect_world *w, struct item *it)
{
    enum elect_fault fault = (enum elect_fault)it->request.id;
    if (w->calm)
        return;
    if (it->life > 0) {
        end(w, fault, it->member);
        return;
    }
    struct item *again = world_add(w, ITEM_FAULT, any_member(w), w->now_us);
    heap_move(&w->heap, &again->due, w->now_us + 1 + world_below(w, 15 * US_PER_S));
    again->request.id = fault;
    struct item *over = world_add(w, ITEM_FAULT, it->member, w->now_us);
    int64_t lasts_us = world_below(w, fault == FAULT_PAUSE ? PAUSE_US_MAX : OUTAGE_US_MAX);
    heap_move(&w->heap, &over->due, w->now_us + lasts_us);
    over->request.id = fault;
    over->life = 1;
    begin(w, fault, it->member);
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
