/* What happens to instances, as events tell it: starts, probes, exits, drains.
 * Handlers write down what is known and move states that the outside has already moved; what is to
 * be done about it is control_act.c's. */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"
#include "core/health.h"

/* The event's service and instance; false when either is unknown. */
static bool find(struct control *c, const struct event *e, struct control_service **ret_service,
                 struct instance **ret)
{
    *ret_service = control_service(c, e->service);
    *ret = *ret_service ? control_find_instance(*ret_service, e->number) : NULL;
    return *ret != NULL;
}

int control_on_started(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (!i->running && s->conf->launch_within_us > 0 && i->state == INSTANCE_STARTING)
        i->deadline_us = us_add(c->now_us, s->conf->start_within_us);
    i->running = true;
    control_note_shape(i, e->shape);
    s->touched = true;
    return 0;
}

#define WHY_MAX (sizeof(((struct event *)0)->text) + 64) /* nothing of a text is lost here */

static void say_why(const struct event *e, const char *what, char buf[WHY_MAX])
{
    int n = (int)strnlen(e->text, sizeof(e->text));
    fmt(buf, WHY_MAX, "%s%s%.*s", what, n > 0 ? ": " : "", n, e->text);
}

/* Engines say "exited ..." themselves, if that is what it did. */
static void say_end(const struct event *e, bool was_ready, char buf[WHY_MAX])
{
    const char *when = was_ready ? "" : " before it was ready";
    if (e->text[0] == '\0' && !e->flag)
        fmt(buf, WHY_MAX, "exited%s with status %d", when, e->status);
    else if (e->text[0] == '\0')
        fmt(buf, WHY_MAX, "exited%s", when);
    else
        say_why(e, was_ready ? "ended" : "ended before it was ready", buf);
}

int control_on_start_failed(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (i->state != INSTANCE_STARTING && i->state != INSTANCE_STOPPING)
        return 0;
    bool unexpected = instance_counts(i);
    control_move(c, s, i, INSTANCE_GONE);
    if (unexpected) {
        char what[WHY_MAX];
        say_why(e, "cannot be started", what);
        control_start_failed(c, s, i, what);
    }
    return 0;
}

/* Only what was watched from the start is a measure. */
static void note_start_time(struct control *c, struct control_service *s, struct instance *i)
{
    if (i->timed && i->state != INSTANCE_FAILING) {
        s->took_us[s->took_at] = CLAMP(c->now_us - i->started_us, 1, 365 * US_PER_DAY);
        s->took_at = (s->took_at + 1) % CONTROL_STARTS;
        control_find_start(s);
    }
    i->timed = false;
}

static void note_probe_failure(struct control_service *s, const struct event *e)
{
    memcpy(s->probe_text, e->text, sizeof(s->probe_text));
    s->probe_text[sizeof(s->probe_text) - 1] = '\0';
}

int control_on_probe(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (!e->flag)
        note_probe_failure(s, e);
    enum health_verdict verdict = health_probe(&s->conf->health, i, e->flag);
    if (verdict == HEALTH_SAME)
        return 0;
    i->running = true;
    if (verdict == HEALTH_WELL) {
        s->probe_text[0] = '\0';
        note_start_time(c, s, i);
    }
    control_move(c, s, i, verdict == HEALTH_WELL ? INSTANCE_READY : INSTANCE_FAILING);
    s->publish = true;
    return 0;
}

int control_on_exited(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (i->state == INSTANCE_PENDING)
        return 0;
    bool unexpected = instance_counts(i);
    bool was_ready = i->ready_us != 0;
    control_move(c, s, i, INSTANCE_GONE);
    s->publish = true;
    if (unexpected) {
        char what[WHY_MAX];
        say_end(e, was_ready, what);
        control_start_failed(c, s, i, what);
    }
    return 0;
}

int control_on_drained(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (i->state == INSTANCE_DRAINING && s->conf->can_choose_victim)
        i->deadline_us = MIN(i->deadline_us, c->now_us);
    s->touched = true;
    return 0;
}

int control_on_leaving(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (i->state == INSTANCE_PENDING || i->state >= INSTANCE_DRAINING)
        return 0;
    control_answer(s, i);
    i->asked = i->again = false;
    control_move(c, s, i, INSTANCE_DRAINING);
    i->deadline_us = us_add(c->now_us, MAX(s->conf->drain_us, CONTROL_LEAVE_US));
    s->publish = true;
    return 0;
}

int control_on_resized(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    uint64_t shape = e->shape != 0 ? e->shape : i->resizing;
    s->touched = true;
    if (e->flag) {
        control_note_shape(i, shape);
        return 0;
    }
    if (i->resizing == 0 || shape != i->resizing) /* of an earlier one, or said twice */
        return 0;
    i->resizing = 0;
    if (shape != s->conf->shape || !instance_counts(i))
        return 0;
    i->replace = true;
    char what[WHY_MAX];
    say_why(e, "cannot be resized", what);
    control_trouble(s, TROUBLE_RESIZE, "%s: %s-%u %s",
                    s->conf->can_choose_victim ? "replaced instead" : "it stays as it is",
                    s->conf->name, i->number, what);
    return 0;
}
