/* Just enough HTTP/1.1 for an example: one request at a time, blocking, on one connection. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX 32768
#define HTTP_BODY_MAX ((size_t)16 * 1024 * 1024)

struct conn {
    int fd;
    atomic_bool idle; /* waiting for a request: may be ended */
    size_t have;      /* bytes in buf */
    char buf[HTTP_HEAD_MAX + 1];
};

struct request {
    char method[16];
    char target[2048];
    char head[HTTP_HEAD_MAX]; /* as received */
    char *body;               /* the connection's owner frees */
    size_t body_bytes;
    bool keep;
};

/* 1 = a request; 0 = the client has left; -1 = not HTTP. */
int http_read_request(struct conn *c, struct request *r);
/* Copies a header's value; false = absent. */
bool http_header(const struct request *r, const char *name, char *ret, size_t cap);
/* ?name=N in the target, or fallback. */
long http_query(const struct request *r, const char *name, long fallback);
bool http_send(struct conn *c, const void *data, size_t bytes);
/* A whole answer; extra = further header lines, each with CRLF. */
bool http_answer(struct conn *c, const struct request *r, int status, const char *extra,
                 const void *body, size_t bytes);
/* Exactly `bytes`, from the buffer first. */
bool http_read_exact(struct conn *c, void *ret, size_t bytes);
