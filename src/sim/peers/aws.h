/* What both of Amazon's ways of scaling share: one-minute points, alarms, warm-up. */
#pragma once

#include "sim/peers/peer.h"

#define AWS_PERIOD_US (60 * INT64_C(1000000))
#define AWS_WARMUP_US (300 * INT64_C(1000000))

struct aws {
    struct peer p;
    struct peer_mean busy;
    int32_t points_high, points_low; /* in a row */
};

/* The last minute's CPU, without what adding up sixty numbers left behind: alarms compare it with
 * round ones. */
double aws_busy(struct aws *a);
/* Instances that are ready and over their warm-up; the others count in the desired count alone. */
int32_t aws_warm(const struct policy_view *v);
