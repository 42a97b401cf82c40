/* The book of alerts: which fire, who has been told, and who is next. */
#include "core/alert.h"

#include <assert.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"

static const char *const state_names[ALERT_STATE_MAX] = {
    [ALERT_FREE] = "free",
    [ALERT_PENDING] = "pending",
    [ALERT_FIRING] = "firing",
    [ALERT_RESOLVED] = "resolved",
};

static const uint8_t move_ok[ALERT_STATE_MAX] = {
    [ALERT_FREE] = BIT(ALERT_PENDING) | BIT(ALERT_FIRING),
    [ALERT_PENDING] = BIT(ALERT_FIRING) | BIT(ALERT_RESOLVED) | BIT(ALERT_FREE),
    [ALERT_FIRING] = BIT(ALERT_RESOLVED),
    [ALERT_RESOLVED] = BIT(ALERT_PENDING) | BIT(ALERT_FREE),
};

const char *alert_state_name(enum alert_state s)
{
    return state_names[s];
}

static void move(struct alert_book *b, struct alert *a, enum alert_state to)
{
    assert(move_ok[a->state] & BIT(to));
    a->state = to;
    b->changes++;
}

/* -- groups ------------------------------------------------------------------------------------ */

static bool is_used(const struct alert_book *b, uint32_t group)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++)
        if (b->alerts[i].state != ALERT_FREE && b->alerts[i].group == group)
            return true;
    return false;
}

static void begin_group(struct alert_book *b, struct alert_group *g, const char *name,
                        int64_t now_us)
{
    *g = (struct alert_group){ .used = true };
    str_copy(g->name, sizeof(g->name), name);
    for (uint32_t t = 0; t < b->target_count; t++)
        g->to[t].look_us = us_add(now_us, b->targets[t].timing.group_wait_us);
}

/* One whose alerts are all only pending has not begun: who waits is told from the first that
 * fires. There is always room, for there are as many groups as alerts. */
static uint32_t find_group(struct alert_book *b, const char *name, int64_t now_us)
{
    uint32_t free_one = ALERT_MAX;
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        if (b->groups[i].used && strcmp(b->groups[i].name, name) == 0)
            return i;
        if (!b->groups[i].used && free_one == ALERT_MAX)
            free_one = i;
    }
    assert(free_one < ALERT_MAX);
    begin_group(b, &b->groups[free_one], name, now_us);
    return free_one;
}

/* Something else in the group fires, or was told as firing. */
static bool is_awake(const struct alert_book *b, const struct alert *a)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        const struct alert *other = &b->alerts[i];
        if (other != a && other->state != ALERT_FREE && other->group == a->group &&
            (alert_fires(other) || other->told || other->saying))
            return true;
    }
    return false;
}

/* -- states ------------------------------------------------------------------------------------ */

static void fire(struct alert_book *b, struct alert *a, int64_t now_us)
{
    move(b, a, ALERT_FIRING);
    a->fired_us = now_us;
    if (!a->told && !is_awake(b, a)) {
        struct alert_group *g = &b->groups[a->group];
        char name[ALERT_NAME_MAX];
        memcpy(name, g->name, sizeof(name));
        begin_group(b, g, name, now_us);
    }
}

static void free_if_done(struct alert_book *b, struct alert *a)
{
    bool over = a->state == ALERT_RESOLVED || (a->state == ALERT_PENDING && !a->seen);
    if (!over || a->told || a->saying)
        return;
    uint32_t group = a->group;
    move(b, a, ALERT_FREE);
    if (!is_used(b, group))
        b->groups[group].used = false;
}

static struct alert *find(struct alert_book *b, const struct alert_fact *f)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        if (a->state != ALERT_FREE && a->kind == f->kind && strcmp(a->service, f->service) == 0 &&
            strcmp(a->what, f->what) == 0)
            return a;
    }
    return NULL;
}

/* A free place, or that of the oldest news of something over that a target does not take. */
static struct alert *find_place(struct alert_book *b)
{
    struct alert *oldest = NULL;
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        if (a->state == ALERT_FREE)
            return a;
        if (a->state == ALERT_RESOLVED && !a->saying &&
            (!oldest || a->resolved_us < oldest->resolved_us))
            oldest = a;
    }
    if (oldest) {
        oldest->told = 0;
        free_if_done(b, oldest);
    }
    return oldest;
}

