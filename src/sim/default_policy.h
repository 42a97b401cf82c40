/* The policy that is simulated when nobody gives another, and that the score is about: the same
 * numbers for every load. */
#pragma once

#include "core/model.h"

struct default_policy {
    struct model_conf model; /* points to the service below */
    struct service_conf service;
};

/* For instances that do `slots` requests at a time. */
void default_policy_init(struct default_policy *p, double slots);
