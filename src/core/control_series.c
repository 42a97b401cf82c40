/* What is measured: rings for the metrics that rules look at, and what samples, the doorbell and
 * store's history bring into them. Decides nothing. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

/* -- rings --------------------------------------------------------------------------------------
 */

static_assert(METRIC_MAX <= 32, "a set of metrics is a word");

uint32_t control_metrics_of(const struct service_conf *conf)
{
    uint32_t set = BIT(METRIC_CONCURRENCY);
    for (uint32_t n = 0; n < conf->rule_count; n++) {
        const struct rule_conf *r = &conf->rules[n];
        const struct rule_ops *ops = rule_ops(r->kind);
        enum metric m = METRIC_MAX;
        for (uint32_t k = 0; ops->metric && (m = ops->metric(r, k)) < METRIC_MAX; k++)
            set |= BIT(m);
    }
    return set;
}

static void free_ring(struct control *c, struct control_service *s, unsigned m)
{
    if (s->ring[m] == 0)
        return;
    uint32_t n = s->ring[m] - 1;
    c->ring_used[n] = false;
    c->ring_free = MIN(c->ring_free, n);
    s->ring[m] = 0;
    series_init(&s->series[m], NULL, 0, 0);
}

static int64_t stale_us_of(const struct service_conf *conf, unsigned m)
{
    bool custom = m >= METRIC_CUSTOM && m - METRIC_CUSTOM < conf->metric_count;
    int64_t us = custom ? conf->metrics[m - METRIC_CUSTOM].stale_us : 0;
    return us > 0 ? MIN(us, US_PER_DAY) : SERIES_STALE_US;
}

static void take_ring(struct control *c, struct control_service *s, unsigned m)
{
    uint32_t n = c->ring_free;
    while (n < c->ring_count && c->ring_used[n])
        n++;
    c->ring_free = n;
    if (n == c->ring_count)
        return;
    c->ring_used[n] = true;
    s->ring[m] = n + 1;
    series_init(&s->series[m], c->points + (size_t)n * c->caps.points, c->caps.points, 0);
    series_use_blocks(&s->series[m], c->blocks + (size_t)n * SERIES_BLOCKS(c->caps.points));
}

void control_free_series(struct control *c, struct control_service *s)
{
    for (unsigned m = 0; m < METRIC_MAX; m++)
        free_ring(c, s, m);
    s->metrics = 0;
}

void control_drop_series(struct control *c, struct control_service *s)
{
    uint32_t wanted = control_metrics_of(s->conf);
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        if (!(wanted & BIT(m)))
            free_ring(c, s, m);
    }
}

void control_fit_series(struct control *c, struct control_service *s)
{
    uint32_t wanted = control_metrics_of(s->conf);
    control_drop_series(c, s);
    s->metrics = 0;
    s->stale_us = SERIES_STALE_US;
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        if (wanted & BIT(m) && s->ring[m] == 0)
            take_ring(c, s, m);
        if (s->ring[m] == 0)
            continue;
        s->metrics |= BIT(m);
        series_set_stale(&s->series[m], stale_us_of(s->conf, m));
        s->stale_us = MAX(s->stale_us, series_stale_us(&s->series[m]));
    }
}

/* -- samples ------------------------------------------------------------------------------------
 */

/* Every metric counts something, so that a negative one is a fault of its source. */
static bool is_value(const struct sample *x)
{
    return x->value >= 0 && x->value < INFINITY;
}

/* What the samples of one event say of the service, each looked at once. */
struct gathered {
    uint32_t known; /* metrics that have a value, as bits */
    uint32_t means; /* those of which ready instances have one */
    uint32_t bad;   /* of which there is something that is none */
    double value[METRIC_MAX];
    double sum[METRIC_MAX];
    uint32_t count[METRIC_MAX];
};

/* Numbers mostly come in the order of the slots. */
static struct instance *find_near(const struct control_service *s, uint32_t number, uint32_t *near)
{
    for (uint32_t n = 0; n < s->instance_count; n++) {
        uint32_t at = *near + n;
        at = at < s->instance_count ? at : at - s->instance_count;
        struct instance *i = &s->instances[at];
        if (i->number != number || i->state == INSTANCE_GONE)
            continue;
        *near = at + 1 < s->instance_count ? at + 1 : 0;
        return i;
    }
    return NULL;
}

static void take_instance(struct control *c, struct instance *i, const struct sample *x,
                          struct gathered *g)
{
    const struct metric_info *info = metric_info(x->metric);
    if (!i || !info)
        return;
    i->sample[x->metric] = x->value;
    i->sample_us[x->metric] = c->now_us;
    if (i->state != INSTANCE_READY || info->nature != METRIC_UTILISATION || !info->per_instance)
        return;
    bool first = !(g->means & BIT(x->metric));
    g->sum[x->metric] = first ? x->value : g->sum[x->metric] + x->value;
    g->count[x->metric] = first ? 1 : g->count[x->metric] + 1;
    g->means |= BIT(x->metric);
}

