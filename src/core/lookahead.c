/* The guesses, their errors, and the choice between them; lookahead.h has the formulas. It owns its
 * words. It must not look at anything but the load it is told, and must cost next to nothing: a
 * second's work is a few dozen sums, the windows are kept by slots of ten seconds. */
#include "core/lookahead.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/logbins.h"

#define STEP_LEAST_US (900 * US_PER_MS)
#define GAP_US US_PER_MIN /* longer without a word: nothing is known of the time between */
#define LOAD_MAX 1e9
#define COUNT_MAX 1e9
#define MOST_MAX 1e12
#define FACTOR_MAX 1e3
#define START_S_MAX 1e6

#define SLOT_US (10 * US_PER_S)
#define SLOTS 32
#define SLOTS_PEAK 12 /* two minutes */
#define SLOTS_HOLD 30 /* five */
#define LATE_STEPS 30 /* before that the reference has heard of nothing */
#define STEPS 32      /* seconds that a trend may be seen over */
#define TREND_STEPS 30
#define TREND_SHARE 0.5 /* of the trend is believed */
#define PENDING 64
#define PENDING_PARTS 32 /* guesses are written down so often within a horizon */
#define HELD 4
#define SPARE 0.2 /* of an instance more must be idle before one goes */
#define HELD_US (5 * US_PER_S)

#define SMOOTH_S 3.0
#define NOTHING 1e-3 /* of an instance, when nothing comes any more */
#define MEAN_S 600.0
#define STEADY_S 15.0
#define COST_S 86400.0
#define SPENT_S (3 * 86400.0)
#define SIZE_S (7 * 86400.0)
#define FADE_S 86400.0
#define FADE 0.9755 /* a day: half in 28 days */
#define FORGET 1e-7 /* of all: too little to remember */
#define CHOOSE_S 60.0

#define REFERENCE 0.7 /* its utilisation */
#define MISS_FACTOR 1.25
#define NEARLY 0.99  /* one percent too much for a minute is half a second of waiting */
#define CHEAPER 0.95 /* than the first guess, for another to be taken */
#define CHEAPER_AGAIN 0.99
#define BUDGET 0.42 /* of the reference's idle capacity */
#define FLOOR_MIN 0.05
#define FLOOR_MAX 0.4
#define FLOOR_FIRST 0.2
#define FLOOR_GAIN 0.01
#define WORST_FACTOR 3
#define WORST_LEAST 0.02
#define BEGINNER 60.0 /* horizons */
#define UNSEEN 300.0
#define UNSEEN_FIRST 150.0
#define STILL 0.01 /* a load that stays within this does not move */
#define STILL_US (330 * US_PER_S)

enum { PEAK, MEAN, BOTH, FOLLOW, GUESSES };
static const char *const guess_names[GUESSES] = { "peak", "mean", "both", "follow" };

struct guesses {
    double forecast[GUESSES], spread[GUESSES];
};

struct slot {
    double most, least; /* of the load */
    double steady;      /* most of its mean over STEADY_S */
};

/* What the slots before the current one come to. */
struct past {
    double peak;        /* SLOTS_PEAK */
    double most, least; /* SLOTS_HOLD */
    double steady;
};

/* What was thought, to be judged a horizon later. */
struct pending {
    int64_t at_us;
    struct guesses guess;
    double level, scale; /* of the worst rise: d + trend, min(d, D) */
    double mean, above;  /* what the load is above its mean */
    double reference;
};

struct step {
    int64_t at_us;
    double load;
};

struct memory {
    int64_t seen_us; /* the newest load; 0 = none */
    double load;     /* smoothed */
    double age_s, horizon_s;
    double mean, variance, steady, size;
    int64_t slot; /* now / SLOT_US */
    struct slot slots[SLOTS];
    struct past past;
    int64_t steps;
    struct step step[STEPS];
    double slope; /* a second */

