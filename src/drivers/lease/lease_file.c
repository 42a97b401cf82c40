/* The lease of one machine: whoever keeps the state directory has it. The keeper took the lock
 * before there was a controller and holds it for as long as it lives, so here it is held from the
 * beginning and never lost. */
#include <errno.h>
#include <stdlib.h>

#include "drivers/lease/lease.h"

struct lease_of_file {
    struct lease_listener listener;
    uv_timer_t soon;
    void (*resigned)(void *ctx);
    void *resigned_ctx;
};

static void on_soon(uv_timer_t *timer)
{
    struct lease_of_file *l = timer->data;
    l->listener.held(l->listener.ctx, true, 0, "");
}

static int file_open(const struct lease_options *options, void **ret, struct err *err)
{
    struct lease_of_file *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, -ENOMEM, "no memory");
    l->listener = options->listener;
    l->soon.data = l;
    uv_timer_init(options->loop, &l->soon);
    uv_timer_start(&l->soon, on_soon, 0, 0);
    *ret = l;
    return 0;
}

static bool file_may_act(void *self)
{
    return true;
}

static void on_resigned(uv_timer_t *timer)
{
    struct lease_of_file *l = timer->data;
    l->resigned(l->resigned_ctx);
}

static void file_resign(void *self, void (*done)(void *ctx), void *ctx)
{
    struct lease_of_file *l = self;
    l->resigned = done;
    l->resigned_ctx = ctx;
    uv_timer_start(&l->soon, on_resigned, 0, 0);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void file_close(void *self)
{
    struct lease_of_file *l = self;
    if (l)
        uv_close((uv_handle_t *)&l->soon, on_closed);
}

const struct lease_ops lease_file = {
    .name = "file",
    .open = file_open,
    .may_act = file_may_act,
    .resign = file_resign,
    .close = file_close,
};
