/* Small files that are there in whole or not at all. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Writes it aside, as PATH.new, and then gives it its name; a file of that name is replaced. With
 * `durable` what it holds is on the disk before that. 0, or -errno and all is as it was. */
int file_replace(const char *path, const void *bytes, size_t count, mode_t mode, bool durable);
