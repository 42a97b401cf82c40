/* A recorded load from a file or standard input, for the commands that replay one. */
#pragma once

#include "sim/trace/trace.h"

/* "-" = standard input. Rows that were not taken go to stderr as "file:line: reason", the first of
 * them one by one and all as a number, and so do steps that are missing; *ret_bad says how many of
 * both there are (may be NULL). 0 or -Exxx. */
int trace_file_read(const char *path, struct trace *ret, uint64_t *ret_bad, struct err *err);
