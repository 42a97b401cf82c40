/* The letterbox: any thread posts, its loop takes. */
#include "proxy/letterbox.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proxy/listener.h"
#include "proxy/pool.h"

int letterbox_init(struct letterbox *m)
{
    m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->event_fd < 0)
        return -errno;
    pthread_mutex_init(&m->lock, NULL);
    return 0;
}

static void signal_reader(struct letterbox *m)
{
    if (atomic_exchange(&m->signalled, true))
        return;
    uint64_t one = 1;
    ssize_t n = write(m->event_fd, &one, sizeof(one));
    (void)n;
}

void letterbox_post_pool(struct letterbox *m, struct pool *p)
{
    pthread_mutex_lock(&m->lock);
    struct pool *older = m->pool;
    m->pool = p;
    pthread_mutex_unlock(&m->lock);
    pool_unref(older);
    signal_reader(m);
}

void letterbox_post_listeners(struct letterbox *m, struct listener_set *set)
{
    pthread_mutex_lock(&m->lock);
    struct listener_set *older = m->listeners;
    m->listeners = set;
    pthread_mutex_unlock(&m->lock);
    listener_set_free(older);
    signal_reader(m);
}

void letterbox_post_wake(struct letterbox *m, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);
    if (!(atomic_fetch_or(&m->wake[slot / 64], bit) & bit))
        signal_reader(m);
}

void letterbox_post_quit(struct letterbox *m)
{
    atomic_store(&m->quit, true);
    signal_reader(m);
}

void letterbox_read(struct letterbox *m)
{
    uint64_t ignored;
    ssize_t n = read(m->event_fd, &ignored, sizeof(ignored));
    (void)n;
    /* Only now: a letter posted from here on writes the eventfd again. */
    atomic_store(&m->signalled, false);
}

struct pool *letterbox_take_pool(struct letterbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct pool *p = m->pool;
    m->pool = NULL;
    pthread_mutex_unlock(&m->lock);
    return p;
}

struct listener_set *letterbox_take_listeners(struct letterbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct listener_set *set = m->listeners;
    m->listeners = NULL;
    pthread_mutex_unlock(&m->lock);
    return set;
}

uint64_t letterbox_take_wakes(struct letterbox *m, uint32_t word)
{
    return atomic_exchange(&m->wake[word], 0);
}
