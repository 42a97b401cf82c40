/* GET /metrics: a table of what is exported, walked once per request. Names follow Prometheus'
 * conventions (prometheus.io/docs/practices/naming): base units, _total for counters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_int.h"
#include "sys/clock.h"

const double admin_latency_le_s[ADMIN_LATENCY_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, INFINITY,
};

unsigned admin_latency_bucket(uint64_t us)
{
    unsigned i = 0;
    while (i < ADMIN_LATENCY_BUCKETS - 1 && (double)us > admin_latency_le_s[i] * 1e6)
        i++;
    return i;
}

/* What one line of output is about. */
struct look {
    struct admin_backend *backend;
    const struct admin_facts *program;
    const struct store_health *store;
    struct service_view view;
    struct admin_service_facts service;
    const struct instance *instance;
    struct admin_instance_facts instance_facts;
};

enum scope { PROGRAM, SERVICE, INSTANCE };

struct metric_def {
    const char *name, *type, *help;
    enum scope scope;
    double (*get)(const struct look *l); /* NaN = unknown: no line */
    void (*put)(FILE *f, const struct metric_def *m, const struct look *l); /* instead of get */
};

#define GETTER(name, expression)             \
    static double name(const struct look *l) \
    {                                        \
        return (double)(expression);         \
    }

GETTER(get_start, (double)l->program->since_wall_us / 1e6)
GETTER(get_lease, !l->program->lease || strcmp(l->program->lease, "held") == 0)
GETTER(get_token, l->program->group.token ? (double)l->program->group.token : NAN)
GETTER(get_members, MAX(l->program->group.member_count, (size_t)1))
GETTER(get_connections, l->program->proxy_connections)
GETTER(get_accepted, l->program->connections_accepted)
GETTER(get_refused, l->program->connections_refused)
GETTER(get_log_dropped, l->program->log_dropped)
GETTER(get_events, l->program->events_total)
GETTER(get_reloads, l->program->config_reloads)
GETTER(get_reload_failures, l->program->config_reload_failures)
GETTER(get_proxy_starts, l->program->proxy_starts)
GETTER(get_journal_dropped, l->program->journal_dropped)
GETTER(get_store_up, !l->store->degraded)
GETTER(get_store_written, l->store->written)
GETTER(get_store_dropped, l->store->dropped)
GETTER(get_troubles, l->program->trouble_count + (l->store->trouble[0] != '\0'))

GETTER(get_retries, l->service.retries)
GETTER(get_bytes_in, l->service.bytes_in)
GETTER(get_bytes_out, l->service.bytes_out)
GETTER(get_in_flight, l->service.own_in_flight)
GETTER(get_queued, l->service.own_queued)
GETTER(get_tunnels, l->service.own_tunnels)
GETTER(get_desired, l->view.desired)
GETTER(get_min, l->view.schedule_min >= 0 ? l->view.schedule_min : l->view.conf->min)
GETTER(get_max, l->view.schedule_max >= 0 ? l->view.schedule_max : l->view.conf->max)
GETTER(get_paused, l->view.paused)
GETTER(get_operator, l->view.operator_count >= 0)
GETTER(get_trouble, l->view.trouble[0] != '\0')
GETTER(get_decisions, l->service.decisions)
GETTER(get_starts, l->service.starts)
GETTER(get_start_failures, l->service.start_failures)
GETTER(get_exits, l->service.exits)
GETTER(get_cost, l->service.cost.per_hour)
GETTER(get_cost_today, l->service.cost.today)
GETTER(get_watts, l->service.cost.watts)
GETTER(get_energy_today, l->service.cost.kwh_today * 3.6e6)
GETTER(get_grams, l->service.cost.grams_per_hour)
GETTER(get_grams_today, l->service.cost.grams_today)

GETTER(get_instance_in_flight, l->instance_facts.own_in_flight)
GETTER(get_instance_cpu, l->instance_facts.cpu)
GETTER(get_instance_memory, l->instance_facts.memory_bytes)

