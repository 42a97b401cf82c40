/* One run: a world, the core, and faults between them. Stands where the controller stands: feeds
 * events to the core and carries its actions out, and is killed and restarted as that is. */
#include "sim/sim.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/laws.h"
#include "sim/scenario.h"
#include "sim/world.h"

#define CHAOS_US (300 * US_PER_S)
#define SETTLE_US (600 * US_PER_S)
#define CALM_US (60 * US_PER_S)
#define STOP_US (120 * US_PER_S)
#define STRIKE_US (5 * US_PER_S)
#define SHADOW_EVENTS 200
#define WORDS_MAX 262144
#define EVENTS_MAX 300000

enum own { OWN_STRIKE, OWN_LEASE_BACK, OWN_BRAIN_BACK, OWN_WAKE, OWN_COME_BACK };

static const struct control_caps caps = {
    .services = 4, .instances = 96, .points = 90, .words = 65536
};

struct sim {
    struct world world;
    struct scenario scenario;
    struct laws laws;
    struct sim_report *report;
    bool verbose, chaos;
    struct rng later; /* of FAULT_LATER and after */

    struct control *core;
    struct control *shadow; /* saved from the core and loaded: must say the same; NULL = none */
    uint32_t shadow_left;   /* events that it goes along */
    void *memory, *shadow_memory;
    bool down; /* the controller is not there */
    bool lease_lost;
    uint64_t token;  /* of the lease that is held, or was */
    int64_t wake_us; /* when the core is ticked next, out of turn */
    uint64_t words[WORDS_MAX], again[WORDS_MAX];
    size_t word_count;
    struct action items[CONTROL_ACTIONS_MIN], shadow_items[CONTROL_ACTIONS_MIN];
};

/* -- what is said, as one number -----------------------------------------------------------------
 */

static void mix(uint64_t *hash, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t k = 0; k < n; k++)
        *hash = (*hash ^ c[k]) * UINT64_C(1099511628211);
}

static void mix_decision(uint64_t *hash, const struct decision *d)
{
    int64_t numbers[] = {
        (int64_t)d->sequence, (int64_t)d->token, d->now_us,   d->slot,     d->cause,     d->before,
        d->desired,           d->ready,          d->starting, d->draining, d->in_flight, d->queued
    };
    mix(hash, numbers, sizeof(numbers));
    mix(hash, d->summary, strlen(d->summary));
    for (uint32_t n = 0; n < d->step_count; n++)
        mix(hash, d->steps[n].text, strlen(d->steps[n].text));
    for (uint32_t n = 0; n < d->opinion_count; n++)
        mix(hash, d->opinions[n].opinion.text, strlen(d->opinions[n].opinion.text));
}

static void mix_actions(uint64_t *hash, const struct actions *actions)
{
    for (size_t n = 0; n < actions->count; n++) {
        const struct action *a = &actions->items[n];
        int64_t numbers[] = { a->type,        a->service, a->number, (int64_t)a->template,
                              a->deadline_us, a->flag };
        mix(hash, numbers, sizeof(numbers));
        mix(hash, a->text, strlen(a->text));
        if (a->decision)
            mix_decision(hash, a->decision);
    }
}

/* -- the run, told to a person -------------------------------------------------------------------
 */

static void tell_event(const struct sim *s, const struct event *e, int rc)
{
    if (!s->verbose || e->type == EVENT_TICK || e->type == EVENT_SAMPLES)
        return;
    printf("%10.3f %-12s service %d number %u flag %d op %s count %d %s%s\n",
           (double)e->now_us / 1e6, event_type_name(e->type), e->service, e->number, e->flag,
           e->type == EVENT_OPERATOR ? operator_op_name(e->op) : "-", e->count, e->text,
           rc < 0 ? " (refused)" : "");
}

static void tell_decision(const struct decision *d)
{
    for (uint32_t n = 0; n < d->opinion_count; n++)
        printf("%10s      %s: %s\n", "", d->opinions[n].rule, d->opinions[n].opinion.text);
    for (uint32_t n = 0; n < d->step_count; n++)
        printf("%10s      %s %d -> %d: %s\n", "", limit_kind_name(d->steps[n].kind),
               d->steps[n].from, d->steps[n].to, d->steps[n].text);
}

