/* An open-loop HTTP load generator: requests are sent when the curve says so, whether or not
 * earlier ones have been answered, and latency counts from the moment a request should have been
 * sent. So a server that stalls is seen to stall. One thread, one epoll set.
 *
 *   loadgen --target 127.0.0.1:8080 --curve load.csv --compress 150 --peak 400
 *   loadgen --target unix:/run/app.sock --rate 100 --duration 10 --summary out.json
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "curve.h"
#include "response.h"
#include "stats.h"

#define WAITING_MAX 65536u /* a power of two */
/* Sooner than any server gives up on an idle connection, so that no request meets its end. */
#define IDLE_US 15000000
#define CHECK_US 100000

enum conn_state { CONN_CONNECTING, CONN_IDLE, CONN_BUSY };

struct conn {
    int fd; /* -1 = a free place */
    enum conn_state state;
    int64_t intended_us; /* of the request on it */
    int64_t since_us;    /* idle since */
    struct conn *next;   /* of the idle ones, the latest used first; or of the free places */
    struct response response;
};

static struct {
    const char *target, *path, *host;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    struct curve curve;
    int64_t timeout_us;
    size_t conn_max;
    uint64_t random;
    bool live;
    char request[4096];
    size_t request_bytes;
    int epoll, timer;
    struct conn *conns, *idle, *free_places;
    int64_t start_us;
    double next_s;                    /* of the next request */
    int64_t waiting[WAITING_MAX];     /* intended times of those without a connection */
    uint32_t waiting_in, waiting_out; /* free-running */
    uint32_t busy;
    uint32_t second; /* the one being counted */
    struct stats stats;
} g = { .path = "/", .timeout_us = 15000000, .conn_max = 4096, .random = 1 };

static volatile sig_atomic_t interrupted;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/* xorshift64*, and from it the exponential distribution. */
static double random_gap(void)
{
    g.random ^= g.random >> 12;
    g.random ^= g.random << 25;
    g.random ^= g.random >> 27;
    uint64_t bits = g.random * 0x2545f4914f6cdd1dULL >> 11;
    return -log(((double)bits + 1) / 9007199254740993.0);
}

/* A Poisson process whose rate follows the curve. */
static void plan_next(void)
{
    double gap = random_gap();
    while (g.next_s < g.curve.length_s) {
        double rate = curve_rate(&g.curve, g.next_s);
        double step = rate > 0 ? gap / rate : 1;
        if (step <= .1) {
            g.next_s += step;
            return;
        }
        gap -= .1 * rate; /* a tenth of a second at a time: the rate may change meanwhile */
        g.next_s += .1;
    }
}

static uint32_t second_of(int64_t intended_us)
{
    return (uint32_t)((intended_us - g.start_us) / 1000000);
}

static void drop(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    c->next = g.free_places;
    g.free_places = c;
}

static void fail(struct conn *c, enum stats_failure kind)
{
    stats_failed(&g.stats, second_of(c->intended_us), kind, 0);
    g.busy--;
    drop(c);
}

static void send_request(struct conn *c)
{
    response_clear(&c->response);
    c->state = CONN_BUSY;
    ssize_t n = send(c->fd, g.request, g.request_bytes, MSG_NOSIGNAL);
    if (n != (ssize_t)g.request_bytes)
        fail(c, STATS_CLOSED);
}

static struct conn *take_idle(void)
{
    struct conn *c = g.idle;
    if (c)
        g.idle = c->next;
    return c;
}

