/* What the admin API shows beside the core's views: facts from the fleet, the gauges, the group and
 * the engines, and what is wrong, in sentences. It changes nothing. */
#include <assert.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "controller/discovery.h"
#include "sys/clock.h"

static void add_trouble(struct admin_facts *f, const char *text)
{
    if (text[0] && f->trouble_count < ARRAY_LEN(f->troubles))
        f->troubles[f->trouble_count++] = text;
}

/* Sources that do not answer, as one sentence each. */
static void add_source_troubles(struct controller *c, struct admin_facts *f)
{
    static char texts[8][FEED_TROUBLE_MAX + 128];
    size_t n = 0;
    struct service_view v;
    struct feed_view feeds[METRIC_CUSTOM_MAX];
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        size_t count = control_view(c->control, slot, &v)
                           ? feeds_view(c->feeds, slot, clock_now_us(), feeds, ARRAY_LEN(feeds))
                           : 0;
        for (size_t i = 0; i < count && n < ARRAY_LEN(texts); i++) {
            if (!feeds[i].trouble[0])
                continue;
            fmt(texts[n], sizeof(texts[n]), "%s: source %s (%s) %s%s", v.conf->name, feeds[i].name,
                feeds[i].kind, feeds[i].trouble, feeds[i].known ? "" : "; its metric is unknown");
            add_trouble(f, texts[n++]);
        }
    }
}

/* What drivers have said is wrong. */
static void add_driver_troubles(struct controller *c, struct admin_facts *f)
{
    static char texts[8][sizeof(c->driver_trouble[0]) + MODEL_NAME_MAX + 2];
    struct service_view v;
    size_t n = 0;
    for (uint32_t slot = 0; slot <= MODEL_SERVICES_MAX && n < ARRAY_LEN(texts); slot++) {
        const char *text = c->driver_trouble[slot];
        bool of_service = slot < MODEL_SERVICES_MAX && control_view(c->control, slot, &v);
        if (!text[0])
            continue;
        fmt(texts[n], sizeof(texts[n]), "%s%s%s", of_service ? v.conf->name : "",
            of_service ? ": " : "", text);
        add_trouble(f, texts[n++]);
    }
}

/* Members that say nothing. */
static void add_member_troubles(struct admin_facts *f)
{
    static char texts[4][256];
    size_t n = 0;
    for (size_t i = 0; i < f->group.member_count && n < ARRAY_LEN(texts); i++) {
        const struct admin_member_facts *m = &f->group.members[i];
        if (!m->silent)
            continue;
        fmt(texts[n], sizeof(texts[n]),
            "member %s is silent, so what its proxy has to do is unknown: %s", m->name,
            m->trouble[0] ? m->trouble : "it does not answer");
        add_trouble(f, texts[n++]);
    }
}

/* The engines that services are run by, each once; down when one of its services says so. */
static void put_engines(struct controller *c, struct admin_facts *f)
{
    static char texts[ADMIN_ENGINES_MAX][sizeof(((struct service_view *)0)->trouble)];
    struct admin_engine_facts *of[CONTROLLER_PROVISIONERS_MAX] = { NULL };
    struct service_view v;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        int driver = control_view(c->control, slot, &v) ? controller_provisioner(c, slot) : -1;
        if (driver < 0 || (!of[driver] && f->engine_count == ARRAY_LEN(f->engines)))
            continue;
        if (!of[driver]) {
            of[driver] = &f->engines[f->engine_count++];
            *of[driver] = (struct admin_engine_facts){ .name = provision_all[driver]->name,
                                                       .up = true,
                                                       .trouble = "" };
        }
        if (!v.driver_down || !of[driver]->up)
            continue;
        char *text = texts[of[driver] - f->engines];
        str_copy(text, sizeof(texts[0]), v.trouble);
        *of[driver] =
            (struct admin_engine_facts){ .name = provision_all[driver]->name, .trouble = text };
    }
}

static void put_group(struct controller *c, struct admin_group_facts *g)
{
    *g = (struct admin_group_facts){ .driver = c->lead.ops ? c->lead.ops->name : "file",
                                     .owner = c->lead.owner,
                                     .held = c->lead.held,
                                     .token = c->lead.token,
                                     .leader = leader_name(c) };
    members_facts(c, g);
}

