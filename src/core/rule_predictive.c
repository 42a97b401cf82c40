/* Being written. */
#include "core/rule.h"

static void predictive_eval(const struct rule_conf *r, struct rule_state *state,
                            const struct rule_context *ctx, struct opinion *ret)
{
}

const struct rule_ops rule_predictive = {
    .name = "predictive",
    .eval = predictive_eval,
};
