/* Requests as libcurl transfers, the answer kept in memory up to a limit. */
#include "drivers/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/util.h"
#include "drivers/curl_loop.h"

#define REDIRECTS_MAX 3L
#define LINE_BYTES_MAX 120

struct fetcher {
    struct curl_loop *curl;
};

struct fetch {
    struct curl_transfer transfer;
    struct fetcher *fetcher;
    struct curl_slist *headers;
    fetch_done *done;
    void *ctx;
    char *body; /* NUL-terminated once there is one */
    size_t bytes;
    char error[CURL_ERROR_SIZE];
};

int fetcher_new(uv_loop_t *loop, struct fetcher **ret, struct err *err)
{
    struct fetcher *f = calloc(1, sizeof(*f));
    int rc = f ? curl_loop_new(loop, &f->curl, err) : err_set(err, -ENOMEM, "no memory for HTTP");
    if (rc < 0) {
        free(f);
        return rc;
    }
    *ret = f;
    return 0;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    curl_loop_free(f->curl);
    free(f);
}

static void fetch_free(struct fetch *f)
{
    curl_easy_cleanup(f->transfer.easy);
    curl_slist_free_all(f->headers);
    free(f->body);
    free(f);
}

/* The system's word for it, where there is one, is the same whatever was to be reached. */
static const char *explain(const struct fetch *f, CURLcode code)
{
    long os = 0;
    curl_easy_getinfo(f->transfer.easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_WRITE_ERROR)
        return "the answer is over 1 MiB";
    if (code == CURLE_COULDNT_CONNECT && os != 0)
        return strerror((int)os);
    return f->error[0] ? f->error : curl_easy_strerror(code);
}

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct fetch *f = CONTAINER_OF(t, struct fetch, transfer);
    const char *error = explain(f, code);
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    f->done(f->ctx, (int)status, f->body ? f->body : "", f->bytes, status ? "" : error);
    fetch_free(f);
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct fetch *f = ctx;
    size_t n = size * count;
    char *grown = f->bytes + n <= FETCH_BYTES_MAX ? realloc(f->body, f->bytes + n + 1) : NULL;
    if (!grown)
        return 0;
    memcpy(grown + f->bytes, data, n);
    f->body = grown;
    f->bytes += n;
    grown[f->bytes] = '\0';
    return n;
}

static void add_header(struct fetch *f, const char *name, const char *value)
{
    char line[1024];
    fmt(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(f->headers, line);
    f->headers = more ? more : f->headers;
}

static void set_headers(struct fetch *f, const struct fetch_request *r)
{
    for (size_t i = 0; r->headers && i < r->headers->count; i++)
        add_header(f, r->headers->names[i], r->headers->values[i]);
    if (r->body)
        add_header(f, "Content-Type", "application/json");
}

static void set_options(struct fetch *f, const struct fetch_request *r)
{
    CURL *easy = f->transfer.easy;
    set_headers(f, r);
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->headers);
    if (r->body)
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, r->body);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
}

struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                          fetch_done *done, void *ctx)
{
    struct fetch *f = calloc(1, sizeof(*f));
    CURL *easy = f ? curl_easy_init() : NULL;
    if (!easy) {
        free(f);
        return NULL;
    }
    f->transfer = (struct curl_transfer){ .easy = easy, .done = on_done };
    f->fetcher = fetcher;
    f->done = done;
    f->ctx = ctx;
    set_options(f, request);
    if (curl_loop_add(fetcher->curl, &f->transfer) < 0) {
        fetch_free(f);
        return NULL;
    }
    return f;
}

void fetch_cancel(struct fetch *f)
{
    if (!f)
        return;
    curl_loop_remove(f->fetcher->curl, &f->transfer);
    fetch_free(f);
}

struct slice fetch_first_line(const char *body)
{
    body += strspn(body, " \t\r\n");
    return (struct slice){ body, MIN(strcspn(body, "\r\n"), (size_t)LINE_BYTES_MAX) };
}

int fetch_check_url(const char *url, struct err *err)
{
    CURLU *u = curl_url();
    if (!u)
        return err_set(err, -ENOMEM, "no memory to read a URL");
    CURLUcode code = curl_url_set(u, CURLUPART_URL, url, 0);
    curl_url_cleanup(u);
    bool http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    if (code == CURLUE_OK && http)
        return 0;
    return err_set(err, -EINVAL, "\"%s\" is not a URL, as in http://127.0.0.1:9090%s%s", url,
                   code == CURLUE_OK ? "" : ": ", code == CURLUE_OK ? "" : curl_url_strerror(code));
}

char *fetch_url(const char *base, const char *path, const char *value)
{
    char *escaped = curl_easy_escape(NULL, value, 0), *url = NULL;
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    if (escaped && asprintf(&url, "%.*s%s%s", (int)n, base, path, escaped) < 0)
        url = NULL;
    curl_free(escaped);
    return url;
}
