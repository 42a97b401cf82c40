/* What people are told: a line in the log and one in the store's events for each thing that happens
 * to a service or an instance, here or on the machine that leads. */
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/log.h"

#define ID_MAX (MODEL_NAME_MAX + 16)

static const char *service_name(const struct controller *c, int32_t slot)
{
    struct service_view v;
    return slot >= 0 && control_view(c->control, (uint32_t)slot, &v) ? v.conf->name : "";
}

static const char *instance_id(const struct controller *c, const struct event *e, char buf[ID_MAX])
{
    fmt(buf, ID_MAX, "%s-%u", service_name(c, e->service), e->number);
    return buf;
}

void controller_note(struct controller *c, enum store_event_kind kind, const char *service,
                     const char *instance, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    str_clean(text); /* some of it was said by others */
    const char *about = instance[0] ? instance : service;
    log_write(kind == STORE_EVENT_ALERT ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s%s%s%s", about,
              about[0] ? ": " : "", kind == STORE_EVENT_RESOLVED ? "resolved: " : "", text);
    store_put_event(c->store, kind, service, instance, text, clock_wall_us());
}

void controller_note_trouble(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    struct controller *c = ctx;
    controller_note(c, trouble ? STORE_EVENT_ALERT : STORE_EVENT_RESOLVED,
                    service_name(c, (int32_t)slot), "", "%s", text);
}

static void note_there(struct controller *c, const struct event *e, const char *what)
{
    char id[ID_MAX], pid[32] = "";
    const char *address = e->address ? e->address : "";
    if (e->pid > 0)
        fmt(pid, sizeof(pid), ", pid %ld", (long)e->pid);
    controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), instance_id(c, e, id),
                    "%s%s%s%s", what, pid, address[0] ? ", " : "", address);
}

static void note_started(struct controller *c, const struct event *e)
{
    note_there(c, e, "started");
}

static void note_found(struct controller *c, const struct event *e)
{
    note_there(c, e, "found running");
}

static void note_exited(struct controller *c, const struct event *e)
{
    char id[ID_MAX];
    controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), instance_id(c, e, id),
                    "%s", e->text[0] ? e->text : "exited");
}

static void note_leaving(struct controller *c, const struct event *e)
{
    char id[ID_MAX];
    controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), instance_id(c, e, id),
                    "the engine has chosen it to end%s%s", e->text[0] ? ": " : "", e->text);
}

static void note_resized(struct controller *c, const struct event *e)
{
    char id[ID_MAX];
    controller_note(c, e->flag ? STORE_EVENT_INSTANCE : STORE_EVENT_ALERT,
                    service_name(c, e->service), instance_id(c, e, id), "%s%s",
                    e->flag ? "resized" : "cannot be resized: ", e->flag ? "" : e->text);
}

static void note_operator(struct controller *c, const struct event *e)
{
    char id[ID_MAX], count[16] = "";
    bool scale = e->op == OPERATOR_SCALE;
    if (scale)
        fmt(count, sizeof(count), " to %d", e->count);
    controller_note(c, STORE_EVENT_OPERATOR, service_name(c, e->service),
                    e->number > 0 ? instance_id(c, e, id) : "", "asked for: %s%s%s",
                    operator_op_name(e->op), count, scale && e->flag ? ", also over max" : "");
}

static void (*const notes[EVENT_TYPE_MAX])(struct controller *, const struct event *) = {
    [EVENT_STARTED] = note_started, [EVENT_FOUND] = note_found,
    [EVENT_EXITED] = note_exited,   [EVENT_LEAVING] = note_leaving,
    [EVENT_RESIZED] = note_resized, [EVENT_OPERATOR] = note_operator,
};

void controller_note_event(struct controller *c, const struct event *e)
{
    bool is_about = e->number > 0 || e->type == EVENT_OPERATOR;
    if (e->service >= 0 && is_about && notes[e->type])
        notes[e->type](c, e);
}

void controller_note_draining(struct controller *c, uint32_t slot, uint32_t number)
{
    struct event e = { .service = (int32_t)slot, .number = number };
    char id[ID_MAX];
    controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e.service), instance_id(c, &e, id),
                    "draining");
}

enum instance_state controller_state_of(const struct controller *c, const struct event *e)
{
    const struct instance *i =
        e->service < 0 ? NULL : control_instance(c->control, (uint32_t)e->service, e->number);
    return i ? i->state : INSTANCE_GONE;
}

/* A probe that changed what an instance is: into the pool, or out of it. */
void controller_note_health(struct controller *c, const struct event *e, enum instance_state before)
{
    const struct instance *i = control_instance(c->control, (uint32_t)e->service, e->number);
    char id[ID_MAX], took[32];
    if (!i || i->state == before)
        return;
    instance_id(c, e, id);
    num_format_duration_short(took, sizeof(took), e->now_us - i->started_us);
    if (i->state == INSTANCE_READY && before != INSTANCE_FAILING)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id,
                        "ready, %s after its start", took);
    else if (i->state == INSTANCE_READY)
        controller_note(c, STORE_EVENT_INSTANCE, service_name(c, e->service), id, "well again");
    else if (i->state == INSTANCE_FAILING)
        controller_note(c, STORE_EVENT_ALERT, service_name(c, e->service), id,
                        "out of the pool, fails its probes: %s", e->text);
}
