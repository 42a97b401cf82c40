/* Choosing ports. A port counts as free when it can be bound on all addresses of both families; the
 * instance binds it a moment later, and readiness checks that it was the instance who did. */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "drivers/process/process.h"
#include "sys/mem.h"

static bool can_bind(int family, uint16_t port)
{
    const int on = 1, off = 0;
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return family == AF_INET6; /* no IPv6 here: nobody can listen there */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* TIME_WAIT is no listener */
    if (family == AF_INET)
        return bind(fd, (struct sockaddr *)&v4, sizeof(v4)) == 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    return bind(fd, (struct sockaddr *)&v6, sizeof(v6)) == 0;
}

uint16_t process_choose_port(int64_t min, int64_t max, int64_t *next,
                             bool (*taken)(void *ctx, uint16_t port), void *ctx)
{
    int64_t count = max - min + 1;
    for (int64_t tried = 0; tried < count; tried++) {
        if (*next < min || *next > max)
            *next = min;
        uint16_t port = (uint16_t)(*next)++;
        if (!taken(ctx, port) && can_bind(AF_INET, port) && can_bind(AF_INET6, port))
            return port;
    }
    return 0;
}
