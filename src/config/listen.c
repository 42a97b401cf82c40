/* Addresses as people write them: listeners, the admin address, networks. Owns their canonical
 * spelling; opens nothing and resolves no names, so that a configuration means the same everywhere.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "base/num.h"
#include "config/tables.h"

#define ADDRESS_FORMS "\":8080\", \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\""

static int canonical_unix(const char *path, char *ret, size_t cap, struct err *err)
{
    struct str s;
    if (path[0] != '/')
        return err_set(err, -EINVAL, "unix:%.60s is not an absolute path", path);
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, -EINVAL, "the path of a Unix socket has at most %zu bytes",
                       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    str_init(&s, ret, cap);
    str_putf(&s, "unix:%s", path);
    return 0;
}

/* The host part into the library's spelling: "*", "127.0.0.1" or "[::1]". */
static int canonical_host(struct slice host, char *ret, size_t cap)
{
    unsigned char binary[16];
    char text[64];
    struct str s;
    bool brackets = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    str_init(&s, ret, cap);
    if (host.n == 0 || slice_eq(host, SLICE("*"))) {
        str_put(&s, "*");
        return 0;
    }
    if (slice_eq(host, SLICE("localhost"))) {
        str_put(&s, "127.0.0.1");
        return 0;
    }
    if (brackets)
        host = (struct slice){ host.p + 1, host.n - 2 };
    if (host.n >= sizeof(text))
        return -EINVAL;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    int family = brackets ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, binary) != 1 || !inet_ntop(family, binary, text, sizeof(text)))
        return -EINVAL;
    str_putf(&s, brackets ? "[%s]" : "%s", text);
    return 0;
}

int config_canonical_listener(const char *text, char *ret, size_t cap, struct err *err)
{
    char host[80];
    int64_t port;
    struct str s;
    if (strncmp(text, "unix:", 5) == 0)
        return canonical_unix(text + 5, ret, cap, err);
    const char *colon = strrchr(text, ':');
    struct slice address = { text, colon ? (size_t)(colon - text) : 0 };
    const char *digits = colon ? colon + 1 : text;
    if (num_parse_i64(slice_of(digits), &port) < 0 || digits[0] == '+')
        return err_set(err, -EINVAL, "\"%.60s\" is not an address; write " ADDRESS_FORMS, text);
    if (port < 0 || port > 65535)
        return err_set(err, -EINVAL, "port %lld is out of range; a port is 0..65535",
                       (long long)port);
    if (canonical_host(address, host, sizeof(host)) < 0)
        return err_set(err, -EINVAL, "\"%.*s\" is not an IP address; write " ADDRESS_FORMS,
                       (int)MIN(address.n, 60), text);
    str_init(&s, ret, cap);
    str_putf(&s, "tcp:%s:%lld", host, (long long)port);
    return 0;
}

bool config_listeners_overlap(const char *a, const char *b)
{
    const char *port_a = strrchr(a, ':'), *port_b = strrchr(b, ':');
    if (strcmp(a, b) == 0 || strncmp(a, "tcp:", 4) != 0 || strncmp(b, "tcp:", 4) != 0)
        return false;
    if (strcmp(port_a, port_b) != 0 || strcmp(port_a, ":0") == 0)
        return false;
    return a[4] == '*' || b[4] == '*' || strncmp(a + 4, "0.0.0.0:", 8) == 0 ||
           strncmp(b + 4, "0.0.0.0:", 8) == 0;
}

bool config_listener_is_loopback(const char *canonical)
{
    return strncmp(canonical, "unix:", 5) == 0 || strncmp(canonical, "tcp:127.", 8) == 0 ||
           strncmp(canonical, "tcp:[::1]:", 10) == 0;
}

int config_check_network(const char *text, struct err *err)
{
    unsigned char binary[16];
    char address[64];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    int64_t bits = 0;
    if (n >= sizeof(address))
        return err_set(err, -EINVAL, "\"%.60s\" is not a network", text);
    memcpy(address, text, n);
    address[n] = '\0';
    bool v4 = inet_pton(AF_INET, address, binary) == 1;
    if (!v4 && inet_pton(AF_INET6, address, binary) != 1)
        return err_set(err, -EINVAL, "\"%.60s\" is not a network; write \"10.0.0.0/8\" or \"::1\"",
                       text);
    if (slash &&
        (num_parse_i64(slice_of(slash + 1), &bits) < 0 || bits < 0 || bits > (v4 ? 32 : 128)))
        return err_set(err, -EINVAL, "\"%.60s\": the prefix is 0..%d bits", text, v4 ? 32 : 128);
    return 0;
}
