/* The answers to looking: why, events, series, logs, health. They read the core's views and the
 * store, and change nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin_int.h"
#include "admin/names.h"
#include "core/decision.h"
#include "store/event_json.h"
#include "sys/clock.h"
#include "sys/mem.h"

#define LOG_BYTES_MAX ((int64_t)1024 * 1024)

static struct admin_backend *backend_of(struct admin_request *q)
{
    return &q->side->admin->backend;
}

/* 503 when there is no database, with what is wrong with it. */
static struct store *store_of(struct admin_request *q)
{
    struct admin_backend *b = backend_of(q);
    return b->store(b->ctx);
}

static void answer_no_store(struct admin_request *q, struct admin_answer *a)
{
    char text[400] = "";
    struct store *s = store_of(q);
    if (s)
        store_trouble(s, text, sizeof(text));
    admin_answer_error(a, 503, "%s", text[0] ? text : "the database is not open");
}

void admin_get_index(struct admin_request *q, struct admin_answer *a)
{
    size_t count, bytes;
    const struct admin_route *routes = admin_routes(&count);
    char *text = NULL;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return;
    fputs("plimsoll " PLIMSOLL_VERSION "\n\n", f);
    for (const struct admin_route *r = routes; r < routes + count; r++)
        fprintf(f, "%-4s %-26s %s\n", r->method, r->pattern, r->help);
    fclose(f);
    admin_answer_text(a, 200, text);
    free(text);
}

void admin_get_why(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    const struct control *c = b->control(b->ctx);
    int32_t slot = control_find(c, q->name);
    int64_t limit;
    json_t *list = NULL;
    if (slot < 0) {
        admin_answer_no_service(q, a, q->name);
        return;
    }
    if (!admin_query_number(q, a, "limit", 1, 1000, 10, &limit))
        return;
    const struct decision *current = control_decision(c, (uint32_t)slot);
    struct admin_service_facts facts = { 0 };
    b->service_facts(b->ctx, (uint32_t)slot, &facts);
    struct store *s = store_of(q);
    if (!s || store_read_decisions(s, q->name, (uint32_t)limit, &list) < 0)
        list = json_array(); /* the current one is known without the database */
    admin_answer_json(a, 200,
                      json_pack("{s:s, s:o, s:o, s:o}", "service", q->name, "current",
                                current ? decision_json(current) : json_null(), "sources",
                                admin_sources_json(&facts), "decisions", list));
}

void admin_get_events(struct admin_request *q, struct admin_answer *a)
{
    const char *service = admin_query_text(q, "service");
    int64_t limit, after;
    json_t *list;
    struct store *s = store_of(q);
    if (!admin_query_number(q, a, "limit", 1, 10000, 100, &limit) ||
        !admin_query_number(q, a, "after", 0, INT64_MAX, 0, &after))
        return;
    if (!s || store_read_events(s, service, after, (uint32_t)limit, &list)) {
        answer_no_store(q, a);
        return;
    }
    /* A service that is no more has its events still; one that never was is a mistake. */
    bool unheard = service && service[0] && after == 0 && json_array_size(list) == 0;
    if (unheard && !admin_is_service(q, service)) {
        admin_answer_no_service(q, a, service);
        json_decref(list);
    } else {
        admin_answer_json(a, 200, json_pack("{s:o}", "events", list));
    }
}

void admin_get_series(struct admin_request *q, struct admin_answer *a)
{
    const char *service = admin_query_text(q, "service"), *metric = admin_query_text(q, "metric");
    int64_t now_s = clock_wall_us() / 1000000, from, to, step, number;
    json_t *list;
    struct store *s = store_of(q);
    if (!service || !metric) {
        admin_answer_error(a, 400, "service= and metric= are needed");
        return;
    }
    if (!admin_query_number(q, a, "to", 0, INT64_MAX, now_s, &to) ||
        !admin_query_number(q, a, "from", 0, INT64_MAX, MAX(to - 900, 0), &from) ||
        !admin_query_number(q, a, "step", 1, 60, 1, &step) ||
        !admin_query_number(q, a, "instance", 0, UINT32_MAX, 0, &number))
        return;
    int rc =
        s ? store_read_series(s, service, metric, (uint32_t)number, from, to, (uint32_t)step, &list)
          : -EIO;
    if (rc == -EINVAL)
        admin_answer_error(a, 400, "step is 1, 10 or 60");
    else if (rc < 0)
        answer_no_store(q, a);
    else
        admin_answer_json(a, 200, json_pack("{s:o}", "points", list));
}

