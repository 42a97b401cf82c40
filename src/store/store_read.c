/* The store's reading side: questions with a LIMIT, answered as JSON on the caller's thread through
 * a connection that cannot write. It follows the writer to a new file when there is one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "store/codec.h"
#include "store/recorded_int.h"
#include "store/store_int.h"

#define POINTS_MAX 10000
#define INSTANCES_MAX 10000
#define BUSY_MS 50 /* the caller is a loop */

static int reader_get(struct store *s, sqlite3 **ret)
{
    unsigned generation = s->generation;
    if (!s->open)
        return -EIO;
    if (s->reader && s->reader_generation != generation) {
        sqlite3_close(s->reader);
        s->reader = NULL;
    }
    if (!s->reader) {
        int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
        if (sqlite3_open_v2(s->path, &s->reader, flags, NULL) != SQLITE_OK) {
            sqlite3_close(s->reader);
            s->reader = NULL;
            return -EIO;
        }
        sqlite3_busy_timeout(s->reader, BUSY_MS);
        s->reader_generation = generation;
    }
    *ret = s->reader;
    return 0;
}

static json_t *column_text(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return codec_text(text ? text : "", text ? strlen(text) : 0);
}

static json_t *decision_row(sqlite3_stmt *stmt)
{
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    return text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
}

static json_t *event_row(sqlite3_stmt *stmt)
{
    return json_pack(
        "{s:I, s:o, s:s, s:o, s:o, s:o}", "id", (json_int_t)sqlite3_column_int64(stmt, 0), "time",
        codec_time(sqlite3_column_int64(stmt, 1)), "kind",
        store_event_kind_name((enum store_event_kind)sqlite3_column_int(stmt, 2)), "service",
        column_text(stmt, 3), "instance", column_text(stmt, 4), "text", column_text(stmt, 5));
}

static json_t *point_row(sqlite3_stmt *stmt)
{
    return json_pack("[I, f, f, f]", (json_int_t)sqlite3_column_int64(stmt, 0),
                     sqlite3_column_double(stmt, 1), sqlite3_column_double(stmt, 2),
                     sqlite3_column_double(stmt, 3));
}

static json_t *instance_row(sqlite3_stmt *stmt)
{
    return json_pack("{s:o, s:I, s:o, s:I, s:o, s:o, s:o}", "service", column_text(stmt, 0),
                     "number", (json_int_t)sqlite3_column_int64(stmt, 1), "state",
                     column_text(stmt, 2), "pid", (json_int_t)sqlite3_column_int64(stmt, 3),
                     "address", column_text(stmt, 4), "template", column_text(stmt, 5), "time",
                     codec_time(sqlite3_column_int64(stmt, 6)));
}

/* All rows; a row that cannot be shown (nonsense in the file) is passed over. */
static int collect(sqlite3_stmt *stmt, json_t *(*row)(sqlite3_stmt *), json_t **ret)
{
    json_t *list = json_array();
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        json_array_append_new(list, row(stmt));
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE || !list) {
        json_decref(list);
        return -EIO;
    }
    *ret = list;
    return 0;
}

static int prepare(struct store *s, const char *sql, sqlite3_stmt **ret)
{
    sqlite3 *reader;
    int rc = reader_get(s, &reader);
    if (rc < 0)
        return rc;
    return sqlite3_prepare_v2(reader, sql, -1, ret, NULL) == SQLITE_OK ? 0 : -EIO;
}

int store_read_decisions(struct store *s, const char *service, uint32_t limit, json_t **ret)
{
    sqlite3_stmt *stmt;
    int rc = prepare(s,
                     service ? "SELECT json FROM decisions WHERE service=?1 ORDER BY id DESC"
                               " LIMIT ?2"
                             : "SELECT json FROM decisions ORDER BY id DESC LIMIT ?2",
                     &stmt);
    if (rc < 0)
        return rc;
    if (service)
        sqlite3_bind_text(stmt, 1, service, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, CLAMP(limit, 1u, 1000u));
    return collect(stmt, decision_row, ret);
}

#define EVENT_COLUMNS "id, wall_us, kind, service, instance, text"

int store_read_events(struct store *s, const char *service, int64_t after, uint32_t limit,
                      json_t **ret)
{
    sqlite3_stmt *stmt;
    int rc = prepare(s,
                     service ? "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM events WHERE id>?1"
                               " AND service=?3 ORDER BY id DESC LIMIT ?2) ORDER BY id"
                             : "SELECT * FROM (SELECT " EVENT_COLUMNS " FROM events WHERE id>?1"
                               " ORDER BY id DESC LIMIT ?2) ORDER BY id",
                     &stmt);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int64(stmt, 2, CLAMP(limit, 1u, 10000u));
    if (service)
        sqlite3_bind_text(stmt, 3, service, -1, SQLITE_STATIC);
    return collect(stmt, event_row, ret);
}

static bool is_step(uint32_t step_s)
{
    for (unsigned i = 0; i < ROLLUP_STEPS; i++)
        if (rollup_steps[i].step_s == step_s)
            return true;
    return false;
}

int store_read_steps(struct store *s, const char *service, const char *metric, uint32_t step_s,
                     int64_t *from_s, double *ret_values, size_t *count)
{
    sqlite3 *reader;
    int rc = is_step(step_s) ? reader_get(s, &reader) : -EINVAL;
    if (rc < 0)
        return rc;
    return recorded_steps(reader, service, metric, step_s, from_s, ret_values, count);
}

int store_read_series(struct store *s, const char *service, const char *metric, uint32_t number,
                      int64_t from_s, int64_t to_s, uint32_t step_s, json_t **ret)
{
    sqlite3_stmt *stmt;
    if (!is_step(step_s))
        return -EINVAL;
    int rc = prepare(s,
                     "SELECT at, avg, min, max FROM points WHERE series=(SELECT id FROM series"
                     " WHERE service=? AND metric=? AND number=?) AND step=? AND at BETWEEN ? AND ?"
                     " ORDER BY at LIMIT ?",
                     &stmt);
    if (rc < 0)
        return rc;
    sqlite3_bind_text(stmt, 1, service, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, metric, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, number);
    sqlite3_bind_int64(stmt, 4, step_s);
    sqlite3_bind_int64(stmt, 5, from_s);
    sqlite3_bind_int64(stmt, 6, to_s);
    sqlite3_bind_int64(stmt, 7, POINTS_MAX);
    return collect(stmt, point_row, ret);
}

int store_read_instances(struct store *s, const char *service, json_t **ret)
{
    sqlite3_stmt *stmt;
    int rc = prepare(s,
                     "SELECT service, number, state, pid, address, template, wall_us FROM instances"
                     " WHERE ?1 IS NULL OR service=?1 ORDER BY service, number LIMIT ?2",
                     &stmt);
    if (rc < 0)
        return rc;
    if (service)
        sqlite3_bind_text(stmt, 1, service, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, INSTANCES_MAX);
    return collect(stmt, instance_row, ret);
}
