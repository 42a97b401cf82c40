/* Asking an instance from outside: does it take a connection, does it answer a request well? On the
 * loop, never blocking; libcurl does both, over TCP and Unix sockets. Exec probes are the process
 * driver's, because only the keeper may fork. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct prober;
struct probe;

/* What a probe says of an instance that nobody answers for. */
#define PROBE_NO_ANSWER "does not take connections"

struct probe_target {
    const char *address; /* "tcp:HOST:PORT" or "unix:/path" */
    const char *path;    /* of the HTTP request; NULL = a connection is enough */
    int64_t timeout_us;
};

/* `text` says why not, "" when it passed. May start another probe. */
typedef void probe_done(void *ctx, bool passed, const char *text);

int prober_new(uv_loop_t *loop, struct prober **ret, struct err *err);
/* Cancels what is under way. The loop must run once more to close the handles. */
void prober_free(struct prober *p);
/* NULL = no memory. `done` is called once, later, unless the probe is cancelled before. */
struct probe *probe_start(struct prober *p, const struct probe_target *target, probe_done *done,
                          void *ctx);
void probe_cancel(struct probe *probe);