/* [from, from + bytes) of the file, or its last bytes, from a line's beginning on, when from < 0.
 * An offset behind the end means that the log was rotated: it begins anew. */
static int read_log(const char *path, int64_t from, int64_t bytes, struct admin_answer *a)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    bool tail = from < 0;
    if (tail)
        from = MAX(st.st_size - bytes, 0);
    else if (from > st.st_size)
        from = 0;
    char *text = malloc((size_t)bytes + 1);
    ssize_t n = text ? pread(fd, text, (size_t)bytes, from) : -1;
    if (n < 0) {
        free(text);
        return -EIO;
    }
    const char *line = tail && from > 0 ? memchr(text, '\n', (size_t)n) : NULL;
    size_t skip = line ? (size_t)(line + 1 - text) : 0;
    memmove(text, text + skip, (size_t)n - skip);
    a->type = "text/plain; charset=utf-8";
    a->body = text;
    a->body_bytes = (size_t)n - skip;
    admin_answer_header(a, "X-Log-Offset", (uint64_t)(from + n));
    return 0;
}

/* -ENOTSUP: it is kept elsewhere, and `err` says where. Other texts are of an engine that fails. */
static void answer_no_log(struct admin_request *q, struct admin_answer *a, int rc,
                          const struct err *err)
{
    char service[MODEL_NAME_MAX];
    uint32_t number;
    bool split = admin_split_instance(q->name, service, sizeof(service), &number);
    if (err->text[0])
        admin_answer_error(a, rc == -ENOTSUP ? 501 : 503, "%s", err->text);
    else if (admin_is_service(q, q->name))
        admin_answer_error(a, 404,
                           "%s is a service, and each of its instances has a log: plimsoll logs "
                           "--all %s",
                           q->name, q->name);
    else if (split && !admin_is_service(q, service))
        admin_answer_no_instance(q, a);
    else
        admin_answer_error(a, 404, "there is no log of %s", q->name);
}

void admin_get_logs(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    char service[MODEL_NAME_MAX], path[4096];
    uint32_t number;
    int64_t bytes, offset;
    if (!admin_query_number(q, a, "bytes", 1, LOG_BYTES_MAX, 65536, &bytes) ||
        !admin_query_number(q, a, "offset", 0, INT64_MAX, -1, &offset))
        return;
    struct err err = { 0 };
    int rc = admin_split_instance(q->name, service, sizeof(service), &number) ? 0 : -ENOENT;
    if (rc == 0)
        rc = b->log_path(b->ctx, service, number, path, sizeof(path), &err);
    a->status = rc == -EAGAIN ? 202 : 200;
    if (rc == 0 || rc == -EAGAIN)
        rc = read_log(path, offset, bytes, a);
    if (rc < 0)
        answer_no_log(q, a, rc, &err);
}

void admin_get_health(struct admin_request *q, struct admin_answer *a)
{
    admin_answer_text(a, 200, "ok\n");
}

void admin_get_ready(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = backend_of(q);
    struct admin_facts facts = { 0 };
    struct service_view v;
    char text[4096];
    struct str s;
    str_init(&s, text, sizeof(text));
    b->facts(b->ctx, &facts);
    if (!facts.proxy_pid)
        str_put(&s, "the proxy is away\n");
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        if (!control_view(b->control(b->ctx), slot, &v) || v.leaving ||
            v.conf->mode == SERVICE_ADVISE)
            continue;
        int32_t wanted = v.schedule_min >= 0 ? v.schedule_min : v.conf->min;
        if (v.operator_count >= 0)
            wanted = MIN(wanted, v.operator_count);
        if (v.ready < wanted)
            str_putf(&s, "%s: %d of %d ready%s%s\n", v.conf->name, v.ready, wanted,
                     v.trouble[0] ? ": " : "", v.trouble);
    }
    admin_answer_text(a, s.len ? 503 : 200, s.len ? text : "ok\n");
}