static void tell_actions(const struct sim *s, const struct actions *actions)
{
    static const char *const names[ACTION_TYPE_MAX] = {
        "START", "DRAIN", "STOP", "RESIZE", "PUBLISH", "RECORD", "ALERT", "FORGET", "STOPPED",
    };
    for (size_t n = 0; s->verbose && n < actions->count; n++) {
        const struct action *a = &actions->items[n];
        if (a->type != ACTION_PUBLISH)
            printf("%10.3f   -> %s %u-%u %s\n", (double)s->world.now_us / 1e6, names[a->type],
                   a->service, a->number, a->decision ? a->decision->summary : a->text);
        if (a->decision)
            tell_decision(a->decision);
    }
}

/* -- the controller's part ------------------------------------------------------------------------
 */

static void drop_shadow(struct sim *s)
{
    s->shadow = NULL;
}

/* The shadow gets the same event, and must answer the same. */
static void step_shadow(struct sim *s, const struct event *e, const struct actions *actions)
{
    if (!s->shadow)
        return;
    struct actions other = { .items = s->shadow_items, .cap = ARRAY_LEN(s->shadow_items) };
    control_step(s->shadow, e, &other);
    uint64_t mine = 1, theirs = 1;
    mix_actions(&mine, actions);
    mix_actions(&theirs, &other);
    if (mine != theirs && s->verbose) {
        tell_actions(s, actions);
        printf("the other core:\n");
        tell_actions(s, &other);
    }
    if (mine != theirs)
        laws_break(&s->laws, "5 restore", "after save and load, %s led to other actions",
                   event_type_name(e->type));
    if (--s->shadow_left == 0)
        drop_shadow(s);
}

static void find_slots(struct sim *s, bool also_gone)
{
    for (uint32_t n = 0; n < s->world.service_count; n++) {
        int32_t slot = control_find(s->core, s->world.services[n].name);
        if (slot >= 0 || also_gone)
            s->world.services[n].slot = slot;
    }
}

static void publish(struct sim *s, uint32_t slot)
{
    uint32_t ready[WORLD_INSTANCES_MAX], count = 0;
    int32_t service = world_service_of(&s->world, slot);
    struct service_view v;
    if (service < 0 || !control_view(s->core, slot, &v))
        return;
    for (uint32_t n = 0; n < v.instance_count && count < WORLD_INSTANCES_MAX; n++) {
        if (v.instances[n].state == INSTANCE_READY)
            ready[count++] = v.instances[n].number;
    }
    world_publish(&s->world, (uint32_t)service, ready, count);
}

static void carry_out(struct sim *s, const struct actions *actions)
{
    for (size_t n = 0; n < actions->count; n++) {
        const struct action *a = &actions->items[n];
        s->report->starts += a->type == ACTION_START;
        s->report->decisions += a->type == ACTION_RECORD;
        if (a->type == ACTION_PUBLISH)
            publish(s, a->service);
        else
            world_act(&s->world, a);
    }
    s->report->actions += actions->count;
}

static void schedule_wake(struct sim *s)
{
    int64_t next_us = control_next_us(s->core);
    if (next_us == US_NEVER || next_us >= s->wake_us)
        return;
    s->wake_us = MAX(next_us, s->world.now_us + US_PER_MS);
    world_schedule(&s->world, s->wake_us - s->world.now_us, OWN_WAKE);
}

static void feed(struct sim *s, const struct event *original)
{
    if (s->down || s->laws.text[0] != '\0')
        return;
    struct event e = *original;
    if (fault_hits(&s->world.faults, &s->world.rng, FAULT_STILL, 10))
        e.now_us -= (int64_t)rng_below(&s->world.rng, 2 * US_PER_S);
    struct actions actions = { .items = s->items, .cap = ARRAY_LEN(s->items) };
    int rc = control_step(s->core, &e, &actions);
    step_shadow(s, &e, &actions);
    if (++s->report->events > EVENTS_MAX)
        laws_break(&s->laws, "6 busy", "more than %d events: the core never sleeps", EVENTS_MAX);
    mix_actions(&s->report->hash, &actions);
    tell_event(s, &e, rc);
    tell_actions(s, &actions);
    find_slots(s, false);
    laws_check(&s->laws, &s->world, s->core, &e, &actions);
    carry_out(s, &actions);
    find_slots(s, true);
    schedule_wake(s);
}

