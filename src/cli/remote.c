/* Talks to a running plimsoll with libcurl. It knows where to find one and how to say that there is
 * none; what the answers mean is the commands' business. */
#include "cli/remote.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "cli/load.h"
#include "cli/state_dir.h"
#include "keeper/keeper.h"
#include "sys/mem.h"

#define ANSWER_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define TIMEOUT_S 30L

struct remote {
    CURL *curl;
    char where[PATH_MAX];     /* as a person reads it */
    char socket[PATH_MAX];    /* "" = by address */
    char base[PATH_MAX];      /* "http://127.0.0.1:7575" */
    char authorization[1024]; /* "" = no token */
    long timeout_s;
};

const struct option_spec remote_options[] = {
    { "admin", 0, "ADDR", "the running plimsoll's admin address, or its socket's path" },
    { "state", 0, "DIR", "the running plimsoll's state directory" },
    { "token-file", 0, "FILE", "token for --admin over TCP (or PLIMSOLL_ADMIN_TOKEN)" },
    { 0 },
};

static void use_socket(struct remote *c, const char *path)
{
    str_copy(c->socket, sizeof(c->socket), path);
    str_copy(c->where, sizeof(c->where), path);
    str_copy(c->base, sizeof(c->base), "http://plimsoll");
}

static void use_address(struct remote *c, const char *address)
{
    struct str s;
    if (strncmp(address, "unix:", 5) == 0)
        address += 5;
    if (strchr(address, '/') && strncmp(address, "http", 4) != 0) {
        use_socket(c, address);
        return;
    }
    str_init(&s, c->base, sizeof(c->base));
    str_putf(&s, "%s%s%s", strstr(address, "://") ? "" : "http://",
             address[0] == ':' ? "127.0.0.1" : "", address);
    while (s.len > 0 && s.p[s.len - 1] == '/')
        s.p[--s.len] = 0;
    str_copy(c->where, sizeof(c->where), c->base);
}

static int locate(struct remote *c, const struct options *o, struct err *err)
{
    char dir[PATH_MAX], path[PATH_MAX];
    struct str s;
    const char *admin = options_text(o, "admin");
    const char *state = options_text(o, "state");
    if (!admin && !state)
        admin = getenv("PLIMSOLL_ADMIN");
    if (admin && admin[0]) {
        use_address(c, admin);
        return 0;
    }
    if (!state) {
        int rc = state_dir_default(dir, sizeof(dir), err);
        if (rc < 0)
            return rc;
        state = dir;
    }
    str_init(&s, path, sizeof(path));
    str_putf(&s, "%s/admin.sock", state);
    use_socket(c, path);
    return 0;
}

static int read_token(struct remote *c, const struct options *o, struct err *err)
{
    char token[512] = "";
    const char *path = options_text(o, "token-file");
    const char *env = getenv("PLIMSOLL_ADMIN_TOKEN");
    if (path) {
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        if (!f || !fgets(token, sizeof(token), f))
            return err_at(err, -EIO, path, "cannot read a token: %s",
                          f ? "the file is empty" : strerror(errno));
        token[strcspn(token, "\r\n")] = 0;
    } else if (env && !str_copy(token, sizeof(token), env)) {
        return err_set(err, -EINVAL, "PLIMSOLL_ADMIN_TOKEN is too long");
    }
    struct str s;
    str_init(&s, c->authorization, sizeof(c->authorization));
    if (token[0])
        str_putf(&s, "Authorization: Bearer %s", token);
    return 0;
}

int remote_open(const struct options *o, struct remote **ret)
{
    struct err err = { 0 };
    struct remote *c = calloc(1, sizeof(*c));
    if (!c)
        return command_fail(COMMAND_FAILED, "out of memory");
    if (locate(c, o, &err) < 0 || read_token(c, o, &err) < 0) {
        free(c);
        return command_fail_err(COMMAND_USAGE, &err);
    }
    c->timeout_s = TIMEOUT_S;
    c->curl = curl_easy_init();
    if (!c->curl) {
        free(c);
        return command_fail(COMMAND_FAILED, "libcurl does not start");
    }
    *ret = c;
    return 0;
}

void remote_close(struct remote *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    free(c);
}

void remote_set_timeout(struct remote *c, int seconds)
{
    c->timeout_s = seconds;
}

bool remote_is_local(const struct remote *c)
{
    return c->socket[0] != 0;
}

static size_t on_body(char *data, size_t one, size_t bytes, void *ctx)
{
    struct remote_answer *a = ctx;
    if (a->bytes + bytes > ANSWER_BYTES_MAX)
        return 0;
    char *grown = realloc(a->body, a->bytes + bytes + 1);
    if (!grown)
        return 0;
    a->body = grown;
    memcpy(a->body + a->bytes, data, bytes);
    a->bytes += bytes;
    a->body[a->bytes] = 0;
    return bytes * one;
}

static size_t on_header(char *data, size_t one, size_t bytes, void *ctx)
{
    static const char name[] = "x-log-offset:";
    struct remote_answer *a = ctx;
    size_t n = sizeof(name) - 1;
    if (bytes > n && strncasecmp(data, name, n) == 0) {
        struct slice value = { data + n, bytes - n };
        while (value.n > 0 && isspace((unsigned char)value.p[value.n - 1]))
            value.n--;
        (void)num_parse_i64(slice_trim(value), &a->log_offset);
    }
    return bytes * one;
}

/* Beside the socket lies what a keeper leaves behind. 0 where it is no socket. */
static size_t left_running(const struct remote *c)
{
    char state[PATH_MAX];
    const char *slash = strrchr(c->where, '/');
    if (c->where[0] != '/' || slash == c->where)
        return 0;
    fmt(state, sizeof(state), "%.*s", (int)(slash - c->where), c->where);
    return keeper_left_running(state);
}