    int64_t pending_first, pending_count;
    struct pending pending[PENDING];
    double most; /* load since the last judgement */
    struct logbins errors[GUESSES];
    double judged, missed; /* weights: all, the reference's */
    double worst;          /* rise, in scales */
    double rose, stayed;   /* sums: load above its mean, and what was left a horizon later */
    double faded_s, chosen_s;
    double factor[GUESSES]; /* k */
    int64_t picked;
    double cost[GUESSES];
    double floor, spent, carried;

    int64_t held_slot;
    double held[HELD]; /* counts */
    int64_t moved_us;  /* when the load moved last */
    double moved_load;
    double want;
} __attribute__((may_alias));
static_assert(sizeof(struct memory) % sizeof(int64_t) == 0, "kept as words");

uint32_t lookahead_words(void)
{
    return sizeof(struct memory) / sizeof(int64_t);
}

/* -- what the load was ---------------------------------------------------------------------------
 */

/* A mean over all there was, and once that is longer than `tau_s`, an exponential one. */
static void blend(double *mean, double value, double dt_s, double age_s, double tau_s)
{
    *mean += (value - *mean) * dt_s / MIN(age_s + dt_s, tau_s);
}

static void look_back(struct memory *m)
{
    struct past p = { .least = LOAD_MAX };
    for (int64_t back = 1; back <= SLOTS_HOLD; back++) {
        const struct slot *s = &m->slots[(uint64_t)(m->slot - back) % SLOTS];
        if (back < SLOTS_PEAK)
            p.peak = MAX(p.peak, s->most);
        if (back < SLOTS_HOLD) {
            p.most = MAX(p.most, s->most);
            p.least = MIN(p.least, s->least);
            p.steady = MAX(p.steady, s->steady);
        }
    }
    m->past = p;
}

static void note_slot(struct memory *m, int64_t now_us, double load)
{
    static const struct slot empty = { .least = LOAD_MAX };
    int64_t slot = now_us / SLOT_US;
    if (slot != m->slot) {
        int64_t from = MAX(m->slot + 1, slot - SLOTS + 1);
        for (int64_t i = m->slot > slot ? slot : from; i <= slot; i++)
            m->slots[(uint64_t)i % SLOTS] = empty;
        m->slot = slot;
        look_back(m);
    }
    struct slot *s = &m->slots[(uint64_t)slot % SLOTS];
    s->most = MAX(s->most, load);
    s->least = MIN(s->least, load);
    s->steady = MAX(s->steady, m->steady);
}

/* The seconds that a trend is seen over. */
static int64_t trend_steps(const struct memory *m)
{
    return CLAMP((int64_t)m->horizon_s - 1, 2, TREND_STEPS);
}

static void note_trend(struct memory *m, int64_t now_us, double load)
{
    int64_t over = trend_steps(m);
    m->slope = 0;
    if (m->steps >= over) {
        const struct step *then = &m->step[(uint64_t)(m->steps - over) % STEPS];
        double dt_s = (double)us_sub(now_us, then->at_us) / US_PER_S;
        if (dt_s > 0)
            m->slope = (load - then->load) / dt_s;
    }
    m->step[(uint64_t)m->steps % STEPS] = (struct step){ now_us, load };
    m->steps++;
}

static void note_load(struct memory *m, int64_t now_us, double load, double dt_s)
{
    double error = load - m->mean, share = dt_s / (MEAN_S + dt_s);
    m->mean += share * error;
    m->variance = (1 - share) * (m->variance + share * error * error);
    m->steady += (load - m->steady) * MIN(1, dt_s / STEADY_S);
    blend(&m->size, load, dt_s, m->age_s, SIZE_S);
    note_slot(m, now_us, load);
    note_trend(m, now_us, load);
    double peak = MAX(m->past.peak, m->slots[(uint64_t)m->slot % SLOTS].most);
    if (!(fabs(peak - m->moved_load) <= STILL * m->moved_load)) {
        m->moved_load = peak;
        m->moved_us = now_us;
    }
}

