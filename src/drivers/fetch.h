/* Getting a small text over HTTP, or sending one, on the loop, never blocking. It waits until it is
 * cancelled. */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"
#include "config/schema.h"

struct fetcher;
struct fetch;

struct fetch_request {
    const char *url;
    const struct schema_map *headers; /* NULL = none */
    const char *body;                 /* JSON, and the request is a POST; NULL = a GET */
};

/* `status` 0 = no answer, and `error` says why. The body is whole, or it is an error; it is
 * NUL-terminated. May start another. */
typedef void fetch_done(void *ctx, int status, const char *body, size_t bytes, const char *error);

#define FETCH_BYTES_MAX ((size_t)1024 * 1024)

int fetcher_new(uv_loop_t *loop, struct fetcher **ret, struct err *err);
/* What is under way has been cancelled. The loop must run once more to close the handles. */
void fetcher_free(struct fetcher *f);
/* NULL = no memory. `done` is called once, later, unless the fetch is cancelled before. */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_request *request, fetch_done *done,
                          void *ctx);
void fetch_cancel(struct fetch *f);

/* The first line of a body that says something, cut to what a person reads; may be empty. */
struct slice fetch_first_line(const char *body);

/* For sections: is it a URL that can be fetched? -EINVAL with a text. */
int fetch_check_url(const char *url, struct err *err);
/* "URL/PATH?query", `value` escaped behind it. malloc'd; NULL = no memory. */
char *fetch_url(const char *base, const char *path, const char *value);
