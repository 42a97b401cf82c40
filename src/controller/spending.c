/* What instances cost and draw: rates from how many run now, sums over the local day. The sums of
 * what an earlier controller saw come from the store, where the rates are kept as series. Nothing
 * is decided by any of it: budgets are the core's, and keep their own purses. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "controller/controller_int.h"
#include "core/energy.h"
#include "sys/clock.h"
#include "sys/mem.h"

enum { MONEY, WATTS, GRAMS, RATES };

static const char *const series_names[RATES] = { "@cost", "@watts", "@grams" };

#define STEP_S 60
#define GAP_US_MAX \
    (10 * US_PER_S) /* between two ticks; what is longer was no running time of ours */

static int64_t midnight_us(int64_t wall_us)
{
    time_t now = (time_t)(wall_us / US_PER_S);
    struct tm day;
    localtime_r(&now, &day);
    day.tm_hour = day.tm_min = day.tm_sec = 0;
    day.tm_isdst = -1;
    return (int64_t)mktime(&day) * US_PER_S;
}

/* Those that the engine has, from being asked for until they are gone. */
static int32_t count_running(const struct service_view *v)
{
    int32_t n = 0;
    for (uint32_t i = 0; i < v->instance_count; i++)
        n += v->instances[i].number > 0 && v->instances[i].state != INSTANCE_PENDING &&
             v->instances[i].state != INSTANCE_GONE;
    return n;
}

static void set_rates(const struct controller *c, const struct service_view *v, int64_t wall_us,
                      struct spending_service *s)
{
    const struct model_conf *m = &c->config->model;
    double n = count_running(v);
    double grams = energy_grams_per_kwh(&m->carbon, m->zones, m->zone_count, wall_us, NULL);
    s->known[MONEY] = v->conf->cost > 0;
    s->known[WATTS] = v->conf->watts > 0;
    s->known[GRAMS] = s->known[WATTS] && grams > 0;
    s->rate[MONEY] = n * v->conf->cost;
    s->rate[WATTS] = n * v->conf->watts;
    s->rate[GRAMS] = n * v->conf->watts / 1000 * grams;
}

/* One service's sums of today before this controller. Rates are per hour, or watts, of which an
 * hour is a watt-hour. -EIO: the store cannot be asked yet. */
static int restore(struct controller *c, const struct service_view *v, struct spending_service *s)
{
    struct spending *p = &c->spending;
    size_t minutes = (size_t)((p->began_wall_us - p->day_wall_us) / (STEP_S * US_PER_S));
    _cleanup_free_ double *values = calloc(MAX(minutes, (size_t)1), sizeof(*values));
    for (int kind = 0; values && kind < RATES; kind++) {
        int64_t from_s = p->day_wall_us / US_PER_S;
        size_t count = minutes;
        int rc = s->known[kind] ? store_read_steps(c->store, v->conf->name, series_names[kind],
                                                   STEP_S, &from_s, values, &count)
                                : -ENOENT;
        if (rc == -EIO)
            return rc;
        for (size_t i = 0; rc == 0 && i < count; i++)
            s->today[kind] += isfinite(values[i]) ? values[i] * STEP_S / 3600 : 0;
    }
    return 0;
}

/* A service a tick, so that the loop never reads for long. */
static void restore_next(struct controller *c)
{
    struct spending *p = &c->spending;
    struct service_view v;
    while (p->restored < MODEL_SERVICES_MAX && !control_view(c->control, p->restored, &v))
        p->restored++;
    if (p->restored == MODEL_SERVICES_MAX || restore(c, &v, &p->service[p->restored]) == -EIO)
        return;
    p->restored++;
}

static void begin_day(struct spending *p, int64_t day_wall_us)
{
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        for (int kind = 0; kind < RATES; kind++)
            p->service[slot].today[kind] = 0;
    if (p->day_wall_us != 0) /* what was before is another day's */
        p->restored = MODEL_SERVICES_MAX;
    p->day_wall_us = day_wall_us;
}

void spending_tick(struct controller *c)
{
    struct spending *p = &c->spending;
    int64_t now_us = clock_now_us(), wall_us = clock_wall_us(), day_us = midnight_us(wall_us);
    double hours = p->at_us ? (double)MIN(now_us - p->at_us, GAP_US_MAX) / (double)US_PER_HOUR : 0;
    if (p->began_wall_us == 0)
        p->began_wall_us = wall_us;
    if (day_us != p->day_wall_us)
        begin_day(p, day_us);
    p->at_us = now_us;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        struct spending_service *s = &p->service[slot];
        struct service_view v;
        if (!control_view(c->control, slot, &v)) {
            *s = (struct spending_service){ 0 };
            continue;
        }
        for (int kind = 0; kind < RATES; kind++)
            s->today[kind] += s->rate[kind] * hours;
        set_rates(c, &v, wall_us, s);
        for (int kind = 0; kind < RATES; kind++)
            if (s->known[kind])
                store_put_sample(c->store, v.conf->name, series_names[kind], 0, s->rate[kind],
                                 wall_us);
    }
    restore_next(c);
}

static double of(const struct spending_service *s, int kind, double value)
{
    return s->known[kind] ? value : (double)NAN;
}

void spending_view(const struct spending *p, uint32_t slot, struct admin_cost_facts *ret)
{
    const struct spending_service *s = &p->service[slot];
    *ret = (struct admin_cost_facts){
        .per_hour = of(s, MONEY, s->rate[MONEY]),
        .today = of(s, MONEY, s->today[MONEY]),
        .watts = of(s, WATTS, s->rate[WATTS]),
        .kwh_today = of(s, WATTS, s->today[WATTS] / 1000),
        .grams_per_hour = of(s, GRAMS, s->rate[GRAMS]),
        .grams_today = of(s, GRAMS, s->today[GRAMS]),
    };
}
