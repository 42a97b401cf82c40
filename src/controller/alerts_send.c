/* Telling: one message at a time for each target, over libcurl or to a command; both end by
 * themselves, and nobody waits for either. */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/table.h"
#include "base/us.h"
#include "controller/alerts_int.h"
#include "controller/controller_int.h"
#include "drivers/child.h"
#include "drivers/command.h"
#include "drivers/fetch.h"

#define WEBHOOK_MS 10000L
#define COMMAND_US (30 * US_PER_S)
#define ANSWER_MAX 512

/* What is on its way to a target: either a transfer or a command. */
struct alerts_delivery {
    struct alerts *a;
    uint32_t target;
    struct child *command;
    struct curl_transfer transfer;
    struct curl_slist *headers;
    char *body;
    char error[CURL_ERROR_SIZE];
    char answer[ANSWER_MAX]; /* its beginning */
    size_t answer_bytes;
};

static void delivery_free(struct alerts_delivery *d)
{
    curl_easy_cleanup(d->transfer.easy);
    curl_slist_free_all(d->headers);
    free(d->body);
    free(d);
}

static void end(struct alerts_delivery *d, const char *trouble)
{
    struct alerts *a = d->a;
    uint32_t target = d->target;
    char text[ALERTS_TROUBLE_MAX];
    fmt(text, sizeof(text), "%s", trouble);
    delivery_free(d);
    alerts_answered(a, target, text);
}

/* -- who -------------------------------------------------------------------------------------- */

uint64_t alerts_target_id(const struct alert_to *to)
{
    uint64_t id = (uint64_t)to->webhook.format;
    if (to->webhook.url)
        id ^= table_hash(slice_of(to->webhook.url));
    for (size_t i = 0; i < to->command.count; i++)
        id = id * 31 + table_hash(slice_of(to->command.items[i]));
    return id;
}

/* A webhook's path is as good as a password: who has it may post. */
void alerts_target_name(const struct alert_to *to, char *buf, size_t cap)
{
    static const char *const words[] = { "webhook", "Slack", "Alertmanager" };
    if (!to->webhook.url) {
        fmt(buf, cap, "command %s", to->command.count > 0 ? to->command.items[0] : "");
        return;
    }
    const char *host = strstr(to->webhook.url, "://");
    host = host ? host + 3 : to->webhook.url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    host = at ? at + 1 : host;
    fmt(buf, cap, "%s %.*s", words[to->webhook.format], (int)strcspn(host, "/?#"), host);
}

/* -- webhooks ---------------------------------------------------------------------------------- */

static size_t on_answer(char *data, size_t size, size_t count, void *ctx)
{
    struct alerts_delivery *d = ctx;
    size_t n = MIN(size * count, sizeof(d->answer) - 1 - d->answer_bytes);
    memcpy(d->answer + d->answer_bytes, data, n);
    d->answer_bytes += n;
    return size * count;
}

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct alerts_delivery *d = CONTAINER_OF(t, struct alerts_delivery, transfer);
    char trouble[ALERTS_TROUBLE_MAX] = "";
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    struct slice line = fetch_first_line(d->answer);
    if (code != CURLE_OK)
        fmt(trouble, sizeof(trouble), "%s", d->error[0] ? d->error : curl_easy_strerror(code));
    else if (status < 200 || status > 299)
        fmt(trouble, sizeof(trouble), "answers with status %ld%s%.*s", status, line.n ? ": " : "",
            (int)line.n, line.p);
    end(d, trouble);
}

static void add_header(struct alerts_delivery *d, const char *name, const char *value)
{
    char line[1024];
    fmt(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(d->headers, line);
    d->headers = more ? more : d->headers;
}

/* An Alertmanager that is given without a path has its API where it always is. */
static void make_url(const struct alert_webhook *w, char *buf, size_t cap)
{
    const char *host = strstr(w->url, "://");
    size_t n = strlen(w->url);
    const char *path = host ? strchr(host + 3, '/') : NULL;
    bool bare = !path || !path[1];
    if (path && bare)
        n--;
    bool add = bare && w->format == ALERT_ALERTMANAGER;
    fmt(buf, cap, "%.*s%s", (int)(add ? n : strlen(w->url)), w->url, add ? "/api/v2/alerts" : "");
}

static int post(struct alerts_delivery *d, const struct alert_webhook *w)
{
    char url[2048];
    CURL *easy = d->transfer.easy = curl_easy_init();
    if (!easy)
        return -1;
    make_url(w, url, sizeof(url));
    d->transfer.done = on_done;
    add_header(d, "Content-Type", "application/json");
    for (size_t i = 0; i < w->headers.count; i++)
        add_header(d, w->headers.names[i], w->headers.values[i]);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, d->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, d->body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, WEBHOOK_MS);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll/" PLIMSOLL_VERSION);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, d->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, d);
    return curl_loop_add(d->a->curl, &d->transfer);
}

/* -- commands ---------------------------------------------------------------------------------- */

static void on_ended(void *ctx, const struct child_end *how)
{
    char trouble[ALERTS_TROUBLE_MAX] = "";
    if (!child_ended_well(how))
        child_describe(how, trouble, sizeof(trouble));
    end(ctx, trouble);
}

/* The message is on its standard input, what it says in our own log. */
static void run(struct alerts_delivery *d, const struct schema_list *words)
{
    char trouble[ALERTS_TROUBLE_MAX], *argv[COMMAND_ARGV_MAX];
    command_words(words, argv);
    const struct child_options options = {
        .argv = argv, .input = d->body, .logs = true, .timeout_us = COMMAND_US
    };
    int rc = child_start(&d->a->c->loop, &options, on_ended, d, &d->command);
    if (rc == 0)
        return;
    fmt(trouble, sizeof(trouble), "cannot be run: %s", uv_strerror(rc));
    end(d, trouble);
}

/* -- both -------------------------------------------------------------------------------------- */

void alerts_send(struct alerts *a, const struct alert_to *to, const struct alert_message *m)
{
    struct alerts_delivery *d = calloc(1, sizeof(*d));
    uint32_t target = m->target;
    char *body = d ? alerts_body(a, (enum alert_format)to->webhook.format, m) : NULL;
    if (!body) {
        free(d);
        alerts_answered(a, target, "no memory");
        return;
    }
    d->a = a;
    d->target = target;
    d->body = body;
    a->on_way[target] = d;
    if (!to->webhook.url)
        run(d, &to->command);
    else if (post(d, &to->webhook) < 0)
        end(d, "no memory");
}

void alerts_cancel(struct alerts *a)
{
    for (uint32_t t = 0; t < ALERT_TARGETS_MAX; t++) {
        struct alerts_delivery *d = a->on_way[t];
        a->on_way[t] = NULL;
        if (!d)
            continue;
        if (d->command)
            child_cancel(d->command);
        else
            curl_loop_remove(a->curl, &d->transfer);
        delivery_free(d);
    }
}
