/* Calls as curl transfers. With a user, the first of them waits for a login. A token that etcd does
 * not know any more is nobody's fault: a call that was refused for it logs in again and is
 * repeated, once. */
#include "drivers/lease/etcd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/list.h"
#include "base/us.h"
#include "drivers/curl_loop.h"
#include "drivers/lease/etcd_codec.h"
#include "sys/mem.h"

#define ANSWER_BYTES_MAX ((size_t)1024 * 1024)
#define TOKEN_MAX 2048
#define PASSWORD_MAX 512
#define URL_MAX 512
#define LOGIN_PATH "/v3/auth/authenticate"
#define QUIET_S 5L /* a stream's connection is looked after so often */
#define LOGIN_US_MAX (2 * US_PER_S)

struct etcd {
    struct etcd_options options;
    struct curl_loop *curl;
    size_t current;        /* endpoint */
    char token[TOKEN_MAX]; /* "" = none */
    unsigned logins;       /* counts them: which token a call went with */
    bool open;             /* it has said that it asks nobody who they are */
    struct etcd_call *login;
    struct list calls;
    bool *in_trouble; /* each endpoint */
    bool told;        /* of some trouble */
    char last[ETCD_ERROR_MAX];
};

struct etcd_call {
    struct curl_transfer transfer;
    struct etcd *etcd;
    struct list link;
    size_t endpoint;
    bool waits; /* for the login */
    bool repeated;
    unsigned logins;
    const char *path;
    char *request;
    int64_t timeout_us; /* US_NEVER = a stream */
    struct curl_slist *headers;
    char *body;
    size_t bytes;
    etcd_line *line;
    etcd_done *done;
    void *ctx;
    char error[CURL_ERROR_SIZE];
};

static const char *endpoint_url(const struct etcd *e, size_t endpoint)
{
    return e->options.conf->endpoints.items[endpoint];
}

/* --- what people are told --- */

static void trouble(struct etcd *e, size_t endpoint, const char *what, const char *way_out)
{
    char text[1024];
    bool same = e->in_trouble[endpoint] && strncmp(e->last, what, sizeof(e->last) - 1) == 0;
    bool known = e->in_trouble[endpoint] && e->options.conf->endpoints.count > 1;
    e->in_trouble[endpoint] = e->told = true;
    fmt(e->last, sizeof(e->last), "%s", what);
    if (same || known)
        return;
    fmt(text, sizeof(text), "etcd at %s: %s%s%s", endpoint_url(e, endpoint), what,
        way_out[0] ? "; " : "", way_out);
    e->options.note(e->options.ctx, true, text);
}

static void all_well(struct etcd *e, size_t endpoint)
{
    char text[URL_MAX + 64];
    if (!e->told)
        return;
    memset(e->in_trouble, 0, e->options.conf->endpoints.count * sizeof(*e->in_trouble));
    e->told = false;
    fmt(text, sizeof(text), "etcd at %s answers", endpoint_url(e, endpoint));
    e->options.note(e->options.ctx, false, text);
}

static const char *way_out_of(CURLcode code, const char *url)
{
    bool secure = strncmp(url, "https:", 6) == 0;
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return "lease.etcd.ca must be the file of whoever signed its certificate, and the URL's "
               "host must be in that";
    case CURLE_SSL_CACERT_BADFILE:
        return "check lease.etcd.ca";
    case CURLE_SSL_CERTPROBLEM:
        return "check lease.etcd.cert and lease.etcd.key";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        return secure ? "does it speak https, and does it ask for lease.etcd.cert?"
                      : "does it ask for https?";
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return "does it run, and is it reached from here?";
    default:
        return "";
    }
}

/* The system's word, where there is one. */
static const char *explain(const struct etcd_call *c, CURLcode code)
{
    long os = 0;
    curl_easy_getinfo(c->transfer.easy, CURLINFO_OS_ERRNO, &os);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return "it does not answer in time";
    if (code == CURLE_COULDNT_CONNECT && os != 0)
        return strerror((int)os);
    return c->error[0] ? c->error : curl_easy_strerror(code);
}

/* --- the life of a call --- */

static void call_free(struct etcd_call *c)
{
    list_remove(&c->link);
    if (c->etcd->login == c)
        c->etcd->login = NULL;
    curl_easy_cleanup(c->transfer.easy);
    curl_slist_free_all(c->headers);
    free(c->request);
    free(c->body);
    free(c);
}

void etcd_cancel(struct etcd_call *c)
{
    if (!c)
        return;
    if (!c->waits)
        curl_loop_remove(c->etcd->curl, &c->transfer);
    call_free(c);
}

static void finish(struct etcd_call *c, bool ok)
{
    etcd_done *done = c->done;
    void *ctx = c->ctx;
    struct slice body = { c->body ? c->body : "", c->bytes };
    done(ctx, ok, body);
    call_free(c);
}

/* The others go on elsewhere. */
static void leave_endpoint(struct etcd_call *c)
{
    struct etcd *e = c->etcd;
    if (c->endpoint == e->current)
        e->current = (e->current + 1) % e->options.conf->endpoints.count;
}

