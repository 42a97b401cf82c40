/* Makes the shared state. The gauges' memory is sealed, so that neither side can pull it from under
 * the other. */
#include "proxy/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/clock.h"

static int make_gauges(struct shared *s)
{
    int fd = memfd_create("plimsoll-gauges", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    void *map = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct gauges)) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        map = mmap(NULL, sizeof(struct gauges), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    s->gauges = map;
    s->gauges_fd = fd;
    return 0;
}

int shared_init(struct shared *s, uint32_t loop_count)
{
    int rc = make_gauges(s);
    if (rc < 0)
        return rc;
    s->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->doorbell_fd < 0 || s->main_fd < 0)
        return -errno;
    s->loop_count = loop_count;
    for (size_t i = 0; i < GAUGES_SERVICES_MAX; i++) {
        pthread_mutex_init(&s->queues[i].lock, NULL);
        list_init(&s->queues[i].waiters);
    }
    s->gauges->size_bytes = sizeof(struct gauges);
    s->gauges->pid = getpid();
    s->gauges->loops = loop_count;
    s->gauges->started_us = clock_now_us();
    s->gauges->version = GAUGES_VERSION;
    s->gauges->magic = GAUGES_MAGIC;
    return 0;
}

void shared_tell_main(struct shared *s)
{
    uint64_t one = 1;
    ssize_t n = write(s->main_fd, &one, sizeof(one)); /* full means that it is already told */
    (void)n;
}

bool shared_owns(struct shared *s, uint32_t slot, struct shared_owner owner)
{
    const struct gauges_instance *g = &s->gauges->instance[slot];
    return atomic_load(&g->number) == owner.number && atomic_load(&g->service) == owner.service;
}

void shared_own_slot(struct shared *s, uint32_t slot, struct shared_owner owner)
{
    struct gauges_instance *g = &s->gauges->instance[slot];
    if (shared_owns(s, slot, owner))
        return;
    /* The owner first: a loop that counts for the former one after this finds out, and one that
     * counted before is wiped out below. Nobody's in between: a number of the one service must not
     * be read together with the other. */
    atomic_store(&g->number, 0);
    atomic_store(&g->service, owner.service);
    atomic_store(&g->number, owner.number);
    atomic_store(&g->in_flight, 0);
    atomic_store(&g->tunnels, 0);
    atomic_store_explicit(&g->ejected, 0, memory_order_relaxed);
    atomic_store_explicit(&g->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&g->errors, 0, memory_order_relaxed);
    atomic_store(&s->instances[slot].failures, 0);
    atomic_store(&s->instances[slot].eject_until_us, 0);
}

void shared_count_down(_Atomic uint32_t *counter)
{
    uint32_t seen = atomic_load_explicit(counter, memory_order_relaxed);
    while (seen > 0 && !atomic_compare_exchange_weak(counter, &seen, seen - 1))
        ;
}
