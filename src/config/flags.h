/* A configuration from the command line: what `plimsoll run` was told in flags becomes the YAML
 * text that says the same, so that there is one reader, one set of checks and one set of defaults.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/* As typed, all of them; NULL = not given. Only the shape is checked here (KEY=VALUE, a word among
 * few); values are config_parse()'s business. */
struct config_flags {
    const char *const *listen; /* ":8080", ...; at least one, but for `swarm` */
    size_t listen_count;
    const char *name;     /* default: the command's program, as a name */
    const char *protocol; /* http, tcp */
    const char *balance;
    const char *min, *max;
    const char *max_concurrency;
    const char *queue_deadline;
    const char *drain;
    const char *const *target; /* "concurrency=20", "cpu=60%" */
    size_t target_count;
    const char *ready; /* "/path", "tcp" */
    const char *ready_within;
    const char *admin;
    const char *state;
    const char *const *env; /* "KEY=VALUE" */
    size_t env_count;
    bool swarm; /* the services are those of a Docker Swarm that say so by labels: no command */
    const char *const *command; /* program and arguments; at least one, but for `swarm` */
    size_t command_count;
};

/* The YAML text into `out` (64 KiB is plenty for any command line that a person types).
 * -EINVAL: a flag is not of its form; `err` names it. -ENOBUFS: `out` is too small. */
int config_from_flags(const struct config_flags *flags, struct str *out, struct err *err);
