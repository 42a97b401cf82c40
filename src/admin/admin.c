/* The two listening sockets and the HTTP servers behind them, on the caller's loop. Who may listen
 * where is decided here; what a request may do, in http.c. */
#include "admin/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin_int.h"
#include "base/str.h"
#include "base/us.h"
#include "sys/clock.h"
#include "sys/mem.h"

#define CONNECTIONS_MAX 64u
#define IDLE_S 30u
#define CONNECTION_BYTES ((size_t)64 * 1024)
#define DYING_US (2 * US_PER_S) /* a killed process lets go of what it has open at its very end */
#define DYING_LOOK_MS 10

static int start_server(struct admin_side *side, int listen_fd, struct err *err)
{
    side->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, admin_http_accept, side, MHD_OPTION_LISTEN_SOCKET, listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, admin_http_done, side, MHD_OPTION_END);
    if (!side->daemon) {
        close(listen_fd);
        return err_set(err, -EIO, "the admin server cannot start");
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(side->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event watch = { .events = EPOLLIN };
    if (!info || epoll_ctl(side->admin->epoll, EPOLL_CTL_ADD, info->epoll_fd, &watch) < 0) {
        MHD_stop_daemon(side->daemon);
        side->daemon = NULL;
        return err_set(err, -EIO, "the admin server cannot be watched");
    }
    return 0;
}

static void side_free(struct admin_side *side)
{
    if (!side)
        return;
    if (side->daemon)
        MHD_stop_daemon(side->daemon); /* closes its sockets, and so leaves our epoll */
    explicit_bzero(side->token, sizeof(side->token));
    free(side);
}

static struct admin_side *side_new(struct admin *a)
{
    struct admin_side *side = calloc(1, sizeof(*side));
    if (side)
        side->admin = a;
    return side;
}

/* A reload may come in over the very server that it replaces, and still wants its answer. */
static void retire(struct admin *a, struct admin_side *side)
{
    if (!side)
        return;
    int fd = MHD_quiesce_daemon(side->daemon);
    mem_closep(&fd);
    side->next = a->retired;
    a->retired = side;
}

static void run_retired(struct admin *a)
{
    for (struct admin_side **at = &a->retired; *at;) {
        struct admin_side *side = *at;
        MHD_run(side->daemon);
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(side->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        if (info && info->num_connections > 0) {
            at = &side->next;
        } else {
            *at = side->next;
            side_free(side);
        }
    }
}

static bool is_open(const struct sockaddr_un *address)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN;
}

/* A socket file that nobody answers on is left from a controller that was killed. */
static int remove_stale(const struct sockaddr_un *address, struct err *err)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_at(err, -EEXIST, address->sun_path, "this is in the way and no socket");
    if (is_open(address))
        return err_at(err, -EADDRINUSE, address->sun_path, "another plimsoll answers here");
    if (unlink(address->sun_path) < 0)
        return err_at(err, -errno, address->sun_path, "left from an earlier controller: %s",
                      strerror(errno));
    return 0;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    str_copy(address.sun_path, sizeof(address.sun_path), path);
    return address;
}

/* A controller that was killed has its socket open until nothing is left of it. Whose it is
 * otherwise, is said later. */
static void wait_for_dying(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int64_t until_us = clock_now_us() + DYING_US;
    while (is_open(&address) && clock_now_us() < until_us)
        poll(NULL, 0, DYING_LOOK_MS);
}

