/* A program that the controller runs once, to its end: what it is given on its standard input, what
 * it says, how it ended. It leads a process group of its own, which is killed when its time is up,
 * or nobody waits for it any more, while it runs. What it leaves behind is not waited for longer
 * than two seconds, and lives on. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/str.h"

#define CHILD_OUTPUT_MAX 16384 /* bytes; what is more is read and thrown away */

struct child_options {
    char *const *argv;
    const char *directory; /* NULL = ours */
    const char *input;     /* NULL = none */
    bool logs;             /* what it says goes to our own log, and is not kept */
    int64_t timeout_us;    /* 0 = as long as it takes */
};

struct child_end {
    int status, signal;
    bool timed_out;          /* it was killed for that */
    struct slice out, error; /* without white space at their ends */
    bool out_over;           /* there was more */
};

struct child;
typedef void child_done(void *ctx, const struct child_end *end);

/* `done` is called once, later, when it has ended and all that it said was read. 0 or -errno, and
 * then `done` is not called. */
int child_start(uv_loop_t *loop, const struct child_options *options, child_done *done, void *ctx,
                struct child **ret);
/* It is killed, and `done` does not come. NULL is fine. */
void child_cancel(struct child *c);

bool child_ended_well(const struct child_end *end);
/* "exited with status 1: " and the last line of what it complained of. */
void child_describe(const struct child_end *end, char *buf, size_t cap);
