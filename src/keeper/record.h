/* Records: a small file per instance in STATE/keeper/, so that the next keeper knows what the last
 * one started. Where one cannot be written, the tokens in /proc have to do. Private to keeper/. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "keeper/token.h"

struct record {
    pid_t pid;
    uint64_t start_ticks;
    char meta[TOKEN_TEXT_MAX];
};

/* Makes STATE/keeper. 0 or -errno. */
int record_init(const char *state_dir);
int record_write(const char *state_dir, const char *name, const struct record *r);
void record_remove(const char *state_dir, const char *name);
/* 0, or -ENOENT: there is none of this boot. */
int record_read(const char *state_dir, const char *name, struct record *ret);
