/* The main thread's conversations: with the keeper, the controller, and whoever comes to the
 * rendezvous socket. Nothing a loop does waits for these. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/msg.h"
#include "link/snapshot.h"
#include "proxy/shared.h"

struct pool;

struct links {
    struct shared *shared;
    int keeper_fd, controller_fd, rendezvous_fd; /* -1 = none */
    uid_t keeper_uid;
    bool quit;
    bool unsent; /* the controller's socket was full: try again soon */

    /* The listening sockets, kept to hand over to the next keeper. */
    uint32_t socket_count;
    char socket_address[LINK_FDS_MAX][SNAPSHOT_ADDRESS_MAX];
    int socket_fd[LINK_FDS_MAX];

    struct pool *pool; /* the newest, a reference; NULL before the first */
    uint64_t sequence;
    uint64_t sequence_told; /* LINK_APPLIED has been sent for it */
    bool idle_told;
    uint32_t drained_told[GAUGES_INSTANCES_MAX]; /* by slot: the number LINK_DRAINED was sent for */
};

void links_init(struct links *k, struct shared *s, int keeper_fd, const char *rendezvous);
/* Wait for something to happen and deal with it. */
void links_turn(struct links *k);

/* report.c: tell the controller what the loops have done. Returns how long until there is something
 * to look at again, in ms; -1 = only when told. */
int report_all(struct links *k);
void report_hello(struct links *k);
void report_refused(struct links *k, uint64_t generation, const char *text);
