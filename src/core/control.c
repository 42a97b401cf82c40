/* The core's door: memory, the dispatch of events, and the views. Handlers change what is known;
 * control_settle() then does, for every service, all that follows. Never calls out. */
#include "core/control.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

static size_t aligned(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* Hands out pieces of the one block of memory; with `base` NULL it only measures. */
struct carver {
    char *base;
    size_t used;
};

static void *carve(struct carver *v, size_t count, size_t bytes_each)
{
    void *piece = v->base ? v->base + v->used : NULL;
    v->used += aligned(count * bytes_each);
    return piece;
}

/* A power of two that is at most two thirds full. */
static size_t name_slots(uint32_t services)
{
    size_t slots = 8;
    while (slots * 2 < (size_t)services * 3)
        slots *= 2;
    return slots;
}

static size_t conf_bytes(const struct control_caps *caps)
{
    size_t rules = caps->rules ? caps->rules : (size_t)caps->services * MODEL_RULES_MAX;
    return caps->services * pool_bytes(offsetof(struct service_conf, rules)) +
           rules * pool_bytes(sizeof(struct rule_conf));
}

/* Each rule's words come in a block of their own. */
static size_t word_bytes(const struct control_caps *caps)
{
    size_t blocks = (size_t)caps->services * MODEL_RULES_MAX;
    return caps->words * sizeof(int64_t) + MIN(blocks, caps->words) * pool_bytes(1);
}

static void lay_out_services(struct control *c, struct carver *v)
{
    uint32_t services = c->caps.services;
    c->services = carve(v, services, sizeof(*c->services));
    c->wakes = carve(v, services, sizeof(*c->wakes));
    c->peers = carve(v, services, sizeof(*c->peers));
    c->waiting = carve(v, services, sizeof(*c->waiting));
    c->slots = carve(v, services, sizeof(*c->slots));
    c->claims = carve(v, services, sizeof(*c->claims));
    c->names.cap = name_slots(services);
    c->names.slots = carve(v, c->names.cap, sizeof(*c->names.slots));
    c->conf_pool.cap = conf_bytes(&c->caps);
    c->conf_pool.memory = carve(v, c->conf_pool.cap, 1);
    c->word_pool.cap = word_bytes(&c->caps);
    c->word_pool.memory = carve(v, c->word_pool.cap, 1);
}

static void lay_out_series(struct control *c, struct carver *v)
{
    uint32_t blocks = SERIES_BLOCKS(c->caps.points);
    c->ring_count = c->caps.services * CONTROL_SERIES_EACH;
    c->ring_used = carve(v, c->ring_count, sizeof(*c->ring_used));
    c->scratch = carve(v, MAX(c->caps.points, c->caps.instances), sizeof(*c->scratch));
    c->points = carve(v, (size_t)c->ring_count * c->caps.points, sizeof(*c->points));
    c->blocks = carve(v, (size_t)c->ring_count * blocks, sizeof(*c->blocks));
}

static struct control *lay_out(const struct control_caps *caps, struct carver *v)
{
    struct control fresh = { .caps = *caps, .next_us = US_NEVER };
    fresh.caps.points = SERIES_POINTS(caps->points);
    struct control *c = carve(v, 1, sizeof(*c));
    lay_out_services(&fresh, v);
    lay_out_series(&fresh, v);
    fresh.silent = carve(v, 1, sizeof(*fresh.silent));
    fresh.said = carve(v, CONTROL_SAID_MAX, sizeof(*fresh.said));
    fresh.view = carve(v, 1, sizeof(*fresh.view));
    fresh.understudy = carve(v, 1, sizeof(*fresh.understudy));
    fresh.more = carve(v, MIN(caps->words, CONTROL_MORE_MAX), sizeof(*fresh.more));
    struct instance *instances =
        carve(v, (size_t)caps->services * caps->instances, sizeof(*instances));
    if (!c)
        return NULL;
    *c = fresh;
    for (uint32_t n = 0; n < caps->services; n++) {
        c->services[n].slot = n;
        c->services[n].instances = instances + (size_t)n * caps->instances;
        c->wakes[n] = (struct control_wake){ US_NEVER, INT64_MIN };
        c->peers[n].name = "";
    }
    return c;
}

size_t control_bytes(const struct control_caps *caps)
{
    struct carver v = { 0 };
    lay_out(caps, &v);
    return v.used;
}

struct control *control_init(void *memory, const struct control_caps *caps)
{
    assert(caps->services > 0 && caps->services <= CONTROL_SERVICES_MAX);
    assert(caps->instances > 0 && caps->points > 0);
    struct carver v = { .base = memory };
    return lay_out(caps, &v);
}

struct instance *control_find_instance(const struct control_service *s, uint32_t number)
{
    FOR_EACH_INSTANCE (i, s) {
        if (i->number == number)
            return i;
    }
    return NULL;
}

void control_mark_due(struct control_service *s, enum event_type cause)
{
    if (!s->due || cause != EVENT_TICK)
        s->cause = cause;
    s->due = true;
}

void control_move(struct control *c, struct control_service *s, struct instance *i,
                  enum instance_state to)
{
    if (i->state != INSTANCE_GONE)
        s->in_state[i->state]--;
    if (to != INSTANCE_GONE)
        s->in_state[to]++;
    instance_move(i, to, c->now_us);
    s->touched = true;
    c->rates_changed = true;
}

void control_find_start(struct control_service *s)
{
    int64_t longest_us = 0;
    for (int n = 0; n < CONTROL_STARTS; n++)
        longest_us = MAX(longest_us, s->took_us[n]);
    s->start_us = longest_us > 0 ? longest_us : CONTROL_START_US;
}

void control_find_mark(struct control_service *s)
{
    s->mark = s->count == 0 ? 1 : UINT32_MAX;
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        uint32_t mark = rule_mark(&s->conf->rules[n], s->count);
        s->mark = MIN(s->mark, mark);
    }
}

