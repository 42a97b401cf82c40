/* Gunther's law and its fit to measured points. It must keep to + - * / and sqrt, so that a fit is
 * the same everywhere. */
#include "core/usl.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"

#define UNKNOWNS 3
#define ROUNDS_MAX 200
#define HALVINGS_MAX 40

double usl_stretch(const struct usl *u, double n)
{
    return 1 + u->alpha * (n - 1) + u->beta * n * (n - 1);
}

double usl_throughput(const struct usl *u, double n)
{
    return u->gamma * n / usl_stretch(u, n);
}

double usl_peak(const struct usl *u)
{
    if (u->alpha >= 1)
        return 1;
    return u->beta > 0 ? sqrt((1 - u->alpha) / u->beta) : INFINITY;
}

/* -- least squares with three unknowns ---------------------------------------------------------
 */

/* The normal equations of rows `slope . unknowns = value`; an unknown that is held stays 0. */
struct normal {
    double matrix[UNKNOWNS][UNKNOWNS];
    double right[UNKNOWNS];
    bool held[UNKNOWNS];
};

static void add_row(struct normal *e, const double slope[UNKNOWNS], double value)
{
    for (int i = 0; i < UNKNOWNS; i++) {
        for (int k = 0; k < UNKNOWNS; k++)
            e->matrix[i][k] += slope[i] * slope[k];
        e->right[i] += slope[i] * value;
    }
}

static void hold(struct normal *e)
{
    for (int i = 0; i < UNKNOWNS; i++) {
        if (!e->held[i])
            continue;
        for (int k = 0; k < UNKNOWNS; k++)
            e->matrix[i][k] = e->matrix[k][i] = 0;
        e->matrix[i][i] = 1;
        e->right[i] = 0;
    }
}

/* Gauss and Jordan; the matrix is positive definite, so its own diagonal serves as pivots. */
static int solve(struct normal *e, double ret[UNKNOWNS])
{
    double(*m)[UNKNOWNS] = e->matrix;
    double *right = e->right;
    hold(e);
    for (int i = 0; i < UNKNOWNS; i++) {
        if (!(m[i][i] > 0))
            return -EDOM;
        for (int k = 0; k < UNKNOWNS; k++) {
            double factor = k == i ? 0 : m[k][i] / m[i][i];
            for (int j = i; j < UNKNOWNS; j++)
                m[k][j] -= factor * m[i][j];
            right[k] -= factor * right[i];
        }
    }
    for (int i = 0; i < UNKNOWNS; i++)
        ret[i] = right[i] / m[i][i];
    return 0;
}

/* -- the fit -----------------------------------------------------------------------------------
 */

enum { GAMMA, ALPHA, BETA };

/* N / X = (1 + alpha (N-1) + beta N(N-1)) / gamma, each row weighed so that its error is one of
 * the throughput in relative terms. What comes out negative is held at 0. */
static int fit_linear(const struct usl_point *points, uint32_t count, struct usl *ret)
{
    bool held[UNKNOWNS] = { false };
    double x[UNKNOWNS];
    for (int round = 0; round < UNKNOWNS; round++) {
        struct normal e = { 0 };
        memcpy(e.held, held, sizeof(held));
        for (uint32_t i = 0; i < count; i++) {
            double n = points[i].n, weight = points[i].throughput / n;
            double slope[] = { weight, weight * (n - 1), weight * n * (n - 1) };
            add_row(&e, slope, 1);
        }
        if (solve(&e, x) < 0 || !(x[GAMMA] > 0))
            return -EDOM;
        bool negative = false;
        for (int i = ALPHA; i <= BETA; i++)
            if (x[i] < 0)
                held[i] = negative = true;
        if (!negative)
            break;
    }
    *ret = (struct usl){ x[ALPHA] / x[GAMMA], x[BETA] / x[GAMMA], 1 / x[GAMMA] };
    return 0;
}

static double squares(const struct usl *u, const struct usl_point *points, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        double error = points[i].throughput - usl_throughput(u, points[i].n);
        sum += error * error;
    }
    return sum;
}

/* One step of Gauss and Newton, shortened until it helps. An unknown that lies at 0 and would go
 * below is held there. Returns whether it helped. */
static bool improve(struct usl *u, const struct usl_point *points, uint32_t count)
{
    struct normal e = { 0 };
    double step[UNKNOWNS], before = squares(u, points, count);
    for (uint32_t i = 0; i < count; i++) {
        double n = points[i].n, fitted = usl_throughput(u, n);
        double per_stretch = -fitted / usl_stretch(u, n);
        double slope[] = { fitted / u->gamma, per_stretch * (n - 1), per_stretch * n * (n - 1) };
        add_row(&e, slope, points[i].throughput - fitted);
    }
    e.held[ALPHA] = u->alpha == 0 && e.right[ALPHA] < 0;
    e.held[BETA] = u->beta == 0 && e.right[BETA] < 0;
    if (solve(&e, step) < 0)
        return false;
    double length = 1;
    for (int i = 0; i < HALVINGS_MAX; i++, length /= 2) {
        struct usl tried = {
            .alpha = MAX(0, u->alpha + length * step[ALPHA]),
            .beta = MAX(0, u->beta + length * step[BETA]),
            .gamma = u->gamma + length * step[GAMMA],
        };
        if (tried.gamma > 0 && squares(&tried, points, count) < before) {
            *u = tried;
            return true;
        }
    }
    return false;
}

static uint32_t count_different(const struct usl_point *points, uint32_t count)
{
    uint32_t different = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = points[k].n == points[i].n;
        different += !seen;
    }
    return different;
}

static double explained(const struct usl *u, const struct usl_point *points, uint32_t count)
{
    double sum = 0, around = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += points[i].throughput;
    double mean = sum / count;
    for (uint32_t i = 0; i < count; i++)
        around += (points[i].throughput - mean) * (points[i].throughput - mean);
    return around > 0 ? 1 - squares(u, points, count) / around : 1;
}

int usl_fit(const struct usl_point *points, uint32_t count, struct usl *ret, double *ret_r2)
{
    struct usl u;
    for (uint32_t i = 0; i < count; i++)
        if (!(points[i].n > 0 && points[i].throughput > 0 && isfinite(points[i].n) &&
              isfinite(points[i].throughput)))
            return -EINVAL;
    if (count_different(points, count) < UNKNOWNS)
        return -ENODATA;
    int rc = fit_linear(points, count, &u);
    if (rc < 0)
        return rc;
    for (int round = 0; round < ROUNDS_MAX && improve(&u, points, count); round++)
        ;
    *ret = u;
    *ret_r2 = explained(&u, points, count);
    return 0;
}
