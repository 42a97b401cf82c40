/* The laws of an election, looked at after every step. */
#include "base/fmt.h"
#include "sim/elect/world_int.h"

#define REQUESTS_PER_S_MAX 5
#define SLACK_US (400 * US_PER_MS) /* the model's own delays, and its look for what has expired */

void law_broken(struct elect_world *w, const char *law, const char *format, ...)
{
    va_list args;
    if (w->report->law[0])
        return;
    va_start(args, format);
    fmt_v(w->report->text, sizeof(w->report->text), format, args);
    va_end(args);
    fmt(w->report->law, sizeof(w->report->law), "%s", law);
    w->report->at_us = w->now_us;
}

static bool may_act(const struct elect_world *w, int n)
{
    const struct member *m = &w->members[n];
    return m->life % 2 == 1 && elect_may_act(&m->elect, member_clock_us(w, m));
}

void law_check_one(struct elect_world *w)
{
    int who = -1;
    for (int n = 0; n < w->member_count; n++) {
        if (!may_act(w, n))
            continue;
        if (who >= 0)
            law_broken(w, "one", "members %d and %d may both act, with tokens %llu and %llu", who,
                       n, (unsigned long long)w->members[who].elect.token,
                       (unsigned long long)w->members[n].elect.token);
        who = n;
    }
}

/* Of m, which has just begun to lead. */
void law_check_token(struct elect_world *w, const struct member *m)
{
    if (m->elect.token <= w->newest_token)
        law_broken(w, "token", "a leader's token is %llu after %llu",
                   (unsigned long long)m->elect.token, (unsigned long long)w->newest_token);
    w->newest_token = m->elect.token;
    w->newest_since_us = w->now_us;
}

void law_check_leader(struct elect_world *w)
{
    int who = -1;
    int64_t due_us =
        MAX(w->settled_by_us, w->last_arrival_us) + (w->ttl_us + US_PER_S) * 11 / 10 + SLACK_US;
    for (int n = 0; w->calm && n < w->member_count; n++)
        if (may_act(w, n))
            who = n;
    if (!w->calm || w->now_us < due_us)
        return;
    if (who < 0)
        law_broken(w, "leader", "nobody leads %lld ms after the faults ended",
                   (long long)((w->now_us - w->settled_by_us) / US_PER_MS));
    else if (w->calm_leader >= 0 && who != w->calm_leader)
        law_broken(w, "leader", "member %d leads after %d in calm weather", who, w->calm_leader);
    w->calm_leader = who;
}

void law_check_traffic(struct elect_world *w, int64_t calm_us)
{
    for (int n = 0; n < w->member_count; n++)
        if ((int64_t)w->members[n].requests * US_PER_S > REQUESTS_PER_S_MAX * calm_us)
            law_broken(w, "traffic", "member %d sent %llu requests in %lld s of calm weather", n,
                       (unsigned long long)w->members[n].requests, (long long)(calm_us / US_PER_S));
}