static struct conn *connect_new(int64_t intended_us)
{
    struct conn *c = g.free_places;
    int one = 1;
    if (!c)
        return NULL;
    int fd = socket(g.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if (g.address.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    g.free_places = c->next;
    c->fd = fd;
    c->state = CONN_CONNECTING;
    c->intended_us = intended_us;
    g.busy++;
    if (connect(fd, (struct sockaddr *)&g.address, g.address_bytes) < 0 && errno != EINPROGRESS) {
        fail(c, STATS_CONNECT);
        return c;
    }
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
    epoll_ctl(g.epoll, EPOLL_CTL_ADD, fd, &e);
    return c;
}

/* One request on whatever is free; false = nothing is. */
static bool dispatch(int64_t intended_us)
{
    struct conn *c = take_idle();
    if (!c)
        return connect_new(intended_us) != NULL;
    c->intended_us = intended_us;
    g.busy++;
    send_request(c);
    return true;
}

static void dispatch_waiting(void)
{
    while (g.waiting_out != g.waiting_in && dispatch(g.waiting[g.waiting_out % WAITING_MAX]))
        g.waiting_out++;
}

static void send_due(int64_t now)
{
    while (g.next_s < g.curve.length_s && !interrupted) {
        int64_t intended_us = g.start_us + (int64_t)(g.next_s * 1e6);
        if (intended_us > now)
            break;
        stats_sent(&g.stats, second_of(intended_us));
        if (g.waiting_out != g.waiting_in || !dispatch(intended_us)) {
            if (g.waiting_in - g.waiting_out == WAITING_MAX)
                stats_failed(&g.stats, second_of(intended_us), STATS_CROWDED, 0);
            else
                g.waiting[g.waiting_in++ % WAITING_MAX] = intended_us;
        }
        plan_next();
    }
}

static void answered(struct conn *c)
{
    int64_t now = now_us();
    uint32_t second = second_of(c->intended_us);
    int code = c->response.code;
    if (code >= 400)
        stats_failed(&g.stats, second, STATS_STATUS, code);
    else
        stats_ok(&g.stats, second, (uint32_t)(now - c->intended_us), code);
    g.busy--;
    if (c->response.close) {
        drop(c);
    } else {
        c->state = CONN_IDLE;
        c->since_us = now;
        c->next = g.idle;
        g.idle = c;
    }
    dispatch_waiting();
}

static void unlink_idle(struct conn *c)
{
    struct conn **p = &g.idle;
    while (*p && *p != c)
        p = &(*p)->next;
    if (*p)
        *p = c->next;
}

static void closed(struct conn *c)
{
    if (c->state == CONN_IDLE) {
        unlink_idle(c);
        drop(c);
    } else if (c->state == CONN_CONNECTING) {
        fail(c, STATS_CONNECT);
    } else if (response_end(&c->response) == 1) {
        c->response.close = true;
        answered(c);
    } else {
        fail(c, STATS_CLOSED);
    }
}

static void on_readable(struct conn *c)
{
    static char buf[65536];
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0 || c->state != CONN_BUSY) {
            closed(c);
            return;
        }
        int rc = response_feed(&c->response, buf, (size_t)n);
        if (rc < 0)
            fail(c, STATS_MALFORMED);
        else if (rc > 0)
            answered(c);
        if (rc != 0)
            return; /* what may follow rings again */
    }
}

static void on_event(struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t n = sizeof(error);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error)
            fail(c, STATS_CONNECT);
        else if (events & EPOLLOUT)
            send_request(c);
    }
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        on_readable(c);
}

/* Requests that took too long, and connections idle for too long. */
static void check_times(int64_t now)
{
    for (size_t i = 0; i < g.conn_max; i++) {
        struct conn *c = &g.conns[i];
        if (c->fd < 0)
            continue;
        if (c->state != CONN_IDLE && now - c->intended_us > g.timeout_us)
            fail(c, STATS_TIMEOUT);
        else if (c->state == CONN_IDLE && now - c->since_us > IDLE_US)
            closed(c);
    }
    while (g.waiting_out != g.waiting_in &&
           now - g.waiting[g.waiting_out % WAITING_MAX] > g.timeout_us)
        stats_failed(&g.stats, second_of(g.waiting[g.waiting_out++ % WAITING_MAX]), STATS_CROWDED,
                     0);
    dispatch_waiting();
}

static uint32_t in_flight(void)
{
    return g.busy + (g.waiting_in - g.waiting_out);
}

