/* Instances without processes: what the core orders happens, after the times that the test gives.
 * Decides nothing. */
#include "sim/policytest/policytest_world.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"

#define MONOTONIC_US (100 * US_PER_DAY) /* of the test's first moment: room for what was before */
#define ACTIONS_MAX 256
#define ORDERS_MAX 4096 /* that may follow from one event */
#define TEMPLATE 1
#define WORDS_MAX 65536

struct order {
    enum action_type type;
    uint32_t service, number;
};

static uint32_t words_of(const struct model_conf *m)
{
    uint64_t words = 0;
    for (uint32_t i = 0; i < m->service_count; i++)
        for (uint32_t n = 0; n < m->services[i].rule_count; n++) {
            const struct rule_conf *r = &m->services[i].rules[n];
            const struct rule_ops *ops = rule_ops(r->kind);
            words += ops->more_words ? ops->more_words(r) : 0;
        }
    return (uint32_t)MIN(words, UINT32_MAX);
}

static uint32_t instances_of(const struct policytest *t)
{
    uint32_t most = 8;
    for (uint32_t i = 0; i < t->config->service_count; i++) {
        const struct service_conf *s = &t->config->model.services[i];
        most = MAX(most, (uint32_t)s->max + t->starts[i].instance_count);
    }
    return MIN(2 * most + 16, 2 * MODEL_COUNT_MAX);
}

int policytest_world_init(struct policytest_world *w, const struct policytest *t,
                          struct policytest_result *result)
{
    const struct model_conf *m = &t->config->model;
    const struct control_caps caps = { .services = m->service_count,
                                       .instances = instances_of(t),
                                       .points = 3700,
                                       .words = words_of(m) };
    size_t bytes = (control_bytes(&caps) + 15) / 16 * 16;
    *w = (struct policytest_world){ .test = t, .now_us = MONOTONIC_US, .result = result };
    w->wall_offset_us = t->wall_us - MONOTONIC_US;
    w->bare = calloc(m->service_count, sizeof(*w->bare));
    w->recorded = calloc(m->service_count, sizeof(*w->recorded));
    w->memory = aligned_alloc(16, bytes);
    if (!w->bare || !w->recorded || !w->memory) {
        policytest_world_done(w);
        return -ENOMEM;
    }
    memset(w->memory, 0, bytes);
    w->core = control_init(w->memory, &caps);
    return 0;
}

void policytest_world_done(struct policytest_world *w)
{
    free(w->bare);
    free(w->recorded);
    free(w->memory);
}

struct event policytest_event(const struct policytest_world *w, enum event_type type,
                              int32_t service)
{
    return (struct event){ .type = type,
                           .now_us = w->now_us,
                           .wall_us = w->now_us + w->wall_offset_us,
                           .service = service,
                           .template = TEMPLATE };
}

/* A full list forgets: such a test asks for more than it can have. */
static void later(struct policytest_world *w, int64_t at_us, enum event_type type,
                  const struct order *o)
{
    if (w->due_count < ARRAY_LEN(w->due))
        w->due[w->due_count++] = (struct policytest_due){
            .at_us = at_us, .type = type, .service = o->service, .number = o->number
        };
}

static void note_decision(struct policytest_world *w, const struct decision *d)
{
    struct policytest_result *r = w->result;
    w->recorded[d->slot] = *d;
    if (d->desired == d->before)
        return;
    if (r->trail_count == ARRAY_LEN(r->trail))
        memmove(&r->trail[0], &r->trail[1], --r->trail_count * sizeof(r->trail[0]));
    r->trail[r->trail_count].at_us = d->now_us - MONOTONIC_US;
    r->trail[r->trail_count].before = d->before;
    r->trail[r->trail_count].desired = d->desired;
    str_copy(r->trail[r->trail_count].service, sizeof(r->trail[0].service), d->service);
    str_copy(r->trail[r->trail_count].summary, sizeof(r->trail[0].summary), d->summary);
    r->trail_count++;
}

/* One step of the core; what it orders goes to the end of the queue. */
static void step(struct policytest_world *w, const struct event *e, struct order *queue,
                 uint32_t *count)
{
    struct action items[ACTIONS_MAX];
    struct actions actions = { .items = items, .cap = ARRAY_LEN(items) };
    control_step(w->core, e, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        const struct action *a = &items[i];
        if (a->type == ACTION_RECORD)
            note_decision(w, a->decision);
        bool order = a->type == ACTION_START || a->type == ACTION_DRAIN || a->type == ACTION_STOP;
        if (order && *count < ORDERS_MAX)
            queue[(*count)++] = (struct order){ a->type, a->service, a->number };
    }
}

/* What an order leads to at once; the rest comes later. */
static bool carry_out(struct policytest_world *w, const struct order *o, struct event *ret)
{
    const struct policytest *t = w->test;
    switch (o->type) {
    case ACTION_START:
        *ret = policytest_event(w, EVENT_STARTED, (int32_t)o->service);
        if (t->boot_us != US_NEVER)
            later(w, us_add(w->now_us, t->boot_us), EVENT_PROBE, o);
        break;
    case ACTION_STOP:
        *ret = policytest_event(w, EVENT_EXITED, (int32_t)o->service);
        break;
    default:
        later(w, us_add(w->now_us, t->drain_us), EVENT_DRAINED, o);
        return false;
    }
    ret->number = o->number;
    return true;
}

