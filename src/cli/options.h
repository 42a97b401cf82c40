/* Command lines, read by tables: a command lists its options once, and parsing, --help and the
 * nearest-name hints all come from that list. It must never know what an option means. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define OPTIONS_GIVEN_MAX 128
#define OPTIONS_TABLES_MAX 4

struct option_spec {
    const char *name;  /* "admin": written --admin V or --admin=V */
    char letter;       /* 'f': written -f V; 0 = none */
    const char *value; /* "ADDR", as --help shows it; NULL = a switch */
    const char *help;  /* ends with "repeatable": it makes a list; others are refused twice */
};

struct option_given {
    const struct option_spec *spec;
    const char *value; /* NULL for a switch */
};

/* What was on one command line. All texts belong to argv. */
struct options {
    const struct option_spec *tables[OPTIONS_TABLES_MAX]; /* each ends with a spec without name */
    size_t table_count;
    struct option_given given[OPTIONS_GIVEN_MAX];
    size_t given_count;
    const char *words[OPTIONS_GIVEN_MAX]; /* what is not an option */
    size_t word_count;
    char **rest; /* behind `--`; NULL = there was no `--` */
    size_t rest_count;
};

void options_init(struct options *o);
void options_add_table(struct options *o, const struct option_spec *table);
/* argv without the program's and the command's name. 0, or -EINVAL with a text that names the
 * nearest option when one is unknown. */
int options_parse(struct options *o, int argc, char **argv, struct err *err);

/* The value (of a list: the first), or NULL; the name must be in one of the tables. */
const char *options_text(const struct options *o, const char *name);
bool options_flag(const struct options *o, const char *name);
/* 0 and *ret untouched when absent; -EINVAL when it is no whole number in [min, max]. */
int options_int(const struct options *o, const char *name, int64_t min, int64_t max, int64_t *ret,
                struct err *err);

/* The name closest to `wrong` of `count`, NULL when none is close enough to be meant. */
const char *options_nearest(const char *wrong, const char *const *names, size_t count);
