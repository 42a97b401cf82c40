/* The state as words and back. One function per struct walks its fields; what it does with each
 * (count, write, read) is the walker's mode, so that saving and loading cannot disagree.
 *
 * Layout: version, number of words, checksum of what follows, then the fields in the order below.
 * Configurations are not saved, but a service that is leaving has none any more: the few values
 * that its end needs go along with every service.
 *
 * A state comes from a file: whatever the words are, the core must go on with it without tripping
 * over an assertion. So each field has its range, and what is out of it makes the whole no state.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

#define SAVE_VERSION UINT64_C(4)
#define SAVE_HEAD_WORDS 3

enum walk_mode { WALK_COUNT, WALK_SAVE, WALK_LOAD };

struct walk {
    enum walk_mode mode;
    uint64_t *words;
    size_t cap, at;
    int64_t now_us; /* of the state; known once its head is */
    bool bad;       /* a value out of its range, or too few words */
};

static void walk_u64(struct walk *w, uint64_t *x)
{
    if (w->mode != WALK_COUNT && w->at >= w->cap)
        w->bad = true;
    else if (w->mode == WALK_SAVE)
        w->words[w->at] = *x;
    else if (w->mode == WALK_LOAD)
        *x = w->words[w->at];
    w->at++;
}

static void walk_i64(struct walk *w, int64_t *x)
{
    uint64_t u = (uint64_t)*x;
    walk_u64(w, &u);
    *x = (int64_t)u;
}

/* What is being loaded is like this, or it is no state. */
static void expect(struct walk *w, bool holds)
{
    w->bad = w->bad || (w->mode == WALK_LOAD && !holds);
}

static void walk_i64_within(struct walk *w, int64_t *x, int64_t least, int64_t most)
{
    walk_i64(w, x);
    expect(w, *x >= least && *x <= most);
    if (w->bad && w->mode == WALK_LOAD)
        *x = least;
}

/* A duration, or an instant that may still come. */
static void walk_us(struct walk *w, int64_t *x)
{
    walk_i64_within(w, x, 0, US_NEVER);
}

/* An instant that has been; 0 = never. */
static void walk_past(struct walk *w, int64_t *x)
{
    walk_i64_within(w, x, 0, w->now_us);
}

/* `most` is the largest value that may be loaded. */
static void walk_u32(struct walk *w, uint32_t *x, uint32_t most)
{
    uint64_t u = *x;
    walk_u64(w, &u);
    if (u > most) {
        w->bad = true;
        u = 0;
    }
    *x = (uint32_t)u;
}

static void walk_i32(struct walk *w, int32_t *x, int32_t least, int32_t most)
{
    int64_t i = *x;
    walk_i64(w, &i);
    if (i < least || i > most) {
        w->bad = true;
        i = least;
    }
    *x = (int32_t)i;
}

static void walk_bool(struct walk *w, bool *x)
{
    uint32_t u = *x;
    walk_u32(w, &u, 1);
    *x = u != 0;
}

static void walk_double(struct walk *w, double *x)
{
    uint64_t u;
    static_assert(sizeof(u) == sizeof(*x), "a double is one word");
    memcpy(&u, x, sizeof(u));
    walk_u64(w, &u);
    memcpy(x, &u, sizeof(u));
    expect(w, isfinite(*x));
}

/* Eight bytes a word, the first in the lowest bits; always whole, so that the layout is fixed. */
static void walk_text(struct walk *w, char *text, size_t cap)
{
    for (size_t at = 0; at < cap; at += 8) {
        uint64_t u = 0;
        for (size_t n = 0; n < 8 && at + n < cap; n++)
            u |= (uint64_t)(unsigned char)text[at + n] << (8 * n);
        walk_u64(w, &u);
        for (size_t n = 0; n < 8 && at + n < cap; n++)
            text[at + n] = (char)(u >> (8 * n));
    }
    if (w->mode == WALK_LOAD)
        text[cap - 1] = '\0';
}

