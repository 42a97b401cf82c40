/* A small web app whose capacity is limited, as real ones are: a fixed number of workers, each busy
 * for a while with every request; what comes on top waits. It can also be told to behave badly,
 * which is what the system tests use it for.
 *
 * PORT or SOCKET (or the first argument) says where to listen, HOST on which address (default
 * 127.0.0.1; 0.0.0.0 in a container). More in the environment:
 *   APP_CONCURRENCY  workers (default 4)        APP_SERVICE_MS  time per request (default 20)
 *   APP_CPU_US       of which busy (default 200) APP_BODY_BYTES  length of the answer to GET /
 *   APP_START_MS     before it listens          APP_READY=never /healthz stays 503
 *   APP_EXIT=N       exits at once with N        APP_IGNORE_TERM=1
 *   APP_FORK_DAEMON=1  leaves a process of another session behind
 *   APP_LEAK_FDS=1   a child keeps every descriptor open
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "ws.h"

#define CONNS_MAX 4096
#define STACK_BYTES ((size_t)256 * 1024)

static struct {
    long service_ms, cpu_us, body_bytes;
    bool never_ready;
    sem_t workers;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards the two below */
    pthread_cond_t gone;
    struct conn *conns[CONNS_MAX];
    size_t conn_count;
} app = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER };

static long env_number(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

static void sleep_ms(long ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static void burn_us(long us)
{
    struct timespec start, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 < us);
}

/* What makes the capacity limited. */
static void work(void)
{
    while (sem_wait(&app.workers) < 0 && errno == EINTR)
        ;
    burn_us(app.cpu_us);
    sleep_ms(app.service_ms);
    sem_post(&app.workers);
}

static bool serve_root(struct conn *c, struct request *r)
{
    char body[65536];
    work();
    int n = snprintf(body, sizeof(body), "hello from %d\n", getpid());
    for (; n < app.body_bytes && n < (int)sizeof(body); n++)
        body[n] = '.';
    return http_answer(c, r, 200, "", body, (size_t)n);
}

static bool serve_healthz(struct conn *c, struct request *r)
{
    if (app.never_ready)
        return http_answer(c, r, 503, "", "not ready\n", 10);
    return http_answer(c, r, 200, "", "ok\n", 3);
}

/* /slow?seconds=N: a line ten times a second. */
static bool serve_slow(struct conn *c, struct request *r)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    long lines = http_query(r, "seconds", 5) * 10;
    bool ok = http_send(c, head, sizeof(head) - 1);
    for (long i = 0; i < lines && ok; i++) {
        char line[64], chunk[96];
        int n = snprintf(line, sizeof(line), "line %ld of %ld\n", i + 1, lines);
        n = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)n, line);
        ok = http_send(c, chunk, (size_t)n);
        sleep_ms(100);
    }
    return ok && http_send(c, "0\r\n\r\n", 5);
}

static bool serve_sleep(struct conn *c, struct request *r)
{
    sleep_ms(http_query(r, "ms", 1000));
    return http_answer(c, r, 200, "", "slept\n", 6);
}

static bool serve_status(struct conn *c, struct request *r)
{
    return http_answer(c, r, (int)http_query(r, "code", 200), "", "as asked\n", 9);
}

/* /big?bytes=N */
static bool serve_big(struct conn *c, struct request *r)
{
    long bytes = http_query(r, "bytes", 1048576);
    if (bytes < 0 || bytes > 1L << 30)
        return http_answer(c, r, 400, "", "too big\n", 8);
    char *body = malloc((size_t)bytes + 1);
    if (!body)
        return false;
    memset(body, 'x', (size_t)bytes);
    bool ok = http_answer(c, r, 200, "", body, (size_t)bytes);
    free(body);
    return ok;
}

static bool serve_echo(struct conn *c, struct request *r)
{
    return http_answer(c, r, 200, "", r->body ? r->body : "", r->body_bytes);
}

static bool serve_headers(struct conn *c, struct request *r)
{
    return http_answer(c, r, 200, "", r->head, strlen(r->head));
}

