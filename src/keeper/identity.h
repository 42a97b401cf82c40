/* The name under which a state directory is known: in tokens, and to the proxy. It is the
 * directory's device and inode, so that nothing has to be kept; one that was restored from a backup
 * goes on under the name of the one that was lost. Private to keeper/. */
#pragma once

#include <stdbool.h>

#include "keeper/lock.h"

/* `own` is what the directory would be called. True: it has inherited another name. */
bool identity_inherited(const char *state_dir, const char *own, char ret[LOCK_IDENTITY_MAX]);