void controller_facts(void *ctx, struct admin_facts *f)
{
    struct controller *c = ctx;
    static char journal_text[256];
    *f = (struct admin_facts){
        .state_dir = c->options->state_dir,
        .config_path = c->options->config_path,
        .now_us = controller_now(c),
        .stopping = c->phase >= PHASE_FINISHING,
        .lease = c->lead.held && c->phase != PHASE_FINDING ? "held" : "not held",
        .since_wall_us = c->started_wall_us,
        .keeper_pid = c->keeper.pid,
        .controller_pid = getpid(),
        .proxy_pid = c->gauges ? c->proxy.pid : 0,
        .connections_accepted = c->totals.accepted,
        .connections_refused = c->totals.refused,
        .log_dropped = c->totals.log_dropped,
        .events_total = c->totals.events,
        .config_reloads = c->totals.reloads,
        .config_reload_failures = c->totals.reload_failures,
        .proxy_starts = c->totals.proxy_starts,
        .journal_dropped = journal_dropped(c->journal),
    };
    if (c->gauges) {
        f->proxy_connections = atomic_load(&c->gauges->client_connections);
        f->connections_accepted += atomic_load(&c->gauges->client_accepted);
        f->connections_refused += atomic_load(&c->gauges->client_refused);
        f->log_dropped += atomic_load(&c->gauges->log_dropped);
    }
    put_group(c, &f->group);
    put_engines(c, f);
    add_trouble(f, c->lead.trouble);
    add_trouble(f, follow_trouble(c));
    if (leader_in_group(c) && !controller_leads(c) && !f->group.leader[0])
        add_trouble(f, "nobody leads, as far as is known: nothing is started or stopped; the "
                       "proxies go on");
    add_trouble(f, c->own_file_trouble);
    add_trouble(f, c->config_trouble);
    for (size_t n = 0; discovery_trouble(c, n); n++)
        add_trouble(f, discovery_trouble(c, n));
    add_trouble(f, c->admin_trouble);
    journal_trouble(c->journal, journal_text, sizeof(journal_text));
    add_trouble(f, journal_text);
    add_source_troubles(c, f);
    add_driver_troubles(c, f);
    add_member_troubles(f);
    if (!c->gauges)
        add_trouble(f, "the proxy is away; the keeper starts another");
}

/* Whole buckets go to where their upper end belongs. */
static void put_latency(struct admin_service_facts *f, const struct totals_service *t)
{
    for (unsigned i = 0; i < GAUGES_BUCKETS; i++)
        if (t->latency[i] > 0)
            f->latency[admin_latency_bucket(gauges_bucket_floor_us(i + 1) - 1)] += t->latency[i];
    f->latency_sum_us = t->latency_sum_us;
}

static void put_sources(struct controller *c, uint32_t slot, struct admin_service_facts *f)
{
    struct feed_view feeds[ADMIN_SOURCES_MAX];
    f->source_count = feeds_view(c->feeds, slot, clock_now_us(), feeds, ARRAY_LEN(feeds));
    f->source_count = MIN(f->source_count, ARRAY_LEN(feeds));
    for (size_t i = 0; i < f->source_count; i++)
        f->sources[i] =
            (struct admin_source_facts){ .name = feeds[i].name,
                                         .kind = feeds[i].kind,
                                         .value = feeds[i].known ? feeds[i].value : (double)NAN,
                                         .trouble = feeds[i].why,
                                         .trouble_us = feeds[i].why_us };
}

void controller_service_facts(void *ctx, uint32_t slot, struct admin_service_facts *f)
{
    struct controller *c = ctx;
    const struct config_service *s = controller_service(c, slot);
    static struct totals_service t;
    totals_read(&c->totals, c->gauges, slot, &t);
    *f = (struct admin_service_facts){
        .listen = s ? s->listeners : NULL,
        .listen_count = s ? s->listener_count : 0,
        .rps = t.rps,
        .p50_ms = t.p50_ms,
        .p95_ms = t.p95_ms,
        .p99_ms = t.p99_ms,
        .requests_total = t.requests,
        .retries = t.retries,
        .bytes_in = t.bytes_in,
        .bytes_out = t.bytes_out,
        .decisions = t.decisions,
        .starts = t.starts,
        .start_failures = t.start_failures,
        .exits = t.exits,
    };
    static_assert(sizeof(f->errors) == sizeof(t.errors), "the same kinds of errors");
    memcpy(f->responses, t.responses, sizeof(f->responses));
    memcpy(f->errors, t.errors, sizeof(f->errors));
    put_latency(f, &t);
    put_sources(c, slot, f);
    spending_view(&c->spending, slot, &f->cost);
    struct demand all = members_demand(c, slot), own = members_own_demand(c, slot);
    f->in_flight = all.in_flight;
    f->queued = all.queued;
    f->tunnels = all.tunnels;
    f->own_in_flight = own.in_flight;
    f->own_queued = own.queued;
    f->own_tunnels = own.tunnels;
}

void controller_instance_facts(void *ctx, uint32_t slot, uint32_t number,
                               struct admin_instance_facts *f)
{
    struct controller *c = ctx;
    const struct fleet_instance *i = fleet_find(&c->fleet, slot, number);
    *f = (struct admin_instance_facts){ .address = "",
                                        .cpu = (double)NAN,
                                        .memory_bytes = (double)NAN };
    if (!i)
        return;
    f->pid = i->pid;
    f->address = i->address;
    f->cpu = i->cpu < 0 ? (double)NAN : i->cpu;
    f->memory_bytes = i->memory_bytes < 0 ? (double)NAN : i->memory_bytes;
    if (c->gauges && i->gauge < GAUGES_INSTANCES_MAX)
        f->own_in_flight = atomic_load(&c->gauges->instance[i->gauge].in_flight);
    f->in_flight = f->own_in_flight + members_instance_demand(c, slot, number);
}
