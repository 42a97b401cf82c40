/* Request heads: the request line, the four forms of a target and the Host rules (RFC 9112, 3).
 * It says what was asked, never whether it is allowed. */
#include "proxy/http1_int.h"

#include <errno.h>
#include <string.h>

#define METHOD_BYTES_MAX 32

static const struct slice method_names[] = {
    [HTTP1_GET] = { "GET", 3 },         [HTTP1_HEAD] = { "HEAD", 4 },
    [HTTP1_POST] = { "POST", 4 },       [HTTP1_PUT] = { "PUT", 3 },
    [HTTP1_DELETE] = { "DELETE", 6 },   [HTTP1_CONNECT] = { "CONNECT", 7 },
    [HTTP1_OPTIONS] = { "OPTIONS", 7 }, [HTTP1_TRACE] = { "TRACE", 5 },
    [HTTP1_PATCH] = { "PATCH", 5 },
};

static enum http1_method method_of(struct slice text)
{
    for (size_t i = HTTP1_GET; i < ARRAY_LEN(method_names); i++)
        if (slice_eq(text, method_names[i]))
            return (enum http1_method)i;
    return HTTP1_OTHER;
}

bool http1_method_idempotent(enum http1_method method)
{
    return (BIT(method) & (BIT(HTTP1_GET) | BIT(HTTP1_HEAD) | BIT(HTTP1_OPTIONS) |
                           BIT(HTTP1_TRACE) | BIT(HTTP1_PUT) | BIT(HTTP1_DELETE))) != 0;
}

static int parse_method(struct http1_cursor *c, struct http1_request *r, struct http1_error *error)
{
    const char *p = c->p;
    while (p < c->end && http1_is(*p, HTTP1_TOKEN))
        p++;
    size_t n = (size_t)(p - c->p);
    if (n > METHOD_BYTES_MAX)
        return http1_refuse(error, 501, "the method is too long");
    if (p == c->end)
        return HTTP1_MORE;
    if (n == 0 || *p != ' ')
        return http1_refuse(error, 400, "the request line has no valid method");
    r->method_text = (struct slice){ c->p, n };
    r->method = method_of(r->method_text);
    c->p = p + 1;
    return 0;
}

static int parse_target(struct http1_cursor *c, size_t bytes_max, struct http1_request *r,
                        struct http1_error *error)
{
    const char *p = c->p;
    while (p < c->end && http1_is(*p, HTTP1_TARGET))
        p++;
    size_t n = (size_t)(p - c->p);
    if (n > bytes_max)
        return http1_refuse(error, 414, "the request target is too long");
    if (p == c->end)
        return HTTP1_MORE;
    if (n == 0 || *p != ' ')
        return http1_refuse(error, 400, "the request line has no valid target");
    r->target = (struct slice){ c->p, n };
    c->p = p + 1;
    return 0;
}

static int parse_request_line(struct http1_cursor *c, const struct http1_limits *limits,
                              struct http1_request *r, struct http1_error *error)
{
    int rc = parse_method(c, r, error);
    if (rc == 0)
        rc = parse_target(c, limits->target_bytes_max, r, error);
    if (rc == 0)
        rc = http1_version(c, &r->minor, error);
    if (rc == 0)
        rc = http1_line_end(c, error);
    return rc;
}

static bool starts_nocase(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq_nocase((struct slice){ s.p, prefix.n }, prefix);
}

/* absolute-form: the authority becomes the host, the rest goes to the instance. */
static bool split_absolute(struct http1_request *r)
{
    struct slice rest = r->target;
    size_t scheme = starts_nocase(rest, SLICE("http://"))    ? 7
                    : starts_nocase(rest, SLICE("https://")) ? 8
                                                             : 0;
    if (scheme == 0)
        return false;
    rest.p += scheme;
    rest.n -= scheme;
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    r->host = (struct slice){ rest.p, n };
    r->origin = (struct slice){ rest.p + n, rest.n - n };
    if (r->origin.n == 0 && r->method == HTTP1_OPTIONS)
        r->origin = SLICE("*");
    return http1_host_valid(r->host);
}

