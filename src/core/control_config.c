/* Configuration: services are matched by name, keep their slots and what is known of them; rules
 * that did not change keep what they remember. Each service has one copy of its configuration, in a
 * pool, as long as its rules are many: what changes in length is freed first, then the holes are
 * closed, then what is new is put in. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

/* -- copies of configurations -------------------------------------------------------------------
 */

static size_t bytes_of(const struct service_conf *conf)
{
    return offsetof(struct service_conf, rules) + conf->rule_count * sizeof(conf->rules[0]);
}

static void *take(struct pool *p, size_t bytes, void *owner)
{
    void *block = pool_take(p, bytes, owner);
    if (block)
        return block;
    pool_compact(p);
    return pool_take(p, bytes, owner);
}

bool control_take_conf(struct control *c, struct control_service *s,
                       const struct service_conf *conf)
{
    s->conf = take(&c->conf_pool, bytes_of(conf), &s->conf);
    if (s->conf)
        memcpy(s->conf, conf, bytes_of(conf));
    return s->conf != NULL;
}

/* -- what rules remember ------------------------------------------------------------------------
 */

static uint32_t more_of(const struct rule_conf *r)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    return ops->more_words ? ops->more_words(r) : 0;
}

void control_free_rules(struct control_service *s)
{
    for (uint32_t n = 0; n < MODEL_RULES_MAX; n++) {
        pool_give(s->rule_states[n].more);
        s->rule_states[n] = (struct rule_state){ 0 };
    }
}

static void take_words(struct control *c, struct control_service *s)
{
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        struct rule_state *state = &s->rule_states[n];
        uint32_t count = more_of(&s->conf->rules[n]);
        if (count == 0 || state->more)
            continue;
        state->more = take(&c->word_pool, count * sizeof(*state->more), &state->more);
        state->more_count = state->more ? count : 0;
    }
}

/* Names are for people: a renamed rule is the same rule. */
static bool same_rule(const struct rule_conf *a, const struct rule_conf *b)
{
    size_t from = offsetof(struct rule_conf, target);
    return a->kind == b->kind &&
           memcmp((const char *)a + from, (const char *)b + from, sizeof(*a) - from) == 0;
}

static void keep_rule_states(struct control_service *s, const struct service_conf *conf)
{
    struct rule_state kept[MODEL_RULES_MAX] = { 0 };
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        for (uint32_t old = 0; old < s->conf->rule_count; old++) {
            struct rule_state *state = &s->rule_states[old];
            bool taken = state->more_count == UINT32_MAX;
            if (taken || !same_rule(&conf->rules[n], &s->conf->rules[old]))
                continue;
            kept[n] = *state;
            *state = (struct rule_state){ .more_count = UINT32_MAX };
            break;
        }
    }
    control_free_rules(s);
    memcpy(s->rule_states, kept, sizeof(kept));
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        if (kept[n].more)
            pool_move_owner(s->rule_states[n].more, &s->rule_states[n].more);
    }
}

/* -- services -----------------------------------------------------------------------------------
 */

void control_service_reset(struct control *c, struct control_service *s)
{
    control_free_series(c, s);
    control_free_rules(s);
    *s = (struct control_service){ .slot = s->slot, .instances = s->instances };
    c->wakes[s->slot] = (struct control_wake){ US_NEVER, INT64_MIN };
    c->peers[s->slot] = (struct rule_peer){ .name = "" };
    c->next_changed = c->rates_changed = true;
}

void control_service_clear(struct control *c, struct control_service *s)
{
    table_take(&c->names, slice_of(s->conf->name));
    pool_give(s->conf);
    control_service_reset(c, s);
}

/* Is the engine still to list what runs? While it is away it cannot. */
static int64_t list_until_us(const struct control *c)
{
    if (c->list_until_us != 0 && c->driver_down)
        return us_add(c->now_us, CONTROL_LIST_US);
    return c->list_until_us > c->now_us ? c->list_until_us : 0;
}

void control_service_init(struct control *c, struct control_service *s)
{
    struct service_conf *conf = s->conf;
    *s = (struct control_service){
        .used = true,
        .slot = s->slot,
        .conf = conf,
        .instances = s->instances,
        .operator_count = -1,
        .schedule_min = -1,
        .schedule_max = -1,
        .spent = -1,
        .sibling = -1,
        .since_us = c->now_us,
        .act_next_us = US_NEVER,
        .decide_next_us = US_NEVER,
        .demand = { -1, -1, -1 },
        .driver_down = c->driver_down,
        .list_until_us = list_until_us(c),
        .start_us = CONTROL_START_US,
        .publish = true,
        .touched = true,
    };
    int32_t initial = conf->initial >= 0 ? conf->initial : conf->min == 0 ? 0 : MAX(conf->min, 1);
    s->count = s->asked = CLAMP(initial, 0, MAX(conf->max, 0));
    s->adopting = s->list_until_us != 0;
    c->top = MAX(c->top, s->slot + 1);
    control_fit_series(c, s);
    take_words(c, s);
}

