/* Being written. */
#include "core/rule.h"

static void queue_eval(const struct rule_conf *r, struct rule_state *state,
                       const struct rule_context *ctx, struct opinion *ret)
{
}

const struct rule_ops rule_queue = {
    .name = "queue",
    .eval = queue_eval,
};
