/* AWS EC2 Auto Scaling, step scaling with the manual's example: from 60 % CPU on +0, +10 and +30 %
 * at 0, 10 and 20 over it; from 40 % down -0, -10 and -30 %. Points of a minute, two in a row;
 * warming instances count as added already. Source: as-scaling-simple-step.md. */
#include <math.h>

#include "base/us.h"
#include "sim/peers/aws.h"

#define HIGH 0.60
#define LOW 0.40
#define POINTS 2

/* Above the threshold the lower bound is inclusive, under it the upper one. */
static double adjustment(double busy)
{
    if (busy >= HIGH)
        return busy >= 0.80 ? 0.30 : busy >= 0.70 ? 0.10 : 0;
    if (busy <= LOW)
        return busy <= 0.20 ? -0.30 : busy <= 0.30 ? -0.10 : 0;
    return 0;
}

/* More than one: towards 0; less than one: one. */
static double change(double count, double ratio)
{
    double x = count * ratio;
    if (x == 0)
        return 0;
    return fabs(x) < 1 ? (x > 0 ? 1 : -1) : trunc(x);
}

static void *step_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct aws), s);
}

static void evaluate(struct aws *a, const struct policy_view *v)
{
    double busy = aws_busy(a);
    a->points_high = busy >= HIGH ? a->points_high + 1 : 0;
    a->points_low = busy <= LOW ? a->points_low + 1 : 0;
    if (a->points_high < POINTS && a->points_low < POINTS)
        return;
    int32_t warm = aws_warm(v), percent = (int32_t)floor(busy * 100 + 0.5);
    double ratio = adjustment(busy), want = warm + change(warm, ratio);
    bool out = ratio > 0 && want > a->p.desired;
    bool in = ratio < 0 && warm == a->p.desired; /* not while something warms up */
    if (out || in)
        peer_want(&a->p, want, "cpu %d%%: %s %d%%", percent, ratio > 0 ? "add" : "remove",
                  (int)floor(fabs(ratio) * 100 + 0.5));
}

static void step_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct aws *a = self;
    peer_mean_add(&a->busy, v, v->utilisation);
    if (peer_due(v, AWS_PERIOD_US))
        evaluate(a, v);
    peer_order(&a->p, fleet);
}

const struct policy_ops policy_aws_step = {
    .name = "aws_step",
    .help = "AWS step scaling, the manual's example (60 %: +10, +30 %; 40 %: -10, -30 %)",
    .open = step_open,
    .step = step_step,
    PEER_OPS,
};
