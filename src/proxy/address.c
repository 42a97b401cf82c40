/* Reads the link's addresses. */
#include "proxy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include "base/num.h"
#include "base/str.h"

static int parse_unix(const char *path, struct address *ret)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(un.sun_path))
        return -EINVAL;
    memcpy(un.sun_path, path, n);
    *ret = (struct address){ .bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1) };
    memcpy(&ret->sa, &un, sizeof(un));
    return 0;
}

static int parse_tcp(const char *text, struct address *ret)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    int64_t port;
    if (!colon || (size_t)(colon - text) >= sizeof(host) ||
        num_parse_i64(slice_of(colon + 1), &port) < 0 || port < 1 || port > 65535)
        return -EINVAL;
    size_t n = (size_t)(colon - text);
    memcpy(host, text, n);
    host[n] = '\0';
    struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (inet_pton(AF_INET, host, &in4.sin_addr) == 1) {
        *ret = (struct address){ .bytes = sizeof(in4) };
        memcpy(&ret->sa, &in4, sizeof(in4));
        return 0;
    }
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    if (n < 3 || host[0] != '[' || host[n - 1] != ']')
        return -EINVAL;
    host[n - 1] = '\0';
    if (inet_pton(AF_INET6, host + 1, &in6.sin6_addr) != 1)
        return -EINVAL;
    *ret = (struct address){ .bytes = sizeof(in6) };
    memcpy(&ret->sa, &in6, sizeof(in6));
    return 0;
}

int address_parse(const char *text, struct address *ret)
{
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret);
    if (strncmp(text, "tcp:", 4) == 0)
        return parse_tcp(text + 4, ret);
    return -EINVAL;
}
