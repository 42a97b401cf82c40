/* Erlang's formulas, the waits that follow from them, and the searches for the least number of
 * servers and the most load. It must never sum factorials (they overflow at 171 servers): Erlang B
 * is walked up one server at a time, and every other number follows from it. */
#include "core/queueing.h"

#include <assert.h>
#include <errno.h>
#include <math.h>

#include "base/math.h"
#include "base/util.h"

#define HALVINGS 200 /* of an interval of doubles: more than enough for the last bit */

/* -- Erlang B, and what follows from it --------------------------------------------------------
 */

void queueing_init(struct queueing *q, const struct queueing_load *load)
{
    assert(load->service_s > 0 && load->arrivals_per_s >= 0);
    *q = (struct queueing){ .load = *load, .servers = 0, .blocked = 1 };
}

static double next_blocked(double offered, int64_t servers, double blocked)
{
    return offered * blocked / ((double)servers + offered * blocked);
}

void queueing_add_server(struct queueing *q)
{
    q->servers++;
    q->blocked = next_blocked(queueing_offered(&q->load), q->servers, q->blocked);
}

struct queueing queueing_of(const struct queueing_load *load, int64_t servers)
{
    struct queueing q;
    queueing_init(&q, load);
    while (q.servers < servers)
        queueing_add_server(&q);
    return q;
}

double queueing_offered(const struct queueing_load *load)
{
    return load->arrivals_per_s * load->service_s;
}

double queueing_utilisation(const struct queueing *q)
{
    return q->servers > 0 ? queueing_offered(&q->load) / (double)q->servers : INFINITY;
}

static double wait_ratio(double utilisation, double blocked)
{
    return utilisation < 1 ? blocked / (1 - utilisation * (1 - blocked)) : 1;
}

double queueing_wait_ratio(const struct queueing *q)
{
    return wait_ratio(queueing_utilisation(q), q->blocked);
}

/* The rate at which those who wait are served: c mu - lambda, slowed by Allen-Cunneen's factor. */
static double relief_per_s(const struct queueing *q)
{
    double factor = (q->load.arrival_cv2 + q->load.service_cv2) / 2;
    double spare_per_s = (double)q->servers / q->load.service_s - q->load.arrivals_per_s;
    return spare_per_s > 0 ? spare_per_s / factor : 0;
}

double queueing_wait_mean_s(const struct queueing *q)
{
    return queueing_wait_ratio(q) / relief_per_s(q);
}

double queueing_wait_over(const struct queueing *q, double t_s)
{
    double relief = relief_per_s(q);
    if (t_s < 0 || relief == 0)
        return 1;
    /* Nobody waits in a clockwork; infinity times zero is no number. */
    return t_s == 0 ? queueing_wait_ratio(q) : queueing_wait_ratio(q) * math_exp(-relief * t_s);
}

double queueing_wait_quantile_s(const struct queueing *q, double ratio)
{
    double wait = queueing_wait_ratio(q);
    if (relief_per_s(q) == 0)
        return INFINITY;
    return wait <= 1 - ratio ? 0 : math_log(wait / (1 - ratio)) / relief_per_s(q);
}

double queueing_sojourn_mean_s(const struct queueing *q)
{
    return queueing_wait_mean_s(q) + q->load.service_s;
}

/* -- wait and service together -----------------------------------------------------------------
 */

/* A service time as a mix of exponentials behind a constant. */
struct service_part {
    double share, constant_s, mean_s;
};

static void split_service(const struct queueing_load *load, struct service_part parts[2])
{
    double s = load->service_s, cv2 = load->service_cv2;
    if (cv2 <= 1) {
        double random_s = s * sqrt(MAX(cv2, 0));
        parts[0] = (struct service_part){ 1, s - random_s, random_s };
        parts[1] = (struct service_part){ 0 };
        return;
    }
    double lean = sqrt((cv2 - 1) / (cv2 + 1));
    double quick = (1 + lean) / 2, slow = (1 - lean) / 2;
    parts[0] = (struct service_part){ quick, 0, s / (2 * quick) };
    parts[1] = (struct service_part){ slow, 0, s / (2 * slow) };
}

/* The share beyond t of an exponential service after the wait. The textbook's quotient is 0/0 where
 * the two rates meet, hence the first terms of its series there. */
static double part_over(const struct queueing *q, double mean_s, double t_s)
{
    double theta = relief_per_s(q);
    if (t_s < 0 || theta == 0)
        return 1;
    if (mean_s == 0)
        return queueing_wait_over(q, t_s);
    double mu = 1 / mean_s;
    double served = math_exp(-mu * t_s);
    if (isinf(theta))
        return served;
    double apart = (theta - mu) * t_s;
    double waited = fabs(apart) < 1e-6 ? served * t_s * (1 - apart / 2)
                                       : (served - math_exp(-theta * t_s)) / (theta - mu);
    return served + queueing_wait_ratio(q) * mu * waited;
}