static void walk_instance(struct walk *w, struct instance *i, uint32_t highest)
{
    uint32_t state = i->state;
    walk_u32(w, &state, INSTANCE_GONE);
    i->state = (enum instance_state)state;
    walk_u32(w, &i->number, highest);
    walk_u32(w, &i->launch, UINT32_MAX);
    walk_u64(w, &i->template);
    walk_u64(w, &i->shape);
    walk_u64(w, &i->resizing);
    walk_past(w, &i->told_us);
    walk_past(w, &i->state_us);
    walk_past(w, &i->started_us);
    walk_us(w, &i->deadline_us);
    walk_past(w, &i->ready_us);
    walk_u32(w, &i->probes_failed, UINT32_MAX);
    walk_u32(w, &i->probes_passed, UINT32_MAX);
    walk_bool(w, &i->protected_);
    walk_bool(w, &i->replace);
    walk_bool(w, &i->evict);
    walk_bool(w, &i->asked);
    walk_bool(w, &i->running);
    walk_bool(w, &i->found);
    walk_bool(w, &i->again);
    walk_bool(w, &i->timed);
    for (unsigned m = 0; m < METRIC_BUILTIN_MAX; m++) {
        walk_past(w, &i->sample_us[m]);
        walk_double(w, &i->sample[m]);
    }
    expect(w, i->number != 0);
}

/* Most points are of one value: the lowest bit of the first word says which are not. */
static void walk_point(struct walk *w, struct series_point *p)
{
    int64_t head = p->at_us * 2 + (p->least != p->most || p->mean != p->value);
    walk_i64_within(w, &head, 0, w->now_us * 2 + 1);
    p->at_us = head / 2;
    walk_double(w, &p->value);
    if (head % 2 == 0) {
        p->mean = p->least = p->most = p->value;
        return;
    }
    walk_double(w, &p->mean);
    walk_double(w, &p->least);
    walk_double(w, &p->most);
    expect(w, p->least <= p->value && p->value <= p->most);
}

/* Points oldest first; where the ring begins goes along, because sums are made by its blocks. */
static void walk_series(struct walk *w, struct series *x, uint32_t cap)
{
    uint32_t count = x->count;
    int64_t last_us = -1;
    walk_u32(w, &count, cap);
    walk_u32(w, &x->head, cap - 1);
    walk_past(w, &x->gap_us);
    if (w->mode == WALK_LOAD)
        x->count = w->bad ? 0 : count;
    for (uint32_t n = 0; n < count && !w->bad; n++) {
        struct series_point *p = &x->points[(x->head + n) % x->cap];
        walk_point(w, p);
        expect(w, p->at_us > last_us);
        last_us = p->at_us;
    }
    if (w->mode == WALK_LOAD && !w->bad)
        series_restore_blocks(x);
}

/* Of a metric that this configuration does not look at. */
static void skip_series(struct walk *w, uint32_t cap)
{
    struct series none = { 0 };
    struct series_point point = { 0 };
    uint32_t count = 0;
    walk_u32(w, &count, cap);
    walk_u32(w, &none.head, cap - 1);
    walk_past(w, &none.gap_us);
    for (uint32_t n = 0; n < count && !w->bad; n++)
        walk_point(w, &point);
}

static void walk_trouble(struct walk *w, struct trouble *t)
{
    walk_bool(w, &t->on);
    walk_bool(w, &t->say);
    walk_text(w, t->text, sizeof(t->text));
}

/* What identifies a rule over a restart, for its state to be taken up again. */
static uint64_t rule_key(const struct rule_conf *r)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    const unsigned char *p = (const unsigned char *)r;
    for (size_t n = offsetof(struct rule_conf, target); n < sizeof(*r); n++)
        hash = (hash ^ p[n]) * UINT64_C(1099511628211);
    return hash ^ (uint64_t)r->kind;
}