/* -- what may come -------------------------------------------------------------------------------
 */

struct outlook {
    double load, level; /* level = load + trend */
    double lasting;
    double scale; /* min(load, size), and never nothing */
    double reference;
    struct guesses guess;
};

/* The share of a load above the mean that is still there a horizon later: starting instances for
 * what is over before they are ready helps nobody. */
static double lasting_of(const struct memory *m)
{
    return m->rose > 0 ? CLAMP(m->stayed / m->rose, 0, 1) : 1;
}

/* A load that has not moved for five minutes has no deviation and no other mean. */
static void outlook_at(const struct memory *m, double load, struct outlook *ret)
{
    const struct slot *s = &m->slots[(uint64_t)m->slot % SLOTS];
    double peak = MAX(load, MAX(s->most, m->past.peak));
    double most = MAX(load, MAX(s->most, m->past.most));
    double least = MIN(load, MIN(s->least, m->past.least));
    double mean = MIN(m->mean, most), deviation = MIN(sqrt(m->variance), most - least);
    double ahead_s = MIN(m->horizon_s, (double)(2 * trend_steps(m) + 2));
    double lasting = lasting_of(m);
    double trend = CLAMP(TREND_SHARE * m->slope * ahead_s, 0, 2 * load);
    double level = MIN(load, mean) + lasting * (MAX(load - mean, 0) + trend);
    double root = sqrt(MAX(m->mean, 0.05) * MAX(m->size, 0.05));
    double spread = deviation + 0.05 * root + 0.01;
    *ret = (struct outlook){
        .load = load,
        .level = level,
        .lasting = lasting,
        .scale = MAX(0.05, MIN(load, m->size)),
        .reference = MAX(load, MAX(s->steady, m->past.steady)) / REFERENCE,
        .guess = {
            .forecast = { [PEAK] = MAX(peak, level), mean, MAX(mean, level), level },
            .spread = { [PEAK] = MAX(peak, 0.3), spread, spread, root },
        },
    };
}

static double bound_of(const struct memory *m, const struct outlook *o, unsigned guess)
{
    return o->guess.forecast[guess] + m->factor[guess] * o->guess.spread[guess];
}

/* Against what has never happened yet. Surges do not begin in a steep fall. */
static double floor_of(const struct memory *m, const struct outlook *o)
{
    double rise = m->slope * m->horizon_s / (o->load + 0.1);
    double share = CLAMP(1 + (rise + 0.02) / 0.04, 0.25, 1);
    double worst = MIN(m->floor, WORST_FACTOR * (m->worst + WORST_LEAST));
    return o->level + worst * share * o->scale;
}

static const struct pending *oldest_of(const struct memory *m)
{
    return &m->pending[(uint64_t)m->pending_first % PENDING];
}

/* How many horizons it has lived through. */
static double experience_of(const struct memory *m)
{
    return m->age_s / m->horizon_s;
}

/* A utilisation saturates: within a start time the reference grows to 1 / 0.7 of itself at most. */
static double saturated(const struct memory *m, double reference)
{
    if (m->pending_count == 0 || m->age_s <= m->horizon_s)
        return reference;
    return MIN(reference, ceil(oldest_of(m)->reference / REFERENCE));
}

struct advice {
    double learnt, cautious;
};

static struct advice advice_of(const struct memory *m, const struct outlook *o)
{
    return (struct advice){
        .learnt = MAX(bound_of(m, o, (unsigned)m->picked), floor_of(m, o)),
        .cautious = MAX(o->level, saturated(m, MAX(o->reference, m->past.peak))),
    };
}

/* A beginner follows the reference, and does not forget a burst at once. */
static double most_of(const struct memory *m, const struct advice *a)
{
    double doubt = BEGINNER / (BEGINNER + experience_of(m));
    return doubt * a->cautious + (1 - doubt) * a->learnt;
}

/* -- what became of it ---------------------------------------------------------------------------
 */

