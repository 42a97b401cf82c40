/* Message heads as they leave the proxy. Fields that stay are copied in runs, as they lie in the
 * incoming head; fields that belong to a hop or that say where the request came from are left out
 * and written anew. It never judges a head: the parser has. */
#include "proxy/headers.h"

#include <errno.h>
#include <string.h>

struct out {
    char *p, *end;
    bool full;
};

static inline void put(struct out *o, const char *text, size_t n)
{
    if ((size_t)(o->end - o->p) < n) {
        o->full = true;
        return;
    }
    memcpy(o->p, text, n);
    o->p += n;
}

static inline void put_slice(struct out *o, struct slice s)
{
    if (s.n > 0)
        put(o, s.p, s.n);
}

#define PUT(o, literal) put((o), (literal), sizeof(literal) - 1)

static void put_field(struct out *o, struct slice name_and_colon, struct slice value)
{
    put_slice(o, name_and_colon);
    put_slice(o, value);
    PUT(o, "\r\n");
}

#define PUT_FIELD(o, name, value) put_field((o), SLICE(name ": "), (value))

/* Fields of one connection, whichever way the message goes. */
#define HOP_FIELDS                                                                           \
    (BIT(HTTP1_FIELD_CONNECTION) | BIT(HTTP1_FIELD_KEEP_ALIVE) |                             \
     BIT(HTTP1_FIELD_PROXY_CONNECTION) | BIT(HTTP1_FIELD_PROXY_AUTHENTICATE) |               \
     BIT(HTTP1_FIELD_PROXY_AUTHORIZATION) | BIT(HTTP1_FIELD_TE) | BIT(HTTP1_FIELD_UPGRADE) | \
     BIT(HTTP1_FIELD_HTTP2_SETTINGS))

/* Whether Connection names this field. Only fields without a meaning here are asked for: a client
 * cannot have Host or Content-Length taken out this way. */
static bool named_in_connection(const struct http1_fields *f, struct slice name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->headers[i].field != HTTP1_FIELD_CONNECTION)
            continue;
        struct slice rest = f->headers[i].value, item;
        while (http1_list_next(&rest, &item))
            if (slice_eq_nocase(item, name))
                return true;
    }
    return false;
}

/* X-Forwarded-Port and all its kin, with "_" as "-": many applications read both as one. */
static bool is_x_forwarded(struct slice name)
{
    static const char prefix[] = "x-forwarded-";
    if (name.n < sizeof(prefix) - 1 || (name.p[0] | 0x20) != 'x')
        return false;
    for (size_t i = 1; i < sizeof(prefix) - 1; i++) {
        char c = name.p[i] == '_' ? '-' : (char)(name.p[i] | 0x20);
        if (c != prefix[i])
            return false;
    }
    return true;
}

static bool stays(const struct http1_fields *f, const struct http1_header *h, uint32_t dropped,
                  bool x_forwarded_stay)
{
    if (h->field != HTTP1_FIELD_OTHER)
        return !(dropped & BIT(h->field));
    if (!x_forwarded_stay && is_x_forwarded(h->name))
        return false;
    return !f->connection_other || !named_in_connection(f, h->name);
}

/* The fields that stay, one copy for each run of neighbours. */
static void put_fields(struct out *o, const struct http1_fields *f, uint32_t dropped,
                       bool x_forwarded_stay)
{
    const char *run = NULL, *run_end = NULL;
    for (size_t i = 0; i < f->count; i++) {
        const struct http1_header *h = &f->headers[i];
        if (stays(f, h, dropped, x_forwarded_stay)) {
            run = run ? run : h->name.p;
            run_end = h->value.p + h->value.n;
        } else if (run) {
            put_field(o, (struct slice){ run, (size_t)(run_end - run) }, SLICE(""));
            run = NULL;
        }
    }
    if (run)
        put_field(o, (struct slice){ run, (size_t)(run_end - run) }, SLICE(""));
}

/* All values of a field as one list, "a, b, " with the last comma, so that one more can follow. */
static void put_values(struct out *o, const struct http1_fields *f, enum http1_field field)
{
    if (!(f->seen & BIT(field)))
        return;
    for (size_t i = 0; i < f->count; i++) {
        if (f->headers[i].field != field || f->headers[i].value.n == 0)
            continue;
        put_slice(o, f->headers[i].value);
        PUT(o, ", ");
    }
}

