/* ConPaaS: three forecasts of the load - autoregression of order 9, a straight line, Holt-Winters
 * with a season of two - and of these the one that erred least in the period before. Source:
 * Fernandez, Pierre, Kielmann, "Autoscaling web applications in heterogeneous cloud
 * infrastructures", IC2E 2014, and its authors' predictors. Read as: the last 120 minutes instead
 * of all, the autoregression by Yule and Walker's equations, and of the 20 steps ahead the nearest
 * weigh most. */
#include "core/hpa.h"
#include "sim/peers/research.h"

#define SAMPLES 120
#define SAMPLES_LEAST 21
#define ORDER 9
#define STEPS 20
#define HW_STEPS 2
#define ALPHA 0.2
#define BETA 0.1
#define GAMMA 0.05

enum model { MODEL_AR, MODEL_LINE, MODEL_HW, MODEL_COUNT };

struct conpaas {
    struct research r;
    struct peer_window rates;
    double next[MODEL_COUNT];  /* each model's forecast for one step ahead */
    double error[MODEL_COUNT]; /* in the period before */
};

static void *conpaas_open(const struct policy_setup *s)
{
    struct conpaas *c = peer_open(sizeof(*c), s);
    if (c)
        c->rates.size = SAMPLES;
    return c;
}

/* Oldest first. */
static uint32_t copy_rates(const struct peer_window *w, double *y)
{
    for (uint32_t n = 0; n < w->count; n++)
        y[n] = peer_window_get(w, w->count - 1 - n);
    return w->count;
}

/* Levinson and Durbin's recursion. */
static void solve_ar(const double *covariance, double *phi)
{
    double error = covariance[0];
    for (uint32_t k = 0; k < ORDER; k++) {
        double before[ORDER], sum = covariance[k + 1];
        for (uint32_t j = 0; j < k; j++)
            sum -= phi[j] * covariance[k - j];
        double reflection = error > 1e-9 ? sum / error : 0;
        for (uint32_t j = 0; j < k; j++)
            before[j] = phi[j];
        for (uint32_t j = 0; j < k; j++)
            phi[j] = before[j] - reflection * before[k - 1 - j];
        phi[k] = reflection;
        error *= 1 - reflection * reflection;
    }
}

static void forecast_ar(const double *y, uint32_t n, double *out)
{
    double mean = 0, covariance[ORDER + 1] = { 0 }, phi[ORDER] = { 0 };
    for (uint32_t k = 0; k < n; k++)
        mean += y[k] / n;
    for (uint32_t lag = 0; lag <= ORDER; lag++)
        for (uint32_t k = lag; k < n; k++)
            covariance[lag] += (y[k] - mean) * (y[k - lag] - mean) / n;
    solve_ar(covariance, phi);
    double past[ORDER];
    for (uint32_t j = 0; j < ORDER; j++)
        past[j] = y[n - 1 - j] - mean;
    for (uint32_t step = 0; step < STEPS; step++) {
        double x = 0;
        for (uint32_t j = 0; j < ORDER; j++)
            x += phi[j] * past[j];
        for (uint32_t j = ORDER - 1; j > 0; j--)
            past[j] = past[j - 1];
        past[0] = x;
        out[step] = mean + x;
    }
}

static void forecast_line(const double *y, uint32_t n, double *out)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (uint32_t k = 0; k < n; k++) {
        sx += k;
        sy += y[k];
        sxx += (double)k * k;
        sxy += k * y[k];
    }
    double slope = (n * sxy - sx * sy) / (n * sxx - sx * sx);
    for (uint32_t step = 0; step < STEPS; step++)
        out[step] = (sy - slope * sx) / n + slope * (n + step);
}

/* Multiplicative, with a season of two samples. */
static void forecast_hw(const double *y, uint32_t n, double *out)
{
    double slope = ((y[2] + y[3]) - (y[0] + y[1])) / 4;
    double level = (y[0] + y[1]) / 2 - slope * 1.5;
    double season[2], total;
    for (uint32_t k = 0; k < 2; k++) {
        double first = level + slope * (k + 1), second = level + slope * (k + 3);
        season[k] = ((first > 0 ? y[k] / first : 1) + (second > 0 ? y[k + 2] / second : 1)) / 2;
    }
    total = season[0] + season[1];
    for (uint32_t k = 0; k < 2; k++)
        season[k] = total > 0 ? season[k] * 2 / total : 1;
    for (uint32_t k = 0; k < n; k++) {
        double *s = &season[k % 2], before = level;
        double plain = *s > 0 ? y[k] / *s : y[k];
        level = ALPHA * plain + (1 - ALPHA) * (level + slope);
        slope = BETA * (level - before) + (1 - BETA) * slope;
        *s = level > 0 ? GAMMA * y[k] / level + (1 - GAMMA) * *s : *s;
    }
    for (uint32_t step = 0; step < HW_STEPS; step++)
        out[step] = (level + slope * (step + 1)) * season[(n + step) % 2];
}

static double weighted(const double *forecast, uint32_t steps)
{
    double sum = 0, weights = 0;
    for (uint32_t k = 0; k < steps; k++) {
        sum += forecast[k] * (steps - k);
        weights += steps - k;
    }
    return sum / weights;
}

static double predict(struct conpaas *c)
{
    double y[SAMPLES], out[MODEL_COUNT][STEPS];
    uint32_t n = copy_rates(&c->rates, y), best = 0;
    forecast_ar(y, n, out[MODEL_AR]);
    forecast_line(y, n, out[MODEL_LINE]);
    forecast_hw(y, n, out[MODEL_HW]);
    for (uint32_t m = 0; m < MODEL_COUNT; m++) {
        c->next[m] = out[m][0];
        if (c->error[m] < c->error[best])
            best = m;
    }
    return weighted(out[best], best == MODEL_HW ? HW_STEPS : STEPS);
}

static void control(struct conpaas *c, double load)
{
    for (uint32_t m = 0; m < MODEL_COUNT; m++)
        c->error[m] = fabs(load - c->next[m]);
    peer_window_put(&c->rates, load);
    double want = c->rates.count < SAMPLES_LEAST ? load : predict(c);
    if (ceil(want) > 0)
        peer_want(&c->r.p, ceil(want), "load of %d servers, %d foreseen", hpa_ceil(load),
                  hpa_ceil(want));
}

static void conpaas_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct conpaas *c = self;
    double load;
    if (research_due(&c->r, v, &load))
        control(c, load);
    peer_order(&c->r.p, fleet);
}

const struct policy_ops policy_conpaas = {
    .name = "conpaas",
    .help = "Fernandez et al. 2014: AR, line or Holt-Winters, whichever erred least, every minute",
    .open = conpaas_open,
    .step = conpaas_step,
    PEER_OPS,
};