static void read_refusal(const struct etcd_call *c, char text[ETCD_ERROR_MAX])
{
    char ignored[8];
    struct slice body = { c->body ? c->body : "", c->bytes };
    text[0] = '\0';
    (void)etcd_read_login(body, ignored, sizeof(ignored), text);
}

/* What a refusal means for whoever asks next. That a lease is gone, say, is between etcd and them.
 */
static void hear_refusal(struct etcd_call *c, long status)
{
    struct etcd *e = c->etcd;
    char text[ETCD_ERROR_MAX];
    bool login = strcmp(c->path, LOGIN_PATH) == 0;
    read_refusal(c, text);
    if (login && strstr(text, "authentication is not enabled")) {
        e->open = true;
    } else if (login || status == 401 || status == 403 || strstr(text, "auth") ||
               strstr(text, "user name")) {
        e->token[0] = '\0';
        trouble(e, c->endpoint, text,
                e->options.conf->user ? "check lease.etcd.user and lease.etcd.password-file"
                                      : "set lease.etcd.user and lease.etcd.password-file");
    } else if (status >= 500) {
        trouble(e, c->endpoint, text, "");
        leave_endpoint(c);
    }
}

/* Has etcd answered, and as one would wish? */
static bool judge(struct etcd_call *c, CURLcode code)
{
    char text[ETCD_ERROR_MAX];
    struct slice body = { c->body ? c->body : "", c->bytes };
    long status = 0;
    curl_easy_getinfo(c->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        trouble(c->etcd, c->endpoint, explain(c, code),
                way_out_of(code, endpoint_url(c->etcd, c->endpoint)));
        leave_endpoint(c);
        return false;
    }
    if (c->line) /* its lines have spoken for it */
        return status == 200;
    if (!etcd_is_answer(body, text)) {
        trouble(c->etcd, c->endpoint, text, "etcd 3.4 or later is needed");
        leave_endpoint(c);
        return false;
    }
    if (status == 200)
        all_well(c->etcd, c->endpoint);
    else
        hear_refusal(c, status);
    return status == 200;
}

static bool log_in_again(struct etcd_call *c);

static void on_done(struct curl_transfer *t, CURLcode code)
{
    struct etcd_call *c = CONTAINER_OF(t, struct etcd_call, transfer);
    if (code != CURLE_OK || !log_in_again(c))
        finish(c, judge(c, code));
}

/* Lines are handed on and forgotten. */
static void hand_on_lines(struct etcd_call *c)
{
    size_t begin = 0;
    for (char *end; (end = memchr(c->body + begin, '\n', c->bytes - begin));) {
        struct slice line = { c->body + begin, (size_t)(end - c->body) - begin };
        if (line.n > 0)
            c->line(c->ctx, line);
        begin += line.n + 1;
    }
    c->bytes -= begin;
    memmove(c->body, c->body + begin, c->bytes);
}

static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
    struct etcd_call *c = ctx;
    size_t n = size * count;
    char *grown = c->bytes + n <= ANSWER_BYTES_MAX ? realloc(c->body, c->bytes + n + 1) : NULL;
    if (!grown)
        return 0;
    memcpy(grown + c->bytes, data, n);
    c->body = grown;
    c->bytes += n;
    grown[c->bytes] = '\0';
    if (c->line)
        hand_on_lines(c);
    return n;
}

/* --- sending --- */

static void add_header(struct etcd_call *c, const char *text)
{
    struct curl_slist *more = curl_slist_append(c->headers, text);
    c->headers = more ? more : c->headers;
}

static void set_security(const struct etcd_call *c)
{
    const struct lease_etcd_conf *conf = c->etcd->options.conf;
    CURL *easy = c->transfer.easy;
    if (conf->ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca);
    if (conf->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert);
    if (conf->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->key);
}

static void set_headers(struct etcd_call *c)
{
    char text[TOKEN_MAX + 32];
    add_header(c, "Content-Type: application/json");
    fmt(text, sizeof(text), "Authorization: %s", c->etcd->token);
    if (c->etcd->token[0])
        add_header(c, text);
}

static void set_options(struct etcd_call *c)
{
    char url[URL_MAX];
    CURL *easy = c->transfer.easy;
    const char *base = endpoint_url(c->etcd, c->endpoint);
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    fmt(url, sizeof(url), "%.*s%s", (int)n, base, c->path);
    set_headers(c);
    set_security(c);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->request);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*"); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* So that a stream has a connection of its own. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, QUIET_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, QUIET_S);
    if (c->timeout_us != US_NEVER)
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MAX(c->timeout_us / US_PER_MS, 1));
}

static int set_off(struct etcd_call *c)
{
    c->endpoint = c->etcd->current;
    c->logins = c->etcd->logins;
    set_options(c);
    c->waits = curl_loop_add(c->etcd->curl, &c->transfer) < 0;
    return c->waits ? -ENOMEM : 0;
}

