/* A Prometheus query: an instant query whose answer is one number, a scalar or a vector of one
 * element (prometheus.io/docs/prometheus/latest/querying/api). */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "drivers/fetch.h"
#include "drivers/source/feed.h"
#include "sys/mem.h"

struct prometheus_conf {
    const char *url, *query;
    struct schema_map headers;
};

static void on_answer(void *ctx, int status, const char *body, size_t bytes, const char *error);

static void prometheus_ask(struct feed *f)
{
    const struct prometheus_conf *conf = f->conf.conf;
    _cleanup_free_ char *url = fetch_url(conf->url, "/api/v1/query?query=", conf->query);
    struct fetch_request request = { .url = url, .headers = &conf->headers };
    f->self = url ? fetch_start(f->tools->fetcher, &request, on_answer, f) : NULL;
    if (!f->self)
        feed_fail(f, "cannot be asked: no memory");
}

static void prometheus_cancel(struct feed *f)
{
    fetch_cancel(f->self);
    f->self = NULL;
}

/* [time, "value"] */
static void take_sample(struct feed *f, const json_t *sample)
{
    double value;
    const char *text = json_string_value(json_array_get(sample, 1));
    if (!text)
        feed_fail(f, "answers without a value");
    else if (!feed_number(text, strlen(text), &value))
        feed_fail(f, "says %.40s, which no metric can be", text);
    else
        feed_answer(f, value);
}

static void take_data(struct feed *f, const json_t *data)
{
    const char *type = json_string_value(json_object_get(data, "resultType"));
    const json_t *result = json_object_get(data, "result");
    if (type && strcmp(type, "scalar") == 0)
        take_sample(f, result);
    else if (!type || strcmp(type, "vector") != 0)
        feed_fail(f, "the query gives a %s; it must give one number", type ? type : "nothing");
    else if (json_array_size(result) == 0)
        feed_fail(f, "the query finds nothing");
    else if (json_array_size(result) > 1)
        feed_fail(f, "the query gives %zu series; make it one, as with sum()",
                  json_array_size(result));
    else
        take_sample(f, json_object_get(json_array_get(result, 0), "value"));
}

static void on_answer(void *ctx, int status, const char *body, size_t bytes, const char *error)
{
    struct feed *f = ctx;
    f->self = NULL;
    if (status == 0) {
        feed_fail(f, "cannot be asked: %s", error);
        return;
    }
    struct slice line = fetch_first_line(body);
    json_t *json = json_loadb(body, bytes, 0, NULL);
    const char *verdict = json_string_value(json_object_get(json, "status"));
    const char *says = json_string_value(json_object_get(json, "error"));
    if (verdict && strcmp(verdict, "success") == 0)
        take_data(f, json_object_get(json, "data"));
    else if (says)
        feed_fail(f, "refuses the query: %.160s", says);
    else
        feed_fail(f, "answers with status %d, and not as Prometheus does%s%.*s", status,
                  line.n ? ": " : "", (int)line.n, line.p);
    json_decref(json);
}

static int prometheus_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct prometheus_conf *conf = section;
    struct err why = { 0 };
    if (conf->url && fetch_check_url(conf->url, &why) < 0)
        return schema_error(ctx, "url", err, "%s", why.text);
    if (conf->query && slice_trim(slice_of(conf->query)).n == 0)
        return schema_error(ctx, "query", err, "is empty");
    return 0;
}

#define AT(member) .offset = offsetof(struct prometheus_conf, member)

static const struct schema_key keys[] = {
    { .name = "url",
      .type = SCHEMA_TEXT,
      AT(url),
      .required = true,
      .help = "where Prometheus is, as in http://127.0.0.1:9090" },
    { .name = "query",
      .type = SCHEMA_TEXT,
      AT(query),
      .required = true,
      .help = "PromQL that gives one number: a scalar, or one series" },
    { .name = "headers",
      .type = SCHEMA_MAP,
      AT(headers),
      .help = "sent along, as in {Authorization: Bearer ...}" },
    { 0 },
};

static const struct schema_section section = {
    .name = "prometheus",
    .help = "Asks a Prometheus server.",
    .size_bytes = sizeof(struct prometheus_conf),
    .keys = keys,
    .check = prometheus_check,
};

const struct feed_ops source_prometheus = {
    .name = "prometheus",
    .section = &section,
    .ask = prometheus_ask,
    .cancel = prometheus_cancel,
};
