/* The pool. It must never decide how many instances there are: it follows the fleet. */
#include "sim/request/request_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define NS_PER_US INT64_C(1000)

void request_pool_init(struct request_pool *p, const struct request_pool_conf *conf)
{
    memset(p, 0, sizeof(*p));
    p->conf = *conf;
    rng_init(&p->rng, conf->seed);
    balance_prepare(&p->balance, conf->balance, p->candidates[0], 0, 0, NULL);
}

static void forget(struct request_instance *i)
{
    request_instance_done(i);
    free(i);
}

void request_pool_done(struct request_pool *p)
{
    for (uint32_t n = 0; n < p->count; n++)
        forget(p->instances[n]);
    p->count = 0;
}

/* -- whose request ends next --------------------------------------------------------------------
 */

static void put(struct request_pool *p, uint32_t at, struct request_pool_place x)
{
    p->heap[at] = x;
    x.instance->place = at;
}

static void sift_up(struct request_pool *p, uint32_t at, struct request_pool_place x)
{
    for (; at > 0 && x.next_ns < p->heap[(at - 1) / 2].next_ns; at = (at - 1) / 2)
        put(p, at, p->heap[(at - 1) / 2]);
    put(p, at, x);
}

static void sift_down(struct request_pool *p, uint32_t at, struct request_pool_place x)
{
    for (uint32_t child; (child = 2 * at + 1) < p->count; at = child) {
        if (child + 1 < p->count && p->heap[child + 1].next_ns < p->heap[child].next_ns)
            child++;
        if (x.next_ns <= p->heap[child].next_ns)
            break;
        put(p, at, p->heap[child]);
    }
    put(p, at, x);
}

static void move(struct request_pool *p, struct request_instance *i)
{
    uint32_t at = i->place;
    struct request_pool_place x = { request_instance_next_ns(i), i };
    if (x.next_ns < p->heap[at].next_ns)
        sift_up(p, at, x);
    else if (x.next_ns > p->heap[at].next_ns)
        sift_down(p, at, x);
}

int64_t request_pool_next_ns(const struct request_pool *p)
{
    return p->count > 0 ? p->heap[0].next_ns : INT64_MAX;
}

/* -- requests -----------------------------------------------------------------------------------
 */

/* What one more or one less request changes in the sums over candidates. */
static void account(struct request_pool *p, const struct request_instance *i, uint32_t busy_before,
                    int32_t change)
{
    p->in_flight += (uint32_t)change;
    if (i->draining)
        return;
    p->free -= (uint32_t)change;
    p->busy += request_instance_busy(i) - busy_before;
}

int request_pool_give(struct request_pool *p, int64_t now_ns, struct request r)
{
    if (p->free == 0)
        return -EAGAIN;
    struct balance_request request = {
        .now_us = now_ns / NS_PER_US,
        .random = rng_u64(&p->rng),
        .client_ip = { (const char *)&request.random, 4 },
        .max_concurrency = p->conf.most,
    };
    int candidate = balance_pick(&p->balance, &request);
    if (candidate == BALANCE_NONE)
        return -EAGAIN;
    struct request_instance *i = p->chosen[candidate];
    uint32_t busy = request_instance_busy(i);
    int rc = request_instance_add(i, now_ns, r);
    if (rc < 0)
        return rc;
    account(p, i, busy, 1);
    move(p, i);
    return 0;
}

static bool is_drained(const struct request_instance *i)
{
    return i->draining && request_instance_count(i) == 0;
}

struct request request_pool_take(struct request_pool *p, int64_t now_ns, bool *ret_drained)
{
    assert(p->count > 0);
    struct request_instance *i = p->heap[0].instance;
    uint32_t busy = request_instance_busy(i);
    struct request r = request_instance_take(i, now_ns);
    account(p, i, busy, -1);
    move(p, i);
    *ret_drained = is_drained(i);
    return r;
}

uint32_t request_pool_drained(const struct request_pool *p)
{
    for (uint32_t n = 0; n < p->count; n++) {
        if (is_drained(p->instances[n]))
            return p->instances[n]->number;
    }
    return 0;
}

/* -- following the fleet ------------------------------------------------------------------------
 */

static bool is_followed(const struct request_pool *p, const struct fleet *f)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < f->count; k++) {
        const struct fleet_instance *x = &f->items[k];
        if (!x->ready)
            continue;
        if (n == p->count || p->instances[n]->number != x->number ||
            p->instances[n]->draining != x->draining)
            return false;
        n++;
    }
    return n == p->count;
}

/* The instance of that number, out of the list. Both lists have the same order, so the search is
 * over at once but where some are gone. */
static struct request_instance *find(struct request_pool *p, uint32_t *from, uint32_t number)
{
    for (uint32_t n = *from; n < p->count; n++) {
        struct request_instance *i = p->instances[n];
        if (!i || i->number != number)
            continue;
        p->instances[n] = NULL;
        *from = n + 1;
        return i;
    }
    return NULL;
}

static struct request_instance *come(const struct request_pool *p, const struct fleet_instance *x,
                                     int64_t now_ns)
{
    struct request_instance *i = malloc(sizeof(*i));
    if (i)
        request_instance_init(i, x->number, p->conf.discipline, p->conf.slots, x->slowness, now_ns);
    return i;
}

static void bury_rest(struct request_pool *p, uint32_t *ret_lost)
{
    for (uint32_t n = 0; n < p->count; n++) {
        if (!p->instances[n])
            continue;
        *ret_lost += request_instance_count(p->instances[n]);
        forget(p->instances[n]);
    }
}

/* Turns and positions go on, so the balancing reads the old candidates beside the new. */
static void prepare(struct request_pool *p)
{
    struct balance old = p->balance;
    p->turn ^= 1;
    struct balance_candidate *candidates = p->candidates[p->turn];
    uint32_t count = 0;
    p->free = p->busy = p->slots = 0;
    for (uint32_t n = 0; n < p->count; n++) {
        struct request_instance *i = p->instances[n];
        p->heap[n] = (struct request_pool_place){ request_instance_next_ns(i), i };
        sift_up(p, n, p->heap[n]);
        if (i->draining)
            continue;
        p->chosen[count] = i;
        candidates[count++] = (struct balance_candidate){
            .in_flight = &i->in_flight, .number = i->number, .weight = 1, .usable = true
        };
        p->free += p->conf.most - request_instance_count(i);
        p->busy += request_instance_busy(i);
        p->slots += i->slots;
    }
    balance_prepare(&p->balance, p->conf.balance, candidates, count, 0, &old);
}

int request_pool_follow(struct request_pool *p, const struct fleet *f, int64_t now_ns,
                        uint32_t *ret_lost)
{
    if (is_followed(p, f))
        return 0;
    int rc = 0;
    uint32_t count = 0, from = 0;
    for (uint32_t k = 0; k < f->count; k++) {
        const struct fleet_instance *x = &f->items[k];
        if (!x->ready)
            continue;
        struct request_instance *i = find(p, &from, x->number);
        if (!i && !(i = come(p, x, now_ns))) {
            rc = -ENOMEM;
            break;
        }
        i->draining = x->draining;
        p->next[count++] = i;
    }
    uint32_t lost = 0;
    bury_rest(p, &lost);
    memcpy(p->instances, p->next, count * sizeof(p->next[0]));
    p->count = count;
    p->in_flight -= lost;
    *ret_lost += lost;
    prepare(p);
    return rc;
}
