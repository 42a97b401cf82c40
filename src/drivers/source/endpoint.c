/* Reading addresses; whether somebody is there is others' to find out. */
#include "drivers/source/endpoint.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"

static int parse_unix(const char *path, struct endpoint *ret, struct err *err)
{
    if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, -EINVAL,
                       "\"%.120s\" is not a path of a Unix socket, as in "
                       "unix:/run/redis.sock",
                       path);
    fmt(ret->host, sizeof(ret->host), "%s", path);
    ret->port = 0;
    return 0;
}

/* Without the brackets of an IPv6 address. */
static int take_host(struct slice host, struct endpoint *ret)
{
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = (struct slice){ host.p + 1, host.n - 2 };
    if (host.n == 0 || host.n >= sizeof(ret->host) || memchr(host.p, '/', host.n) ||
        memchr(host.p, ' ', host.n) || (!bracketed && memchr(host.p, ':', host.n)))
        return -EINVAL;
    fmt(ret->host, sizeof(ret->host), "%.*s", (int)host.n, host.p);
    return 0;
}

int endpoint_parse(const char *text, uint16_t port, struct endpoint *ret, struct err *err)
{
    struct endpoint e = { .port = port };
    int64_t number = port;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret, err);
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');
    if (colon && bracket && colon < bracket)
        colon = NULL;
    struct slice host = { text, colon ? (size_t)(colon - text) : strlen(text) };
    bool good = (colon == NULL && port != 0) ||
                (colon && num_parse_i64(slice_of(colon + 1), &number) == 0 && number > 0 &&
                 number <= 65535 && colon[1] != '+');
    if (!good || take_host(host, &e) < 0)
        return err_set(err, -EINVAL, "\"%.120s\" is not an address, as in 127.0.0.1:%u", text,
                       port ? (unsigned)port : 8125u);
    e.port = (uint16_t)number;
    *ret = e;
    return 0;
}
