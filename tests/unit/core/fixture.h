/* What a rule looks at, for tests: a service with a few series, no clock, one sample at a time. */
#pragma once

#include <math.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/model.h"
#include "core/rule.h"

#define FIXTURE_POINTS 512
#define FIXTURE_INSTANCES 32
#define FIXTURE_MORE 2048

struct fixture {
    struct series series[METRIC_MAX];
    struct series_point points[METRIC_MAX][FIXTURE_POINTS];
    double scratch[FIXTURE_POINTS];
    struct instance instances[FIXTURE_INSTANCES];
    struct zone_conf zones[2];
    struct rule_state state;
    int64_t more[FIXTURE_MORE]; /* the state's further words, for rules that ask for some */
    struct rule_context ctx;
};

static inline void fixture_init(struct fixture *f, int32_t count)
{
    memset(f, 0, sizeof(*f));
    for (unsigned m = 0; m < METRIC_MAX; m++)
        series_init(&f->series[m], f->points[m], FIXTURE_POINTS, 0);
    f->state.more = f->more;
    f->state.more_count = FIXTURE_MORE;
    f->ctx = (struct rule_context){
        .now_us = 1000 * US_PER_S,
        .current = count,
        .ready = count,
        .start_us = 10 * US_PER_S,
        .words = true,
        .series = f->series,
        .instances = f->instances,
        .zones = f->zones,
        .zone_count = 2,
        .scratch = f->scratch,
    };
}

/* Time goes on by a step and the metric has this value then; NAN = it is not known. */
static inline void fixture_put(struct fixture *f, enum metric m, int64_t step_us, double value)
{
    f->ctx.now_us += step_us;
    series_put(&f->series[m], f->ctx.now_us, value);
}

/* The count that the service has now, all of it ready. */
static inline void fixture_count(struct fixture *f, int32_t count)
{
    f->ctx.current = f->ctx.ready = count;
}

static inline struct opinion fixture_eval(struct fixture *f, const struct rule_conf *r)
{
    struct opinion o;
    rule_eval(r, &f->state, &f->ctx, &o);
    return o;
}

/* All but the text. */
static inline bool fixture_same(const struct opinion *a, const struct opinion *b)
{
    return a->out == b->out && a->in == b->in && a->block_in == b->block_in &&
           a->known == b->known && (!a->known || a->value == b->value) &&
           a->set_min == b->set_min && a->set_max == b->set_max && a->set_count == b->set_count &&
           a->set_since_us == b->set_since_us;
}
