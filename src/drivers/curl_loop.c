/* curl says which sockets and which timeout it waits for, the loop tells it when they are due. */
#include "drivers/curl_loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/util.h"

struct curl_loop {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer;
    unsigned handles; /* of the loop, not yet closed */
    bool closing;
};

/* One socket that curl waits for. */
struct watch {
    uv_poll_t poll;
    struct curl_loop *owner;
    curl_socket_t socket;
};

/* --- the loop's side --- */

static void release(struct curl_loop *l)
{
    if (--l->handles == 0)
        free(l);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = CONTAINER_OF((uv_poll_t *)handle, struct watch, poll);
    release(w->owner);
    free(w);
}

static void take_results(struct curl_loop *l)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(l->multi, &left))) {
        struct curl_transfer *t = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        curl_multi_remove_handle(l->multi, t->easy);
        t->done(t, code);
    }
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = CONTAINER_OF(poll, struct watch, poll);
    struct curl_loop *l = w->owner;
    int running, flags = 0;
    if (status < 0) /* curl's next read or write meets it, and says what it is */
        events = UV_READABLE | UV_WRITABLE;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(l->multi, w->socket, flags, &running);
    take_results(l);
}

static void on_timeout(uv_timer_t *timer)
{
    struct curl_loop *l = timer->data;
    int running;
    curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(l);
}

/* --- curl's side --- */

static int want_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct curl_loop *l = ctx;
    if (l->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&l->timer);
    else
        uv_timer_start(&l->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct watch *watch_new(struct curl_loop *l, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (!w || uv_poll_init_socket(l->loop, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->owner = l;
    w->socket = fd;
    l->handles++;
    curl_multi_assign(l->multi, fd, w);
    return w;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct curl_loop *l = ctx;
    struct watch *w = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        if (!w)
            return 0;
        curl_multi_assign(l->multi, fd, NULL);
        uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        return 0;
    }
    if (!w)
        w = watch_new(l, fd);
    if (!w)
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket_ready);
}

int curl_loop_new(uv_loop_t *loop, struct curl_loop **ret, struct err *err)
{
    struct curl_loop *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, -ENOMEM, "no memory for HTTP requests");
    l->multi = curl_multi_init();
    if (!l->multi) {
        free(l);
        return err_set(err, -ENOMEM, "libcurl does not start");
    }
    l->loop = loop;
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->handles = 1;
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    *ret = l;
    return 0;
}

void curl_loop_free(struct curl_loop *l)
{
    if (!l)
        return;
    l->closing = true;
    curl_multi_cleanup(l->multi);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

int curl_loop_add(struct curl_loop *l, struct curl_transfer *t)
{
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L);
    return curl_multi_add_handle(l->multi, t->easy) == CURLM_OK ? 0 : -ENOMEM;
}

void curl_loop_remove(struct curl_loop *l, struct curl_transfer *t)
{
    curl_multi_remove_handle(l->multi, t->easy);
}
