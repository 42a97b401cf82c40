/* `plimsoll status --watch`: the status on the whole screen, read again each second. */
#pragma once

struct options;

/* Until q. Returns the exit status. */
int watch(const struct options *o);
