/* Reading what was recorded through a connection that cannot write. A database that nobody has open
 * and whose directory cannot be written to is read as it lies there. */
#include "store/recorded.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "base/util.h"
#include "store/recorded_int.h"
#include "sys/mem.h"

#define BUSY_MS 2000
#define DAYS_MAX 400
#define MINUTES_MAX ((uint64_t)DAYS_MAX * 24 * 60)

static const char query[] =
    "SELECT at, avg FROM points WHERE series=(SELECT id FROM series WHERE service=? AND metric=?"
    " AND number=0) AND step=? AND at>=? AND at<? ORDER BY at";

/* The rows of a statement that is ready to run. */
static int take_rows(sqlite3_stmt *stmt, uint32_t step_s, int64_t *from_s, double *values,
                     size_t *count)
{
    size_t n = 0, cap = *count;
    int64_t first_s = *from_s;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t at_s = sqlite3_column_int64(stmt, 0);
        if (n == 0)
            first_s = at_s;
        size_t index = (size_t)((at_s - first_s) / step_s);
        while (n < index && n < cap)
            values[n++] = (double)NAN;
        if (n < cap)
            values[n++] = sqlite3_column_double(stmt, 1);
    }
    if (rc != SQLITE_DONE)
        return -EIO;
    *from_s = first_s;
    *count = n;
    return 0;
}

int recorded_steps(sqlite3 *reader, const char *service, const char *metric, uint32_t step_s,
                   int64_t *from_s, double *ret_values, size_t *count)
{
    sqlite3_stmt *stmt;
    if (sqlite3_prepare_v2(reader, query, -1, &stmt, NULL) != SQLITE_OK)
        return -EIO;
    sqlite3_bind_text(stmt, 1, service, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, metric, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, step_s);
    sqlite3_bind_int64(stmt, 4, *from_s);
    sqlite3_bind_int64(stmt, 5, *from_s + (int64_t)(*count * step_s));
    int rc = take_rows(stmt, step_s, from_s, ret_values, count);
    sqlite3_finalize(stmt);
    return rc;
}

/* --- a state directory from outside --- */

static int open_as(const char *uri, sqlite3 **ret)
{
    sqlite3 *db = NULL;
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(uri, &db, flags, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        rc = sqlite3_exec(db, "SELECT 1 FROM points LIMIT 1", NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        *ret = db;
        return 0;
    }
    sqlite3_close(db);
    return -EIO;
}

static int open_database(const char *state_dir, sqlite3 **ret, struct err *err)
{
    char path[4096], escaped[4096 * 3], uri[sizeof(escaped) + 32];
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/plimsoll.db", state_dir);
    if (access(path, R_OK) < 0)
        return err_at(err, -errno, path, "there is no database to read: %s", strerror(errno));
    for (const char *p = path; *p; p++)
        n += (size_t)snprintf(escaped + n, sizeof(escaped) - n, strchr("?#%", *p) ? "%%%02x" : "%c",
                              (unsigned char)*p);
    snprintf(uri, sizeof(uri), "file:%s", escaped);
    if (open_as(uri, ret) == 0)
        return 0;
    snprintf(uri, sizeof(uri), "file:%s?immutable=1", escaped);
    if (open_as(uri, ret) == 0)
        return 0;
    return err_at(err, -EIO, path, "this database cannot be read");
}

static int read_metric(sqlite3 *db, const char *service, const char *metric, int64_t from_s,
                       const struct recorded *r, double *ret_values)
{
    int64_t first_s = from_s;
    size_t count = r->count;
    _cleanup_free_ double *values = calloc(r->count, sizeof(*values));
    int rc = values ? recorded_steps(db, service, metric, RECORDED_STEP_S, &first_s, values, &count)
                    : -ENOMEM;
    if (rc < 0)
        return rc;
    size_t offset = (size_t)((first_s - from_s) / RECORDED_STEP_S);
    for (size_t i = 0; i < count && offset + i < r->count; i++)
        if (isfinite(values[i]))
            ret_values[offset + i] = values[i];
    return 0;
}

static bool known(const struct recorded *r, size_t i)
{
    return isfinite(r->arrivals[i]) || isfinite(r->ready[i]);
}

static void trim(struct recorded *r)
{
    size_t first = 0, n = r->count;
    while (n > 0 && !known(r, n - 1))
        n--;
    while (first < n && !known(r, first))
        first++;
    r->count = n - first;
    r->wall_us += (int64_t)first * RECORDED_STEP_S * US_PER_S;
    memmove(r->arrivals, r->arrivals + first, r->count * sizeof(double));
    memmove(r->ready, r->ready + first, r->count * sizeof(double));
}

static int read_all(sqlite3 *db, const char *service, struct recorded *r)
{
    int64_t from_s = r->wall_us / US_PER_S;
    r->arrivals = calloc(r->count, sizeof(double));
    r->ready = calloc(r->count, sizeof(double));
    if (!r->arrivals || !r->ready)
        return -ENOMEM;
    for (size_t i = 0; i < r->count; i++)
        r->arrivals[i] = r->ready[i] = (double)NAN;
    int rc = read_metric(db, service, "rps", from_s, r, r->arrivals);
    if (rc == 0) /* what came counts; what was answered where that was not counted */
        rc = read_metric(db, service, "arrivals", from_s, r, r->arrivals);
    if (rc == 0)
        rc = read_metric(db, service, RECORDED_READY, from_s, r, r->ready);
    trim(r);
    return rc;
}

void recorded_done(struct recorded *r)
{
    free(r->arrivals);
    free(r->ready);
    *r = (struct recorded){ 0 };
}

int recorded_read(const char *state_dir, const char *service, int64_t from_wall_us,
                  int64_t to_wall_us, struct recorded *ret, struct err *err)
{
    const int64_t step_us = RECORDED_STEP_S * US_PER_S;
    sqlite3 *db;
    if (from_wall_us < 0 || to_wall_us <= from_wall_us ||
        (uint64_t)((to_wall_us - from_wall_us) / step_us) > MINUTES_MAX)
        return err_set(err, -EINVAL, "the time to read must be more than 0s and at most %dd",
                       DAYS_MAX);
    int rc = open_database(state_dir, &db, err);
    if (rc < 0)
        return rc;
    struct recorded r = { .wall_us = from_wall_us / step_us * step_us };
    r.count = (size_t)((to_wall_us - r.wall_us + step_us - 1) / step_us);
    rc = read_all(db, service, &r);
    sqlite3_close(db);
    if (rc == 0 && r.count == 0)
        rc = err_at(err, -ENOENT, state_dir,
                    "nothing of service %s is recorded in that time: is the name right, and has it "
                    "run there?",
                    service);
    else if (rc < 0)
        err_at(err, rc, state_dir, "the database cannot be read: %s", strerror(-rc));
    if (rc < 0) {
        recorded_done(&r);
        return rc;
    }
    *ret = r;
    return 0;
}
