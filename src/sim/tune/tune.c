/* The search: candidates as text, simulated on the first part of the load; the front of those that
 * nothing beats in both violations and instance-hours; and the whole load for these. The rest of
 * the load is the whole less the first part, so that what a policy has learnt by then counts. */
#include "sim/tune/tune.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/table.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/tune/tune_search.h"
#include "sim/tune/tune_space.h"
#include "sim/tune/tune_work.h"
#include "sim/tune/tune_yaml.h"

#define RESULT_BYTES ((size_t)1024 * 1024 * 1024)
#define POLICY_BYTES ((size_t)64 * 1024 * 1024)
#define TEXT_BYTES ((size_t)256 * 1024)
#define BATCH 16u        /* the same for any number of threads: the next batch learns from it */
#define SPREAD_SHARE 0.4 /* of the runs, before the search narrows */
#define REACH_FIRST 0.3  /* of a coordinate's range */
#define REACH_LAST 0.03
#define ROUNDING 1e-12
#define TRIES_MAX 8 /* for a point that is not known yet */

struct trial { /* a candidate, and what only the search knows of it */
    struct tune_candidate candidate;
    struct tune_point point;
    uint64_t hash;
    bool refused; /* by the reader */
};

struct tuner {
    const struct tune_options *o;
    struct tune_result *result;
    struct rng rng;
    struct tune_space *spaces; /* of each family */
    struct trace train;
    struct trial *trials;
    uint32_t count, cap;
    struct ranked *ranks; /* scratch */
    uint32_t *front;      /* indices by instance-hours */
    uint32_t front_count;
    char *text; /* scratch */
};

/* -- candidates ---------------------------------------------------------------------------------
 */

static const char *write_text(struct tuner *t, const struct schema_node *node, uint32_t indent)
{
    struct str out;
    str_init(&out, t->text, TEXT_BYTES);
    tune_yaml_write(node, indent, &out);
    return out.cut ? NULL : arena_strndup(&t->result->arena, out.p, out.len);
}

/* 0; -EEXIST: such a text is there already; -ENOMEM. */
static int add_trial(struct tuner *t, uint32_t family, const struct schema_node *root,
                     const struct tune_point *point)
{
    const struct schema_node *scale = tune_yaml_find(root, t->spaces[family].scale);
    const char *text = write_text(t, root, 0);
    const char *yaml = text ? write_text(t, scale, 2) : NULL;
    if (!yaml)
        return -ENOMEM;
    uint64_t hash = table_hash(slice_of(text));
    for (uint32_t n = 0; n < t->count; n++) {
        if (t->trials[n].hash == hash)
            return -EEXIST;
    }
    t->trials[t->count++] = (struct trial){
        .candidate = { .family = family, .text = text, .yaml = yaml },
        .point = *point,
        .hash = hash,
    };
    return 0;
}

static int add_point(struct tuner *t, uint32_t family, const struct tune_point *point)
{
    struct arena scratch;
    arena_init(&scratch, malloc, free, POLICY_BYTES);
    const struct schema_node *root = tune_space_apply(&t->spaces[family], &scratch, point->at);
    int rc = root ? add_trial(t, family, root, point) : -ENOMEM;
    arena_done(&scratch);
    return rc;
}

/* -- simulating ---------------------------------------------------------------------------------
 */

static struct tune_outcome outcome_of(const struct score *s)
{
    return (struct tune_outcome){
        .requests = s->requests,
        .violations = s->violations,
        .instance_hours = s->instance_hours,
        .cost = s->cost,
        .co2_g = s->co2_g,
        .moves = (double)s->moves,
    };
}

/* What the whole has more than its first part. */
static struct tune_outcome outcome_less(struct tune_outcome whole, struct tune_outcome part)
{
    double bad = whole.violations * whole.requests - part.violations * part.requests;
    double requests = whole.requests - part.requests;
    if (bad < ROUNDING * whole.requests)
        bad = 0; /* of two large numbers that are the same */
    return (struct tune_outcome){
        .requests = requests,
        .violations = requests > 0 ? MIN(bad / requests, 1) : 0,
        .instance_hours = whole.instance_hours - part.instance_hours,
        .cost = whole.cost - part.cost,
        .co2_g = whole.co2_g - part.co2_g,
        .moves = whole.moves - part.moves,
    };
}

