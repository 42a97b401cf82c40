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

struct mailbox {
    int event_fd;
    pthread_mutex_t lock;
    struct pool *pool;              /* a reference; under lock */
    struct listener_set *listeners; /* owned; under lock */
    _Atomic bool quit;
    _Atomic bool signalled; /* the eventfd has been written and not yet read */
    _Atomic uint64_t wake[GAUGES_SERVICES_MAX / 64]; /* queues whose oldest waiter is this loop's */
};

int mailbox_init(struct mailbox *m);
/* Take over the reference; a pool nobody took is let go. */
void mailbox_post_pool(struct mailbox *m, struct pool *p);
void mailbox_post_listeners(struct mailbox *m, struct listener_set *set);
void mailbox_post_wake(struct mailbox *m, uint32_t slot);
void mailbox_post_quit(struct mailbox *m);

/* The reader: quiet the eventfd, then take what is there. */
void mailbox_read(struct mailbox *m);
struct pool *mailbox_take_pool(struct mailbox *m);
struct listener_set *mailbox_take_listeners(struct mailbox *m);
uint64_t mailbox_take_wakes(struct mailbox *m, uint32_t word);
