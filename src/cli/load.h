/* Reading a configuration for a command: what is wrong with it goes to stderr, with the lines. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define LOAD_ARENA_BYTES ((size_t)64 * 1024 * 1024)
#define LOAD_ERRORS_MAX 32

struct config;

/* 0, or a negative errno after every error has been printed as "file:line:column: what", with the
 * offending line below it. */
int load_config(struct arena *arena, const char *path, struct config **ret);
/* The same of a text that is no file; `name` stands in the errors' places. */
int load_text(struct arena *arena, const char *name, const struct str *text, struct config **ret);
/* "shop.yaml:3:9: unknown key ..." and the line with a caret. */
void load_print_error(const char *path, const struct err *error);
