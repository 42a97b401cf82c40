/* Each step looks first whether the right to act is still proven, then takes the event, gives up
 * what has had no answer in time, and sends what is due and wanted in this state. It never waits,
 * and it never takes an answer that it did not ask for. */
#include "core/elect.h"

#include <assert.h>

#include "base/us.h"

#define MARGIN_US_MIN (500 * US_PER_MS)
/* A read that finds a vacancy when the watch has fallen silent. With it, and a lease's end within
 * ttl, another leads within ttl + 1 s. */
#define POLL_US_MAX (750 * US_PER_MS)
#define LEADERS_POLL_US_MAX (5 * US_PER_S) /* beside the reads that prove its keep-alives */
#define LOOK_GAP_US (200 * US_PER_MS)      /* between reads, however many changes are told */
#define PATIENCE_US_MAX (3 * US_PER_S)
#define RETRY_US_MIN (100 * US_PER_MS)
#define RETRY_US_MAX (1 * US_PER_S)
#define RETRY_DOUBLINGS_MAX 4

#define MEMBER_ERRANDS \
    (BIT(ELECT_SESSION) | BIT(ELECT_LOOK) | BIT(ELECT_PRESENCE) | BIT(ELECT_STREAM))

static const uint8_t wanted[ELECT_STATE_MAX] = {
    [ELECT_OUT] = BIT(ELECT_SESSION),
    [ELECT_IN] = MEMBER_ERRANDS | BIT(ELECT_FAREWELL),
    [ELECT_LEADING] = MEMBER_ERRANDS,
    [ELECT_LEAVING] = BIT(ELECT_FAREWELL),
};

static const uint8_t move_ok[ELECT_STATE_MAX] = {
    [ELECT_OUT] = BIT(ELECT_IN) | BIT(ELECT_GONE),
    [ELECT_IN] = BIT(ELECT_LEADING) | BIT(ELECT_OUT) | BIT(ELECT_LEAVING),
    [ELECT_LEADING] = BIT(ELECT_IN) | BIT(ELECT_OUT) | BIT(ELECT_LEAVING),
    [ELECT_LEAVING] = BIT(ELECT_GONE),
};

int64_t elect_margin_us(int64_t ttl_us)
{
    return MAX(ttl_us / 10, MARGIN_US_MIN);
}

bool elect_may_act(const struct elect *e, int64_t now_us)
{
    return e->state == ELECT_LEADING && now_us < e->valid_until_us;
}

static void move(struct elect *e, enum elect_state to, const char *why, struct elect_out *out)
{
    assert(move_ok[e->state] & BIT(to));
    if (e->state == ELECT_LEADING) {
        out->news = ELECT_LOST;
        out->why = why;
        e->token = 0;
    }
    if (to == ELECT_LEADING)
        out->news = ELECT_GAINED;
    if (to == ELECT_GONE)
        out->resigned = true;
    e->state = to;
}

static void forget_errands(struct elect *e)
{
    for (int i = 0; i < ELECT_ERRAND_MAX; i++) {
        e->errands[i].id = 0;
        e->errands[i].failures = 0;
        e->errands[i].due_us = US_NEVER;
    }
}

static void end_session(struct elect *e, int64_t now_us, const char *why, struct elect_out *out)
{
    move(e, ELECT_OUT, why, out);
    forget_errands(e);
    e->old_lease = e->lease;
    e->lease = 0;
    e->ttl_us = e->conf.ttl_us;
    e->unproven.sent_us = 0;
    e->errands[ELECT_SESSION].due_us = now_us;
}

static bool has_session(const struct elect *e)
{
    return e->state == ELECT_IN || e->state == ELECT_LEADING;
}

/* --- answers --- */

static void prove(struct elect *e, int64_t sent_us, int64_t ttl_us)
{
    e->valid_until_us = MAX(e->valid_until_us, sent_us + ttl_us - elect_margin_us(ttl_us));
}

static void on_grant(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    int64_t sent_us = e->errands[ELECT_SESSION].sent_us;
    e->errands[ELECT_SESSION].due_us = v->now_us + RETRY_US_MIN;
    e->valid_until_us = 0;
    prove(e, sent_us, v->ttl_us);
    if (v->lease == 0 || v->now_us >= e->valid_until_us)
        return; /* of no use, or it came too late to be: another */
    move(e, ELECT_IN, NULL, out);
    e->lease = v->lease;
    e->ttl_us = v->ttl_us;
    e->vacant = e->look_again = e->present = false;
    e->errands[ELECT_SESSION].due_us = sent_us + v->ttl_us / 3;
    e->errands[ELECT_LOOK].due_us = v->now_us;
    e->errands[ELECT_PRESENCE].due_us = v->now_us;
    e->errands[ELECT_STREAM].due_us = v->now_us;
}

static void look_at(struct elect *e, int64_t at_us)
{
    e->look_again = e->errands[ELECT_LOOK].id != 0; /* that one may be too early to see it */
    e->errands[ELECT_LOOK].due_us = MIN(e->errands[ELECT_LOOK].due_us, at_us);
}

