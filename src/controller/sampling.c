/* The tick: every source is asked about every service, the answers become one event a service, and
 * then time passes for the core. A source that knows nothing adds nothing: the core sees a gap. */
#include <math.h>

#include "controller/controller_int.h"
#include "core/rule.h"
#include "store/recorded.h"
#include "sys/clock.h"

/* Where the engine itself says what an instance uses, its process is not looked at. */
static bool engine_samples(const struct controller *c, uint32_t slot)
{
    int driver = controller_provisioner(c, slot);
    return driver >= 0 && provision_all[driver]->sample;
}

static size_t list_instances(struct controller *c, const struct service_view *v,
                             struct source_instance *items, size_t cap)
{
    bool by_engine = engine_samples(c, v->slot);
    size_t n = 0;
    for (uint32_t k = 0; k < v->instance_count && n < cap; k++) {
        const struct instance *i = &v->instances[k];
        const struct fleet_instance *f = fleet_find(&c->fleet, v->slot, i->number);
        if (i->number == 0 || i->state == INSTANCE_GONE || !f)
            continue;
        items[n++] = (struct source_instance){ .number = i->number,
                                               .pid = by_engine ? 0 : f->pid,
                                               .gauge = f->gauge,
                                               .ready = i->state == INSTANCE_READY };
    }
    return n;
}

/* For people: status shows these, the core has its own. */
static void remember(struct controller *c, uint32_t slot, const struct sample *s)
{
    struct totals_service *t = &c->totals.service[slot];
    struct fleet_instance *f = s->number > 0 ? fleet_find(&c->fleet, slot, s->number) : NULL;
    if (f && s->metric == METRIC_CPU)
        f->cpu = s->value;
    if (f && s->metric == METRIC_MEMORY)
        f->memory_bytes = s->value;
    if (s->number > 0)
        return;
    if (s->metric == METRIC_RPS)
        t->rps = s->value;
    if (s->metric == METRIC_LATENCY_P50)
        t->p50_ms = s->value * 1e3;
    if (s->metric == METRIC_LATENCY_P95)
        t->p95_ms = s->value * 1e3;
    if (s->metric == METRIC_LATENCY_P99)
        t->p99_ms = s->value * 1e3;
}

static void keep(struct controller *c, const struct service_view *v, const struct sample *s,
                 int64_t wall_us)
{
    const struct metric_info *info = metric_info(s->metric);
    uint32_t own = info ? 0 : (uint32_t)s->metric - METRIC_CUSTOM;
    const char *name = info                          ? info->name
                       : own < v->conf->metric_count ? v->conf->metrics[own].name
                                                     : NULL;
    remember(c, v->slot, s);
    if (name)
        store_put_sample(c->store, v->conf->name, name, s->number, s->value, wall_us);
}

/* What a replay of the load is held against. */
static void keep_counts(struct controller *c, const struct service_view *v, int64_t wall_us)
{
    store_put_sample(c->store, v->conf->name, RECORDED_READY, 0, v->ready, wall_us);
    store_put_sample(c->store, v->conf->name, RECORDED_DESIRED, 0, v->desired, wall_us);
}

void sampling_keep(struct controller *c, const struct event *e)
{
    struct service_view v;
    struct totals_service *t = &c->totals.service[e->service];
    if (!control_view(c->control, (uint32_t)e->service, &v))
        return;
    t->rps = t->p50_ms = t->p95_ms = t->p99_ms = (double)NAN;
    for (uint32_t i = 0; i < e->sample_count; i++)
        keep(c, &v, &e->samples[i], e->wall_us);
    keep_counts(c, &v, e->wall_us);
}

bool controller_wants_usage(const struct service_conf *conf)
{
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        const struct rule_ops *ops = rule_ops(conf->rules[i].kind);
        for (uint32_t k = 0; ops && ops->metric; k++) {
            enum metric m = ops->metric(&conf->rules[i], k);
            if (m == METRIC_CPU || m == METRIC_MEMORY)
                return true;
            if (m == METRIC_MAX)
                break;
        }
    }
    return false;
}

static void ask_all(struct controller *c, const struct source_service *target, int64_t now_us,
                    struct source_sink *sink)
{
    for (size_t i = 0; source_all[i]; i++)
        if (c->sources[i])
            source_all[i]->sample(c->sources[i], target, now_us, sink);
    if (engine_samples(c, target->slot)) {
        int driver = controller_provisioner(c, target->slot);
        provision_all[driver]->sample(c->provisioners[driver], target, now_us, sink);
    }
    feeds_sample(c->feeds, target->slot, now_us, sink);
}

static void sample_service(struct controller *c, const struct service_view *v)
{
    static struct source_instance instances[2 * MODEL_COUNT_MAX];
    struct source_service target = { .slot = v->slot, .instances = instances };
    struct source_sink sink = { .samples = c->samples, .cap = CONTROLLER_SAMPLES_MAX };
    target.instance_count = list_instances(c, v, instances, ARRAY_LEN(instances));
    ask_all(c, &target, clock_now_us(), &sink);
    struct event e = { .type = EVENT_SAMPLES,
                       .wall_us = clock_wall_us(),
                       .service = (int32_t)v->slot,
                       .samples = sink.samples,
                       .sample_count = (uint32_t)sink.count };
    sampling_keep(c, &e);
    controller_emit(c, &e);
    controller_pump(c); /* the samples' memory is used again for the next service */
}

void sampling_tick(struct controller *c)
{
    struct service_view v;
    if (c->phase == PHASE_FINDING || c->phase == PHASE_DONE)
        return;
    history_tick(c);
    spending_tick(c);
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        if (control_view(c->control, slot, &v))
            sample_service(c, &v);
    controller_emit(c, &(struct event){ .type = EVENT_TICK, .service = -1 });
    controller_pump(c);
    if (c->publish)
        proxy_link_publish(c); /* one that failed before */
    members_tick(c);
    controller_rotate_access_log(c);
}
