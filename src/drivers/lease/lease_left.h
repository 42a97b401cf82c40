/* The lease that this state directory's last controller had: a file, STATE/lease. Who is killed
 * leaves its lease behind, and its successor, which knows that it is dead, ends that instead of
 * waiting for it. */
#pragma once

#include <stdint.h>

/* 0 = none is known, or it was written before the machine's last boot, or in another directory, of
 * which this one is a copy: then somebody may live who holds it. */
int64_t lease_left_read(const char *state_dir);
/* 0 or -errno. */
int lease_left_write(const char *state_dir, int64_t lease);
