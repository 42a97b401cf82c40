/* Random but sensible configurations: what a person could have written. */
#include "sim/scenario.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"

static bool chance(struct rng *r, uint32_t one_in)
{
    return rng_below(r, one_in) == 0;
}

static int64_t seconds(struct rng *r, uint32_t least, uint32_t most)
{
    return (int64_t)(least + rng_below(r, most - least + 1)) * US_PER_S;
}

static struct rule_conf *add_rule(struct service_conf *c, enum rule_kind kind, const char *name)
{
    struct rule_conf *r = &c->rules[c->rule_count++];
    memset(r, 0, sizeof(*r));
    r->kind = kind;
    str_copy(r->name, sizeof(r->name), name);
    return r;
}

static void add_target(struct service_conf *c, enum metric m, double value, const char *name)
{
    struct rule_conf *r = add_rule(c, RULE_TARGET, name);
    r->target = (struct rule_target_conf){
        .metric = { .metric = m, .stat = SERIES_AVG },
        .value = value,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
    };
}

static void add_threshold(struct service_conf *c, struct rng *r)
{
    struct rule_conf *x = add_rule(c, RULE_THRESHOLD, "threshold cpu");
    x->threshold = (struct rule_threshold_conf){
        .metric = { .metric = METRIC_CPU, .stat = SERIES_AVG, .window_us = 10 * US_PER_S },
        .has_above = true,
        .above = 0.807,
        .add = 1,
        .below = 0.213,
        .remove = 1,
    };
    x->threshold.for_us = seconds(r, 3, 15);
    x->threshold.has_below = chance(r, 2);
}

static void add_step(struct service_conf *c, struct rng *r)
{
    struct rule_conf *x = add_rule(c, RULE_STEP, "step queue");
    x->step = (struct rule_step_conf){
        .metric = { .metric = METRIC_QUEUE, .stat = SERIES_MAX },
        .threshold = 10,
        .type = RULE_STEP_CHANGE,
        .for_us = 0,
        .warmup_us = seconds(r, 5, 20),
        .step_count = 2,
        .steps = { { 0, 50, 1 }, { 50, INFINITY, 3 } },
    };
}

static void add_schedule(struct service_conf *c, struct rng *r)
{
    struct rule_conf *x = add_rule(c, RULE_SCHEDULE, "schedule */3");
    struct rule_schedule_conf *s = &x->schedule;
    cron_parse(SLICE("*/3 * * * *"), &s->cron, NULL);
    s->for_us = seconds(r, 20, 90);
    s->min = chance(r, 2) ? 2 : -1;
    s->max = chance(r, 2) ? 3 : -1;
    s->count = chance(r, 4) ? 2 : -1;
}

static void random_direction(struct behavior_direction *d, struct rng *r, uint32_t stabilize_s)
{
    *d = (struct behavior_direction){ .select = BEHAVIOR_MAX_CHANGE };
    d->stabilize_us = stabilize_s == 0 ? 0 : seconds(r, 0, stabilize_s);
    for (int percent = 0; percent < 2; percent++) {
        if (!chance(r, 2 + (uint32_t)percent))
            continue;
        struct behavior_policy *p = &d->policy[d->policy_count++];
        p->percent = percent;
        p->value = percent ? 50 + (int32_t)rng_below(r, 100) : 1 + (int32_t)rng_below(r, 3);
        p->period_us = seconds(r, 1, 15);
    }
}

static void random_limits(struct service_conf *c, struct rng *r)
{
    c->mode = chance(r, 15) ? SERVICE_ADVISE : SERVICE_AUTO;
    c->min = (int32_t)rng_below(r, 3);
    c->max = c->min + 1 + (int32_t)rng_below(r, 9);
    c->initial = chance(r, 2) ? -1 : c->min;
    c->surge = 1 + (int32_t)rng_below(r, 2);
    c->can_choose_victim = true;
    c->start_within_us = seconds(r, 10, 30);
    c->drain_us = seconds(r, 1, 20);
    c->window_in_us = seconds(r, 10, 30);
    c->health.fail_after = 1 + (uint32_t)rng_below(r, 3);
    c->health.pass_after = 1 + (uint32_t)rng_below(r, 2);
    c->health.replace_after_us = seconds(r, 5, 30);
}

