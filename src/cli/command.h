/* One subcommand: a const entry in its own cmd_*.c, listed once in main.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "cli/options.h"

/* Exit statuses, the same for all commands. */
enum command_exit {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1,
    COMMAND_USAGE = 2,       /* the command line or the configuration is wrong */
    COMMAND_NOT_RUNNING = 3, /* no plimsoll was found to talk to */
};

struct command {
    const char *name;
    const char *summary;               /* one line, no full stop */
    const char *arguments;             /* "SERVICE N"; "" = none */
    const char *details;               /* paragraphs for --help; NULL = none */
    const char *examples;              /* lines, each "  plimsoll ...\n" */
    const struct option_spec *options; /* its own; NULL = none */
    bool remote;        /* talks to a running plimsoll: has --admin, --state, --token-file */
    bool takes_command; /* has something behind `--` */
    size_t words_min, words_max;
    int (*run)(const struct options *o); /* the exit status */
};

extern const struct command *const command_all[]; /* NULL-terminated, in the order of --help */
extern const struct command command_run, command_check, command_diff, command_status, command_why,
    command_events, command_logs, command_scale, command_pause, command_resume, command_drain,
    command_protect, command_restart, command_reload, command_replay, command_stop, command_test,
    command_simulate, command_score, command_tune, command_capacity, command_config_reference,
    command_version, command_help, command_backup, command_restore;

const struct command *command_find(const char *name); /* NULL when unknown */
void command_print_list(void);                        /* `plimsoll help` */
void command_print_help(const struct command *c);     /* `plimsoll COMMAND --help` */
/* "plimsoll: TEXT" on stderr; returns `exit_status`. */
int command_fail(int exit_status, const char *format, ...) _printf_(2, 3);
int command_fail_err(int exit_status, const struct err *err);
int command_fail_unknown(const char *name);
