/* plimsoll itself: the real core, told what a controller would tell it, and its actions carried out
 * on the simulated fleet. Stands where the controller stands, and decides nothing. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control.h"
#include "sim/policy.h"

#define INSTANCES_MAX FLEET_MAX
#define POINTS_LEAST 600 /* seconds that a window may reach back; more when a rule asks for it */
#define SAMPLES_MAX METRIC_MAX
#define TEMPLATE 1

struct plimsoll {
    struct policy_setup setup;
    struct control *core;
    void *memory;
    struct action items[CONTROL_ACTIONS_MIN];
    bool begun;    /* the core knows that the first instances are ready */
    int32_t first; /* so many of them */
    int32_t slot;
    int64_t offset_us;  /* the core's clock began before the run */
    int64_t wall_us;    /* of this step */
    uint32_t news_seen; /* in this step */
    uint32_t rung;      /* the demand at which the doorbell rang last; 0 = it is quiet */
    int32_t desired;
    struct sample samples[SAMPLES_MAX]; /* of the metrics that the rules want */
    uint32_t wanted_count;
    struct event telling; /* of every second: made once, for an event is large */
    char why[200];
};

/* -- telling and acting -- */

static void carry_out(struct plimsoll *p, const struct action *a, struct fleet *fleet);

/* Every step may ask for actions, and every action has news to tell: they are told in their turn,
 * by drain_news(). */
static void tell(struct plimsoll *p, const struct event *e, struct fleet *fleet)
{
    struct actions actions = { .items = p->items, .cap = ARRAY_LEN(p->items) };
    control_step(p->core, e, &actions);
    for (size_t n = 0; n < actions.count; n++)
        carry_out(p, &actions.items[n], fleet);
}

static struct event event_at(const struct plimsoll *p, int64_t now_us, enum event_type type)
{
    return (struct event){
        .type = type,
        .now_us = now_us,
        .wall_us = p->wall_us,
        .service = p->slot,
    };
}

static struct event event_now(const struct plimsoll *p, const struct fleet *fleet,
                              enum event_type type)
{
    return event_at(p, fleet->now_us + p->offset_us, type);
}

static void tell_about(struct plimsoll *p, struct fleet *fleet, enum event_type type,
                       uint32_t number, bool flag)
{
    struct event e = event_now(p, fleet, type);
    e.number = number;
    e.template = TEMPLATE;
    e.flag = flag;
    tell(p, &e, fleet);
}

static void carry_out(struct plimsoll *p, const struct action *a, struct fleet *fleet)
{
    switch (a->type) {
    case ACTION_START:
        fleet_start(fleet, a->number);
        break;
    case ACTION_DRAIN:
        fleet_drain(fleet, a->number);
        break;
    case ACTION_STOP:
        fleet_stop(fleet, a->number);
        break;
    case ACTION_RECORD:
        memcpy(p->why, a->decision->summary, sizeof(p->why));
        break;
    default:
        break;
    }
}

static void drain_news(struct plimsoll *p, struct fleet *fleet)
{
    while (p->news_seen < fleet->news_count) {
        const struct fleet_news *news = &fleet->news[p->news_seen++];
        switch (news->kind) {
        case FLEET_READY:
            tell_about(p, fleet, EVENT_PROBE, news->number, true);
            break;
        case FLEET_START_FAILED:
            tell_about(p, fleet, EVENT_START_FAILED, news->number, false);
            break;
        case FLEET_CRASHED:
        case FLEET_GONE:
            tell_about(p, fleet, EVENT_EXITED, news->number, false);
            break;
        }
    }
}

/* -- the begin -- */

static void begin_config(struct plimsoll *p)
{
    struct model_conf model = *p->setup.model;
    struct service_conf service = model.services[0];
    service.initial = p->setup.initial;
    service.template = TEMPLATE;
    model.service_count = 1;
    model.services = &service;
    struct event e = event_at(p, US_PER_S, EVENT_CONFIG);
    e.conf = &model;
    control_step(p->core, &e, &(struct actions){ .items = p->items, .cap = ARRAY_LEN(p->items) });
    p->slot = control_find(p->core, service.name);
    p->telling = (struct event){ .service = p->slot, .samples = p->samples };
}

