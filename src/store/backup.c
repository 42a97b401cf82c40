/* Backup and restore over SQLite's online backup: it copies a consistent state of the database
 * while others write. Files are read as they are at that moment; each is written by its owner in a
 * way that bears that (whole or appended to). */
#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "sys/clock.h"
#include "sys/mem.h"

#define BACKUP_VERSION 1
#define DATABASE_VERSION 1        /* db.c's schema */
#define APPLICATION_ID 0x506c696d /* "Plim" */
#define DATABASE "plimsoll.db"
#define FILE_BYTES_MAX ((off_t)256 * 1024 * 1024)
#define SEGMENTS_KEPT 2 /* the head of the newest may be torn */

static const char tables[] =
    "CREATE TABLE plimsoll_backup(version INTEGER NOT NULL, program TEXT NOT NULL,"
    " identity TEXT NOT NULL, host TEXT NOT NULL, state TEXT NOT NULL, wall_us INTEGER NOT NULL);"
    "CREATE TABLE plimsoll_files(path TEXT PRIMARY KEY, mode INTEGER NOT NULL, bytes BLOB NOT"
    " NULL);";

/* Too long a path is one that cannot be opened. */
static void join(char path[PATH_MAX], const char *folder, const char *name)
{
    struct str s;
    str_init(&s, path, PATH_MAX);
    str_put(&s, folder);
    str_put(&s, folder[0] && name[0] ? "/" : "");
    str_put(&s, name);
    if (s.cut)
        path[0] = '\0';
}

static int failed(sqlite3 *db, const char *path, const char *what, struct err *err)
{
    int code = sqlite3_errcode(db) & 0xff;
    int rc = code == SQLITE_FULL                               ? -ENOSPC
             : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? -EBADMSG
             : code == SQLITE_CANTOPEN                         ? -ENOENT
                                                               : -EIO;
    return err_at(err, rc, path, "cannot %s: %s", what, sqlite3_errmsg(db));
}

static void closep(sqlite3 **db)
{
    sqlite3_close(*db);
}

static void finalizep(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
}

#define _cleanup_db_ _cleanup_(closep)
#define _cleanup_stmt_ _cleanup_(finalizep)

static int open_db(const char *path, int flags, sqlite3 **ret, struct err *err)
{
    if (sqlite3_open_v2(path, ret, flags, NULL) != SQLITE_OK)
        return failed(*ret, path, "be opened", err);
    sqlite3_busy_timeout(*ret, 5000);
    return 0;
}

static int copy_db(sqlite3 *from, sqlite3 *to, const char *path, struct err *err)
{
    sqlite3_backup *copy = sqlite3_backup_init(to, "main", from, "main");
    int rc = copy ? sqlite3_backup_step(copy, -1) : SQLITE_ERROR;
    sqlite3_backup_finish(copy);
    return rc == SQLITE_DONE ? 0 : failed(to, path, "copy the database", err);
}

/* The first column of the first row as a number; -1 = there is none. */
static int64_t ask_number(sqlite3 *db, const char *sql)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    bool found = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
                 sqlite3_step(stmt) == SQLITE_ROW;
    return found ? sqlite3_column_int64(stmt, 0) : -1;
}

/* -- writing ----------------------------------------------------------------------------------- */

struct writing {
    sqlite3 *db;
    sqlite3_stmt *insert;
    const char *state_dir, *path;
    struct err *err;
};

