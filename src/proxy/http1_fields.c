/* The part of a head that requests and responses share: character classes, line ends, field lines
 * and the fields that frame the message (RFC 9112, sections 2, 5, 6). It judges bytes and framing;
 * what a start line means is for http1_request.c and http1_response.c. */
#include "proxy/http1_int.h"

#include <errno.h>
#include <string.h>

#define V (HTTP1_VALUE | HTTP1_TARGET)
#define T (V | HTTP1_TOKEN)

/* Targets may hold what RFC 3986 wants encoded but browsers send as it is ("|", "[", "{"); never a
 * fragment, a control byte or a byte above ASCII. Host names may not hold sub-delims, which no name
 * has and which lists of hosts in forwarding fields would be torn apart by. */
const uint8_t http1_class[256] = {
    ['\t'] = HTTP1_VALUE,
    [' '] = HTTP1_VALUE,
    ['!'] = T,
    ['"'] = V,
    ['#'] = HTTP1_VALUE | HTTP1_TOKEN,
    ['$' ... '\''] = T,
    ['(' ... ')'] = V,
    ['*' ... '+'] = T,
    [','] = V,
    ['-' ... '.'] = T | HTTP1_HOST,
    ['/'] = V,
    ['0' ... '9'] = T | HTTP1_HOST | HTTP1_DIGIT | HTTP1_HEX,
    [':' ... '@'] = V,
    ['A' ... 'F'] = T | HTTP1_HOST | HTTP1_HEX,
    ['G' ... 'Z'] = T | HTTP1_HOST,
    ['[' ... ']'] = V,
    ['^'] = T,
    ['_'] = T | HTTP1_HOST,
    ['`'] = T,
    ['a' ... 'f'] = T | HTTP1_HOST | HTTP1_HEX,
    ['g' ... 'z'] = T | HTTP1_HOST,
    ['{'] = V,
    ['|'] = T,
    ['}'] = V,
    ['~'] = T | HTTP1_HOST,
    [0x80 ... 0xff] = HTTP1_VALUE,
};

int http1_refuse(struct http1_error *error, int status, const char *text)
{
    error->status = status;
    error->text = text;
    return -EBADMSG;
}

int http1_line_end(struct http1_cursor *c, struct http1_error *error)
{
    if (c->p == c->end)
        return HTTP1_MORE;
    if (*c->p == '\n')
        return http1_refuse(error, 400, "a line ends in LF without CR");
    if (*c->p != '\r')
        return http1_refuse(error, 400, "a control byte or other invalid byte in the head");
    if (c->p + 1 == c->end)
        return HTTP1_MORE;
    if (c->p[1] != '\n')
        return http1_refuse(error, 400, "CR without LF");
    c->p += 2;
    return 0;
}

bool http1_worth_parsing(const char *buf, size_t n, size_t *scanned)
{
    if (*scanned == 0)
        return true;
    while (*scanned < n) {
        const char *lf = memchr(buf + *scanned, '\n', n - *scanned);
        if (!lf)
            break;
        size_t at = (size_t)(lf - buf);
        if (at == 0 || lf[-1] != '\r' || (at >= 3 && lf[-2] == '\n'))
            return true;
        *scanned = at + 1;
    }
    *scanned = n;
    return false;
}

int http1_version(struct http1_cursor *c, int *ret_minor, struct http1_error *error)
{
    static const char wanted[] = "HTTP/";
    if (c->end - c->p < 8)
        return HTTP1_MORE;
    const char *p = c->p;
    if (memcmp(p, wanted, 5) != 0 || !http1_is(p[5], HTTP1_DIGIT) || p[6] != '.' ||
        !http1_is(p[7], HTTP1_DIGIT))
        return http1_refuse(error, 400, "no valid HTTP version");
    if (p[5] != '1')
        return http1_refuse(error, 505, "HTTP version not supported");
    *ret_minor = p[7] != '0';
    c->p += 8;
    return 0;
}

/* True when none of the 8 bytes at p is below SP or DEL; may be false for no reason but HTAB. Eight
 * at a time, as in Warren, "Hacker's Delight", 6-1. */
static inline bool word_is_plain(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    uint64_t below_space = (word - ones * 0x20) & ~word;
    uint64_t del = word ^ (ones * 0x7f);
    del = (del - ones) & ~del;
    return ((below_space | del) & high) == 0;
}

static inline const char *skip_value(const char *p, const char *end)
{
    while (end - p >= 8 && word_is_plain(p))
        p += 8;
    while (p < end && http1_is(*p, HTTP1_VALUE))
        p++;
    return p;
}

