/* Kubernetes' Horizontal Pod Autoscaler v2 with its defaults: every 15 s, CPU 70 %, tolerance 0.1,
 * scale-in to the most that was recommended within 300 s, scale-out by 4 or 100 % in 15 s, whatever
 * is more. The arithmetic is core/hpa.c's. Source: Kubernetes, pkg/controller/podautoscaler
 * (replica_calculator.go, horizontal.go) and pkg/apis/autoscaling/v2/defaults.go. */
#include "core/hpa.h"
#include "base/us.h"
#include "sim/peers/peer.h"

#define SYNC_US (15 * US_PER_S)
#define STABILIZE_SYNCS 20 /* those less than 300 s old, this one included */
#define TARGET_PERCENT 70
#define REQUEST 1000

struct hpa_peer {
    struct peer p;
    struct peer_mean busy;
    struct peer_window recommended;
};

static const struct hpa_conf conf = {
    .tolerance_up = 0.1,
    .tolerance_down = 0.1,
    .cpu = true,
    .init_us = 300 * US_PER_S,
    .readiness_delay_us = 30 * US_PER_S,
};

static void *hpa_open(const struct policy_setup *s)
{
    struct hpa_peer *h = peer_open(sizeof(*h), s);
    if (!h)
        return NULL;
    h->recommended.size = STABILIZE_SYNCS;
    peer_window_put(&h->recommended, s->initial);
    return h;
}

/* A pod whose metric window began before it was ready counts as unready, as one that starts does.
 */
static struct hpa_sum sum_pods(const struct policy_view *v, double busy)
{
    struct hpa_sum sum = { .any_value = true };
    const struct fleet *f = v->fleet;
    for (uint32_t n = 0; n < f->count; n++) {
        const struct fleet_instance *i = &f->items[n];
        bool counts = i->ready && us_sub(v->now_us, i->ready_us) >= SYNC_US;
        if (i->draining)
            continue;
        if (counts) {
            sum.ready++;
            sum.value += (int64_t)(busy * REQUEST);
            sum.request += REQUEST;
        } else {
            sum.unready++;
            sum.unready_request += REQUEST;
        }
    }
    return sum;
}

static double highest(const struct peer_window *w)
{
    double most = 0;
    for (uint32_t n = 0; n < w->count; n++)
        most = MAX(most, w->values[n]);
    return most;
}

static void sync(struct hpa_peer *h, const struct policy_view *v)
{
    struct hpa_result r;
    double busy = peer_mean_take(&h->busy);
    struct hpa_sum sum = sum_pods(v, busy);
    int32_t current = h->p.desired;
    if (hpa_utilisation(&sum, current, TARGET_PERCENT, &conf, &r) < 0)
        return;
    peer_window_put(&h->recommended, r.replicas);
    double stable = highest(&h->recommended);
    if (r.replicas >= current)
        stable = r.replicas;
    else
        stable = MIN(stable, current);
    double most = MAX(current + 4, 2 * current);
    peer_want(&h->p, MIN(stable, most), "cpu %d%% of %lld pods (target %d%%): %d", r.utilisation,
              (long long)sum.ready, TARGET_PERCENT, r.replicas);
}

static void hpa_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct hpa_peer *h = self;
    peer_mean_add(&h->busy, v, v->utilisation);
    if (peer_due(v, SYNC_US))
        sync(h, v);
    peer_order(&h->p, fleet);
}

const struct policy_ops policy_hpa = {
    .name = "hpa",
    .help = "Kubernetes HPA v2, CPU 70 %, its default behavior (every 15 s, scale-in after 300 s)",
    .open = hpa_open,
    .step = hpa_step,
    PEER_OPS,
};