/* What it remembers beyond its own words, if it is still the same rule; else it is skipped. */
static void walk_more(struct walk *w, struct rule_state *state, bool same)
{
    uint32_t count = state ? state->more_count : 0;
    walk_u32(w, &count, CONTROL_MORE_MAX);
    for (uint32_t n = 0; n < count && !w->bad; n++) {
        int64_t word = same && n < state->more_count ? state->more[n] : 0;
        walk_i64(w, &word);
        if (same && n < state->more_count)
            state->more[n] = word;
    }
}

static void walk_rules(struct walk *w, struct control_service *s)
{
    uint32_t count = s->conf->rule_count;
    walk_u32(w, &count, MODEL_RULES_MAX);
    for (uint32_t n = 0; n < count && !w->bad; n++) {
        bool has = n < s->conf->rule_count;
        uint64_t own = has ? rule_key(&s->conf->rules[n]) : 0, key = own;
        struct rule_state *state = &s->rule_states[n];
        walk_u64(w, &key);
        bool same = has && key == own;
        for (unsigned k = 0; k < RULE_STATE_WORDS; k++) {
            int64_t word = state->word[k];
            walk_i64_within(w, &word, -1, US_NEVER);
            if (same)
                state->word[k] = word;
        }
        walk_more(w, has ? state : NULL, same);
    }
}

static void walk_behavior(struct walk *w, struct behavior_state *b)
{
    static_assert(sizeof(*b) == BEHAVIOR_STATE_WORDS * sizeof(int64_t), "nothing but words");
    int64_t words[BEHAVIOR_STATE_WORDS];
    memcpy(words, b, sizeof(words));
    for (unsigned n = 0; n < BEHAVIOR_STATE_WORDS; n++)
        walk_i64(w, &words[n]);
    memcpy(b, words, sizeof(words));
    expect(w, behavior_state_is_sane(b));
}

static void walk_all_series(struct walk *w, const struct control *c, struct control_service *s)
{
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        bool has = s->ring[m] != 0;
        walk_bool(w, &has);
        if (!has || w->bad)
            continue;
        if (s->ring[m] == 0)
            skip_series(w, c->caps.points);
        else
            walk_series(w, &s->series[m], c->caps.points);
    }
}

static void walk_plan(struct walk *w, const struct control *c, struct control_service *s)
{
    walk_i32(w, &s->desired, 0, MODEL_COUNT_MAX);
    walk_i32(w, &s->count, 0, MODEL_COUNT_MAX);
    walk_i32(w, &s->operator_count, -1, MODEL_COUNT_MAX);
    walk_bool(w, &s->operator_forced);
    walk_bool(w, &s->paused);
    walk_i32(w, &s->schedule_min, -1, INT32_MAX);
    walk_i32(w, &s->schedule_max, -1, INT32_MAX);
    walk_u32(w, &s->start_failures, UINT32_MAX);
    walk_u32(w, &s->launches, UINT32_MAX);
    walk_u32(w, &s->failure_launch, UINT32_MAX);
    walk_past(w, &s->failure_us);
    walk_i64_within(w, &s->backoff_until_us, 0, us_add(w->now_us, BACKOFF_LAST_US));
    walk_bool(w, &s->driver_down);
    walk_bool(w, &s->adopting);
    walk_i64_within(w, &s->list_until_us, 0, us_add(w->now_us, CONTROL_LIST_US));
    walk_text(w, s->probe_text, sizeof(s->probe_text));
    for (int k = 0; k < TROUBLE_MAX; k++)
        walk_trouble(w, &s->troubles[k]);
    walk_u32(w, &s->number, UINT32_MAX - 1);
    walk_u32(w, &s->instance_count, c->caps.instances);
    for (uint32_t n = 0; n < s->instance_count && !w->bad; n++) {
        walk_instance(w, &s->instances[n], s->number);
        if (w->mode == WALK_LOAD && s->instances[n].state != INSTANCE_GONE)
            s->in_state[s->instances[n].state]++;
    }
    for (int n = 0; n < CONTROL_STARTS; n++)
        walk_i64_within(w, &s->took_us[n], 0, 365 * US_PER_DAY);
    walk_u32(w, &s->took_at, CONTROL_STARTS - 1);
}

