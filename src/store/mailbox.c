/* The queue itself: one mutex, held for a copy at most, so that a put costs its caller next to
 * nothing. Knows nothing of databases. */
#include "store/mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/us.h"
#include "base/util.h"

static struct timespec timespec_of(int64_t us)
{
    return (struct timespec){ .tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000 };
}

int mailbox_init(struct mailbox *m, uint32_t cap)
{
    pthread_condattr_t attr;
    *m = (struct mailbox){ .cap = cap, .ring = calloc(cap, sizeof(struct record)) };
    if (!m->ring)
        return -ENOMEM;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->filled, &attr);
    pthread_cond_init(&m->handled, &attr);
    pthread_condattr_destroy(&attr);
    return 0;
}

void mailbox_done(struct mailbox *m)
{
    if (!m->ring)
        return;
    for (uint32_t i = 0; i < m->count; i++)
        free(m->ring[(m->head + i) % m->cap].text);
    free(m->ring);
    pthread_cond_destroy(&m->handled);
    pthread_cond_destroy(&m->filled);
    pthread_mutex_destroy(&m->lock);
}

void mailbox_put(struct mailbox *m, const struct record *r)
{
    pthread_mutex_lock(&m->lock);
    bool full = m->count == m->cap;
    if (full) {
        m->refused++;
    } else {
        m->ring[(m->head + m->count++) % m->cap] = *r;
        m->posted++;
        pthread_cond_signal(&m->filled);
    }
    pthread_mutex_unlock(&m->lock);
    if (full)
        free(r->text);
}

/* With the lock held: false when the deadline has passed. */
static bool wait_until(struct mailbox *m, pthread_cond_t *cond, int64_t deadline_us)
{
    struct timespec at = timespec_of(deadline_us);
    return pthread_cond_timedwait(cond, &m->lock, &at) != ETIMEDOUT;
}

bool mailbox_wait(struct mailbox *m, int64_t deadline_us)
{
    pthread_mutex_lock(&m->lock);
    while (m->count == 0 && !m->closing && wait_until(m, &m->filled, deadline_us))
        ;
    bool closing = m->closing;
    pthread_mutex_unlock(&m->lock);
    return closing;
}

void mailbox_gather(struct mailbox *m, uint32_t enough, int64_t deadline_us)
{
    pthread_mutex_lock(&m->lock);
    while (m->count < MIN(enough, m->cap) && !m->closing && !m->hurry &&
           wait_until(m, &m->filled, deadline_us))
        ;
    pthread_mutex_unlock(&m->lock);
}

uint32_t mailbox_take(struct mailbox *m, struct record *records, uint32_t cap)
{
    pthread_mutex_lock(&m->lock);
    uint32_t count = MIN(cap, m->count);
    for (uint32_t i = 0; i < count; i++)
        records[i] = m->ring[(m->head + i) % m->cap];
    m->head = (m->head + count) % m->cap;
    m->count -= count;
    pthread_mutex_unlock(&m->lock);
    return count;
}

void mailbox_handled(struct mailbox *m, uint32_t count)
{
    pthread_mutex_lock(&m->lock);
    m->taken += count;
    if (m->taken == m->posted)
        m->hurry = false;
    pthread_cond_broadcast(&m->handled);
    pthread_mutex_unlock(&m->lock);
}

int mailbox_flush(struct mailbox *m, int64_t deadline_us)
{
    pthread_mutex_lock(&m->lock);
    uint64_t target = m->posted;
    m->hurry = m->taken < target;
    pthread_cond_signal(&m->filled);
    while (m->taken < target && wait_until(m, &m->handled, deadline_us))
        ;
    int rc = m->taken < target ? -ETIMEDOUT : 0;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    m->closing = true;
    pthread_cond_signal(&m->filled);
    pthread_mutex_unlock(&m->lock);
}

uint64_t mailbox_refused(struct mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t refused = m->refused;
    pthread_mutex_unlock(&m->lock);
    return refused;
}
