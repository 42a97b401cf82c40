/* A dialog's memory lives until its handle is closed and its look-up is over; the listener is let
 * go at once. */
#include "drivers/source/dialog.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/util.h"

#define CHUNK_BYTES 8192

struct dialog {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    uv_write_t write;
    struct dialog_listener listener; /* zeroed = gone */
    unsigned references;             /* the handle, and a look-up under way */
    char chunk[CHUNK_BYTES];
    size_t bytes;
    char text[]; /* what it says */
};

static void unref(struct dialog *d)
{
    if (--d->references == 0)
        free(d);
}

static void on_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

void dialog_cancel(struct dialog *d)
{
    if (!d)
        return;
    d->listener = (struct dialog_listener){ 0 };
    uv_cancel((uv_req_t *)&d->lookup); /* one that is under way ends by itself */
    uv_close(&d->handle, on_closed);
}

static void end(struct dialog *d, const char *why)
{
    struct dialog_listener listener = d->listener;
    dialog_cancel(d);
    if (why)
        listener.fail(listener.ctx, why);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct dialog *d = handle->data;
    *buf = uv_buf_init(d->chunk, sizeof(d->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct dialog *d = stream->data;
    if (n == UV_EOF)
        end(d, "it closed the connection");
    else if (n < 0)
        end(d, uv_strerror((int)n));
    else if (n > 0 && d->listener.hear(d->listener.ctx, buf->base, (size_t)n))
        end(d, NULL);
}

static void on_written(uv_write_t *request, int status)
{
    struct dialog *d = request->data;
    if (status < 0 && d->listener.fail)
        end(d, uv_strerror(status));
}

static void on_connected(uv_connect_t *request, int status)
{
    struct dialog *d = request->data;
    uv_buf_t say = uv_buf_init(d->text, (unsigned)d->bytes);
    if (!d->listener.fail)
        return;
    if (status == 0)
        status = uv_read_start(&d->stream, on_room, on_read);
    if (status == 0)
        status = uv_write(&d->write, &d->stream, &say, 1, on_written);
    if (status < 0)
        end(d, uv_strerror(status));
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct dialog *d = request->data;
    bool wanted = d->listener.fail != NULL;
    if (wanted && status == 0)
        status = uv_tcp_connect(&d->connect, &d->tcp, found->ai_addr, on_connected);
    if (wanted && status < 0)
        end(d, uv_strerror(status));
    uv_freeaddrinfo(found);
    unref(d);
}

static int look_up(struct dialog *d, uv_loop_t *loop, const struct endpoint *to)
{
    char port[8];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    fmt(port, sizeof(port), "%u", (unsigned)to->port);
    if (strspn(to->host, "0123456789.") == strlen(to->host) || strchr(to->host, ':'))
        hints.ai_flags = AI_NUMERICHOST;
    int rc = uv_getaddrinfo(loop, &d->lookup, on_found, to->host, port, &hints);
    d->references += rc == 0;
    return rc;
}

struct dialog *dialog_start(uv_loop_t *loop, const struct endpoint *to, const char *text,
                            size_t bytes, const struct dialog_listener *listener)
{
    struct dialog *d = calloc(1, sizeof(*d) + bytes);
    if (!d)
        return NULL;
    d->listener = *listener;
    d->references = 1;
    d->bytes = bytes;
    memcpy(d->text, text, bytes);
    d->lookup.data = d->connect.data = d->write.data = d;
    if (to->port == 0) {
        uv_pipe_init(loop, &d->pipe, 0);
        d->handle.data = d;
        uv_pipe_connect(&d->connect, &d->pipe, to->host, on_connected);
        return d;
    }
    uv_tcp_init(loop, &d->tcp);
    d->handle.data = d;
    if (look_up(d, loop, to) < 0) {
        dialog_cancel(d);
        return NULL;
    }
    return d;
}
