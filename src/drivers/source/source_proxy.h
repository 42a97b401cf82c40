/* The proxies of other members in front of the same pool, for the source that samples ours. */
#pragma once

#include "drivers/source/proxy_reading.h"

/* Who knows them. All answer at once. */
struct proxy_others {
    void *ctx;
    /* Adds what they have of a service. False: one of them is not known at the moment, and so
     * neither is the sum. */
    bool (*add)(void *ctx, uint32_t slot, struct proxy_share *s);
    void (*add_instance)(void *ctx, uint32_t slot, uint32_t number, struct proxy_instance_share *s);
};

/* `self` is what source_proxy.open() gave; `others` lives as long. NULL = there are none. */
void source_proxy_set_others(void *self, const struct proxy_others *others);