static int listen_local(const char *path, int *ret_fd, struct err *err)
{
    struct sockaddr_un address = address_of(path);
    int rc = remove_stale(&address, err);
    if (rc < 0)
        return rc;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_at(err, -errno, path, "%s", strerror(errno));
    /* Nobody can connect before listen(). */
    if (chmod(path, 0600) < 0 || listen(fd, 64) < 0)
        return err_at(err, -errno, path, "%s", strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* "127.0.0.1:7575", "[::1]:7575", "localhost:7575", ":7575" into host (brackets kept) and port. */
static int split_address(const char *text, char *host, size_t host_cap, const char **ret_port,
                         struct err *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (!colon || !colon[1] || n >= host_cap ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return err_at(err, -EINVAL, "admin",
                      "%s is no address: write 127.0.0.1:7575 or "
                      "[::1]:7575",
                      text);
    memcpy(host, text, n);
    host[n] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static int resolve(const char *text, const char *host, const char *port, struct addrinfo **ret,
                   struct err *err)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                              .ai_socktype = SOCK_STREAM };
    char bare[128];
    size_t n = strlen(host);
    bool v6 = n > 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(bare, sizeof(bare), "%.*s", (int)(v6 ? n - 2 : n), v6 ? host + 1 : host);
    const char *node = strcmp(bare, "localhost") == 0 ? "127.0.0.1" : bare;
    int rc = getaddrinfo(*node ? node : "0.0.0.0", port, &hints, ret);
    if (rc != 0)
        return err_at(err, -EINVAL, "admin", "%s: %s", text, gai_strerror(rc));
    return 0;
}

static int listen_tcp(const char *text, const char *token, char *host, size_t host_cap, int *ret_fd,
                      struct err *err)
{
    struct addrinfo *found;
    const char *port = "";
    int rc = split_address(text, host, host_cap, &port, err);
    if (rc == 0)
        rc = resolve(text, host, port, &found, err);
    if (rc < 0)
        return rc;
    struct sockaddr_storage address = { 0 };
    socklen_t bytes = found->ai_addrlen;
    memcpy(&address, found->ai_addr, bytes);
    freeaddrinfo(found);
    const struct sockaddr *generic = (const void *)&address;
    if (!is_loopback(generic) && !(token && *token))
        return err_at(err, -EPERM, "admin",
                      "%s can be reached from outside: that needs a token "
                      "(admin-token-file), or choose 127.0.0.1",
                      text);
    _cleanup_close_ int fd =
        socket(generic->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, generic, bytes) < 0 || listen(fd, 64) < 0)
        return err_at(err, -errno, "admin", "%s: %s", text, strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static bool is_off(const char *address)
{
    return !address || !*address || strcmp(address, "off") == 0;
}

static int make_tcp(struct admin_side *side, const char *address, const char *token,
                    struct err *err)
{
    int fd = -1;
    snprintf(side->address, sizeof(side->address), "%s", address);
    snprintf(side->token, sizeof(side->token), "%s", token);
    int rc = listen_tcp(address, token, side->host, sizeof(side->host), &fd, err);
    return rc < 0 ? rc : start_server(side, fd, err);
}

int admin_set_address(struct admin *a, const char *address, const char *token, struct err *err)
{
    token = token ? token : "";
    if (strlen(token) >= ADMIN_TOKEN_MAX)
        return err_at(err, -EINVAL, "admin", "a token has at most %d bytes", ADMIN_TOKEN_MAX - 1);
    struct admin_side *side = NULL;
    if (!is_off(address)) {
        bool same = a->tcp && strcmp(a->tcp->address, address) == 0;
        if (same && (*token || !a->tcp->token[0])) {
            str_copy(a->tcp->token, sizeof(a->tcp->token), token);
            return 0;
        }
        side = side_new(a);
        int rc = side ? make_tcp(side, address, token, err) : err_set(err, -ENOMEM, "no memory");
        if (rc < 0) {
            side_free(side);
            return rc;
        }
    }
    retire(a, a->tcp);
    a->tcp = side;
    return 0;
}

static int make_local(struct admin *a, struct err *err)
{
    int fd = -1;
    struct admin_side *side = side_new(a);
    int rc = side ? listen_local(a->socket_path, &fd, err) : err_set(err, -ENOMEM, "no memory");
    if (rc == 0) {
        side->trusted = true;
        rc = start_server(side, fd, err);
    }
    if (rc < 0) {
        side_free(side);
        return rc;
    }
    a->local = side;
    return 0;
}

/* A disk that takes no socket is no reason to stop scaling. */
static bool is_the_disk(int rc)
{
    return rc == -EROFS || rc == -EACCES || rc == -EPERM || rc == -ENOSPC || rc == -EDQUOT ||
           rc == -EIO || rc == -ENOENT || rc == -ENOTDIR;
}

/* The Unix socket, now or later. */
static int try_local(struct admin *a, struct err *err)
{
    struct err why = { 0 };
    int rc = make_local(a, &why);
    a->trouble[0] = '\0';
    if (rc == 0)
        return 0;
    a->retry_at_us = us_add(clock_now_us(), a->retry_us);
    if (!is_the_disk(rc)) {
        if (err)
            *err = why;
        return rc;
    }
    snprintf(a->trouble, sizeof(a->trouble), "there is no admin socket %.108s: %.120s",
             a->socket_path, why.text);
    return 0;
}

int admin_open(const struct admin_options *options, const struct admin_backend *backend,
               struct admin **ret, struct err *err)
{
    struct admin *a = calloc(1, sizeof(*a));
    if (!a)
        return err_set(err, -ENOMEM, "no memory");
    a->backend = *backend;
    a->retry_us = options->retry_us ? options->retry_us : 5 * US_PER_S;
    a->epoll = epoll_create1(EPOLL_CLOEXEC);
    int rc = a->epoll < 0 ? err_set(err, -errno, "epoll: %s", strerror(errno)) : 0;
    if (rc == 0 && !str_copy(a->socket_path, sizeof(a->socket_path), options->socket_path))
        rc = err_at(err, -ENAMETOOLONG, options->socket_path,
                    "a socket's path has at most %zu bytes: choose a shorter state directory",
                    sizeof(a->socket_path) - 1);
    if (rc == 0) {
        wait_for_dying(a->socket_path);
        rc = try_local(a, err);
    }
    if (rc == 0)
        rc = admin_set_address(a, options->address, options->token, err);
    if (rc < 0) {
        admin_close(a);
        return rc;
    }
    *ret = a;
    return 0;
}

void admin_close(struct admin *a)
{
    if (!a)
        return;
    if (a->local)
        unlink(a->socket_path);
    side_free(a->local);
    side_free(a->tcp);
    for (struct admin_side *side = a->retired, *next; side; side = next) {
        next = side->next;
        side_free(side);
    }
    mem_closep(&a->epoll);
    free(a);
}

int admin_fd(const struct admin *a)
{
    return a->epoll;
}

void admin_run(struct admin *a)
{
    if (!a->local && clock_now_us() >= a->retry_at_us)
        try_local(a, NULL);
    if (a->local)
        MHD_run(a->local->daemon);
    if (a->tcp)
        MHD_run(a->tcp->daemon);
    run_retired(a);
}

static int soonest(int a_ms, const struct admin_side *side)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(side->daemon, &ms) != MHD_YES)
        return a_ms;
    int left = ms > 60000 ? 60000 : (int)ms;
    return a_ms < 0 ? left : MIN(a_ms, left);
}

int admin_timeout_ms(const struct admin *a)
{
    int ms = -1;
    if (a->local)
        ms = soonest(ms, a->local);
    else
        ms = (int)CLAMP((a->retry_at_us - clock_now_us()) / US_PER_MS + 1, 0, 60000);
    if (a->tcp)
        ms = soonest(ms, a->tcp);
    for (const struct admin_side *side = a->retired; side; side = side->next)
        ms = soonest(ms, side);
    return ms;
}
