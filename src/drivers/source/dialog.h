/* A short conversation with a server, on the loop, never blocking: look up its name, connect, say
 * one thing, and read until the listener has heard enough. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "drivers/source/endpoint.h"

struct dialog;

struct dialog_listener {
    void *ctx;
    /* What the server says, piece by piece. True = that is all: the dialog is over, and is not
     * touched again. May cancel nothing itself. */
    bool (*hear)(void *ctx, const char *bytes, size_t count);
    /* It broke off, or never began: over as well. */
    void (*fail)(void *ctx, const char *why);
};

/* NULL = no memory. `text` is copied. */
struct dialog *dialog_start(uv_loop_t *loop, const struct endpoint *to, const char *text,
                            size_t bytes, const struct dialog_listener *listener);
void dialog_cancel(struct dialog *d); /* NULL is fine */