static void on_keep(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    if (v->ttl_us == 0) {
        end_session(e, v->now_us, "the lease has expired in etcd", out);
        return;
    }
    int64_t sent_us = e->errands[ELECT_SESSION].sent_us;
    e->unproven.sent_us = sent_us;
    e->unproven.ttl_us = v->ttl_us;
    e->unproven.term = v->term;
    e->unproven.after_id = e->last_id;
    e->errands[ELECT_SESSION].due_us = sent_us + v->ttl_us / 3;
    if (e->state == ELECT_LEADING) /* others prove theirs with the next poll */
        look_at(e, v->now_us);
}

static void take_proof(struct elect *e, const struct elect_event *v)
{
    if (e->unproven.sent_us == 0 || v->id <= e->unproven.after_id)
        return;
    if (v->term == e->unproven.term)
        prove(e, e->unproven.sent_us, e->unproven.ttl_us);
    else /* etcd has another leader: ask that one */
        e->errands[ELECT_SESSION].due_us = v->now_us + RETRY_US_MIN;
    e->unproven.sent_us = 0;
}

/* Our member key is there, or has to be put (again). */
static void check_presence(struct elect *e, const struct elect_event *v, int64_t look_sent_us)
{
    if (!e->present || v->view.self_lease == e->lease ||
        look_sent_us <= e->errands[ELECT_PRESENCE].sent_us)
        return;
    e->present = false;
    e->errands[ELECT_PRESENCE].due_us = v->now_us;
}

/* At once when there is something to be won or seen, but not after a campaign that won nothing. */
static int64_t look_pause_us(const struct elect *e)
{
    if (e->vacant || e->look_again)
        return e->errands[ELECT_LOOK].op == ELECT_CAMPAIGN ? RETRY_US_MIN : 0;
    return e->state == ELECT_LEADING ? MIN(LEADERS_POLL_US_MAX, e->ttl_us / 2)
                                     : MIN(POLL_US_MAX, e->ttl_us / 4);
}

static void on_view(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    bool ours = v->view.leader_lease == e->lease;
    take_proof(e, v);
    check_presence(e, v, e->errands[ELECT_LOOK].sent_us);
    if (ours && e->state == ELECT_IN) {
        e->token = v->view.leader_token;
        move(e, ELECT_LEADING, NULL, out);
    } else if (!ours && e->state == ELECT_LEADING) {
        move(e, ELECT_IN, "somebody has removed the leader's key", out);
    }
    e->vacant = v->view.leader_lease == 0;
    if (!e->vacant && v->view.leader_lease == e->old_lease)
        e->errands[ELECT_FAREWELL].due_us = v->now_us;
    e->errands[ELECT_LOOK].due_us = v->now_us + look_pause_us(e);
    e->look_again = false;
}

static void on_presence(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    e->present = true;
    e->errands[ELECT_PRESENCE].due_us = US_NEVER;
}

static void look_soon(struct elect *e, int64_t now_us)
{
    look_at(e, MAX(now_us, e->errands[ELECT_LOOK].sent_us + LOOK_GAP_US));
}

static void on_stream(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    e->errands[ELECT_STREAM].id = v->id; /* it goes on */
    e->errands[ELECT_STREAM].deadline_us = US_NEVER;
    e->errands[ELECT_STREAM].due_us = US_NEVER;
    look_soon(e, v->now_us); /* what changed before it was open */
}

/* Also when it has failed: a lease ends by itself, and a view that shows the old one is a reason to
 * try again. */
static void end_farewell(struct elect *e, struct elect_out *out)
{
    e->errands[ELECT_FAREWELL].due_us = US_NEVER;
    if (e->state == ELECT_LEAVING)
        move(e, ELECT_GONE, NULL, out);
}

static void on_farewell(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    end_farewell(e, out);
}

static void (*const on_answer[ELECT_OP_MAX])(struct elect *e, const struct elect_event *v,
                                             struct elect_out *out) = {
    [ELECT_GRANT] = on_grant,     [ELECT_KEEP] = on_keep,         [ELECT_READ] = on_view,
    [ELECT_CAMPAIGN] = on_view,   [ELECT_REGISTER] = on_presence, [ELECT_WATCH] = on_stream,
    [ELECT_REVOKE] = on_farewell,
};

/* --- failures --- */

static int64_t retry_us(struct elect *e, unsigned failures)
{
    int64_t delay_us = RETRY_US_MIN << MIN(failures, RETRY_DOUBLINGS_MAX);
    delay_us = MIN(delay_us, RETRY_US_MAX);
    return delay_us - (int64_t)rng_below(&e->rng, (uint64_t)delay_us / 4);
}

static void fail(struct elect *e, int errand, int64_t now_us, struct elect_out *out)
{
    e->errands[errand].id = 0;
    if (errand == ELECT_FAREWELL) {
        end_farewell(e, out);
        return;
    }
    if (errand == ELECT_LOOK)
        e->vacant = e->look_again = false; /* a campaign may have happened: read */
    e->errands[errand].due_us = now_us + retry_us(e, e->errands[errand].failures);
    e->errands[errand].failures++;
}

