/* From opinions to one count. Law 1: scale out if any rule wants; scale in only if at least one
 * rule wants, every rule that has an opinion on scaling in agrees, and none is blind. */
#pragma once

#include <stdint.h>

#include "core/rule.h"

enum combine_why { COMBINE_NOBODY, COMBINE_OUT, COMBINE_BLIND, COMBINE_SAME, COMBINE_IN };

struct combined {
    int32_t want; /* before min, max and everything else that limits */
    int32_t rule; /* index of the rule that decided (or that blocked); -1 = none did */
    enum combine_why why;
    /* Bounds as schedules have moved them now; RULE_ABSTAIN = not. Of overlapping windows the one
     * that opened last wins, each bound on its own; of two that opened together, the later rule. */
    int32_t set_min, set_max;
    int32_t set_min_rule, set_max_rule; /* whose; -1 = none */
};

void combine(const struct rule_conf *rules, const struct opinion *opinions, uint32_t count,
             int32_t current, struct combined *ret);
/* One sentence for LIMIT_RULES. */
void combine_say(const struct rule_conf *rules, const struct opinion *opinions,
                 const struct combined *x, char *buf, size_t cap);
