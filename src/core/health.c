/* Counting probes. Owns two counters of each instance and no more. */
#include "core/health.h"

#include "base/us.h"
#include "base/util.h"
#include "core/model.h"

/* A count that has been reached stays reached: no wrap after four billion probes. */
static void count_up(uint32_t *n)
{
    if (*n < UINT32_MAX)
        (*n)++;
}

enum health_verdict health_probe(const struct health_conf *conf, struct instance *i, bool passed)
{
    if (passed) {
        count_up(&i->probes_passed);
        i->probes_failed = 0;
    } else {
        count_up(&i->probes_failed);
        i->probes_passed = 0;
    }
    switch (i->state) {
    case INSTANCE_STARTING:
    case INSTANCE_WARMING:
        return passed ? HEALTH_WELL : HEALTH_SAME;
    case INSTANCE_READY:
        return i->probes_failed >= MAX(conf->fail_after, 1u) ? HEALTH_ILL : HEALTH_SAME;
    case INSTANCE_FAILING:
        return i->probes_passed >= MAX(conf->pass_after, 1u) ? HEALTH_WELL : HEALTH_SAME;
    default:
        return HEALTH_SAME;
    }
}

int64_t health_next_us(const struct health_conf *conf, const struct instance *i)
{
    if (i->state != INSTANCE_FAILING || conf->replace_after_us == US_NEVER)
        return US_NEVER;
    return us_add(i->state_us, conf->replace_after_us);
}

bool health_given_up(const struct health_conf *conf, const struct instance *i, int64_t now_us)
{
    int64_t at_us = health_next_us(conf, i);
    return at_us != US_NEVER && at_us <= now_us;
}