static void give_up_late(struct elect *e, int64_t now_us, struct elect_out *out)
{
    for (int i = 0; i < ELECT_ERRAND_MAX; i++)
        if (e->errands[i].id != 0 && now_us >= e->errands[i].deadline_us)
            fail(e, i, now_us, out);
}

/* --- events --- */

static int errand_of(const struct elect *e, uint64_t id)
{
    for (int i = 0; i < ELECT_ERRAND_MAX; i++)
        if (id != 0 && e->errands[i].id == id)
            return i;
    return -1;
}

static void resign(struct elect *e, int64_t now_us, struct elect_out *out)
{
    if (e->state == ELECT_LEAVING || e->state == ELECT_GONE)
        return;
    forget_errands(e);
    move(e, has_session(e) ? ELECT_LEAVING : ELECT_GONE, "resigned", out);
    e->errands[ELECT_FAREWELL].due_us = now_us;
}

static void take_event(struct elect *e, const struct elect_event *v, struct elect_out *out)
{
    int errand = errand_of(e, v->id);
    if (v->type == ELECT_RESIGN)
        resign(e, v->now_us, out);
    if (errand < 0)
        return; /* of a request that was given up, or is known already */
    if (v->type == ELECT_ANSWER && v->now_us < e->errands[errand].deadline_us) {
        e->errands[errand].id = 0;
        e->errands[errand].failures = 0;
        on_answer[e->errands[errand].op](e, v, out);
    } else if (v->type == ELECT_FAILED || v->type == ELECT_WATCH_LOST) {
        fail(e, errand, v->now_us, out);
    } else if (v->type == ELECT_CHANGED) {
        look_soon(e, v->now_us);
    }
}

/* --- requests --- */

static enum elect_op op_of(const struct elect *e, int errand)
{
    switch (errand) {
    case ELECT_SESSION:
        return e->state == ELECT_OUT ? ELECT_GRANT : ELECT_KEEP;
    case ELECT_LOOK:
        return e->vacant ? ELECT_CAMPAIGN : ELECT_READ;
    case ELECT_PRESENCE:
        return ELECT_REGISTER;
    case ELECT_STREAM:
        return ELECT_WATCH;
    default:
        return ELECT_REVOKE;
    }
}

static bool is_wanted(const struct elect *e, int errand)
{
    return wanted[e->state] & BIT(errand);
}

/* Quick enough that two keep-alives may fail, each at another member of etcd, before the lease
 * is lost. */
static int64_t patience_us(const struct elect *e)
{
    return MIN(e->ttl_us / 4, PATIENCE_US_MAX);
}

static int64_t lease_of(const struct elect *e, int errand)
{
    return errand == ELECT_FAREWELL && e->state != ELECT_LEAVING ? e->old_lease : e->lease;
}

static void send_due(struct elect *e, int64_t now_us, struct elect_out *out)
{
    for (int i = 0; i < ELECT_ERRAND_MAX; i++) {
        if (!is_wanted(e, i) || e->errands[i].id != 0 || now_us < e->errands[i].due_us)
            continue;
        e->errands[i].id = ++e->last_id;
        e->errands[i].op = op_of(e, i);
        e->errands[i].sent_us = now_us;
        e->errands[i].deadline_us = now_us + patience_us(e);
        out->requests[out->count++] = (struct elect_request){
            .op = e->errands[i].op,
            .id = e->errands[i].id,
            .lease = lease_of(e, i),
            .ttl_us = e->ttl_us,
            .deadline_us = e->errands[i].deadline_us,
        };
    }
}

static int64_t next_us(const struct elect *e)
{
    int64_t at_us = has_session(e) ? e->valid_until_us : US_NEVER;
    for (int i = 0; i < ELECT_ERRAND_MAX; i++)
        if (is_wanted(e, i))
            at_us = MIN(at_us,
                        e->errands[i].id != 0 ? e->errands[i].deadline_us : e->errands[i].due_us);
    return at_us;
}

void elect_init(struct elect *e, const struct elect_conf *conf)
{
    assert(conf->ttl_us >= 2 * US_PER_S);
    *e = (struct elect){ .conf = *conf, .ttl_us = conf->ttl_us, .old_lease = conf->left_lease };
    rng_init(&e->rng, conf->seed);
    forget_errands(e);
    e->errands[ELECT_SESSION].due_us = INT64_MIN; /* at the first event */
}

void elect_step(struct elect *e, const struct elect_event *event, struct elect_out *ret)
{
    *ret = (struct elect_out){ 0 };
    if (has_session(e) && event->now_us >= e->valid_until_us)
        end_session(e, event->now_us, "the lease could not be renewed in time", ret);
    take_event(e, event, ret);
    give_up_late(e, event->now_us, ret);
    send_due(e, event->now_us, ret);
    ret->next_us = next_us(e);
}
