/* GET /v1/status: everything that runs, in one object. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "admin/admin_int.h"
#include "core/decision.h"
#include "store/codec.h"
#include "sys/clock.h"

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_json(const char *text)
{
    return codec_text(text ? text : "", text ? strlen(text) : 0);
}

static json_t *pid_json(int64_t pid)
{
    return json_pack("{s:o}", "pid", pid ? json_integer(pid) : json_null());
}

static json_t *instance_json(struct admin_backend *b, const struct service_view *v,
                             const struct instance *i, int64_t now_us)
{
    struct admin_instance_facts f = { .cpu = NAN, .memory_bytes = NAN };
    char id[MODEL_NAME_MAX + 12];
    b->instance_facts(b->ctx, v->slot, i->number, &f);
    snprintf(id, sizeof(id), "%s-%u", v->conf->name, i->number);
    int64_t since_us = clock_wall_us() - (now_us - i->state_us);
    json_t *memory =
        isfinite(f.memory_bytes) ? json_integer((json_int_t)f.memory_bytes) : json_null();
    return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:b}", "id", id, "number",
                     (json_int_t)i->number, "state", instance_state_name(i->state), "pid",
                     f.pid ? json_integer(f.pid) : json_null(), "address", text_json(f.address),
                     "template", codec_hex(i->template), "since", codec_time(since_us), "in_flight",
                     (json_int_t)f.in_flight, "cpu", number_or_null(f.cpu), "memory_bytes", memory,
                     "protected", i->protected_);
}

static json_t *instances_json(struct admin_backend *b, const struct service_view *v, int64_t now_us)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < v->instance_count; i++)
        if (v->instances[i].state != INSTANCE_GONE)
            json_array_append_new(list, instance_json(b, v, &v->instances[i], now_us));
    return list;
}

static json_t *texts_json(const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, text_json(texts[i]));
    return list;
}

static json_t *operator_json(const struct service_view *v)
{
    if (v->operator_count < 0)
        return json_null();
    return json_pack("{s:i, s:b}", "count", v->operator_count, "forced", v->operator_forced);
}

static json_t *counts_json(const struct service_view *v)
{
    const struct service_conf *c = v->conf;
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:b, s:b, s:o}", "name",
                     c->name, "mode", c->mode == SERVICE_ADVISE ? "advise" : "auto", "desired",
                     v->desired, "ready", v->ready, "starting", v->starting, "draining",
                     v->draining, "failing", v->failing, "min",
                     v->schedule_min >= 0 ? v->schedule_min : c->min, "max",
                     v->schedule_max >= 0 ? v->schedule_max : c->max, "operator", operator_json(v),
                     "paused", v->paused, "leaving", v->leaving, "trouble", text_json(v->trouble));
}

static json_t *source_json(const struct admin_source_facts *s)
{
    int64_t since_us = clock_wall_us() - s->trouble_us;
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "name", text_json(s->name), "kind", s->kind,
                     "value", number_or_null(s->value), "trouble", text_json(s->trouble),
                     "trouble_since", s->trouble[0] ? codec_time(since_us) : json_null());
}

json_t *admin_sources_json(const struct admin_service_facts *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->source_count; i++)
        json_array_append_new(list, source_json(&f->sources[i]));
    return list;
}

static json_t *cost_json(const struct admin_cost_facts *c)
{
    if (!isfinite(c->per_hour) && !isfinite(c->watts))
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "per_hour", number_or_null(c->per_hour),
                     "today", number_or_null(c->today), "watts", number_or_null(c->watts),
                     "kwh_today", number_or_null(c->kwh_today), "co2_grams_per_hour",
                     number_or_null(c->grams_per_hour), "co2_grams_today",
                     number_or_null(c->grams_today));
}

static json_t *service_json(struct admin_backend *b, const struct service_view *v, int64_t now_us)
{
    struct admin_service_facts f = {
        .rps = NAN, .p50_ms = NAN, .p95_ms = NAN, .p99_ms = NAN, .cost = ADMIN_COST_UNKNOWN
    };
    b->service_facts(b->ctx, v->slot, &f);
    json_t *json = counts_json(v);
    json_t *load = json_pack(
        "{s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "in_flight",
        (json_int_t)f.in_flight, "queued", (json_int_t)f.queued, "tunnels", (json_int_t)f.tunnels,
        "rps", number_or_null(f.rps), "p50_ms", number_or_null(f.p50_ms), "p95_ms",
        number_or_null(f.p95_ms), "p99_ms", number_or_null(f.p99_ms), "listen",
        texts_json(f.listen, f.listen_count), "sources", admin_sources_json(&f), "cost",
        cost_json(&f.cost), "instances", instances_json(b, v, now_us));
    json_object_update(json, load);
    json_decref(load);
    return json;
}

static json_t *purse_json(const struct budget_view *v, enum budget_period period)
{
    double ceiling = budget_ceiling(v->conf, period);
    if (ceiling <= 0)
        return json_null();
    return json_pack("{s:f, s:f, s:o, s:b}", "spent", v->spent[period], "ceiling", ceiling, "until",
                     codec_time(v->until_us[period]), "tight", v->tight[period]);
}

/* How many instances the budget keeps a service from. */
static int32_t yielded(const struct control *c, uint32_t slot)
{
    const struct decision *d = control_decision(c, slot);
    int32_t n = 0;
    for (uint32_t i = 0; d && i < d->step_count; i++)
        n += d->steps[i].kind == LIMIT_BUDGET ? d->steps[i].from - d->steps[i].to : 0;
    return n;
}

