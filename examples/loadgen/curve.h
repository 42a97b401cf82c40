/* How much load, when: a recorded curve, compressed in time and scaled to a peak, or a constant. */
#pragma once

#include <stddef.h>

struct curve_point {
    double t_s, rps;
};

struct curve {
    struct curve_point *points;
    size_t count;
    double length_s;
};

/* `t_seconds,rps` lines; lines that begin with '#' and the heading are skipped. The last point
 * lasts as long as the one before. 0 or -errno. */
int curve_read(const char *path, struct curve *ret);
/* One rate for the whole length. */
int curve_constant(double rps, double length_s, struct curve *ret);
/* 0 leaves the length, or the peak, as it is. */
void curve_scale(struct curve *c, double length_s, double peak_rps);
double curve_peak(const struct curve *c);
/* Between two points the rate follows the line. */
double curve_rate(const struct curve *c, double t_s);
void curve_done(struct curve *c);