static void copy(char *dst, size_t cap, const char *src)
{
    struct str s;
    str_init(&s, dst, cap);
    str_put(&s, src);
}

static struct alert *add(struct alert_book *b, const struct alert_fact *f, int64_t now_us)
{
    struct alert *a = find_place(b);
    if (!a) {
        b->lost++;
        return NULL;
    }
    *a = (struct alert){ .kind = f->kind, .since_us = now_us };
    copy(a->service, sizeof(a->service), f->service);
    copy(a->what, sizeof(a->what), f->what);
    a->group = find_group(b, f->group, now_us);
    return a;
}

void alert_begin(struct alert_book *b)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++)
        b->alerts[i].seen = false;
}

void alert_say(struct alert_book *b, const struct alert_fact *f, int64_t now_us)
{
    struct alert *a = find(b, f);
    if (!a)
        a = add(b, f, now_us);
    if (!a)
        return;
    if (a->state == ALERT_RESOLVED)
        a->since_us = now_us;
    if (a->state == ALERT_FREE || a->state == ALERT_RESOLVED)
        move(b, a, ALERT_PENDING);
    a->seen = true;
    a->seen_us = MAX(a->seen_us, now_us);
    a->for_us = f->for_us;
    a->keep_us = f->keep_us;
    copy(a->text, sizeof(a->text), f->text);
    if (a->state == ALERT_PENDING && us_add(a->since_us, a->for_us) <= now_us)
        fire(b, a, now_us);
}

void alert_end(struct alert_book *b, int64_t now_us)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        if (a->state == ALERT_FREE || a->seen)
            continue;
        if (a->state == ALERT_PENDING && a->told)
            move(b, a, ALERT_RESOLVED);
        else if (a->state == ALERT_FIRING && us_add(a->seen_us, a->keep_us) <= now_us) {
            move(b, a, ALERT_RESOLVED);
            a->resolved_us = now_us;
        }
        free_if_done(b, a);
    }
}

void alert_freeze(struct alert_book *b, const char *but_group)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        a->seen |= a->state != ALERT_FREE && strcmp(b->groups[a->group].name, but_group) != 0;
    }
}

void alert_restore(struct alert_book *b, const struct alert_fact *f, int64_t fired_us,
                   uint32_t told, int64_t sent_us, int64_t until_us, int64_t now_us)
{
    struct alert *a = find(b, f) ? NULL : add(b, f, now_us);
    if (!a)
        return;
    move(b, a, ALERT_FIRING);
    copy(a->text, sizeof(a->text), f->text);
    a->since_us = a->fired_us = fired_us;
    a->seen_us = until_us;
    a->for_us = f->for_us;
    a->told = told;
    for (uint32_t t = 0; t < b->target_count; t++)
        if (told & BIT(t))
            b->groups[a->group].to[t].sent_us = MAX(b->groups[a->group].to[t].sent_us, sent_us);
}

/* -- targets ----------------------------------------------------------------------------------- */

static uint32_t move_bits(uint32_t bits, const uint32_t *now_at, uint32_t count)
{
    uint32_t moved = 0;
    for (uint32_t t = 0; t < count; t++)
        if ((bits & BIT(t)) && now_at[t] < ALERT_TARGETS_MAX)
            moved |= BIT(now_at[t]);
    return moved;
}

static void move_group(struct alert_group *g, const uint32_t *now_at, uint32_t before)
{
    struct alert_group old = *g;
    memset(g->to, 0, sizeof(g->to)); /* new ones are told at the next look */
    for (uint32_t t = 0; t < before; t++)
        if (now_at[t] < ALERT_TARGETS_MAX)
            g->to[now_at[t]] = old.to[t];
}

