/* The chart. It must never leave out a candidate without saying so: what is off the scale stands at
 * its edge. */
#include "sim/tune/tune_chart.h"

#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/math.h"
#include "base/util.h"

#define COLUMNS 60
#define ROWS 15
#define DECADES_MAX 6 /* less than 0.0001 % stands on the lowest line */

struct chart {
    char cell[ROWS][COLUMNS];
    double low, high; /* instance-hours */
    double top;       /* decades below everything: 0 = all violate */
    double bottom;
};

static double decades(double violations)
{
    return violations > 0 ? -math_log(violations) / math_log(10) : DECADES_MAX;
}

static int row_of(const struct chart *c, double violations)
{
    double place = (decades(violations) - c->top) / (c->bottom - c->top);
    return (int)CLAMP(floor(place * (ROWS - 1) + 0.5), 0, ROWS - 1);
}

static int column_of(const struct chart *c, double hours)
{
    double place = c->high > c->low ? (hours - c->low) / (c->high - c->low) : 0.5;
    return (int)CLAMP(floor(place * (COLUMNS - 1) + 0.5), 0, COLUMNS - 1);
}

/* Wide enough for the front and what was given; whole decades. */
static void choose_scale(struct chart *c, const struct tune_result *r, double allowed)
{
    double deepest = decades(allowed) + 1, highest = decades(allowed) - 1;
    c->low = (double)INFINITY;
    c->high = 0;
    for (uint32_t n = 0; n < r->count; n++) {
        const struct tune_candidate *x = &r->candidates[n];
        if (!x->front && !x->base)
            continue;
        c->low = MIN(c->low, x->train.instance_hours);
        c->high = MAX(c->high, x->train.instance_hours);
        deepest = MAX(deepest, decades(x->train.violations));
        highest = MIN(highest, decades(x->train.violations));
    }
    c->top = floor(MAX(highest, 0));
    c->bottom = ceil(MIN(deepest, DECADES_MAX));
}

static void mark(struct chart *c, const struct tune_candidate *x, char sign)
{
    c->cell[row_of(c, x->train.violations)][column_of(c, x->train.instance_hours)] = sign;
}

/* Later signs cover earlier ones. */
static void draw(struct chart *c, const struct tune_result *r, double allowed)
{
    memset(c->cell, ' ', sizeof(c->cell));
    memset(c->cell[row_of(c, allowed)], '-', COLUMNS);
    for (uint32_t n = r->front_count; n < r->count; n++)
        mark(c, &r->candidates[n], '.');
    for (uint32_t n = 0; n < r->front_count; n++)
        mark(c, &r->candidates[n], 'o');
    for (uint32_t n = 0; n < r->count; n++) {
        if (r->candidates[n].base)
            mark(c, &r->candidates[n], 'B');
    }
    if (r->best >= 0)
        mark(c, &r->candidates[r->best], '@');
}

static void put_label(const struct chart *c, int row, double allowed, struct str *out)
{
    char text[32];
    double depth = c->top + (c->bottom - c->top) * row / (ROWS - 1);
    bool lowest = row == ROWS - 1 && c->bottom >= DECADES_MAX;
    double value = row == row_of(c, allowed) ? allowed : math_pow(10, -depth);
    fmt_double(text, sizeof(text), 100 * value, value >= 0.01 ? 1 : 4);
    str_putf(out, "%s%9s%% |", lowest ? "<" : " ", text);
}

void tune_chart_write(const struct tune_result *r, double allowed, struct str *out)
{
    struct chart c;
    char low[32], high[32];
    choose_scale(&c, r, allowed);
    draw(&c, r, allowed);
    for (int row = 0; row < ROWS; row++) {
        if (row % 2 == 0 || row == row_of(&c, allowed))
            put_label(&c, row, allowed, out);
        else
            str_putf(out, "%11s |", "");
        str_put_n(out, c.cell[row], COLUMNS);
        str_put_char(out, '\n');
    }
    fmt_double(low, sizeof(low), c.low, 1);
    fmt_double(high, sizeof(high), c.high, 1);
    str_putf(out, "%11s +", "");
    for (int n = 0; n < COLUMNS; n++)
        str_put_char(out, '-');
    str_putf(out, "\n%13s%s%*s instance-hours\n", "", low, (int)(COLUMNS - strlen(low)), high);
    str_put(out, "             @ best  o nothing is better in both  . others  B as given\n");
}