static void put_label(FILE *f, const char *key, const char *value)
{
    fprintf(f, "%s=\"", key);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", f);
        else
            fprintf(f, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    fputc('"', f);
}

static void put_value(FILE *f, double value)
{
    if (isinf(value))
        fprintf(f, " %sInf\n", value > 0 ? "+" : "-");
    else
        fprintf(f, " %.17g\n", value);
}

/* A line of a service with one label more. */
static void put_service(FILE *f, const char *name, const char *tail, const struct look *l,
                        const char *key, const char *label, double value)
{
    fprintf(f, "%s%s{", name, tail);
    put_label(f, "service", l->view.conf->name);
    if (key) {
        fputc(',', f);
        put_label(f, key, label);
    }
    fputc('}', f);
    put_value(f, value);
}

static void put_build(FILE *f, const struct metric_def *m, const struct look *l)
{
    fprintf(f, "%s{", m->name);
    put_label(f, "version", PLIMSOLL_VERSION);
    fputs("} 1\n", f);
}

static void put_processes(FILE *f, const struct metric_def *m, const struct look *l)
{
    const struct {
        const char *name;
        int64_t pid;
    } all[] = { { "keeper", l->program->keeper_pid },
                { "controller", l->program->controller_pid },
                { "proxy", l->program->proxy_pid } };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        fprintf(f, "%s{process=\"%s\"} %d\n", m->name, all[i].name, all[i].pid != 0);
}

static void put_program(FILE *f, const char *name, const char *key, const char *label, double value)
{
    fprintf(f, "%s{", name);
    put_label(f, key, label);
    fputc('}', f);
    put_value(f, value);
}

static void put_silent(FILE *f, const struct metric_def *m, const struct look *l)
{
    const struct admin_group_facts *g = &l->program->group;
    for (size_t i = 0; i < g->member_count; i++)
        if (!g->members[i].self && g->held)
            put_program(f, m->name, "member", g->members[i].name, g->members[i].silent);
}

static void put_engines(FILE *f, const struct metric_def *m, const struct look *l)
{
    for (size_t i = 0; i < l->program->engine_count; i++)
        put_program(f, m->name, "engine", l->program->engines[i].name, l->program->engines[i].up);
}

static void put_budget(FILE *f, const char *name, const char *budget, const char *period,
                       double value)
{
    fprintf(f, "%s{", name);
    put_label(f, "budget", budget);
    fprintf(f, ",period=\"%s\"}", period);
    put_value(f, value);
}

static void put_budgets(FILE *f, const struct metric_def *m, const struct look *l, bool spent)
{
    const struct control *c = l->backend->control(l->backend->ctx);
    struct budget_view v;
    for (uint32_t n = 0; control_budget(c, n, &v); n++)
        for (unsigned period = 0; period < BUDGET_PERIOD_MAX; period++) {
            double ceiling = budget_ceiling(v.conf, period);
            if (ceiling > 0)
                put_budget(f, m->name, v.conf->name, budget_period_name(period),
                           spent ? v.spent[period] : ceiling);
        }
}

static void put_budgets_spent(FILE *f, const struct metric_def *m, const struct look *l)
{
    put_budgets(f, m, l, true);
}

static void put_budget_ceilings(FILE *f, const struct metric_def *m, const struct look *l)
{
    put_budgets(f, m, l, false);
}

static void put_requests(FILE *f, const struct metric_def *m, const struct look *l)
{
    static const char *const classes[] = { "2xx", "3xx", "4xx", "5xx" };
    uint64_t answered = 0;
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        answered += l->service.responses[i + 2];
        put_service(f, m->name, "", l, "code", classes[i], (double)l->service.responses[i + 2]);
    }
    uint64_t all = l->service.requests_total;
    put_service(f, m->name, "", l, "code", "none", all > answered ? (double)(all - answered) : 0);
}