/* What holds counts back. */
static void walk_limits(struct walk *w, struct control_service *s)
{
    int32_t spent = s->spent;
    walk_i32(w, &s->asked, 0, INT32_MAX);
    walk_i32(w, &s->min_now, 0, MODEL_COUNT_MAX);
    walk_past(w, &s->wants_in_us);
    walk_past(w, &s->held_us);
    walk_past(w, &s->held_in_us);
    walk_us(w, &s->waste.sum_us);
    walk_past(w, &s->waste.at_us);
    walk_i32(w, &s->waste.surplus, 0, INT32_MAX);
    walk_i32(w, &spent, -1, BUDGET_PERIOD_MAX - 1);
    s->spent = (int8_t)spent;
}

static void walk_decided(struct walk *w, struct control_service *s)
{
    uint32_t cause = s->cause;
    walk_i64_within(w, &s->demand.in_flight, -1, INT32_MAX);
    walk_i64_within(w, &s->demand.queued, -1, INT32_MAX);
    walk_i64_within(w, &s->demand.connections, -1, INT32_MAX);
    walk_bool(w, &s->due);
    walk_bool(w, &s->publish);
    walk_bool(w, &s->unfinished);
    walk_bool(w, &s->alert);
    walk_bool(w, &s->touched);
    walk_us(w, &s->act_next_us);
    walk_bool(w, &s->demand_seen);
    walk_past(w, &s->since_us);
    walk_u32(w, &cause, EVENT_TYPE_MAX - 1);
    walk_us(w, &s->decide_next_us);
    walk_u64(w, &s->signature);
    walk_past(w, &s->recorded_us);
    s->cause = (uint8_t)cause;
}

static void walk_wake(struct walk *w, struct control_wake *x)
{
    walk_us(w, &x->next_us);
    walk_i64(w, &x->fresh_until_us);
}

/* The newest decision itself is a view and not saved: after a load there is none until the next,
 * but that there has been one is remembered. */
static void walk_service(struct walk *w, struct control *c, struct control_service *s)
{
    walk_bool(w, &s->decided);
    walk_plan(w, c, s);
    walk_limits(w, s);
    walk_rules(w, s);
    walk_behavior(w, &s->behavior);
    walk_all_series(w, c, s);
    walk_decided(w, s);
    walk_wake(w, &c->wakes[s->slot]);
}

/* What a service without configuration needs to come to its end. */
static void walk_identity(struct walk *w, struct service_conf *conf, bool *leaving)
{
    walk_text(w, conf->name, sizeof(conf->name));
    walk_i32(w, &conf->surge, 0, INT32_MAX);
    walk_us(w, &conf->drain_us);
    walk_us(w, &conf->start_within_us);
    walk_us(w, &conf->launch_within_us);
    walk_u32(w, &conf->health.fail_after, UINT32_MAX);
    walk_u32(w, &conf->health.pass_after, UINT32_MAX);
    walk_us(w, &conf->health.replace_after_us);
    walk_u64(w, &conf->template);
    walk_bool(w, &conf->can_choose_victim);
    walk_bool(w, leaving);
}

static void walk_head(struct walk *w, struct control *c)
{
    walk_i64_within(w, &c->now_us, 0, CONTROL_TIME_MAX_US);
    walk_i64_within(w, &c->wall_us, -CONTROL_TIME_MAX_US, CONTROL_TIME_MAX_US);
    w->now_us = c->now_us;
    walk_u64(w, &c->sequence);
    walk_bool(w, &c->lease_lost);
    walk_u64(w, &c->token);
    walk_bool(w, &c->driver_down);
    walk_bool(w, &c->stopping);
    walk_bool(w, &c->stop_said);
    walk_i64_within(w, &c->list_until_us, 0, us_add(c->now_us, CONTROL_LIST_US));
    walk_i64_within(w, &c->offset_us, -2 * CONTROL_TIME_MAX_US, 2 * CONTROL_TIME_MAX_US);
}

