/* Leases are numbered from 1 and never reused, so a table of them is all the memory there is. */
#include "sim/elect/etcd_model.h"

#include <assert.h>

#include "base/us.h"

static int64_t local_us(const struct etcd_model *s, int64_t now_us)
{
    return now_us + now_us * s->drift_ppm / 1000000;
}

static bool is_alive(const struct etcd_model *s, int64_t lease)
{
    return lease > 0 && lease <= s->lease_count && s->expires_us[lease] != 0;
}

static void renew(struct etcd_model *s, int64_t lease, int64_t now_us)
{
    s->expires_us[lease] = local_us(s, now_us) + s->ttl_us[lease];
}

static void put(struct etcd_model *s, struct etcd_key *key, int64_t lease)
{
    s->revision++;
    if (key->lease == 0)
        key->created = s->revision;
    key->lease = lease;
}

static bool remove_if_under(struct etcd_key *key, int64_t lease)
{
    bool was = key->lease == lease;
    if (was)
        *key = (struct etcd_key){ 0 };
    return was;
}

static bool end_lease(struct etcd_model *s, int64_t lease)
{
    bool changed = remove_if_under(&s->leader, lease);
    for (int i = 0; i < ETCD_MEMBERS_MAX; i++)
        changed |= remove_if_under(&s->members[i], lease);
    s->expires_us[lease] = 0;
    s->revision += changed;
    return changed;
}

void etcd_model_init(struct etcd_model *s, int64_t drift_ppm)
{
    *s = (struct etcd_model){ .drift_ppm = drift_ppm, .revision = 1, .term = 2 };
}

bool etcd_model_expire(struct etcd_model *s, int64_t now_us)
{
    bool changed = false;
    for (int64_t lease = 1; lease <= s->lease_count && !s->cut; lease++)
        if (s->expires_us[lease] != 0 && local_us(s, now_us) >= s->expires_us[lease])
            changed |= end_lease(s, lease);
    return changed;
}

void etcd_model_change_leader(struct etcd_model *s, int64_t now_us)
{
    s->old_term = s->term++;
    for (int64_t lease = 1; lease <= s->lease_count; lease++)
        if (s->expires_us[lease] != 0)
            renew(s, lease, now_us);
}

static void grant(struct etcd_model *s, int64_t ttl_us, int64_t now_us, struct elect_event *ret)
{
    assert(s->lease_count + 1 < ETCD_LEASES_MAX);
    ret->lease = ++s->lease_count;
    ret->ttl_us = s->ttl_us[ret->lease] = ttl_us;
    renew(s, ret->lease, now_us);
}

static void keep(struct etcd_model *s, int64_t lease, int64_t now_us, struct elect_event *ret)
{
    if (!is_alive(s, lease))
        return;
    renew(s, lease, now_us);
    ret->ttl_us = s->ttl_us[lease];
}

static void look(const struct etcd_model *s, int member, struct elect_event *ret)
{
    ret->view = (struct elect_view){ .leader_lease = s->leader.lease,
                                     .leader_token = s->leader.created,
                                     .self_lease = s->members[member].lease };
}

static bool needs_lease(const struct etcd_model *s, const struct elect_request *q)
{
    return q->op == ELECT_REGISTER || q->op == ELECT_REVOKE ||
           (q->op == ELECT_CAMPAIGN && s->leader.lease == 0);
}

bool etcd_model_serve(struct etcd_model *s, int member, const struct elect_request *q, bool stale,
                      int64_t now_us, struct elect_event *ret)
{
    *ret = (struct elect_event){ .type = ELECT_ANSWER, .id = q->id, .term = s->term };
    if (stale || s->cut) { /* it answers what it thinks it may decide alone */
        ret->term = s->cut ? s->term : s->old_term;
        ret->ttl_us = q->ttl_us;
        return stale && q->op == ELECT_KEEP;
    }
    etcd_model_expire(s, now_us);
    if (needs_lease(s, q) && !is_alive(s, q->lease)) {
        ret->type = ELECT_FAILED;
        return true;
    }
    if (q->op == ELECT_GRANT)
        grant(s, q->ttl_us, now_us, ret);
    else if (q->op == ELECT_KEEP)
        keep(s, q->lease, now_us, ret);
    else if (q->op == ELECT_REGISTER)
        put(s, &s->members[member], q->lease);
    else if (q->op == ELECT_REVOKE)
        end_lease(s, q->lease);
    if (q->op == ELECT_CAMPAIGN && s->leader.lease == 0)
        put(s, &s->leader, q->lease);
    if (q->op == ELECT_CAMPAIGN || q->op == ELECT_READ)
        look(s, member, ret);
    return true;
}