static void put_errors(FILE *f, const struct metric_def *m, const struct look *l)
{
    static const char *const kinds[ADMIN_ERROR_MAX] = {
        [ADMIN_ERROR_BAD_REQUEST] = "bad_request", [ADMIN_ERROR_NO_ROUTE] = "no_route",
        [ADMIN_ERROR_CONNECT] = "connect",         [ADMIN_ERROR_UPSTREAM] = "upstream",
        [ADMIN_ERROR_TIMEOUT] = "timeout",         [ADMIN_ERROR_QUEUE_FULL] = "queue_full",
        [ADMIN_ERROR_DEADLINE] = "deadline",       [ADMIN_ERROR_SHED] = "shed",
        [ADMIN_ERROR_CLIENT] = "client",
    };
    for (size_t i = 0; i < ADMIN_ERROR_MAX; i++)
        put_service(f, m->name, "", l, "kind", kinds[i], (double)l->service.errors[i]);
}

static void put_duration(FILE *f, const struct metric_def *m, const struct look *l)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < ADMIN_LATENCY_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (isfinite(admin_latency_le_s[i]))
            snprintf(bound, sizeof(bound), "%g", admin_latency_le_s[i]);
        sum += l->service.latency[i];
        put_service(f, m->name, "_bucket", l, "le", bound, (double)sum);
    }
    put_service(f, m->name, "_sum", l, NULL, NULL, (double)l->service.latency_sum_us / 1e6);
    put_service(f, m->name, "_count", l, NULL, NULL, (double)sum);
}

static void put_instances(FILE *f, const struct metric_def *m, const struct look *l)
{
    unsigned counts[INSTANCE_STATE_MAX] = { 0 };
    for (uint32_t i = 0; i < l->view.instance_count; i++)
        counts[l->view.instances[i].state]++;
    for (unsigned state = 0; state < INSTANCE_STATE_MAX; state++)
        if (state != INSTANCE_GONE)
            put_service(f, m->name, "", l, "state", instance_state_name(state), counts[state]);
}

static void put_sources_up(FILE *f, const struct metric_def *m, const struct look *l)
{
    for (size_t i = 0; i < l->service.source_count; i++) {
        const struct admin_source_facts *s = &l->service.sources[i];
        bool up = s->trouble[0] == '\0' && !isnan(s->value);
        put_service(f, m->name, "", l, "source", s->name, up);
    }
}

static void put_source_values(FILE *f, const struct metric_def *m, const struct look *l)
{
    for (size_t i = 0; i < l->service.source_count; i++) {
        const struct admin_source_facts *s = &l->service.sources[i];
        if (!isnan(s->value))
            put_service(f, m->name, "", l, "source", s->name, s->value);
    }
}

#define P "plimsoll_"
#define GAUGE(scope_, name_, get_, text)              \
    {                                                 \
        P name_, "gauge", text, scope_, .get = (get_) \
    }
#define COUNTER(scope_, name_, get_, text)              \
    {                                                   \
        P name_, "counter", text, scope_, .get = (get_) \
    }
#define SPECIAL(scope_, name_, type_, put_, text)   \
    {                                               \
        P name_, type_, text, scope_, .put = (put_) \
    }

