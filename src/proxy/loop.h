/* One thread's event loop and all that belongs to it. A turn: wait, note the edges and let each
 * connection go on, fire timers, read the letterbox, run what was deferred, free what was closed.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/rng.h"
#include "proxy/buf.h"
#include "proxy/http1.h"
#include "proxy/io.h"
#include "proxy/letterbox.h"
#include "proxy/listener.h"
#include "proxy/service.h"
#include "proxy/shared.h"
#include "proxy/slab.h"
#include "proxy/timer.h"

struct client;
struct exchange;

enum timer_kind { TIMER_CLIENT, TIMER_UPSTREAM, TIMER_DRAIN, TIMER_ACCEPT };

struct loop {
    uint32_t index;
    struct shared *shared;
    pthread_t thread;
    int epoll_fd;
    int64_t now_us; /* of this turn */
    struct timer_wheel wheel;
    struct rng rng;
    struct buf_pool bufs;
    struct slab clients, upstreams, exchanges;
    struct list idle_clients; /* oldest first: shed first */
    struct list deferred;     /* clients that can go on without an event */
    struct io *dead_ios;      /* closed in this turn */
    struct exchange *dead_exchanges;

    struct io letterbox_io;
    struct letterbox letterbox;
    struct listener_set *listeners;
    struct timer accept_timer; /* accepting is paused until then */
    bool accept_paused;
    bool mail;    /* the letterbox has been signalled in this turn */
    bool applied; /* has had a snapshot */
    bool stopping;
    uint32_t lingering;                /* clients that only wait for the other side's close */
    _Atomic uint64_t applied_sequence; /* of the pool in use; read by the main thread */
    _Atomic bool idle;                 /* stopping, and nothing left; read by the main thread */

    uint32_t connections_max; /* of the whole process */
    uint32_t trust_count;
    struct snapshot_network trust[SNAPSHOT_TRUST_MAX];
    uint32_t service_count;
    struct service **services;
    uint32_t site_count;
    struct site sites[SITES_MAX];
    bool site_removed; /* by the newest snapshot: its idle clients are to go */

    struct http1_header headers[HTTP1_HEADERS_MAX]; /* the parser's, for one call */
    char second_text[32];                           /* the access log's time stamp, by second */
    int64_t second;
};

/* Made by the main thread; then the loop's thread owns it. */
int loop_new(struct shared *s, uint32_t index, struct loop **ret);
void *loop_run(void *loop);
/* Let this client go on in this turn, after the events. */
void loop_defer(struct loop *l, struct client *c);
