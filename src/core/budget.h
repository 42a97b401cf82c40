/* A compute budget that services share: what it has spent, what it can still pay for, and who
 * yields when that is less than what all want. Money is in the configuration's one currency; a rate
 * is money an hour. Pure arithmetic on what is handed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"

enum budget_period { BUDGET_HOUR, BUDGET_DAY, BUDGET_MONTH, BUDGET_PERIOD_MAX };

/* One period as it is going: by wall time, in the budget's zone. */
struct budget_purse {
    int64_t begin_us, end_us; /* wall; begin <= now < end. Both 0 = not yet begun */
    double spent;
    bool tight; /* what is left pays for the minimum and no more; until the period ends */
};

struct budget_state {
    struct budget_purse purse[BUDGET_PERIOD_MAX];
};

/* `rate` was paid for the last `dt_us` (>= 0) until `wall_us`. A period that ended within them gets
 * nothing, the one that began its part. */
void budget_spend(struct budget_state *b, const struct zone_conf *zone, int64_t wall_us,
                  int64_t dt_us, double rate);

/* What may be paid from now on; INFINITY = any. An hour's ceiling bounds the rate itself. A day's
 * or a month's lets everything pass until what is spent and what `rate_min` (all at their minimum)
 * costs to the period's end have reached it; from then on what is left is spread evenly over what
 * is left of the period. `ret_period` says whose ceiling it is. */
double budget_rate_max(const struct budget_conf *conf, struct budget_state *b, int64_t wall_us,
                       double rate_min, enum budget_period *ret_period);

/* What one service wants of it. */
struct budget_claim {
    int32_t count; /* wanted; budget_divide() makes it what is granted */
    int32_t min;
    double cost;    /* of one instance for an hour; 0 = unknown: it yields nothing */
    double weight;  /* > 0 */
    bool fixed;     /* not the budget's to change (the operator's, or nobody's) */
    int32_t wanted; /* budget_divide()'s own */
};

/* Cuts counts until their cost is within `rate_max`: one instance at a time from the claim with the
 * largest (count above min) * cost / weight, of equal ones from the last; when all are at their
 * minimum, from the largest count * cost / weight. A dear instance that went may leave room for
 * cheap ones that went before it: these come back, the smallest claim first. */
void budget_divide(struct budget_claim *claims, uint32_t count, double rate_max);

const char *budget_period_name(enum budget_period p);                        /* "hour" */
double budget_ceiling(const struct budget_conf *conf, enum budget_period p); /* 0 = none */