static void walk_purse(struct walk *w, struct budget_purse *p)
{
    walk_i64_within(w, &p->begin_us, -CONTROL_TIME_MAX_US, CONTROL_TIME_MAX_US);
    walk_i64_within(w, &p->end_us, -CONTROL_TIME_MAX_US, US_NEVER);
    walk_double(w, &p->spent);
    walk_bool(w, &p->tight);
    expect(w, p->spent >= 0);
}

/* By name: what was spent of one that is not configured any more is nobody's. */
static void walk_budgets(struct walk *w, struct control *c)
{
    uint32_t count = c->budget_count;
    walk_u32(w, &count, MODEL_BUDGETS_MAX);
    for (uint32_t n = 0; n < count && !w->bad; n++) {
        struct control_budget x =
            n < c->budget_count ? c->budgets[n] : (struct control_budget){ 0 };
        walk_text(w, x.conf.name, sizeof(x.conf.name));
        for (int p = 0; p < BUDGET_PERIOD_MAX; p++)
            walk_purse(w, &x.state.purse[p]);
        for (uint32_t k = 0; k < c->budget_count && w->mode == WALK_LOAD && !w->bad; k++) {
            if (strcmp(c->budgets[k].conf.name, x.conf.name) == 0)
                c->budgets[k].state = x.state;
        }
    }
}

/* A configuration of that name is waiting for its slot: it gets it. They come mostly in order. */
static bool place_waiting(struct control *c, struct control_service *s, const char *name)
{
    for (uint32_t n = 0; n < c->waiting_count; n++) {
        uint32_t at = (s->slot + n) % c->waiting_count;
        struct service_conf *conf = c->waiting[at];
        if (!conf || strcmp(conf->name, name) != 0)
            continue;
        s->conf = conf;
        pool_move_owner(conf, &s->conf);
        c->waiting[at] = NULL;
        return true;
    }
    return false;
}

/* Reads which service lies in this slot, and prepares it: with the configuration of that name, or
 * as one that is leaving. `ret_news` says whether it was not leaving yet. */
static void place(struct walk *w, struct control *c, struct control_service *s, bool *ret_news)
{
    struct service_conf conf = { .budget = -1 };
    bool leaving = false;
    walk_identity(w, &conf, &leaving);
    *ret_news = !leaving;
    expect(w, conf.name[0] != '\0' && control_find(c, conf.name) < 0);
    s->used = false; /* until it is one */
    if (w->bad)
        return;
    leaving = !place_waiting(c, s, conf.name);
    *ret_news = *ret_news && leaving;
    if (leaving && !control_take_conf(c, s, &conf)) {
        w->bad = true;
        return;
    }
    control_service_init(c, s);
    s->leaving = leaving;
    if (!leaving) {
        table_put(&c->names, slice_of(s->conf->name), s);
        return;
    }
    control_free_series(c, s);
    control_link_services(c); /* configurations may have moved to make room for its own */
}

static void walk_state(struct walk *w, struct control *c)
{
    walk_head(w, c);
    walk_budgets(w, c);
    for (uint32_t n = 0; n < c->caps.services && !w->bad; n++) {
        struct control_service *s = &c->services[n];
        bool used = s->used, news = false;
        walk_bool(w, &used);
        if (!used || w->bad)
            continue;
        if (w->mode == WALK_LOAD)
            place(w, c, s, &news);
        else
            walk_identity(w, s->conf, &s->leaving);
        if (!w->bad)
            walk_service(w, c, s);
        s->touched = s->touched || news;
    }
}

static uint64_t checksum(const uint64_t *words, size_t count)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t n = 0; n < count; n++)
        sum = (sum ^ words[n]) * UINT64_C(1099511628211) + (sum >> 29);
    return sum;
}

