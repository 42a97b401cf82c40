/* Client connections: from accept to close, and the reading of request heads. An idle one holds
 * this struct and nothing else. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "proxy/io.h"
#include "proxy/timer.h"

struct loop;
struct site;
struct buf;
struct exchange;

struct client {
    struct io io;
    struct timer timer;
    struct list idle;     /* in loop->idle_clients */
    struct list deferred; /* in loop->deferred */
    struct site *site;
    struct buf *in;            /* bytes not yet understood */
    struct exchange *exchange; /* the request in progress */
    uint32_t scanned;          /* the parser's */
    bool lingering;            /* answered for good; waits for the peer's close */
    bool reading;              /* has part of a head */
    uint8_t ip_bytes;          /* 4, 16; 0 = a Unix socket */
    uint8_t ip[16];
    char ip_text[46];
};

/* Take over an accepted connection; closes it when there is no room. */
void client_accept(struct loop *l, struct site *site, int fd, bool local, const void *sockaddr);
void client_on_event(struct loop *l, struct client *c, uint32_t events);
void client_on_timer(struct loop *l, struct client *c);
/* Go on with whatever is there: the request in progress, or the next head. */
void client_run(struct loop *l, struct client *c);
/* The answer is out: `keep` reading requests, or end (lingering, so that the peer can read it). */
void client_next(struct loop *l, struct client *c, bool keep);
void client_close(struct loop *l, struct client *c);
/* Make room: close the connection that has been idle longest. False when none is. */
bool client_shed(struct loop *l);
/* Whether this one is to go after its answer: we stop, or its listener has been removed. */
bool client_leaves(const struct loop *l, const struct client *c);
/* Idle ones that are to leave end now, when we stop after an answer to what has already arrived. */
void client_stop_idle(struct loop *l);
bool client_trusted(const struct loop *l, const struct client *c);
