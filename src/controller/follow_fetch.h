/* Asking another machine for a piece of its journal, over HTTP, on the loop, one at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct follow_fetcher;

/* `status` 0 = no answer, and `error` says why. `text` is the caller's to write over; `segment` and
 * `offset` are where to go on. */
struct follow_answer {
    int status;
    char *text;
    size_t bytes;
    uint64_t segment, offset;
    const char *error;
};
typedef void follow_fetch_done(void *ctx, const struct follow_answer *answer);

int follow_fetcher_new(uv_loop_t *loop, follow_fetch_done *done, void *ctx,
                       struct follow_fetcher **ret, struct err *err);
void follow_fetcher_free(struct follow_fetcher *f);
/* `done` is called once, later, unless it is cancelled before; nothing else is under way. 0 or
 * -ENOMEM. */
int follow_fetch(struct follow_fetcher *f, const char *url, const char *token, uint64_t segment,
                 uint64_t offset);
void follow_fetch_cancel(struct follow_fetcher *f);
