/* What both of Amazon's ways of scaling share. */
#include "sim/peers/aws.h"

#include <math.h>

#include "base/us.h"

double aws_busy(struct aws *a)
{
    return floor(peer_mean_take(&a->busy) * 1e9 + 0.5) / 1e9;
}

int32_t aws_warm(const struct policy_view *v)
{
    int32_t warm = 0;
    for (uint32_t n = 0; n < v->fleet->count; n++) {
        const struct fleet_instance *i = &v->fleet->items[n];
        bool over = us_sub(v->now_us, i->ordered_us) >= AWS_WARMUP_US ||
                    i->ordered_us < 0; /* there from the begin */
        warm += i->ready && !i->draining && over;
    }
    return warm;
}
