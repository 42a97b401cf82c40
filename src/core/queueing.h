/* What queueing theory says of a pool of equal servers with one queue: how often and how long a
 * request waits, and how many servers keep that within a target. A server is one request at a time:
 * an instance with concurrency 8 is eight of them. Rates are per second, times are seconds, since
 * all of it is ratios of real numbers; nothing here decides on a running service. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What arrives. The cv2 are squared coefficients of variation (variance / mean^2) of the times
 * between arrivals and of the service times: 1 and 1 is M/M/c, 1 and 0 is M/D/c. */
struct queueing_load {
    double arrivals_per_s;
    double service_s; /* mean, > 0 */
    double arrival_cv2, service_cv2;
};

/* The load at `servers` servers. Adding one is O(1), so a search costs what its answer costs. */
struct queueing {
    struct queueing_load load;
    int64_t servers;
    double blocked; /* Erlang B */
};

void queueing_init(struct queueing *q, const struct queueing_load *load); /* with no server */
void queueing_add_server(struct queueing *q);
struct queueing queueing_of(const struct queueing_load *load, int64_t servers);

/* Servers that are busy on average: lambda * S, in erlangs. Little 1961. */
double queueing_offered(const struct queueing_load *load);
double queueing_utilisation(const struct queueing *q);
/* Erlang C: the share of requests that wait at all; 1 when the load is not below the servers. */
double queueing_wait_ratio(const struct queueing *q);
/* Allen and Cunneen: the mean wait of M/M/c times (ca2 + cs2) / 2. Infinite when overloaded. */
double queueing_wait_mean_s(const struct queueing *q);
/* The share that waits longer than t. Exact for M/M/c; else the wait of those who wait is taken as
 * exponential with Allen-Cunneen's mean, as it is in heavy traffic (Kingman 1962). */
double queueing_wait_over(const struct queueing *q, double t_s);
/* The time that a share `ratio` (0 to 1) of the requests waits at most. */
double queueing_wait_quantile_s(const struct queueing *q, double ratio);
double queueing_sojourn_mean_s(const struct queueing *q);
/* The share that takes longer than t, wait and service together. Exact for M/M/c. Service times
 * with other cv2 are matched in mean and variance: a constant and an exponential part up to 1, two
 * exponentials with balanced means (H2) above. */
double queueing_sojourn_over(const struct queueing *q, double t_s);
double queueing_sojourn_quantile_s(const struct queueing *q, double ratio);

/* -- staffing ----------------------------------------------------------------------------------
 */

enum queueing_goal {
    QUEUEING_STABLE, /* nothing but that the queue does not grow for ever */
    QUEUEING_WAIT_MEAN,
    QUEUEING_WAIT_QUANTILE,
    QUEUEING_SOJOURN_MEAN,
    QUEUEING_SOJOURN_QUANTILE,
};

/* The mean, or the time that a share `ratio` of the requests keeps, is at most `limit_s`. */
struct queueing_slo {
    enum queueing_goal goal;
    double limit_s;
    double ratio;
};

bool queueing_meets(const struct queueing *q, const struct queueing_slo *slo);
/* The least multiple of `each` servers that meets the target. -ERANGE when `most` do not. */
int queueing_least(const struct queueing_load *load, const struct queueing_slo *slo, int64_t each,
                   int64_t most, struct queueing *ret);
/* The highest arrival rate at which so many servers meet the target; 0 when none does. */
double queueing_most_arrivals(const struct queueing_load *load, const struct queueing_slo *slo,
                              int64_t servers);

/* -- the formulas behind it --------------------------------------------------------------------
 */

/* The share that is refused when nothing may wait, for an offered load in erlangs. Erlang 1917. */
double queueing_erlang_b(double offered, int64_t servers);
double queueing_erlang_c(double offered, int64_t servers);
/* The offered load that so many servers carry with a share `blocked` refused: Erlang B, inverted.
 */
double queueing_erlang_b_offered(int64_t servers, double blocked);
/* The share that waits in a large pool of a + beta sqrt(a) servers, for beta > 0. Halfin and Whitt,
 * "Heavy-traffic limits for queues with many exponential servers", 1981. */
double queueing_halfin_whitt(double beta);
/* The beta of a share that waits, 0 < wait_ratio < 1: square-root staffing. */
double queueing_halfin_whitt_beta(double wait_ratio);
/* The share of requests that a rare slow one delays when each asks `n` servers: 1 - (1 - p)^n. Dean
 * and Barroso, "The tail at scale", 2013. */
double queueing_fan_out(double slow_ratio, double n);