/* `most` was the load since the last judgement. */
static void judge(struct memory *m, const struct pending *p, double most, double load)
{
    double needed = ceil(most * NEARLY);
    for (unsigned i = 0; i < GUESSES; i++)
        logbins_add(&m->errors[i], (needed - 1 - p->guess.forecast[i]) / p->guess.spread[i], most);
    m->worst = MAX(m->worst, (most - p->level) / p->scale);
    m->rose += p->above;
    m->stayed += p->above > 0 ? load - p->mean : 0;
    m->judged += most;
    if (needed > p->reference)
        m->missed += most;
}

static void judge_due(struct memory *m, int64_t now_us, double load)
{
    int64_t horizon_us = (int64_t)(m->horizon_s * US_PER_S);
    m->most = m->pending_count > 0 ? MAX(m->most, load) : load;
    while (m->pending_count > 0) {
        const struct pending *p = oldest_of(m);
        if (us_sub(now_us, p->at_us) < horizon_us)
            return;
        judge(m, p, m->most, load);
        m->most = load;
        m->pending_first++;
        m->pending_count--;
    }
}

static double reference_then(const struct memory *m, const struct outlook *o)
{
    double count = ceil(m->steps <= LATE_STEPS ? o->reference : m->past.steady / REFERENCE);
    return MAX(saturated(m, count), 1);
}

static void write_down(struct memory *m, int64_t now_us, const struct outlook *o)
{
    if (m->pending_count > 0) {
        uint64_t last = (uint64_t)(m->pending_first + m->pending_count - 1) % PENDING;
        double apart_s = MAX(1, m->horizon_s / PENDING_PARTS);
        if (us_sub(now_us, m->pending[last].at_us) < (int64_t)(apart_s * US_PER_S))
            return;
        if (m->pending_count == PENDING) {
            m->pending_first++;
            m->pending_count--;
        }
    }
    double reference = reference_then(m, o);
    struct pending *p = &m->pending[(uint64_t)(m->pending_first + m->pending_count) % PENDING];
    p->at_us = now_us;
    p->guess = o->guess;
    p->level = o->level;
    p->mean = m->mean;
    p->above = MAX(0, o->load - m->mean);
    p->scale = o->scale;
    p->reference = reference;
    m->pending_count++;
}

/* -- what follows --------------------------------------------------------------------------------
 */

static void choose(struct memory *m)
{
    unsigned best = PEAK;
    double unseen = 1 + UNSEEN / (UNSEEN_FIRST + experience_of(m));
    for (unsigned i = 0; i < GUESSES; i++) {
        double above;
        m->factor[i] = logbins_edge_below(&m->errors[i], MISS_FACTOR * m->missed, &above);
        if (above <= 0)
            m->factor[i] *= unseen;
        if (m->cost[i] < m->cost[best])
            best = i;
    }
    if (m->cost[best] >= CHEAPER * m->cost[PEAK])
        m->picked = PEAK;
    else if (m->cost[best] < CHEAPER_AGAIN * m->cost[m->picked])
        m->picked = best;
    double idle = MAX(0, m->carried - 0.5) * (1 / REFERENCE - 1);
    double over = (m->spent - m->carried - BUDGET * idle) / (m->carried + 0.1);
    m->floor = CLAMP(m->floor - FLOOR_GAIN * over, FLOOR_MIN, FLOOR_MAX);
}

static void fade(struct memory *m)
{
    for (unsigned i = 0; i < GUESSES; i++)
        logbins_fade(&m->errors[i], FADE, FORGET * m->judged);
    m->judged *= FADE;
    m->missed *= FADE;
    m->rose *= FADE;
    m->stayed *= FADE;
}

/* As many instances; a hair above a whole number is that number. */
static double whole(double load)
{
    double count = ceil(load - 1e-9);
    return count >= 0 ? MIN(count, COUNT_MAX) : 0; /* NaN too */
}

