/* Nomad Autoscaler's target-value strategy: every 10 s, CPU 70 %, dead band 0.01, and 5 min of
 * cooldown after every action. Source: hashicorp/nomad-autoscaler,
 * plugins/builtin/strategy/target-value and policy/handler.go. */
#include <math.h>

#include "base/us.h"
#include "sim/peers/peer.h"

#define EVALUATE_US (10 * US_PER_S)
#define COOLDOWN_US (300 * US_PER_S)
#define TARGET 0.7
#define DEAD_BAND 0.01

struct nomad {
    struct peer p;
    struct peer_mean busy;
    int64_t cool_us; /* no action before */
};

static void *nomad_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct nomad), s);
}

static void evaluate(struct nomad *x, const struct policy_view *v)
{
    double factor = peer_mean_take(&x->busy) / TARGET;
    if (v->now_us < x->cool_us || fabs(factor - 1) <= DEAD_BAND)
        return;
    int32_t before = x->p.desired;
    peer_want(&x->p, ceil(before * factor), "cpu %d%% (target 70%%)",
              (int)floor(factor * TARGET * 100 + 0.5));
    if (x->p.desired != before)
        x->cool_us = v->now_us + COOLDOWN_US;
}

static void nomad_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct nomad *x = self;
    peer_mean_add(&x->busy, v, v->utilisation);
    if (peer_due(v, EVALUATE_US))
        evaluate(x, v);
    peer_order(&x->p, fleet);
}

const struct policy_ops policy_nomad = {
    .name = "nomad",
    .help = "Nomad Autoscaler, target-value on CPU 70 %, every 10 s, cooldown 5 min",
    .open = nomad_open,
    .step = nomad_step,
    PEER_OPS,
};
