/* The loop: the next thing that happens, one at a time, with the laws looked at after each. Foul
 * weather and calm take turns. */
#include "sim/elect/elect_sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sim/elect/world_int.h"

#define ROUNDS 2
#define FOUL_US_MIN (15 * US_PER_S)
#define FOUL_US_SPREAD (25 * US_PER_S)
#define DRIFT_PPM_MAX 50000
#define BOOT_US_MAX (1000 * US_PER_S)

struct item *world_add(struct elect_world *w, enum item_kind kind, int member, int64_t at_us)
{
    assert(w->free_count > 0);
    struct item *it = &w->items[w->free_items[--w->free_count]];
    *it = (struct item){ .kind = kind, .member = member };
    if (kind >= ITEM_TIMER && kind != ITEM_START)
        it->life = w->members[member].life;
    if (!w->calm && (kind >= ITEM_EVENT || kind == ITEM_START))
        w->last_arrival_us = MAX(w->last_arrival_us, at_us);
    heap_push(&w->heap, &it->due, at_us);
    return it;
}

static void drop(struct elect_world *w, struct item *it)
{
    it->kind = ITEM_FREE;
    w->free_items[w->free_count++] = (uint16_t)(it - w->items);
}

bool world_has(struct elect_world *w, enum elect_fault fault)
{
    return !w->calm && (w->faults & BIT(fault));
}

int64_t world_below(struct elect_world *w, int64_t bound)
{
    return (int64_t)rng_below(&w->rng, (uint64_t)bound);
}

/* Is it for the process that there is now, and the timer that was set last? */
static bool is_current(const struct elect_world *w, const struct item *it)
{
    const struct member *m = &w->members[it->member];
    return it->life == m->life && (it->kind != ITEM_TIMER || it->due.sequence == m->timer);
}

/* True = it is done with. */
static bool happen(struct elect_world *w, struct item *it)
{
    struct elect_event timer = { .type = ELECT_TIMER };
    bool inside = it->kind == ITEM_TIMER || it->kind == ITEM_WORK || it->kind == ITEM_EVENT;
    if (inside && !is_current(w, it))
        return true;
    if (inside && w->members[it->member].paused)
        return false; /* it waits outside the heap */
    switch (it->kind) {
    case ITEM_TICK:
        if (etcd_model_expire(&w->etcd, w->now_us))
            member_etcd_changed(w);
        world_add(w, ITEM_TICK, 0, w->now_us + TICK_US);
        break;
    case ITEM_FAULT:
        fault_happen(w, it);
        break;
    case ITEM_START:
        member_start(w, it->member);
        break;
    case ITEM_TIMER:
        member_step(w, it->member, &timer);
        break;
    case ITEM_WORK:
        member_work(w, it->member);
        break;
    case ITEM_EVENT:
        member_step(w, it->member, &it->event);
        break;
    case ITEM_REQUEST:
        request_arrive(w, it);
        break;
    case ITEM_ACT:
        act_arrive(w, it);
        break;
    case ITEM_FREE:
        break;
    }
    return true;
}

static void run_until(struct elect_world *w, int64_t end_us)
{
    struct heap_item *top;
    while (!w->report->law[0] && (top = heap_top(&w->heap)) && top->key <= end_us) {
        struct item *it = CONTAINER_OF(top, struct item, due);
        heap_remove(&w->heap, top);
        w->now_us = MAX(w->now_us, top->key);
        if (happen(w, it))
            drop(w, it);
        law_check_one(w);
        law_check_leader(w);
    }
    w->now_us = MAX(w->now_us, end_us);
}

static void be_foul(struct elect_world *w)
{
    w->calm = false;
    fault_plan(w);
    run_until(w, w->now_us + FOUL_US_MIN + world_below(w, FOUL_US_SPREAD));
}

static void be_calm(struct elect_world *w)
{
    fault_end_all(w);
    w->calm = true;
    w->calm_leader = -1;
    w->settled_by_us = w->now_us;
    run_until(w, w->now_us + 4 * w->ttl_us); /* until what was sent before has arrived, and more */
    for (int n = 0; n < w->member_count; n++)
        w->members[n].requests = 0;
    run_until(w, w->now_us + 2 * w->ttl_us);
    if (!w->report->law[0])
        law_check_traffic(w, 2 * w->ttl_us);
}

static void init(struct elect_world *w, uint64_t seed)
{
    int64_t drift = w->options->drift_ppm_max ?: DRIFT_PPM_MAX;
    rng_init(&w->rng, seed);
    heap_init(&w->heap, w->heap_items, ITEMS_MAX);
    for (size_t i = 0; i < ITEMS_MAX; i++)
        w->free_items[w->free_count++] = (uint16_t)(ITEMS_MAX - 1 - i);
    w->faults = (uint32_t)rng_u64(&w->rng);
    w->ttl_us = (2 + world_below(w, 6)) * US_PER_S;
    w->member_count = 2 + (int)world_below(w, ETCD_MEMBERS_MAX - 1);
    etcd_model_init(&w->etcd, world_below(w, 2 * drift + 1) - drift);
    world_add(w, ITEM_TICK, 0, 0);
    for (int n = 0; n < w->member_count; n++) {
        struct member *m = &w->members[n];
        m->drift_ppm = world_below(w, 2 * drift + 1) - drift;
        m->boot_us = world_below(w, BOOT_US_MAX);
        world_add(w, ITEM_START, n, world_below(w, 2 * US_PER_S));
    }
}

int elect_sim_run(uint64_t seed, const struct elect_sim_options *options,
                  struct elect_sim_report *ret)
{
    struct elect_world *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    *ret = (struct elect_sim_report){ .seed = seed, .hash = seed };
    w->options = options;
    w->report = ret;
    init(w, seed);
    for (int round = 0; round < ROUNDS && !ret->law[0]; round++) {
        be_foul(w);
        if (!ret->law[0])
            be_calm(w);
    }
    free(w);
    return ret->law[0] != 0;
}
