/* Runs the cells of a score. It knows no file and prints nothing. */
#include "cli/score_cells.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/default_policy.h"

#define THREADS_MAX 64
#define GOAL 0.5

int score_prepare(struct trace *t)
{
    int rc = trace_grow(t, SCORE_MEAN_RPS / trace_mean(t));
    if (rc == 0)
        trace_scale(t, SCORE_MEAN_RPS / trace_mean(t)); /* a filter moves the mean a little */
    return rc;
}

size_t score_place(const struct policy_ops *policy)
{
    size_t n = 0;
    while (policy_all[n] != policy)
        n++;
    return n;
}

/* -- in parallel: each run is a job, and takes nothing from another -- */

struct jobs {
    struct score_cell *cells;
    size_t policy_first, policy_count, count;
    atomic_size_t next;
    atomic_int failed;
};

static int run_one(struct score_cell *cell, size_t policy)
{
    struct default_policy fallback;
    struct run_result result;
    default_policy_init(&fallback, SCORE_SLOTS);
    struct run_options o = {
        .trace = cell->trace,
        .policy = policy_all[policy],
        .model = &fallback.model,
        .capacity = SCORE_CAPACITY,
        .slots = SCORE_SLOTS,
        .fleet = { .boot_us = cell->boot_us },
        .allowed_violations = cell->allowed,
        .seed = 1,
    };
    int rc = run_simulate(&o, &result, NULL);
    if (rc < 0)
        return rc;
    cell->scores[policy] = result.score;
    run_result_done(&result);
    return 0;
}

static void *work(void *arg)
{
    struct jobs *j = arg;
    for (;;) {
        size_t n = atomic_fetch_add(&j->next, 1);
        if (n >= j->count || j->failed)
            return NULL;
        size_t policy = j->policy_first + n % j->policy_count;
        int rc = run_one(&j->cells[n / j->policy_count], policy);
        if (rc < 0)
            j->failed = rc;
    }
}

static int run_jobs(struct score_cell *cells, size_t count, size_t policy_first,
                    size_t policy_count)
{
    pthread_t threads[THREADS_MAX];
    struct jobs j = {
        .cells = cells,
        .policy_first = policy_first,
        .policy_count = policy_count,
        .count = count * policy_count,
    };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = (size_t)CLAMP(cores, 1, THREADS_MAX), started = 0;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, work, &j) == 0)
        started++;
    work(&j);
    for (size_t n = 0; n < started; n++)
        pthread_join(threads[n], NULL);
    return j.failed;
}

/* -- what it comes to -- */

static size_t better(const struct score *scores, size_t a, size_t b)
{
    if (scores[a].violations != scores[b].violations)
        return scores[a].violations < scores[b].violations ? a : b;
    return scores[a].instance_hours <= scores[b].instance_hours ? a : b;
}

static void judge(struct score_cell *c)
{
    const struct score *peer = &c->scores[c->peer], *mine = &c->scores[0];
    const struct score *oracle = &c->scores[score_place(policy_find("oracle"))];
    double gap = peer->instance_hours - oracle->instance_hours;
    c->closes = gap > 0;
    c->gap = gap > 0 ? (peer->instance_hours - mine->instance_hours) / gap : 0;
    c->good = mine->violations <= peer->violations &&
              (c->closes ? c->gap >= GOAL : mine->instance_hours <= peer->instance_hours);
}

/* The oracle is held to the better peer's violations, so it comes when those are known. */
int score_fill(struct score_cell *cells, size_t count, struct err *err)
{
    size_t oracle = score_place(policy_find("oracle"));
    size_t hpa = score_place(policy_find("hpa")), knative = score_place(policy_find("knative"));
    int rc = run_jobs(cells, count, 0, oracle);
    for (size_t n = 0; n < count; n++) {
        cells[n].peer = better(cells[n].scores, hpa, knative);
        cells[n].allowed = cells[n].scores[cells[n].peer].violations;
    }
    if (rc == 0)
        rc = run_jobs(cells, count, oracle, 1);
    if (rc < 0)
        return err_set(err, rc, "a simulation failed: %s", strerror(-rc));
    for (size_t n = 0; n < count; n++)
        judge(&cells[n]);
    return 0;
}
