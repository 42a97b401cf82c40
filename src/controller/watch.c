/* Descriptors on the loop. libuv wants a handle to live until its close callback has run, so each
 * is an allocation of its own. */
#include <stdlib.h>

#include "controller/controller_int.h"

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

uv_poll_t *watch_open(struct controller *c, int fd, uv_poll_cb ready)
{
    uv_poll_t *watch = calloc(1, sizeof(*watch));
    if (!watch || uv_poll_init(&c->loop, watch, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->data = c;
    uv_poll_start(watch, UV_READABLE, ready);
    return watch;
}

void watch_close(uv_poll_t **watch)
{
    if (*watch) {
        uv_poll_stop(*watch);
        uv_close((uv_handle_t *)*watch, on_closed);
    }
    *watch = NULL;
}
