/* Who this state directory is, and that only one keeper has it. Private to keeper/. */
#pragma once

#include "base/err.h"

#define LOCK_IDENTITY_MAX 40

/* The directory's identity: the same for all who open it, whatever they call it. 0 or -errno with a
 * text. */
int lock_identify(const char *state_dir, char ret[LOCK_IDENTITY_MAX], struct err *err);
/* 0; -EBUSY with a text when a keeper lives. For processes that do not hold the lock themselves. */
int lock_look(const char *state_dir, const char *identity, struct err *err);
/* Held until the process ends, however it ends; children do not inherit it. 0; -EBUSY with a text
 * when another keeper lives. */
int lock_take(const char *state_dir, const char *identity, struct err *err);
