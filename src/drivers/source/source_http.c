/* A number in a JSON document that is fetched over HTTP: a pointer (RFC 6901) says where. */
#include <jansson.h>
#include <string.h>

#include "drivers/fetch.h"
#include "drivers/source/feed.h"
#include "drivers/source/json_pointer.h"

struct http_conf {
    const char *url, *pointer;
    struct schema_map headers;
};

static void on_answer(void *ctx, int status, const char *body, size_t bytes, const char *error);

static void http_ask(struct feed *f)
{
    const struct http_conf *conf = f->conf.conf;
    struct fetch_request request = { .url = conf->url, .headers = &conf->headers };
    f->self = fetch_start(f->tools->fetcher, &request, on_answer, f);
    if (!f->self)
        feed_fail(f, "cannot be asked: no memory");
}

static void http_cancel(struct feed *f)
{
    fetch_cancel(f->self);
    f->self = NULL;
}

static void take(struct feed *f, const char *body, size_t bytes)
{
    const char *pointer = ((const struct http_conf *)f->conf.conf)->pointer;
    json_error_t error;
    json_t *json = json_loadb(body, bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    const json_t *value = json ? json_pointer_get(json, pointer) : NULL;
    if (!json)
        feed_fail(f, "answers with what is no JSON: %.100s", error.text);
    else if (!value)
        feed_fail(f, "has nothing at \"%.80s\"", pointer);
    else if (!json_is_number(value))
        feed_fail(f, "has %s at \"%.80s\", not a number", json_pointer_type_name(value), pointer);
    else
        feed_answer(f, json_number_value(value));
    json_decref(json);
}

static void complain(struct feed *f, int status, struct slice line)
{
    feed_fail(f, "answers with status %d%s%.*s", status, line.n ? ": " : "", (int)line.n, line.p);
}

static void on_answer(void *ctx, int status, const char *body, size_t bytes, const char *error)
{
    struct feed *f = ctx;
    f->self = NULL;
    if (status == 0)
        feed_fail(f, "cannot be asked: %s", error);
    else if (status < 200 || status > 299)
        complain(f, status, fetch_first_line(body));
    else
        take(f, body, bytes);
}

static int http_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct http_conf *conf = section;
    struct err why = { 0 };
    if (conf->url && fetch_check_url(conf->url, &why) < 0)
        return schema_error(ctx, "url", err, "%s", why.text);
    if (conf->pointer && !json_pointer_valid(conf->pointer))
        return schema_error(ctx, "pointer", err,
                            "\"%s\" is no JSON pointer: it begins with /, and ~ is followed by 0 "
                            "or 1, as in /queue/depth",
                            conf->pointer);
    return 0;
}

#define AT(member) .offset = offsetof(struct http_conf, member)

static const struct schema_key keys[] = {
    { .name = "url",
      .type = SCHEMA_TEXT,
      AT(url),
      .required = true,
      .help = "answers a GET with JSON" },
    { .name = "pointer",
      .type = SCHEMA_TEXT,
      AT(pointer),
      .required = true,
      .help = "where the number stands in it, as in /queue/depth (RFC 6901); \"\" = it is all" },
    { .name = "headers",
      .type = SCHEMA_MAP,
      AT(headers),
      .help = "sent along, as in {Authorization: Bearer ...}" },
    { 0 },
};

static const struct schema_section section = {
    .name = "http",
    .help = "Fetches JSON over HTTP and takes a number out of it.",
    .size_bytes = sizeof(struct http_conf),
    .keys = keys,
    .check = http_check,
};

const struct feed_ops source_http = {
    .name = "http",
    .section = &section,
    .ask = http_ask,
    .cancel = http_cancel,
};