uint32_t control_alive(const struct control_service *s)
{
    uint32_t count = 0;
    for (unsigned state = 0; state < INSTANCE_GONE; state++)
        count += s->in_state[state];
    return count;
}

void control_wake_at(struct control *c, const struct control_service *s, int64_t at_us)
{
    int64_t *next_us = &c->wakes[s->slot].next_us;
    c->next_changed = c->next_changed || (*next_us == c->next_us && at_us > *next_us);
    c->next_us = MIN(c->next_us, at_us);
    *next_us = at_us;
}

/* Samples are news until they are stale, and something may be due. */
static bool is_awake(const struct control *c, uint32_t slot)
{
    const struct control_wake *w = &c->wakes[slot];
    return c->jumped || w->fresh_until_us >= c->now_us || w->next_us <= c->now_us;
}

/* A service with nothing new and nothing due is not even looked at. But when the wall clock has
 * jumped, nobody knows what is due. */
static int on_tick(struct control *c, const struct event *e)
{
    int64_t offset_us = c->wall_us - c->now_us, moved_us = us_sub(offset_us, c->offset_us);
    c->jumped = moved_us > CONTROL_JUMP_US || moved_us < -CONTROL_JUMP_US;
    c->offset_us = offset_us;
    for (uint32_t slot = 0; slot < c->top; slot++) {
        if (is_awake(c, slot) && c->services[slot].used)
            control_mark_due(&c->services[slot], EVENT_TICK);
    }
    return 0;
}

typedef int handler(struct control *c, const struct event *e);