/* RFC 9112, 3.2: which form the target has, and whether the method may have it. */
static bool split_target(struct http1_request *r)
{
    if (r->method == HTTP1_CONNECT) {
        r->host = r->origin = r->target;
        return http1_host_valid(r->host) && http1_host_name(r->host).n + 1 < r->host.n;
    }
    if (r->target.p[0] == '/')
        r->origin = r->target;
    else if (slice_eq(r->target, SLICE("*")) && r->method == HTTP1_OPTIONS)
        r->origin = r->target;
    else if (!split_absolute(r))
        return false;
    const char *query = memchr(r->origin.p, '?', r->origin.n);
    r->path = (struct slice){ r->origin.p, query ? (size_t)(query - r->origin.p) : r->origin.n };
    if (r->path.n == 0)
        r->path = SLICE("/");
    return true;
}

/* RFC 9112, 3.2.2 and 3.2.3: one Host, valid even where the target's own host wins. */
static int check_host(struct http1_request *r, struct http1_error *error)
{
    const struct http1_header *host = http1_find(&r->fields, HTTP1_FIELD_HOST);
    if (!host)
        return r->minor == 0 ? 0 : http1_refuse(error, 400, "Host is missing");
    if (!http1_host_valid(host->value))
        return http1_refuse(error, 400, "Host is not valid");
    if (r->host.n == 0)
        r->host = host->value;
    return 0;
}

static int check_expect(struct http1_request *r, struct http1_error *error)
{
    const struct http1_header *expect = http1_find(&r->fields, HTTP1_FIELD_EXPECT);
    if (!expect || r->minor == 0)
        return 0;
    if (!slice_eq_nocase(expect->value, SLICE("100-continue")))
        return http1_refuse(error, 417, "Expect is something other than 100-continue");
    r->expect_continue = r->body != HTTP1_BODY_NONE;
    return 0;
}

static void set_connection(struct http1_request *r)
{
    const struct http1_fields *f = &r->fields;
    r->body = f->chunked              ? HTTP1_BODY_CHUNKED
              : f->content_length > 0 ? HTTP1_BODY_LENGTH
                                      : HTTP1_BODY_NONE;
    r->keep_alive = !f->connection_close && (r->minor > 0 || f->connection_keep_alive);
    if (r->minor > 0 && f->connection_upgrade && !slice_eq_nocase(f->upgrade_value, SLICE("h2c")))
        r->upgrade = f->upgrade_value;
}

static int parse_head(struct http1_cursor *c, const struct http1_limits *limits,
                      struct http1_request *r, struct http1_error *error)
{
    int rc = parse_request_line(c, limits, r, error);
    if (rc != 0)
        return rc;
    if (!split_target(r))
        return http1_refuse(error, 400, "the request target has no valid form");
    rc = http1_fields_parse(c, limits, r->minor, &r->fields, error);
    if (rc != 0)
        return rc;
    rc = check_host(r, error);
    if (rc != 0)
        return rc;
    set_connection(r);
    return check_expect(r, error);
}

int http1_request_parse(const char *buf, size_t n, size_t *scanned,
                        const struct http1_limits *limits, struct http1_header *headers,
                        struct http1_request *ret, struct http1_error *ret_error)
{
    bool whole = n >= limits->head_bytes_max;
    if (!whole && !http1_worth_parsing(buf, n, scanned))
        return HTTP1_MORE;
    memset(ret, 0, sizeof(*ret));
    ret->fields.headers = headers;
    ret->fields.content_length = -1;
    struct http1_cursor c = { buf, buf + MIN(n, limits->head_bytes_max) };
    int rc = 0;
    if (n > 0 && *buf == '\r') /* one empty line before a request, RFC 9112, 2.2 */
        rc = http1_line_end(&c, ret_error);
    if (rc == 0)
        rc = parse_head(&c, limits, ret, ret_error);
    if (rc == 0)
        ret->head_bytes = (size_t)(c.p - buf);
    else if (rc == HTTP1_MORE && whole)
        rc = http1_refuse(ret_error, 431, "the request's head is too long");
    else if (rc == HTTP1_MORE)
        *scanned = n;
    return rc;
}
