/* What all threads of the proxy share: the gauges, the queues, and who is ejected. Everything here
 * is atomic or under the lock beside it. Indexed by the gauges' slots, so it lives as long as they
 * do. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "link/gauges.h"
#include "proxy/accesslog.h"

struct loop;

/* A service's queue, oldest first, over all loops. */
struct shared_queue {
    _Alignas(GAUGES_LINE) pthread_mutex_t lock;
    struct list waiters;      /* of struct waiter; under lock */
    _Atomic uint32_t waiting; /* how many lie in it; read without the lock to see if any do */
    _Atomic uint64_t rung;    /* 1 + the mark that the doorbell was rung for; 0 = armed */
};

enum eject_reason { EJECT_NONE, EJECT_CONNECT, EJECT_TIMEOUT, EJECT_BROKEN };

struct shared_instance {
    _Atomic uint32_t failures; /* consecutive */
    _Atomic uint32_t reason;
    _Atomic int64_t eject_until_us; /* 0 = not ejected. Set by a loop, cleared by the main thread */
};

struct shared {
    struct gauges *gauges;
    int gauges_fd;
    int doorbell_fd; /* to the controller */
    int main_fd;     /* eventfd: the main thread should look at what loops report */
    uint32_t loop_count;
    uint32_t connections_cap; /* clients that the descriptor limit leaves room for */
    struct loop *loops[GAUGES_LOOPS_MAX];
    _Atomic uint64_t eject_epoch; /* grows with each change of an instance's ejection */
    struct accesslog log;
    struct shared_queue queues[GAUGES_SERVICES_MAX];
    struct shared_instance instances[GAUGES_INSTANCES_MAX];
};

/* Gauges, doorbell, queues. 0 or -errno. */
int shared_init(struct shared *s, uint32_t loop_count);
void shared_tell_main(struct shared *s);

/* Whose an instance's slot is: services number their instances each for itself. */
struct shared_owner {
    uint32_t service; /* its slot in gauges.service */
    uint32_t number;
};

/* Give the slot to this owner: counters start at 0 when it had another one. */
void shared_own_slot(struct shared *s, uint32_t slot, struct shared_owner owner);
bool shared_owns(struct shared *s, uint32_t slot, struct shared_owner owner);
/* One off a counter that may have been zeroed for a new owner meanwhile. */
void shared_count_down(_Atomic uint32_t *counter);
