/* The database file as the writer sees it: opened and checked, the schema, the prepared statements.
 * Private to store/. Errors: -EBADMSG the file is corrupt, -EAGAIN somebody else has it locked,
 * -ENOSPC full, -EROFS not writable, -EIO anything else. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum db_stmt {
    DB_BEGIN,
    DB_COMMIT,
    DB_ROLLBACK,
    DB_PUT_DECISION,
    DB_PUT_EVENT,
    DB_PUT_INSTANCE,
    DB_PUT_SERIES,
    DB_GET_SERIES,
    DB_PUT_POINT,
    DB_NEXT_SERIES,
    DB_PRUNE_POINTS,
    DB_PRUNE_SERIES,
    DB_PRUNE_DECISIONS,
    DB_PRUNE_EVENTS,
    DB_PRUNE_INSTANCES,
    DB_PAGES,
    DB_STMT_MAX,
};

struct db {
    sqlite3 *handle; /* NULL = not open */
    sqlite3_stmt *stmt[DB_STMT_MAX];
};

/* With a text on failure; `db` is then closed. Checks the whole file: takes seconds for a large
 * one. */
int db_open(struct db *db, const char *path, int64_t bytes_max, struct err *err);
void db_close(struct db *db);
/* Out of the way with everything that belongs to it: <path>.corrupt-<time>. 0 or -errno. */
int db_set_aside(const char *path, int64_t wall_us, char *ret_path, size_t cap);

/* Runs a statement to its end. `types` has a letter per parameter: i int64_t, d double, t text (may
 * be NULL). 0 or an error as above. */
int db_run(struct db *db, enum db_stmt which, const char *types, ...);
/* The same for one that answers with one whole number; 1 = there was none. */
int db_ask(struct db *db, enum db_stmt which, int64_t *ret, const char *types, ...);
/* True when the file lies elsewhere now, or nowhere. */
bool db_has_moved(struct db *db);
const char *db_message(const struct db *db);
