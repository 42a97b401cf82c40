/* One HTTP request: who asks, may they, what do they want, and the answer's headers. Bodies are
 * bounded; what is refused is refused before its body is read. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_int.h"
#include "base/fmt.h"
#include "base/str.h"
#include "sys/mem.h"

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

void admin_answer_json(struct admin_answer *a, unsigned status, json_t *json)
{
    char *line = json ? json_dumps(json, DUMP_FLAGS) : NULL;
    json_decref(json);
    free(a->body);
    a->status = line ? status : 500;
    a->type = NULL;
    a->body_bytes = 0;
    a->body = NULL;
    if (line && asprintf(&a->body, "%s\n", line) > 0)
        a->body_bytes = strlen(a->body);
    free(line);
}

void admin_answer_error(struct admin_answer *a, unsigned status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    admin_answer_json(a, status, json_pack("{s:s}", "error", text));
}

void admin_answer_text(struct admin_answer *a, unsigned status, const char *text)
{
    free(a->body);
    a->status = status;
    a->type = "text/plain; charset=utf-8";
    a->body = strdup(text);
    a->body_bytes = a->body ? strlen(text) : 0;
}

void admin_reply_error(struct admin_reply *r, unsigned status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    json_decref(r->body);
    r->status = status;
    r->body = json_pack("{s:s}", "error", text);
}

void admin_answer_header(struct admin_answer *a, const char *name, uint64_t value)
{
    struct admin_header *h = a->headers;
    while (h->name)
        h++;
    h->name = name;
    fmt(h->value, sizeof(h->value), "%llu", (unsigned long long)value);
}

const char *admin_query_text(struct admin_request *q, const char *key)
{
    return MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, key);
}

bool admin_query_number(struct admin_request *q, struct admin_answer *a, const char *key,
                        int64_t min, int64_t max, int64_t fallback, int64_t *ret)
{
    const char *text = admin_query_text(q, key);
    char *end;
    *ret = fallback;
    if (!text)
        return true;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max) {
        admin_answer_error(a, 400, "%s=%s: a whole number from %lld to %lld is wanted", key, text,
                           (long long)min, (long long)max);
        return false;
    }
    *ret = value;
    return true;
}

static const char *header(struct admin_request *q, const char *name)
{
    return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

/* In a time that tells nothing about where the texts differ. */
static bool same_secret(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned char differ = n != m;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)a[i] ^ (unsigned char)(m ? b[i % m] : 1);
    return !differ;
}

static bool has_token(struct admin_request *q)
{
    const char *text = header(q, "Authorization");
    return q->side->token[0] && text && strncasecmp(text, "Bearer ", 7) == 0 &&
           same_secret(text + 7, q->side->token);
}

/* The host of "host:port" or "[v6]:port", brackets included, cut off from its port. */
static struct slice host_of(const char *text)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    size_t n = end ? (size_t)(end + 1 - text) : strcspn(text, ":");
    return (struct slice){ text, n };
}

static bool is_address(struct slice host)
{
    char text[64];
    struct in6_addr parsed;
    bool v6 = host.n > 2 && host.p[0] == '[';
    if (host.n >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(v6 ? host.n - 2 : host.n), v6 ? host.p + 1 : host.p);
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, &parsed) == 1;
}

/* A page in somebody's browser can make a name of its own point at us and then read our answers;
 * its requests carry that name. An address needs no name, and a token no further proof. */
static bool host_is_ours(struct admin_request *q)
{
    const char *text = header(q, "Host");
    struct slice host = host_of(text ? text : "");
    return slice_eq_nocase(host, SLICE("localhost")) || is_address(host) ||
           (host.n && slice_eq_nocase(host, slice_of(q->side->host)));
}

/* The directory's name is no secret: the status shows it too. */
static void answer_read_only(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    struct admin_facts facts = { 0 };
    b->facts(b->ctx, &facts);
    admin_answer_error(a, 403,
                       "this address is read-only, for there is no admin-token-file; on the same "
                       "machine use --state %s",
                       facts.state_dir);
}

/* False: refused, and the answer says why. */
static bool may(struct admin_request *q, struct admin_answer *a)
{
    if (q->side->trusted || has_token(q))
        return true;
    if (header(q, "Authorization"))
        admin_answer_error(a, 401, "this is not the token that its admin-token-file has");
    else if (!host_is_ours(q))
        admin_answer_error(a, 403, "the Host header names neither this address nor localhost");
    else if ((q->route->changes || q->route->secret) && q->side->token[0])
        admin_answer_error(a, 401,
                           "this needs the token: --token-file FILE or PLIMSOLL_ADMIN_TOKEN; in "
                           "HTTP, Authorization: Bearer TOKEN");
    else if (q->route->changes || q->route->secret)
        answer_read_only(q, a);
    else
        return true;
    return false;
}

static bool find(struct admin_request *q, const char *method, const char *url,
                 struct admin_answer *a)
{
    const char *other;
    q->route = admin_route_find(method, url, q->name, sizeof(q->name), &other);
    if (q->route)
        return true;
    a->allow = other;
    if (other)
        admin_answer_error(a, 405, "%s wants %s", url, other);
    else
        admin_answer_error(a, 404, "there is no %s; GET / lists what there is", url);
    return false;
}

static enum MHD_Result send_answer(struct admin_request *q, struct admin_answer *a)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(a->body_bytes, a->body, MHD_RESPMEM_MUST_FREE);
    if (!r) {
        free(a->body);
        return MHD_NO;
    }
    unsigned status = a->status ? a->status : 200;
    MHD_add_response_header(r, "Content-Type", a->type ? a->type : "application/json");
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < ARRAY_LEN(a->headers) && a->headers[i].name; i++)
        MHD_add_response_header(r, a->headers[i].name, a->headers[i].value);
    if (a->allow)
        MHD_add_response_header(r, "Allow", a->allow);
    if (status == 401)
        MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    enum MHD_Result rc = MHD_queue_response(q->connection, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result begin(struct admin_side *side, struct MHD_Connection *connection,
                             const char *url, const char *method, void **request)
{
    struct admin_answer a = { 0 };
    struct admin_request *q = calloc(1, sizeof(*q));
    if (!q)
        return MHD_NO;
    q->side = side;
    q->connection = connection;
    *request = q;
    if (find(q, method, url, &a) && may(q, &a))
        return MHD_YES;
    return send_answer(q, &a);
}

static void gather(struct admin_request *q, const char *data, size_t bytes)
{
    char *body = NULL;
    if (!q->too_large && bytes <= ADMIN_BODY_MAX - q->body_bytes)
        body = realloc(q->body, q->body_bytes + bytes + 1);
    if (!body) {
        q->too_large = true;
        return;
    }
    memcpy(body + q->body_bytes, data, bytes);
    q->body = body;
    q->body_bytes += bytes;
    q->body[q->body_bytes] = '\0';
}

enum MHD_Result admin_http_accept(void *side, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **request)
{
    struct admin_request *q = *request;
    struct admin_answer a = { 0 };
    if (!q)
        return begin(side, connection, url, method, request);
    if (*data_bytes) {
        gather(q, data, *data_bytes);
        *data_bytes = 0;
        return MHD_YES;
    }
    if (q->too_large)
        admin_answer_error(&a, 413, "the body may have %zu bytes", ADMIN_BODY_MAX);
    else
        q->route->handle(q, &a);
    return send_answer(q, &a);
}

void admin_http_done(void *side, struct MHD_Connection *connection, void **request,
                     enum MHD_RequestTerminationCode code)
{
    struct admin_request *q = *request;
    if (q)
        free(q->body);
    free(q);
    *request = NULL;
}
