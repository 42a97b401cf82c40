/* The Universal Scalability Law: what N instances together carry when they wait for each other
 * (alpha, contention) and for each other's data (beta, coherence):
 *   X(N) = gamma N / (1 + alpha (N - 1) + beta N (N - 1))
 * Gunther, "Guerrilla Capacity Planning", 2007. */
#pragma once

#include <stdint.h>

struct usl {
    double alpha, beta; /* >= 0 */
    double gamma;       /* what one alone carries, per second; > 0 */
};

struct usl_point {
    double n;          /* instances (or users), > 0 */
    double throughput; /* measured, > 0 */
};

double usl_throughput(const struct usl *u, double n);
/* The N beyond which more instances carry less: sqrt((1 - alpha) / beta). Infinite without
 * coherence delay; 1 when alpha is 1 or more. */
double usl_peak(const struct usl *u);
/* By how much longer a request takes with N than alone: the law's denominator. */
double usl_stretch(const struct usl *u, double n);

/* Least squares of the throughput: N / X is linear in three coefficients, which gives the start,
 * and Gauss and Newton's method goes on from there. alpha and beta are held at 0 or more. The share
 * of the points' variance that the law explains is `ret_r2`. -EINVAL: a point is not positive and
 * finite; -ENODATA: fewer than three different N. */
int usl_fit(const struct usl_point *points, uint32_t count, struct usl *ret, double *ret_r2);