static bool id_valid(struct slice id)
{
    if (id.n == 0 || id.n > HEADERS_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (id.p[i] <= ' ' || id.p[i] > '~')
            return false;
    return true;
}

struct slice headers_request_id(const struct http1_request *request, bool trusted,
                                const uint64_t random[2], char buf[HEADERS_REQUEST_ID_HEX])
{
    static const char digits[] = "0123456789abcdef";
    const struct http1_header *h =
        trusted ? http1_find(&request->fields, HTTP1_FIELD_X_REQUEST_ID) : NULL;
    if (h && id_valid(h->value))
        return h->value;
    for (int i = 0; i < HEADERS_REQUEST_ID_HEX; i++)
        buf[i] = digits[random[i / 16] >> (60 - 4 * (i % 16)) & 15];
    return (struct slice){ buf, HEADERS_REQUEST_ID_HEX };
}

static void put_request_line(struct out *o, const struct http1_request *r)
{
    put_slice(o, r->method_text);
    PUT(o, " ");
    if (r->origin.n == 0 || r->origin.p[0] == '?')
        PUT(o, "/");
    put_slice(o, r->origin);
    PUT(o, " HTTP/1.1\r\n");
}

/* RFC 7239, 4: an IPv6 address stands in brackets and quotes, a host with a port in quotes. */
static void put_forwarded(struct out *o, const struct headers_request *h, struct slice host)
{
    PUT(o, "Forwarded: ");
    if (h->trusted)
        put_values(o, &h->request->fields, HTTP1_FIELD_FORWARDED);
    bool ipv6 = h->client.n > 0 && memchr(h->client.p, ':', h->client.n);
    bool quoted = host.n > 0 && (memchr(host.p, ':', host.n) || host.p[0] == '[');
    if (ipv6)
        PUT(o, "for=\"[");
    else
        PUT(o, "for=");
    put_slice(o, h->client.n > 0 ? h->client : SLICE("unknown"));
    if (ipv6)
        PUT(o, "]\"");
    if (host.n > 0) {
        put_slice(o, quoted ? SLICE(";host=\"") : SLICE(";host="));
        put_slice(o, host);
        put_slice(o, quoted ? SLICE("\"") : SLICE(""));
    }
    put_slice(o, h->https ? SLICE(";proto=https\r\n") : SLICE(";proto=http\r\n"));
}

static void put_x_forwarded_for(struct out *o, const struct headers_request *h)
{
    const struct http1_fields *f = &h->request->fields;
    bool continued = h->trusted && (f->seen & BIT(HTTP1_FIELD_X_FORWARDED_FOR));
    if (!continued && h->client.n == 0)
        return;
    PUT(o, "X-Forwarded-For: ");
    if (continued)
        put_values(o, f, HTTP1_FIELD_X_FORWARDED_FOR);
    put_slice(o, h->client.n > 0 ? h->client : SLICE("unknown"));
    PUT(o, "\r\n");
}

static void put_forwarding(struct out *o, const struct headers_request *h)
{
    uint32_t kept = h->trusted ? h->request->fields.seen : 0;
    put_x_forwarded_for(o, h);
    if (!(kept & BIT(HTTP1_FIELD_X_FORWARDED_PROTO)))
        PUT_FIELD(o, "X-Forwarded-Proto", h->https ? SLICE("https") : SLICE("http"));
    if (!(kept & BIT(HTTP1_FIELD_X_FORWARDED_HOST)) && h->request->host.n > 0)
        PUT_FIELD(o, "X-Forwarded-Host", h->request->host);
    put_forwarded(o, h, h->request->host);
    PUT_FIELD(o, "X-Request-Id", h->request_id);
    put_slice(o, h->request->minor > 0 ? SLICE("Via: 1.1 plimsoll\r\n")
                                       : SLICE("Via: 1.0 plimsoll\r\n"));
}

/* Connection names what else is for this hop: RFC 9110, 7.8 and 10.1.4. */
static void put_request_connection(struct out *o, const struct headers_request *h)
{
    const struct http1_request *r = h->request;
    if (r->upgrade.n > 0) {
        PUT(o, "Connection: Upgrade\r\n");
        PUT_FIELD(o, "Upgrade", r->upgrade);
        return;
    }
    if (r->fields.te_trailers)
        put_slice(o, h->close ? SLICE("TE: trailers\r\nConnection: close, TE\r\n")
                              : SLICE("TE: trailers\r\nConnection: TE\r\n"));
    else if (h->close)
        PUT(o, "Connection: close\r\n");
}

static int finish(struct out *o, const char *buf)
{
    PUT(o, "\r\n");
    return o->full ? -ENOBUFS : (int)(o->p - buf);
}

int headers_write_request(char *buf, size_t cap, const struct headers_request *h)
{
    const struct http1_request *r = h->request;
    struct out o = { .p = buf, .end = buf + cap };
    uint32_t dropped = HOP_FIELDS | BIT(HTTP1_FIELD_HOST) | BIT(HTTP1_FIELD_FORWARDED) |
                       BIT(HTTP1_FIELD_X_REQUEST_ID) | BIT(HTTP1_FIELD_X_FORWARDED_FOR);
    if (!h->trusted)
        dropped |= BIT(HTTP1_FIELD_X_FORWARDED_PROTO) | BIT(HTTP1_FIELD_X_FORWARDED_HOST) |
                   BIT(HTTP1_FIELD_VIA);
    if (h->drop_expect || !r->expect_continue)
        dropped |= BIT(HTTP1_FIELD_EXPECT);
    put_request_line(&o, r);
    PUT_FIELD(&o, "Host", r->host.n > 0 ? r->host : h->host_default);
    put_fields(&o, &r->fields, dropped, h->trusted);
    put_forwarding(&o, h);
    put_request_connection(&o, h);
    return finish(&o, buf);
}

static void put_status_line(struct out *o, const struct http1_response *r)
{
    const char status[] = { (char)('0' + r->status / 100), (char)('0' + r->status / 10 % 10),
                            (char)('0' + r->status % 10), ' ' };
    PUT(o, "HTTP/1.1 ");
    put(o, status, sizeof(status));
    put_slice(o, r->reason);
    PUT(o, "\r\n");
}

/* RFC 9110, 8.6 and RFC 9112, 6.1: 1xx and 204 carry neither length nor coding. */
static bool may_have_framing(const struct http1_response *r)
{
    return r->status >= 200 && r->status != 204;
}

static uint32_t response_dropped(const struct headers_response *h)
{
    uint32_t dropped = HOP_FIELDS;
    if (h->request_id.n > 0)
        dropped |= BIT(HTTP1_FIELD_X_REQUEST_ID);
    if (h->dechunked || h->client_minor == 0)
        dropped |= BIT(HTTP1_FIELD_TRANSFER_ENCODING) | BIT(HTTP1_FIELD_TRAILER);
    if (!may_have_framing(h->response))
        dropped |= BIT(HTTP1_FIELD_TRANSFER_ENCODING) | BIT(HTTP1_FIELD_CONTENT_LENGTH);
    return dropped;
}

/* 426 says with Upgrade what it wants (RFC 9110, 15.5.22); 101 what it has. Other responses may
 * only advertise, and that would be for this hop. */
static void put_response_connection(struct out *o, const struct headers_response *h)
{
    const struct http1_response *r = h->response;
    bool upgrade = r->fields.upgrade_value.n > 0 && (r->status == 101 || r->status == 426);
    if (upgrade)
        PUT_FIELD(o, "Upgrade", r->fields.upgrade_value);
    if (upgrade && (h->keep_alive || r->status == 101))
        PUT(o, "Connection: Upgrade\r\n");
    else if (upgrade)
        PUT(o, "Connection: close, Upgrade\r\n");
    else if (r->status < 200)
        return;
    else if (!h->keep_alive)
        PUT(o, "Connection: close\r\n");
    else if (h->client_minor == 0)
        PUT(o, "Connection: keep-alive\r\n");
}

int headers_write_response(char *buf, size_t cap, const struct headers_response *h)
{
    const struct http1_response *r = h->response;
    struct out o = { .p = buf, .end = buf + cap };
    put_status_line(&o, r);
    put_fields(&o, &r->fields, response_dropped(h), true);
    if (h->chunk && h->client_minor > 0 && may_have_framing(r))
        PUT(&o, "Transfer-Encoding: chunked\r\n");
    if (h->request_id.n > 0)
        PUT_FIELD(&o, "X-Request-Id", h->request_id);
    put_slice(&o, r->minor > 0 ? SLICE("Via: 1.1 plimsoll\r\n") : SLICE("Via: 1.0 plimsoll\r\n"));
    put_response_connection(&o, h);
    return finish(&o, buf);
}