/* A walk that does not load writes nothing but what is there already. */
static struct control *unlocked(const struct control *c)
{
    union {
        const struct control *in;
        struct control *out;
    } u = { .in = c };
    return u.out;
}

size_t control_save_words(const struct control *c)
{
    struct walk w = { .mode = WALK_COUNT };
    walk_state(&w, unlocked(c));
    return SAVE_HEAD_WORDS + w.at;
}

size_t control_save(const struct control *c, uint64_t *words, size_t cap)
{
    size_t count = control_save_words(c);
    if (cap < count)
        return 0;
    struct walk w = { .mode = WALK_SAVE,
                      .words = words + SAVE_HEAD_WORDS,
                      .cap = count - SAVE_HEAD_WORDS };
    walk_state(&w, unlocked(c));
    words[0] = SAVE_VERSION;
    words[1] = count;
    words[2] = checksum(w.words, w.cap);
    return count;
}

static void wait_for_slot(struct control *c, struct service_conf *conf)
{
    if (!conf)
        return;
    struct service_conf **place = &c->waiting[c->waiting_count++];
    *place = conf;
    pool_move_owner(conf, place);
}

/* Nothing is known any more but the configuration, and that has no slots. */
static void clear(struct control *c)
{
    uint32_t waiting = c->waiting_count;
    c->waiting_count = 0;
    for (uint32_t n = 0; n < waiting; n++)
        wait_for_slot(c, c->waiting[n]);
    FOR_EACH_SERVICE (s, c) {
        if (s->leaving)
            pool_give(s->conf);
        else
            wait_for_slot(c, s->conf);
        control_service_reset(c, s);
    }
    for (uint32_t n = 0; n < c->budget_count; n++)
        c->budgets[n].state = (struct budget_state){ 0 };
    c->top = 0;
    c->sequence = 0;
    c->now_us = c->wall_us = c->offset_us = 0;
    c->token = 0;
    c->lease_lost = c->driver_down = c->stopping = c->stop_said = c->unfinished = false;
    c->list_until_us = 0;
    control_link_services(c);
}

/* What the state did not speak of begins anew, in the slots that are left. */
static void place_rest(struct control *c)
{
    uint32_t from = 0;
    for (uint32_t n = 0; n < c->waiting_count; n++) {
        struct service_conf *conf = c->waiting[n];
        struct control_service *s = conf ? control_free_service(c, &from) : NULL;
        if (s) {
            s->conf = conf;
            pool_move_owner(conf, &s->conf);
            control_service_init(c, s);
        } else {
            pool_give(conf);
        }
    }
    c->waiting_count = 0;
    control_link_services(c);
}

/* What was not in the words follows from what was. */
static void look_again(struct control *c)
{
    c->next_changed = true;
    FOR_EACH_SERVICE (s, c) {
        c->unfinished = c->unfinished || s->unfinished;
        c->peers[s->slot].desired = s->count;
        c->peers[s->slot].ready = (int32_t)s->in_state[INSTANCE_READY];
        control_find_start(s);
    }
}

int control_load(struct control *c, const uint64_t *words, size_t count)
{
    if (count < SAVE_HEAD_WORDS || words[0] != SAVE_VERSION || words[1] != count ||
        words[2] != checksum(words + SAVE_HEAD_WORDS, count - SAVE_HEAD_WORDS))
        return -EPROTO;
    union {
        const uint64_t *in;
        uint64_t *out;
    } from = { .in = words + SAVE_HEAD_WORDS };
    struct walk w = { .mode = WALK_LOAD, .words = from.out, .cap = count - SAVE_HEAD_WORDS };
    clear(c);
    walk_state(&w, c);
    bool good = !w.bad && w.at == w.cap;
    if (!good)
        clear(c);
    place_rest(c);
    look_again(c);
    return good ? 0 : -EPROTO;
}
