/* Backups of a state directory: one SQLite file that has the whole database and, in a table of its
 * own, the files that a restored controller needs. Made while plimsoll runs; restored while it does
 * not. Nothing here starts, stops or looks for processes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct backup_facts {
    char version[32];  /* of the program that made it */
    char identity[64]; /* of the state directory, as the keeper names it */
    char host[64];
    char state_dir[256];
    int64_t wall_us;
    int64_t bytes; /* of the backup */
    int64_t files;
};

/* Writes `path` (0600) in place of what a backup of that name was before, whole or not at all.
 * `identity` and `host` are noted in it. -ENOENT: there is no state in the directory; -EEXIST:
 * there is a file of that name that is no backup. Blocks for as long as it takes. */
int backup_write(const char *state_dir, const char *path, const char *identity, const char *host,
                 struct backup_facts *ret, struct err *err);

/* Is it a backup, whole, and of a layout that is known? -EBADMSG and -EPROTO with a text. */
int backup_check(const char *path, struct backup_facts *ret, struct err *err);

/* Makes `directory` of it, which must not be there yet. On failure what had been made is removed
 * again. */
int backup_extract(const char *path, const char *directory, struct err *err);
