/* Reads and evaluates load curves. */
#include "curve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX ((size_t)1 << 20)

static int add(struct curve *c, double t_s, double rps)
{
    if (c->count == POINTS_MAX)
        return -E2BIG;
    if ((c->count & (c->count - 1)) == 0) { /* a power of two is full */
        size_t cap = c->count ? c->count * 2 : 1;
        void *grown = realloc(c->points, cap * sizeof(*c->points));
        if (!grown)
            return -ENOMEM;
        c->points = grown;
    }
    c->points[c->count++] = (struct curve_point){ t_s, rps };
    return 0;
}

static int read_points(FILE *f, struct curve *c)
{
    char line[4096];
    while (fgets(line, sizeof(line), f)) {
        double t_s, rps;
        if (line[0] == '#' || sscanf(line, "%lf,%lf", &t_s, &rps) != 2)
            continue;
        if (rps < 0 || (c->count > 0 && t_s <= c->points[c->count - 1].t_s))
            return -EINVAL;
        int rc = add(c, t_s, rps);
        if (rc < 0)
            return rc;
    }
    return c->count >= 2 ? 0 : -EINVAL;
}

int curve_read(const char *path, struct curve *ret)
{
    struct curve c = { 0 };
    FILE *f = fopen(path, "re");
    if (!f)
        return -errno;
    int rc = read_points(f, &c);
    fclose(f);
    if (rc < 0) {
        curve_done(&c);
        return rc;
    }
    double first_s = c.points[0].t_s,
           step_s = c.points[c.count - 1].t_s - c.points[c.count - 2].t_s;
    for (size_t i = 0; i < c.count; i++)
        c.points[i].t_s -= first_s;
    c.length_s = c.points[c.count - 1].t_s + step_s;
    *ret = c;
    return 0;
}

int curve_constant(double rps, double length_s, struct curve *ret)
{
    struct curve c = { .length_s = length_s };
    int rc = add(&c, 0, rps);
    if (rc == 0)
        *ret = c;
    return rc;
}

void curve_scale(struct curve *c, double length_s, double peak_rps)
{
    double time = length_s > 0 ? length_s / c->length_s : 1;
    double peak = curve_peak(c);
    double rate = peak_rps > 0 && peak > 0 ? peak_rps / peak : 1;
    for (size_t i = 0; i < c->count; i++) {
        c->points[i].t_s *= time;
        c->points[i].rps *= rate;
    }
    c->length_s *= time;
}

double curve_peak(const struct curve *c)
{
    double peak = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->points[i].rps > peak)
            peak = c->points[i].rps;
    return peak;
}

double curve_rate(const struct curve *c, double t_s)
{
    size_t low = 0, high = c->count;
    while (high - low > 1) { /* points[low] is at or before t */
        size_t middle = (low + high) / 2;
        if (c->points[middle].t_s <= t_s)
            low = middle;
        else
            high = middle;
    }
    const struct curve_point *a = &c->points[low], *b = a + 1;
    if (low + 1 == c->count || t_s <= a->t_s)
        return a->rps;
    return a->rps + (b->rps - a->rps) * (t_s - a->t_s) / (b->t_s - a->t_s);
}

void curve_done(struct curve *c)
{
    free(c->points);
    *c = (struct curve){ 0 };
}
