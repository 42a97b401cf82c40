/* The default policy's numbers stand here and nowhere else. */
#include "sim/default_policy.h"

#include "base/str.h"
#include "base/us.h"

static const struct service_conf plain = {
    .name = "service",
    .min = 1,
    .max = MODEL_COUNT_MAX,
    .initial = -1,
    .surge = 1,
    .can_choose_victim = true,
    .start_within_us = US_PER_HOUR,
    .drain_us = 30 * US_PER_S,
    .window_in_us = 60 * US_PER_S,
    .health = { .fail_after = 3, .pass_after = 2, .replace_after_us = 30 * US_PER_S },
    .budget = -1,
    .budget_weight = 1,
};

void default_policy_init(struct default_policy *p, double slots)
{
    p->service = plain;
    struct rule_conf *r = &p->service.rules[p->service.rule_count++];
    r->kind = RULE_TARGET;
    (void)str_copy(r->name, sizeof(r->name), "target concurrency");
    r->target = (struct rule_target_conf){
        .metric = { .metric = METRIC_CONCURRENCY },
        .value = slots,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
        .headroom_auto = true,
    };
    p->model = (struct model_conf){ .service_count = 1, .services = &p->service };
}