static json_t *yields_json(const struct control *c, uint32_t budget)
{
    struct service_view v;
    json_t *yields = json_object();
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        bool pays = control_view(c, slot, &v) && v.conf->budget == (int32_t)budget;
        int32_t n = pays ? yielded(c, slot) : 0;
        if (n > 0)
            json_object_set_new(yields, v.conf->name, json_integer(n));
    }
    return yields;
}

static json_t *budgets_json(const struct control *c)
{
    struct budget_view v;
    json_t *list = json_array();
    for (uint32_t n = 0; control_budget(c, n, &v); n++) {
        json_t *one = json_pack("{s:s, s:s, s:f, s:o}", "name", v.conf->name, "currency",
                                v.conf->currency, "per_hour", v.rate, "yields", yields_json(c, n));
        for (unsigned period = 0; period < BUDGET_PERIOD_MAX; period++)
            json_object_set_new(one, budget_period_name(period), purse_json(&v, period));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *troubles_json(const struct admin *admin, const struct admin_facts *f)
{
    const struct admin_backend *b = &admin->backend;
    json_t *list = texts_json(f->troubles, f->trouble_count);
    struct store *s = b->store(b->ctx);
    char text[400];
    if (s && store_trouble(s, text, sizeof(text)))
        json_array_append_new(list, text_json(text));
    if (admin->trouble[0])
        json_array_append_new(list, text_json(admin->trouble));
    return list;
}

static json_t *member_json(const struct admin_member_facts *m)
{
    json_t *age = m->age_us < 0 ? json_null() : json_real((double)m->age_us / 1e6);
    return json_pack("{s:o, s:o, s:b, s:b, s:o, s:b, s:o}", "name", text_json(m->name), "url",
                     text_json(m->url), "self", m->self, "leads", m->leads, "heard_s", age,
                     "silent", m->silent, "trouble", text_json(m->trouble));
}

static json_t *group_json(const struct admin_group_facts *g)
{
    json_t *members = json_array();
    for (size_t i = 0; i < g->member_count; i++)
        json_array_append_new(members, member_json(&g->members[i]));
    bool known = g->leader && g->leader[0];
    return json_pack("{s:s, s:o, s:b, s:o, s:o, s:o}", "driver", g->driver ? g->driver : "file",
                     "owner", text_json(g->owner ? g->owner : ""), "held", g->held, "token",
                     g->token ? json_integer((json_int_t)g->token) : json_null(), "leader",
                     known ? text_json(g->leader) : json_null(), "members", members);
}

static json_t *engines_json(const struct admin_facts *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->engine_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:b, s:o}", "name", f->engines[i].name, "up",
                                              f->engines[i].up, "trouble",
                                              text_json(f->engines[i].trouble)));
    return list;
}

void admin_get_status(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    const struct control *c = b->control(b->ctx);
    struct admin_facts f = { 0 };
    struct service_view v;
    json_t *services = json_array();
    uint32_t acting = 0, advising = 0;
    b->facts(b->ctx, &f);
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        if (!control_view(c, slot, &v))
            continue;
        *(v.conf->mode == SERVICE_ADVISE ? &advising : &acting) += 1;
        json_array_append_new(services, service_json(b, &v, f.now_us));
    }
    bool stopping = f.stopping || control_stopping(c);
    const char *mode = stopping ? "stopping" : advising && !acting ? "advise" : "auto";
    json_t *proxy = pid_json(f.proxy_pid);
    json_object_set_new(proxy, "connections", json_integer(f.proxy_connections));
    json_t *alerts = b->alerts(b->ctx);
    admin_answer_json(
        a, 200,
        json_pack(
            "{s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:O?, s:O?}",
            "version", PLIMSOLL_VERSION, "state", text_json(f.state_dir), "config",
            text_json(f.config_path), "mode", mode, "since", codec_time(f.since_wall_us), "lease",
            text_json(f.lease ? f.lease : "held"), "group", group_json(&f.group), "engines",
            engines_json(&f), "keeper", pid_json(f.keeper_pid), "controller",
            pid_json(f.controller_pid), "proxy", proxy, "troubles",
            troubles_json(q->side->admin, &f), "budgets", budgets_json(c), "services", services,
            "alerts", json_object_get(alerts, "alerts"), "alert_targets",
            json_object_get(alerts, "targets")));
    json_decref(alerts);
}
