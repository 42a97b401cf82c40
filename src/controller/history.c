/* The past for rules that learn: after each new configuration, the store's minutes of every metric
 * that such a rule looks at become one event each. A service a second, so that the loop never reads
 * for long; in the first seconds of a run the database may not be open yet, and is waited for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define STEP_S 60
#define HISTORY_S (15 * 86400)
#define VALUES_MAX (HISTORY_S / STEP_S)

void history_begin(struct controller *c)
{
    c->history_next = 0;
}

/* Wants any rule of the service to learn from it? */
static bool is_wanted(const struct service_conf *conf, enum metric metric)
{
    for (uint32_t i = 0; i < conf->rule_count; i++) {
        const struct rule_conf *r = &conf->rules[i];
        const struct rule_ops *ops = rule_ops(r->kind);
        if (!ops->learn || !ops->metric)
            continue;
        enum metric m;
        for (uint32_t n = 0; (m = ops->metric(r, n)) < METRIC_MAX; n++)
            if (m == metric)
                return true;
    }
    return false;
}

static const char *name_of(const struct service_conf *conf, enum metric metric)
{
    return metric < METRIC_CUSTOM ? metric_name(metric)
                                  : conf->metrics[metric - METRIC_CUSTOM].name;
}

static int tell(struct controller *c, const struct service_view *v, enum metric metric,
                double *values)
{
    int64_t end_s = clock_wall_us() / US_PER_S / STEP_S * STEP_S, first_s = end_s - HISTORY_S;
    size_t count = VALUES_MAX;
    int rc = store_read_steps(c->store, v->conf->name, name_of(v->conf, metric), STEP_S, &first_s,
                              values, &count);
    if (rc < 0 || count == 0)
        return rc;
    struct history h = { .metric = metric,
                         .wall_us = first_s * US_PER_S,
                         .step_us = STEP_S * US_PER_S,
                         .count = (uint32_t)count,
                         .values = values };
    struct event e = { .type = EVENT_HISTORY, .service = (int32_t)v->slot, .history = &h };
    controller_emit(c, &e);
    controller_pump(c); /* the values' memory goes with this function's caller */
    return 0;
}

/* True when something of it was read: the next service waits for the next tick. */
static int tell_service(struct controller *c, const struct service_view *v, bool *ret_read)
{
    uint32_t metrics = METRIC_CUSTOM + v->conf->metric_count;
    _cleanup_free_ double *values = NULL;
    for (uint32_t m = 0; m < metrics; m++) {
        if (!is_wanted(v->conf, (enum metric)m))
            continue;
        values = values ? values : calloc(VALUES_MAX, sizeof(*values));
        int rc = values ? tell(c, v, (enum metric)m, values) : -ENOMEM;
        if (rc < 0)
            return rc;
        *ret_read = true;
    }
    return 0;
}

void history_tick(struct controller *c)
{
    struct service_view v;
    bool read = false;
    for (; c->history_next < MODEL_SERVICES_MAX && !read; c->history_next++) {
        if (!control_view(c->control, c->history_next, &v) || v.leaving)
            continue;
        int rc = tell_service(c, &v, &read);
        if (rc == -EIO)
            return; /* tried again: the database is not there yet, or not any more */
        if (rc < 0)
            log_warn("%s: its past cannot be read: %s", v.conf->name, strerror(-rc));
    }
}
