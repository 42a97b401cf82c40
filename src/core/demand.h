/* The load of a service in instances: what it would take to carry what comes, with nothing to
 * spare. Of requests in flight that is concurrency / value while all are served; once they queue it
 * no longer says how many come, and arrivals against answers do. */
#pragma once

#include "core/rule.h"

struct demand {
    double load;    /* in instances; what comes */
    double backlog; /* further ones, that what waits is gone in as long as a start takes */
    double value;   /* the metric as it was measured */
};

/* Of a metric of which an instance carries `value`. 0 or -ENODATA: it is not known. */
int demand_now(const struct rule_metric *m, double value, const struct rule_context *ctx,
               struct demand *ret);
/* The metrics that it looks at, as rule_ops.metric. */
enum metric demand_metric(const struct rule_metric *m, uint32_t n);
