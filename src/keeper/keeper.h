/* The keeper: what `plimsoll run` becomes. It holds what must not be lost - listening sockets and
 * children - and starts again what dies of them. It decides nothing and parses nothing but link
 * messages. */
#pragma once

#include <stddef.h>

struct keeper_options {
    const char *state_dir; /* exists; absolute */
    /* How /proc/self/exe is run as the controller and as the proxy; argv, NULL at the end. The
     * environment has PLIMSOLL_KEEPER_FD, the role's end of its link to the keeper. */
    const char *const *controller_argv;
    const char *const *proxy_argv; /* NULL = plimsoll --proxy */
};

struct err;

/* Is no keeper running on that state directory? 0, or -EBUSY with a text that says who and what to
 * do; another -errno when the directory cannot be used at all. */
int keeper_is_free(const char *state_dir, struct err *err);

/* Blocks until no other keeper has the state directory, however the last one ended, and has it for
 * this process from then on: keeper_main() goes on with it. Whom it waits for is logged, and told
 * to a service manager; SIGTERM and SIGINT end the process, with nothing to clean up. 0 or -errno
 * with a text. */
int keeper_stand_by(const char *state_dir, struct err *err);

/* What the directory is called in tokens. 0 or -errno with a text. */
int keeper_identity(const char *state_dir, char *ret, size_t cap, struct err *err);
/* A restored directory goes on under the name of the one that was lost. 0 or -errno with a text. */
int keeper_inherit(const char *state_dir, const char *identity, struct err *err);

/* How many instances run on from a keeper that is gone (`stop --detach`, kill -9). */
size_t keeper_left_running(const char *state_dir);

/* Runs until everything has ended; returns the exit status. */
int keeper_main(const struct keeper_options *options);