/* Nobody there, not allowed, or something else: each calls for other advice. */
static int connect_error(const struct remote *c, CURLcode code, struct err *err)
{
    long os = 0;
    curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os);
    if (code != CURLE_COULDNT_CONNECT)
        return err_at(err, -EIO, c->where, "%s", curl_easy_strerror(code));
    if (os == EACCES || os == EPERM)
        return err_at(err, -EACCES, c->where,
                      "permission denied; run this as the user that runs plimsoll, or as root");
    size_t left = left_running(c);
    if (left > 0)
        return err_set(err, -ENOENT,
                       "no plimsoll is running at %s, but %zu of its instances serve on\n"
                       "take them back:     plimsoll run as before, with the same --state\n"
                       "and to end them:    then plimsoll stop",
                       c->where, left);
    return err_set(err, -ENOENT,
                   "no plimsoll is running at %s\n"
                   "start one:          plimsoll run --listen :8080 -- COMMAND\n"
                   "or say where it is: --state DIR or --admin ADDR",
                   c->where);
}

int remote_ask(struct remote *c, const char *method, const char *path, const char *body,
               struct remote_answer *ret, struct err *err)
{
    char url[PATH_MAX + 1024];
    struct str s;
    str_init(&s, url, sizeof(url));
    str_putf(&s, "%s%s", c->base, path);
    struct remote_answer answer = { .log_offset = -1 };
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (c->authorization[0])
        headers = curl_slist_append(headers, c->authorization);
    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, c->timeout_s);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, &answer);
    if (c->socket[0])
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket);
    if (strcmp(method, "POST") == 0)
        curl_easy_setopt(c->curl, CURLOPT_COPYPOSTFIELDS, body ? body : "{}");
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        free(answer.body);
        return connect_error(c, code, err);
    }
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &answer.status);
    if (!answer.body)
        answer.body = calloc(1, 1);
    *ret = answer;
    return 0;
}

int remote_fail(int rc, const struct err *err)
{
    return command_fail_err(rc == -ENOENT ? COMMAND_NOT_RUNNING : COMMAND_FAILED, err);
}

/* An error of the configuration, as `check` shows it: place is "file:line:column". */
static void print_config_error(const json_t *json)
{
    struct err e = { 0 };
    char path[sizeof(e.place)];
    fmt(e.place, sizeof(e.place), "%s", json_string_value(json_object_get(json, "place")) ?: "");
    fmt(e.text, sizeof(e.text), "%s", json_string_value(json_object_get(json, "text")) ?: "?");
    fmt(path, sizeof(path), "%s", e.place);
    for (int i = 0; i < 2 && strrchr(path, ':'); i++)
        *strrchr(path, ':') = '\0';
    load_print_error(path, &e);
}

/* {"error":"..","errors":[{"place","text"}]} */
int remote_refuse(const struct remote_answer *a)
{
    _cleanup_json_ json_t *root = json_loads(a->body, 0, NULL);
    const json_t *errors = json_object_get(root, "errors"), *error;
    const char *text = json_string_value(json_object_get(root, "error"));
    size_t i;
    json_array_foreach(errors, i, error) print_config_error(error);
    if (json_array_size(errors) > 0)
        text = "refused; the running configuration goes on";
    command_fail(COMMAND_FAILED, "%s", text ? text : a->body[0] ? a->body : "refused");
    return a->status == 400 ? COMMAND_USAGE : COMMAND_FAILED;
}

int remote_call(struct remote *c, const char *method, const char *path, json_t *body,
                struct remote_answer *ret)
{
    struct err err = { 0 };
    struct remote_answer answer = { 0 };
    _cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    int rc = remote_ask(c, method, path, text, &answer, &err);
    if (rc < 0)
        return remote_fail(rc, &err);
    if (answer.status < 200 || answer.status > 299) {
        rc = remote_refuse(&answer);
        free(answer.body);
        return rc;
    }
    *ret = answer;
    return 0;
}

int remote_call_json(struct remote *c, const char *method, const char *path, json_t *body,
                     json_t **ret)
{
    struct remote_answer answer = { 0 };
    json_error_t error;
    int rc = remote_call(c, method, path, body, &answer);
    if (rc != 0)
        return rc;
    json_t *root = json_loads(answer.body, 0, &error);
    free(answer.body);
    if (!root)
        return command_fail(COMMAND_FAILED, "%s: the answer is not JSON: %s", c->where, error.text);
    *ret = root;
    return 0;
}

int remote_simple(const struct options *o, const char *method, const char *path, json_t *body,
                  json_t **ret)
{
    _cleanup_remote_ struct remote *c = NULL;
    struct remote_answer answer = { 0 };
    int rc = remote_open(o, &c);
    if (rc != 0) {
        json_decref(body);
        return rc;
    }
    if (!options_flag(o, "json"))
        return remote_call_json(c, method, path, body, ret);
    rc = remote_call(c, method, path, body, &answer);
    if (rc != 0)
        return rc;
    while (answer.bytes > 0 && answer.body[answer.bytes - 1] == '\n')
        answer.body[--answer.bytes] = 0;
    printf("%s\n", answer.body);
    free(answer.body);
    return 0;
}

int remote_path(char *ret, size_t cap, const char *before, const char *name, const char *after)
{
    struct str s;
    str_init(&s, ret, cap);
    str_put(&s, before);
    for (const char *p = name; *p; p++) {
        unsigned char b = (unsigned char)*p;
        if (isalnum(b) || strchr("-_.~", b))
            str_put_char(&s, *p);
        else
            str_putf(&s, "%%%02x", b);
    }
    str_put(&s, after);
    return s.cut ? command_fail(COMMAND_USAGE, "the name is too long") : 0;
}
