/* The list of everything that can decide. */
#include <string.h>

#include "sim/peers/peer.h"
#include "sim/policy.h"

const struct policy_ops *const policy_all[] = {
    &policy_plimsoll, &policy_hpa,   &policy_knative,   &policy_nomad,       &policy_aws_target,
    &policy_aws_step, &policy_uwsgi, &policy_autopilot, &policy_static_mean, &policy_static_peak,
    &policy_react,    &policy_adapt, &policy_hist,      &policy_reg,         &policy_conpaas,
    &policy_oracle,   NULL,
};

const struct policy_ops *policy_find(const char *name)
{
    for (size_t n = 0; policy_all[n]; n++) {
        if (strcmp(policy_all[n]->name, name) == 0)
            return policy_all[n];
    }
    return NULL;
}
