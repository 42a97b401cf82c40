/* Each simulation has a world of its own and shares nothing but the load, which nobody writes to:
 * so threads need no lock, only the next number. */
#include "sim/tune/tune_work.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/util.h"

#define THREADS_MAX 64u

struct work {
    struct tune_job *jobs;
    uint32_t count;
    _Atomic uint32_t next;
};

static void *work(void *context)
{
    struct work *w = context;
    for (uint32_t n; (n = atomic_fetch_add(&w->next, 1)) < w->count;) {
        struct err err;
        w->jobs[n].rc = run_simulate(&w->jobs[n].options, &w->jobs[n].result, &err);
    }
    return NULL;
}

void tune_work(struct tune_job *jobs, uint32_t count, uint32_t threads)
{
    struct work w = { .jobs = jobs, .count = count };
    pthread_t others[THREADS_MAX];
    uint32_t started = 0, wanted = MIN(MIN(threads, count), THREADS_MAX);
    while (started + 1 < wanted && pthread_create(&others[started], NULL, work, &w) == 0)
        started++;
    work(&w);
    for (uint32_t n = 0; n < started; n++)
        pthread_join(others[n], NULL);
}