struct control_service *control_free_service(struct control *c, uint32_t *from)
{
    while (*from < c->caps.services && c->services[*from].used)
        (*from)++;
    return *from < c->caps.services ? &c->services[*from] : NULL;
}

/* -- who knows whom -----------------------------------------------------------------------------
 */

static bool follows_others(const struct service_conf *conf)
{
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        if (conf->rules[n].kind == RULE_RATIO)
            return true;
    }
    return conf->after_count > 0 || conf->budget >= 0;
}

static void link_order(struct control *c, struct control_service *s)
{
    for (uint32_t n = 0; n < MODEL_AFTER_MAX; n++) {
        bool named = n < s->conf->after_count && !s->leaving;
        s->after[n] = named ? control_find(c, s->conf->after[n]) : -1;
        if (s->after[n] == (int32_t)s->slot)
            s->after[n] = -1;
        if (s->after[n] >= 0)
            c->services[s->after[n]].followed = true;
    }
}

static void link_budget(struct control *c, struct control_service *s)
{
    s->sibling = -1;
    s->shares = false;
    if (s->leaving || s->conf->budget < 0 || (uint32_t)s->conf->budget >= c->budget_count)
        return;
    struct control_budget *b = &c->budgets[s->conf->budget];
    s->shares = true;
    s->sibling = b->first;
    b->first = (int32_t)s->slot;
}

/* The highest rank of those it follows, and one more. */
static uint8_t rank_of(const struct control *c, const struct control_service *s)
{
    uint8_t rank = 0;
    for (uint32_t n = 0; n < MODEL_AFTER_MAX; n++) {
        if (s->after[n] >= 0)
            rank = MAX(rank, c->services[s->after[n]].rank + 1);
    }
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        const struct rule_conf *r = &s->conf->rules[n];
        int32_t slot = r->kind == RULE_RATIO ? control_find(c, r->ratio.service) : -1;
        if (slot >= 0)
            rank = MAX(rank, c->services[slot].rank + 1);
    }
    return MIN(rank, CONTROL_RANK_MAX);
}

/* Whom somebody follows decides first. A circle ends at the highest rank. */
static void link_ranks(struct control *c)
{
    c->rank_max = 0;
    for (unsigned pass = 0; pass < CONTROL_RANK_MAX; pass++) {
        FOR_EACH_SERVICE (s, c) {
            s->rank = s->follows ? rank_of(c, s) : 0;
            c->rank_max = MAX(c->rank_max, s->rank);
        }
        if (c->rank_max <= pass)
            return;
    }
}

void control_link_services(struct control *c)
{
    for (uint32_t n = 0; n < c->budget_count; n++)
        c->budgets[n].first = -1;
    memset(c->names.slots, 0, c->names.cap * sizeof(*c->names.slots));
    c->names.count = 0;
    FOR_EACH_SERVICE (s, c) {
        s->followed = false;
        s->follows = follows_others(s->conf);
        control_find_mark(s);
        c->peers[s->slot] = (struct rule_peer){ .name = s->leaving ? "" : s->conf->name };
        table_put(&c->names, slice_of(s->conf->name), s);
    }
    FOR_EACH_SERVICE (s, c)
        link_order(c, s);
    link_ranks(c);
    for (uint32_t n = c->top; n-- > 0;) {
        if (c->services[n].used)
            link_budget(c, &c->services[n]);
    }
    c->rates_changed = true;
}

/* -- a new configuration ------------------------------------------------------------------------
 */

/* What services need of the pools that all share. */
struct need {
    size_t conf_bytes, word_bytes, rings;
};

static size_t count_bits(uint32_t set)
{
    size_t count = 0;
    for (; set != 0; set &= set - 1)
        count++;
    return count;
}

static bool add_need(struct need *all, const struct service_conf *conf)
{
    all->conf_bytes += pool_bytes(bytes_of(conf));
    all->rings += count_bits(control_metrics_of(conf));
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        uint32_t more = more_of(&conf->rules[n]);
        all->word_bytes += more > 0 ? pool_bytes(more * sizeof(int64_t)) : 0;
        if (more > CONTROL_MORE_MAX)
            return false;
    }
    return true;
}