struct batch {
    uint32_t count;
    uint32_t trial[BATCH];
    struct arena arenas[BATCH];
    struct model_conf models[BATCH];
    struct tune_job jobs[BATCH];
};

/* Reads the trial's text; one that the reader refuses has no job. */
static void batch_add(struct tuner *t, struct batch *b, uint32_t trial, const struct trace *load)
{
    const struct tune_options *o = t->o;
    const char *text = t->trials[trial].candidate.text;
    uint32_t n = b->count;
    arena_init(&b->arenas[n], malloc, free, POLICY_BYTES);
    if (o->read(o->context, &b->arenas[n], text, strlen(text), &b->models[n]) < 0) {
        arena_done(&b->arenas[n]);
        t->trials[trial].refused = true;
        return;
    }
    b->jobs[n] = (struct tune_job){ .options = o->run };
    b->jobs[n].options.trace = load;
    b->jobs[n].options.policy = &policy_plimsoll;
    b->jobs[n].options.model = &b->models[n];
    b->trial[b->count++] = trial;
}

/* Simulates the trials of the batch; `tested`: on the whole load. Empties the batch. */
static int batch_run(struct tuner *t, struct batch *b, bool tested)
{
    int rc = 0;
    tune_work(b->jobs, b->count, t->o->threads);
    for (uint32_t n = 0; n < b->count; n++) {
        struct tune_candidate *c = &t->trials[b->trial[n]].candidate;
        struct tune_outcome outcome = outcome_of(&b->jobs[n].result.score);
        arena_done(&b->arenas[n]);
        if (b->jobs[n].rc < 0) {
            rc = b->jobs[n].rc;
            continue;
        }
        run_result_done(&b->jobs[n].result);
        if (tested)
            c->test = outcome_less(outcome, c->train);
        else
            c->train = outcome;
        c->tested = tested;
    }
    b->count = 0;
    return rc;
}

/* Trains all that were added since. */
static int train_from(struct tuner *t, uint32_t first)
{
    struct batch *b = calloc(1, sizeof(*b));
    int rc = b ? 0 : -ENOMEM;
    for (uint32_t n = first; n < t->count && rc == 0; n++) {
        batch_add(t, b, n, &t->train);
        if (b->count == BATCH || n + 1 == t->count)
            rc = batch_run(t, b, false);
        if (b->count == 0 && t->o->progress)
            t->o->progress(n + 1, t->cap);
    }
    free(b);
    return rc;
}

static int test_front(struct tuner *t)
{
    struct batch *b = calloc(1, sizeof(*b));
    int rc = b ? 0 : -ENOMEM;
    for (uint32_t n = 0; n < t->count && rc == 0; n++) {
        const struct trial *x = &t->trials[n];
        if (!x->refused && (x->candidate.front || x->candidate.base))
            batch_add(t, b, n, t->o->run.trace);
        if (b->count == BATCH || n + 1 == t->count)
            rc = batch_run(t, b, true);
    }
    free(b);
    return rc;
}

/* -- the front ----------------------------------------------------------------------------------
 */

struct ranked {
    struct tune_outcome train;
    uint32_t trial;
};

/* By instance-hours, then violations, then as they came. */
static int compare_ranks(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->train.instance_hours != y->train.instance_hours)
        return x->train.instance_hours < y->train.instance_hours ? -1 : 1;
    if (x->train.violations != y->train.violations)
        return x->train.violations < y->train.violations ? -1 : 1;
    return x->trial < y->trial ? -1 : x->trial > y->trial;
}

/* Those that nothing beats: along growing instance-hours, each that has fewer violations than all
 * before it. */
static void find_front(struct tuner *t)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < t->count; n++) {
        struct trial *x = &t->trials[n];
        x->candidate.front = false;
        if (!x->refused)
            t->ranks[count++] = (struct ranked){ x->candidate.train, n };
    }
    qsort(t->ranks, count, sizeof(t->ranks[0]), compare_ranks);
    double least = (double)INFINITY;
    t->front_count = 0;
    for (uint32_t n = 0; n < count; n++) {
        if (t->ranks[n].train.violations >= least)
            continue;
        least = t->ranks[n].train.violations;
        t->trials[t->ranks[n].trial].candidate.front = true;
        t->front[t->front_count++] = t->ranks[n].trial;
    }
}