static const struct metric_def metrics[] = {
    SPECIAL(PROGRAM, "build_info", "gauge", put_build, "Which version this is; always 1."),
    GAUGE(PROGRAM, "start_time_seconds", get_start, "When the controller started, Unix time."),
    SPECIAL(PROGRAM, "process_up", "gauge", put_processes, "1 while the process is there."),
    GAUGE(PROGRAM, "lease_held", get_lease, "1 while this controller may act."),
    GAUGE(PROGRAM, "lease_token", get_token, "The lease's fencing token; absent without one."),
    GAUGE(PROGRAM, "members", get_members, "Controllers that share the lease, this one included."),
    SPECIAL(PROGRAM, "member_silent", "gauge", put_silent,
            "1 while another member has told the one that leads nothing for too long."),
    SPECIAL(PROGRAM, "engine_up", "gauge", put_engines, "1 while the engine answers."),
    GAUGE(PROGRAM, "troubles", get_troubles, "How many things are wrong; see plimsoll status."),
    GAUGE(PROGRAM, "client_connections", get_connections, "Client connections open now."),
    COUNTER(PROGRAM, "client_connections_accepted_total", get_accepted,
            "Client connections accepted."),
    COUNTER(PROGRAM, "client_connections_refused_total", get_refused,
            "Client connections shed at accept."),
    COUNTER(PROGRAM, "access_log_dropped_lines_total", get_log_dropped,
            "Access log lines that found the buffer full."),
    COUNTER(PROGRAM, "events_total", get_events, "Events the core was given."),
    COUNTER(PROGRAM, "config_reloads_total", get_reloads, "Configurations taken over."),
    COUNTER(PROGRAM, "config_reload_failures_total", get_reload_failures,
            "Configurations refused."),
    COUNTER(PROGRAM, "proxy_starts_total", get_proxy_starts, "Proxies seen by this controller."),
    GAUGE(PROGRAM, "store_up", get_store_up, "1 while the database can be written."),
    COUNTER(PROGRAM, "store_written_records_total", get_store_written, "Records written."),
    COUNTER(PROGRAM, "store_dropped_records_total", get_store_dropped, "Records lost."),
    COUNTER(PROGRAM, "journal_dropped_records_total", get_journal_dropped,
            "Events and decisions missing from the journal."),

    SPECIAL(PROGRAM, "budget_spent", "gauge", put_budgets_spent,
            "Money spent of a budget in the period that is going on."),
    SPECIAL(PROGRAM, "budget_ceiling", "gauge", put_budget_ceilings,
            "Money that may be spent of a budget in a period."),

    SPECIAL(SERVICE, "service_requests_total", "counter", put_requests,
            "Requests by class of the answer; none: given up without one."),
    SPECIAL(SERVICE, "service_request_errors_total", "counter", put_errors,
            "Requests that the proxy refused or gave up, by reason."),
    SPECIAL(SERVICE, "service_request_duration_seconds", "histogram", put_duration,
            "From a request's last header byte to the last byte of its answer."),
    COUNTER(SERVICE, "service_retries_total", get_retries,
            "Attempts on another instance after the first."),
    COUNTER(SERVICE, "service_received_bytes_total", get_bytes_in, "Bytes from clients."),
    COUNTER(SERVICE, "service_sent_bytes_total", get_bytes_out, "Bytes to clients."),
    GAUGE(SERVICE, "service_in_flight_requests", get_in_flight,
          "Requests that this machine's proxy has at an instance."),
    GAUGE(SERVICE, "service_queued_requests", get_queued,
          "Requests that wait in this machine's proxy."),
    GAUGE(SERVICE, "service_tunnels", get_tunnels, "Open upgraded and tcp connections."),
    SPECIAL(SERVICE, "instances", "gauge", put_instances, "Instances by state."),
    GAUGE(SERVICE, "service_desired", get_desired, "Instances decided on."),
    GAUGE(SERVICE, "service_min", get_min, "Fewest instances, as a schedule has set it."),
    GAUGE(SERVICE, "service_max", get_max, "Most instances, as a schedule has set it."),
    GAUGE(SERVICE, "service_paused", get_paused, "1 while the count is kept as it is."),
    GAUGE(SERVICE, "service_operator_held", get_operator, "1 while an operator set the count."),
    GAUGE(SERVICE, "service_trouble", get_trouble, "1 while it is not as it should be."),
    COUNTER(SERVICE, "service_decisions_total", get_decisions, "Decisions recorded."),
    COUNTER(SERVICE, "service_instance_starts_total", get_starts, "Instances started."),
    COUNTER(SERVICE, "service_instance_start_failures_total", get_start_failures,
            "Instances that could not be started or did not get ready in time."),
    COUNTER(SERVICE, "service_instance_exits_total", get_exits, "Instances that ended."),

    SPECIAL(SERVICE, "source_up", "gauge", put_sources_up,
            "1 while the source's newest answer is known, and what a metric can be."),
    SPECIAL(SERVICE, "source_value", "gauge", put_source_values,
            "What the source says; absent while it is unknown."),
    GAUGE(SERVICE, "service_cost_per_hour", get_cost, "Money, of the instances that run."),
    GAUGE(SERVICE, "service_cost_today", get_cost_today, "Money, since local midnight."),
    GAUGE(SERVICE, "service_power_watts", get_watts, "Of the instances that run."),
    GAUGE(SERVICE, "service_energy_today_joules", get_energy_today, "Since local midnight."),
    GAUGE(SERVICE, "service_co2_grams_per_hour", get_grams, "Of the instances that run."),
    GAUGE(SERVICE, "service_co2_today_grams", get_grams_today, "Since local midnight."),

    GAUGE(INSTANCE, "instance_in_flight_requests", get_instance_in_flight,
          "Requests that this machine's proxy has at the instance."),
    GAUGE(INSTANCE, "instance_cpu_ratio", get_instance_cpu,
          "What its process tree uses of one core, or its container of limits.cpus."),
    GAUGE(INSTANCE, "instance_memory_bytes", get_instance_memory,
          "Of its process tree, or of its container."),
};