/* One that has gone meanwhile (an instance's record) was not to be kept. */
static int put_file(struct writing *w, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    join(path, w->state_dir, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_at(w->err, -errno, path, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
        return 0;
    _cleanup_free_ char *text = malloc((size_t)st.st_size + 1);
    ssize_t n = text ? pread(fd, text, (size_t)st.st_size, 0) : -1;
    if (n < 0)
        return err_at(w->err, -EIO, path, "cannot be read: %s", strerror(errno));
    sqlite3_reset(w->insert);
    sqlite3_bind_text(w->insert, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(w->insert, 2, st.st_mode & 0777);
    sqlite3_bind_blob64(w->insert, 3, text, (sqlite3_uint64)n, SQLITE_STATIC);
    return sqlite3_step(w->insert) == SQLITE_DONE ? 0
                                                  : failed(w->db, w->path, "be written", w->err);
}

/* The database is in the backup as such; locks and what is being written belong to who runs. */
static int is_wanted(const struct dirent *e)
{
    static const char *const ends[] = { ".new", ".lock", ".sock", ".reading" };
    size_t n = strlen(e->d_name);
    if (strncmp(e->d_name, DATABASE, strlen(DATABASE)) == 0 || e->d_name[0] == '\0' ||
        strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (n >= strlen(ends[i]) && strcmp(e->d_name + n - strlen(ends[i]), ends[i]) == 0)
            return 0;
    return 1;
}

/* The last `kept` in the order of their names, 0 = all. What is no regular file is passed over. */
static int put_folder(struct writing *w, const char *folder, int kept)
{
    char path[PATH_MAX], name[PATH_MAX];
    struct dirent **entries;
    int rc = 0;
    join(path, w->state_dir, folder);
    int count = scandir(path, &entries, is_wanted, alphasort);
    if (count < 0 && errno == ENOENT)
        return 0;
    if (count < 0)
        return err_at(w->err, -errno, path, "cannot be read: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        join(name, folder, entries[i]->d_name);
        if (rc == 0 && (kept == 0 || i >= count - kept))
            rc = put_file(w, name);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* The journal before the records: what runs is asked anew, and younger records do no harm. */
static int put_files(struct writing *w)
{
    if (sqlite3_prepare_v2(w->db, "INSERT INTO plimsoll_files VALUES(?,?,?)", -1, &w->insert,
                           NULL) != SQLITE_OK)
        return failed(w->db, w->path, "be written", w->err);
    int rc = put_folder(w, "journal", SEGMENTS_KEPT);
    if (rc == 0)
        rc = put_folder(w, "keeper", 0);
    if (rc == 0)
        rc = put_folder(w, "", 0);
    sqlite3_finalize(w->insert);
    return rc;
}

static int put_head(struct writing *w, const char *identity, const char *host)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(w->db, "INSERT INTO plimsoll_backup VALUES(?,?,?,?,?,?)", -1, &stmt,
                           NULL) != SQLITE_OK)
        return failed(w->db, w->path, "be written", w->err);
    sqlite3_bind_int(stmt, 1, BACKUP_VERSION);
    sqlite3_bind_text(stmt, 2, PLIMSOLL_VERSION, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, identity, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, host, -1, SQLITE_STATIC);
    char state[PATH_MAX];
    sqlite3_bind_text(stmt, 5, realpath(w->state_dir, state) ? state : w->state_dir, -1,
                      SQLITE_TRANSIENT);
    sqlite3_bind_int64(stmt, 6, clock_wall_us());
    return sqlite3_step(stmt) == SQLITE_DONE ? 0 : failed(w->db, w->path, "be written", w->err);
}

/* The journal's mode is a file's property: a backup is one file, not three. */
static int fill(struct writing *w, sqlite3 *from, const char *identity, const char *host)
{
    char sql[sizeof(tables) + 200];
    int rc = copy_db(from, w->db, w->path, w->err);
    if (rc < 0)
        return rc;
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode=DELETE; PRAGMA application_id=%d; BEGIN; %s",
             APPLICATION_ID, tables);
    if (sqlite3_exec(w->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return failed(w->db, w->path, "be written", w->err);
    rc = put_head(w, identity, host);
    if (rc == 0)
        rc = put_files(w);
    if (rc == 0 && sqlite3_exec(w->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        rc = failed(w->db, w->path, "be written", w->err);
    return rc;
}

static int write_aside(const char *state_dir, const char *path, const char *aside,
                       const char *identity, const char *host, struct err *err)
{
    char database[PATH_MAX];
    _cleanup_db_ sqlite3 *from = NULL;
    _cleanup_db_ sqlite3 *to = NULL;
    join(database, state_dir, DATABASE);
    if (access(database, F_OK) < 0)
        return err_at(err, -errno, state_dir,
                      errno == ENOENT ? "there is no state of plimsoll here; say where with --state"
                                      : "cannot be read: %s",
                      strerror(errno));
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_at(err, -errno, path, "cannot be written: %s", strerror(errno));
    close(fd);
    int rc = open_db(database, SQLITE_OPEN_READONLY, &from, err);
    if (rc == 0)
        rc = open_db(aside, SQLITE_OPEN_READWRITE, &to, err);
    struct writing w = { .db = to, .state_dir = state_dir, .path = aside, .err = err };
    return rc < 0 ? rc : fill(&w, from, identity, host);
}

int backup_write(const char *state_dir, const char *path, const char *identity, const char *host,
                 struct backup_facts *ret, struct err *err)
{
    char aside[PATH_MAX];
    struct err why = { 0 };
    if (snprintf(aside, sizeof(aside), "%s.%d.new", path, (int)getpid()) >= (int)sizeof(aside))
        return err_at(err, -ENAMETOOLONG, path, "the name is too long");
    if (access(path, F_OK) == 0 && backup_check(path, ret, &why) < 0)
        return err_at(err, -EEXIST, path,
                      "exists, and is no backup of plimsoll's; remove it, or give another name");
    int rc = write_aside(state_dir, path, aside, identity, host, err);
    if (rc == 0)
        rc = backup_check(aside, ret, err);
    if (rc == 0 && rename(aside, path) < 0)
        rc = err_at(err, -errno, path, "cannot be written: %s", strerror(errno));
    if (rc < 0)
        unlink(aside);
    return rc;
}

/* -- checking ---------------------------------------------------------------------------------- */

static void text_at(sqlite3_stmt *stmt, int column, char *ret, size_t cap)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    snprintf(ret, cap, "%s", text ? text : "");
}

static int check_whole(sqlite3 *db, const char *path, struct err *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    char answer[128] = "";
    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        return err_at(err, -EBADMSG, path, "is damaged: %s", sqlite3_errmsg(db));
    text_at(stmt, 0, answer, sizeof(answer));
    if (strcmp(answer, "ok") != 0)
        return err_at(err, -EBADMSG, path, "is damaged: %s", answer);
    return 0;
}

static int read_head(sqlite3 *db, const char *path, struct backup_facts *ret, struct err *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    struct backup_facts f = { 0 };
    if (sqlite3_prepare_v2(db,
                           "SELECT version, program, identity, host, state, wall_us,"
                           " (SELECT count(*) FROM plimsoll_files) FROM plimsoll_backup",
                           -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW)
        return err_at(err, -EBADMSG, path, "is no whole backup: %s", sqlite3_errmsg(db));
    int64_t version = sqlite3_column_int64(stmt, 0);
    text_at(stmt, 1, f.version, sizeof(f.version));
    text_at(stmt, 2, f.identity, sizeof(f.identity));
    text_at(stmt, 3, f.host, sizeof(f.host));
    text_at(stmt, 4, f.state_dir, sizeof(f.state_dir));
    f.wall_us = sqlite3_column_int64(stmt, 5);
    f.files = sqlite3_column_int64(stmt, 6);
    int64_t layout = ask_number(db, "PRAGMA user_version");
    if (version > BACKUP_VERSION || layout > DATABASE_VERSION)
        return err_at(err, -EPROTO, path,
                      "was made by plimsoll %s, which is newer than this one (%s); restore it with "
                      "that one",
                      f.version, PLIMSOLL_VERSION);
    *ret = f;
    return 0;
}

int backup_check(const char *path, struct backup_facts *ret, struct err *err)
{
    _cleanup_db_ sqlite3 *db = NULL;
    struct stat st;
    if (stat(path, &st) < 0)
        return err_at(err, -errno, path, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_at(err, -EBADMSG, path, "is no file");
    int rc = open_db(path, SQLITE_OPEN_READONLY, &db, err);
    if (rc < 0)
        return rc;
    int64_t id = ask_number(db, "PRAGMA application_id");
    if (id != APPLICATION_ID)
        return err_at(err, -EBADMSG, path, "is no backup of plimsoll's%s",
                      id < 0 ? ", or it is damaged" : "");
    rc = check_whole(db, path, err);
    if (rc == 0)
        rc = read_head(db, path, ret, err);
    if (rc == 0)
        ret->bytes = st.st_size;
    return rc;
}

/* -- extracting -------------------------------------------------------------------------------- */

/* Ours are "NAME" and "FOLDER/NAME"; nothing may lead out of the directory. */
static bool is_safe(const char *name)
{
    const char *slash = strchr(name, '/');
    return name[0] && name[0] != '/' && (!slash || (slash[1] && !strchr(slash + 1, '/'))) &&
           !strstr(name, "..");
}

static int make_folder_of(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    return mkdir(folder, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *path, int mode, const void *bytes, size_t n)
{
    int rc = make_folder_of(path);
    if (rc < 0)
        return rc;
    _cleanup_close_ int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
    if (fd < 0)
        return -errno;
    for (size_t at = 0; at < n;) {
        ssize_t written = write(fd, (const char *)bytes + at, n - at);
        if (written < 0)
            return -errno;
        at += (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int extract_files(sqlite3 *db, const char *from, const char *directory, struct err *err)
{
    _cleanup_stmt_ sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT path, mode, bytes FROM plimsoll_files ORDER BY path",
                                -1, &stmt, NULL);
    while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        char name[256], path[PATH_MAX];
        text_at(stmt, 0, name, sizeof(name));
        if (!is_safe(name))
            return err_at(err, -EBADMSG, from, "has a file \"%s\" that no backup has", name);
        join(path, directory, name);
        int done = write_file(path, sqlite3_column_int(stmt, 1), sqlite3_column_blob(stmt, 2),
                              (size_t)sqlite3_column_bytes(stmt, 2));
        if (done < 0)
            return err_at(err, done, path, "cannot be written: %s", strerror(-done));
    }
    return sqlite3_errcode(db) == SQLITE_DONE || sqlite3_errcode(db) == SQLITE_OK
               ? 0
               : failed(db, from, "be read", err);
}

static int extract_db(sqlite3 *from, const char *directory, struct err *err)
{
    char path[PATH_MAX];
    _cleanup_db_ sqlite3 *to = NULL;
    join(path, directory, DATABASE);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_at(err, -errno, path, "cannot be written: %s", strerror(errno));
    close(fd);
    int rc = open_db(path, SQLITE_OPEN_READWRITE, &to, err);
    if (rc == 0)
        rc = copy_db(from, to, path, err);
    if (rc == 0 && sqlite3_exec(to,
                                "PRAGMA application_id=0; DROP TABLE plimsoll_files;"
                                " DROP TABLE plimsoll_backup; VACUUM",
                                NULL, NULL, NULL) != SQLITE_OK)
        rc = failed(to, path, "be written", err);
    return rc;
}

/* Files and folders of folders, which is all that there can be. */
static void remove_all(const char *directory)
{
    DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[PATH_MAX];
        join(path, directory, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlink(path) < 0 && errno == EISDIR)
            remove_all(path);
    }
    if (dir)
        closedir(dir);
    rmdir(directory);
}

int backup_extract(const char *path, const char *directory, struct err *err)
{
    _cleanup_db_ sqlite3 *db = NULL;
    if (mkdir(directory, 0755) < 0)
        return err_at(err, -errno, directory, "cannot be made: %s", strerror(errno));
    int rc = open_db(path, SQLITE_OPEN_READONLY, &db, err);
    if (rc == 0)
        rc = extract_db(db, directory, err);
    if (rc == 0)
        rc = extract_files(db, path, directory, err);
    if (rc < 0)
        remove_all(directory);
    return rc;
}