/* The place in the front of the cheapest that violates at most so often; -1 = none does. */
static int64_t cheapest(const struct tuner *t, double violations)
{
    for (uint32_t n = 0; n < t->front_count; n++) {
        if (t->trials[t->front[n]].candidate.train.violations <= violations)
            return n;
    }
    return -1;
}

/* The cheapest that keeps the SLO with something in reserve, since the load to come is not the one
 * that was searched on; without, when there is none such; -1 = none keeps it. */
static int64_t best_place(const struct tuner *t)
{
    int64_t place = cheapest(t, t->o->allowed * (1 - TUNE_RESERVE));
    return place >= 0 ? place : cheapest(t, t->o->allowed);
}

/* -- the search ---------------------------------------------------------------------------------
 */

static int begin_families(struct tuner *t, struct arena *arena, struct err *err)
{
    for (uint32_t n = 0; n < t->o->family_count; n++) {
        const struct schema_node *root;
        struct node_place place;
        struct tune_point point = { 0 };
        const char *text = t->o->families[n];
        int rc = node_parse(arena, text, strlen(text), &root, &place, err);
        if (rc == 0)
            rc = tune_space_init(&t->spaces[n], root, t->o->service);
        if (rc == -ENOENT)
            return err_set(err, -EINVAL, "service \"%s\" has no scale section to tune",
                           t->o->service);
        if (rc == -EINVAL && t->spaces[n].root)
            return err_set(err, rc,
                           "nothing in scale.rules of \"%s\" can be tuned: give it a "
                           "target, concurrency or queue rule",
                           t->o->service);
        if (rc < 0)
            return rc;
        tune_space_locate(&t->spaces[n], point.at);
        rc = add_trial(t, n, root, &point);
        if (rc < 0)
            return rc;
        t->trials[t->count - 1].candidate.base = true;
    }
    return 0;
}

static int spread(struct tuner *t, uint32_t family, uint32_t count)
{
    struct tune_point *points = calloc(count + 1, sizeof(*points));
    int rc = points ? 0 : -ENOMEM;
    if (rc == 0)
        tune_search_spread(&t->rng, t->spaces[family].count, points, count);
    for (uint32_t n = 0; n < count && rc == 0; n++) {
        rc = add_point(t, family, &points[n]);
        rc = rc == -EEXIST ? 0 : rc;
    }
    free(points);
    return rc;
}

/* Every other parent is the best or a neighbour of it: that is where the answer will be. */
static const struct trial *choose_parent(struct tuner *t)
{
    uint64_t aside = rng_below(&t->rng, 2);
    uint64_t any = rng_below(&t->rng, t->front_count);
    int64_t best = best_place(t);
    int64_t near = (best >= 0 ? best : t->front_count - 1) - 1 + (int64_t)rng_below(&t->rng, 3);
    uint64_t place = aside ? any : (uint64_t)CLAMP(near, 0, (int64_t)t->front_count - 1);
    return &t->trials[t->front[place]];
}

/* Another of the front and of the same family, or NULL. */
static const struct trial *choose_other(struct tuner *t, const struct trial *parent)
{
    uint64_t aside = rng_below(&t->rng, 3);
    const struct trial *other = &t->trials[t->front[rng_below(&t->rng, t->front_count)]];
    if (aside > 0 || other == parent || other->candidate.family != parent->candidate.family)
        return NULL;
    return other;
}

static int add_near(struct tuner *t)
{
    double progress = (double)t->count / (double)t->cap;
    double reach = REACH_FIRST + (REACH_LAST - REACH_FIRST) * progress;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct tune_point point;
        const struct trial *parent = choose_parent(t);
        const struct trial *other = choose_other(t, parent);
        uint32_t family = parent->candidate.family;
        tune_search_near(&t->rng, t->spaces[family].count, &parent->point,
                         other ? &other->point : NULL, reach, &point);
        int rc = add_point(t, family, &point);
        if (rc != -EEXIST)
            return rc;
    }
    return -EEXIST;
}

