/* libcurl's multi interface on a libuv loop: curl says which sockets and which timeout it waits
 * for, the loop tells it when they are due. */
#include "drivers/probe.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"

struct prober {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer;
    unsigned handles; /* of the loop, not yet closed */
    bool closing;
};

/* One socket that curl waits for. */
struct watch {
    uv_poll_t poll;
    struct prober *prober;
    curl_socket_t socket;
};

struct probe {
    struct prober *prober;
    CURL *easy;
    probe_done *done;
    void *ctx;
};

/* --- the loop's side --- */

static void release(struct prober *p)
{
    if (--p->handles == 0)
        free(p);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = CONTAINER_OF((uv_poll_t *)handle, struct watch, poll);
    release(w->prober);
    free(w);
}

static const char *explain(struct probe *probe, CURLcode code, char *buf, size_t cap)
{
    long status = 0;
    curl_easy_getinfo(probe->easy, CURLINFO_RESPONSE_CODE, &status);
    buf[0] = '\0';
    if (code == CURLE_COULDNT_CONNECT)
        fmt(buf, cap, PROBE_NO_ANSWER);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        fmt(buf, cap, "does not answer in time");
    else if (code != CURLE_OK)
        fmt(buf, cap, "%s", curl_easy_strerror(code));
    else if (status != 0 && (status < 200 || status >= 400))
        fmt(buf, cap, "answers with status %ld", status);
    return buf;
}

static void finish(struct probe *probe, CURLcode code)
{
    char text[160];
    explain(probe, code, text, sizeof(text));
    probe_done *done = probe->done;
    void *ctx = probe->ctx;
    probe_cancel(probe);
    done(ctx, text[0] == '\0', text);
}

static void take_results(struct prober *p)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(p->multi, &left))) {
        struct probe *probe = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&probe);
        if (m->msg == CURLMSG_DONE)
            finish(probe, m->data.result);
    }
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = CONTAINER_OF(poll, struct watch, poll);
    struct prober *p = w->prober;
    int running, flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(p->multi, w->socket, flags, &running);
    take_results(p);
}

static void on_timeout(uv_timer_t *timer)
{
    struct prober *p = timer->data;
    int running;
    curl_multi_socket_action(p->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_results(p);
}

/* --- curl's side --- */

static int want_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct prober *p = ctx;
    if (p->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&p->timer);
    else
        uv_timer_start(&p->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

static struct watch *watch_new(struct prober *p, curl_socket_t fd)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (!w || uv_poll_init_socket(p->loop, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->prober = p;
    w->socket = fd;
    p->handles++;
    curl_multi_assign(p->multi, fd, w);
    return w;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct prober *p = ctx;
    struct watch *w = socket_ctx;
    if (what == CURL_POLL_REMOVE) {
        if (!w)
            return 0;
        curl_multi_assign(p->multi, fd, NULL);
        uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        return 0;
    }
    if (!w)
        w = watch_new(p, fd);
    if (!w)
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket_ready);
}

int prober_new(uv_loop_t *loop, struct prober **ret, struct err *err)
{
    struct prober *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "no memory for probes");
    p->multi = curl_multi_init();
    if (!p->multi) {
        free(p);
        return err_set(err, -ENOMEM, "libcurl does not start");
    }
    p->loop = loop;
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    p->handles = 1;
    curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
    curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
    *ret = p;
    return 0;
}

void prober_free(struct prober *p)
{
    if (!p)
        return;
    p->closing = true;
    curl_multi_cleanup(p->multi);
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

/* --- probes --- */

static size_t discard(char *data, size_t size, size_t count, void *ctx)
{
    return size * count;
}

static void set_address(CURL *easy, const struct probe_target *t)
{
    char url[512];
    const char *path = t->path ? t->path : "/";
    if (strncmp(t->address, "unix:", 5) == 0) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, t->address + 5);
        fmt(url, sizeof(url), "http://localhost%s", path);
    } else {
        fmt(url, sizeof(url), "http://%s%s", t->address + 4, path);
    }
    curl_easy_setopt(easy, CURLOPT_URL, url);
}

static void set_options(CURL *easy, const struct probe_target *t)
{
    set_address(easy, t);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MAX(t->timeout_us / US_PER_MS, 1));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll-probe");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
    if (!t->path)
        curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
}

struct probe *probe_start(struct prober *p, const struct probe_target *target, probe_done *done,
                          void *ctx)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    CURL *easy = probe ? curl_easy_init() : NULL;
    if (!easy) {
        free(probe);
        return NULL;
    }
    *probe = (struct probe){ .prober = p, .easy = easy, .done = done, .ctx = ctx };
    set_options(easy, target);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, probe);
    curl_multi_add_handle(p->multi, easy);
    return probe;
}

void probe_cancel(struct probe *probe)
{
    if (!probe)
        return;
    curl_multi_remove_handle(probe->prober->multi, probe->easy);
    curl_easy_cleanup(probe->easy);
    free(probe);
}