double queueing_sojourn_over(const struct queueing *q, double t_s)
{
    struct service_part parts[2];
    double over = 0;
    split_service(&q->load, parts);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].share > 0)
            over += parts[i].share * part_over(q, parts[i].mean_s, t_s - parts[i].constant_s);
    return over;
}

double queueing_sojourn_quantile_s(const struct queueing *q, double ratio)
{
    if (relief_per_s(q) == 0)
        return INFINITY;
    double low = 0, high = q->load.service_s;
    while (queueing_sojourn_over(q, high) > 1 - ratio && high < 1e300)
        high *= 2;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (queueing_sojourn_over(q, middle) > 1 - ratio)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* -- staffing ----------------------------------------------------------------------------------
 */

bool queueing_meets(const struct queueing *q, const struct queueing_slo *slo)
{
    if (relief_per_s(q) == 0)
        return false;
    switch (slo->goal) {
    case QUEUEING_STABLE:
        return true;
    case QUEUEING_WAIT_MEAN:
        return queueing_wait_mean_s(q) <= slo->limit_s;
    case QUEUEING_WAIT_QUANTILE:
        return queueing_wait_over(q, slo->limit_s) <= 1 - slo->ratio;
    case QUEUEING_SOJOURN_MEAN:
        return queueing_sojourn_mean_s(q) <= slo->limit_s;
    case QUEUEING_SOJOURN_QUANTILE:
        return queueing_sojourn_over(q, slo->limit_s) <= 1 - slo->ratio;
    }
    return false;
}

int queueing_least(const struct queueing_load *load, const struct queueing_slo *slo, int64_t each,
                   int64_t most, struct queueing *ret)
{
    struct queueing q;
    queueing_init(&q, load);
    while (q.servers + each <= most) {
        for (int64_t i = 0; i < each; i++)
            queueing_add_server(&q);
        if (queueing_meets(&q, slo)) {
            *ret = q;
            return 0;
        }
    }
    return -ERANGE;
}

double queueing_most_arrivals(const struct queueing_load *load, const struct queueing_slo *slo,
                              int64_t servers)
{
    struct queueing_load tried = *load;
    double low = 0, high = (double)servers / load->service_s;
    for (int i = 0; i < HALVINGS && low < high; i++) {
        tried.arrivals_per_s = (low + high) / 2;
        struct queueing q = queueing_of(&tried, servers);
        if (tried.arrivals_per_s == low || tried.arrivals_per_s == high)
            break;
        if (queueing_meets(&q, slo))
            low = tried.arrivals_per_s;
        else
            high = tried.arrivals_per_s;
    }
    return low;
}

/* -- the formulas behind it --------------------------------------------------------------------
 */

double queueing_erlang_b(double offered, int64_t servers)
{
    double blocked = 1;
    for (int64_t k = 1; k <= servers; k++)
        blocked = next_blocked(offered, k, blocked);
    return blocked;
}

double queueing_erlang_c(double offered, int64_t servers)
{
    double utilisation = servers > 0 ? offered / (double)servers : INFINITY;
    return wait_ratio(utilisation, queueing_erlang_b(offered, servers));
}

double queueing_erlang_b_offered(int64_t servers, double blocked)
{
    double low = 0, high = 1;
    while (queueing_erlang_b(high, servers) < blocked && high < 1e18)
        high *= 2;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (middle == low || middle == high)
            break;
        if (queueing_erlang_b(middle, servers) < blocked)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Phi(x) / phi(x) for x >= 0: half of sqrt(2 pi) e^(x^2/2), and the series x + x^3/3 + x^5/15 +
 * ... Marsaglia, "Evaluating the normal distribution", 2004. */
static double normal_ratio(double x)
{
    const double half_root_two_pi = 0x1.40d931ff62706p+0;
    double sum = half_root_two_pi * math_exp(x * x / 2);
    double term = x, before = 0;
    for (int n = 3; sum != before && isfinite(sum); n += 2) {
        before = sum;
        sum += term;
        term *= x * x / n;
    }
    return sum;
}

double queueing_halfin_whitt(double beta)
{
    return 1 / (1 + beta * normal_ratio(beta));
}

double queueing_halfin_whitt_beta(double ratio)
{
    double low = 0, high = 40;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (queueing_halfin_whitt(middle) > ratio)
            low = middle;
        else
            high = middle;
    }
    return high;
}

double queueing_fan_out(double slow_ratio, double n)
{
    return 1 - math_pow(1 - slow_ratio, n);
}
