/* SQLite behind few functions: which error means what, which statement is which. It decides nothing
 * about when to write or what to do about an error: that is writer.c. */
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/us.h"
#include "base/util.h"
#include "sys/mem.h"

#define SCHEMA_VERSION 1

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE instances(service TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL,"
    " pid INTEGER NOT NULL, address TEXT NOT NULL, template TEXT NOT NULL,"
    " wall_us INTEGER NOT NULL, PRIMARY KEY(service, number)) WITHOUT ROWID;"
    "CREATE TABLE decisions(id INTEGER PRIMARY KEY AUTOINCREMENT, sequence INTEGER NOT NULL,"
    " wall_us INTEGER NOT NULL, service TEXT NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX decisions_service ON decisions(service, id);"
    "CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, wall_us INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX events_service ON events(service, id);"
    "CREATE TABLE series(id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL,"
    " metric TEXT NOT NULL, number INTEGER NOT NULL, UNIQUE(service, metric, number));"
    "CREATE TABLE points(series INTEGER NOT NULL, step INTEGER NOT NULL, at INTEGER NOT NULL,"
    " avg REAL NOT NULL, min REAL NOT NULL, max REAL NOT NULL, count INTEGER NOT NULL,"
    " PRIMARY KEY(series, step, at)) WITHOUT ROWID;"
    "PRAGMA user_version=1;"
    "COMMIT;";
static_assert(SCHEMA_VERSION == 1, "the schema's last line says so too");

static const char *const statements[DB_STMT_MAX] = {
    [DB_BEGIN] = "BEGIN IMMEDIATE",
    [DB_COMMIT] = "COMMIT",
    [DB_ROLLBACK] = "ROLLBACK",
    [DB_PUT_DECISION] = "INSERT INTO decisions(sequence, wall_us, service, json) VALUES(?,?,?,?)",
    [DB_PUT_EVENT] = "INSERT INTO events(wall_us, kind, service, instance, text) VALUES(?,?,?,?,?)",
    [DB_PUT_INSTANCE] = "INSERT OR REPLACE INTO instances(service, number, state, pid, address,"
                        " template, wall_us) VALUES(?,?,?,?,?,?,?)",
    [DB_PUT_SERIES] = "INSERT OR IGNORE INTO series(service, metric, number) VALUES(?,?,?)",
    [DB_GET_SERIES] = "SELECT id FROM series WHERE service=? AND metric=? AND number=?",
    [DB_PUT_POINT] =
        "INSERT INTO points(series, step, at, avg, min, max, count) VALUES(?,?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET"
        " avg=(avg*count+excluded.avg*excluded.count)/(count+excluded.count),"
        " min=min(min, excluded.min), max=max(max, excluded.max), count=count+excluded.count",
    [DB_NEXT_SERIES] = "SELECT id FROM series WHERE id>? ORDER BY id LIMIT 1",
    [DB_PRUNE_POINTS] = "DELETE FROM points WHERE series=? AND step=? AND at<?",
    [DB_PRUNE_SERIES] = "DELETE FROM series WHERE id=?1 AND NOT EXISTS"
                        " (SELECT 1 FROM points WHERE series=?1)",
    /* At most 500 at a time: those that are old, and those over the number that is kept. */
    [DB_PRUNE_DECISIONS] = "DELETE FROM decisions WHERE id IN (SELECT id FROM decisions"
                           " ORDER BY id LIMIT 500) AND (wall_us<? OR id<="
                           " (SELECT max(id) FROM decisions)-?)",
    [DB_PRUNE_EVENTS] = "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id"
                        " LIMIT 500) AND (wall_us<? OR id<=(SELECT max(id) FROM events)-?)",
    [DB_PRUNE_INSTANCES] = "DELETE FROM instances WHERE state='gone' AND wall_us<?",
    [DB_PAGES] = "SELECT page_count-freelist_count FROM pragma_page_count(),"
                 " pragma_freelist_count()",
};

static int error_of(int sqlite_rc)
{
    switch (sqlite_rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EAGAIN;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

const char *db_message(const struct db *db)
{
    return db->handle ? sqlite3_errmsg(db->handle) : "it is not open";
}

void db_close(struct db *db)
{
    for (unsigned i = 0; i < DB_STMT_MAX; i++)
        sqlite3_finalize(db->stmt[i]);
    sqlite3_close(db->handle);
    *db = (struct db){ 0 };
}

/* The first column of the first row as text. */
static int ask_text(sqlite3 *handle, const char *sql, char *ret, size_t cap)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    const unsigned char *text = rc == SQLITE_ROW ? sqlite3_column_text(stmt, 0) : NULL;
    snprintf(ret, cap, "%s", text ? (const char *)text : "");
    sqlite3_finalize(stmt);
    return error_of(rc);
}

static int check(struct db *db, struct err *err)
{
    char answer[128];
    if (sqlite3_db_readonly(db->handle, "main") == 1)
        return err_set(err, -EROFS, "it is read-only");
    int rc = ask_text(db->handle, "PRAGMA quick_check(1)", answer, sizeof(answer));
    if (rc == 0 && strcmp(answer, "ok") != 0)
        return err_set(err, -EBADMSG, "%s", answer);
    return rc < 0 ? err_set(err, rc, "%s", db_message(db)) : 0;
}

static int settle_schema(struct db *db, struct err *err)
{
    char answer[32];
    int rc = ask_text(db->handle, "PRAGMA user_version", answer, sizeof(answer));
    if (rc == 0 && strcmp(answer, "0") == 0)
        rc = error_of(sqlite3_exec(db->handle, schema, NULL, NULL, NULL));
    else if (rc == 0 && strcmp(answer, "1") != 0)
        return err_set(err, -EIO, "its layout is %s, and this version knows 1 only", answer);
    return rc < 0 ? err_set(err, rc, "%s", db_message(db)) : 0;
}

static int prepare(struct db *db, struct err *err)
{
    for (unsigned i = 0; i < DB_STMT_MAX; i++) {
        int rc = sqlite3_prepare_v3(db->handle, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->stmt[i], NULL);
        if (rc != SQLITE_OK)
            return err_set(err, rc == SQLITE_ERROR ? -EBADMSG : error_of(rc), "%s", db_message(db));
    }
    return 0;
}

static int settle(struct db *db, int64_t bytes_max, struct err *err)
{
    char answer[32], limit[64];
    sqlite3_busy_timeout(db->handle, 1000);
    int rc = check(db, err);
    if (rc < 0)
        return rc;
    rc = ask_text(db->handle, "PRAGMA journal_mode=WAL", answer, sizeof(answer));
    if (rc < 0)
        return err_set(err, rc, "%s", db_message(db));
    snprintf(limit, sizeof(limit), "PRAGMA max_page_count=%lld", (long long)(bytes_max / 4096));
    sqlite3_exec(db->handle, limit, NULL, NULL, NULL);
    sqlite3_exec(db->handle, "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=16777216", NULL,
                 NULL, NULL);
    rc = settle_schema(db, err);
    return rc < 0 ? rc : prepare(db, err);
}

/* Made before the engine makes it: the log and the index that it puts beside it take over the
 * file's mode. They may be there already, from a process that was killed. What cannot be done here
 * is the engine's to say. */
static void keep_private(const char *path)
{
    static const char *const tails[] = { "-wal", "-shm" };
    char beside[4200];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    (void)!fchmod(fd, 0600);
    close(fd);
    for (unsigned i = 0; i < ARRAY_LEN(tails); i++) {
        snprintf(beside, sizeof(beside), "%s%s", path, tails[i]);
        (void)!chmod(beside, 0600);
    }
}

int db_open(struct db *db, const char *path, int64_t bytes_max, struct err *err)
{
    *db = (struct db){ 0 };
    keep_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = error_of(sqlite3_open_v2(path, &db->handle, flags, NULL));
    rc = rc < 0 ? err_set(err, rc, "%s", db_message(db)) : settle(db, bytes_max, err);
    if (rc < 0)
        db_close(db);
    return rc;
}

int db_set_aside(const char *path, int64_t wall_us, char *ret_path, size_t cap)
{
    static const char *const tails[] = { "", "-wal", "-shm" };
    time_t seconds = (time_t)(wall_us / US_PER_S);
    char stamp[32], base[4096], from[4200], to[4200];
    struct tm tm = { 0 };
    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(base, sizeof(base), "%s.corrupt-%s", path, stamp);
    for (unsigned i = 2; access(base, F_OK) == 0; i++)
        snprintf(base, sizeof(base), "%s.corrupt-%s-%u", path, stamp, i);
    for (unsigned i = 0; i < ARRAY_LEN(tails); i++) {
        snprintf(from, sizeof(from), "%s%s", path, tails[i]);
        snprintf(to, sizeof(to), "%s%s", base, tails[i]);
        if (rename(from, to) < 0 && i == 0)
            return -errno;
    }
    snprintf(ret_path, cap, "%s", base);
    return 0;
}

static void bind_all(sqlite3_stmt *stmt, const char *types, va_list args)
{
    for (int i = 1; *types; types++, i++) {
        const char *text;
        switch (*types) {
        case 'i':
            sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
            break;
        case 'd':
            sqlite3_bind_double(stmt, i, va_arg(args, double));
            break;
        case 't':
            text = va_arg(args, const char *);
            sqlite3_bind_text(stmt, i, text ? text : "", -1, SQLITE_TRANSIENT);
            break;
        }
    }
}

int db_run(struct db *db, enum db_stmt which, const char *types, ...)
{
    sqlite3_stmt *stmt = db->stmt[which];
    va_list args;
    va_start(args, types);
    bind_all(stmt, types, args);
    va_end(args);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        ;
    return error_of(sqlite3_reset(stmt));
}

int db_ask(struct db *db, enum db_stmt which, int64_t *ret, const char *types, ...)
{
    sqlite3_stmt *stmt = db->stmt[which];
    va_list args;
    va_start(args, types);
    bind_all(stmt, types, args);
    va_end(args);
    bool found = sqlite3_step(stmt) == SQLITE_ROW;
    int64_t answer = found ? sqlite3_column_int64(stmt, 0) : 0;
    int rc = error_of(sqlite3_reset(stmt));
    if (rc < 0 || !found)
        return rc < 0 ? rc : 1;
    *ret = answer;
    return 0;
}

bool db_has_moved(struct db *db)
{
    int moved = 0;
    sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return moved != 0;
}