static void hold(struct memory *m, int64_t now_us, double count)
{
    int64_t slot = now_us / HELD_US;
    for (int64_t i = MAX(m->held_slot + 1, slot - HELD + 1); i <= slot; i++)
        m->held[(uint64_t)i % HELD] = 0;
    m->held_slot = slot;
    double *held = &m->held[(uint64_t)slot % HELD];
    *held = MAX(*held, count);
    for (unsigned i = 0; i < HELD; i++)
        count = MAX(count, m->held[i]);
    if (us_sub(now_us, m->moved_us) <= STILL_US)
        m->want = count;
}

static void account(struct memory *m, const struct outlook *o, double most, double dt_s)
{
    for (unsigned i = 0; i < GUESSES; i++)
        blend(&m->cost[i], bound_of(m, o, i), dt_s, m->age_s, COST_S);
    blend(&m->spent, ceil(most), dt_s, m->age_s, SPENT_S);
    blend(&m->carried, o->load + 0.5, dt_s, m->age_s, SPENT_S);
}

/* True when the past has changed its weight, and with it the outlook. */
static bool periodic(struct memory *m)
{
    if (m->age_s >= m->chosen_s) {
        m->chosen_s = m->age_s + CHOOSE_S;
        choose(m);
    }
    if (m->age_s < m->faded_s)
        return false;
    m->faded_s = m->age_s + FADE_S;
    fade(m);
    return true;
}

/* -- the words -----------------------------------------------------------------------------------
 */

/* Nothing finite and possible may be trusted in words from a file; what is used as an index is. */
static bool is_sane(const struct memory *m)
{
    for (unsigned i = 0; i < GUESSES; i++) {
        if (!(m->factor[i] >= 0 && m->factor[i] <= FACTOR_MAX && fabs(m->cost[i]) < INFINITY))
            return false;
    }
    return m->seen_us > 0 && m->age_s >= 0 && m->age_s < 1e12 && m->horizon_s >= 1 &&
           m->horizon_s < 1e7 && m->load >= 0 && m->load <= LOAD_MAX && m->mean >= 0 &&
           m->mean <= LOAD_MAX && m->variance >= 0 && m->variance <= LOAD_MAX * LOAD_MAX &&
           m->size >= 0 && m->size <= LOAD_MAX && (uint64_t)m->picked < GUESSES &&
           (uint64_t)m->pending_count <= PENDING && m->pending_first >= 0 &&
           m->pending_first < INT64_MAX / 2 && m->steps >= 0 && m->steps < INT64_MAX / 2 &&
           m->slot >= 0 && m->slot < INT64_MAX / 2 && m->held_slot >= 0 &&
           m->held_slot < INT64_MAX / 2;
}

static void begin(struct memory *m, double load, double horizon_s)
{
    memset(m, 0, sizeof(*m));
    m->horizon_s = horizon_s;
    m->load = m->mean = m->steady = m->size = load;
    m->slot = -1;
    m->held_slot = -1;
    m->floor = FLOOR_FIRST;
    m->spent = m->carried = load;
    m->faded_s = FADE_S;
}

static void forget_pending(struct memory *m)
{
    m->pending_count = m->steps = 0;
    m->most = 0;
}

/* Errors grow with the time that they have to. */
static void set_horizon(struct memory *m, double horizon_s)
{
    if (fabs(horizon_s - m->horizon_s) <= m->horizon_s / 4)
        return;
    for (unsigned i = 0; i < GUESSES; i++)
        logbins_stretch(&m->errors[i], horizon_s / m->horizon_s);
    m->horizon_s = horizon_s;
    forget_pending(m);
}

static double tame(double load)
{
    return load >= 0 ? MIN(load, LOAD_MAX) : 0; /* NaN too */
}

/* What is known at an instant: made once, for learning and for the answer. */
struct view {
    bool good; /* and still so */
    struct outlook outlook;
    struct advice advice;
};

