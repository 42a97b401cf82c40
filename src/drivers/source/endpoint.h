/* Where a server is: "127.0.0.1:6379", "[::1]:6379", "redis.internal:6379", "unix:/run/redis.sock".
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct endpoint {
    char host[256]; /* a name or an address; of a Unix socket the path */
    uint16_t port;  /* 0 = a Unix socket */
};

/* -EINVAL with a text. A port that is missing is `port`, unless that is 0: then it must be there.
 */
int endpoint_parse(const char *text, uint16_t port, struct endpoint *ret, struct err *err);