/* Known names in the order of their lengths, which is the enum's order. */
static const struct slice field_names[HTTP1_FIELD_COUNT] = {
    [HTTP1_FIELD_OTHER] = { "", 0 },
    [HTTP1_FIELD_TE] = { "te", 2 },
    [HTTP1_FIELD_VIA] = { "via", 3 },
    [HTTP1_FIELD_HOST] = { "host", 4 },
    [HTTP1_FIELD_EXPECT] = { "expect", 6 },
    [HTTP1_FIELD_UPGRADE] = { "upgrade", 7 },
    [HTTP1_FIELD_TRAILER] = { "trailer", 7 },
    [HTTP1_FIELD_FORWARDED] = { "forwarded", 9 },
    [HTTP1_FIELD_CONNECTION] = { "connection", 10 },
    [HTTP1_FIELD_KEEP_ALIVE] = { "keep-alive", 10 },
    [HTTP1_FIELD_X_REQUEST_ID] = { "x-request-id", 12 },
    [HTTP1_FIELD_CONTENT_LENGTH] = { "content-length", 14 },
    [HTTP1_FIELD_HTTP2_SETTINGS] = { "http2-settings", 14 },
    [HTTP1_FIELD_X_FORWARDED_FOR] = { "x-forwarded-for", 15 },
    [HTTP1_FIELD_PROXY_CONNECTION] = { "proxy-connection", 16 },
    [HTTP1_FIELD_X_FORWARDED_HOST] = { "x-forwarded-host", 16 },
    [HTTP1_FIELD_X_FORWARDED_PROTO] = { "x-forwarded-proto", 17 },
    [HTTP1_FIELD_TRANSFER_ENCODING] = { "transfer-encoding", 17 },
    [HTTP1_FIELD_PROXY_AUTHENTICATE] = { "proxy-authenticate", 18 },
    [HTTP1_FIELD_PROXY_AUTHORIZATION] = { "proxy-authorization", 19 },
};

static const uint8_t first_of_length[20] = {
    [2] = HTTP1_FIELD_TE,
    [3] = HTTP1_FIELD_VIA,
    [4] = HTTP1_FIELD_HOST,
    [6] = HTTP1_FIELD_EXPECT,
    [7] = HTTP1_FIELD_UPGRADE,
    [9] = HTTP1_FIELD_FORWARDED,
    [10] = HTTP1_FIELD_CONNECTION,
    [12] = HTTP1_FIELD_X_REQUEST_ID,
    [14] = HTTP1_FIELD_CONTENT_LENGTH,
    [15] = HTTP1_FIELD_X_FORWARDED_FOR,
    [16] = HTTP1_FIELD_PROXY_CONNECTION,
    [17] = HTTP1_FIELD_X_FORWARDED_PROTO,
    [18] = HTTP1_FIELD_PROXY_AUTHENTICATE,
    [19] = HTTP1_FIELD_PROXY_AUTHORIZATION,
};

/* Folding with 0x20 is exact here: of the bytes a token may hold, only letters fold into letters,
 * and none folds into '-' or a digit but itself. */
static enum http1_field field_of(struct slice name)
{
    if (name.n >= ARRAY_LEN(first_of_length) || first_of_length[name.n] == 0)
        return HTTP1_FIELD_OTHER;
    for (int f = first_of_length[name.n]; f < HTTP1_FIELD_COUNT && field_names[f].n == name.n;
         f++) {
        size_t i = 0;
        while (i < name.n && (name.p[i] | 0x20) == field_names[f].p[i])
            i++;
        if (i == name.n)
            return (enum http1_field)f;
    }
    return HTTP1_FIELD_OTHER;
}

/* One field line. obs-fold shows as white space where a name begins. */
static int parse_line(struct http1_cursor *c, struct http1_header *h, struct http1_error *error)
{
    const char *p = c->p;
    while (p < c->end && http1_is(*p, HTTP1_TOKEN))
        p++;
    if (p == c->end)
        return HTTP1_MORE;
    if (*p != ':')
        return http1_refuse(error, 400,
                            p == c->p && (*p == ' ' || *p == '\t')
                                ? "a folded header line"
                                : "an invalid byte in or behind a header's name");
    if (p == c->p)
        return http1_refuse(error, 400, "a header without a name");
    h->name = (struct slice){ c->p, (size_t)(p - c->p) };
    p++;
    while (p < c->end && (*p == ' ' || *p == '\t'))
        p++;
    const char *value = p, *value_end = skip_value(p, c->end);
    struct http1_cursor rest = { value_end, c->end };
    int rc = http1_line_end(&rest, error);
    if (rc != 0)
        return rc;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t'))
        value_end--;
    h->value = (struct slice){ value, (size_t)(value_end - value) };
    h->field = field_of(h->name);
    c->p = rest.p;
    return 0;
}