static handler *const handlers[EVENT_TYPE_MAX] = {
    [EVENT_TICK] = on_tick,
    [EVENT_SAMPLES] = control_on_samples,
    [EVENT_DOORBELL] = control_on_doorbell,
    [EVENT_STARTED] = control_on_started,
    [EVENT_START_FAILED] = control_on_start_failed,
    [EVENT_PROBE] = control_on_probe,
    [EVENT_EXITED] = control_on_exited,
    [EVENT_DRAINED] = control_on_drained,
    [EVENT_FOUND] = control_on_found,
    [EVENT_FOUND_ALL] = control_on_found_all,
    [EVENT_DRIVER] = control_on_driver,
    [EVENT_CONFIG] = control_on_config,
    [EVENT_OPERATOR] = control_on_operator,
    [EVENT_LEASE] = control_on_lease,
    [EVENT_RESTART] = control_on_restart,
    [EVENT_HISTORY] = control_on_history,
    [EVENT_LEAVING] = control_on_leaving,
    [EVENT_RESIZED] = control_on_resized,
};

/* Without the lease nothing that runs is ours to stop. */
static void settle_stop(struct control *c)
{
    if (!c->stopping || c->stop_said)
        return;
    if (!c->lease_lost) {
        FOR_EACH_SERVICE (s, c) {
            if (control_alive(s) > 0)
                return;
        }
    }
    c->stop_said = control_emit(c, NULL, ACTION_STOPPED) != NULL;
}

static void follow(struct control *c, struct control_service *s)
{
    control_follow(c, s);
    if (!s->leaving || control_alive(s) > 0 || s->list_until_us != 0)
        return;
    if (control_emit(c, s, ACTION_FORGET))
        control_service_clear(c, s);
}

/* Who shares a budget acts only when all have decided: what one gets another may have to give. */
static void settle(struct control *c, struct control_service *s)
{
    control_settle(c, s);
    c->divided = c->divided || s->shares;
    if (!s->shares)
        follow(c, s);
}

static bool is_due(const struct control *c, const struct control_service *s)
{
    return s->due || s->touched || s->publish || s->alert || c->wakes[s->slot].next_us <= c->now_us;
}

static void settle_rank(struct control *c, unsigned rank, bool awake_only)
{
    for (uint32_t slot = 0; slot < c->top; slot++) {
        struct control_service *s = &c->services[slot];
        if ((!awake_only || is_awake(c, slot)) && s->used && s->rank == rank && is_due(c, s))
            settle(c, s);
    }
}

/* Whom others follow goes first, so that these see what it has decided. */
static void settle_due(struct control *c, bool awake_only)
{
    for (unsigned rank = 0; rank <= c->rank_max; rank++)
        settle_rank(c, rank, awake_only);
}

static void settle_unfinished(struct control *c)
{
    FOR_EACH_SERVICE (s, c) {
        if (s->unfinished)
            settle(c, s);
    }
}

/* An event of one service settles that one, and whatever the last step had no room for. */
static void settle_after(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    bool unfinished = c->unfinished;
    c->unfinished = false;
    if (e->service < 0 || e->type == EVENT_TICK || e->type == EVENT_CONFIG) {
        settle_due(c, e->type == EVENT_TICK);
        return;
    }
    if (s && is_due(c, s))
        settle(c, s);
    if (unfinished)
        settle_unfinished(c);
}

static void find_next(struct control *c)
{
    c->next_us = US_NEVER;
    for (uint32_t slot = 0; slot < c->top; slot++)
        c->next_us = MIN(c->next_us, c->wakes[slot].next_us);
    c->next_changed = false;
}

/* Decisions under one budget make others due; what they settle on is soon found. */
#define PASSES_MAX 4

static void settle_shares(struct control *c)
{
    if (!c->divided)
        return;
    for (int pass = 1; c->again && pass < PASSES_MAX; pass++) {
        c->again = false;
        FOR_EACH_SERVICE (s, c) {
            if (s->shares && s->due)
                control_settle(c, s);
        }
    }
    FOR_EACH_SERVICE (s, c) {
        if (s->shares)
            follow(c, s);
    }
    c->again = c->divided = false;
}