static void random_service(struct scenario *x, struct world *w, uint32_t n)
{
    struct rng *r = &x->rng;
    struct world_service *s = &w->services[n];
    struct service_conf *c = &x->services[n];
    memset(c, 0, sizeof(*c));
    snprintf(s->name, sizeof(s->name), "svc%u", n);
    str_copy(c->name, sizeof(c->name), s->name);
    s->slot = -1;
    s->capacity = 10 + (double)rng_below(r, 40);
    s->start_us = seconds(r, 0, 4);
    s->start_spread_us = seconds(r, 0, 3);
    s->drain_us = seconds(r, 0, 5);
    s->stop_us = seconds(r, 0, 5);
    random_limits(c, r);
    c->template = 1 + n;
    x->tracks[n] = !chance(r, 5);
    x->target[n] = floor(s->capacity * (0.5 + 0.4 * rng_unit(r)));
    load_init(&s->load, r, 1.2 * x->target[n] * c->max);
    if (x->tracks[n])
        add_target(c, METRIC_CONCURRENCY, x->target[n], "target concurrency");
    if (chance(r, 3))
        add_target(c, METRIC_CPU, 0.6, "target cpu");
    if (chance(r, 3))
        add_threshold(c, r);
    if (chance(r, 4))
        add_step(c, r);
    if (chance(r, 4))
        add_schedule(c, r);
    random_direction(&c->behavior.up, r, 0);
    random_direction(&c->behavior.down, r, 30);
}

/* What was added after seeds had been kept: from numbers of its own, for those to stay what they
 * are. */
static void add_late_knobs(struct scenario *x, const struct world *w, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed ^ UINT64_C(0xfa11bac4));
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_conf *c = &x->services[n];
        for (uint32_t k = 0; k < c->rule_count; k++) {
            struct rule_conf *rule = &c->rules[k];
            if (rule->kind != RULE_SCHEDULE && chance(&r, 3)) {
                rule->fallback_after_us = seconds(&r, 2, 20);
                rule->fallback = 1 + (int32_t)rng_below(&r, (uint64_t)c->max + 2);
            }
            if (rule->kind == RULE_TARGET && rule->target.metric.metric == METRIC_CPU &&
                chance(&r, 2))
                rule->target.metric.window_us = 15 * US_PER_S;
        }
    }
}

/* -- the wider half of all seeds: every kind of rule, and everything that services share
 * -----------
 */

static struct rule_metric custom(struct rng *r)
{
    struct rule_metric m = { .stat = SERIES_AVG };
    m.metric = METRIC_CUSTOM + (enum metric)rng_below(r, WORLD_CUSTOM);
    m.window_us = chance(r, 2) ? 0 : seconds(r, 2, 20);
    return m;
}

static void add_concurrency(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_CONCURRENCY, "concurrency");
    struct rule_concurrency_conf *k = &rule->concurrency;
    *k = (struct rule_concurrency_conf){
        .metric = METRIC_CONCURRENCY,
        .value = x->target[n] / 0.7,
        .utilization = 0.7,
        .panic_threshold = 2,
        .up_rate = 1000,
        .down_rate = 2,
        .activation = 1,
    };
    k->stable_us = seconds(r, 10, 30);
    k->panic_us = MAX(k->stable_us / 10, US_PER_S);
    k->burst_capacity = chance(r, 2) ? 0 : 211;
    k->grace_us = seconds(r, 0, 30);
    k->delay_us = seconds(r, 0, 20);
}

static void add_queue(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_QUEUE, "queue");
    rule->queue = (struct rule_queue_conf){ .metric = { .metric = METRIC_QUEUE }, .least = 1 };
    if (chance(r, 2))
        rule->queue.metric = custom(r);
    rule->queue.value = 1 + (double)rng_below(r, 100);
    rule->queue.activation = (double)rng_below(r, 3);
    rule->queue.cooldown_us = seconds(r, 0, 60);
    rule->queue.age = chance(r, 4);
}

static void add_busyness(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_BUSYNESS, "busyness");
    rule->busyness = (struct rule_busyness_conf){
        .slots = x->target[n],
        .most = 0.9,
        .least = 0.25,
        .step = 1,
        .multiplier = 10,
        .penalty = 2,
        .backlog_alert = 33,
        .backlog_step = 1,
        .backlog_multiplier = 3,
        .backlog_nonzero_us = US_PER_MIN,
    };
    rule->busyness.overload_us = seconds(r, 1, 5);
}

