/* uWSGI's cheaper_busyness with its defaults, an instance in the place of a worker: cycles of 3 s;
 * busier than 50 %: one more; under 25 % for long enough: one less; a backlog above 33, or any for
 * 60 s: an emergency. Source: unbit/uwsgi, plugins/cheaper_busyness/cheaper_busyness.c. */
#include "base/us.h"
#include "sim/peers/peer.h"

#define OVERLOAD_S 3
#define BUSY_MAX 0.50
#define BUSY_MIN 0.25
#define STEP 1
#define MULTIPLIER 10
#define PENALTY 2
#define TOLERANCE 3
#define BACKLOG_ALERT 33
#define BACKLOG_STEP 1
#define BACKLOG_MULTIPLIER 3
#define BACKLOG_NONZERO_S 60

enum action { ACTION_NONE, ACTION_SPAWN, ACTION_CHEAP };

struct uwsgi {
    struct peer p;
    struct peer_mean busy;
    int64_t multiplier;
    int64_t next_cheap_s, last_cheap_s, backlog_s; /* backlog_s: nonzero for so long */
    int32_t between;                               /* cycles in a row between least and most */
    enum action last;
};

static void *uwsgi_open(const struct policy_setup *s)
{
    struct uwsgi *u = peer_open(sizeof(*u), s);
    if (!u)
        return NULL;
    u->multiplier = MULTIPLIER;
    u->next_cheap_s = OVERLOAD_S * MULTIPLIER;
    u->last_cheap_s = INT32_MIN;
    return u;
}

static void calm_down(struct uwsgi *u)
{
    if (u->multiplier > MULTIPLIER)
        u->multiplier--;
}

static void spawn(struct uwsgi *u, int64_t now_s, int percent)
{
    u->between = 0;
    if (now_s - u->last_cheap_s < u->multiplier * OVERLOAD_S)
        u->multiplier += PENALTY;
    else
        calm_down(u);
    u->next_cheap_s = now_s + u->multiplier * OVERLOAD_S;
    u->last = ACTION_SPAWN;
    peer_want(&u->p, u->p.desired + STEP, "busyness %d%%, above 50%%", percent);
}

static void cheap(struct uwsgi *u, int64_t now_s, int percent)
{
    u->between = 0;
    if (u->p.desired == 1 || now_s < u->next_cheap_s)
        return;
    if (u->last == ACTION_CHEAP)
        calm_down(u);
    u->last = ACTION_CHEAP;
    u->last_cheap_s = now_s;
    u->next_cheap_s = now_s + u->multiplier * OVERLOAD_S;
    peer_want(&u->p, u->p.desired - 1, "busyness %d%%, under 25%% for %llds", percent,
              (long long)(u->multiplier * OVERLOAD_S));
}

static void stay(struct uwsgi *u, int64_t now_s)
{
    if (u->p.desired == 1)
        return;
    u->next_cheap_s += OVERLOAD_S;
    if (++u->between < TOLERANCE)
        return;
    u->between = 0;
    u->next_cheap_s = now_s + u->multiplier * OVERLOAD_S;
}

static void cycle(struct uwsgi *u, int64_t now_s)
{
    double busy = peer_mean_take(&u->busy);
    int percent = (int)(busy * 100);
    if (busy > BUSY_MAX)
        spawn(u, now_s, percent);
    else if (busy < BUSY_MIN)
        cheap(u, now_s, percent);
    else
        stay(u, now_s);
}

static void watch_backlog(struct uwsgi *u, double queued, int64_t now_s)
{
    u->backlog_s = queued > 0 ? u->backlog_s + 1 : 0;
    bool alert = queued > BACKLOG_ALERT;
    if (!alert && u->backlog_s <= BACKLOG_NONZERO_S)
        return;
    if (alert) {
        u->multiplier = MULTIPLIER;
        u->next_cheap_s = now_s + BACKLOG_MULTIPLIER * OVERLOAD_S;
    } else {
        u->backlog_s = 0;
    }
    peer_want(&u->p, u->p.desired + BACKLOG_STEP, "backlog %lld", (long long)queued);
}

static void uwsgi_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct uwsgi *u = self;
    int64_t now_s = v->now_us / US_PER_S;
    peer_mean_add(&u->busy, v, v->utilisation);
    watch_backlog(u, v->queued, now_s);
    if (peer_due(v, OVERLOAD_S * US_PER_S))
        cycle(u, now_s);
    peer_order(&u->p, fleet);
}

const struct policy_ops policy_uwsgi = {
    .name = "uwsgi",
    .help = "uWSGI cheaper_busyness, 25 to 50 %, cycles of 3 s, backlog emergency above 33",
    .open = uwsgi_open,
    .step = uwsgi_step,
    PEER_OPS,
};
