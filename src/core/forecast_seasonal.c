/* Seasonal naive: as it was a day, or a week, before. Source: Hyndman and Athanasopoulos,
 * Forecasting: Principles and Practice, 5.2: y(t + h) = y(t + h - m). A bucket that is not known is
 * taken from the season before that. */
#include <math.h>

#include "core/forecast.h"

static double as_before(const struct forecast *f, int32_t ahead, int64_t season)
{
    double value = forecast_at(&f->history, f->history.newest + ahead - season);
    return isnan(value) ? forecast_at(&f->history, f->history.newest + ahead - 2 * season) : value;
}

static double daily_ahead(const struct forecast *f, int32_t ahead)
{
    return as_before(f, ahead, FORECAST_DAY);
}

static double weekly_ahead(const struct forecast *f, int32_t ahead)
{
    return as_before(f, ahead, FORECAST_WEEK);
}

const struct forecast_ops forecast_daily = {
    .name = "as yesterday",
    .season = FORECAST_DAY,
    .ahead = daily_ahead,
};

const struct forecast_ops forecast_weekly = {
    .name = "as last week",
    .season = FORECAST_WEEK,
    .ahead = weekly_ahead,
};