static void gather(struct control *c, struct control_service *s, const struct event *e,
                   struct gathered *g)
{
    uint32_t near = 0;
    g->known = g->means = g->bad = 0;
    for (uint32_t n = 0; n < e->sample_count; n++) {
        const struct sample *x = &e->samples[n];
        if ((unsigned)x->metric >= METRIC_MAX)
            continue;
        if (!is_value(x)) {
            g->bad |= BIT(x->metric);
        } else if (x->number != 0) {
            take_instance(c, find_near(s, x->number, &near), x, g);
        } else if (!(g->known & BIT(x->metric))) {
            g->known |= BIT(x->metric);
            g->value[x->metric] = x->value;
        }
    }
    /* Of a mean that nobody has made, the one over ready instances. */
    for (uint32_t left = g->means & ~g->known; left != 0; left &= left - 1) {
        unsigned m = (unsigned)__builtin_ctz(left);
        g->value[m] = g->sum[m] / g->count[m];
    }
    g->known |= g->means;
}

static int64_t demand_of(const struct gathered *g, enum metric m)
{
    if (!(g->known & BIT(m)) || g->value[m] > INT32_MAX)
        return -1;
    return (int64_t)ceil(g->value[m]);
}

/* As long as what is known changes or grows stale, each tick decides. */
static void keep_fresh(struct control *c, const struct control_service *s)
{
    c->wakes[s->slot].fresh_until_us = us_add(c->now_us, s->stale_us + 2 * US_PER_S);
}

int control_on_samples(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s)
        return -EINVAL;
    struct gathered g;
    gather(c, s, e, &g);
    for (uint32_t left = s->metrics & g.known; left != 0; left &= left - 1) {
        unsigned m = (unsigned)__builtin_ctz(left);
        series_put(&s->series[m], c->now_us, g.value[m]);
    }
    uint32_t gaps = (BIT(METRIC_CUSTOM) - 1) | g.bad;
    for (uint32_t left = s->metrics & ~g.known & gaps; left != 0; left &= left - 1)
        series_gap(&s->series[__builtin_ctz(left)], c->now_us);
    int64_t concurrency = demand_of(&g, METRIC_CONCURRENCY);
    s->demand.queued = demand_of(&g, METRIC_QUEUE);
    s->demand.in_flight = concurrency < 0 ? -1 : MAX(0, concurrency - MAX(s->demand.queued, 0));
    s->demand.connections = demand_of(&g, METRIC_CONNECTIONS);
    s->demand_seen = s->demand_seen || concurrency >= 0;
    keep_fresh(c, s);
    return 0;
}

int control_on_doorbell(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    if (!s)
        return -EINVAL;
    s->demand.in_flight = MIN(e->in_flight, (uint32_t)INT32_MAX);
    s->demand.queued = MIN(e->queued, (uint32_t)INT32_MAX);
    s->demand_seen = true;
    if (s->ring[METRIC_CONCURRENCY] != 0)
        series_put(&s->series[METRIC_CONCURRENCY], c->now_us,
                   (double)s->demand.in_flight + (double)s->demand.queued);
    if (s->ring[METRIC_QUEUE] != 0)
        series_put(&s->series[METRIC_QUEUE], c->now_us, (double)s->demand.queued);
    keep_fresh(c, s);
    control_mark_due(s, EVENT_DOORBELL);
    return 0;
}

/* -- history ------------------------------------------------------------------------------------
 */

static bool looks_at(const struct rule_conf *r, enum metric m)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    enum metric one = METRIC_MAX;
    for (uint32_t k = 0; ops->metric && (one = ops->metric(r, k)) < METRIC_MAX; k++) {
        if (one == m)
            return true;
    }
    return false;
}

int control_on_history(struct control *c, const struct event *e)
{
    struct control_service *s = control_service(c, e->service);
    const struct history *h = e->history;
    if (!s || !h || (unsigned)h->metric >= METRIC_MAX || h->step_us <= 0 ||
        (h->count > 0 && !h->values))
        return -EINVAL;
    for (uint32_t n = 0; n < s->conf->rule_count; n++) {
        const struct rule_conf *r = &s->conf->rules[n];
        const struct rule_ops *ops = rule_ops(r->kind);
        if (ops->learn && looks_at(r, h->metric))
            ops->learn(r, &s->rule_states[n], h, c->wall_us);
    }
    return 0;
}
