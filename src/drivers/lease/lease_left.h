/* The lease that this state directory's last controller had: a file, STATE/lease. Who is killed
 * leaves its lease behind, and its successor, which knows that it is dead, ends that instead of
 * waiting for it. */
#pragma once

#include <stdint.h>

/* A lock on the directory that a process holds for as long as it lives, frozen or not, wherever it
 * can be seen from. -errno = another one lives, or there is no way to know; else a descriptor to
 * keep. */
int lease_left_lock(const char *state_dir);
/* 0 = none is known, or it was written before the machine's last boot, or in another directory, of
 * which this one is a copy: then somebody may live who holds it. */
int64_t lease_left_read(const char *state_dir);
/* 0 or -errno. */
int lease_left_write(const char *state_dir, int64_t lease);
