/* Scaling a low load up without its noise. A recorded count is a signal and the noise of counting
 * few people. Noise is what the neighbourhood does not explain: a Wiener filter with the local mean
 * m and variance v (Lee, "Digital image enhancement and noise filtering by use of local
 * statistics", IEEE PAMI-2, 1980) keeps of a count's distance from m the share 1 - 2 D m / v.
 *
 * D m is the variance of the noise: Poisson's m, times how much more the counts of this trace
 * scatter because one visit is several requests. D comes from second differences, which a smooth
 * signal hardly has: their square is 6 D m on average, and its median 0.455 of that (chi-squared of
 * one degree). v is what a straight line through the neighbourhood leaves unexplained. Twice the
 * noise's variance must be exceeded, because the variance of 31 counts is itself uncertain by a
 * quarter. A burst exceeds it by far, and stays as it is. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/sort.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/trace/trace.h"

#define REACH 15 /* steps to each side */
#define CERTAIN 2
#define MEDIAN_CHI2 0.4549
#define DISPERSION_MAX 10 /* more is no noise of visits, but a signal that bends */

/* Of the noise of counting, in relation to Poisson's. `scratch` has room for all counts. */
static double dispersion_of(const double *counts, size_t count, double *scratch)
{
    size_t used = 0;
    for (size_t n = 1; n + 1 < count; n++) {
        double mean = (counts[n - 1] + counts[n] + counts[n + 1]) / 3;
        double bend = counts[n - 1] - 2 * counts[n] + counts[n + 1];
        if (mean > 0)
            scratch[used++] = bend * bend / (6 * mean);
    }
    if (used == 0)
        return 1;
    double median = sort_select(scratch, used, used / 2) / MEDIAN_CHI2;
    return CLAMP(median, 1, DISPERSION_MAX);
}

/* The signal in one count. */
static double signal_at(const double *counts, size_t count, size_t at, double dispersion)
{
    size_t first = at > REACH ? at - REACH : 0, last = MIN(at + REACH, count - 1);
    double n = (double)(last - first + 1), centre = (double)(first + last) / 2;
    double mean = 0, variance = 0, along = 0, time = 0;
    for (size_t k = first; k <= last; k++)
        mean += counts[k] / n;
    for (size_t k = first; k <= last; k++) {
        double t = (double)k - centre, off = counts[k] - mean;
        variance += off * off;
        along += off * t;
        time += t * t;
    }
    if (time > 0)
        variance -= along * along / time;
    double noise = CERTAIN * dispersion * mean, left = variance / n;
    double share = left > noise ? 1 - noise / left : 0;
    return mean + share * (counts[at] - mean);
}

static void grow(struct trace *t, double factor, double *counts, double *scratch)
{
    double step_s = (double)t->step_us / (double)US_PER_S, noise = sqrt(factor);
    for (size_t n = 0; n < t->count; n++)
        counts[n] = t->rates[n] * step_s;
    double dispersion = dispersion_of(counts, t->count, scratch);
    for (size_t n = 0; n < t->count; n++) {
        double signal = signal_at(counts, t->count, n, dispersion);
        t->rates[n] = MAX(factor * signal + noise * (counts[n] - signal), 0) / step_s;
    }
}

int trace_grow(struct trace *t, double factor)
{
    if (factor <= 1 || t->count == 0) {
        trace_scale(t, factor);
        return 0;
    }
    double *counts = calloc(2 * t->count, sizeof(*counts));
    if (!counts)
        return -ENOMEM;
    grow(t, factor, counts, counts + t->count);
    free(counts);
    return 0;
}