static bool serve_pid(struct conn *c, struct request *r)
{
    char body[32];
    int n = snprintf(body, sizeof(body), "%d\n", getpid());
    return http_answer(c, r, 200, "", body, (size_t)n);
}

static bool serve_env(struct conn *c, struct request *r)
{
    char body[32768];
    size_t n = 0;
    for (char **e = environ; *e && n < sizeof(body); e++)
        n += (size_t)snprintf(body + n, sizeof(body) - n, "%s\n", *e);
    return http_answer(c, r, 200, "", body, n < sizeof(body) ? n : sizeof(body) - 1);
}

static bool serve_crash(struct conn *c, struct request *r)
{
    _exit(1);
}

/* One frame (RFC 6455, section 5.2): answered as it came, a ping as a pong. False = the end. */
static bool ws_echo(struct conn *c)
{
    uint8_t head[2], more[8] = { 0 }, mask[4];
    if (!http_read_exact(c, head, 2) || !(head[1] & 0x80))
        return false;
    uint64_t bytes = head[1] & 0x7f;
    size_t length_bytes = bytes == 126 ? 2 : bytes == 127 ? 8 : 0;
    if (!http_read_exact(c, more, length_bytes) || !http_read_exact(c, mask, 4))
        return false;
    for (size_t i = 0; i < length_bytes; i++)
        bytes = (i ? bytes << 8 : 0) | more[i];
    uint8_t opcode = head[0] & 15;
    uint8_t out[10] = { (uint8_t)(opcode == 9 ? 0x8a : head[0]), head[1] & 0x7f };
    memcpy(out + 2, more, length_bytes);
    uint8_t *data = bytes <= HTTP_BODY_MAX ? malloc(bytes + 1) : NULL;
    bool ok = data && http_read_exact(c, data, bytes);
    for (size_t i = 0; ok && i < bytes; i++)
        data[i] ^= mask[i % 4];
    ok = ok && http_send(c, out, 2 + length_bytes) && http_send(c, data, bytes);
    free(data);
    return ok && opcode != 8;
}

static bool serve_ws(struct conn *c, struct request *r)
{
    char key[128], accept_key[WS_ACCEPT_BYTES], head[256];
    if (!http_header(r, "sec-websocket-key", key, sizeof(key)))
        return http_answer(c, r, 426, "Upgrade: websocket\r\n", "", 0);
    ws_accept(key, accept_key);
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept_key);
    atomic_store(&c->idle, true);
    if (http_send(c, head, (size_t)n))
        while (!atomic_load(&app.stopping) && ws_echo(c))
            ;
    return false;
}

static const struct {
    const char *path;
    bool (*serve)(struct conn *c, struct request *r);
} routes[] = {
    { "/", serve_root },       { "/healthz", serve_healthz }, { "/slow", serve_slow },
    { "/crash", serve_crash }, { "/ws", serve_ws },           { "/env", serve_env },
    { "/pid", serve_pid },     { "/echo", serve_echo },       { "/headers", serve_headers },
    { "/big", serve_big },     { "/sleep", serve_sleep },     { "/status", serve_status },
};

static bool serve(struct conn *c, struct request *r)
{
    size_t n = strcspn(r->target, "?");
    if (atomic_load(&app.stopping))
        r->keep = false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        if (strlen(routes[i].path) == n && memcmp(routes[i].path, r->target, n) == 0)
            return routes[i].serve(c, r);
    return http_answer(c, r, 404, "", "no such page\n", 13);
}

static void forget(struct conn *c)
{
    pthread_mutex_lock(&app.lock);
    for (size_t i = 0; i < app.conn_count; i++)
        if (app.conns[i] == c) {
            app.conns[i] = app.conns[--app.conn_count];
            break;
        }
    pthread_cond_signal(&app.gone);
    pthread_mutex_unlock(&app.lock);
    close(c->fd);
    free(c);
}

static void *talk(void *arg)
{
    struct conn *c = arg;
    struct request *r = malloc(sizeof(*r));
    bool go_on = r != NULL;
    while (go_on) {
        atomic_store(&c->idle, c->have == 0);
        if (atomic_load(&app.stopping) && c->have == 0)
            break;
        go_on = http_read_request(c, r) == 1 && serve(c, r) && r->keep;
        free(r->body);
    }
    free(r);
    forget(c);
    return NULL;
}