/* What the load may come to; NaN, or beyond MOST_MAX: the words made no sense. */
static double step(struct memory *m, int64_t now_us, double load, double dt_s, struct view *v)
{
    const struct outlook *o = &v->outlook;
    note_load(m, now_us, load, dt_s);
    judge_due(m, now_us, load);
    outlook_at(m, load, &v->outlook);
    write_down(m, now_us, o);
    bool faded = periodic(m);
    v->advice = advice_of(m, o);
    v->good = !faded && m->age_s > m->horizon_s; /* the same a moment later: see saturated() */
    double most = most_of(m, &v->advice);
    account(m, o, most, dt_s);
    double count = whole(most);
    hold(m, now_us, count < m->want ? MIN(m->want, whole(most + SPARE)) : count);
    m->seen_us = now_us;
    m->age_s += dt_s;
    return most;
}

/* What comes and goes within seconds waits a moment at worst. Once something waits, all counts. */
static double smoothed(const struct memory *m, double load, bool waiting, double dt_s)
{
    double smooth = m->load + (load - m->load) * MIN(1, dt_s / SMOOTH_S);
    if (load <= 0 && smooth < NOTHING)
        return 0;
    return waiting ? MAX(smooth, load) : smooth;
}

static void learn(struct memory *m, const struct lookahead_load *now, struct view *v)
{
    double horizon_s = (now->start_s >= 1 ? MIN(now->start_s, START_S_MAX) : 1) + 1;
    double load = tame(now->load);
    v->good = false;
    if (!is_sane(m))
        begin(m, load, horizon_s);
    int64_t since_us = us_sub(now->now_us, m->seen_us);
    if (m->seen_us > 0 && since_us >= 0 && since_us < STEP_LEAST_US)
        return;
    bool gap = m->seen_us == 0 || since_us < 0 || since_us > GAP_US;
    double dt_s = gap ? 1 : (double)since_us / US_PER_S;
    if (gap)
        forget_pending(m);
    set_horizon(m, horizon_s);
    m->load = load = smoothed(m, load, now->waiting, dt_s);
    for (bool first = true; !(step(m, now->now_us, load, dt_s, v) <= MOST_MAX) && first;) {
        begin(m, load, horizon_s);
        dt_s = 1;
        first = false;
    }
}

static void look(const struct memory *m, double load, struct view *ret)
{
    outlook_at(m, load, &ret->outlook);
    ret->advice = advice_of(m, &ret->outlook);
}

static void answer(const struct memory *m, const struct view *v, struct lookahead_answer *ret)
{
    const struct outlook *o = &v->outlook;
    double most = most_of(m, &v->advice), count = whole(m->want);
    /* More than the last second's: what came since then counts. */
    if (o->load > m->step[(uint64_t)(m->steps - 1) % STEPS].load)
        count = MAX(count, whole(most));
    bool idle = o->load <= 0 && m->past.most <= 0 && m->slots[(uint64_t)m->slot % SLOTS].most <= 0;
    *ret = (struct lookahead_answer){
        .count = idle ? 0 : (int32_t)MAX(count, whole(o->level)),
        .most = most,
        .level = o->level,
        .lasting = o->lasting,
        .age_s = m->age_s,
        .guess = guess_names[(uint64_t)m->picked % GUESSES],
    };
}

void lookahead_learn(int64_t *words, const struct lookahead_load *now)
{
    struct view v;
    learn((struct memory *)words, now, &v);
}

void lookahead_ask(const int64_t *words, const struct lookahead_load *now,
                   struct lookahead_answer *ret)
{
    const struct memory *m = (const struct memory *)words;
    struct view v;
    assert(m->steps > 0);
    look(m, now->waiting ? MAX(m->load, tame(now->load)) : m->load, &v);
    answer(m, &v, ret);
}

void lookahead_follow(int64_t *words, const struct lookahead_load *now,
                      struct lookahead_answer *ret)
{
    struct memory *m = (struct memory *)words;
    struct view v;
    learn(m, now, &v);
    if (v.good)
        answer(m, &v, ret);
    else
        lookahead_ask(words, now, ret);
}
