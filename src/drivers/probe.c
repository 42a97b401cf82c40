/* Probes as libcurl transfers: a connection alone, or a request whose answer's status counts. */
#include "drivers/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "drivers/curl_loop.h"

struct prober {
    struct curl_loop *curl;
};

struct probe {
    struct curl_transfer transfer;
    struct prober *prober;
    probe_done *done;
    void *ctx;
};

static const char *explain(struct probe *probe, CURLcode code, char *buf, size_t cap)
{
    long status = 0;
    curl_easy_getinfo(probe->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
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

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct probe *probe = CONTAINER_OF(t, struct probe, transfer);
    char text[160];
    explain(probe, code, text, sizeof(text));
    probe_done *done = probe->done;
    void *ctx = probe->ctx;
    probe_cancel(probe);
    done(ctx, text[0] == '\0', text);
}

int prober_new(uv_loop_t *loop, struct prober **ret, struct err *err)
{
    struct prober *p = calloc(1, sizeof(*p));
    int rc = p ? curl_loop_new(loop, &p->curl, err) : err_set(err, -ENOMEM, "no memory for probes");
    if (rc < 0) {
        free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

void prober_free(struct prober *p)
{
    if (!p)
        return;
    curl_loop_free(p->curl);
    free(p);
}

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
    *probe = (struct probe){
        .transfer = { .easy = easy, .done = on_done }, .prober = p, .done = done, .ctx = ctx
    };
    set_options(easy, target);
    if (curl_loop_add(p->curl, &probe->transfer) < 0) {
        curl_easy_cleanup(easy);
        free(probe);
        return NULL;
    }
    return probe;
}

void probe_cancel(struct probe *probe)
{
    if (!probe)
        return;
    curl_loop_remove(probe->prober->curl, &probe->transfer);
    curl_easy_cleanup(probe->transfer.easy);
    free(probe);
}
