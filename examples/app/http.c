/* Reads requests and writes answers, blocking. It trusts its only client, the proxy in front. */
#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static bool fill(struct conn *c)
{
    if (c->have == HTTP_HEAD_MAX)
        return false;
    ssize_t n;
    do
        n = recv(c->fd, c->buf + c->have, HTTP_HEAD_MAX - c->have, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    c->have += (size_t)n;
    c->buf[c->have] = 0;
    return true;
}

static void consume(struct conn *c, size_t bytes)
{
    memmove(c->buf, c->buf + bytes, c->have - bytes + 1);
    c->have -= bytes;
}

bool http_send(struct conn *c, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = send(c->fd, p, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool http_read_exact(struct conn *c, void *ret, size_t bytes)
{
    char *p = ret;
    while (bytes > 0) {
        if (c->have == 0 && !fill(c))
            return false;
        size_t n = c->have < bytes ? c->have : bytes;
        memcpy(p, c->buf, n);
        consume(c, n);
        p += n;
        bytes -= n;
    }
    return true;
}

bool http_header(const struct request *r, const char *name, char *ret, size_t cap)
{
    size_t n = strlen(name);
    for (const char *line = strstr(r->head, "\r\n"); line && line[2]; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *value = line + n + 1 + strspn(line + n + 1, " \t");
        snprintf(ret, cap, "%.*s", (int)strcspn(value, "\r"), value);
        return true;
    }
    return false;
}

long http_query(const struct request *r, const char *name, long fallback)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "%s=", name);
    const char *query = strchr(r->target, '?');
    const char *found = query ? strstr(query, wanted) : NULL;
    return found ? strtol(found + strlen(wanted), NULL, 10) : fallback;
}

static bool append_body(struct conn *c, struct request *r, size_t bytes)
{
    if (bytes > HTTP_BODY_MAX - r->body_bytes)
        return false;
    char *grown = realloc(r->body, r->body_bytes + bytes + 1);
    if (!grown)
        return false;
    r->body = grown;
    if (!http_read_exact(c, r->body + r->body_bytes, bytes))
        return false;
    r->body_bytes += bytes;
    return true;
}

static bool read_line(struct conn *c, char *ret, size_t cap)
{
    char *end;
    while (!(end = strstr(c->buf, "\r\n")))
        if (!fill(c))
            return false;
    snprintf(ret, cap, "%.*s", (int)(end - c->buf), c->buf);
    consume(c, (size_t)(end - c->buf) + 2);
    return true;
}

static bool read_chunks(struct conn *c, struct request *r)
{
    char line[256], *end;
    for (;;) {
        if (!read_line(c, line, sizeof(line)))
            return false;
        unsigned long bytes = strtoul(line, &end, 16);
        if (end == line)
            return false;
        if (bytes == 0)
            break;
        if (!append_body(c, r, bytes) || !read_line(c, line, sizeof(line)))
            return false;
    }
    do /* trailers */
        if (!read_line(c, line, sizeof(line)))
            return false;
    while (line[0]);
    return true;
}

static bool read_body(struct conn *c, struct request *r)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char value[256];
    bool chunked = http_header(r, "transfer-encoding", value, sizeof(value));
    bool sized = http_header(r, "content-length", value, sizeof(value));
    size_t bytes = sized ? strtoul(value, NULL, 10) : 0;
    if (http_header(r, "expect", value, sizeof(value)) && !http_send(c, go_on, sizeof(go_on) - 1))
        return false;
    if (chunked)
        return read_chunks(c, r);
    return bytes == 0 || append_body(c, r, bytes);
}

int http_read_request(struct conn *c, struct request *r)
{
    char *end, value[256];
    r->body = NULL;
    r->body_bytes = 0;
    while (!(end = strstr(c->buf, "\r\n\r\n")))
        if (!fill(c))
            return c->have == 0 ? 0 : -1;
    atomic_store(&c->idle, false);
    size_t bytes = (size_t)(end - c->buf) + 4;
    memcpy(r->head, c->buf, bytes);
    r->head[bytes] = 0;
    consume(c, bytes);
    if (sscanf(r->head, "%15s %2047s", r->method, r->target) != 2)
        return -1;
    r->keep = !(http_header(r, "connection", value, sizeof(value)) && strcasestr(value, "close"));
    return read_body(c, r) ? 1 : -1;
}

bool http_answer(struct conn *c, const struct request *r, int status, const char *extra,
                 const void *body, size_t bytes)
{
    char head[1024];
    int n = snprintf(
        head, sizeof(head),
        "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s%s\r\n", status,
        status < 400 ? "OK" : "No", bytes, extra, r->keep ? "" : "Connection: close\r\n");
    if (strcmp(r->method, "HEAD") == 0)
        bytes = 0;
    char small[4096];
    if ((size_t)n + bytes <= sizeof(small)) { /* one packet */
        memcpy(small, head, (size_t)n);
        memcpy(small + n, body, bytes);
        return http_send(c, small, (size_t)n + bytes);
    }
    return http_send(c, head, (size_t)n) && http_send(c, body, bytes);
}
