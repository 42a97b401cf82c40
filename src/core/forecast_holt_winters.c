/* Holt and Winters' additive exponential smoothing with a season of a day or a week:
 *
 *     level'  = a (y - season) + (1 - a) (level + trend)
 *     trend'  = b (level' - level) + (1 - b) trend
 *     season' = g (y - level') + (1 - g) season
 *     y(h)    = level + h trend + season(h)
 *
 * with a = 0.4, b = 0.01, g = 0.2. The first season is collected: its mean is the first level, what
 * each bucket differs from it the first season. A bucket that is not known changes nothing but the
 * time. Source: Winters 1960; Hyndman and Athanasopoulos, Forecasting: Principles and Practice,
 * 8.3. */
#include <math.h>

#include "base/util.h"
#include "core/forecast.h"

#define A 0.4
#define B 0.01
#define G 0.2

static void begin(struct forecast_seasons *s, float *season, int64_t length)
{
    double sum = 0;
    int64_t known = 0;
    for (int64_t i = 0; i < length; i++) {
        if (isnan(season[i]))
            continue;
        sum += season[i];
        known++;
    }
    s->level = known > 0 ? sum / known : 0;
    s->trend = 0;
    for (int64_t i = 0; i < length; i++)
        season[i] = isnan(season[i]) ? 0 : (float)(season[i] - s->level);
}

static void smooth(struct forecast_seasons *s, float *season, double y)
{
    double before = s->level;
    if (isnan(y)) {
        s->level += s->trend;
        return;
    }
    s->level = A * (y - *season) + (1 - A) * (s->level + s->trend);
    s->trend = B * (s->level - before) + (1 - B) * s->trend;
    *season = (float)(G * (y - s->level) + (1 - G) * *season);
}

static void see(const struct forecast_history *h, struct forecast_seasons *s, float *season,
                int64_t length)
{
    float *own = &season[h->newest % length];
    double y = forecast_at(h, h->newest);
    if (s->seen < length)
        *own = (float)y;
    else
        smooth(s, own, y);
    s->seen++;
    if (s->seen == length)
        begin(s, season, length);
}

static double ahead_of(const struct forecast_history *h, const struct forecast_seasons *s,
                       const float *season, int64_t length, int32_t ahead)
{
    return s->level + ahead * s->trend + season[(h->newest + ahead) % length];
}

static void day_see(struct forecast *f)
{
    see(&f->history, &f->day, f->day_season, FORECAST_DAY);
}

static double day_ahead(const struct forecast *f, int32_t ahead)
{
    return ahead_of(&f->history, &f->day, f->day_season, FORECAST_DAY, ahead);
}

static void week_see(struct forecast *f)
{
    see(&f->history, &f->week, f->week_season, FORECAST_WEEK);
}

static double week_ahead(const struct forecast *f, int32_t ahead)
{
    return ahead_of(&f->history, &f->week, f->week_season, FORECAST_WEEK, ahead);
}

const struct forecast_ops forecast_holt_winters_day = {
    .name = "Holt-Winters by day",
    .season = FORECAST_DAY,
    .see = day_see,
    .ahead = day_ahead,
};

const struct forecast_ops forecast_holt_winters_week = {
    .name = "Holt-Winters by week",
    .season = FORECAST_WEEK,
    .see = week_see,
    .ahead = week_ahead,
};
