/* A query to PostgreSQL whose answer is one row of one column. A connection for each question, that
 * may only read and whose statement the server itself gives up in time. libpq speaks the protocol
 * and never waits: names, which it would wait for, are looked up before. */
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/source/feed.h"

struct postgres_conf {
    const char *connection, *query;
};

enum phase { LOOKING_UP, CONNECTING, PREPARING, ASKING };

/* Lives until its look-up is over and its watch is closed, whatever became of the feed. */
struct question {
    struct feed *feed; /* NULL = nobody waits any more */
    enum phase phase;
    unsigned references; /* the feed's or its own end, the look-up, watches */
    uv_getaddrinfo_t lookup;
    PGconn *connection;
    struct watch *watch; /* of the connection's socket; NULL = none */
    unsigned rows;
    char value[64];
    bool is_null, too_long;
    char error[FEED_TROUBLE_MAX];
};

struct watch {
    uv_poll_t poll;
    struct question *question;
};

static void unref(struct question *q)
{
    if (--q->references == 0)
        free(q);
}

/* --- the socket --- */

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = CONTAINER_OF((uv_poll_t *)handle, struct watch, poll);
    unref(w->question);
    free(w);
}

/* Before libpq may close the socket: another may get its number. */
static void unwatch(struct question *q)
{
    if (q->watch)
        uv_close((uv_handle_t *)&q->watch->poll, on_watch_closed);
    q->watch = NULL;
}

static void on_ready(uv_poll_t *poll, int status, int events);

static int watch_for(struct question *q, int events)
{
    if (!q->watch) {
        struct watch *w = calloc(1, sizeof(*w));
        int rc =
            w ? uv_poll_init(q->feed->tools->env.loop, &w->poll, PQsocket(q->connection)) : -ENOMEM;
        if (rc < 0) {
            free(w);
            return rc;
        }
        w->question = q;
        q->watch = w;
        q->references++;
    }
    return uv_poll_start(&q->watch->poll, events, on_ready);
}

/* --- the end --- */

static void postgres_cancel(struct feed *f)
{
    struct question *q = f->self;
    f->self = NULL;
    if (!q)
        return;
    q->feed = NULL;
    unwatch(q);
    PQfinish(q->connection);
    q->connection = NULL;
    uv_cancel((uv_req_t *)&q->lookup);
    unref(q);
}

/* The first line of what libpq or the server says. */
static void fail(struct question *q, const char *what, const char *why)
{
    struct feed *f = q->feed;
    char text[FEED_TROUBLE_MAX];
    fmt(text, sizeof(text), "%s: %.*s", what, (int)strcspn(why, "\n"), why);
    postgres_cancel(f);
    feed_fail(f, "%s", text);
}

static void conclude(struct question *q)
{
    struct feed *f = q->feed;
    struct question copy = *q;
    double value;
    postgres_cancel(f);
    if (copy.error[0])
        feed_fail(f, "refuses the query: %.*s", (int)strcspn(copy.error, "\n"), copy.error);
    else if (copy.rows == 0)
        feed_fail(f, "the query gives no row");
    else if (copy.is_null)
        feed_fail(f, "the query gives NULL");
    else if (copy.too_long || !feed_number(copy.value, strlen(copy.value), &value))
        feed_fail(f, "says %.40s, which no metric can be", copy.value);
    else
        feed_answer(f, value);
}

/* --- asking --- */

/* False = it was the wrong kind of row, and all is over. */
static bool take_row(struct question *q, const PGresult *row)
{
    int columns = PQnfields(row);
    if (columns != 1 || ++q->rows > 1) {
        fail(q, "the query gives",
             columns != 1 ? "several columns; it must give one number"
                          : "several rows; it must give one number");
        return false;
    }
    q->is_null = PQgetisnull(row, 0, 0);
    q->too_long = !str_copy(q->value, sizeof(q->value), PQgetvalue(row, 0, 0));
    return true;
}

static bool take_result(struct question *q, const PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_SINGLE_TUPLE:
        return take_row(q, r);
    case PGRES_TUPLES_OK: /* the end of the rows */
    case PGRES_COMMAND_OK:
        return true;
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
        fail(q, "the query", "is a COPY; it must give one number");
        return false;
    default:
        fmt(q->error, sizeof(q->error), "%s", PQresultErrorMessage(r));
        return true;
    }
}

static void send_query(struct question *q, enum phase phase, const char *query)
{
    q->phase = phase;
    q->error[0] = '\0';
    if (!PQsendQuery(q->connection, query) || PQflush(q->connection) < 0) {
        fail(q, "cannot be asked", PQerrorMessage(q->connection));
        return;
    }
    if (phase == ASKING)
        PQsetSingleRowMode(q->connection);
    if (watch_for(q, UV_READABLE | UV_WRITABLE) < 0)
        fail(q, "cannot be asked", "no memory");
}

static void send_settings(struct question *q)
{
    char text[160];
    fmt(text, sizeof(text), "SET statement_timeout = %lld; SET default_transaction_read_only = on",
        (long long)(q->feed->conf.timeout_us / US_PER_MS));
    send_query(q, PREPARING, text);
}

/* All results of what was sent have come. */
static void next_phase(struct question *q)
{
    const struct postgres_conf *conf = q->feed->conf.conf;
    if (q->phase == PREPARING && !q->error[0])
        send_query(q, ASKING, conf->query);
    else
        conclude(q);
}

static void receive(struct question *q)
{
    int unsent = PQflush(q->connection);
    if (unsent < 0 || !PQconsumeInput(q->connection)) {
        fail(q, "cannot be asked", PQerrorMessage(q->connection));
        return;
    }
    while (!PQisBusy(q->connection)) {
        PGresult *r = PQgetResult(q->connection);
        if (!r) {
            next_phase(q);
            return;
        }
        bool go_on = take_result(q, r);
        PQclear(r);
        if (!go_on)
            return;
    }
    watch_for(q, UV_READABLE | (unsent ? UV_WRITABLE : 0));
}