void alert_set_targets(struct alert_book *b, const uint64_t *ids, const struct alert_timing *timing,
                       uint32_t count, int64_t now_us)
{
    struct alert_target old[ALERT_TARGETS_MAX];
    uint32_t before = b->target_count, now_at[ALERT_TARGETS_MAX];
    assert(count <= ALERT_TARGETS_MAX);
    memcpy(old, b->targets, sizeof(old));
    memset(b->targets, 0, sizeof(b->targets));
    for (uint32_t t = 0; t < before; t++)
        now_at[t] = ALERT_TARGETS_MAX;
    for (uint32_t n = 0; n < count; n++) {
        for (uint32_t t = 0; t < before; t++) {
            if (old[t].id != ids[n] || now_at[t] < ALERT_TARGETS_MAX)
                continue;
            b->targets[n] = old[t];
            now_at[t] = n;
            break;
        }
        b->targets[n].id = ids[n];
        b->targets[n].timing = timing[n];
        b->targets[n].busy = false;
    }
    b->target_count = count;
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        b->alerts[i].told = move_bits(b->alerts[i].told, now_at, before);
        b->alerts[i].saying = b->alerts[i].saying_firing = 0;
        move_group(&b->groups[i], now_at, before);
    }
    b->changes++;
}

/* -- messages ---------------------------------------------------------------------------------- */

/* Those that fire, and those that were told as firing and do not any more. */
static bool belongs(const struct alert *a, uint32_t group, uint32_t target)
{
    return a->state != ALERT_FREE && a->group == group &&
           (alert_fires(a) || (a->told & BIT(target)));
}

static bool is_news(const struct alert_book *b, uint32_t group, uint32_t target, int64_t now_us)
{
    const struct alert_timing *timing = &b->targets[target].timing;
    bool repeat = us_add(b->groups[group].to[target].sent_us, timing->repeat_us) <= now_us;
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        const struct alert *a = &b->alerts[i];
        if (!belongs(a, group, target))
            continue;
        if (alert_fires(a) != !!(a->told & BIT(target)) || (alert_fires(a) && repeat))
            return true;
    }
    return false;
}

static void compose(struct alert_book *b, uint32_t group, uint32_t target,
                    struct alert_message *ret)
{
    ret->target = target;
    ret->group = group;
    ret->count = ret->firing = 0;
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        if (!belongs(a, group, target))
            continue;
        a->saying |= BIT(target);
        if (alert_fires(a))
            a->saying_firing |= BIT(target);
        ret->firing += alert_fires(a);
        ret->alerts[ret->count++] = a;
    }
}

bool alert_due(struct alert_book *b, uint32_t target, const char *only, int64_t now_us,
               struct alert_message *ret)
{
    struct alert_target *t = &b->targets[target];
    assert(target < b->target_count);
    if (t->busy || t->retry_us > now_us)
        return false;
    for (uint32_t g = 0; g < ALERT_MAX; g++) {
        if (!b->groups[g].used || b->groups[g].to[target].look_us > now_us ||
            (only && strcmp(b->groups[g].name, only) != 0))
            continue;
        if (!is_news(b, g, target, now_us)) {
            b->groups[g].to[target].look_us = us_add(now_us, t->timing.group_interval_us);
            continue;
        }
        compose(b, g, target, ret);
        t->busy = true;
        t->group = g;
        return true;
    }
    return false;
}

static int64_t pause_us(uint32_t failures)
{
    uint32_t doublings = MIN(failures - 1, 16u);
    return MIN(ALERT_RETRY_FIRST_US << doublings, ALERT_RETRY_LAST_US);
}

void alert_sent(struct alert_book *b, uint32_t target, bool ok, int64_t now_us)
{
    struct alert_target *t = &b->targets[target];
    uint32_t bit = BIT(target);
    assert(t->busy);
    t->busy = false;
    t->failures = ok ? 0 : t->failures + (t->failures < UINT32_MAX);
    t->retry_us = ok ? 0 : us_add(now_us, pause_us(t->failures));
    *(ok ? &t->sent : &t->failed) += 1;
    b->changes += ok;
    if (ok) {
        b->groups[t->group].to[target].sent_us = now_us;
        b->groups[t->group].to[target].look_us = us_add(now_us, t->timing.group_interval_us);
    }
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        struct alert *a = &b->alerts[i];
        if (!(a->saying & bit))
            continue;
        if (ok)
            a->told = (a->told & ~bit) | (a->saying_firing & bit);
        a->saying &= ~bit;
        a->saying_firing &= ~bit;
        free_if_done(b, a);
    }
}