static void take_connection(int listener)
{
    int fd = accept4(listener, NULL, NULL, getenv("APP_LEAK_FDS") ? 0 : SOCK_CLOEXEC);
    struct conn *c = fd >= 0 ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        if (fd >= 0)
            close(fd);
        return;
    }
    c->fd = fd;
    pthread_mutex_lock(&app.lock);
    bool full = app.conn_count == CONNS_MAX;
    if (!full)
        app.conns[app.conn_count++] = c;
    pthread_mutex_unlock(&app.lock);
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (full || pthread_create(&thread, &attr, talk, c) != 0)
        forget(c);
    pthread_attr_destroy(&attr);
}

static int listen_unix(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1024) < 0)
        return -1;
    return fd;
}

static int listen_tcp(long port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int one = 1;
    const char *host = getenv("HOST");
    if (inet_pton(AF_INET, host ? host : "127.0.0.1", &a.sin_addr) != 1)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 1024) < 0)
        return -1;
    return fd;
}

static int open_listener(const char *where)
{
    const char *path = where ? where : getenv("SOCKET");
    const char *port = where ? where : getenv("PORT");
    if (path && strchr(path, '/'))
        return listen_unix(path);
    return port ? listen_tcp(strtol(port, NULL, 10)) : -1;
}

/* A process that stays behind: in a session of its own, or as a plain child with all descriptors.
 */
static void leave_behind(bool daemon)
{
    if (fork() != 0)
        return;
    if (daemon) {
        setsid();
        if (fork() != 0)
            _exit(0);
    }
    signal(SIGTERM, SIG_IGN);
    for (;;)
        pause();
}

/* Answers what is being worked on, ends what is idle, and waits for both. */
static void finish(void)
{
    atomic_store(&app.stopping, true);
    pthread_mutex_lock(&app.lock);
    for (size_t i = 0; i < app.conn_count; i++)
        if (atomic_load(&app.conns[i]->idle))
            shutdown(app.conns[i]->fd, SHUT_RD);
    while (app.conn_count > 0)
        pthread_cond_wait(&app.gone, &app.lock);
    pthread_mutex_unlock(&app.lock);
}

static void serve_until_told(int listener, int signals)
{
    struct pollfd p[2] = { { .fd = listener, .events = POLLIN },
                           { .fd = signals, .events = POLLIN } };
    struct signalfd_siginfo info;
    bool ignore = getenv("APP_IGNORE_TERM") != NULL;
    for (;;) {
        if (poll(p, 2, -1) < 0)
            continue;
        if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) > 0 && !ignore)
            break;
        if (p[0].revents & POLLIN)
            take_connection(listener);
    }
    close(listener);
    finish();
}

int main(int argc, char **argv)
{
    sigset_t set;
    if (getenv("APP_EXIT"))
        return (int)env_number("APP_EXIT", 1);
    app.service_ms = env_number("APP_SERVICE_MS", 20);
    app.cpu_us = env_number("APP_CPU_US", 200);
    app.body_bytes = env_number("APP_BODY_BYTES", 0);
    app.never_ready = getenv("APP_READY") && strcmp(getenv("APP_READY"), "never") == 0;
    sem_init(&app.workers, 0, (unsigned)env_number("APP_CONCURRENCY", 4));
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (getenv("APP_FORK_DAEMON"))
        leave_behind(true);
    sleep_ms(env_number("APP_START_MS", 0));
    int listener = open_listener(argc > 1 ? argv[1] : NULL);
    if (listener < 0) {
        fprintf(stderr, "app: cannot listen: %s\n", strerror(errno));
        return 1;
    }
    if (getenv("APP_LEAK_FDS"))
        leave_behind(false);
    printf("app: %d serving\n", getpid());
    fflush(stdout);
    serve_until_told(listener, signals);
    printf("app: %d done\n", getpid());
    return 0;
}