int control_step(struct control *c, const struct event *e, struct actions *actions)
{
    assert(actions->cap >= CONTROL_ACTIONS_MIN);
    actions->count = 0;
    if ((unsigned)e->type >= EVENT_TYPE_MAX)
        return -EINVAL;
    c->out = actions;
    c->step++;
    c->said_count = 0;
    if (e->type == EVENT_RESTART && e->now_us < c->now_us)
        control_rebase(c, e->now_us);
    int64_t before_us = c->now_us;
    c->now_us = CLAMP(e->now_us, MAX(c->now_us, 1), CONTROL_TIME_MAX_US);
    c->wall_us = CLAMP(e->wall_us, -CONTROL_TIME_MAX_US, CONTROL_TIME_MAX_US);
    control_spend(c, before_us > 0 ? c->now_us - before_us : 0);
    int rc = handlers[e->type](c, e);
    settle_after(c, e);
    settle_shares(c);
    settle_stop(c);
    if (c->next_changed)
        find_next(c);
    c->out = NULL;
    return rc;
}

int64_t control_next_us(const struct control *c)
{
    return c->next_us;
}

int32_t control_find(const struct control *c, const char *service)
{
    const struct control_service *s = table_get(&c->names, slice_of(service));
    return s ? (int32_t)s->slot : -1;
}

int32_t control_desired(const struct control *c, uint32_t slot)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s)
        return -1;
    return control_is_leaving(c, s) ? 0 : s->desired;
}

const struct instance *control_instance(const struct control *c, uint32_t slot, uint32_t number)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    return s ? control_find_instance(s, number) : NULL;
}

const struct decision *control_decision(const struct control *c, uint32_t slot)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s || !s->evaluated || control_is_leaving(c, s))
        return NULL;
    if (s->said > 0 && s->said_step == c->step)
        return &c->said[s->said - 1];
    return control_rehearse(c, s);
}

uint32_t control_mark(const struct control *c, uint32_t slot)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s || control_is_leaving(c, s) || c->lease_lost || s->paused || s->operator_count >= 0)
        return UINT32_MAX;
    int32_t max = s->schedule_max >= 0 ? s->schedule_max : s->conf->max;
    if (s->count >= max || s->asked > s->count) /* it would not get more */
        return UINT32_MAX;
    return s->mark;
}

bool control_stopping(const struct control *c)
{
    return c->stopping;
}

bool control_view(const struct control *c, uint32_t slot, struct service_view *ret)
{
    const struct control_service *s = control_service(c, (int32_t)slot);
    if (!s)
        return false;
    *ret = (struct service_view){
        .slot = slot,
        .conf = s->conf,
        .desired = control_is_leaving(c, s) ? 0 : s->desired,
        .operator_count = s->operator_count,
        .operator_forced = s->operator_forced,
        .paused = s->paused,
        .leaving = control_is_leaving(c, s),
        .unlisted = s->list_until_us != 0,
        .driver_down = s->driver_down,
        .schedule_min = s->schedule_min,
        .schedule_max = s->schedule_max,
        .backoff_until_us = s->backoff_until_us > c->now_us ? s->backoff_until_us : 0,
        .start_failures = s->start_failures,
        .start_trouble = s->troubles[TROUBLE_START].on ? s->troubles[TROUBLE_START].text : NULL,
        .ready = (int32_t)s->in_state[INSTANCE_READY],
        .starting = control_starting(s),
        .failing = (int32_t)s->in_state[INSTANCE_FAILING],
        .draining = control_draining(s),
        .start_us = s->start_us,
        .instance_count = s->instance_count,
        .instances = s->instances,
    };
    str_copy(ret->trouble, sizeof(ret->trouble), control_trouble_text(s));
    return true;
}

bool control_budget(const struct control *c, uint32_t n, struct budget_view *ret)
{
    if (n >= c->budget_count)
        return false;
    const struct control_budget *b = &c->budgets[n];
    *ret = (struct budget_view){ .conf = &b->conf, .rate = b->rate };
    for (int p = 0; p < BUDGET_PERIOD_MAX; p++) {
        ret->spent[p] = b->state.purse[p].spent;
        ret->until_us[p] = b->state.purse[p].end_us;
        ret->tight[p] = b->state.purse[p].tight;
    }
    return true;
}
