/* What the admin API may ask of the controller and do: facts come from facts.c, commands become
 * operator events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/alerts.h"
#include "controller/controller_int.h"
#include "core/control_operator.h"
#include "drivers/process/process.h"
#include "drivers/swarm/swarm.h"

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

/* --- engines that keep something to themselves --- */

/* What an engine does not let plimsoll do, and how a person does it there. */
static const struct engine_words {
    const struct provision_ops *driver;
    const char *name;    /* as people call it */
    const char *replace; /* with the service's name there behind it */
    const char *logs;    /* likewise */
} engine_words[] = {
    { &provision_swarm, "Swarm", "docker service update --force", "docker service logs" },
};

static const struct engine_words *words_of(const struct controller *c, uint32_t slot)
{
    int driver = controller_provisioner(c, slot);
    for (size_t i = 0; driver >= 0 && i < ARRAY_LEN(engine_words); i++)
        if (engine_words[i].driver == provision_all[driver])
            return &engine_words[i];
    return NULL;
}

/* As the service is called in its engine. */
static const char *name_there(const struct controller *c, uint32_t slot, const char *name)
{
    const struct config_service *s = controller_service(c, slot);
    const struct swarm_conf *conf = s && s->driver == &swarm_section ? s->driver_conf : NULL;
    return conf && conf->service ? conf->service : name;
}

static int explain_log(const struct controller *c, int32_t slot, const char *service,
                       uint32_t number, struct err *err)
{
    const struct engine_words *w = slot < 0 ? NULL : words_of(c, (uint32_t)slot);
    if (!w)
        return -ENOENT;
    return err_set(err, -ENOTSUP, "%s keeps what %s-%u writes: %s %s", w->name, service, number,
                   w->logs, name_there(c, (uint32_t)slot, service));
}

static int backend_log_path(void *ctx, const char *service, uint32_t number, char *buf, size_t cap,
                            struct err *err)
{
    struct controller *c = ctx;
    int32_t slot = control_find(c->control, service);
    int driver = slot < 0 ? -1 : controller_provisioner(c, (uint32_t)slot);
    int rc = 0;
    if (driver >= 0 && provision_all[driver]->follow_log)
        rc =
            provision_all[driver]->follow_log(c->provisioners[driver], (uint32_t)slot, number, err);
    process_log_path(c->options->state_dir, service, number, buf, cap);
    return rc == 0 && access(buf, R_OK) < 0 ? explain_log(c, slot, service, number, err) : rc;
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

/* What the engine leaves to nobody, in the words of the command, and the way out. */
static void refuse_choice(const struct controller *c, const struct admin_command *cmd,
                          struct admin_reply *reply)
{
    static const char *const cannot[] = {
        [ADMIN_RESTART] = "its instances cannot be replaced one by one",
        [ADMIN_DRAIN] = "none can be drained by name",
        [ADMIN_PROTECT] = "none can be protected",
    };
    const struct engine_words *w = words_of(c, cmd->slot);
    bool replaces = w && cmd->type != ADMIN_PROTECT;
    admin_reply_error(reply, 409, "%s: %s chooses which instance goes, so %s%s%s%s%s", cmd->service,
                      w ? w->name : "the engine", cannot[cmd->type],
                      replaces ? "; to replace all of them: " : "", replaces ? w->replace : "",
                      replaces ? " " : "", replaces ? name_there(c, cmd->slot, cmd->service) : "");
}

/* True: the command would do nothing, and the answer says why. */
static bool refuse_operator(const struct controller *c, const struct admin_command *cmd,
                            const struct event *e, struct admin_reply *reply)
{
    int rc = control_check_operator(c->control, e);
    if (rc == -ENOTSUP)
        refuse_choice(c, cmd, reply);
    else if (rc == -ENOENT && e->number > 0 && !control_instance(c->control, cmd->slot, e->number))
        admin_reply_error(reply, 404, "there is no instance %s-%u any more", cmd->service,
                          e->number);
    else if (rc == -ENOENT)
        admin_reply_error(reply, 409, "%s leaves: what is left of it ends by itself", cmd->service);
    else if (rc < 0)
        admin_reply_error(reply, 409, "%s: this cannot be done: %s", cmd->service, strerror(-rc));
    return rc < 0;
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
    struct service_view v;
    controller_pump(c); /* what is on its way is part of what the answer goes by */
    if (refuse_operator(c, cmd, &e, reply))
        return;
    controller_emit(c, &e);
    controller_pump(c);
    members_tell(c, cmd->slot);
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
    if (cmd->type == ADMIN_BELL && !controller_leads(c) && follow_now(c, cmd->member))
        return;
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
    return journal_tail(c->journal, segment, offset, JOURNAL_BYTES_A_TIME, ret);
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
        .facts = controller_facts,
        .service_facts = controller_service_facts,
        .instance_facts = controller_instance_facts,
        .log_path = backend_log_path,
        .command = backend_command,
        .gauges = backend_gauges,
        .journal = backend_journal,
        .alerts = backend_alerts,
    };
    backend.ctx = c;
    return &backend;
}
