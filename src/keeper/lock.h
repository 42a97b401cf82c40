/* Who this state directory is, and that only one keeper has it. Private to keeper/. */
#pragma once

#include <sys/types.h>

#include "base/err.h"

#define LOCK_IDENTITY_MAX 40
#define LOCK_HOLDER_UNKNOWN (-1)

/* The directory's identity: the same for all who open it, whatever they call it. 0 or -errno with a
 * text. */
int lock_identify(const char *state_dir, char ret[LOCK_IDENTITY_MAX], struct err *err);
/* The pid of the keeper that lives, or LOCK_HOLDER_UNKNOWN; 0 = none does. For processes that do
 * not hold the lock themselves. */
pid_t lock_holder(const char *state_dir, const char *identity);
/* 0; -EBUSY with a text when a keeper lives. For processes that do not hold the lock themselves. */
int lock_look(const char *state_dir, const char *identity, struct err *err);
/* Held until the process ends, however it ends; programs that it starts do not inherit it. 0, also
 * when it is ours already; -EBUSY with a text when another keeper lives. */
int lock_take(const char *state_dir, const char *identity, struct err *err);
/* As lock_take(), but blocks for as long as another keeper lives. */
int lock_wait(const char *state_dir, const char *identity, struct err *err);