bool http1_list_next(struct slice *rest, struct slice *ret_item)
{
    while (rest->n > 0) {
        const char *comma = memchr(rest->p, ',', rest->n);
        size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
        struct slice item = slice_trim((struct slice){ rest->p, n });
        size_t used = comma ? n + 1 : n;
        rest->p += used;
        rest->n -= used;
        if (item.n > 0) {
            *ret_item = item;
            return true;
        }
    }
    return false;
}

static void note_connection(struct http1_fields *f, struct slice value)
{
    struct slice item;
    while (http1_list_next(&value, &item)) {
        if (slice_eq_nocase(item, SLICE("close")))
            f->connection_close = true;
        else if (slice_eq_nocase(item, SLICE("keep-alive")))
            f->connection_keep_alive = true;
        else if (slice_eq_nocase(item, SLICE("upgrade")))
            f->connection_upgrade = true;
        else
            f->connection_other = true;
    }
}

static void note_te(struct http1_fields *f, struct slice value)
{
    struct slice item;
    while (http1_list_next(&value, &item))
        if (slice_eq_nocase(item, SLICE("trailers")))
            f->te_trailers = true;
}

/* Digits only, and not more than an int64_t holds. */
static bool parse_length(struct slice text, int64_t *ret)
{
    int64_t length = 0;
    if (text.n == 0)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!http1_is(text.p[i], HTTP1_DIGIT) || __builtin_mul_overflow(length, 10, &length) ||
            __builtin_add_overflow(length, text.p[i] - '0', &length))
            return false;
    *ret = length;
    return true;
}

/* Take in what a known field says. Returns NULL, or why the head is refused. */
static const char *note_field(struct http1_fields *f, const struct http1_header *h)
{
    bool again = f->seen & BIT(h->field);
    f->seen |= BIT(h->field);
    switch (h->field) {
    case HTTP1_FIELD_HOST:
        return again ? "Host is repeated" : NULL;
    case HTTP1_FIELD_CONTENT_LENGTH:
        if (again)
            return "Content-Length is repeated";
        return parse_length(h->value, &f->content_length) ? NULL : "Content-Length is not a number";
    case HTTP1_FIELD_TRANSFER_ENCODING:
        if (again || !slice_eq_nocase(h->value, SLICE("chunked")))
            return "Transfer-Encoding is something other than chunked";
        f->chunked = true;
        return NULL;
    case HTTP1_FIELD_CONNECTION:
        note_connection(f, h->value);
        return NULL;
    case HTTP1_FIELD_TE:
        note_te(f, h->value);
        return NULL;
    case HTTP1_FIELD_UPGRADE:
        if (!again)
            f->upgrade_value = h->value;
        return NULL;
    default:
        return NULL;
    }
}

int http1_fields_parse(struct http1_cursor *c, const struct http1_limits *limits, int minor,
                       struct http1_fields *f, struct http1_error *error)
{
    for (;;) {
        if (c->p == c->end)
            return HTTP1_MORE;
        if (*c->p == '\r' || *c->p == '\n')
            break;
        if (f->count >= limits->headers_max)
            return http1_refuse(error, 431, "too many headers");
        struct http1_header *h = &f->headers[f->count];
        int rc = parse_line(c, h, error);
        if (rc != 0)
            return rc;
        f->count++;
        if (h->field == HTTP1_FIELD_OTHER)
            continue;
        const char *why = note_field(f, h);
        if (why)
            return http1_refuse(error, 400, why);
    }
    int rc = http1_line_end(c, error);
    if (rc != 0)
        return rc;
    if (f->chunked && f->content_length >= 0)
        return http1_refuse(error, 400, "Content-Length together with Transfer-Encoding");
    if (f->chunked && minor == 0)
        return http1_refuse(error, 400, "Transfer-Encoding in HTTP/1.0");
    return 0;
}

const struct http1_header *http1_find(const struct http1_fields *f, enum http1_field field)
{
    if (!(f->seen & BIT(field)))
        return NULL;
    for (size_t i = 0; i < f->count; i++)
        if (f->headers[i].field == field)
            return &f->headers[i];
    return NULL;
}

const struct http1_header *http1_find_name(const struct http1_fields *f, struct slice name)
{
    for (size_t i = 0; i < f->count; i++)
        if (slice_eq_nocase(f->headers[i].name, name))
            return &f->headers[i];
    return NULL;
}
