/* What the main thread and the other loops leave for a loop to find. Not a queue but one place per
 * kind of letter, the newer replacing the older, so it cannot fill; an eventfd wakes the reader. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "link/gauges.h"

struct pool;
struct listener_set;

struct letterbox {
    int event_fd;
    pthread_mutex_t lock;
    struct pool *pool;              /* a reference; under lock */
    struct listener_set *listeners; /* owned; under lock */
    _Atomic bool quit;
    _Atomic bool signalled; /* the eventfd has been written and not yet read */
    _Atomic uint64_t wake[GAUGES_SERVICES_MAX / 64]; /* queues whose oldest waiter is this loop's */
};

int letterbox_init(struct letterbox *m);
/* Take over the reference; a pool nobody took is let go. */
void letterbox_post_pool(struct letterbox *m, struct pool *p);
void letterbox_post_listeners(struct letterbox *m, struct listener_set *set);
void letterbox_post_wake(struct letterbox *m, uint32_t slot);
void letterbox_post_quit(struct letterbox *m);

/* The reader: quiet the eventfd, then take what is there. */
void letterbox_read(struct letterbox *m);
struct pool *letterbox_take_pool(struct letterbox *m);
struct listener_set *letterbox_take_listeners(struct letterbox *m);
uint64_t letterbox_take_wakes(struct letterbox *m, uint32_t word);
