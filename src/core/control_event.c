/* What happens to instances, as events tell it: samples, demand, starts, probes, exits, drains.
 * Handlers write down what is known and move states that the outside has already moved; what is to
 * be done about it is control_act.c's. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"
#include "core/health.h"

/* Every metric counts something, so that a negative one is a fault of its source. */
static bool is_value(const struct sample *x)
{
    return isfinite(x->value) && x->value >= 0;
}

/* The service's own value, or for a mean that nobody has made, the mean over ready instances. */
static bool service_value(const struct control_service *s, const struct event *e, enum metric m,
                          double *ret)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t n = 0; n < e->sample_count; n++) {
        const struct sample *x = &e->samples[n];
        if (x->metric != m || !is_value(x))
            continue;
        if (x->number == 0) {
            *ret = x->value;
            return true;
        }
        const struct instance *i = control_find_instance(s, x->number);
        if (!i || i->state != INSTANCE_READY)
            continue;
        sum += x->value;
        count++;
    }
    const struct metric_info *info = metric_info(m);
    if (count == 0 || !info || info->nature != METRIC_UTILISATION || !info->per_instance)
        return false;
    *ret = sum / count;
    return true;
}

static int64_t demand_of(const struct control_service *s, const struct event *e, enum metric m)
{
    double value;
    if (!service_value(s, e, m, &value) || value > INT32_MAX)
        return -1;
    return (int64_t)ceil(value);
}

static void take_instance_sample(struct control *c, struct control_service *s,
                                 const struct sample *x)
{
    struct instance *i = control_find_instance(s, x->number);
    if (!i || (unsigned)x->metric >= METRIC_MAX || !is_value(x))
        return;
    i->sample[x->metric] = x->value;
    i->sample_us[x->metric] = c->now_us;
}

int control_on_samples(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s)
        return -EINVAL;
    for (uint32_t n = 0; n < e->sample_count; n++) {
        if (e->samples[n].number != 0)
            take_instance_sample(c, s, &e->samples[n]);
    }
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        double value;
        if (s->ring[m] == 0)
            continue;
        if (service_value(s, e, (enum metric)m, &value))
            series_put(&s->series[m], c->now_us, value);
        else
            series_gap(&s->series[m], c->now_us);
    }
    int64_t concurrency = demand_of(s, e, METRIC_CONCURRENCY);
    int64_t queued = demand_of(s, e, METRIC_QUEUE);
    s->demand.queued = queued;
    s->demand.in_flight = concurrency < 0 ? -1 : MAX(0, concurrency - MAX(queued, 0));
    s->demand.connections = demand_of(s, e, METRIC_CONNECTIONS);
    return 0;
}

int control_on_doorbell(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s)
        return -EINVAL;
    s->demand.in_flight = MIN(e->in_flight, (uint32_t)INT32_MAX);
    s->demand.queued = MIN(e->queued, (uint32_t)INT32_MAX);
    if (s->ring[METRIC_CONCURRENCY] != 0)
        series_put(&s->series[METRIC_CONCURRENCY], c->now_us,
                   (double)s->demand.in_flight + (double)s->demand.queued);
    if (s->ring[METRIC_QUEUE] != 0)
        series_put(&s->series[METRIC_QUEUE], c->now_us, (double)s->demand.queued);
    control_mark_due(s, EVENT_DOORBELL);
    return 0;
}

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
    i->running = true;
    return 0;
}

static void say_why(const struct event *e, const char *what, char *buf, size_t cap)
{
    if (e->text[0] != '\0')
        fmt(buf, cap, "%s: %.*s", what, (int)strnlen(e->text, sizeof(e->text)), e->text);
    else if (e->type == EVENT_EXITED && !e->flag)
        fmt(buf, cap, "%s with status %d", what, e->status);
    else
        fmt(buf, cap, "%s", what);
}

int control_on_start_failed(struct control *c, const struct event *e)
{
    struct control_service *s;
    struct instance *i;
    if (!find(c, e, &s, &i))
        return -EINVAL;
    if (i->state != INSTANCE_STARTING && i->state != INSTANCE_STOPPING)
        return 0;
    bool unexpected = i->state == INSTANCE_STARTING;
    instance_move(i, INSTANCE_GONE, c->now_us);
    if (unexpected) {
        char what[128];
        say_why(e, "cannot be started", what, sizeof(what));
        control_start_failed(c, s, i, what);
    }
    return 0;
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
    enum health_verdict verdict = health_probe(&s->conf.health, i, e->flag);
    if (verdict == HEALTH_SAME)
        return 0;
    i->running = true;
    if (verdict == HEALTH_WELL)
        s->probe_text[0] = '\0';
    instance_move(i, verdict == HEALTH_WELL ? INSTANCE_READY : INSTANCE_FAILING, c->now_us);
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
    instance_move(i, INSTANCE_GONE, c->now_us);
    s->publish = true;
    if (unexpected) {
        char what[128];
        say_why(e, was_ready ? "exited" : "exited before it was ready", what, sizeof(what));
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
    if (i->state == INSTANCE_DRAINING)
        i->deadline_us = MIN(i->deadline_us, c->now_us);
    return 0;
}