/* A second is over: what was it like? */
static void close_second(void)
{
    struct stats_second *s = &g.stats.seconds[g.second];
    s->in_flight = in_flight();
    s->rate = curve_rate(&g.curve, g.second + 1);
    if (g.second + 1 > g.stats.second_count)
        g.stats.second_count = g.second + 1;
    g.second++;
    if (!g.live)
        return;
    printf("{\"t\":%u,\"rate\":%.1f,\"sent\":%llu,\"ok\":%llu,\"failed\":%llu,\"in_flight\":%u}\n",
           g.second, s->rate, (unsigned long long)g.stats.sent, (unsigned long long)g.stats.ok,
           (unsigned long long)g.stats.failed, in_flight());
    fflush(stdout);
}

static void set_timer(int64_t now, int64_t check_us)
{
    int64_t next_us = check_us;
    if (g.next_s < g.curve.length_s && g.start_us + (int64_t)(g.next_s * 1e6) < next_us)
        next_us = g.start_us + (int64_t)(g.next_s * 1e6);
    int64_t wait_us = next_us > now ? next_us - now : 1;
    struct itimerspec t = { .it_value = { wait_us / 1000000, wait_us % 1000000 * 1000 } };
    timerfd_settime(g.timer, 0, &t, NULL);
}

static void run(void)
{
    struct epoll_event events[256];
    g.start_us = now_us();
    int64_t check_us = g.start_us;
    plan_next();
    while ((g.next_s < g.curve.length_s && !interrupted) || in_flight() > 0) {
        int64_t now = now_us();
        send_due(now);
        if (now >= check_us) {
            check_times(now);
            check_us = now + CHECK_US;
        }
        while (g.second < STATS_SECONDS_MAX && now >= g.start_us + (g.second + 1LL) * 1000000)
            close_second();
        set_timer(now_us(), check_us);
        int n = epoll_wait(g.epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else if (read(g.timer, &ticks, sizeof(ticks)) < 0)
                continue;
        }
    }
    close_second();
}

static int resolve_unix(const char *path)
{
    struct sockaddr_un *a = (struct sockaddr_un *)&g.address;
    a->sun_family = AF_UNIX;
    g.address_bytes = sizeof(*a);
    return snprintf(a->sun_path, sizeof(a->sun_path), "%s", path) < (int)sizeof(a->sun_path) ? 0
                                                                                             : -1;
}

static int resolve(void)
{
    char host[256];
    if (strncmp(g.target, "unix:", 5) == 0)
        return resolve_unix(g.target + 5);
    const char *colon = strrchr(g.target, ':');
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    if (!colon)
        return -1;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - g.target), g.target);
    if (getaddrinfo(host[0] ? host : "127.0.0.1", colon + 1, &hints, &found) != 0)
        return -1;
    memcpy(&g.address, found->ai_addr, found->ai_addrlen);
    g.address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void on_signal(int number)
{
    interrupted = 1;
}

static void open_all(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    const char *host = g.host                               ? g.host
                       : strncmp(g.target, "unix:", 5) == 0 ? "localhost"
                                                            : g.target;
    g.request_bytes = (size_t)snprintf(g.request, sizeof(g.request),
                                       "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", g.path, host);
    g.epoll = epoll_create1(EPOLL_CLOEXEC);
    g.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN };
    epoll_ctl(g.epoll, EPOLL_CTL_ADD, g.timer, &e);
    g.conns = calloc(g.conn_max, sizeof(*g.conns));
    if (!g.conns)
        abort();
    for (size_t i = g.conn_max; i > 0; i--) {
        g.conns[i - 1].fd = -1;
        g.conns[i - 1].next = g.free_places;
        g.free_places = &g.conns[i - 1];
    }
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int write_file(const char *path, double seconds, bool summary)
{
    FILE *f = path ? fopen(path, "we") : NULL;
    if (!path)
        return 0;
    if (!f) {
        fprintf(stderr, "loadgen: %s: %s\n", path, strerror(errno));
        return 1;
    }
    if (summary)
        stats_write_summary(&g.stats, seconds, f);
    else
        stats_write_seconds(&g.stats, f);
    return fclose(f) == 0 ? 0 : 1;
}

