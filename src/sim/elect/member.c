/* A member's process, its way to etcd and back, and what it does with the engine. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "sim/elect/world_int.h"

#define WORK_US_MAX (400 * US_PER_MS)
#define TRAVEL_US_MAX (3 * US_PER_S) /* of an act to the engine */

int64_t member_clock_us(const struct elect_world *w, const struct member *m)
{
    return m->boot_us + w->now_us + w->now_us * m->drift_ppm / 1000000;
}

/* When its clock will show `local_us`. */
static int64_t true_us(const struct member *m, int64_t local_us)
{
    return us_mul(local_us - m->boot_us, 1000000) / (1000000 + m->drift_ppm) + 1;
}

/* --- the network --- */

static int64_t delay_us(struct elect_world *w)
{
    int64_t delay = 500 + world_below(w, 10 * US_PER_MS);
    if (world_has(w, FAULT_DELAY) && world_below(w, 4) == 0)
        delay += world_below(w, US_PER_S);
    return delay;
}

static bool is_lost(struct elect_world *w, const struct member *m)
{
    return m->alone || (world_has(w, FAULT_LOSS) && world_below(w, 8) == 0);
}

static int copies(struct elect_world *w)
{
    return world_has(w, FAULT_REPEAT) && world_below(w, 6) == 0 ? 2 : 1;
}

static void send_request(struct elect_world *w, int n, const struct elect_request *q)
{
    struct member *m = &w->members[n];
    m->requests++;
    w->report->messages++;
    if (is_lost(w, m))
        return;
    for (int left = copies(w); left > 0; left--) {
        int64_t slow_us =
            world_has(w, FAULT_SLOW) && world_below(w, 3) == 0 ? world_below(w, 4 * US_PER_S) : 0;
        int64_t at_us = w->now_us + delay_us(w) + slow_us;
        struct item *it = world_add(w, ITEM_REQUEST, n, at_us);
        it->request = *q;
    }
}

static void send_event(struct elect_world *w, int n, unsigned life, const struct elect_event *v)
{
    if (is_lost(w, &w->members[n]))
        return;
    for (int left = copies(w); left > 0; left--) {
        struct item *it = world_add(w, ITEM_EVENT, n, w->now_us + delay_us(w));
        it->life = life;
        it->event = *v;
    }
}

void member_etcd_changed(struct elect_world *w)
{
    for (int n = 0; n < w->member_count; n++) {
        struct member *m = &w->members[n];
        struct elect_event v = { .type = ELECT_CHANGED, .id = m->watch };
        if (world_has(w, FAULT_DEAF) && world_below(w, 4) == 0)
            m->deaf = true;
        if (m->watch != 0 && !m->deaf)
            send_event(w, n, m->life, &v);
    }
}

static void open_watch(struct elect_world *w, const struct item *it)
{
    struct member *m = &w->members[it->member];
    struct elect_event v = { .type = ELECT_ANSWER, .id = it->request.id };
    if (it->life != m->life)
        return;
    m->watch = it->request.id;
    m->deaf = false;
    send_event(w, it->member, it->life, &v);
}

void request_arrive(struct elect_world *w, const struct item *it)
{
    struct member *m = &w->members[it->member];
    struct elect_event answer;
    uint64_t revision = w->etcd.revision;
    if (it->request.op == ELECT_WATCH) {
        open_watch(w, it);
        return;
    }
    if (!etcd_model_serve(&w->etcd, it->member, &it->request, m->at_stale, w->now_us, &answer))
        return;
    if (w->etcd.revision != revision)
        member_etcd_changed(w);
    send_event(w, it->member, it->life, &answer);
}

/* --- the process --- */

static void tell(const struct elect_world *w, int n, const struct elect_event *v,
                 const struct elect_out *out)
{
    static const char *const news[] = { "", " GAINED", " LOST" };
    if (!w->options->verbose)
        return;
    printf("%10.4f member %d: event %d id %llu -> state %d, %zu requests%s", //
           (double)w->now_us / 1e6, n, (int)v->type, (unsigned long long)v->id,
           (int)w->members[n].elect.state, out->count, news[out->news]);
    for (size_t i = 0; i < out->count; i++)
        printf(" %d/%llu", (int)out->requests[i].op, (unsigned long long)out->requests[i].id);
    printf("\n");
}

