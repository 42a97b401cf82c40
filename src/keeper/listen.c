/* Binding. The first socket of a TCP listener is bound and listens without SO_REUSEPORT: that fails
 * when anyone else listens there, be it with SO_REUSEPORT. Only then it gets the option, so that
 * its siblings can join it; no connection is lost in between, because it is never closed. */
#include "keeper/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/num.h"
#include "sys/mem.h"

#define BACKLOG 65535 /* the kernel cuts it to net.core.somaxconn */

struct place {
    struct sockaddr_storage address;
    socklen_t bytes;
};

static size_t socket_count(const struct listeners *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->count; i++)
        n += (size_t)l->items[i].fd_count;
    return n;
}

static struct listener *find(struct listeners *l, const char *address)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].asked, address) == 0 || strcmp(l->items[i].bound, address) == 0)
            return &l->items[i];
    return NULL;
}

static void close_fds(struct listener *item)
{
    for (int i = 0; i < item->fd_count; i++)
        close(item->fds[i]);
    item->fd_count = 0;
}

static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* --- reading addresses --- */

static int wildcard(uint16_t port, int family, struct place *ret)
{
    if (family == AF_INET6) {
        struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        memcpy(&ret->address, &a, ret->bytes = sizeof(a));
    } else {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
        memcpy(&ret->address, &a, ret->bytes = sizeof(a));
    }
    return 0;
}

static int numeric(const char *host, const char *port, struct place *ret)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -EINVAL;
    memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
    ret->bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* `family` is what a wildcard becomes. */
static int read_tcp(const char *address, int family, struct place *ret)
{
    char host[LISTEN_ADDRESS_MAX];
    const char *colon = strrchr(address, ':');
    int64_t port;
    if (strncmp(address, "tcp:", 4) != 0 || colon < address + 4 ||
        num_parse_i64(slice_of(colon + 1), &port) < 0 || port < 0 || port > 65535)
        return -EINVAL;
    size_t n = (size_t)(colon - (address + 4));
    memcpy(host, address + 4, n);
    host[n] = '\0';
    if (strcmp(host, "*") == 0 || n == 0)
        return wildcard((uint16_t)port, family, ret);
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        memmove(host, host + 1, n - 1);
    }
    return numeric(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, ret);
}

/* --- binding --- */

