/* The load to come, from the load of weeks: a history in buckets of five minutes, aligned to the
 * wall clock, and the models that read it. A bucket's value is the most that a minute's mean came
 * to in it; NaN = not known. One model, one file forecast_*.c, one or two const tables; forecast.c
 * lists them. What they are worth is backtest.h's business. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FORECAST_BUCKET_US INT64_C(300000000)
#define FORECAST_DAY 288 /* buckets */
#define FORECAST_WEEK (7 * FORECAST_DAY)
#define FORECAST_BUCKETS (15 * FORECAST_DAY)
#define FORECAST_AHEAD_MAX 24 /* two hours */
#define FORECAST_ORDER 6      /* of the autoregression */

enum forecast_kind {
    FORECAST_DAILY, /* seasonal naive */
    FORECAST_WEEKLY,
    FORECAST_HOLT_WINTERS_DAY,
    FORECAST_HOLT_WINTERS_WEEK,
    FORECAST_AUTOREGRESSIVE,
    FORECAST_MODELS,
};

/* Buckets that are over, by number: wall time / FORECAST_BUCKET_US. */
struct forecast_history {
    int64_t newest; /* its number */
    int64_t count;  /* how far back it goes, gaps included */
    float value[FORECAST_BUCKETS];
} __attribute__((may_alias));

/* Seasons of `length` buckets; season[number mod length]. */
struct forecast_seasons {
    double level, trend;
    int64_t seen; /* buckets; the first season is collected, not smoothed */
} __attribute__((may_alias));

struct forecast_regression {
    double coefficient[FORECAST_ORDER];
    double covariance[FORECAST_ORDER][FORECAST_ORDER];
    int64_t seen;
} __attribute__((may_alias));

struct forecast {
    struct forecast_history history;
    struct forecast_seasons day, week;
    float day_season[FORECAST_DAY], week_season[FORECAST_WEEK];
    struct forecast_regression regression;
} __attribute__((may_alias));

struct forecast_ops {
    const char *name;
    int64_t season; /* buckets; says nothing before two of them */
    /* The newest bucket is new. NULL = it keeps nothing. */
    void (*see)(struct forecast *f);
    /* `ahead` buckets after the newest, 1..FORECAST_AHEAD_MAX; NaN = it has no idea. */
    double (*ahead)(const struct forecast *f, int32_t ahead);
};

const struct forecast_ops *forecast_ops(enum forecast_kind k);

/* A bucket is over: its number and value. Numbers that were skipped are unknown; those that are not
 * newer are ignored, and so are unknown ones before the first. */
void forecast_see(struct forecast *f, int64_t number, double value);
/* NaN = unknown, or too far back. */
double forecast_at(const struct forecast_history *h, int64_t number);
/* Enough history for that model? */
bool forecast_knows(const struct forecast *f, enum forecast_kind k);
/* Not less than 0; NaN = no idea. */
double forecast_ahead(const struct forecast *f, enum forecast_kind k, int32_t ahead);
/* Are the words (a file's) usable? */
bool forecast_is_sane(const struct forecast *f);

extern const struct forecast_ops forecast_daily, forecast_weekly, forecast_holt_winters_day,
    forecast_holt_winters_week, forecast_autoregressive;
