/* Reg: up to the need at once; down along a parabola through the last 72 minutes. Source: Iqbal et
 * al., "Adaptive resource provisioning for read intensive multi-tier applications in the cloud",
 * Future Generation Computer Systems 27(6), 2011, and the code of a comparison by others; that
 * releases everything when the parabola lies above the count, which is mended here. */
#include "core/hpa.h"
#include "sim/peers/research.h"

#define HISTORY 72

struct reg {
    struct research r;
    struct peer_window loads;
};

static void *reg_open(const struct policy_setup *s)
{
    struct reg *g = peer_open(sizeof(*g), s);
    if (g)
        g->loads.size = HISTORY;
    return g;
}

/* y(0) of the least-squares parabola through the loads at x = 0, -1, -2, ... in units of the whole
 * history, by Cramer's rule on the normal equations. */
static double parabola(const struct peer_window *w)
{
    double s[5] = { 0 }, b[3] = { 0 };
    for (uint32_t n = 0; n < w->count; n++) {
        double x = -(double)n / HISTORY, y = peer_window_get(w, n);
        s[0] += 1;
        s[1] += x;
        s[2] += x * x;
        s[3] += x * x * x;
        s[4] += x * x * x * x;
        b[0] += y;
        b[1] += x * y;
        b[2] += x * x * y;
    }
    double m0 = s[2] * s[4] - s[3] * s[3], m1 = s[1] * s[4] - s[2] * s[3];
    double m2 = s[1] * s[3] - s[2] * s[2];
    double det = s[0] * m0 - s[1] * m1 + s[2] * m2;
    if (fabs(det) < 1e-12)
        return peer_window_get(w, 0);
    return (b[0] * m0 - b[1] * m1 + b[2] * m2) / det;
}

static void control(struct reg *g, double load)
{
    double need = ceil(load);
    peer_window_put(&g->loads, need);
    if (g->r.p.desired <= need) {
        peer_want(&g->r.p, need, "load of %d servers", (int)need);
        return;
    }
    double future = ceil(parabola(&g->loads));
    peer_want(&g->r.p, MIN(future, g->r.p.desired), "the last 72 minutes lead to %d",
              hpa_ceil(future));
}

static void reg_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct reg *g = self;
    double load;
    if (research_due(&g->r, v, &load))
        control(g, load);
    peer_order(&g->r.p, fleet);
}

const struct policy_ops policy_reg = {
    .name = "reg",
    .help = "Iqbal et al. 2011: up to the need, down along a parabola of 72 minutes",
    .open = reg_open,
    .step = reg_step,
    PEER_OPS,
};
