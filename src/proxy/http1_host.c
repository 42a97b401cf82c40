/* uri-host [":" port], RFC 3986, 3.2.2, as Host and authority carry it. Syntax only. */
#include "proxy/http1_int.h"

#include <string.h>

/* Where the host ends: behind "]" of an IP literal, else at the colon. 0: not a host. */
static size_t name_bytes(struct slice host)
{
    if (host.n == 0)
        return 0;
    if (host.p[0] != '[') {
        const char *colon = memchr(host.p, ':', host.n);
        return colon ? (size_t)(colon - host.p) : host.n;
    }
    const char *bracket = memchr(host.p, ']', host.n);
    return bracket ? (size_t)(bracket - host.p) + 1 : 0;
}

struct slice http1_host_name(struct slice host)
{
    return (struct slice){ host.p, name_bytes(host) };
}

/* Hex groups, colons and dots between brackets; zones and IPvFuture are not for the wire. */
static bool literal_valid(struct slice name)
{
    size_t colons = 0;
    for (size_t i = 1; i + 1 < name.n; i++) {
        char c = name.p[i];
        colons += c == ':';
        if (c != ':' && c != '.' && !http1_is(c, HTTP1_HEX))
            return false;
    }
    return colons >= 2 && name.n <= 47;
}

static bool registered_name_valid(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '%') {
            if (name.n - i < 3 || !http1_is(name.p[i + 1], HTTP1_HEX) ||
                !http1_is(name.p[i + 2], HTTP1_HEX))
                return false;
            i += 2;
        } else if (!http1_is(name.p[i], HTTP1_HOST)) {
            return false;
        }
    }
    return true;
}

static bool port_valid(struct slice port)
{
    unsigned value = 0;
    for (size_t i = 0; i < port.n; i++) {
        if (!http1_is(port.p[i], HTTP1_DIGIT))
            return false;
        value = value * 10 + (unsigned)(port.p[i] - '0');
        if (value > 65535)
            return false;
    }
    return true;
}

bool http1_host_valid(struct slice host)
{
    struct slice name = http1_host_name(host);
    if (name.n == 0)
        return false;
    if (name.p[0] == '[' ? !literal_valid(name) : !registered_name_valid(name))
        return false;
    if (name.n == host.n)
        return true;
    return host.p[name.n] == ':' &&
           port_valid((struct slice){ host.p + name.n + 1, host.n - name.n - 1 });
}
