/* What forecasts are worth: every model's forecast for a bucket is kept until the bucket is over,
 * and judged. A bound is a model's forecast times 1 + m, m the quantile of its relative errors up
 * to then. The model and the quantile that count are the ones whose bound would have cost least
 * over about a week, where a load that was too low by x costs BACKTEST_SHORT times what one too
 * high by x does. (With independent errors that is the quantile SHORT / (1 + SHORT): the
 * newsvendor's.) Source: rolling-origin evaluation, Tashman 2000; Hyndman and Athanasopoulos 5.10.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/forecast.h"
#include "core/logbins.h"

#define BACKTEST_SHORT 20.0
#define BACKTEST_QUANTILES 5

struct backtest_model {
    struct logbins errors; /* relative, those above the forecast */
    double weight;         /* of all of them */
    double cost[BACKTEST_QUANTILES];
    double held[BACKTEST_QUANTILES]; /* share of the time that the bound was enough */
    int64_t judged;
    float pending[FORECAST_AHEAD_MAX + 1]; /* by number mod its length; NaN = none */
    float spare;                           /* whole words */
} __attribute__((may_alias));

struct backtest {
    int64_t ahead; /* buckets; 0 = not begun */
    struct backtest_model model[FORECAST_MODELS];
} __attribute__((may_alias));

struct backtest_choice {
    enum forecast_kind kind;
    double quantile;
    double margin; /* of the forecast */
    double held;   /* 0..1 */
    int64_t judged;
};

void backtest_begin(struct backtest *b, int32_t ahead);
/* A new bucket in `f` judges what was thought of it, and the next thoughts are written down. */
void backtest_see(struct backtest *b, const struct forecast *f);
/* 0, or -ENODATA: no model has been tested long enough (half a day). */
int backtest_choose(const struct backtest *b, const struct forecast *f,
                    struct backtest_choice *ret);
bool backtest_is_sane(const struct backtest *b);
