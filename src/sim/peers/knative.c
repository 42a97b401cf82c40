/* Knative's KPA with its defaults: every 2 s, concurrency (in flight + queued) over 60 s, and over
 * 6 s when those alone need twice the pods there are; aim 70 % of what a pod can do at a time; no
 * scale to zero. Source: knative/serving, pkg/autoscaler/scaling/autoscaler.go. */
#include <math.h>

#include "base/fmt.h"
#include "base/us.h"
#include "sim/peers/peer.h"

#define TICK_US (2 * US_PER_S)
#define STABLE_S 60
#define PANIC_S 6
#define UTILIZATION 0.7
#define PANIC_THRESHOLD 2.0
#define RATE_UP 1000.0
#define RATE_DOWN 2.0

struct knative {
    struct peer p;
    struct peer_window stable, panic;
    int64_t panic_us; /* US_NEVER = calm */
    int32_t panic_pods;
};

/* With more than one pod at the begin nobody knows what came before: it begins in panic. */
static void *knative_open(const struct policy_setup *s)
{
    struct knative *k = peer_open(sizeof(*k), s);
    if (!k)
        return NULL;
    k->stable.size = STABLE_S;
    k->panic.size = PANIC_S;
    k->panic_us = s->initial > 1 ? 0 : US_NEVER;
    k->panic_pods = s->initial > 1 ? s->initial : 0;
    return k;
}

static void note_panic(struct knative *k, int64_t now_us, bool over)
{
    if (over) {
        k->panic_us = now_us;
    } else if (k->panic_us != US_NEVER && k->panic_us + STABLE_S * US_PER_S < now_us) {
        k->panic_us = US_NEVER;
        k->panic_pods = 0;
    }
}

static void tick(struct knative *k, const struct policy_view *v)
{
    double target = k->p.setup.slots * UTILIZATION;
    double ready = MAX(v->fleet->ready, 1);
    double stable = peer_window_mean(&k->stable), panic = peer_window_mean(&k->panic);
    double want_stable = ceil(stable / target), want_panic = ceil(panic / target);
    note_panic(k, v->now_us, want_panic / ready >= PANIC_THRESHOLD);
    double most = ceil(RATE_UP * ready), least = floor(ready / RATE_DOWN);
    double want = CLAMP(want_stable, least, most);
    if (k->panic_us != US_NEVER) {
        want = MAX(want, CLAMP(want_panic, least, most));
        k->panic_pods = MAX(k->panic_pods, (int32_t)want);
        want = k->panic_pods;
    }
    if ((int32_t)MAX(want, 1) == k->p.desired)
        return;
    char a[32], b[32];
    fmt_double(a, sizeof(a), stable, 1);
    fmt_double(b, sizeof(b), panic, 1);
    peer_want(&k->p, want, "concurrency %s over 60s, %s over 6s%s", a, b,
              k->panic_us != US_NEVER ? ", panic" : "");
}

static void knative_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct knative *k = self;
    double concurrency = v->in_flight + v->queued;
    peer_window_put(&k->stable, concurrency);
    peer_window_put(&k->panic, concurrency);
    if (peer_due(v, TICK_US))
        tick(k, v);
    peer_order(&k->p, fleet);
}

const struct policy_ops policy_knative = {
    .name = "knative",
    .help = "Knative KPA, 70 % of an instance's slots, stable window 60 s, panic window 6 s",
    .open = knative_open,
    .step = knative_step,
    PEER_OPS,
};
