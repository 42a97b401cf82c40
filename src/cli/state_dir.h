/* Where a running plimsoll keeps its things, and how commands find it. */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* /var/lib/plimsoll as root; otherwise $XDG_STATE_HOME/plimsoll or ~/.local/state/plimsoll. */
int state_dir_default(char *ret, size_t cap, struct err *err);
/* Makes it with its parents. 0, 1 = it exists but cannot be written to, or an error. */
int state_dir_make(const char *path, struct err *err);