/* What runs from the begin was started before it, so that the core has seen how long a start takes.
 * It is given the time for that. How many they are it has decided itself: min, max and schedules
 * hold from the first moment. */
static void begin(struct plimsoll *p)
{
    struct actions actions = { .items = p->items, .cap = ARRAY_LEN(p->items) };
    struct service_view view;
    p->wall_us = p->setup.start_wall_us;
    begin_config(p);
    for (int round = 0; round < MODEL_COUNT_MAX / 16; round++) {
        struct event e = event_at(p, US_PER_S, EVENT_TICK);
        control_step(p->core, &e, &actions);
        if (actions.count == 0)
            break;
    }
    p->desired = control_desired(p->core, (uint32_t)p->slot);
    control_view(p->core, (uint32_t)p->slot, &view);
    p->first = view.starting;
    assert(p->first == p->desired);
}

/* The numbers of the first instances are the core's own. */
static void tell_first(struct plimsoll *p, struct fleet *fleet)
{
    p->begun = true;
    for (int32_t n = 1; n <= p->first; n++)
        tell_about(p, fleet, EVENT_PROBE, (uint32_t)n, true);
}

static uint32_t state_words(const struct service_conf *s)
{
    uint32_t words = 0;
    for (uint32_t n = 0; n < s->rule_count; n++) {
        const struct rule_ops *ops = rule_ops(s->rules[n].kind);
        words += ops && ops->more_words ? ops->more_words(&s->rules[n]) : 0;
    }
    return words;
}

static bool wants(const struct plimsoll *p, enum metric m)
{
    for (uint32_t n = 0; n < p->wanted_count; n++) {
        if (p->samples[n].metric == m)
            return true;
    }
    return false;
}

static void want(struct plimsoll *p, enum metric m)
{
    if (m < METRIC_MAX && !wants(p, m))
        p->samples[p->wanted_count++] = (struct sample){ .metric = m };
}

/* A core looks up what its rules need; what they do not look at need not be told. */
static void find_wanted(struct plimsoll *p, const struct service_conf *s)
{
    want(p, METRIC_CONCURRENCY);
    want(p, METRIC_QUEUE);
    for (uint32_t n = 0; n < s->rule_count; n++) {
        const struct rule_ops *ops = rule_ops(s->rules[n].kind);
        for (uint32_t k = 0; ops && ops->metric; k++) {
            enum metric m = ops->metric(&s->rules[n], k);
            if (m >= METRIC_MAX || k == METRIC_MAX)
                break;
            want(p, m);
        }
    }
}

static void plimsoll_close(void *self)
{
    struct plimsoll *p = self;
    free(p->memory);
    free(p);
}

static void *plimsoll_open(const struct policy_setup *s)
{
    const struct service_conf *conf = &s->model->services[0];
    struct control_caps caps = {
        .services = 1,
        .instances = INSTANCES_MAX,
        .points = (uint32_t)MAX(POINTS_LEAST, conf->window_in_us / US_PER_S + 2),
        .words = state_words(conf),
    };
    struct plimsoll *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->setup = *s;
    p->offset_us = us_add(s->boot_us, 2 * US_PER_S);
    size_t bytes = (control_bytes(&caps) + 15) / 16 * 16;
    p->memory = aligned_alloc(16, bytes);
    if (!p->memory) {
        plimsoll_close(p);
        return NULL;
    }
    memset(p->memory, 0, bytes);
    p->core = control_init(p->memory, &caps);
    find_wanted(p, conf);
    begin(p);
    return p;
}

/* -- a step -- */

