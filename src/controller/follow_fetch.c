/* One request for a piece of a journal. A head may be long: it waits as long as bytes keep coming,
 * and takes no more of them than a journal can have in one piece. */
#include "controller/follow_fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/util.h"
#include "drivers/curl_loop.h"
#include "sys/mem.h"

#define BYTES_MAX ((size_t)512 * 1024 * 1024)
#define CONNECT_MS 2000L
#define STALLED_S 4L

struct follow_fetcher {
    struct curl_loop *curl;
    struct curl_transfer transfer; /* easy NULL = nothing is under way */
    struct curl_slist *headers;
    follow_fetch_done *done;
    void *ctx;
    char *text;
    size_t bytes, cap;
    uint64_t segment, offset;
    char error[CURL_ERROR_SIZE];
};

int follow_fetcher_new(uv_loop_t *loop, follow_fetch_done *done, void *ctx,
                       struct follow_fetcher **ret, struct err *err)
{
    struct follow_fetcher *f = calloc(1, sizeof(*f));
    int rc = f ? curl_loop_new(loop, &f->curl, err) : err_set(err, -ENOMEM, "no memory for HTTP");
    if (rc < 0) {
        free(f);
        return rc;
    }
    f->done = done;
    f->ctx = ctx;
    *ret = f;
    return 0;
}

static void clear(struct follow_fetcher *f)
{
    curl_easy_cleanup(f->transfer.easy);
    f->transfer.easy = NULL;
    curl_slist_free_all(f->headers);
    f->headers = NULL;
    free(f->text);
    f->text = NULL;
    f->bytes = f->cap = 0;
}

void follow_fetch_cancel(struct follow_fetcher *f)
{
    if (f->transfer.easy)
        curl_loop_remove(f->curl, &f->transfer);
    clear(f);
}

void follow_fetcher_free(struct follow_fetcher *f)
{
    if (!f)
        return;
    follow_fetch_cancel(f);
    curl_loop_free(f->curl);
    free(f);
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct follow_fetcher *f = ctx;
    size_t n = size * count;
    if (n > BYTES_MAX - f->bytes)
        return 0;
    if (f->bytes + n > f->cap) {
        size_t cap = MAX(f->bytes + n, MAX(2 * f->cap, (size_t)65536));
        char *grown = realloc(f->text, cap);
        if (!grown)
            return 0;
        f->text = grown;
        f->cap = cap;
    }
    memcpy(f->text + f->bytes, data, n);
    f->bytes += n;
    return n;
}

static void take_number(struct slice line, const char *name, uint64_t *ret)
{
    size_t n = strlen(name);
    int64_t value;
    if (line.n <= n || strncasecmp(line.p, name, n) != 0)
        return;
    struct slice rest = { line.p + n, line.n - n };
    while (rest.n > 0 && strchr(" \t", rest.p[0]))
        rest = (struct slice){ rest.p + 1, rest.n - 1 };
    while (rest.n > 0 && strchr(" \t\r\n", rest.p[rest.n - 1]))
        rest.n--;
    if (num_parse_i64(rest, &value) == 0 && value >= 0)
        *ret = (uint64_t)value;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct follow_fetcher *f = ctx;
    struct slice line = { data, size * count };
    take_number(line, "x-plimsoll-segment:", &f->segment);
    take_number(line, "x-plimsoll-offset:", &f->offset);
    return size * count;
}

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct follow_fetcher *f = CONTAINER_OF(t, struct follow_fetcher, transfer);
    long status = 0, os = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_OK)
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    bool refused = code == CURLE_COULDNT_CONNECT && os != 0;
    _cleanup_free_ char *text = TAKE_PTR(f->text);
    struct follow_answer answer = {
        .status = (int)status,
        .text = text,
        .bytes = f->bytes,
        .segment = f->segment,
        .offset = f->offset,
        .error = refused       ? strerror((int)os)
                 : f->error[0] ? f->error
                               : curl_easy_strerror(code),
    };
    clear(f);
    f->done(f->ctx, &answer);
}

int follow_fetch(struct follow_fetcher *f, const char *url, const char *token, uint64_t segment,
                 uint64_t offset)
{
    char line[640], full[512];
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    fmt(full, sizeof(full), "%.*s/v1/journal?segment=%llu&offset=%llu", (int)n, url,
        (unsigned long long)segment, (unsigned long long)offset);
    fmt(line, sizeof(line), "Authorization: Bearer %s", token);
    f->segment = f->offset = 0;
    f->error[0] = '\0';
    CURL *easy = f->transfer.easy = curl_easy_init();
    f->headers = easy ? curl_slist_append(NULL, line) : NULL;
    explicit_bzero(line, sizeof(line));
    if (!f->headers) {
        clear(f);
        return -ENOMEM;
    }
    f->transfer.done = on_done;
    curl_easy_setopt(easy, CURLOPT_URL, full);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
    int rc = curl_loop_add(f->curl, &f->transfer);
    if (rc < 0)
        clear(f);
    return rc;
}