static const struct option long_options[] = {
    { "target", 1, NULL, 't' },  { "path", 1, NULL, 'p' },        { "host", 1, NULL, 'h' },
    { "curve", 1, NULL, 'c' },   { "compress", 1, NULL, 'x' },    { "peak", 1, NULL, 'k' },
    { "rate", 1, NULL, 'r' },    { "duration", 1, NULL, 'd' },    { "seed", 1, NULL, 's' },
    { "timeout", 1, NULL, 'o' }, { "connections", 1, NULL, 'n' }, { "live", 0, NULL, 'l' },
    { "summary", 1, NULL, 'j' }, { "csv", 1, NULL, 'v' },         { 0 },
};

struct settings {
    const char *curve, *summary, *csv;
    double compress_s, peak_rps, rate_rps, duration_s;
};

static int usage(void)
{
    fputs("usage: loadgen --target HOST:PORT|unix:PATH [--path /] [--host NAME]\n"
          "       --curve FILE [--compress SECONDS] [--peak RPS] | --rate RPS --duration SECONDS\n"
          "       [--seed N] [--timeout SECONDS] [--connections N] [--live]\n"
          "       [--summary FILE.json] [--csv FILE.csv]\n"
          "exit status: 0 all answered, 1 some failed, 2 usage\n",
          stderr);
    return 2;
}

static bool parse(int argc, char **argv, struct settings *s)
{
    for (int o; (o = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        switch (o) {
        case 't':
            g.target = optarg;
            break;
        case 'p':
            g.path = optarg;
            break;
        case 'h':
            g.host = optarg;
            break;
        case 'c':
            s->curve = optarg;
            break;
        case 'x':
            s->compress_s = strtod(optarg, NULL);
            break;
        case 'k':
            s->peak_rps = strtod(optarg, NULL);
            break;
        case 'r':
            s->rate_rps = strtod(optarg, NULL);
            break;
        case 'd':
            s->duration_s = strtod(optarg, NULL);
            break;
        case 's':
            g.random = strtoull(optarg, NULL, 10) * 2 + 1;
            break;
        case 'o':
            g.timeout_us = (int64_t)(strtod(optarg, NULL) * 1e6);
            break;
        case 'n':
            g.conn_max = strtoul(optarg, NULL, 10);
            break;
        case 'l':
            g.live = true;
            break;
        case 'j':
            s->summary = optarg;
            break;
        case 'v':
            s->csv = optarg;
            break;
        default:
            return false;
        }
    }
    bool constant = s->rate_rps > 0 && s->duration_s > 0;
    return g.target && optind == argc && !s->curve == constant && g.conn_max > 0;
}

int main(int argc, char **argv)
{
    struct settings s = { 0 };
    if (!parse(argc, argv, &s))
        return usage();
    int rc = s.curve ? curve_read(s.curve, &g.curve)
                     : curve_constant(s.rate_rps, s.duration_s, &g.curve);
    if (rc < 0 || resolve() < 0) {
        fprintf(stderr, "loadgen: %s: %s\n", rc < 0 ? s.curve : g.target,
                rc < 0 ? strerror(-rc) : "no such address");
        return 2;
    }
    curve_scale(&g.curve, s.compress_s, s.peak_rps);
    open_all();
    run();
    double seconds = (double)(now_us() - g.start_us) / 1e6;
    stats_finish(&g.stats);
    rc = write_file(s.summary, seconds, true) | write_file(s.csv, seconds, false);
    if (!s.summary)
        stats_write_summary(&g.stats, seconds, stdout);
    uint64_t failed = g.stats.failed;
    stats_done(&g.stats);
    curve_done(&g.curve);
    free(g.conns);
    return rc || failed > 0 ? 1 : 0;
}
