/* AWS EC2 Auto Scaling, target tracking on CPU 70 %: points of a minute; out when 3 in a row are
 * above the target, in when 15 in a row are under 90 % of it and nothing warms up. Out rounds up,
 * in removes whole instances only. Sources: as-scaling-target-tracking.md; the alarms' numbers are
 * those of the alarms it makes (until they became self-tuning in 2024). */
#include <math.h>

#include "base/us.h"
#include "sim/peers/aws.h"

#define TARGET 0.7
#define TARGET_LOW 0.63 /* 90 % of it */
#define POINTS_OUT 3
#define POINTS_IN 15

static void *target_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct aws), s);
}

static void evaluate(struct aws *a, const struct policy_view *v)
{
    double busy = aws_busy(a);
    a->points_high = busy > TARGET ? a->points_high + 1 : 0;
    a->points_low = busy < TARGET_LOW ? a->points_low + 1 : 0;
    int32_t warm = aws_warm(v), percent = (int32_t)floor(busy * 100 + 0.5);
    double need = ceil(warm * busy / TARGET);
    if (a->points_high >= POINTS_OUT && need > a->p.desired)
        peer_want(&a->p, need, "cpu %d%% (target 70%%), %d points above", percent, a->points_high);
    if (a->points_low >= POINTS_IN && warm == a->p.desired && need < a->p.desired)
        peer_want(&a->p, need, "cpu %d%% (target 70%%), %d points below", percent, a->points_low);
}

static void target_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct aws *a = self;
    peer_mean_add(&a->busy, v, v->utilisation);
    if (peer_due(v, AWS_PERIOD_US))
        evaluate(a, v);
    peer_order(&a->p, fleet);
}

const struct policy_ops policy_aws_target = {
    .name = "aws_target",
    .help = "AWS target tracking on CPU 70 %, 1-min points, alarms 3 out and 15 in, warm-up 300 s",
    .open = target_open,
    .step = target_step,
    PEER_OPS,
};
