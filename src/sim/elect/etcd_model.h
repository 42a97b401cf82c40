/* A model of etcd for elections: one linearizable store with leases, seen by its clients through
 * requests that take effect at the moment they arrive. It keeps the promises that etcd makes, and
 * breaks them where etcd does: a member of it that was its leader may answer keep-alives on its own
 * for a while. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/elect.h"

#define ETCD_MEMBERS_MAX 5
#define ETCD_LEASES_MAX 4096

struct etcd_model {
    int64_t drift_ppm; /* its clock's rate */
    uint64_t revision, term, old_term;
    bool cut; /* no majority: nothing is decided, and nothing expires */
    struct etcd_key {
        int64_t lease; /* 0 = there is none */
        uint64_t created;
    } leader, members[ETCD_MEMBERS_MAX];
    int64_t expires_us[ETCD_LEASES_MAX]; /* by its own clock; 0 = has ended; index = lease */
    int64_t ttl_us[ETCD_LEASES_MAX];
    int64_t lease_count;
};

void etcd_model_init(struct etcd_model *s, int64_t drift_ppm);
/* The request of member `member` takes effect at `now_us` (true time): true = with this answer. An
 * answer of type ELECT_FAILED is a refusal. `stale`: it reached a member of etcd that is cut off
 * from the others and does not know it. */
bool etcd_model_serve(struct etcd_model *s, int member, const struct elect_request *q, bool stale,
                      int64_t now_us, struct elect_event *ret);
/* Ends what has expired. True = a key has changed; so do requests when `revision` grows. */
bool etcd_model_expire(struct etcd_model *s, int64_t now_us);
/* Another of its members leads from now on: each lease lasts its ttl from here. */
void etcd_model_change_leader(struct etcd_model *s, int64_t now_us);
