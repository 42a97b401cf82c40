/* What is written down of a run while it goes on: decisions, points of its course, its bill. It
 * changes nothing that happens. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/energy.h"
#include "sim/run_int.h"

#define DECISIONS_MAX 1000000

static void mix(uint64_t *hash, uint64_t word)
{
    for (int n = 0; n < 8; n++)
        *hash = (*hash ^ ((word >> 8 * n) & 255)) * UINT64_C(1099511628211);
}

/* -- decisions -- */

int run_watch_begin(struct run_watch *w, const struct run_options *o,
                    const struct policy_setup *setup)
{
    *w = (struct run_watch){
        .o = o,
        .self = o->policy->open(setup),
        .hash = UINT64_C(14695981039346656037),
    };
    if (!w->self)
        return -ENOMEM;
    w->desired = o->policy->desired(w->self);
    return 0;
}

static bool grow(struct run_watch *w)
{
    if (w->decision_count < w->decision_cap)
        return true;
    uint32_t cap = MAX(2 * w->decision_cap, 256);
    void *more = realloc(w->decisions, cap * sizeof(*w->decisions));
    if (!more)
        return false;
    w->decisions = more;
    w->decision_cap = cap;
    return true;
}

void run_watch_note(struct run_watch *w, int64_t at_us, int32_t desired)
{
    mix(&w->hash, (uint64_t)at_us);
    mix(&w->hash, (uint64_t)(uint32_t)desired);
    w->moves++;
    int32_t before = w->desired;
    w->desired = desired;
    if (!w->o->decisions || w->decision_count == DECISIONS_MAX)
        return;
    if (!grow(w)) {
        w->failed = true;
        return;
    }
    struct run_decision *d = &w->decisions[w->decision_count++];
    *d = (struct run_decision){ .at_us = at_us, .before = before, .after = desired };
    const char *why = w->o->policy->why ? w->o->policy->why(w->self) : NULL;
    struct str s;
    str_init(&s, d->why, sizeof(d->why));
    str_put(&s, why ? why : "");
}

int run_watch_end(struct run_watch *w, struct run_result *ret)
{
    if (!w->self)
        return 0;
    w->o->policy->close(w->self);
    uint64_t bits;
    memcpy(&bits, &ret->score.violations, sizeof(bits));
    mix(&w->hash, bits);
    memcpy(&bits, &ret->score.instance_hours, sizeof(bits));
    mix(&w->hash, bits);
    ret->hash = w->hash;
    ret->score.moves = w->moves;
    ret->decisions = w->decisions;
    ret->decision_count = w->decision_count;
    return w->failed ? -ENOMEM : 0;
}

/* -- points -- */

int run_fold_begin(struct run_fold *f, const struct run_options *o)
{
    *f = (struct run_fold){ .cap = o->points_max };
    if (f->cap == 0)
        return 0;
    int64_t seconds = trace_length_us(o->trace) / US_PER_S;
    f->each_us = (seconds / f->cap + 1) * US_PER_S;
    f->points = calloc(f->cap, sizeof(*f->points));
    return f->points ? 0 : -ENOMEM;
}

static void finish(struct run_fold *f)
{
    if (f->steps == 0 || f->count == f->cap)
        return;
    struct run_point *p = &f->points[f->count++];
    *p = f->sum;
    p->load /= f->steps;
    p->capacity /= f->steps;
    p->in_flight /= f->steps;
    p->ready /= f->steps;
    p->starting /= f->steps;
    p->desired /= f->steps;
    f->sum = (struct run_point){ 0 };
    f->steps = 0;
}

void run_fold_step(struct run_fold *f, const struct run_point *now)
{
    if (f->cap == 0)
        return;
    struct run_point *s = &f->sum;
    s->at_us = now->at_us;
    s->load += now->load;
    s->capacity += now->capacity;
    s->in_flight += now->in_flight;
    s->queued = MAX(s->queued, now->queued);
    s->latency_p99_s = MAX(s->latency_p99_s, now->latency_p99_s);
    s->ready += now->ready;
    s->starting += now->starting;
    s->desired += now->desired;
    s->paid_s = now->paid_s;
    f->steps++;
    if (now->at_us >= (int64_t)(f->count + 1) * f->each_us)
        finish(f);
}

void run_fold_end(struct run_fold *f, struct run_result *ret)
{
    finish(f);
    ret->points = f->points;
    ret->point_count = f->count;
}

/* -- the bill -- */

static double grams_at(const struct run_options *o, int64_t wall_us)
{
    return energy_grams_per_kwh(o->carbon, o->model ? o->model->zones : NULL,
                                o->model ? o->model->zone_count : 0, wall_us, NULL);
}

static double kwh(const struct run_options *o, double paid_s)
{
    return o->watts * paid_s / 3.6e6;
}

void run_bill_begin(struct run_bill *b, const struct run_options *o)
{
    *b = (struct run_bill){ .o = o, .hour = INT64_MIN };
}

void run_bill_add(struct run_bill *b, int64_t wall_us, double paid_s)
{
    int64_t hour = wall_us / US_PER_HOUR;
    if (!b->o->carbon || b->o->watts <= 0)
        return;
    if (hour != b->hour) {
        b->hour = hour;
        b->grams = grams_at(b->o, wall_us);
    }
    b->co2_g += kwh(b->o, paid_s) * b->grams;
}

void run_bill_end(const struct run_bill *b, const struct fleet *f, struct score *s)
{
    s->instance_hours = f->paid_s / 3600;
    s->cost = s->instance_hours * b->o->cost;
    s->energy_kwh = kwh(b->o, f->paid_s);
    s->co2_g = b->co2_g;
}
