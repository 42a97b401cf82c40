/* Containers' output. The engine keeps it; into STATE/log goes what somebody reads, for as long as
 * somebody does, and the last of it when a container has ended, for then the engine forgets it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "drivers/process/process.h"
#include "sys/clock.h"

#define FOLLOW_US (5 * US_PER_MIN) /* from the last time that somebody asked */
#define TAIL_LINES 1000
#define FILE_BYTES_MAX INT64_C(10485760) /* rotated beyond, one kept */
#define KEEP_BYTES_MAX ((size_t)4 * 1024 * 1024)
#define HEAD_BYTES 8
/* Where what was kept ends and what is new begins the engine does not say: for so long nothing has
 * come, or so long it has been coming. */
#define QUIET_US (200 * US_PER_MS)
#define QUIET_US_MAX (1 * US_PER_S)

struct docker_log {
    struct container *container;
    struct engine_call *call;
    int fd;
    bool keeping;               /* the container has ended */
    bool here;                  /* what there was is in the file */
    int64_t begun_us, heard_us; /* the engine's answer, and the last of it; 0 = not yet */
    size_t bytes;               /* written */
    uv_timer_t timer;           /* nobody reads any more */
    /* Output and errors come in frames: a head of 8 bytes, the last four its length. */
    unsigned char head[HEAD_BYTES];
    size_t head_bytes;
    uint32_t left;
};

static void path_of(const struct container *c, char path[PATH_MAX])
{
    process_log_path(c->docker->env.state_dir, c->service, c->number, path, PATH_MAX);
}

/* --- the end --- */

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct docker_log, timer));
}

static void log_close(struct docker_log *l)
{
    struct container *c = l->container;
    c->log = NULL;
    if (l->bytes > 0)
        c->log_until_wall_us = clock_wall_us();
    engine_cancel(l->call);
    close(l->fd);
    uv_close((uv_handle_t *)&l->timer, on_closed);
}

void docker_log_end(struct container *c)
{
    if (c->log)
        log_close(c->log);
}

static void on_nobody_reads(uv_timer_t *timer)
{
    log_close(CONTAINER_OF(timer, struct docker_log, timer));
}

/* --- what comes --- */

/* What cannot be written is not worth stopping for. */
static void put(struct docker_log *l, const char *bytes, size_t count)
{
    char path[PATH_MAX];
    if (write(l->fd, bytes, count) < 0)
        return;
    l->bytes += count;
    l->heard_us = clock_now_us();
    if (l->bytes < FILE_BYTES_MAX)
        return;
    l->bytes = 0;
    path_of(l->container, path);
    process_log_rotate(path, FILE_BYTES_MAX / 2, 1);
}

static void unpack(struct docker_log *l, const char *bytes, size_t count)
{
    while (count > 0) {
        if (l->left == 0) {
            l->head[l->head_bytes++] = (unsigned char)*bytes++;
            count--;
            if (l->head_bytes < HEAD_BYTES)
                continue;
            l->head_bytes = 0;
            l->left = (uint32_t)l->head[4] << 24 | (uint32_t)l->head[5] << 16 |
                      (uint32_t)l->head[6] << 8 | l->head[7];
            continue;
        }
        size_t n = MIN(count, (size_t)l->left);
        put(l, bytes, n);
        bytes += n;
        count -= n;
        l->left -= (uint32_t)n;
    }
}

static void on_bytes(void *ctx, const char *bytes, size_t count, const char *error)
{
    struct docker_log *l = ctx;
    struct container *c = l->container;
    bool keeping = l->keeping;
    bool again = count == 0 && error[0] && !engine_is_up(c->docker->engine);
    if (count > 0) {
        unpack(l, bytes, count);
        if (!keeping || l->bytes < KEEP_BYTES_MAX)
            return;
    } else {
        l->call = NULL;
        str_copy(c->log_error, sizeof(c->log_error), error);
    }
    log_close(l);
    if (keeping)
        step_log_kept(c, !again);
}

/* --- opening --- */

static int open_file(const struct container *c)
{
    char path[PATH_MAX];
    path_of(c, path);
    int anew = c->log_until_wall_us == 0 ? O_TRUNC : 0;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | anew, 0640);
}

static struct engine_call *ask(struct docker_log *l)
{
    const struct container *c = l->container;
    char path[DOCKER_PATH_MAX], from[48];
    int64_t since_us = c->log_until_wall_us;
    fmt(from, sizeof(from), since_us ? "since=%lld.%06lld" : "tail=%lld",
        (long long)(since_us ? since_us / US_PER_S : TAIL_LINES), (long long)(since_us % US_PER_S));
    fmt(path, sizeof(path), "/containers/%s/logs?stdout=1&stderr=1&follow=%d&%s", c->id,
        !l->keeping, from);
    return c->docker->engine ? engine_read(c->docker->engine, path, on_bytes, l) : NULL;
}

static bool log_open(struct container *c, bool keeping)
{
    struct docker_log *l = calloc(1, sizeof(*l));
    if (!l)
        return false;
    *l = (struct docker_log){ .container = c, .keeping = keeping, .fd = open_file(c) };
    l->call = l->fd >= 0 ? ask(l) : NULL;
    if (!l->call) {
        if (l->fd >= 0)
            close(l->fd);
        free(l);
        return false;
    }
    uv_timer_init(c->docker->env.loop, &l->timer);
    c->log = l;
    return true;
}

static bool is_here(struct docker_log *l)
{
    int64_t now_us = clock_now_us();
    if (l->begun_us == 0 && l->call && engine_has_begun(l->call))
        l->begun_us = l->heard_us = now_us;
    l->here = l->here || (l->begun_us != 0 && (now_us - l->heard_us >= QUIET_US ||
                                               now_us - l->begun_us >= QUIET_US_MAX));
    return l->here;
}

static int say_why(struct container *c, const char *why, struct err *err)
{
    bool any = c->log_until_wall_us != 0;
    int rc = any ? 0 : err_set(err, -EIO, "%s: %s", c->name, why[0] ? why : "no log can be read");
    c->log_error[0] = '\0'; /* the next who asks tries again */
    return rc;
}

int docker_log_follow(struct container *c, struct err *err)
{
    const struct engine *e = c->docker->engine;
    if (!c->log && (!c->id[0] || step_phase(c) == PHASE_ENDED))
        return 0;
    if (!c->log && (c->log_error[0] || !log_open(c, false)))
        return say_why(c, c->log_error, err);
    if (!c->log->keeping)
        uv_timer_start(&c->log->timer, on_nobody_reads, FOLLOW_US / US_PER_MS, 0);
    if (is_here(c->log))
        return 0;
    if (!engine_is_down(e) || c->log->begun_us != 0 || c->log->keeping)
        return -EAGAIN;
    log_close(c->log);
    return say_why(c, engine_error(e), err);
}

void docker_log_keep(struct container *c)
{
    if (c->log) { /* it comes to its end by itself */
        c->log->keeping = true;
        uv_timer_stop(&c->log->timer);
    } else if (!log_open(c, true)) {
        step_log_kept(c, true);
    }
}
