/* One request to an engine as a libcurl transfer. What comes is kept up to a limit and told outside
 * of curl's callbacks, so that whoever is told may ask and cancel at will. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/engine_int.h"

#define ANSWER_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define EVENT_BYTES_MAX ((size_t)1024 * 1024)
#define PENDING_BYTES_MAX ((size_t)256 * 1024)

static bool is_stream(const struct engine_call *c)
{
    return c->kind != CALL_ASK;
}

struct engine_call *call_new(struct engine *e, enum call_kind kind, const struct engine_request *r)
{
    struct engine_call *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    list_init(&c->link);
    c->engine = e;
    c->kind = kind;
    c->method = r->method;
    c->acts = r->acts;
    c->timeout_us = r->timeout_us ? r->timeout_us : e->timeout_us;
    c->lane = r->lane;
    json_stream_init(&c->json, kind == CALL_LISTEN ? EVENT_BYTES_MAX : ANSWER_BYTES_MAX);
    c->path = strdup(r->path);
    c->body = r->body ? json_dumps(r->body, JSON_COMPACT) : NULL;
    c->body_bytes = c->body ? strlen(c->body) : 0;
    bool headers = true;
    if (r->auth) {
        char *line = NULL;
        headers = asprintf(&line, "X-Registry-Auth: %s", r->auth) >= 0 &&
                  (c->headers = curl_slist_append(NULL, line)) != NULL;
        free(line);
    }
    if (!c->path || (r->body && !c->body) || !headers) {
        call_free(c);
        return NULL;
    }
    return c;
}

void call_free(struct engine_call *c)
{
    list_remove(&c->link);
    engine_call_ended(c->engine, c);
    if (c->transfer.easy) {
        if (!c->over)
            curl_loop_remove(c->engine->curl, &c->transfer);
        curl_easy_cleanup(c->transfer.easy);
    }
    curl_slist_free_all(c->headers);
    json_stream_done(&c->json);
    json_decref(c->last);
    free(c->pending);
    free(c->path);
    free(c->body);
    free(c);
}

/* --- what comes --- */

