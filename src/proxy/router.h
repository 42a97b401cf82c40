/* Which service a request is for: host (exact before wildcard before any), then longest path. */
#pragma once

#include "base/str.h"

struct service;
struct site;

/* NULL with *ret_status = 404 or 421 when there is none. `host` is without port. */
struct service *router_find(const struct site *site, struct slice host, struct slice path,
                            int *ret_status);
