/* What the admin API may see and do: facts from the core's views, the fleet and the gauges;
 * commands become operator events. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/alerts.h"
#include "controller/controller_int.h"
#include "controller/discovery.h"
#include "drivers/process/process.h"
#include "sys/clock.h"
#include "sys/log.h"

#define CHANGES_BYTES_MAX 16384
#define JOURNAL_BYTES_A_TIME ((size_t)4 * 1024 * 1024)

static const struct control *backend_control(void *ctx)
{
    struct controller *c = ctx;
    return c->control;
}

static struct store *backend_store(void *ctx)
{
    struct controller *c = ctx;
    return c->store;
}

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
                                     .held = c->lead.held,
                                     .token = c->lead.token,
                                     .leader = c->lead.leader.name };
    members_facts(c, g);
}

static void backend_facts(void *ctx, struct admin_facts *f)
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
    add_trouble(f, c->config_trouble);
    add_trouble(f, discovery_trouble(c));
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
                                         .trouble = feeds[i].trouble,
                                         .trouble_us = feeds[i].trouble_us };
}

static void backend_service_facts(void *ctx, uint32_t slot, struct admin_service_facts *f)
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

static void backend_instance_facts(void *ctx, uint32_t slot, uint32_t number,
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

static int backend_log_path(void *ctx, const char *service, uint32_t number, char *buf, size_t cap)
{
    struct controller *c = ctx;
    int32_t slot = control_find(c->control, service);
    int driver = slot < 0 ? -1 : controller_provisioner(c, (uint32_t)slot);
    if (driver >= 0 && provision_all[driver]->follow_log)
        provision_all[driver]->follow_log(c->provisioners[driver], (uint32_t)slot, number);
    process_log_path(c->options->state_dir, service, number, buf, cap);
    return access(buf, R_OK) == 0 ? 0 : -ENOENT;
}

static json_t *lines_json(const char *text)
{
    json_t *lines = json_array();
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n > 0)
            json_array_append_new(lines, json_stringn_nocheck(text, n));
        text += n + (text[n] == '\n');
    }
    return lines;
}

static void reply_errors(struct admin_reply *reply, const struct err *errors, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "place", errors[i].place, "text", errors[i].text));
    admin_reply_error(reply, 400, "%s: %s", errors[0].place, errors[0].text);
    json_object_set_new(reply->body, "errors", list);
}

static void command_config(struct controller *c, const struct admin_command *cmd,
                           struct admin_reply *reply)
{
    struct err errors[16];
    size_t count = 0;
    struct str changes;
    char *text = malloc(CHANGES_BYTES_MAX);
    if (!text) {
        admin_reply_error(reply, 503, "no memory");
        return;
    }
    str_init(&changes, text, CHANGES_BYTES_MAX);
    int rc = (cmd->type == ADMIN_RELOAD ? controller_reload : controller_diff)(
        c, &changes, errors, ARRAY_LEN(errors), &count);
    if (rc < 0)
        reply_errors(reply, errors, count);
    else
        reply->body = json_pack("{s:o}", "changes", lines_json(text));
    free(text);
}

static void command_push(struct controller *c, const struct admin_command *cmd,
                         struct admin_reply *reply)
{
    struct err err = { 0 };
    int rc = controller_push_metrics(c, cmd->slot, cmd->metrics, &err);
    if (rc < 0)
        admin_reply_error(reply, rc == -ENOENT ? 404 : 400, "%s", err.text);
}

static void command_operator(struct controller *c, const struct admin_command *cmd,
                             struct admin_reply *reply)
{
    static const enum operator_op ops[] = {
        [ADMIN_SCALE] = OPERATOR_SCALE,     [ADMIN_AUTO] = OPERATOR_AUTO,
        [ADMIN_PAUSE] = OPERATOR_PAUSE,     [ADMIN_RESUME] = OPERATOR_RESUME,
        [ADMIN_RESTART] = OPERATOR_RESTART, [ADMIN_DRAIN] = OPERATOR_DRAIN,
        [ADMIN_PROTECT] = OPERATOR_PROTECT,
    };
    struct event e = { .type = EVENT_OPERATOR,
                       .service = (int32_t)cmd->slot,
                       .number = cmd->number,
                       .op = ops[cmd->type],
                       .count = cmd->count,
                       .flag = cmd->flag };
    char id[MODEL_NAME_MAX + 16] = "";
    struct service_view v;
    if (cmd->number > 0)
        fmt(id, sizeof(id), "%s-%u", cmd->service, cmd->number);
    char count[16] = "";
    if (cmd->type == ADMIN_SCALE)
        fmt(count, sizeof(count), " to %d", cmd->count);
    controller_note(c, STORE_EVENT_OPERATOR, cmd->service, id, "asked for: %s%s%s",
                    operator_op_name(e.op), count,
                    cmd->type == ADMIN_SCALE && cmd->flag ? ", also over max" : "");
    controller_emit(c, &e);
    controller_pump(c);
    if (control_view(c->control, cmd->slot, &v))
        reply->body = json_pack("{s:i}", "desired", v.desired);
}

/* The answer leaves before everything ends: the stop begins on the loop's next turn. */
static void on_stop_soon(uv_timer_t *timer)
{
    struct controller *c = timer->data;
    if (c->detach)
        controller_detach(c);
    else
        controller_stop(c);
}

static void command_stop(struct controller *c, const struct admin_command *cmd,
                         struct admin_reply *reply)
{
    c->detach = cmd->flag;
    uv_timer_start(&c->stop_timer, on_stop_soon, 20, 0);
}

/* Of those that do not lead, each goes by its own file and may be stopped; the rest is decided
 * where the decisions are made. */
static bool is_own_business(enum admin_command_type type)
{
    return type == ADMIN_STOP || type == ADMIN_RELOAD || type == ADMIN_DIFF;
}

static void backend_command(void *ctx, const struct admin_command *cmd, struct admin_reply *reply)
{
    struct controller *c = ctx;
    struct err err = { 0 };
    if (!is_own_business(cmd->type) && controller_may_change(c, &err) < 0)
        admin_reply_error(reply, 409, "%s", err.text);
    else if (cmd->type == ADMIN_BELL)
        members_rung(c, cmd, reply);
    else if (cmd->type == ADMIN_STOP)
        command_stop(c, cmd, reply);
    else if (cmd->type == ADMIN_RELOAD || cmd->type == ADMIN_DIFF)
        command_config(c, cmd, reply);
    else if (cmd->type == ADMIN_PUSH)
        command_push(c, cmd, reply);
    else
        command_operator(c, cmd, reply);
}

static json_t *backend_gauges(void *ctx)
{
    return members_report(ctx);
}

static int backend_journal(void *ctx, uint64_t segment, uint64_t offset, struct journal_chunk *ret)
{
    struct controller *c = ctx;
    char directory[512];
    fmt(directory, sizeof(directory), "%s/journal", c->options->state_dir);
    return journal_tail(directory, segment, offset, JOURNAL_BYTES_A_TIME, ret);
}

static json_t *backend_alerts(void *ctx)
{
    struct controller *c = ctx;
    return alerts_json(c->alerts);
}

const struct admin_backend *controller_backend(struct controller *c)
{
    static struct admin_backend backend = {
        .control = backend_control,
        .store = backend_store,
        .facts = backend_facts,
        .service_facts = backend_service_facts,
        .instance_facts = backend_instance_facts,
        .log_path = backend_log_path,
        .command = backend_command,
        .gauges = backend_gauges,
        .journal = backend_journal,
        .alerts = backend_alerts,
    };
    backend.ctx = c;
    return &backend;
}