static void send_all(struct policytest_world *w, const struct event *e)
{
    struct order queue[ORDERS_MAX];
    uint32_t count = 0;
    step(w, e, queue, &count);
    for (uint32_t i = 0; i < count; i++) {
        struct event next;
        if (carry_out(w, &queue[i], &next))
            step(w, &next, queue, &count);
    }
}

static void happen_due(struct policytest_world *w, uint32_t i)
{
    struct policytest_due d = w->due[i];
    memmove(&w->due[i], &w->due[i + 1], (--w->due_count - i) * sizeof(w->due[0]));
    struct event e = policytest_event(w, d.type, (int32_t)d.service);
    e.number = d.number;
    e.flag = d.type == EVENT_PROBE;
    send_all(w, &e);
}

/* The first of those that are due by then, in the order of time; -1 = none. */
static int64_t find_due(const struct policytest_world *w, int64_t by_us)
{
    int64_t first = -1;
    for (uint32_t i = 0; i < w->due_count; i++)
        if (w->due[i].at_us <= by_us && (first < 0 || w->due[i].at_us < w->due[first].at_us))
            first = i;
    return first;
}

static void happen_all(struct policytest_world *w)
{
    uint32_t left = 4 * POLICYTEST_DUE_MAX; /* a core that starts and stops for ever must end too */
    for (int64_t i; left-- > 0 && (i = find_due(w, w->now_us)) >= 0;)
        happen_due(w, (uint32_t)i);
}

void policytest_send(struct policytest_world *w, const struct event *e)
{
    send_all(w, e);
    happen_all(w);
}

static void tick(struct policytest_world *w)
{
    struct event e = policytest_event(w, EVENT_TICK, -1);
    send_all(w, &e);
}

void policytest_advance(struct policytest_world *w, int64_t to_us)
{
    for (uint32_t n = 0; n < POLICYTEST_SAMPLES_MAX; n++) {
        int64_t next_us = control_next_us(w->core);
        int64_t i = find_due(w, to_us);
        if (i >= 0 && w->due[i].at_us < next_us)
            next_us = w->due[i].at_us;
        next_us = MAX(next_us, w->now_us);
        if (next_us >= to_us)
            break;
        bool wakes = next_us > w->now_us;
        w->now_us = next_us;
        if (find_due(w, next_us) >= 0)
            happen_all(w);
        else if (wakes)
            tick(w);
        else
            break;
    }
    w->now_us = to_us;
    happen_all(w);
}

void policytest_forget(struct policytest_world *w)
{
    for (uint32_t i = 0; i < w->test->config->service_count; i++)
        w->recorded[i].sequence = 0;
}

const struct decision *policytest_decision(const struct policytest_world *w, uint32_t slot)
{
    const struct decision *d = &w->recorded[slot];
    return d->sequence > 0 ? d : control_decision(w->core, slot);
}

/* ---- what the test says ---- */

#define BEGINNING (BIT(INSTANCE_STARTING) | BIT(INSTANCE_WARMING))

/* To instances in which states it can happen, in which it has, and what is said of the others. */
static const struct {
    uint32_t from, already;
    const char *cannot;
} happenings[] = {
    [POLICYTEST_READY] = { BEGINNING, BIT(INSTANCE_READY), "it cannot become ready" },
    [POLICYTEST_START_FAILS] = { BEGINNING, 0, "its start cannot fail" },
    [POLICYTEST_FAILS] = { BIT(INSTANCE_READY), BIT(INSTANCE_FAILING), "it cannot fail" },
    [POLICYTEST_RECOVERS] = { BIT(INSTANCE_FAILING), BIT(INSTANCE_READY), "it cannot recover" },
    [POLICYTEST_EXITS] = { ~(BIT(INSTANCE_GONE) | BIT(INSTANCE_PENDING)), 0, "it cannot exit" },
};

static bool can_happen(enum policytest_what what, const struct instance *i)
{
    return happenings[what].from & BIT(i->state);
}

const char *policytest_cannot(enum policytest_what what, const struct instance *i)
{
    bool possible = (happenings[what].from | happenings[what].already) & BIT(i->state);
    return possible ? NULL : happenings[what].cannot;
}

static void happen_to(struct policytest_world *w, uint32_t service, enum policytest_what what,
                      uint32_t number)
{
    const struct health_conf *health = &w->test->config->model.services[service].health;
    bool probe =
        what == POLICYTEST_READY || what == POLICYTEST_FAILS || what == POLICYTEST_RECOVERS;
    uint32_t times = what == POLICYTEST_FAILS      ? health->fail_after
                     : what == POLICYTEST_RECOVERS ? health->pass_after
                                                   : 1;
    for (uint32_t n = 0; n < times; n++) {
        int32_t slot = control_find(w->core, w->test->config->model.services[service].name);
        struct event e = policytest_event(w, probe ? EVENT_PROBE : EVENT_EXITED, slot);
        e.number = number;
        e.flag = probe && what != POLICYTEST_FAILS;
        e.status = probe ? 0 : 1;
        send_all(w, &e);
    }
}

