/* The controller process: wires drivers, core, store and admin together, and decides nothing
 * itself. This header is what the command line may use of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/err.h"

struct config;
struct schema_section;

struct controller_options {
    const char *config_path;
    const char *state_dir;
    const char *admin; /* NULL = what the configuration says */
};

/* Runs until the keeper goes away or everything has been stopped. The descriptor of the link to the
 * keeper is in PLIMSOLL_KEEPER_FD. Returns the process's exit status. */
int controller_main(const struct controller_options *options);

/* The sections that the drivers bring to the configuration, NULL-terminated: those of a service
 * that say how it is run, and those of its `sources`. */
const struct config_sections *controller_sections(void);

/* Reads a configuration file ("-" = standard input) with the drivers' sections. 0; -EINVAL with up
 * to `errors_cap` errors; another -errno when the file cannot be read (one error). */
int controller_load_config(struct arena *arena, const char *path, struct config **ret,
                           struct err *errors, size_t errors_cap, size_t *ret_error_count);

/* The same from memory; `path` is for the errors' places. */
int controller_parse_config(struct arena *arena, const char *path, const char *text, size_t bytes,
                            struct config **ret, struct err *errors, size_t errors_cap,
                            size_t *ret_error_count);

/* Feeds a journal (a file, or a directory of segments) to a fresh core and prints its decisions as
 * JSON lines. With `compare` they are held against the journal's own: returns 1 at the first that
 * differs (printed to stderr with both texts). 0 = done; -errno with `err`. */
int controller_replay(const char *journal_path, bool compare, FILE *out, struct err *err);

/* A line for each family of features built in: rules, balancing, drivers. */
void controller_features(FILE *out);
