/* Talking to an etcd cluster through its gateway: requests and the watch's stream, at whichever of
 * the endpoints answers, with TLS and a login. Never blocks; knows nothing of elections. */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "drivers/lease/lease.h"

struct etcd;
struct etcd_call;

struct etcd_options {
    uv_loop_t *loop;
    const struct lease_etcd_conf *conf; /* lives as long */
    void *ctx;
    /* An endpoint does not do what it should, and what to do; or one of them does (again). Each
     * trouble is told once. */
    void (*note)(void *ctx, bool trouble, const char *text);
};

int etcd_new(const struct etcd_options *options, struct etcd **ret, struct err *err);
/* What is under way is cancelled. The loop must run once more to close the handles. */
void etcd_free(struct etcd *e);

/* Called once, later, unless the call is cancelled before. `ok` = etcd has answered, with this
 * body. An endpoint that fails is not the next call's. */
typedef void etcd_done(void *ctx, bool ok, struct slice body);
/* A line of a stream. Comes from within curl: may neither ask nor cancel anything. */
typedef void etcd_line(void *ctx, struct slice line);

/* `body` is taken over. NULL = no memory, or no body. */
struct etcd_call *etcd_ask(struct etcd *e, const char *path, char *body, int64_t timeout_us,
                           etcd_done *done, void *ctx);
/* Goes on until one of both ends it: `done` then. */
struct etcd_call *etcd_listen(struct etcd *e, const char *path, char *body, etcd_line *line,
                              etcd_done *done, void *ctx);
void etcd_cancel(struct etcd_call *call); /* NULL is fine */
