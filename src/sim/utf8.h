/* Text that people see comes from files of any encoding: what is not UTF-8 is replaced. */
#pragma once

#include "base/str.h"

/* How many bytes the well-formed character at the begin has; 0 = none stands there (a NUL is
 * none). Unicode 15, table 3-7. */
size_t utf8_length(struct slice text);
/* Adds whole characters as long as they fit; each bad byte becomes U+FFFD. */
void utf8_put(struct str *s, struct slice text);