static void add_predictive(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_PREDICTIVE, "predictive");
    rule->predictive = (struct rule_predictive_conf){
        .metric = { .metric = METRIC_CONCURRENCY, .stat = SERIES_AVG }, .value = x->target[n]
    };
    rule->predictive.margin_us = seconds(r, 0, 90);
    rule->predictive.forecast_only = chance(r, 3);
}

static void add_slo(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_SLO, "slo");
    rule->slo = (struct rule_slo_conf){ .metric = METRIC_LATENCY_P99, .below_s = 0.25 };
    rule->slo.cost_max = chance(r, 2) ? 0 : 5;
}

static void add_ratio(struct scenario *x, struct rng *r, uint32_t n)
{
    struct rule_conf *rule = add_rule(&x->services[n], RULE_RATIO, "ratio");
    str_copy(rule->ratio.service, sizeof(rule->ratio.service), "svc0");
    rule->ratio.per = 1 + (double)rng_below(r, 4);
}

static void add_custom(struct scenario *x, struct rng *r, uint32_t n)
{
    struct service_conf *c = &x->services[n];
    struct rule_conf *rule = add_rule(c, RULE_THRESHOLD, "threshold on a metric of its own");
    rule->threshold = (struct rule_threshold_conf){
        .metric = custom(r), .has_above = true, .above = 80.7, .add = 1, .remove = 1
    };
    rule->threshold.for_us = seconds(r, 3, 15);
    rule->threshold.has_below = chance(r, 2);
    rule->threshold.below = 3.3;
    rule->fallback_as = (enum rule_fallback)rng_below(r, RULE_FALLBACK_IF_LOWER + 1);
}

static void (*const wider_rules[])(struct scenario *x, struct rng *r, uint32_t n) = {
    add_concurrency, add_queue, add_busyness, add_predictive, add_slo, add_ratio, add_custom,
};

static void widen_service(struct scenario *x, struct rng *r, uint32_t n)
{
    struct service_conf *c = &x->services[n];
    for (uint32_t m = 0; m < WORLD_CUSTOM; m++) {
        struct metric_conf *k = &c->metrics[m];
        snprintf(k->name, sizeof(k->name), "own-%u", m);
        k->global = chance(r, 3);
        k->stale_us = seconds(r, 6, 20);
    }
    c->metric_count = WORLD_CUSTOM;
    for (size_t k = 0; k < ARRAY_LEN(wider_rules); k++) {
        bool ratio = wider_rules[k] == add_ratio;
        if (chance(r, 4) && !(ratio && n == 0))
            wider_rules[k](x, r, n);
    }
    if (chance(r, 4)) {
        c->headroom_ratio = chance(r, 2);
        c->headroom = c->headroom_ratio ? 0.1 + 0.4 * rng_unit(r) : 1;
    }
    if (chance(r, 4))
        c->change_cost_us = seconds(r, 1, 60);
    if (chance(r, 4))
        c->behavior.up.cooldown_us = seconds(r, 1, 10);
    if (chance(r, 4))
        c->behavior.down.cooldown_us = seconds(r, 1, 20);
    for (uint32_t k = 0; k < c->rule_count; k++) {
        struct rule_conf *rule = &c->rules[k];
        if (rule->kind == RULE_TARGET && rule->target.metric.metric == METRIC_CONCURRENCY)
            rule->target.headroom_auto = chance(r, 4);
    }
    c->cost = 0.1 * (double)(1 + rng_below(r, 30));
    c->budget_weight = (double)(1 + rng_below(r, 3));
    c->budget = chance(r, 3) ? -1 : 0;
    if (n > 0 && chance(r, 3)) /* never a circle: always after one that comes before it */
        snprintf(c->after[c->after_count++], MODEL_NAME_MAX, "svc%u", n - 1);
}

static void widen(struct scenario *x, struct world *w, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed ^ UINT64_C(0x31de));
    for (uint32_t n = 0; n < w->service_count; n++)
        x->services[n].budget = -1;
    x->wide = chance(&r, 2);
    w->wide = x->wide;
    if (!x->wide)
        return;
    for (uint32_t n = 0; n < w->service_count; n++)
        widen_service(x, &r, n);
    struct budget_conf *b = &x->model.budgets[0];
    x->model.budget_count = 1;
    str_copy(b->name, sizeof(b->name), "compute");
    b->per_hour = chance(&r, 3) ? 0 : 1 + 20 * rng_unit(&r);
    b->per_day = chance(&r, 3) ? rng_unit(&r) * 2 : 0;
    b->per_month = chance(&r, 4) ? rng_unit(&r) * 50 : 0;
}