void policytest_happen(struct policytest_world *w, uint32_t service,
                       const struct policytest_happening *h)
{
    uint32_t numbers[2 * MODEL_COUNT_MAX], count = 0;
    struct service_view v;
    int32_t slot = control_find(w->core, w->test->config->model.services[service].name);
    if (slot < 0 || !control_view(w->core, (uint32_t)slot, &v))
        return;
    for (uint32_t n = 0; n < v.instance_count && count < ARRAY_LEN(numbers); n++)
        if (can_happen(h->what, &v.instances[n]) &&
            (h->instance.number == 0 || h->instance.number == v.instances[n].number))
            numbers[count++] = v.instances[n].number;
    for (uint32_t n = 0; n < count; n++)
        happen_to(w, service, h->what, numbers[n]);
    happen_all(w);
}

/* ---- the begin ---- */

/* Counts, and nothing that could have an opinion on them. */
static void strip(const struct policytest *t, struct service_conf *s, uint32_t initial)
{
    s->mode = SERVICE_AUTO;
    s->min = 0;
    s->max = MODEL_COUNT_MAX;
    s->initial = (int32_t)initial;
    s->rule_count = 0;
    s->headroom = 0;
    s->change_cost_us = 0;
    s->budget = -1;
    s->after_count = 0;
    s->template = TEMPLATE;
    s->behavior = (struct behavior_conf){ 0 };
}

static void configure(struct policytest_world *w, struct service_conf *services)
{
    struct model_conf model = w->test->config->model;
    struct event e = policytest_event(w, EVENT_CONFIG, -1);
    for (uint32_t i = 0; i < model.service_count; i++)
        services[i].template = TEMPLATE;
    model.services = services;
    e.conf = &model;
    policytest_send(w, &e);
}

/* The moment before `from_us` of age at which the next instances were started; -1 = none. */
static int64_t next_age(const struct policytest *t, int64_t below_us)
{
    int64_t next_us = -1;
    for (uint32_t i = 0; i < t->config->service_count; i++)
        for (uint32_t n = 0; n < t->starts[i].instance_count; n++)
            if (t->starts[i].instances[n].age_us < below_us)
                next_us = MAX(next_us, t->starts[i].instances[n].age_us);
    return next_us;
}

static uint32_t count_older(const struct policytest_start *s, int64_t age_us)
{
    uint32_t n = 0;
    while (n < s->instance_count && s->instances[n].age_us >= age_us)
        n++;
    return n;
}

static void begin_service(struct policytest_world *w, uint32_t service, int64_t age_us)
{
    const struct policytest_start *s = &w->test->starts[service];
    uint32_t count = count_older(s, age_us);
    int32_t slot = control_find(w->core, w->test->config->model.services[service].name);
    struct event e = policytest_event(w, EVENT_OPERATOR, slot);
    e.op = OPERATOR_SCALE;
    e.count = (int32_t)count;
    policytest_send(w, &e);
    for (uint32_t n = 0; n < count; n++)
        if (s->instances[n].age_us == age_us && !s->instances[n].starting)
            happen_to(w, service, POLICYTEST_READY, n + 1);
}

static void take_back(struct policytest_world *w)
{
    for (uint32_t i = 0; i < w->test->config->service_count; i++) {
        struct event e = policytest_event(
            w, EVENT_OPERATOR, control_find(w->core, w->test->config->model.services[i].name));
        e.op = OPERATOR_AUTO;
        policytest_send(w, &e);
    }
}

void policytest_world_begin(struct policytest_world *w, int64_t past_us)
{
    const struct policytest *t = w->test;
    struct policytest begin = *t;
    int64_t first_us = w->now_us;
    begin.boot_us = US_NEVER;
    w->test = &begin; /* instances become ready when the test says how old they are */
    for (uint32_t i = 0; i < t->config->service_count; i++) {
        memcpy(&w->bare[i], &t->config->model.services[i], sizeof(w->bare[i]));
        strip(t, &w->bare[i], 0);
    }
    int64_t age_us = next_age(t, US_NEVER);
    w->now_us = first_us - MAX(age_us, past_us);
    configure(w, w->bare);
    for (; age_us >= 0; age_us = next_age(t, age_us)) {
        w->now_us = first_us - MAX(age_us, past_us);
        for (uint32_t i = 0; i < t->config->service_count; i++)
            begin_service(w, i, age_us);
    }
    w->now_us = first_us - past_us;
    take_back(w);
    w->test = t;
    w->result->trail_count = 0;
    memcpy(w->bare, t->config->model.services, t->config->service_count * sizeof(*w->bare));
    configure(w, w->bare);
}
