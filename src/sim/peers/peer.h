/* What peers have in common: a count that they order, and means over windows. Every peer's own
 * struct begins with struct peer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "sim/policy.h"

struct peer {
    struct policy_setup setup;
    int32_t desired;
    char why[160];
};

/* A zeroed struct of so many bytes that begins with a struct peer. NULL = no memory. */
void *peer_open(size_t bytes, const struct policy_setup *s);
void peer_close(void *self);
int32_t peer_desired(const void *self);
const char *peer_why(const void *self);
/* Wants `count`, within min and max. The reason is kept when it is another count than before. */
void peer_want(struct peer *p, double count, const char *format, ...) _printf_(3, 4);
/* Orders what it wants; what has crashed or failed is replaced. */
void peer_order(const struct peer *p, struct fleet *fleet);
/* Is this step the end of a period, counted from the run's begin? */
static inline bool peer_due(const struct policy_view *v, int64_t period_us)
{
    return v->now_us % period_us < v->step_us;
}

/* A mean over time, since it was taken last. */
struct peer_mean {
    double sum, seconds;
};
static inline void peer_mean_add(struct peer_mean *m, const struct policy_view *v, double value)
{
    double dt_s = (double)v->step_us * 1e-6;
    m->sum += value * dt_s;
    m->seconds += dt_s;
}
static inline double peer_mean_take(struct peer_mean *m)
{
    double mean = m->seconds > 0 ? m->sum / m->seconds : 0;
    *m = (struct peer_mean){ 0 };
    return mean;
}

/* The last `size` values. */
#define PEER_WINDOW_MAX 256
struct peer_window {
    uint32_t size, count, next;
    double sum, values[PEER_WINDOW_MAX];
};
void peer_window_put(struct peer_window *w, double value);
double peer_window_mean(const struct peer_window *w); /* of those there are; 0 when none */
/* n = 0: the newest. n < count. */
double peer_window_get(const struct peer_window *w, uint32_t n);

#define PEER_OPS .desired = peer_desired, .why = peer_why, .close = peer_close

extern const struct policy_ops policy_hpa, policy_knative, policy_nomad, policy_aws_target,
    policy_aws_step, policy_uwsgi, policy_autopilot, policy_static_mean, policy_static_peak,
    policy_oracle, policy_react, policy_adapt, policy_hist, policy_reg, policy_conpaas;