static struct etcd_call *call_new(struct etcd *e, const char *path, char *body, int64_t timeout_us,
                                  etcd_done *done, void *ctx)
{
    struct etcd_call *c = body ? calloc(1, sizeof(*c)) : NULL;
    CURL *easy = c ? curl_easy_init() : NULL;
    if (!easy) {
        free(c);
        free(body);
        return NULL;
    }
    c->transfer = (struct curl_transfer){ .easy = easy, .done = on_done };
    c->etcd = e;
    c->waits = true;
    c->path = path;
    c->request = body;
    c->timeout_us = timeout_us;
    c->done = done;
    c->ctx = ctx;
    list_push_back(&e->calls, &c->link);
    return c;
}

/* --- the login --- */

/* The first line, read anew each time: who mends it need not start us again. */
static bool read_password(const struct etcd *e, char ret[PASSWORD_MAX])
{
    _cleanup_fclose_ FILE *f = fopen(e->options.conf->password_file, "re");
    if (!f || !fgets(ret, PASSWORD_MAX, f))
        return false;
    ret[strcspn(ret, "\r\n")] = '\0';
    return true;
}

/* Whoever waited goes on, or has failed. */
static void on_login(void *ctx, bool ok, struct slice body)
{
    struct etcd *e = ctx;
    struct list waiting;
    char error[ETCD_ERROR_MAX];
    list_init(&waiting);
    e->login = NULL;
    e->logins++;
    ok = e->open || (ok && etcd_read_login(body, e->token, sizeof(e->token), error) == 0);
    LIST_FOR_EACH (link, &e->calls) {
        if (LIST_ENTRY(link, struct etcd_call, link)->waits) {
            list_remove(link);
            list_push_back(&waiting, link);
        }
    }
    while (!list_empty(&waiting)) { /* each may cancel others */
        struct etcd_call *c = LIST_ENTRY(waiting.next, struct etcd_call, link);
        list_remove(&c->link);
        list_push_back(&e->calls, &c->link);
        if (!ok || set_off(c) < 0)
            finish(c, false);
    }
}

static int log_in(struct etcd *e)
{
    char password[PASSWORD_MAX];
    if (!read_password(e, password)) {
        trouble(e, e->current, "the password cannot be read", "check lease.etcd.password-file");
        return -ENOENT;
    }
    char *body = etcd_body_login(e->options.conf->user, password);
    explicit_bzero(password, sizeof(password));
    struct etcd_call *c = call_new(e, LOGIN_PATH, body, LOGIN_US_MAX, on_login, e);
    if (!c)
        return -ENOMEM;
    int rc = set_off(c);
    if (rc < 0)
        call_free(c);
    else
        e->login = c;
    return rc;
}

/* Sends it, or has it wait for the login. 0 or -errno. */
static int set_off_known(struct etcd_call *c)
{
    struct etcd *e = c->etcd;
    if (!e->options.conf->user || e->token[0] || e->open)
        return set_off(c);
    return e->login ? 0 : log_in(e);
}

/* Tokens expire, do not outlive etcd, and end with any change of its users; and that it asks who we
 * are may be new. */
static bool log_in_again(struct etcd_call *c)
{
    struct etcd *e = c->etcd;
    char text[ETCD_ERROR_MAX];
    read_refusal(c, text);
    bool token = strstr(text, "invalid auth token") || strstr(text, "auth store is old") ||
                 strstr(text, "user name is empty");
    if (!token || !e->options.conf->user || c->repeated)
        return false;
    if (c->logins == e->logins) {
        e->token[0] = '\0';
        e->open = false;
    }
    c->repeated = c->waits = true;
    c->bytes = 0;
    curl_slist_free_all(TAKE_PTR(c->headers));
    return set_off_known(c) == 0;
}

/* --- the ways in --- */

static struct etcd_call *begin(struct etcd_call *c)
{
    if (!c || set_off_known(c) == 0)
        return c;
    call_free(c);
    return NULL;
}

struct etcd_call *etcd_ask(struct etcd *e, const char *path, char *body, int64_t timeout_us,
                           etcd_done *done, void *ctx)
{
    return begin(call_new(e, path, body, timeout_us, done, ctx));
}

struct etcd_call *etcd_listen(struct etcd *e, const char *path, char *body, etcd_line *line,
                              etcd_done *done, void *ctx)
{
    struct etcd_call *c = call_new(e, path, body, US_NEVER, done, ctx);
    if (c)
        c->line = line;
    return begin(c);
}

int etcd_new(const struct etcd_options *options, struct etcd **ret, struct err *err)
{
    struct etcd *e = calloc(1, sizeof(*e));
    if (!e || !(e->in_trouble = calloc(options->conf->endpoints.count, sizeof(bool)))) {
        free(e);
        return err_set(err, -ENOMEM, "no memory for etcd");
    }
    e->options = *options;
    list_init(&e->calls);
    int rc = curl_loop_new(options->loop, &e->curl, err);
    if (rc < 0) {
        free(e->in_trouble);
        free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void etcd_free(struct etcd *e)
{
    if (!e)
        return;
    LIST_FOR_EACH (link, &e->calls)
        etcd_cancel(LIST_ENTRY(link, struct etcd_call, link));
    curl_loop_free(e->curl);
    free(e->in_trouble);
    explicit_bzero(e->token, sizeof(e->token));
    free(e);
}
