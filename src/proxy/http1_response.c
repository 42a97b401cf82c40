/* Response heads from instances: the status line and what body follows (RFC 9112, 4 and 6.3). As
 * strict as with requests: what an instance and a client could read in two ways ends as a 502. */
#include "proxy/http1_int.h"

#include <errno.h>
#include <string.h>

static int parse_status(struct http1_cursor *c, struct http1_response *r, struct http1_error *error)
{
    if (c->end - c->p < 4)
        return HTTP1_MORE;
    const char *p = c->p;
    if (p[0] != ' ' || p[1] < '1' || p[1] > '5' || !http1_is(p[2], HTTP1_DIGIT) ||
        !http1_is(p[3], HTTP1_DIGIT))
        return http1_refuse(error, 502, "the status line has no valid status");
    r->status = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    c->p += 4;
    return 0;
}

/* The reason may be empty, and some servers then leave the space before it out too. */
static int parse_reason(struct http1_cursor *c, struct http1_response *r, struct http1_error *error)
{
    if (c->p < c->end && *c->p == ' ') {
        const char *start = ++c->p;
        while (c->p < c->end && http1_is(*c->p, HTTP1_VALUE))
            c->p++;
        r->reason = (struct slice){ start, (size_t)(c->p - start) };
    }
    return http1_line_end(c, error);
}

/* RFC 9112, 6.3. */
static enum http1_body body_of(const struct http1_response *r, enum http1_method method)
{
    const struct http1_fields *f = &r->fields;
    if (method == HTTP1_HEAD || r->status < 200 || r->status == 204 || r->status == 304 ||
        (method == HTTP1_CONNECT && r->status < 300))
        return HTTP1_BODY_NONE;
    if (f->chunked)
        return HTTP1_BODY_CHUNKED;
    if (f->content_length >= 0)
        return f->content_length > 0 ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
    return HTTP1_BODY_CLOSE;
}

/* A 204 or 1xx that announces a body may be followed by one: that connection is not used again. */
static bool may_reuse(const struct http1_response *r)
{
    const struct http1_fields *f = &r->fields;
    if (r->body == HTTP1_BODY_CLOSE || f->connection_close)
        return false;
    if ((r->status < 200 || r->status == 204) && (f->chunked || f->content_length > 0))
        return false;
    return r->minor > 0 || f->connection_keep_alive;
}

static int check_upgrade(struct http1_response *r, bool asked_upgrade, struct http1_error *error)
{
    if (r->status != 101)
        return 0;
    if (!asked_upgrade || !r->fields.connection_upgrade || r->fields.upgrade_value.n == 0)
        return http1_refuse(error, 502, "a 101 without an upgrade");
    r->upgrade = r->fields.upgrade_value;
    return 0;
}

static int parse_head(struct http1_cursor *c, const struct http1_limits *limits,
                      struct http1_response *r, struct http1_error *error)
{
    int rc = http1_version(c, &r->minor, error);
    if (rc == 0)
        rc = parse_status(c, r, error);
    if (rc == 0)
        rc = parse_reason(c, r, error);
    if (rc == 0)
        rc = http1_fields_parse(c, limits, r->minor, &r->fields, error);
    return rc;
}

int http1_response_parse(const char *buf, size_t n, size_t *scanned,
                         const struct http1_limits *limits, enum http1_method method,
                         bool asked_upgrade, struct http1_header *headers,
                         struct http1_response *ret, struct http1_error *ret_error)
{
    bool whole = n >= limits->head_bytes_max;
    if (!whole && !http1_worth_parsing(buf, n, scanned))
        return HTTP1_MORE;
    memset(ret, 0, sizeof(*ret));
    ret->fields.headers = headers;
    ret->fields.content_length = -1;
    struct http1_cursor c = { buf, buf + MIN(n, limits->head_bytes_max) };
    int rc = parse_head(&c, limits, ret, ret_error);
    if (rc == 0)
        rc = check_upgrade(ret, asked_upgrade, ret_error);
    if (rc == HTTP1_MORE && whole)
        rc = http1_refuse(ret_error, 502, "the response's head is too long");
    if (rc < 0)
        ret_error->status = 502; /* whatever it would be in a request */
    if (rc == HTTP1_MORE)
        *scanned = n;
    if (rc != 0)
        return rc;
    ret->head_bytes = (size_t)(c.p - buf);
    ret->body = body_of(ret, method);
    ret->keep_alive = may_reuse(ret);
    return 0;
}