static int narrow(struct tuner *t)
{
    int rc = 0;
    while (t->count < t->cap && rc == 0) {
        uint32_t first = t->count;
        while (t->count < t->cap && t->count - first < BATCH && rc == 0)
            rc = add_near(t);
        if (rc == -EEXIST && t->count == first)
            return 0; /* nothing new is left near what is good */
        rc = rc == -EEXIST ? 0 : rc;
        if (rc == 0)
            rc = train_from(t, first);
        find_front(t);
    }
    return rc;
}

static int search(struct tuner *t, struct err *err)
{
    struct arena arena;
    arena_init(&arena, malloc, free, POLICY_BYTES);
    int rc = begin_families(t, &arena, err);
    uint32_t room = rc == 0 ? t->cap - t->count : 0;
    uint32_t each = (uint32_t)(SPREAD_SHARE * room / t->o->family_count);
    for (uint32_t n = 0; n < t->o->family_count && rc == 0; n++)
        rc = spread(t, n, each);
    if (rc == 0)
        rc = train_from(t, 0);
    if (rc == 0) {
        find_front(t);
        rc =
            t->front_count > 0 ? narrow(t) : err_set(err, -EINVAL, "no candidate can be simulated");
    }
    arena_done(&arena);
    return rc == 0 ? test_front(t) : rc;
}

/* -- all of it ----------------------------------------------------------------------------------
 */

static int hand_over(struct tuner *t)
{
    struct tune_result *r = t->result;
    r->candidates = ARENA_ARRAY(&r->arena, struct tune_candidate, t->count);
    if (!r->candidates)
        return -ENOMEM;
    for (uint32_t n = 0; n < t->front_count; n++)
        r->candidates[r->count++] = t->trials[t->front[n]].candidate;
    for (uint32_t n = 0; n < t->count; n++) {
        r->invalid += t->trials[n].refused;
        if (!t->trials[n].refused && !t->trials[n].candidate.front)
            r->candidates[r->count++] = t->trials[n].candidate;
    }
    r->front_count = t->front_count;
    r->best = best_place(t);
    return 0;
}

static int split(struct tuner *t, struct err *err)
{
    const struct trace *whole = t->o->run.trace;
    int64_t steps = (int64_t)((double)whole->count * t->o->train_share);
    int64_t cut_us = steps * whole->step_us / US_PER_S * US_PER_S;
    if (cut_us < US_PER_S || trace_length_us(whole) - cut_us < US_PER_S)
        return err_set(err, -EINVAL, "the load is too short to train on a part of it");
    t->result->train_s = (double)cut_us / (double)US_PER_S;
    t->result->test_s = (double)(trace_length_us(whole) - cut_us) / (double)US_PER_S;
    return trace_slice(whole, 0, cut_us, &t->train);
}

static int begin(struct tuner *t)
{
    const struct tune_options *o = t->o;
    t->cap = MAX(o->runs, o->family_count);
    rng_init(&t->rng, o->seed);
    t->spaces = calloc(o->family_count, sizeof(*t->spaces));
    t->trials = calloc(t->cap, sizeof(*t->trials));
    t->ranks = calloc(t->cap, sizeof(*t->ranks));
    t->front = calloc(t->cap, sizeof(*t->front));
    t->text = malloc(TEXT_BYTES);
    return t->spaces && t->trials && t->ranks && t->front && t->text ? 0 : -ENOMEM;
}

int tune_run(const struct tune_options *o, struct tune_result *ret, struct err *err)
{
    struct tuner t = { .o = o, .result = ret };
    *ret = (struct tune_result){ .best = -1 };
    arena_init(&ret->arena, malloc, free, RESULT_BYTES);
    int rc = begin(&t);
    if (rc == 0)
        rc = split(&t, err);
    if (rc == 0)
        rc = search(&t, err);
    if (rc == 0)
        rc = hand_over(&t);
    trace_done(&t.train);
    free(t.spaces);
    free(t.trials);
    free(t.ranks);
    free(t.front);
    free(t.text);
    if (rc < 0)
        tune_result_done(ret);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}

void tune_result_done(struct tune_result *r)
{
    arena_done(&r->arena);
    *r = (struct tune_result){ .best = -1 };
}