static void feed_config(struct sim *s)
{
    struct event e = world_event(&s->world, EVENT_CONFIG, -1);
    e.conf = scenario_model(&s->scenario);
    world_configure(&s->world, e.conf);
    feed(s, &e);
}

/* What a store would remember: an hour of minutes, some of them unknown. */
static void feed_history(struct sim *s)
{
    double values[60];
    for (uint32_t n = 0; s->world.wide && n < s->world.service_count; n++) {
        struct event e = world_event(&s->world, EVENT_HISTORY, s->world.services[n].slot);
        struct history h = { .metric = METRIC_CONCURRENCY, .step_us = US_PER_MIN, .count = 60 };
        h.wall_us = e.wall_us - h.count * h.step_us;
        h.values = values;
        for (uint32_t k = 0; k < h.count; k++) {
            bool known = rng_below(&s->world.later, 10) > 0;
            values[k] = known ? (double)rng_below(&s->world.later, 100) : NAN;
        }
        e.history = &h;
        if (e.service >= 0)
            feed(s, &e);
    }
}

static void feed_flag(struct sim *s, enum event_type type, bool flag)
{
    struct event e = world_event(&s->world, type, -1);
    e.flag = flag;
    feed(s, &e);
}

static void feed_lease(struct sim *s, bool held)
{
    struct event e = world_event(&s->world, EVENT_LEASE, -1);
    e.flag = held;
    e.token = s->token;
    feed(s, &e);
}

static void feed_operator(struct sim *s, enum operator_op op, int32_t slot, uint32_t number,
                          int32_t count, bool flag)
{
    struct event e = world_event(&s->world, EVENT_OPERATOR, slot);
    e.op = op;
    e.number = number;
    e.count = count;
    e.flag = flag;
    feed(s, &e);
}

/* -- save, load, kill, restart
 * ---------------------------------------------------------------------- */

static void save(struct sim *s)
{
    s->word_count = control_save(s->core, s->words, WORDS_MAX);
    if (s->word_count == 0)
        laws_break(&s->laws, "5 save", "the state takes %zu words", control_save_words(s->core));
}

/* A core as a restarted controller makes it: configuration first, then the saved state. */
static struct control *restore(struct sim *s, void *memory)
{
    memset(memory, 0, control_bytes(&caps));
    struct control *c = control_init(memory, &caps);
    struct action items[CONTROL_ACTIONS_MIN];
    struct actions actions = { .items = items, .cap = ARRAY_LEN(items) };
    struct event e = world_event(&s->world, EVENT_CONFIG, -1);
    e.conf = scenario_model(&s->scenario);
    control_step(c, &e, &actions);
    int rc = control_load(c, s->words, s->word_count);
    if (rc < 0)
        laws_break(&s->laws, "5 load", "the saved state is refused: %d", rc);
    return c;
}

static void swap(struct sim *s)
{
    save(s);
    struct control *c = restore(s, s->shadow_memory);
    size_t count = control_save(c, s->again, WORDS_MAX);
    size_t same = 0;
    while (same < count && (same == 2 || s->words[same] == s->again[same]))
        same++;
    if (count != s->word_count || same < count)
        laws_break(&s->laws, "5 save", "save, load, save: %zu and %zu words, other from %zu on",
                   s->word_count, count, same);
    s->shadow = c;
    s->shadow_left = SHADOW_EVENTS;
}

static void kill_brain(struct sim *s, bool amnesia)
{
    if (s->down)
        return;
    drop_shadow(s);
    save(s);
    s->word_count = amnesia ? 0 : s->word_count;
    s->down = true;
    world_schedule(&s->world, (int64_t)rng_below(&s->world.rng, 5 * US_PER_S), OWN_BRAIN_BACK);
    if (s->verbose)
        printf("%10.3f controller killed%s\n", (double)s->world.now_us / 1e6,
               amnesia ? ", state lost" : "");
}

static void revive_brain(struct sim *s)
{
    if (!s->down)
        return;
    s->down = false;
    s->wake_us = US_NEVER;
    bool amnesia = s->word_count == 0;
    laws_restart(&s->laws, amnesia);
    if (amnesia) {
        memset(s->memory, 0, control_bytes(&caps));
        s->core = control_init(s->memory, &caps);
    } else {
        s->core = restore(s, s->memory);
    }
    feed_flag(s, EVENT_RESTART, false);
    s->token++; /* another controller: another lease */
    feed_lease(s, !s->lease_lost);
    feed_config(s);
    feed_flag(s, EVENT_DRIVER, s->world.driver_up);
    if (s->world.driver_up)
        world_list(&s->world);
}

