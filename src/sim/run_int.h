/* What the two worlds share. Private to run*.c, tick.c and request*.c. */
#pragma once

#include "sim/run.h"

#define RUN_INITIAL_LOAD 0.7 /* what the first instances are to be loaded with */

struct policy_setup run_setup(const struct run_options *o);

/* Watches a policy: what it ordered, when and why. */
struct run_watch {
    const struct run_options *o;
    void *self;
    int32_t desired;
    uint64_t hash, moves;
    struct run_decision *decisions;
    uint32_t decision_count, decision_cap;
    bool failed; /* no memory */
};

/* Opens the policy; the fleet begins with what it desires. 0 or -ENOMEM. */
int run_watch_begin(struct run_watch *w, const struct run_options *o,
                    const struct policy_setup *setup);
void run_watch_note(struct run_watch *w, int64_t at_us, int32_t desired);
/* Lets the policy look and order, and notes what has changed. `now_us` counts from the run's begin.
 */
static inline void run_watch_step(struct run_watch *w, const struct policy_view *v,
                                  struct fleet *fleet)
{
    w->o->policy->step(w->self, v, fleet);
    fleet->news_count = 0;
    int32_t desired = w->o->policy->desired(w->self);
    if (__builtin_expect(desired != w->desired, 0))
        run_watch_note(w, v->now_us, desired);
}
/* Closes it, and hands over what was noted; -ENOMEM when something could not be. Nothing happens
 * when it was never open. */
int run_watch_end(struct run_watch *w, struct run_result *ret);

/* Folds the run into points: the owner adds what each step was, whose length is all the same. */
struct run_fold {
    uint32_t cap, count;
    int64_t each_us; /* of a point */
    struct run_point *points, sum;
    double steps;
};

int run_fold_begin(struct run_fold *f, const struct run_options *o);
/* Of `now` all is this step's, latency and queue too; paid_s so far. */
void run_fold_step(struct run_fold *f, const struct run_point *now);
void run_fold_end(struct run_fold *f, struct run_result *ret);

/* What the fleet cost, into the score. */
struct run_bill {
    const struct run_options *o;
    double co2_g;
    int64_t hour; /* since 1970: grams are looked up once an hour */
    double grams;
};
void run_bill_begin(struct run_bill *b, const struct run_options *o);
/* So many instance-seconds more, at that time. */
void run_bill_add(struct run_bill *b, int64_t wall_us, double paid_s);
void run_bill_end(const struct run_bill *b, const struct fleet *f, struct score *s);