static void put_instance(FILE *f, const struct metric_def *m, const struct look *l)
{
    double value = m->get(l);
    char id[MODEL_NAME_MAX + 12];
    if (isnan(value))
        return;
    snprintf(id, sizeof(id), "%s-%u", l->view.conf->name, l->instance->number);
    put_service(f, m->name, "", l, "instance", id, value);
}

static void put_each_instance(FILE *f, const struct metric_def *m, struct look *l)
{
    struct admin_backend *b = l->backend;
    for (uint32_t i = 0; i < l->view.instance_count; i++) {
        l->instance = &l->view.instances[i];
        if (l->instance->state == INSTANCE_GONE)
            continue;
        l->instance_facts = (struct admin_instance_facts){ .cpu = NAN, .memory_bytes = NAN };
        b->instance_facts(b->ctx, l->view.slot, l->instance->number, &l->instance_facts);
        put_instance(f, m, l);
    }
}

static void put_metric(FILE *f, const struct metric_def *m, struct look *looks, size_t count)
{
    fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
    if (m->scope == PROGRAM && m->get && !isnan(m->get(&looks[count]))) {
        fputs(m->name, f);
        put_value(f, m->get(&looks[count]));
    } else if (m->scope == PROGRAM && m->put) {
        m->put(f, m, &looks[count]);
    }
    for (size_t i = 0; i < count; i++) {
        if (m->scope == INSTANCE)
            put_each_instance(f, m, &looks[i]);
        else if (m->scope == SERVICE && m->put)
            m->put(f, m, &looks[i]);
        else if (m->scope == SERVICE && !isnan(m->get(&looks[i])))
            put_service(f, m->name, "", &looks[i], NULL, NULL, m->get(&looks[i]));
    }
}

/* One look per service, and the last one, without a service, for the program. */
static struct look *look_around(struct admin_backend *b, const struct admin_facts *facts,
                                const struct store_health *health, size_t *ret_count)
{
    struct look *looks = calloc(MODEL_SERVICES_MAX + 1, sizeof(*looks));
    size_t count = 0;
    for (uint32_t slot = 0; looks && slot < MODEL_SERVICES_MAX; slot++) {
        struct look *l = &looks[count];
        if (!control_view(b->control(b->ctx), slot, &l->view))
            continue;
        l->service.cost = (struct admin_cost_facts)ADMIN_COST_UNKNOWN;
        b->service_facts(b->ctx, slot, &l->service);
        count++;
    }
    for (size_t i = 0; looks && i <= count; i++) {
        looks[i].backend = b;
        looks[i].program = facts;
        looks[i].store = health;
    }
    *ret_count = count;
    return looks;
}

void admin_get_metrics(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    struct admin_facts facts = { 0 };
    struct store_health health = { .degraded = true };
    struct store *s = b->store(b->ctx);
    size_t count;
    b->facts(b->ctx, &facts);
    if (s)
        store_health(s, &health);
    struct look *looks = look_around(b, &facts, &health, &count);
    FILE *f = looks ? open_memstream(&a->body, &a->body_bytes) : NULL;
    if (!f) {
        free(looks);
        admin_answer_error(a, 500, "out of memory");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        put_metric(f, &metrics[i], looks, count);
    fclose(f);
    free(looks);
    a->type = "text/plain; version=0.0.4; charset=utf-8";
}