static void take_news(struct elect_world *w, struct member *m, const struct elect_out *out)
{
    assert(out->news == ELECT_NOTHING || (out->news == ELECT_GAINED) != m->held);
    if (out->news == ELECT_LOST)
        m->held = false;
    if (out->news != ELECT_GAINED)
        return;
    m->held = true;
    m->known = w->created; /* it asks the engine what there is */
    w->report->terms++;
    w->report->hash = (w->report->hash ^ m->elect.token ^ (uint64_t)w->now_us) * 0x100000001b3;
    law_check_token(w, m);
}

static void set_timer(struct elect_world *w, int n, int64_t next_us)
{
    struct member *m = &w->members[n];
    if (next_us == US_NEVER)
        return;
    struct item *it = world_add(w, ITEM_TIMER, n, MAX(w->now_us, true_us(m, next_us)));
    m->timer = it->due.sequence;
}

void member_step(struct elect_world *w, int n, struct elect_event *v)
{
    struct member *m = &w->members[n];
    struct elect_out out;
    v->now_us = member_clock_us(w, m);
    elect_step(&m->elect, v, &out);
    tell(w, n, v, &out);
    for (size_t i = 0; i < out.count; i++)
        send_request(w, n, &out.requests[i]);
    take_news(w, m, &out);
    set_timer(w, n, out.next_us);
    if (out.resigned)
        member_kill(w, n);
}

void member_start(struct elect_world *w, int n)
{
    struct member *m = &w->members[n];
    struct elect_event first = { .type = ELECT_TIMER };
    struct elect_conf conf = { .ttl_us = w->ttl_us, .seed = rng_u64(&w->rng) };
    if (m->life % 2 == 1)
        return;
    if (world_below(w, 2) == 0) /* its file was written, and is of this boot */
        conf.left_lease = m->elect.lease;
    m->life++;
    elect_init(&m->elect, &conf);
    member_step(w, n, &first);
    world_add(w, ITEM_WORK, n, w->now_us + world_below(w, WORK_US_MAX));
}

void member_kill(struct elect_world *w, int n)
{
    struct member *m = &w->members[n];
    if (m->life % 2 == 0)
        return;
    fault_wake(w, n);
    m->life++;
    m->held = false;
    m->watch = 0;
    world_add(w, ITEM_START, n, w->now_us + world_below(w, w->calm ? US_PER_S : 10 * US_PER_S));
}

/* --- the engine --- */

void member_work(struct elect_world *w, int n)
{
    struct member *m = &w->members[n];
    world_add(w, ITEM_WORK, n, w->now_us + 1 + world_below(w, WORK_US_MAX));
    if (!elect_may_act(&m->elect, member_clock_us(w, m)))
        return;
    int64_t travel_us = world_below(w, world_below(w, 4) == 0 ? TRAVEL_US_MAX : 20 * US_PER_MS);
    struct item *it = world_add(w, ITEM_ACT, n, w->now_us + travel_us);
    it->act.token = m->elect.token;
    it->act.number = ++m->known;
    it->act.sent_us = w->now_us;
}

void act_arrive(struct elect_world *w, const struct item *it)
{
    uint64_t *effects = &w->effects[it->act.number];
    assert(it->act.number < INSTANCES_MAX);
    w->report->acts++;
    if (it->act.token < w->newest_token && it->act.sent_us > w->newest_since_us)
        law_broken(w, "late", "token %llu acted when %llu led already",
                   (unsigned long long)it->act.token, (unsigned long long)w->newest_token);
    if (*effects > 0 && !w->options->unnamed)
        return; /* refused: there is one of this name */
    if (++*effects > 1)
        law_broken(w, "once", "instance %llu was started twice",
                   (unsigned long long)it->act.number);
    w->created = MAX(w->created, it->act.number);
}