/* Where it stands in a view; 0 = nothing here measures it. */
static const size_t place_of[METRIC_MAX] = {
    [METRIC_CONCURRENCY] = offsetof(struct policy_view, concurrency),
    [METRIC_RPS] = offsetof(struct policy_view, answered),
    [METRIC_ARRIVALS] = offsetof(struct policy_view, arrivals),
    [METRIC_QUEUE] = offsetof(struct policy_view, queued),
    [METRIC_LATENCY_P50] = offsetof(struct policy_view, latency_p50_s),
    [METRIC_LATENCY_P95] = offsetof(struct policy_view, latency_p95_s),
    [METRIC_LATENCY_P99] = offsetof(struct policy_view, latency_p99_s),
    [METRIC_CPU] = offsetof(struct policy_view, utilisation),
    [METRIC_HOST_CPU] = offsetof(struct policy_view, utilisation),
};

bool policy_measures(enum metric m)
{
    return place_of[m] != 0;
}

static double value_of(const struct policy_view *v, enum metric m)
{
    return place_of[m] ? *(const double *)(const void *)((const char *)v + place_of[m]) : NAN;
}

static void tell_samples(struct plimsoll *p, const struct policy_view *v, struct fleet *fleet)
{
    struct event *e = &p->telling;
    e->type = EVENT_SAMPLES;
    e->now_us = fleet->now_us + p->offset_us;
    e->wall_us = p->wall_us;
    for (uint32_t n = 0; n < p->wanted_count; n++)
        p->samples[n].value = value_of(v, p->samples[n].metric);
    e->sample_count = p->wanted_count;
    tell(p, e, fleet);
}

/* The proxy rings the moment demand passes the mark; here that is the end of the step. */
static void ring(struct plimsoll *p, const struct policy_view *v, struct fleet *fleet)
{
    double demand = ceil(v->in_flight) + ceil(v->queued);
    if (demand < control_mark(p->core, (uint32_t)p->slot)) {
        p->rung = 0;
        return;
    }
    if (demand == p->rung)
        return;
    p->rung = (uint32_t)MIN(demand, UINT32_MAX);
    struct event e = event_now(p, fleet, EVENT_DOORBELL);
    e.in_flight = (uint32_t)MIN(ceil(v->in_flight), INT32_MAX);
    e.queued = (uint32_t)MIN(ceil(v->queued), INT32_MAX);
    tell(p, &e, fleet);
    drain_news(p, fleet);
}

/* What has happened on the fleet since it was looked at last. */
static void catch_up(struct plimsoll *p, const struct policy_view *v, struct fleet *fleet)
{
    p->wall_us = v->wall_us;
    p->news_seen = 0;
    if (!p->begun)
        tell_first(p, fleet);
    drain_news(p, fleet);
}

static void plimsoll_bell(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct plimsoll *p = self;
    catch_up(p, v, fleet);
    ring(p, v, fleet);
    p->desired = control_desired(p->core, (uint32_t)p->slot);
}

static uint32_t plimsoll_mark(const void *self)
{
    const struct plimsoll *p = self;
    return p->begun ? control_mark(p->core, (uint32_t)p->slot) : UINT32_MAX;
}

static void plimsoll_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct plimsoll *p = self;
    catch_up(p, v, fleet);
    tell_samples(p, v, fleet);
    ring(p, v, fleet);
    p->telling.type = EVENT_TICK;
    p->telling.sample_count = 0;
    tell(p, &p->telling, fleet);
    drain_news(p, fleet);
    p->desired = control_desired(p->core, (uint32_t)p->slot);
}

static int32_t plimsoll_desired(const void *self)
{
    const struct plimsoll *p = self;
    return p->desired;
}

static const char *plimsoll_why(const void *self)
{
    const struct plimsoll *p = self;
    return p->why;
}

const struct policy_ops policy_plimsoll = {
    .name = "plimsoll",
    .help = "this program's core, as the configuration says",
    .open = plimsoll_open,
    .step = plimsoll_step,
    .desired = plimsoll_desired,
    .why = plimsoll_why,
    .close = plimsoll_close,
    .bell = plimsoll_bell,
    .mark = plimsoll_mark,
};