static void fit_engine(struct scenario *x, const struct world *w, uint64_t seed)
{
    rng_init(&x->engines, seed ^ UINT64_C(0xe2615e));
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_conf *c = &x->services[n];
        c->can_choose_victim = !w->engine->chooses;
        c->can_resize = w->engine->resizes;
        c->shape = w->engine->resizes ? 1000 : 0;
    }
}

void scenario_init(struct scenario *x, struct world *w, uint64_t seed)
{
    memset(x, 0, sizeof(*x));
    rng_init(&x->rng, seed ^ UINT64_C(0x5ce7a210));
    w->service_count = 1 + (uint32_t)rng_below(&x->rng, WORLD_SERVICES_MAX);
    for (uint32_t n = 0; n < w->service_count; n++)
        random_service(x, w, n);
    add_late_knobs(x, w, seed);
    fit_engine(x, w, seed);
    x->model.services = x->services;
    x->model.service_count = w->service_count;
    x->model.zone_count = 1;
    str_copy(x->model.zones[0].name, sizeof(x->model.zones[0].name), "UTC");
    widen(x, w, seed);
}

const struct model_conf *scenario_model(struct scenario *x)
{
    return &x->model;
}

void scenario_change(struct scenario *x, const struct world *w)
{
    if (w->engine->resizes && chance(&x->engines, 2))
        x->services[rng_below(&x->engines, w->service_count)].shape += 1000;
    struct rng *r = &x->rng;
    struct service_conf *c = &x->services[rng_below(r, w->service_count)];
    switch (rng_below(r, 6)) {
    case 0:
        c->template += 100;
        break;
    case 1:
        c->max += (int32_t)rng_below(r, 5) - 2;
        c->max = MAX(1, c->max);
        c->min = MIN(c->min, c->max);
        break;
    case 2:
        c->min = (int32_t)rng_below(r, 3);
        c->max = MAX(c->max, c->min + 1);
        break;
    case 3: /* the last service goes, or comes back */
        x->model.service_count =
            x->model.service_count == w->service_count ? w->service_count - 1 : w->service_count;
        break;
    case 4:
        random_direction(&c->behavior.down, r, 30);
        break;
    default:
        if (c->rule_count > 0)
            c->rule_count--;
        break;
    }
}

void scenario_leave(struct scenario *x, const struct world *w)
{
    x->model.service_count = w->service_count - 1;
}

void scenario_come_back(struct scenario *x, const struct world *w)
{
    x->model.service_count = w->service_count;
}

/* Policies that go to and fro under constant load because they were told to. A queue is there with
 * one instance too few and gone with one more, so who follows it adds what another rule takes away;
 * and who follows a service with which it shares a budget takes from it what it followed. */
static bool contradicts(const struct service_conf *c, const struct rule_conf *r)
{
    return r->kind == RULE_STEP || (r->kind == RULE_RATIO && c->budget >= 0) ||
           (r->kind == RULE_QUEUE && r->queue.metric.metric == METRIC_QUEUE);
}

void scenario_calm(struct scenario *x, struct world *w)
{
    x->model.service_count = w->service_count;
    x->model.budgets[0].per_day = x->model.budgets[0].per_month = 0;
    for (uint32_t n = 0; n < w->service_count; n++) {
        struct service_conf *c = &x->services[n];
        uint32_t kept = 0;
        bool tracks = false;
        for (uint32_t k = 0; k < c->rule_count; k++) {
            const struct rule_conf *r = &c->rules[k];
            if (r->kind == RULE_SCHEDULE || (x->wide && contradicts(c, r)))
                continue;
            tracks |= r->kind == RULE_TARGET && r->target.metric.metric == METRIC_CONCURRENCY;
            if (kept != k)
                c->rules[kept] = *r;
            kept++;
        }
        c->rule_count = kept;
        x->tracks[n] = tracks && c->mode == SERVICE_AUTO && c->budget < 0 && !x->wide;
        struct load *l = &w->services[n].load;
        l->kind = LOAD_CONSTANT;
        l->high = chance(&x->rng, 4) ? 0 : floor(x->target[n] * c->max * rng_unit(&x->rng));
    }
}
