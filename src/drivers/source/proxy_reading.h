/* What a proxy has counted, as plain numbers: of one service over all loops, and of one instance.
 * Read from a proxy's gauges here, or told by the member of the group whose proxy it is. What
 * happened between two readings of one proxy life adds up over proxies: that is a share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/gauges.h"

struct proxy_reading {
    int64_t at_us; /* monotonic, of the proxy's own machine */
    uint32_t in_flight, queued, tunnels;
    uint64_t requests, arrivals, responses[6], errors[GAUGES_ERROR_MAX], retries;
    uint64_t bytes_in, bytes_out;
    uint64_t busy_us; /* integral of in_flight + queued, up to at_us */
    uint64_t latency_sum_us, latency[GAUGES_BUCKETS];
};

struct proxy_instance {
    uint32_t number; /* 0 = none */
    uint32_t in_flight, tunnels;
    bool ejected;
    uint64_t requests, errors;
};

/* What one or several proxies have of a service now, and did of late. */
struct proxy_share {
    uint32_t in_flight, queued, tunnels;
    /* The rest holds only while this is true: for each proxy there were two readings. */
    bool rates;
    double busy, requests, arrivals, failed, bytes_in, bytes_out; /* per second */
    uint64_t latency[GAUGES_BUCKETS];                             /* answers in that time */
};

/* The same of one instance; `requests` and `errors` are rates. */
struct proxy_instance_share {
    uint32_t in_flight, tunnels;
    bool rates;
    double requests, errors;
};

void proxy_reading_take(const struct gauges *g, uint32_t slot, int64_t now_us,
                        struct proxy_reading *ret);
/* What the place in the gauges holds, if it is this instance. */
bool proxy_instance_take(const struct gauges *g, uint32_t gauge, uint32_t slot, uint32_t number,
                         struct proxy_instance *ret);

/* Adds one proxy. `before` NULL, or not of the same proxy life: it has no rates. */
void proxy_share_add(struct proxy_share *s, const struct proxy_reading *before,
                     const struct proxy_reading *now);
void proxy_instance_share_add(struct proxy_instance_share *s, const struct proxy_instance *before,
                              const struct proxy_instance *now, int64_t span_us);
