/* From what is measured to a load in instances. It must not remember anything. */
#include "core/demand.h"

#include <errno.h>
#include <math.h>

#include "base/us.h"
#include "base/util.h"
#include "core/series.h"

#define SURGE_MAX 10.0 /* arrivals may be so many times the answers and still be believed */
#define DRAIN_S_MIN 10.0
#define DRAIN_S_MAX 60.0

static bool newest(const struct rule_context *ctx, enum metric m, double *ret)
{
    return series_last(&ctx->series[m], ctx->now_us, ret);
}

/* Those in flight are all that can be; what comes beside them shows in arrivals against answers. By
 * Little's law the instances' time for a request is in flight / answered, both of one second. */
static void see_queue(double value, const struct rule_context *ctx, struct demand *d)
{
    double queued, arrivals, answered;
    if (!newest(ctx, METRIC_QUEUE, &queued) || queued <= 0 || queued >= d->value)
        return;
    if (!newest(ctx, METRIC_ARRIVALS, &arrivals) || !newest(ctx, METRIC_RPS, &answered) ||
        answered <= 0)
        return;
    double busy = (d->value - queued) / value; /* instances */
    double drain_s = CLAMP((double)ctx->start_us / US_PER_S, DRAIN_S_MIN, DRAIN_S_MAX);
    d->load = busy * CLAMP(arrivals / answered, 0, SURGE_MAX);
    d->backlog = queued * busy / answered / drain_s;
}

int demand_now(const struct rule_metric *m, double value, const struct rule_context *ctx,
               struct demand *ret)
{
    struct demand d = { 0 };
    int rc = rule_metric_value(m, ctx, &d.value);
    if (rc < 0)
        return rc;
    if (rule_metric_nature(ctx, m->metric) != METRIC_TOTAL && ctx->ready == 0)
        return -ENODATA;
    d.load = d.value / value;
    if (rule_metric_nature(ctx, m->metric) != METRIC_TOTAL)
        d.load *= ctx->ready;
    else if (rule_metric_is_now(m, METRIC_CONCURRENCY))
        see_queue(value, ctx, &d);
    *ret = d;
    return 0;
}

enum metric demand_metric(const struct rule_metric *m, uint32_t n)
{
    static const enum metric beside[] = { METRIC_QUEUE, METRIC_ARRIVALS, METRIC_RPS };
    if (n == 0)
        return m->metric;
    bool all = rule_metric_is_now(m, METRIC_CONCURRENCY) && n <= ARRAY_LEN(beside);
    return all ? beside[n - 1] : METRIC_MAX;
}
