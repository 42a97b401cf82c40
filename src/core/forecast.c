/* The history's ring and the list of models. It must not know any model from inside. */
#include "core/forecast.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"

#define SEASONS_LEAST 2
#define LOAD_MAX 1e9
#define SEASONS_MAX (INT64_C(1) << 40)

static const struct forecast_ops *const models[FORECAST_MODELS] = {
    [FORECAST_DAILY] = &forecast_daily,
    [FORECAST_WEEKLY] = &forecast_weekly,
    [FORECAST_HOLT_WINTERS_DAY] = &forecast_holt_winters_day,
    [FORECAST_HOLT_WINTERS_WEEK] = &forecast_holt_winters_week,
    [FORECAST_AUTOREGRESSIVE] = &forecast_autoregressive,
};

const struct forecast_ops *forecast_ops(enum forecast_kind k)
{
    return models[k];
}

double forecast_at(const struct forecast_history *h, int64_t number)
{
    if (number > h->newest || number <= h->newest - h->count || number < 0)
        return NAN;
    return h->value[number % FORECAST_BUCKETS];
}

static void append(struct forecast *f, int64_t number, double value)
{
    struct forecast_history *h = &f->history;
    h->newest = number;
    h->count = MIN(h->count + 1, FORECAST_BUCKETS);
    h->value[number % FORECAST_BUCKETS] = (float)value;
    for (unsigned k = 0; k < FORECAST_MODELS; k++) {
        if (models[k]->see)
            models[k]->see(f);
    }
}

void forecast_see(struct forecast *f, int64_t number, double value)
{
    struct forecast_history *h = &f->history;
    if (number < 0 || (h->count > 0 && number <= h->newest) || (h->count == 0 && isnan(value)))
        return;
    if (h->count > 0 && number - h->newest > FORECAST_BUCKETS)
        memset(f, 0, sizeof(*f));
    for (int64_t n = h->newest + 1; h->count > 0 && n < number; n++)
        append(f, n, NAN);
    append(f, number, value >= 0 ? MIN(value, LOAD_MAX) : NAN);
}

bool forecast_knows(const struct forecast *f, enum forecast_kind k)
{
    return f->history.count >= SEASONS_LEAST * models[k]->season;
}

double forecast_ahead(const struct forecast *f, enum forecast_kind k, int32_t ahead)
{
    if (!forecast_knows(f, k))
        return NAN;
    double load = models[k]->ahead(f, ahead);
    return fabs(load) <= LOAD_MAX ? MAX(load, 0) : NAN;
}

static bool seasons_are_sane(const struct forecast_seasons *s)
{
    return fabs(s->level) <= LOAD_MAX && fabs(s->trend) <= LOAD_MAX && s->seen >= 0 &&
           s->seen < SEASONS_MAX;
}

bool forecast_is_sane(const struct forecast *f)
{
    return f->history.count >= 0 && f->history.count <= FORECAST_BUCKETS &&
           f->history.newest >= 0 && f->history.newest < SEASONS_MAX && seasons_are_sane(&f->day) &&
           seasons_are_sane(&f->week) && f->regression.seen >= 0 &&
           f->regression.seen < SEASONS_MAX;
}
