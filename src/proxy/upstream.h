/* Connections to instances: connecting, keeping idle ones for reuse, closing them in time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proxy/io.h"
#include "proxy/timer.h"

struct loop;
struct backend;
struct exchange;

struct upstream {
    struct io io;
    struct timer timer;
    struct list link; /* in backend->idle or ->active */
    struct backend *backend;
    struct exchange *exchange; /* NULL = idle */
    bool connecting;
    bool reused; /* has carried a request before: the instance may be closing it */
};

/* An idle connection, or a new one being made; NULL with *ret_rc = -errno. `probe`: make sure that
 * an idle one is still open, for a request that may not be sent twice. */
struct upstream *upstream_get(struct loop *l, struct backend *b, bool probe, int *ret_rc);
/* The request on it is over and it may carry another. */
void upstream_put(struct loop *l, struct upstream *u);
void upstream_close(struct loop *l, struct upstream *u);
void upstream_close_idle(struct loop *l, struct backend *b);
/* Cut what is still open on an instance whose drain time is over. */
void upstream_cut(struct loop *l, struct backend *b);

void upstream_on_event(struct loop *l, struct upstream *u, uint32_t events);
void upstream_on_timer(struct loop *l, struct upstream *u);
