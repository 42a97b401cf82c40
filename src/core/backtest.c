/* Rolling errors and the choice. It must not see a bucket before it has judged what was thought of
 * it. */
#include "core/backtest.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/util.h"

#define JUDGED_LEAST (FORECAST_DAY / 2)
#define JUDGED_MAX (INT64_C(1) << 40)
#define MEMORY (7.0 * FORECAST_DAY) /* buckets */
#define KEEP (1 - 1 / (2 * MEMORY)) /* of the errors' weight */
#define LEAST 0.05                  /* of an instance: below it no error is relative any more */
#define PENDING (FORECAST_AHEAD_MAX + 1)

static const double quantiles[BACKTEST_QUANTILES] = { 0.8, 0.9, 0.95, 0.98, 0.995 };

void backtest_begin(struct backtest *b, int32_t ahead)
{
    memset(b, 0, sizeof(*b));
    b->ahead = CLAMP(ahead, 1, FORECAST_AHEAD_MAX);
    for (unsigned k = 0; k < FORECAST_MODELS; k++) {
        for (unsigned i = 0; i < PENDING; i++)
            b->model[k].pending[i] = NAN;
    }
}

static double margin_of(const struct backtest_model *m, double quantile)
{
    double above;
    return logbins_edge_below(&m->errors, (1 - quantile) * m->weight, &above);
}

/* A weight that grows says the same as older ones that shrink, and costs nothing; once it is large
 * all are brought down. */
static void remember(struct backtest_model *m, double error)
{
    logbins_add(&m->errors, error, 1);
    m->weight += 1;
    if (m->weight < 2 * MEMORY)
        return;
    logbins_fade(&m->errors, 0.5, 0);
    m->weight *= 0.5;
}

static void judge(struct backtest_model *m, double forecast, double load)
{
    double share = 1 / MIN(m->judged + 1.0, MEMORY);
    for (unsigned q = 0; q < BACKTEST_QUANTILES; q++) {
        double over = forecast * (1 + margin_of(m, quantiles[q])) - load;
        double cost = over >= 0 ? over : -over * BACKTEST_SHORT;
        m->cost[q] += share * (cost - m->cost[q]);
        m->held[q] += share * ((over >= 0) - m->held[q]);
    }
    remember(m, (load - forecast) / MAX(forecast, LEAST));
    m->judged++;
}

void backtest_see(struct backtest *b, const struct forecast *f)
{
    int64_t newest = f->history.newest;
    double load = forecast_at(&f->history, newest);
    for (unsigned k = 0; k < FORECAST_MODELS; k++) {
        struct backtest_model *m = &b->model[k];
        double thought = m->pending[newest % PENDING];
        if (!isnan(thought) && !isnan(load))
            judge(m, thought, load);
        m->pending[newest % PENDING] = NAN;
        m->pending[(newest + b->ahead) % PENDING] =
            (float)forecast_ahead(f, (enum forecast_kind)k, (int32_t)b->ahead);
    }
}

int backtest_choose(const struct backtest *b, const struct forecast *f, struct backtest_choice *ret)
{
    double least = INFINITY;
    int64_t judged_least = JUDGED_LEAST;
    for (unsigned k = 0; k < FORECAST_MODELS; k++) {
        const struct backtest_model *m = &b->model[k];
        if (m->judged < judged_least || !forecast_knows(f, (enum forecast_kind)k))
            continue;
        for (unsigned q = 0; q < BACKTEST_QUANTILES; q++) {
            if (!(m->cost[q] < least))
                continue;
            least = m->cost[q];
            *ret = (struct backtest_choice){
                .kind = (enum forecast_kind)k,
                .quantile = quantiles[q],
                .margin = margin_of(m, quantiles[q]),
                .held = m->held[q],
                .judged = m->judged,
            };
        }
    }
    return isinf(least) ? -ENODATA : 0;
}

static bool is_sane(const struct backtest_model *m)
{
    bool sane = m->judged >= 0 && m->judged < JUDGED_MAX && m->weight >= 0 && m->weight <= 1e9;
    for (unsigned q = 0; q < BACKTEST_QUANTILES; q++)
        sane &= m->cost[q] >= 0 && m->held[q] >= 0 && m->held[q] <= 1;
    return sane;
}

bool backtest_is_sane(const struct backtest *b)
{
    bool sane = b->ahead >= 1 && b->ahead <= FORECAST_AHEAD_MAX;
    for (unsigned k = 0; k < FORECAST_MODELS; k++)
        sane &= is_sane(&b->model[k]);
    return sane;
}
