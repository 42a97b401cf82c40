/* Law 3: before scale-in, project. Would what is left be asked to scale out at once? Then the step
 * is made smaller until not. Source of the idea and of the formula metric * n / (n - k): Azure
 * Monitor, "Flapping in Autoscale". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/rule.h"

struct projection {
    int32_t count; /* want <= count <= current: the smallest that no rule objects to */
    int32_t rule;  /* index of the rule that objected to one less; -1 = none did */
    double value;  /* what its metric would have been */
};

/* For want < ctx->current; otherwise count = want. */
void project_scale_in(const struct rule_conf *rules, const struct opinion *opinions, uint32_t count,
                      const struct rule_context *ctx, int32_t want, struct projection *ret);
/* Why; "" when no rule objected. */
void project_say(const struct rule_conf *rules, const struct projection *p, char *buf, size_t cap);
