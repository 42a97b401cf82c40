/* The log's rings and its thread. What a line looks like is accesslog_line.c's. */
#include "proxy/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"

#define LINGER_MS 20      /* gather lines for this long before writing */
#define LAST_WAIT_MS 1000 /* at the end: how long for a pipe that is full */

bool accesslog_ring_put(struct accesslog_ring *r, const char *line, size_t n)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (ACCESSLOG_RING_BYTES - (head - tail) < n)
        return false;
    size_t at = head % ACCESSLOG_RING_BYTES, first = MIN(n, ACCESSLOG_RING_BYTES - at);
    memcpy(r->data + at, line, first);
    memcpy(r->data, line + first, n - first);
    atomic_store_explicit(&r->head, head + n, memory_order_release);
    return true;
}

static void take_mail(struct accesslog *log)
{
    int fd = atomic_exchange(&log->mail, ACCESSLOG_NO_MAIL);
    if (fd == ACCESSLOG_NO_MAIL)
        return;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
}

static void clear_event(struct accesslog *log)
{
    uint64_t ignored;
    ssize_t n = read(log->event_fd, &ignored, sizeof(ignored));
    (void)n;
}

/* A pipe that nobody reads: wait until somebody does, there is another log, or we are to end.
 * False = do not go on with this one. */
static bool wait_writable(struct accesslog *log)
{
    struct pollfd p[2] = { { .fd = log->fd, .events = POLLOUT },
                           { .fd = log->event_fd, .events = POLLIN } };
    bool last = atomic_load(&log->quit);
    if (atomic_load(&log->mail) != ACCESSLOG_NO_MAIL)
        return false;
    int n = poll(p, last ? 1 : 2, last ? LAST_WAIT_MS : -1);
    if (last && n == 0) {
        close(log->fd);
        log->fd = -1;
        return false;
    }
    if (p[1].revents)
        clear_event(log); /* whatever it was rung for is seen at the next look */
    return true;
}

static bool write_all(struct accesslog *log, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(log->fd, p, n);
        if (done < 0 && (errno == EINTR || (errno == EAGAIN && wait_writable(log))))
            continue;
        if (done <= 0)
            return false; /* a full disk loses lines, not requests */
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static bool drain_ring(struct accesslog *log, struct accesslog_ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    if (head == tail)
        return false;
    size_t at = tail % ACCESSLOG_RING_BYTES, n = head - tail;
    size_t first = MIN(n, ACCESSLOG_RING_BYTES - at);
    take_mail(log); /* after the lines were seen: they are not older than the log they are for */
    if (log->fd >= 0 && write_all(log, r->data + at, first))
        write_all(log, r->data, n - first);
    atomic_store_explicit(&r->tail, head, memory_order_release);
    return true;
}

static bool drain_all(struct accesslog *log)
{
    bool any = false;
    for (uint32_t i = 0; i < log->ring_count; i++)
        any |= drain_ring(log, &log->rings[i]);
    return any;
}

static void wait_for_lines(struct accesslog *log)
{
    struct pollfd p = { .fd = log->event_fd, .events = POLLIN };
    atomic_store(&log->asleep, true);
    /* A line that came before the flag was set is found here; one that comes after it rings. */
    if (drain_all(log) || atomic_load(&log->quit)) {
        atomic_store(&log->asleep, false);
        return;
    }
    poll(&p, 1, -1);
    clear_event(log);
    atomic_store(&log->asleep, false);
}

static void *run(void *arg)
{
    struct accesslog *log = arg;
    while (!atomic_load(&log->quit)) {
        take_mail(log);
        if (!drain_all(log))
            wait_for_lines(log);
        poll(NULL, 0, LINGER_MS);
    }
    drain_all(log);
    return NULL;
}

int accesslog_init(struct accesslog *log, uint32_t ring_count)
{
    log->fd = -1;
    atomic_store(&log->mail, ACCESSLOG_NO_MAIL);
    log->ring_count = ring_count;
    log->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (log->event_fd < 0)
        return -errno;
    for (uint32_t i = 0; i < ring_count; i++) {
        log->rings[i].data = malloc(ACCESSLOG_RING_BYTES);
        if (!log->rings[i].data)
            return -ENOMEM;
    }
    return -pthread_create(&log->thread, NULL, run, log);
}

void accesslog_wake(struct accesslog *log)
{
    uint64_t one = 1;
    ssize_t n = write(log->event_fd, &one, sizeof(one));
    (void)n;
}

void accesslog_stop(struct accesslog *log)
{
    atomic_store(&log->quit, true);
    accesslog_wake(log);
    pthread_join(log->thread, NULL);
}

void accesslog_set_fd(struct accesslog *log, int fd)
{
    if (fd >= 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    int untaken = atomic_exchange(&log->mail, fd);
    if (untaken >= 0)
        close(untaken);
    atomic_store(&log->on, fd >= 0);
    accesslog_wake(log);
}
