/* Google Autopilot's moving window, horizontally: the need in instances as a histogram of 400
 * buckets of 1-s samples for each 5 min, weighted with a half-life of 12 h; the 95th percentile of
 * the load-adjusted histogram, plus a margin of 15 %; the most of the last hour counts, and in goes
 * only a tenth at a time. Source: Rzadca et al., "Autopilot: workload autoscaling at Google",
 * EuroSys 2020. The horizontal details are not published in full; these are this file's. */
#include <math.h>

#include "base/us.h"
#include "sim/peers/peer.h"

#define PERIOD_US (300 * US_PER_S)
#define HOUR_PERIODS 12
#define BUCKETS 400
#define BUCKETS_PER_INSTANCE 4 /* 100 instances; what is above counts as the last bucket */
#define DECAY 0.995196         /* of 5 min at a half-life of 12 h: 2^(-1/144) */
#define PERCENTILE 0.95
#define MARGIN 1.15
#define SHRINK 0.9

struct autopilot {
    struct peer p;
    double fresh[BUCKETS], weight[BUCKETS];
    double each; /* instances of a bucket */
    struct peer_window signals;
};

/* The load is not known beforehand, so the buckets' width follows from what it begins with. */
static void *autopilot_open(const struct policy_setup *s)
{
    struct autopilot *a = peer_open(sizeof(*a), s);
    if (!a)
        return NULL;
    a->each = MAX(1.0, s->initial / 25.0) / BUCKETS_PER_INSTANCE;
    a->signals.size = HOUR_PERIODS;
    return a;
}

/* Load-adjusted: a bucket weighs as much as the load that fell into it. The end of the bucket at
 * which the share is reached. */
static double percentile(const struct autopilot *a)
{
    double total = 0, sum = 0;
    for (uint32_t n = 0; n < BUCKETS; n++)
        total += a->weight[n] * (n + 1);
    for (uint32_t n = 0; n < BUCKETS; n++) {
        sum += a->weight[n] * (n + 1);
        if (sum >= PERCENTILE * total)
            return (n + 1) * a->each;
    }
    return BUCKETS * a->each;
}

static void recommend(struct autopilot *a)
{
    for (uint32_t n = 0; n < BUCKETS; n++) {
        a->weight[n] = a->weight[n] * DECAY + a->fresh[n];
        a->fresh[n] = 0;
    }
    peer_window_put(&a->signals, percentile(a));
    double signal = 0;
    for (uint32_t n = 0; n < a->signals.count; n++)
        signal = MAX(signal, a->signals.values[n]);
    double want = MAX(ceil(signal * MARGIN), floor(a->p.desired * SHRINK));
    peer_want(&a->p, want, "95th percentile of the need: %d hundredths of an instance, + 15%%",
              (int)floor(signal * 100 + 0.5));
}

static void autopilot_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct autopilot *a = self;
    double need = v->arrivals / a->p.setup.capacity / a->each;
    a->fresh[(uint32_t)CLAMP(need, 0, BUCKETS - 1)]++;
    if (peer_due(v, PERIOD_US))
        recommend(a);
    peer_order(&a->p, fleet);
}

const struct policy_ops policy_autopilot = {
    .name = "autopilot",
    .help = "Google Autopilot's moving window: 95th percentile, half-life 12 h, margin 15 %",
    .open = autopilot_open,
    .step = autopilot_step,
    PEER_OPS,
};