static long status_of(const struct engine_call *c)
{
    long status = 0;
    curl_easy_getinfo(c->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool is_good(long status)
{
    return status >= 200 && status < 300;
}

static bool keep_value(void *ctx, json_t *value)
{
    struct engine_call *c = ctx;
    json_decref(c->last);
    c->last = json_incref(value);
    return true;
}

/* A body that is no JSON is kept as far as a person reads it. */
static void keep_text(struct engine_call *c, const char *bytes, size_t count)
{
    size_t have = strlen(c->text);
    fmt(c->text + have, sizeof(c->text) - have, "%.*s", (int)MIN(count, sizeof(c->text)), bytes);
    c->text[strcspn(c->text, "\r\n")] = '\0';
}

static size_t keep_answer(struct engine_call *c, const char *bytes, size_t count)
{
    if (c->text[0])
        return count;
    int rc = json_stream_feed(&c->json, bytes, count, keep_value, c);
    if (rc == -EPROTO)
        keep_text(c, bytes, count);
    else if (rc < 0)
        fmt(c->error, sizeof(c->error), "the engine's answer is over %zu MiB",
            ANSWER_BYTES_MAX >> 20);
    return rc < 0 && rc != -EPROTO ? 0 : count;
}

static size_t keep_pending(struct engine_call *c, const char *bytes, size_t count)
{
    if (c->pending_bytes > 0 && c->pending_bytes + count > PENDING_BYTES_MAX) {
        c->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    char *grown = realloc(c->pending, c->pending_bytes + count);
    if (!grown)
        return 0;
    memcpy(grown + c->pending_bytes, bytes, count);
    c->pending = grown;
    c->pending_bytes += count;
    engine_turn_soon(c->engine);
    return count;
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct engine_call *c = ctx;
    if (is_stream(c) && is_good(status_of(c)))
        return keep_pending(c, data, size * count);
    return keep_answer(c, data, size * count);
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct engine_call *c = ctx;
    bool last = size * count > 0 && (data[0] == '\r' || data[0] == '\n');
    if (is_stream(c) && last && is_good(status_of(c))) {
        c->opened = true;
        engine_turn_soon(c->engine);
    }
    return size * count;
}

/* --- why not --- */

/* The engine's own words, or what stands in for them. */
static void explain_status(struct engine_call *c, long status)
{
    const char *message = json_string_value(json_object_get(c->last, "message"));
    if (message && message[0])
        fmt(c->error, sizeof(c->error), "%.250s", message);
    else if (c->text[0])
        fmt(c->error, sizeof(c->error), "%s", c->text);
    else
        fmt(c->error, sizeof(c->error), "the engine answers with status %ld", status);
}

static void explain_failure(struct engine_call *c, CURLcode code)
{
    long os = 0;
    const char *host = c->engine->place.host;
    const char *why = c->curl_error[0] ? c->curl_error : curl_easy_strerror(code);
    curl_easy_getinfo(c->transfer.easy, CURLINFO_OS_ERRNO, &os);
    if (c->error[0])
        return;
    if (code == CURLE_OPERATION_TIMEDOUT)
        fmt(c->error, sizeof(c->error), "%s does not answer in time", host);
    else if (code == CURLE_COULDNT_CONNECT && os != 0)
        fmt(c->error, sizeof(c->error), "no engine at %s: %s", host, strerror((int)os));
    else if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
        fmt(c->error, sizeof(c->error), "%s broke off", host);
    else
        fmt(c->error, sizeof(c->error), "%s: %.150s", host, why);
}

/* --- the end --- */

static void answer_ping(struct engine_call *c, long status)
{
    struct engine *e = c->engine;
    struct curl_header *h = NULL;
    char version[32] = "", error[ENGINE_ERROR_MAX];
    if (status != 0 &&
        curl_easy_header(c->transfer.easy, "Api-Version", 0, CURLH_HEADER, -1, &h) == CURLHE_OK)
        fmt(version, sizeof(version), "%s", h->value);
    bool well = is_good(status) || (status != 0 && !version[0]);
    str_copy(error, sizeof(error), c->error);
    call_free(c);
    if (well)
        engine_ping_answered(e, version);
    else
        engine_ping_failed(e, error);
}

static void tell_end(struct engine_call *c, long status)
{
    c->telling = true;
    if (c->kind == CALL_ASK)
        c->done(c->ctx, (int)status, c->last, c->error);
    else if (c->kind == CALL_LISTEN)
        c->heard(c->ctx, NULL, c->error);
    else
        c->bytes(c->ctx, NULL, 0, c->error);
    call_free(c);
}

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct engine_call *c = CONTAINER_OF(t, struct engine_call, transfer);
    struct engine *e = c->engine;
    long status = code == CURLE_OK ? status_of(c) : 0;
    c->over = true;
    if (c->held)
        c->error[0] = '\0';
    else if (code != CURLE_OK)
        explain_failure(c, code);
    else if (status >= 300)
        explain_status(c, status);
    else if (c->kind == CALL_LISTEN)
        str_copy(c->error, sizeof(c->error), "the engine ended it");
    if (c->ping) {
        answer_ping(c, status);
        return;
    }
    if (code != CURLE_OK && !c->held)
        engine_doubt(e);
    if (is_stream(c))
        engine_turn_soon(e);
    else
        tell_end(c, status);
}

void call_fail(struct engine_call *c, const char *error)
{
    str_copy(c->error, sizeof(c->error), error);
    if (c->ping) {
        answer_ping(c, 0);
        return;
    }
    tell_end(c, 0);
}

/* --- telling a stream --- */

static bool tell_value(void *ctx, json_t *value)
{
    struct engine_call *c = ctx;
    c->heard(c->ctx, value, NULL);
    return !c->cancelled;
}

static void tell_opened(struct engine_call *c)
{
    json_t *nothing = json_object();
    c->opened_told = true;
    if (c->kind == CALL_LISTEN && nothing)
        c->heard(c->ctx, nothing, NULL);
    json_decref(nothing);
}

static void tell_pending(struct engine_call *c)
{
    char *bytes = c->pending;
    size_t count = c->pending_bytes;
    c->pending = NULL;
    c->pending_bytes = 0;
    int rc = 0;
    if (c->kind == CALL_READ)
        c->bytes(c->ctx, bytes, count, NULL);
    else
        rc = json_stream_feed(&c->json, bytes, count, tell_value, c);
    free(bytes);
    if (rc == 0 || c->cancelled)
        return;
    fmt(c->error, sizeof(c->error), "%s",
        rc == -EMSGSIZE ? "the engine sends too long a message" : "the engine sends no JSON");
    if (!c->over)
        curl_loop_remove(c->engine->curl, &c->transfer);
    c->over = true;
}

void call_tell_stream(struct engine_call *c)
{
    c->telling = true;
    if (c->opened && !c->opened_told)
        tell_opened(c);
    if (!c->cancelled && c->pending_bytes > 0)
        tell_pending(c);
    c->telling = false;
    if (c->cancelled) {
        call_free(c);
    } else if (c->over) {
        tell_end(c, 0);
    } else if (c->paused) {
        c->paused = false;
        curl_easy_pause(c->transfer.easy, CURLPAUSE_CONT);
    }
}

/* --- asking --- */

/* The last moment: from here on the request cannot be held back. */
static int on_request(void *ctx, char *peer, char *self, int peer_port, int self_port)
{
    struct engine_call *c = ctx;
    const struct engine_options *o = &c->engine->options;
    c->held = c->acts && o->may_act && !o->may_act(o->ctx);
    return c->held ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void set_tls(CURL *easy, const struct engine_place *p)
{
    if (p->ca[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, p->ca);
    if (!p->cert[0])
        return;
    curl_easy_setopt(easy, CURLOPT_SSLCERT, p->cert);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, p->key);
}

static void set_method(struct engine_call *c)
{
    CURL *easy = c->transfer.easy;
    if (c->method == ENGINE_DELETE)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    if (c->method != ENGINE_POST)
        return;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_bytes);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->body ? c->body : "");
}

static int set_address(struct engine_call *c)
{
    const struct engine *e = c->engine;
    char *url = NULL;
    const char *slash = c->ping ? "" : "/v";
    if (asprintf(&url, "%s%s%s%s", e->place.base, slash, c->ping ? "" : e->version, c->path) < 0)
        return -ENOMEM;
    curl_easy_setopt(c->transfer.easy, CURLOPT_URL, url);
    free(url);
    if (e->place.unix_path[0])
        curl_easy_setopt(c->transfer.easy, CURLOPT_UNIX_SOCKET_PATH, e->place.unix_path);
    return 0;
}

static int set_headers(struct engine_call *c)
{
    const char *const lines[] = { "Expect:", "Content-Type: application/json" };
    for (size_t i = 0; i < (c->body ? ARRAY_LEN(lines) : 1); i++) {
        struct curl_slist *more = curl_slist_append(c->headers, lines[i]);
        if (!more)
            return -ENOMEM;
        c->headers = more;
    }
    curl_easy_setopt(c->transfer.easy, CURLOPT_HTTPHEADER, c->headers);
    return 0;
}

static void set_options(struct engine_call *c)
{
    CURL *easy = c->transfer.easy;
    int64_t timeout_ms = c->timeout_us == US_NEVER ? 0 : MAX(c->timeout_us / US_PER_MS, 1);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(c->engine->timeout_us / US_PER_MS));
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->curl_error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, c);
    set_method(c);
    set_tls(easy, &c->engine->place);
}

int call_launch(struct engine_call *c)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return -ENOMEM;
    c->transfer = (struct curl_transfer){ .easy = easy, .done = on_done };
    set_options(c);
    int rc = set_address(c);
    if (rc == 0)
        rc = set_headers(c);
    if (rc == 0)
        rc = curl_loop_add(c->engine->curl, &c->transfer);
    if (rc < 0) {
        curl_easy_cleanup(easy);
        c->transfer.easy = NULL;
    }
    return rc;
}
