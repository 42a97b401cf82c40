/* The database: instances, decisions, events and rolled-up series, kept in one SQLite file. All
 * writing happens on a thread of the store's own, behind a bounded mailbox; a put never blocks and
 * never fails towards its caller: what cannot be kept is dropped and counted, for scaling must go
 * on without a disk. Reading goes through a second connection on the caller's thread. Nothing here
 * decides anything, and what runs is never read from here: that answer is the engine's. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decision;
struct store;

enum store_event_kind { /* kept as numbers: add at the end */
                        STORE_EVENT_INSTANCE,
                        STORE_EVENT_OPERATOR,
                        STORE_EVENT_CONFIG,
                        STORE_EVENT_ALERT,
                        STORE_EVENT_PROXY,
                        STORE_EVENT_CONTROLLER,
                        STORE_EVENT_RESOLVED, /* what an alert told of is over */
                        STORE_EVENT_SCALING,  /* the count that is wanted has changed */
                        STORE_EVENT_KIND_MAX,
};

/* Zero means the default that stands behind it. */
struct store_options {
    const char *path;       /* of the database file; copied */
    int64_t bytes_max;      /* of the file: 1 GiB */
    uint32_t mailbox_cap;   /* records waiting for the writer: 16384 */
    uint32_t series_cap;    /* series being rolled up: 16384 */
    uint32_t decisions_max; /* rows kept: 200000 */
    uint32_t events_max;    /* rows kept: 200000 */
    int64_t batch_us;       /* a transaction is committed at least this often: 200 ms */
    int64_t retry_us;       /* between two attempts to open a file that cannot be: 5 s */
};

/* Opens the file, or goes on without it and tries again later: fails with -ENOMEM or -EAGAIN (no
 * thread) only. */
int store_open(const struct store_options *options, struct store **ret);
/* Writes what is waiting and closes. NULL is fine. */
void store_close(struct store *s);

struct store_health {
    bool degraded;        /* nothing is kept at the moment */
    uint64_t dropped;     /* records lost since the start */
    uint64_t written;     /* records kept since the start */
    uint32_t set_aside;   /* corrupt files found since the start */
    char trouble[320];    /* for `status`: why it is degraded or what was lost; "" = all well */
    char aside_path[256]; /* where the last corrupt file went; "" = there was none */
};
void store_health(struct store *s, struct store_health *ret);
/* The same in short: a text for `status`; false, and an empty text, when all is well. */
bool store_trouble(struct store *s, char *buf, size_t cap);

/* Everything is copied; texts that are too long are cut. Only from one thread at a time. */
void store_put_decision(struct store *s, const struct decision *d);
/* `service` and `instance` ("shop-3") may be NULL. */
void store_put_event(struct store *s, enum store_event_kind kind, const char *service,
                     const char *instance, const char *text, int64_t wall_us);
/* `number`: the instance, or 0 for the service as a whole. A value that is not finite is ignored.
 */
void store_put_sample(struct store *s, const char *service, const char *metric, uint32_t number,
                      double value, int64_t wall_us);
/* `state` is instance_state_name()'s; the row is replaced, and removed some time after "gone". */
void store_put_instance(struct store *s, const char *service, uint32_t number, const char *state,
                        int64_t pid, const char *address, uint64_t template, int64_t wall_us);

/* Waits until all that was put before is written or dropped. 0, or -ETIMEDOUT. Blocks: for tests
 * and the end of the program. */
int store_flush(struct store *s, int64_t timeout_us);

/* Reading. 0 and a new JSON array, or -EIO when there is no database to read. */
/* Newest first, each as decision_json() made it. `service` NULL = all. limit 1..1000. */
int store_read_decisions(struct store *s, const char *service, uint32_t limit, json_t **ret);
/* The newest `limit` of those with id > after, oldest first:
 * {"id","time","kind","service","instance","text"}. limit 1..10000. */
int store_read_events(struct store *s, const char *service, int64_t after, uint32_t limit,
                      json_t **ret);
/* [[t, avg, min, max]...], t in Unix seconds, oldest first, at most 10000. step_s is 1, 10 or 60
 * (else -EINVAL). */
int store_read_series(struct store *s, const char *service, const char *metric, uint32_t number,
                      int64_t from_s, int64_t to_s, uint32_t step_s, json_t **ret);
/* The averages of those points as a row at equal distances: `ret_values`[i] is of the step that
 * begins at *from_s + i * step_s, NaN where nothing is known. *from_s moves on to the first that is
 * known; the last is known too. *count: how many there is room for, and then how many there are. 0,
 * -EINVAL or -EIO. */
int store_read_steps(struct store *s, const char *service, const char *metric, uint32_t step_s,
                     int64_t *from_s, double *ret_values, size_t *count);
/* As last put: {"service","number","state","pid","address","template","time"}. */
int store_read_instances(struct store *s, const char *service, json_t **ret);

const char *store_event_kind_name(enum store_event_kind kind);