/* -- strikes
 * ----------------------------------------------------------------------------------------- */

static void random_command(struct sim *s)
{
    struct rng *r = &s->world.rng;
    struct world_service *x = &s->world.services[rng_below(r, s->world.service_count)];
    enum operator_op op = (enum operator_op)rng_below(r, OPERATOR_STOP);
    const struct world_instance *i = &s->world.instances[rng_below(r, 20)];
    bool about_one = op == OPERATOR_DRAIN || op == OPERATOR_PROTECT;
    /* One draw a statement: the order in which arguments are evaluated is the compiler's. */
    int32_t count = (int32_t)rng_below(r, 14);
    bool flag = rng_below(r, 4) == 0;
    feed_operator(s, op, about_one ? s->world.services[i->service].slot : x->slot,
                  about_one ? i->number : 0, count, flag);
}

static void lose_lease(struct sim *s)
{
    if (s->lease_lost)
        return;
    s->lease_lost = true;
    feed_lease(s, false);
    world_schedule(&s->world, (int64_t)rng_below(&s->world.rng, 30 * US_PER_S), OWN_LEASE_BACK);
}

/* It may come back before the next controller has the list, or some time after. */
static void leave(struct sim *s)
{
    struct world *w = &s->world;
    if (s->down || !fault_hits(&w->faults, &s->later, FAULT_LEAVE, 6))
        return;
    drop_shadow(s);
    scenario_leave(&s->scenario, w);
    feed_config(s);
    kill_brain(s, false);
    if (rng_below(&s->later, 2) == 0)
        scenario_come_back(&s->scenario, w);
    else
        world_schedule(w, (int64_t)rng_below(&s->later, 20 * US_PER_S), OWN_COME_BACK);
}

static void come_back(struct sim *s)
{
    if (s->down || !s->chaos)
        return;
    drop_shadow(s);
    scenario_come_back(&s->scenario, &s->world);
    feed_config(s);
}

static void strike(struct sim *s)
{
    struct world *w = &s->world;
    if (!s->chaos)
        return;
    if (fault_hits(&w->faults, &w->rng, FAULT_DRIVER, 10))
        world_driver_away(w, (int64_t)rng_below(&w->rng, 50 * US_PER_S));
    if (fault_hits(&w->faults, &w->rng, FAULT_WALL, 10))
        w->wall_offset_us += (int64_t)rng_below(&w->rng, 4 * US_PER_DAY) - 2 * US_PER_DAY;
    if (fault_hits(&w->faults, &w->rng, FAULT_LEASE, 10))
        lose_lease(s);
    if (fault_hits(&w->faults, &w->rng, FAULT_OPERATOR, 4))
        random_command(s);
    if (!s->down && fault_hits(&w->faults, &w->rng, FAULT_CONFIG, 6)) {
        drop_shadow(s);
        scenario_change(&s->scenario, w);
        feed_config(s);
    }
    if (!s->down && !s->shadow && fault_hits(&w->faults, &w->rng, FAULT_SWAP, 4))
        swap(s);
    if (fault_hits(&w->faults, &w->rng, FAULT_RESTART, 8))
        kill_brain(s, false);
    /* Who forgets a service that was just removed cannot keep its numbers from coming again. */
    bool whole = s->scenario.model.service_count == w->service_count;
    if (whole && fault_hits(&w->faults, &w->rng, FAULT_AMNESIA, 12))
        kill_brain(s, true);
    leave(s);
    world_strike(w);
    world_schedule(w, STRIKE_US, OWN_STRIKE);
}

static void lease_back(struct sim *s)
{
    s->token += s->lease_lost;
    s->lease_lost = false;
    feed_lease(s, true);
}

static void on_own(void *ctx, int64_t arg)
{
    struct sim *s = ctx;
    switch ((enum own)arg) {
    case OWN_STRIKE:
        strike(s);
        break;
    case OWN_LEASE_BACK:
        lease_back(s);
        break;
    case OWN_BRAIN_BACK:
        revive_brain(s);
        break;
    case OWN_COME_BACK:
        come_back(s);
        break;
    case OWN_WAKE:
        s->wake_us = US_NEVER;
        feed_flag(s, EVENT_TICK, false);
        break;
    }
}

