/* Listening sockets of one loop: accepting, and what happens when there is no room. */
#pragma once

#include <stdint.h>

#include "link/snapshot.h"
#include "proxy/io.h"

struct loop;
struct site;

struct listener {
    struct io io;
    struct site *site;
    bool watched; /* in the epoll set */
    bool local;   /* a Unix socket */
    char address[SNAPSHOT_ADDRESS_MAX];
};

struct listener_set {
    uint32_t count;
    struct listener items[];
};

struct listener_set *listener_set_new(uint32_t cap);
void listener_set_free(struct listener_set *set); /* closes its sockets; takes NULL */
/* Take over the descriptor. */
void listener_set_add(struct listener_set *set, const char *address, int fd);

/* Replace the loop's listeners. */
void listener_replace(struct loop *l, struct listener_set *set);
/* Watch them or not: never before the first snapshot, nor when stopping or out of descriptors. */
void listener_update(struct loop *l);
/* Accept what waits, up to a batch. */
void listener_accept(struct loop *l, struct listener *li);
