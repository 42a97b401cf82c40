/* Time zones as the system has them, turned into data for the core: the transitions from a year ago
 * to ten years ahead. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/cron.h"

#define ZONE_FILE_BYTES_MAX ((size_t)256 * 1024)

/* A TZif file's content (RFC 8536, version 2 and later), with its footer's rule expanded. `zone`
 * has its name already. -EINVAL: not such a file. */
int zone_parse(const unsigned char *data, size_t bytes, int64_t now_wall_s, struct zone_conf *zone);

/* The zone's file from $TZDIR or /usr/share/zoneinfo; "UTC" is built in. -EINVAL with a text. */
int zone_load(const char *name, int64_t now_wall_s, struct zone_conf *ret, struct err *err);