static void on_event(void *ctx, const struct event *e)
{
    feed(ctx, e);
}

static uint32_t mark_of(void *ctx, int32_t slot)
{
    struct sim *s = ctx;
    return s->down ? UINT32_MAX : control_mark(s->core, (uint32_t)slot);
}

/* -- phases
 * ------------------------------------------------------------------------------------------ */

/* All faults end; what the operator said is taken back; the load becomes constant. */
static void calm_down(struct sim *s)
{
    struct world *w = &s->world;
    s->chaos = false;
    w->faults.on = 0;
    revive_brain(s);
    drop_shadow(s);
    lease_back(s);
    world_driver_back(w);
    scenario_calm(&s->scenario, w);
    feed_config(s);
    feed_operator(s, OPERATOR_AUTO, -1, 0, 0, false);
    feed_operator(s, OPERATOR_RESUME, -1, 0, 0, false);
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        struct world_instance *i = &w->instances[n];
        i->ill_until_us = 0;
        if (i->known)
            feed_operator(s, OPERATOR_PROTECT, w->services[i->service].slot, i->number, 0, false);
    }
}

static void check_stopped(struct sim *s)
{
    if (!s->laws.stopped)
        laws_break(&s->laws, "4 stop", "the stop does not come to its end");
    for (uint32_t n = 0; n < WORLD_INSTANCES_MAX; n++) {
        if (s->world.instances[n].alive)
            laws_break(&s->laws, "4 stop", "svc%u-%u is left behind", s->world.instances[n].service,
                       s->world.instances[n].number);
    }
}

static void run(struct sim *s, const struct sim_options *o)
{
    struct world *w = &s->world;
    int64_t chaos_us = o->chaos_us > 0 ? o->chaos_us : CHAOS_US;
    int64_t settle_us = o->settle_us > 0 ? o->settle_us : SETTLE_US;
    if (s->scenario.wide) /* an order and a price of changes take their time */
        settle_us *= 2;
    feed_config(s);
    feed_history(s);
    world_schedule(w, STRIKE_US, OWN_STRIKE);
    world_run(w, w->now_us + chaos_us);
    calm_down(s);
    world_run(w, w->now_us + settle_us);
    s->laws.calm = true;
    world_run(w, w->now_us + CALM_US);
    laws_check_end(&s->laws, w, &s->scenario, s->core);
    s->laws.calm = false;
    feed_operator(s, OPERATOR_STOP, -1, 0, 0, false);
    world_run(w, w->now_us + STOP_US);
    check_stopped(s);
}

static struct sim *new_sim(uint64_t seed, const struct sim_options *o, struct sim_report *report)
{
    struct sim *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->memory = calloc(1, control_bytes(&caps));
    s->shadow_memory = calloc(1, control_bytes(&caps));
    s->report = report;
    s->verbose = o->verbose;
    s->chaos = true;
    s->wake_us = US_NEVER;
    world_init(&s->world, seed);
    world_use_engine(&s->world, o->engine ? o->engine : engine_of_seed(seed));
    scenario_init(&s->scenario, &s->world, seed);
    rng_init(&s->later, seed ^ UINT64_C(0x1eafe));
    faults_init_later(&s->world.faults, &s->later);
    laws_init(&s->laws);
    s->world.ctx = s;
    s->world.deliver = on_event;
    s->world.own = on_own;
    s->world.mark = mark_of;
    return s;
}

static void free_sim(struct sim *s)
{
    free(s->memory);
    free(s->shadow_memory);
    free(s);
}

int sim_run_seed(uint64_t seed, const struct sim_options *options, struct sim_report *ret)
{
    struct sim_report report = { .seed = seed, .hash = UINT64_C(14695981039346656037) };
    struct sim *s = new_sim(seed, options, &report);
    if (!s || !s->memory || !s->shadow_memory) {
        if (s)
            free_sim(s);
        return -ENOMEM;
    }
    s->core = control_init(s->memory, &caps);
    report.engine = s->world.engine->name;
    report.faults = s->world.faults.on;
    run(s, options);
    report.at_us = s->laws.at_us;
    report.instance_seconds = s->world.instance_seconds;
    snprintf(report.law, sizeof(report.law), "%s", s->laws.law);
    snprintf(report.text, sizeof(report.text), "%s", s->laws.text);
    free_sim(s);
    *ret = report;
    return report.text[0] != '\0';
}
