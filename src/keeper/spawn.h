/* Starting one program: fork, settle everything about the new process, exec. Whatever fails on the
 * way is told to the caller in words. Private to keeper/. */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"
#include "keeper/token.h"

enum spawn_limit {
    SPAWN_OPEN_FILES,
    SPAWN_MEMORY,
    SPAWN_PROCESSES,
    SPAWN_CORE,
    SPAWN_LIMIT_MAX,
};

struct spawn {
    const char *exe;         /* NULL = argv[0], looked for in the PATH of `env` */
    const char *const *argv; /* NULL at the end, as env */
    const char *const *env;
    const struct token_key *key; /* signs the token for whoever the process becomes */
    const char *token;           /* NAME/META */
    const char *directory;       /* "" = stay; likewise user and group */
    const char *user;
    const char *group;
    const char *log_path;     /* of stdout and stderr, appended; no stdin; NULL = as we are */
    int keep_fd;              /* the one descriptor beyond stderr that survives; -1 = none */
    bool powerless;           /* no capability and no way to any */
    struct rlimit open_files; /* set first; see also limits */
    int64_t limits[SPAWN_LIMIT_MAX]; /* both soft and hard; -1 = leave */
};

/* The new process leads a session and a process group of its own and has default signals. Returns
 * its pid, and a descriptor that becomes readable once it is known how that went: only then does
 * the program run. The process is a child in any case. Or -errno with a text for a person. */
pid_t spawn_start(const struct spawn *s, int *ret_fd, struct err *err);
/* Closes the descriptor, once it is readable. 0: the program runs, or was killed before it could;
 * -errno with a text: it cannot be run, and the process ends. */
int spawn_result(int fd, struct err *err);
/* The same, for those who wait; -ETIMEDOUT. */
int spawn_wait(int fd, int timeout_ms, struct err *err);