static bool fits(const struct control *c, const struct model_conf *m)
{
    struct need all = { 0 };
    size_t used = 0, named = 0;
    if (m->service_count > c->caps.services || m->zone_count > MODEL_ZONES_MAX ||
        m->budget_count > MODEL_BUDGETS_MAX)
        return false;
    for (uint32_t n = 0; n < m->service_count; n++) {
        named += control_find(c, m->services[n].name) >= 0;
        if (m->services[n].rule_count > MODEL_RULES_MAX || !add_need(&all, &m->services[n]))
            return false;
    }
    FOR_EACH_SERVICE (s, c)
        used++;
    size_t leaving = used - named; /* they have no rules any more */
    all.conf_bytes += leaving * pool_bytes(offsetof(struct service_conf, rules));
    return leaving + m->service_count <= c->caps.services && all.conf_bytes <= c->conf_pool.cap &&
           all.word_bytes <= c->word_pool.cap && all.rings <= c->ring_count;
}

/* Nobody decides on it any more. */
static void leave(struct control *c, struct control_service *s)
{
    control_free_series(c, s);
    control_free_rules(s);
    s->conf->rule_count = 0;
    pool_trim(s->conf, bytes_of(s->conf));
}

/* The first half: each service that stays keeps what its rules remember, and lets its configuration
 * go where the new one is of another length. Writes down in c->slots who is meant. */
static void match_services(struct control *c, const struct model_conf *m)
{
    FOR_EACH_SERVICE (s, c)
        s->leaving = s->publish = s->touched = true;
    for (uint32_t n = 0; n < m->service_count; n++) {
        const struct service_conf *conf = &m->services[n];
        struct control_service *s = control_service(c, control_find(c, conf->name));
        c->slots[n] = s ? (int32_t)s->slot : -1;
        if (!s)
            continue;
        s->leaving = false;
        keep_rule_states(s, conf);
        if (bytes_of(s->conf) == bytes_of(conf)) {
            memcpy(s->conf, conf, bytes_of(conf));
        } else {
            pool_give(s->conf);
            s->conf = NULL;
        }
    }
    FOR_EACH_SERVICE (s, c) {
        if (s->leaving)
            leave(c, s);
    }
}

/* The second half: nothing stands in the way any more of what is new. */
static void place_services(struct control *c, const struct model_conf *m)
{
    for (uint32_t n = 0; n < m->service_count; n++) {
        struct control_service *s = control_service(c, c->slots[n]);
        if (s && !s->conf)
            control_take_conf(c, s, &m->services[n]);
        if (s)
            control_drop_series(c, s);
    }
    uint32_t from = 0;
    for (uint32_t n = 0; n < m->service_count; n++) {
        struct control_service *s = control_service(c, c->slots[n]);
        if (s) {
            control_fit_series(c, s);
            take_words(c, s);
        } else {
            s = control_free_service(c, &from);
            control_take_conf(c, s, &m->services[n]);
            control_service_init(c, s);
        }
        s->conf->budget = s->conf->budget < (int32_t)m->budget_count ? s->conf->budget : -1;
    }
}

/* A budget that had this name before goes on with what it has spent. */
static void take_budgets(struct control *c, const struct model_conf *m)
{
    struct control_budget old[MODEL_BUDGETS_MAX];
    uint32_t old_count = c->budget_count;
    memcpy(old, c->budgets, sizeof(old));
    c->budget_count = m->budget_count;
    for (uint32_t n = 0; n < m->budget_count; n++) {
        struct control_budget *b = &c->budgets[n];
        *b = (struct control_budget){ .conf = m->budgets[n], .first = -1 };
        for (uint32_t k = 0; k < old_count; k++) {
            if (strcmp(old[k].conf.name, b->conf.name) == 0)
                b->state = old[k].state;
        }
        for (int p = 0; p < BUDGET_PERIOD_MAX; p++)
            b->state.purse[p].tight = false; /* it, or who shares it, may be another now */
    }
}

int control_on_config(struct control *c, const struct event *e)
{
    const struct model_conf *m = e->conf;
    if (!m)
        return -EINVAL;
    if (!fits(c, m))
        return -ENOBUFS;
    c->zone_count = m->zone_count;
    memcpy(c->zones, m->zones, sizeof(c->zones));
    take_budgets(c, m);
    match_services(c, m);
    int64_t until_us = c->list_until_us;
    if (e->flag)
        c->list_until_us = us_add(c->now_us, CONTROL_LIST_US);
    place_services(c, m);
    c->list_until_us = until_us;
    control_link_services(c);
    FOR_EACH_SERVICE (s, c)
        control_mark_due(s, EVENT_CONFIG);
    return 0;
}
