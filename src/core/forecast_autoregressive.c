/* An autoregression of order 6 on the differences to the day before, w(t) = y(t) - y(t - 288): what
 * today has been more than yesterday for half an hour says how much more it will be. Coefficients
 * by recursive least squares that forgets (0.999 a bucket: three and a half days):
 *
 *     g  = P x / (0.999 + x' P x)
 *     c' = c + g (w - c' x)
 *     P' = (P - g x' P) / 0.999
 *
 * P begins as the unit matrix times 1000 and begins again when it has grown without bounds, as it
 * does while nothing happens. Source: Ljung, System Identification, 11.2. */
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "core/forecast.h"

#define ORDER FORECAST_ORDER
#define KEEP 0.999
#define COVARIANCE_FIRST 1000.0
#define COVARIANCE_MAX 1e6

static double difference(const struct forecast_history *h, int64_t number)
{
    return forecast_at(h, number) - forecast_at(h, number - FORECAST_DAY);
}

/* The differences up to `number`, newest first; false when one is not known. */
static bool lags(const struct forecast_history *h, int64_t number, double ret[ORDER])
{
    for (int64_t i = 0; i < ORDER; i++) {
        ret[i] = difference(h, number - i);
        if (isnan(ret[i]))
            return false;
    }
    return true;
}

static double product(const double *a, const double *b)
{
    double sum = 0;
    for (unsigned i = 0; i < ORDER; i++)
        sum += a[i] * b[i];
    return sum;
}

static void begin(struct forecast_regression *r)
{
    memset(r->covariance, 0, sizeof(r->covariance));
    for (unsigned i = 0; i < ORDER; i++)
        r->covariance[i][i] = COVARIANCE_FIRST;
}

static bool is_tame(const struct forecast_regression *r)
{
    bool tame = true;
    for (unsigned i = 0; i < ORDER; i++)
        tame &= r->covariance[i][i] > 0 && r->covariance[i][i] < COVARIANCE_MAX &&
                fabs(r->coefficient[i]) < 100;
    return tame;
}

static void regress(struct forecast_regression *r, const double x[ORDER], double w)
{
    double px[ORDER], gain[ORDER];
    for (unsigned i = 0; i < ORDER; i++)
        px[i] = product(r->covariance[i], x);
    double scale = KEEP + product(x, px), error = w - product(r->coefficient, x);
    for (unsigned i = 0; i < ORDER; i++) {
        gain[i] = px[i] / scale;
        r->coefficient[i] += gain[i] * error;
    }
    for (unsigned i = 0; i < ORDER; i++) {
        for (unsigned k = 0; k < ORDER; k++)
            r->covariance[i][k] = (r->covariance[i][k] - gain[i] * px[k]) / KEEP;
    }
}

static void see(struct forecast *f)
{
    struct forecast_regression *r = &f->regression;
    double x[ORDER], w = difference(&f->history, f->history.newest);
    if (isnan(w) || !lags(&f->history, f->history.newest - 1, x))
        return;
    if (r->seen++ == 0 || !is_tame(r)) {
        begin(r);
        if (!is_tame(r)) /* it was the coefficients */
            memset(r->coefficient, 0, sizeof(r->coefficient));
    }
    regress(r, x, w);
}

static double ahead(const struct forecast *f, int32_t ahead_count)
{
    double x[ORDER], w = 0;
    if (!lags(&f->history, f->history.newest, x))
        return NAN;
    for (int32_t step = 0; step < ahead_count; step++) {
        w = product(f->regression.coefficient, x);
        memmove(&x[1], &x[0], sizeof(x) - sizeof(x[0]));
        x[0] = w;
    }
    return forecast_at(&f->history, f->history.newest + ahead_count - FORECAST_DAY) + w;
}

const struct forecast_ops forecast_autoregressive = {
    .name = "autoregression",
    .season = FORECAST_DAY,
    .see = see,
    .ahead = ahead,
};