static void connect_on(struct question *q)
{
    unwatch(q);
    PostgresPollingStatusType wants = PQconnectPoll(q->connection);
    if (wants == PGRES_POLLING_OK) {
        PQsetnonblocking(q->connection, 1);
        send_settings(q);
    } else if (wants == PGRES_POLLING_FAILED) {
        fail(q, "cannot be asked", PQerrorMessage(q->connection));
    } else if (watch_for(q, wants == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE) < 0) {
        fail(q, "cannot be asked", "no memory");
    }
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct question *q = CONTAINER_OF(poll, struct watch, poll)->question;
    if (q->phase == CONNECTING)
        connect_on(q);
    else
        receive(q);
}

/* What the query has to say beside its answer. */
static void ignore_notice(void *ctx, const char *text)
{
}

/* `address` NULL = there is no name to look up. */
static void begin(struct question *q, const char *address)
{
    const struct postgres_conf *conf = q->feed->conf.conf;
    /* What stands behind dbname wins over what is in it. */
    const char *names[] = { "gssencmode", "dbname", "fallback_application_name",
                            address ? "hostaddr" : NULL, NULL };
    const char *values[] = { "disable", conf->connection, "plimsoll", address, NULL };
    q->connection = PQconnectStartParams(names, values, 1);
    q->phase = CONNECTING;
    if (!q->connection || PQstatus(q->connection) == CONNECTION_BAD)
        fail(q, "cannot be asked", q->connection ? PQerrorMessage(q->connection) : "no memory");
    else if (watch_for(q, UV_WRITABLE) < 0)
        fail(q, "cannot be asked", "no memory");
    else
        PQsetNoticeProcessor(q->connection, ignore_notice, NULL);
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct question *q = CONTAINER_OF(request, struct question, lookup);
    char address[NI_MAXHOST];
    if (q->feed && status == 0)
        status = getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address), NULL, 0,
                             NI_NUMERICHOST);
    if (q->feed && status == 0)
        begin(q, address);
    else if (q->feed)
        fail(q, "cannot be asked", status < 0 ? uv_strerror(status) : gai_strerror(status));
    uv_freeaddrinfo(found);
    unref(q);
}

/* The name to look up, or "": a socket, an address is given, or the default. */
static int find_name(const char *connection, char *ret, size_t cap, struct err *err)
{
    char *why = NULL;
    const char *host = "", *address = "";
    PQconninfoOption *options = PQconninfoParse(connection, &why);
    if (!options) {
        err_set(err, -EINVAL, "%.*s", (int)strcspn(why ? why : "", "\n"), why ? why : "");
        PQfreemem(why);
        return -EINVAL;
    }
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (o->val && strcmp(o->keyword, "host") == 0)
            host = o->val;
        if (o->val && strcmp(o->keyword, "hostaddr") == 0)
            address = o->val;
    }
    bool several = strchr(host, ',') || strchr(address, ',');
    bool local = host[0] == '/' || host[0] == '@' || address[0];
    int rc = several ? err_set(err, -EINVAL, "several hosts; name one") : 0;
    if (rc == 0 && !str_copy(ret, cap, local ? "" : host))
        rc = err_set(err, -EINVAL, "the host's name is too long");
    PQconninfoFree(options);
    return rc;
}

static void postgres_ask(struct feed *f)
{
    const struct postgres_conf *conf = f->conf.conf;
    char name[256];
    struct err err = { 0 };
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct question *q = calloc(1, sizeof(*q));
    if (!q) {
        feed_fail(f, "cannot be asked: no memory");
        return;
    }
    q->feed = f;
    q->references = 1;
    f->self = q;
    int rc = find_name(conf->connection, name, sizeof(name), &err);
    if (rc < 0) {
        fail(q, "cannot be asked", err.text);
        return;
    }
    if (!name[0]) {
        begin(q, NULL);
        return;
    }
    rc = uv_getaddrinfo(f->tools->env.loop, &q->lookup, on_found, name, NULL, &hints);
    if (rc < 0)
        fail(q, "cannot be asked", uv_strerror(rc));
    else
        q->references++;
}

static int postgres_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct postgres_conf *conf = section;
    char name[256];
    struct err why = { 0 };
    if (conf->connection && find_name(conf->connection, name, sizeof(name), &why) < 0)
        return schema_error(ctx, "connection", err, "is no connection string: %s", why.text);
    if (conf->query && slice_trim(slice_of(conf->query)).n == 0)
        return schema_error(ctx, "query", err, "is empty");
    return 0;
}

#define AT(member) .offset = offsetof(struct postgres_conf, member)

static const struct schema_key keys[] = {
    { .name = "connection",
      .type = SCHEMA_TEXT,
      AT(connection),
      .required = true,
      .help = "as libpq takes it: postgresql://user@host/db, or host=/run/postgresql dbname=jobs; "
              "passwords belong into passfile=" },
    { .name = "query",
      .type = SCHEMA_TEXT,
      AT(query),
      .required = true,
      .help = "SQL that gives one row of one column, a number; it may only read" },
    { 0 },
};

static const struct schema_section section = {
    .name = "postgres",
    .help = "Asks a PostgreSQL database.",
    .size_bytes = sizeof(struct postgres_conf),
    .keys = keys,
    .check = postgres_check,
};

const struct feed_ops source_postgres = {
    .name = "postgres",
    .section = &section,
    .ask = postgres_ask,
    .cancel = postgres_cancel,
};