static int bind_one(const struct place *place, bool share, int *ret_fd)
{
    const int on = 1, off = 0;
    int family = place->address.ss_family;
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted ones inherit it */
        if (share)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (bind(fd, (const struct sockaddr *)&place->address, place->bytes) < 0 ||
        listen(fd, BACKLOG) < 0)
        return -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static void name_bound(struct listener *item, const struct place *place)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&place->address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&place->address;
    unsigned port = ntohs(place->address.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
    int host_bytes = (int)(strrchr(item->asked, ':') - item->asked);
    fmt(item->bound, sizeof(item->bound), "%.*s:%u", host_bytes, item->asked, port);
}

static int bind_tcp(struct listener *item, int sockets)
{
    const int on = 1;
    struct place place = { 0 };
    int rc = read_tcp(item->asked, AF_INET6, &place);
    if (rc == 0)
        rc = bind_one(&place, false, &item->fds[0]);
    if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL) { /* no IPv6 here */
        rc = read_tcp(item->asked, AF_INET, &place);
        if (rc == 0)
            rc = bind_one(&place, false, &item->fds[0]);
    }
    if (rc < 0)
        return rc;
    item->fd_count = 1;
    place.bytes = sizeof(place.address);
    getsockname(item->fds[0], (struct sockaddr *)&place.address, &place.bytes);
    name_bound(item, &place);
    setsockopt(item->fds[0], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    for (; item->fd_count < sockets; item->fd_count++) {
        rc = bind_one(&place, true, &item->fds[item->fd_count]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A socket file that nobody answers at is left over from a process that was killed. */
static int clear_stale(const struct place *place, const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&place->address, place->bytes) == 0 ||
        errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(path) < 0 ? -errno : 0;
}

static int bind_unix(struct listener *item, const char *path)
{
    struct place place = { 0 };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!str_copy(a.sun_path, sizeof(a.sun_path), path))
        return -ENAMETOOLONG;
    memcpy(&place.address, &a, place.bytes = sizeof(a));
    int rc = clear_stale(&place, path);
    if (rc == 0)
        rc = bind_one(&place, false, &item->fds[0]);
    if (rc < 0)
        return rc;
    item->fd_count = 1;
    chmod(path, 0666);
    memcpy(item->bound, item->asked, sizeof(item->bound));
    return 0;
}

static int explain(struct err *err, int rc, const char *address)
{
    switch (-rc) {
    case EADDRINUSE:
        return err_set(err, rc,
                       "address already in use by another process: %s; stop it or choose another "
                       "listen address",
                       address);
    case EACCES:
    case EPERM:
        return err_set(err, rc,
                       "not allowed to listen on %s: ports below 1024 need root or "
                       "CAP_NET_BIND_SERVICE, a Unix socket a directory one may write to",
                       address);
    case EADDRNOTAVAIL:
        return err_set(err, rc, "this machine has no such address: %s; choose one of its own or *",
                       address);
    case EINVAL:
        return err_set(err, rc,
                       "not an address to listen on: %s; it is HOST:PORT with a numeric "
                       "host, or unix:/path",
                       address);
    case EEXIST:
        return err_set(err, rc, "%s exists and is not a socket: remove it or choose another path",
                       address);
    default:
        return err_set(err, rc, "cannot listen on %s: %s", address, strerror(-rc));
    }
}

int listeners_open(struct listeners *l, const char *address, int sockets,
                   const struct listener **ret, struct err *err)
{
    struct listener *item = find(l, address);
    if (item) {
        *ret = item;
        return 0;
    }
    const char *path = unix_path(address);
    size_t wanted = path ? 1 : (size_t)(sockets > 0 ? sockets : 1);
    if (l->count == LISTEN_MAX || wanted > LINK_FDS_MAX - socket_count(l))
        return err_set(err, -ENOBUFS,
                       "no room for %s: all listeners together have at most %d "
                       "sockets, one for each loop of the proxy",
                       address, LINK_FDS_MAX);
    item = &l->items[l->count];
    *item = (struct listener){ 0 };
    if (!str_copy(item->asked, sizeof(item->asked), address))
        return err_set(err, -ENAMETOOLONG, "listen address too long: %s", address);
    int rc = path ? bind_unix(item, path) : bind_tcp(item, (int)wanted);
    if (rc < 0) {
        close_fds(item);
        return explain(err, rc, address);
    }
    l->count++;
    *ret = item;
    return 0;
}

int listeners_adopt(struct listeners *l, const char *address, int fd)
{
    struct listener *item = find(l, address);
    if (socket_count(l) == LINK_FDS_MAX || (!item && l->count == LISTEN_MAX))
        return -ENOBUFS;
    if (!item) {
        item = &l->items[l->count];
        *item = (struct listener){ 0 };
        if (!str_copy(item->asked, sizeof(item->asked), address))
            return -ENAMETOOLONG;
        memcpy(item->bound, item->asked, sizeof(item->bound));
        l->count++;
    }
    item->fds[item->fd_count++] = fd;
    return 0;
}

static void drop(struct listener *item, bool unlink_file)
{
    const char *path = unix_path(item->bound);
    close_fds(item);
    if (path && unlink_file)
        unlink(path);
}

bool listeners_close(struct listeners *l, const char *address)
{
    struct listener *item = find(l, address);
    if (!item)
        return false;
    drop(item, true);
    size_t behind = (size_t)(&l->items[l->count] - (item + 1));
    memmove(item, item + 1, behind * sizeof(*item));
    l->count--;
    return true;
}

void listeners_done(struct listeners *l, bool unlink_files)
{
    for (size_t i = 0; i < l->count; i++)
        drop(&l->items[i], unlink_files);
    l->count = 0;
}

void listeners_fill(const struct listeners *l, struct link_msg *m)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct listener *item = &l->items[i];
        for (int k = 0; k < item->fd_count; k++) {
            m->list[m->list_count++] = slice_of(item->bound);
            m->fds[m->fd_count++] = item->fds[k];
        }
    }
}
