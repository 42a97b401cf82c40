/* Services that engines themselves describe: the configuration that runs is the file's and theirs,
 * as one text of two documents. So it is compared, remembered in the journal and replayed as any
 * other. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

struct config;
struct controller;
struct discovery;

/* controller_load_config() of the file, and behind it what engines describe: as they last said or,
 * when they have not yet, as it was in the configuration that ran. What is wrong with a service
 * that was discovered is told (discovery_trouble): one that runs goes on as it was, and of others
 * it is left out; errors are the file's. */
int discovery_load(struct controller *c, struct arena *arena, struct config **ret,
                   struct err *errors, size_t errors_cap, size_t *ret_error_count);
/* driver_env.discovered: `ctx` is the controller. The running configuration follows on a later turn
 * of the loop, when plimsoll is neither starting nor stopping. */
void controller_rediscover(void *ctx);
/* What was left out, and why: the n-th place; NULL = there are not so many. */
const char *discovery_trouble(const struct controller *c, size_t n);
void discovery_close(struct controller *c);
