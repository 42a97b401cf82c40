/* "10.0.0.0/8", "fd00::/8", "127.0.0.1" -> a network as the proxy compares it. */
#pragma once

#include "link/snapshot.h"

/* 0 or -EINVAL. */
int network_parse(const char *text, struct snapshot_network *ret);
